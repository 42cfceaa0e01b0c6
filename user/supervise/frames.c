// SPDX-License-Identifier: Apache-2.0
#include "supervise/frames.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LINE_BYTES 64

/* Positions only grow; a line of the cache for each side. */
struct frames_shared {
	uint64_t written; /* by trace */
	uint8_t apart[LINE_BYTES - sizeof(uint64_t)];
	uint64_t taken;	 /* by ship, which has passed them */
	uint32_t sleeps; /* set by ship, taken back by trace, which wakes it */
};

/* The head has a page of its own, as what follows is mapped twice. */
int frames__map(struct frames *frames, int fd, bool writer)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	const int mode = PROT_READ | PROT_WRITE;
	uint8_t *at, *half;

	if (page + FRAMES_BYTES > FRAMES_MEMORY_BYTES)
		return -EINVAL;
	at = mmap(NULL, page + 2 * FRAMES_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	half = mmap(at, page + FRAMES_BYTES, mode, MAP_SHARED | MAP_FIXED, fd, 0);
	if (half != MAP_FAILED)
		half = mmap(at + page + FRAMES_BYTES, FRAMES_BYTES, mode, MAP_SHARED | MAP_FIXED,
			    fd, (off_t)page);
	if (half == MAP_FAILED) {
		int ret = -errno;

		munmap(at, page + 2 * FRAMES_BYTES);
		return ret;
	}
	frames->shared = (struct frames_shared *)at;
	frames->bytes = at + page;
	frames->position =
		__atomic_load_n(writer ? &frames->shared->written : &frames->shared->taken,
				__ATOMIC_ACQUIRE);
	frames->told = frames->position;
	/* Of the other side nothing is known before it is looked at, and judged. */
	frames->other = writer ? frames->position - FRAMES_BYTES : frames->position;
	return 0;
}

static uint8_t *place(const struct frames *frames)
{
	return frames->bytes + (frames->position & (FRAMES_BYTES - 1));
}

/* A reader that says it took more than there is gets no more. */
static bool has_room(const struct frames *frames, size_t len)
{
	uint64_t used = frames->position - frames->other;

	return used <= FRAMES_BYTES && len <= FRAMES_BYTES - used;
}

bool frames__put(struct frames *frames, const void *frame, size_t len)
{
	if (!has_room(frames, len)) {
		frames->other = __atomic_load_n(&frames->shared->taken, __ATOMIC_ACQUIRE);
		if (!has_room(frames, len))
			return false;
	}
	memcpy(place(frames), frame, len);
	frames->position += len;
	return true;
}

size_t frames__unpublished(const struct frames *frames)
{
	return (size_t)(frames->position - frames->told);
}

size_t frames__waiting(const struct frames *frames)
{
	return (size_t)(frames->position -
			__atomic_load_n(&frames->shared->taken, __ATOMIC_RELAXED));
}

bool frames__publish(struct frames *frames)
{
	struct frames_shared *shared = frames->shared;

	if (frames->told == frames->position)
		return false;
	frames->told = frames->position;
	__atomic_store_n(&shared->written, frames->position, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&shared->sleeps, __ATOMIC_SEQ_CST);
}

bool frames__wake(struct frames *frames)
{
	return __atomic_exchange_n(&frames->shared->sleeps, 0, __ATOMIC_SEQ_CST);
}

/* How much may be copied; where the writer says what cannot be, nothing of it. */
static size_t available(struct frames *frames)
{
	if (frames->other != frames->position)
		return (size_t)(frames->other - frames->position);
	frames->other = __atomic_load_n(&frames->shared->written, __ATOMIC_ACQUIRE);
	if (frames->other - frames->position > FRAMES_BYTES) {
		frames->position = frames->told = frames->other;
		__atomic_store_n(&frames->shared->taken, frames->told, __ATOMIC_RELEASE);
	}
	return (size_t)(frames->other - frames->position);
}

size_t frames__copy(struct frames *frames, void *to, size_t room)
{
	size_t left = available(frames), len = left < room ? left : room;

	if (!len)
		return 0;
	memcpy(to, place(frames), len);
	frames->position += len;
	return len;
}

void frames__pass(struct frames *frames, size_t n)
{
	/* Where the writer had to be told anew where we are, what was copied before that is passed already. */
	if (n > frames->position - frames->told)
		n = (size_t)(frames->position - frames->told);
	frames->told += n;
	__atomic_store_n(&frames->shared->taken, frames->told, __ATOMIC_RELEASE);
}

bool frames__sleep(struct frames *frames)
{
	struct frames_shared *shared = frames->shared;

	__atomic_store_n(&shared->sleeps, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&shared->written, __ATOMIC_SEQ_CST) == frames->position)
		return true;
	__atomic_store_n(&shared->sleeps, 0, __ATOMIC_SEQ_CST);
	return false;
}
