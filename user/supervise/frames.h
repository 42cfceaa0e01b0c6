/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames on their way from trace to ship, in memory that both map: the kernel copies nothing, and while
 * ship is awake trace makes no system call for it. One writer, one reader. FD_FRAMES wakes a reader that
 * sleeps, and its end says that no more will come.
 *
 * Frames are published as wholes, and copied out before they are looked at: what either side writes
 * here is hostile to the other. The memory outlives both, and whoever comes after one that died goes on
 * where it was: what it had put and not published is gone, what it had copied and not passed comes again.
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
	uint64_t position; /* of this side: as far as it has put, or copied */
	uint64_t other;	   /* as far as the other side had got when it was looked at last */
	uint64_t told;	   /* of this side: as far as it has published, or passed */
};

/* Negative errno. The mapping is for as long as the process lives. */
int frames__map(struct frames *frames, int fd, bool writer);

/* Copies a whole frame. False: there is no room now; or never, where it is longer than FRAMES_BYTES. */
bool frames__put(struct frames *frames, const void *frame, size_t len);
/* How many bytes have been put and not been published. */
size_t frames__unpublished(const struct frames *frames);
/* What is waiting for the reader, what is not published included. */
size_t frames__waiting(const struct frames *frames);
/* What was put may be taken. True: there was something, and the reader sleeps. */
bool frames__publish(struct frames *frames);
/* The reader is about to be woken. False: there is no need to, it does not sleep any more. */
bool frames__wake(struct frames *frames);

/* Copies what has come since what was copied before, be it frames or not: how many bytes, 0: nothing has. */
size_t frames__copy(struct frames *frames, void *to, size_t room);
/*
 * So many more of the bytes that were copied are passed: the writer has their room. Frame by frame, before it
 * is looked at: with a reader that dies of one, no more is lost than that one.
 */
void frames__pass(struct frames *frames, size_t n);
/* The reader asks to be woken. False: more has come meanwhile. */
bool frames__sleep(struct frames *frames);

#endif
