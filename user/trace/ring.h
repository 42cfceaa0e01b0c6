/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer of a BPF ring buffer, by shared memory alone: libbpf's own calls bpf(2), which the
 * sealed role may not. Layout: kernel/bpf/ringbuf.c (consumer page, producer page, data mapped
 * twice in a row, so that a record never wraps).
 */
#ifndef SONDE_TRACE_RING_H
#define SONDE_TRACE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
	volatile uint64_t *consumer; /* ours to write */
	const volatile uint64_t *producer;
	const uint8_t *data;
	uint64_t bytes; /* power of two */
	uint64_t page_bytes;
	uint64_t position; /* ours; what is published may be behind it */
};

/* Maps the map behind fd, of `bytes` data bytes. Negative errno. */
int ring__map(struct ring *ring, int fd, uint64_t bytes);
/* The same for a memfd of {consumer page, producer page, data} that probe fills (probe/drain.h). */
int ring__map_shared(struct ring *ring, int fd, uint64_t bytes);
void ring__unmap(struct ring *ring);

/*
 * The next record, copied into `into` (at most `size` bytes; a longer one is refused: *ret_len is its
 * length and the copy is not made), or NULL when there is none that is finished. Discarded records
 * are passed over.
 */
const void *ring__take(struct ring *ring, void *into, size_t size, size_t *ret_len);

/*
 * Gives the room of the record just taken back. To be called before it is parsed, so that a
 * poisonous one costs one.
 */
void ring__pass(struct ring *ring);

/* Bytes that wait. */
uint64_t ring__waiting(const struct ring *ring);

#endif
