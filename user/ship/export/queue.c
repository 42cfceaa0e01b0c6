// SPDX-License-Identifier: Apache-2.0
#include "ship/export/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "registry.h"

static const struct {
	uint8_t tag, len;
	char url[sizeof(SEMCONV_SCHEMA_URL) - 1];
} own_beside = { 3 << 3 | 2, sizeof(SEMCONV_SCHEMA_URL) - 1, SEMCONV_SCHEMA_URL };
_Static_assert(sizeof(own_beside) < 128 + 2, "a length of one byte");

struct blob *blob__new_beside(struct view bytes, struct view beside)
{
	struct blob *blob = malloc(sizeof(*blob) + bytes.len + beside.len);

	if (!blob)
		return NULL;
	blob->refs = 1;
	blob->len = (uint32_t)bytes.len;
	blob->beside = (uint32_t)beside.len;
	blob->own = false;
	if (bytes.len)
		memcpy(blob->bytes, bytes.at, bytes.len);
	if (beside.len)
		memcpy(blob->bytes + bytes.len, beside.at, beside.len);
	return blob;
}

struct blob *blob__new(struct view bytes)
{
	struct blob *blob = blob__new_beside(bytes, VIEW(""));

	if (blob)
		blob->own = true;
	return blob;
}

struct view blob__beside(const struct blob *blob)
{
	if (!blob || blob->own)
		return (struct view){ (const char *)&own_beside, sizeof(own_beside) };
	return (struct view){ (const char *)blob->bytes + blob->len, blob->beside };
}

struct blob *blob__get(struct blob *blob)
{
	if (blob)
		blob->refs++;
	return blob;
}

void blob__put(struct blob *blob)
{
	if (blob && !--blob->refs)
		free(blob);
}

struct view blob__view(const struct blob *blob)
{
	return blob ? (struct view){ (const char *)blob->bytes, blob->len } : VIEW("");
}

static size_t entry_bytes(size_t len)
{
	return sizeof(struct queue_entry) + ((len + 7) & ~(size_t)7);
}

/* A chunk with room for n bytes behind the tail: a spare one, or a new one. */
static struct queue_chunk *add_chunk(struct queue *q, size_t n)
{
	struct queue_chunk *chunk = q->spare;

	if (chunk && chunk->cap >= n) {
		q->spare = chunk->next;
		q->n_spare--;
	} else {
		size_t cap = n > QUEUE_CHUNK_BYTES - sizeof(*chunk) ?
				     n :
				     QUEUE_CHUNK_BYTES - sizeof(*chunk);

		chunk = malloc(sizeof(*chunk) + cap);
		if (!chunk)
			return NULL;
		chunk->cap = cap;
	}
	chunk->next = NULL;
	chunk->begin = chunk->end = 0;
	if (q->tail)
		q->tail->next = chunk;
	else
		q->head = chunk;
	q->tail = chunk;
	return chunk;
}

int queue__push(struct queue *q, struct blob *resource, struct blob *scope, struct view span)
{
	size_t n = entry_bytes(span.len);
	struct queue_chunk *chunk = q->tail;
	struct queue_entry *entry;

	if (n > q->bytes_max - q->bytes || (q->spans_max && q->spans >= q->spans_max))
		return -ENOBUFS;
	if (!chunk || n > chunk->cap - chunk->end)
		chunk = add_chunk(q, n);
	if (!chunk)
		return -ENOMEM;
	entry = (struct queue_entry *)(chunk->at + chunk->end);
	entry->resource = blob__get(resource);
	entry->scope = blob__get(scope);
	entry->len = (uint32_t)span.len;
	entry->pad = 0;
	memcpy(entry->bytes, span.at, span.len);
	chunk->end += n;
	q->bytes += n;
	q->spans++;
	return 0;
}

/* The first chunk is empty: keep some of the usual size at hand, give the others back. */
static void drop_chunk(struct queue *q)
{
	struct queue_chunk *chunk = q->head;

	q->head = chunk->next;
	if (!q->head)
		q->tail = NULL;
	if (q->n_spare == QUEUE_SPARE_MAX || chunk->cap != QUEUE_CHUNK_BYTES - sizeof(*chunk)) {
		free(chunk);
		return;
	}
	chunk->next = q->spare;
	q->spare = chunk;
	q->n_spare++;
}

void queue__drop(struct queue *q, uint64_t n)
{
	while (n && q->head) {
		struct queue_chunk *chunk = q->head;
		struct queue_entry *entry;
		size_t bytes;

		if (chunk->begin == chunk->end) {
			drop_chunk(q);
			continue;
		}
		entry = (struct queue_entry *)(chunk->at + chunk->begin);
		bytes = entry_bytes(entry->len);
		blob__put(entry->resource);
		blob__put(entry->scope);
		chunk->begin += bytes;
		q->bytes -= bytes;
		q->spans--;
		n--;
	}
	while (q->head && q->head->begin == q->head->end)
		drop_chunk(q);
}

void queue__free(struct queue *q)
{
	queue__drop(q, q->spans);
	while (q->spare) {
		struct queue_chunk *next = q->spare->next;

		free(q->spare);
		q->spare = next;
	}
	q->n_spare = 0;
}

struct queue_cursor queue__begin(const struct queue *q)
{
	return (struct queue_cursor){ q->head, q->head ? q->head->begin : 0 };
}

const struct queue_entry *queue__next(struct queue_cursor *cursor)
{
	const struct queue_entry *entry;

	while (cursor->chunk && cursor->at >= cursor->chunk->end) {
		cursor->chunk = cursor->chunk->next;
		cursor->at = cursor->chunk ? cursor->chunk->begin : 0;
	}
	if (!cursor->chunk)
		return NULL;
	entry = (const struct queue_entry *)(cursor->chunk->at + cursor->at);
	cursor->at += entry_bytes(entry->len);
	return entry;
}

uint64_t queue__prefix(const struct queue *q, uint64_t spans_max, size_t bytes_max)
{
	struct queue_cursor cursor = queue__begin(q);
	const struct queue_entry *entry;
	uint64_t spans = 0;
	size_t bytes = 0;

	while (spans < spans_max && (entry = queue__next(&cursor))) {
		bytes += entry->len;
		if (spans && bytes > bytes_max)
			break;
		spans++;
	}
	return spans;
}
