/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that a hostile process can make wait for ever (its memory or its file system answers when it
 * likes, and no signal but the last one ends the wait), done in a thread that can be left behind.
 */
#ifndef SONDE_PROBE_IDENTITY_WORKER_H
#define SONDE_PROBE_IDENTITY_WORKER_H

#define WORKER_STUCK_MAX 32 /* threads left behind at once */

/*
 * Runs work(job) in another thread and waits for it, timeout_ms twice at most; by one caller at a time. 0: it is done, job is
 * the caller's. -ETIMEDOUT: it is not; job is given up and goes to release() when it is after all.
 * -EAGAIN: not begun, as too many threads are stuck or none can be made; job is the caller's.
 */
int worker__run(void (*work)(void *job), void *job, void (*release)(void *job),
		unsigned int timeout_ms);

/* Threads that were left behind and have not come back. */
unsigned int worker__stuck(void);

#endif
