/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits for one destination: encoded spans in the order of their arrival, in chunks, so that
 * nothing is allocated for a single span and an empty queue holds next to no memory. A batch is a
 * prefix of the queue: it stays where it is until it has been answered, so sending it again
 * copies nothing. Pure: no system calls, no clock.
 */
#ifndef SONDE_SHIP_QUEUE_H
#define SONDE_SHIP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/*
 * Shared, immutable bytes: an encoded Resource or InstrumentationScope; behind it, where it is not sonde's own, what stands
 * beside it in ResourceSpans or ScopeSpans, encoded.
 */
struct blob {
	uint32_t refs, len, beside;
	bool own;
	uint8_t bytes[];
};
/* A copy with one reference, or NULL (no memory). */
struct blob *blob__new(struct view bytes);
struct blob *blob__new_beside(struct view bytes, struct view beside);
/* Of sonde's own, and of NULL, the field schema_url (3) of the conventions that it follows. */
struct view blob__beside(const struct blob *blob);
struct blob *blob__get(struct blob *blob);
/* NULL is fine. */
void blob__put(struct blob *blob);
struct view blob__view(const struct blob *blob);

/* Fuzzing takes less, so that short inputs fill several. */
#ifndef QUEUE_CHUNK_BYTES
#define QUEUE_CHUNK_BYTES (64u << 10)
#endif

/*
 * So many empty chunks are kept: what one batch takes and what comes while it is on its way. Memory that
 * is given back with every batch has to be made and cleared anew by the kernel for the next.
 */
#define QUEUE_SPARE_MAX 24

struct queue_entry {
	struct blob *resource, *scope; /* NULL: never announced */
	uint32_t len, pad;
	uint8_t bytes[]; /* the encoded Span */
};

struct queue_chunk {
	struct queue_chunk *next;
	size_t begin, end, cap; /* entries lie in [begin, end) of at[] */
	_Alignas(8) uint8_t at[];
};

struct queue {
	struct queue_chunk *head, *tail, *spare;
	unsigned int n_spare;
	size_t bytes, bytes_max;   /* entries with their heads */
	uint64_t spans, spans_max; /* spans_max 0: not bounded by number */
};

/* 0, -ENOBUFS: full, -ENOMEM. The blobs get a reference each. */
int queue__push(struct queue *q, struct blob *resource, struct blob *scope, struct view span);
/* Takes the first n away. */
void queue__drop(struct queue *q, uint64_t n);
void queue__free(struct queue *q);

struct queue_cursor {
	const struct queue_chunk *chunk;
	size_t at;
};
struct queue_cursor queue__begin(const struct queue *q);
/* NULL at the end. */
const struct queue_entry *queue__next(struct queue_cursor *cursor);

/*
 * How many spans from the front make a batch of at most spans_max and bytes_max (encoded spans,
 * without heads). At least one, unless the queue is empty.
 */
uint64_t queue__prefix(const struct queue *q, uint64_t spans_max, size_t bytes_max);

#endif
