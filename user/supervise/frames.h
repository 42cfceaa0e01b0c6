/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way from trace to ship, in memory that both map: the kernel copies nothing, and while
 * ship is awake trace makes no system call for it. One writer, one reader. FD_FRAMES wakes a reader that
 * sleeps, and its end says that no more will come.
 *
 * Frames are published as wholes, and each is taken out before it is looked at: what either side writes
 * here is hostile to the other. The memory outlives both, and whoever comes after one that died goes on
 * where it was; what it had put and not published is gone.
 */
#ifndef SONDE_SUPERVISE_FRAMES_H
#define SONDE_SUPERVISE_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A power of two. It stays in a processor's cache, and holds what 500 exchanges come to. */
#define FRAMES_BYTES (256u << 10)
/* Of the shared memory (spawn__shared()). */
#define FRAMES_MEMORY_BYTES (FRAMES_BYTES + 65536)

struct frames_shared;

struct frames {
	struct frames_shared *shared;
	uint8_t *bytes;	   /* FRAMES_BYTES, and the same again behind them */
	uint64_t position; /* of this side: as far as it has put, or taken */
	uint64_t other;	   /* as far as the other side had got when it was looked at last */
	uint64_t published;
};

/* Negative errno. The mapping is for as long as the process lives. */
int frames__map(struct frames *frames, int fd, bool writer);

/* Copies a whole frame. False: there is no room now; or never, where it is longer than FRAMES_BYTES. */
bool frames__put(struct frames *frames, const void *frame, size_t len);
/* How many bytes have been put and not been published. */
size_t frames__unpublished(const struct frames *frames);
/* What was put may be taken. True: the reader sleeps and is to be woken. */
bool frames__publish(struct frames *frames);

/*
 * Takes the next frame out: its length, 0: there is none. Where what lies there is no frame, or is longer than
 * room, that is as many bytes as there are and fit.
 */
size_t frames__take(struct frames *frames, void *to, size_t room);
/* The reader asks to be woken. False: more has come meanwhile. */
bool frames__sleep(struct frames *frames);

#endif
