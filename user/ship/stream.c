// SPDX-License-Identifier: Apache-2.0
#include "ship/stream.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* At least as much as the largest packet: read(2) would cut a longer one off. Fuzzing takes less. */
#ifndef READ_BYTES
#define READ_BYTES (256u << 10)
#endif
/* Resources (one a process) that are remembered; the one longest unused goes first. */
#define TABLE_MAX 8192
/* Schema URLs are short. */
#define BESIDE_MAX_BYTES 4096

struct table_slot {
	uint32_t n;
	uint32_t used;	   /* tick of the last use */
	struct blob *blob; /* NULL: free */
};

/* Open addressing by number; a number that was thrown out is met again as "never announced". */
struct table {
	struct table_slot *slots;
	uint32_t cap, count; /* cap is 0 or a power of two */
	uint32_t tick;
};

struct stream {
	void (*on_span)(void *arg, const struct ship_span *span);
	void *arg;
	void (*on_pass)(void *arg, size_t n); /* NULL: nobody wants to know */
	void *pass_arg;
	uint8_t *bytes;
	size_t begin, end, cap;
	bool lost; /* not known to be at the start of a frame */
	uint64_t skipped;
	struct table resources, scopes;
	struct buf beside; /* of the next of them */
	bool has_beside;
};

static uint32_t slot_of(const struct table *t, uint32_t n)
{
	uint32_t i = (n * 2654435761u) & (t->cap - 1);

	while (t->slots[i].blob && t->slots[i].n != n)
		i = (i + 1) & (t->cap - 1);
	return i;
}

static int resize(struct table *t, uint32_t cap)
{
	struct table bigger = { .cap = cap, .tick = t->tick };

	bigger.slots = calloc(cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -1;
	for (uint32_t i = 0; i < t->cap; i++) {
		if (!t->slots[i].blob)
			continue;
		bigger.slots[slot_of(&bigger, t->slots[i].n)] = t->slots[i];
		bigger.count++;
	}
	free(t->slots);
	*t = bigger;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Forgets the half that was used longest ago. */
static int shrink(struct table *t)
{
	uint32_t *uses = malloc(t->count * sizeof(*uses)), n = 0, middle;

	if (!uses)
		return -1;
	for (uint32_t i = 0; i < t->cap; i++)
		if (t->slots[i].blob)
			uses[n++] = t->slots[i].used;
	qsort(uses, n, sizeof(*uses), by_use);
	middle = uses[n / 2];
	free(uses);
	for (uint32_t i = 0; i < t->cap; i++) {
		if (t->slots[i].blob && t->slots[i].used < middle) {
			blob__put(t->slots[i].blob);
			t->slots[i].blob = NULL;
		}
	}
	return resize(t, t->cap);
}

static void table__set(struct table *t, uint32_t n, struct view bytes, const struct view *beside)
{
	struct table_slot *slot;

	if (t->count == TABLE_MAX && shrink(t))
		return;
	if (2 * (t->count + 1) > t->cap && resize(t, t->cap ? 2 * t->cap : 64))
		return;
	slot = &t->slots[slot_of(t, n)];
	if (slot->blob && view_eq(blob__view(slot->blob), bytes) && slot->blob->own == !beside &&
	    (!beside || view_eq(blob__beside(slot->blob), *beside)))
		return; /* sent again: spans that wait share the one they have */
	if (slot->blob)
		blob__put(slot->blob);
	else
		t->count++;
	slot->n = n;
	slot->used = ++t->tick;
	slot->blob = beside ? blob__new_beside(bytes, *beside) : blob__new(bytes);
	if (!slot->blob && resize(t, t->cap))
		t->count--; /* as if it were not there; a chain may be cut, never a wrong blob */
}

static struct blob *table__get(struct table *t, uint32_t n)
{
	struct table_slot *slot;

	if (!t->cap)
		return NULL;
	slot = &t->slots[slot_of(t, n)];
	if (slot->blob)
		slot->used = ++t->tick;
	return slot->blob;
}

static void table__free(struct table *t)
{
	for (uint32_t i = 0; i < t->cap; i++)
		blob__put(t->slots[i].blob);
	free(t->slots);
}

struct stream *stream__new(void (*on_span)(void *arg, const struct ship_span *span), void *arg)
{
	struct stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->on_span = on_span;
	s->arg = arg;
	s->lost = true;
	return s;
}

void stream__on_pass(struct stream *s, void (*on_pass)(void *arg, size_t n), void *arg)
{
	s->on_pass = on_pass;
	s->pass_arg = arg;
}

void stream__free(struct stream *s)
{
	if (!s)
		return;
	table__free(&s->resources);
	table__free(&s->scopes);
	buf__free(&s->beside);
	free(s->bytes);
	free(s);
}

uint8_t *stream__room(struct stream *s, size_t *ret_room)
{
	size_t cap = s->cap ? s->cap : READ_BYTES + READ_BYTES / 4;
	uint8_t *bigger;

	/* All of it was taken. */
	if (s->cap && !s->end) {
		*ret_room = s->cap;
		return s->bytes;
	}
	if (s->begin) {
		memmove(s->bytes, s->bytes + s->begin, s->end - s->begin);
		s->end -= s->begin;
		s->begin = 0;
	}
	while (cap - s->end < READ_BYTES)
		cap *= 2;
	if (cap != s->cap) {
		bigger = realloc(s->bytes, cap);
		if (!bigger)
			return NULL;
		s->bytes = bigger;
		s->cap = cap;
	}
	*ret_room = s->cap - s->end;
	return s->bytes + s->end;
}

static uint32_t load32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static void take_span(struct stream *s, const uint8_t *body, size_t len)
{
	struct ship_span span;

	memcpy(&span.head, body, sizeof(span.head));
	span.bytes =
		(struct view){ (const char *)body + sizeof(span.head), len - sizeof(span.head) };
	span.resource = table__get(&s->resources, span.head.resource);
	span.scope = table__get(&s->scopes, span.head.scope);
	s->on_span(s->arg, &span);
}

/*
 * Beyond what frame__next() checks: is this what trace would write? len bytes of the body are
 * there, which may be fewer than it has: a wrong header must not make us wait for its body.
 */
static bool plausible(const struct frame_header *h, const uint8_t *body, size_t len)
{
	uint8_t kind, status, sampled;

	switch (h->type) {
	case FRAME_RESOURCE:
		return h->length >= 8;
	case FRAME_SCOPE:
		return h->length >= 4;
	case FRAME_BESIDE:
		return h->length <= BESIDE_MAX_BYTES;
	case FRAME_SPAN:
		if (h->length < sizeof(struct frame_span))
			return false;
		if (len < sizeof(struct frame_span))
			return true;
		kind = body[offsetof(struct frame_span, kind)];
		status = body[offsetof(struct frame_span, status)];
		sampled = body[offsetof(struct frame_span, sampled)];
		return kind <= 5 && status <= 2 && sampled <= 1 &&
		       (sampled == (h->length > sizeof(struct frame_span)));
	default:
		return false;
	}
}

/* head: bytes before the message itself. */
static void define(struct stream *s, struct table *t, const uint8_t *body, size_t len, size_t head)
{
	struct view beside = { (const char *)s->beside.at, s->beside.len };

	table__set(t, load32(body), (struct view){ (const char *)body + head, len - head },
		   s->has_beside ? &beside : NULL);
	s->has_beside = false;
}

static void take(struct stream *s, const struct frame_header *h, const uint8_t *body)
{
	if (h->type == FRAME_SPAN) {
		take_span(s, body, h->length);
	} else if (h->type == FRAME_RESOURCE) {
		define(s, &s->resources, body, h->length, 8);
	} else if (h->type == FRAME_SCOPE) {
		define(s, &s->scopes, body, h->length, 4);
	} else {
		buf__clear(&s->beside);
		buf__add(&s->beside, body, h->length);
		s->has_beside = !s->beside.err;
	}
}

/*
 * A frame at the front that can be believed: after losing the way, one that is followed by the
 * beginning of another, or by nothing. Its length, 0: more bytes are needed, -1: there is none.
 */
static long next_frame(struct stream *s, struct frame_header *h, const uint8_t **body)
{
	size_t len = s->end - s->begin;
	const uint8_t *at = s->bytes + s->begin, *body_after;
	long n = frame__next(at, len, h, body);
	struct frame_header after;

	if (n < 0 || len < sizeof(*h))
		return n;
	if (!n) {
		memcpy(h, at, sizeof(*h));
		return plausible(h, at + sizeof(*h), len - sizeof(*h)) ? 0 : -1;
	}
	if (!plausible(h, *body, h->length))
		return -1;
	if (s->lost && frame__next(*body + h->length, len - (size_t)n, &after, &body_after) < 0)
		return -1;
	return n;
}

static void pass(struct stream *s, size_t n)
{
	s->begin += n;
	if (s->on_pass)
		s->on_pass(s->pass_arg, n);
}

void stream__feed(struct stream *s, size_t n)
{
	struct frame_header h;
	const uint8_t *body;
	long taken;

	s->end += n;
	while (s->begin < s->end) {
		taken = next_frame(s, &h, &body);
		if (!taken)
			break;
		if (taken < 0) {
			s->lost = true;
			s->skipped++;
			pass(s, 1);
			continue;
		}
		s->lost = false;
		pass(s, (size_t)taken);
		take(s, &h, body);
	}
	if (s->begin == s->end)
		s->begin = s->end = 0;
}

uint64_t stream__skipped(const struct stream *s)
{
	return s->skipped;
}
