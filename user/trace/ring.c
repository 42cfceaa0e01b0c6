// SPDX-License-Identifier: Apache-2.0
#include "trace/ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int ring__map(struct ring *ring, int fd, uint64_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *consumer, *rest;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	rest = mmap(NULL, page + 2 * bytes, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (rest == MAP_FAILED) {
		int ret = -errno;

		munmap(consumer, page);
		return ret;
	}
	ring->consumer = consumer;
	ring->producer = rest;
	ring->data = (const uint8_t *)rest + page;
	ring->bytes = bytes;
	ring->page_bytes = page;
	/* A predecessor of ours may have died in the middle: go on where it was. */
	ring->position = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	return 0;
}

int ring__map_shared(struct ring *ring, int fd, uint64_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *consumer, *rest;
	void *again;
	int ret;

	consumer = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	/* Room for the data twice, then the second half laid over with the first's pages. */
	rest = mmap(NULL, page + 2 * bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (rest == MAP_FAILED)
		goto failed;
	again = mmap(rest, page + bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)page);
	if (again != MAP_FAILED)
		again = mmap(rest + page + bytes, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd,
			     (off_t)(2 * page));
	if (again == MAP_FAILED) {
		ret = -errno;
		munmap(rest, page + 2 * bytes);
		munmap(consumer, page);
		return ret;
	}
	ring->consumer = (uint64_t *)consumer;
	ring->producer = (uint64_t *)rest;
	ring->data = rest + page;
	ring->bytes = bytes;
	ring->page_bytes = page;
	ring->position = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
	return 0;
failed:
	ret = -errno;
	munmap(consumer, page);
	return ret;
}

void ring__unmap(struct ring *ring)
{
	if (!ring->consumer)
		return;
	munmap((void *)ring->consumer, ring->page_bytes);
	munmap((void *)ring->producer, ring->page_bytes + 2 * ring->bytes);
	ring->consumer = NULL;
}

void ring__pass(struct ring *ring)
{
	/*
	 * The copy comes first, then the room is free. No fence: the producer does not decide by
	 * this position whether to wake us, but by consumer_sleeps (headers/records.h).
	 */
	__atomic_store_n(ring->consumer, ring->position, __ATOMIC_RELEASE);
}

const void *ring__take(struct ring *ring, void *into, size_t size, size_t *ret_len)
{
	uint64_t end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);

	while (ring->position < end) {
		const uint8_t *at = ring->data + (ring->position & (ring->bytes - 1));
		uint32_t header = __atomic_load_n((const uint32_t *)at, __ATOMIC_ACQUIRE);
		uint64_t len = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
		bool keep = !(header & BPF_RINGBUF_DISCARD_BIT);

		if (header & BPF_RINGBUF_BUSY_BIT)
			return NULL;
		if (keep && len <= size)
			memcpy(into, at + BPF_RINGBUF_HDR_SZ, len);
		ring->position += (len + BPF_RINGBUF_HDR_SZ + 7) & ~7ull;
		if (!keep) {
			ring__pass(ring);
			continue;
		}
		*ret_len = len;
		return into;
	}
	return NULL;
}

uint64_t ring__waiting(const struct ring *ring)
{
	return __atomic_load_n(ring->producer, __ATOMIC_SEQ_CST) - ring->position;
}
