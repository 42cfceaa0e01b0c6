// SPDX-License-Identifier: Apache-2.0
#include "ship/export/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_json.h"
#include "core/otlp_view.h"

#define NONE UINT32_MAX

/* Spans that follow one another in the queue and are of one group: those of one process come so. */
struct batch_run {
	struct queue_cursor begin;
	uint32_t spans;
	uint32_t next; /* of the same group, NONE at the end */
};

/* Spans of one resource and scope, in the order of the queue. */
struct batch_group {
	const struct blob *resource, *scope;
	uint32_t first, last; /* runs */
	uint32_t slot;	      /* of the table */
	size_t spans_bytes;   /* of all `spans` fields, with their tags and lengths */
};

static int grow(void **at, size_t *cap, size_t want, size_t size)
{
	size_t n = *cap ? *cap : 64;
	void *bigger;

	if (want <= *cap)
		return 0;
	while (n < want)
		n *= 2;
	bigger = reallocarray(*at, n, size);
	if (!bigger)
		return -ENOMEM;
	*at = bigger;
	*cap = n;
	return 0;
}

static size_t varint_bytes(uint64_t v)
{
	size_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

/* Tag of one byte, length, bytes. */
static size_t field_bytes(size_t len)
{
	return 1 + varint_bytes(len) + len;
}

static size_t hash_of(const struct batch_group *g)
{
	uint64_t h = ((uint64_t)(uintptr_t)g->resource >> 4) * 0x9e3779b97f4a7c15ull;

	h ^= ((uint64_t)(uintptr_t)g->scope >> 4) * 0xc2b2ae3d27d4eb4full;
	return (size_t)(h ^ h >> 29);
}

/* What the last batch has left there. What is grown is clear as a whole. */
static int clear_table(struct batch *b, size_t want)
{
	size_t before = b->table_cap;

	for (size_t i = 0; i < b->n_groups; i++)
		b->table[b->groups[i].slot] = NONE;
	b->n_groups = 0;
	if (grow((void **)&b->table, &b->table_cap, want, sizeof(*b->table)))
		return -ENOMEM;
	if (b->table_cap != before)
		memset(b->table, 0xff, b->table_cap * sizeof(*b->table));
	return 0;
}

/* The group of these blobs, made if there is none. The table has room: twice the spans. NULL: no memory. */
static struct batch_group *group_of(struct batch *b, const struct queue_entry *entry)
{
	struct batch_group want = {
		.resource = entry->resource, .scope = entry->scope, .first = NONE, .last = NONE
	};
	size_t mask = b->table_cap - 1;
	size_t slot = hash_of(&want) & mask;

	for (; b->table[slot] != NONE; slot = (slot + 1) & mask) {
		struct batch_group *g = &b->groups[b->table[slot]];

		if (g->resource == want.resource && g->scope == want.scope)
			return g;
	}
	if (grow((void **)&b->groups, &b->groups_cap, b->n_groups + 1, sizeof(*b->groups)))
		return NULL;
	want.slot = (uint32_t)slot;
	b->groups[b->n_groups] = want;
	b->table[slot] = (uint32_t)b->n_groups;
	return &b->groups[b->n_groups++];
}

/* Its group, to which a run is added that begins with the entry at `begin`. NULL: no memory. */
static struct batch_group *begin_run(struct batch *b, struct queue_cursor begin,
				     const struct queue_entry *entry)
{
	uint32_t i = (uint32_t)b->n_runs;
	struct batch_group *g;

	if (grow((void **)&b->runs, &b->runs_cap, b->n_runs + 1, sizeof(*b->runs)))
		return NULL;
	g = group_of(b, entry);
	if (!g)
		return NULL;
	if (g->first == NONE)
		g->first = i;
	else
		b->runs[g->last].next = i;
	g->last = i;
	b->runs[i] = (struct batch_run){ begin, 0, NONE };
	b->n_runs++;
	return g;
}

static int group_spans(struct batch *b, const struct queue *q, uint64_t n)
{
	struct queue_cursor cursor = queue__begin(q), before = cursor;
	const struct queue_entry *entry;
	struct batch_group *g = NULL;

	b->n_spans = b->n_runs = 0;
	if (n > q->spans)
		n = q->spans;
	if (n >= NONE / 2 || clear_table(b, 2 * n))
		return -ENOMEM;
	for (; b->n_spans < n && (entry = queue__next(&cursor)); before = cursor) {
		if (!g || g->resource != entry->resource || g->scope != entry->scope)
			g = begin_run(b, before, entry);
		if (!g)
			return -ENOMEM;
		b->runs[g->last].spans++;
		b->n_spans++;
		g->spans_bytes += field_bytes(entry->len);
	}
	return 0;
}

static size_t put_tag(uint8_t to[BATCH_TAG_BYTES], unsigned int field, size_t len)
{
	size_t n = 0;

	to[n++] = (uint8_t)(field << 3 | 2);
	for (; len >= 0x80; len >>= 7)
		to[n++] = (uint8_t)(len | 0x80);
	to[n++] = (uint8_t)len;
	return n;
}

static void add_tag(struct buf *out, unsigned int field, size_t len)
{
	uint8_t tag[BATCH_TAG_BYTES];

	buf__add(out, tag, put_tag(tag, field, len));
}

static void add_field(struct buf *out, unsigned int field, struct view bytes)
{
	add_tag(out, field, bytes.len);
	buf__add_view(out, bytes);
}

/* trace.proto: ResourceSpans {resource 1, scope_spans 2, schema_url 3}, ScopeSpans {scope 1, spans 2, schema_url 3}. */

static size_t scope_spans_bytes(const struct batch_group *g)
{
	return field_bytes(blob__view(g->scope).len) + g->spans_bytes + blob__beside(g->scope).len;
}

static size_t resource_spans_bytes(const struct batch_group *g)
{
	return field_bytes(blob__view(g->resource).len) + field_bytes(scope_spans_bytes(g)) +
	       blob__beside(g->resource).len;
}

/* All that stands before the group's first span: behind the last one of the group before. */
static void write_head(struct batch *b)
{
	const struct batch_group *g = &b->groups[b->place.group];
	struct buf *out = &b->head;

	buf__clear(out);
	if (b->place.group) {
		buf__add_view(out, blob__beside(g[-1].scope));
		buf__add_view(out, blob__beside(g[-1].resource));
	}
	if (b->place.group == b->n_groups)
		return;
	add_tag(out, 1, resource_spans_bytes(g));
	add_field(out, 1, blob__view(g->resource));
	add_tag(out, 2, scope_spans_bytes(g));
	add_field(out, 1, blob__view(g->scope));
}

/* The next entry of the group, NULL: that were all. */
static const struct queue_entry *next_entry(const struct batch *b, struct batch_place *at)
{
	if (!at->spans) {
		const struct batch_run *run = at->run == NONE ? NULL : &b->runs[at->run];

		if (!run)
			return NULL;
		at->cursor = run->begin;
		at->spans = run->spans;
		at->run = run->next;
	}
	at->spans--;
	return queue__next(&at->cursor);
}

/* False: there is none. */
static bool next_piece(struct batch *b)
{
	struct batch_place *at = &b->place;

	if (at->next == BATCH_TAG && !at->entry) {
		at->group++;
		at->next = BATCH_HEAD;
	}
	switch (at->next) {
	case BATCH_HEAD:
		if (!b->n_groups || at->group > b->n_groups)
			return false;
		write_head(b);
		at->left = (struct view){ (const char *)b->head.at, b->head.len };
		at->run = at->group < b->n_groups ? b->groups[at->group].first : NONE;
		at->entry = next_entry(b, at);
		at->next = BATCH_TAG;
		break;
	case BATCH_TAG:
		at->left =
			(struct view){ (const char *)b->tag, put_tag(b->tag, 2, at->entry->len) };
		at->next = BATCH_SPAN;
		break;
	case BATCH_SPAN:
		at->left = (struct view){ (const char *)at->entry->bytes, at->entry->len };
		at->entry = next_entry(b, at);
		at->next = BATCH_TAG;
		break;
	}
	return true;
}

int batch__begin(struct batch *batch, const struct queue *q, uint64_t n, size_t *ret_bytes)
{
	size_t bytes = 0, longest = 0, beside = 0;
	int err = group_spans(batch, q, n);

	if (err)
		return err;
	for (size_t i = 0; i < batch->n_groups; i++) {
		const struct batch_group *g = &batch->groups[i];
		size_t blobs = blob__view(g->resource).len + blob__view(g->scope).len;
		size_t around = blob__beside(g->resource).len + blob__beside(g->scope).len;

		beside = around > beside ? around : beside;
		bytes += field_bytes(resource_spans_bytes(g));
		longest = blobs > longest ? blobs : longest;
	}
	buf__clear(&batch->head);
	if (!buf__reserve(&batch->head, longest + beside + 6 * BATCH_TAG_BYTES))
		return batch->head.err;
	batch__rewind(batch);
	*ret_bytes = bytes;
	return 0;
}

/* The next span with its tag, where that is what comes next and fits as a whole: nearly always. */
static size_t read_span(struct batch *b, uint8_t *to, size_t room)
{
	struct batch_place *at = &b->place;
	const struct queue_entry *entry = at->entry;
	size_t tag;

	if (at->left.len || at->next != BATCH_TAG || !entry || room < BATCH_TAG_BYTES ||
	    entry->len > room - BATCH_TAG_BYTES)
		return 0;
	tag = put_tag(to, 2, entry->len);
	memcpy(to + tag, entry->bytes, entry->len);
	at->entry = next_entry(b, at);
	return tag + entry->len;
}

size_t batch__read(struct batch *batch, void *to, size_t room)
{
	struct view *left = &batch->place.left;
	uint8_t *at = to;
	size_t done = 0, n;

	while (done < room) {
		n = read_span(batch, at + done, room - done);
		if (n) {
			done += n;
			continue;
		}
		if (!left->len && !next_piece(batch))
			break;
		n = left->len < room - done ? left->len : room - done;
		memcpy(at + done, left->at, n);
		*left = (struct view){ left->at + n, left->len - n };
		done += n;
	}
	return done;
}

void batch__rewind(struct batch *batch)
{
	batch->place = (struct batch_place){ .next = BATCH_HEAD };
}

static int protobuf_request(struct buf *out, struct batch *batch, const struct queue *q, uint64_t n)
{
	size_t bytes = 0;
	int err = batch__begin(batch, q, n, &bytes);

	if (err)
		return err;
	if (bytes && buf__reserve(out, bytes))
		out->len += batch__read(batch, out->at + out->len, bytes);
	return out->err;
}

/* The last schema_url that stands beside it; none where there is none. */
static void json_schema(struct buf *out, const struct blob *blob)
{
	struct pb pb = pb__of(blob__beside(blob));
	struct view url = { NULL, 0 };
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.number == 3 && f.wire == PB_BYTES)
			url = f.bytes;
	if (!url.len)
		return;
	buf__add_str(out, ",\"schemaUrl\":");
	otlp_json__string(out, url);
}

/* How many spans of the group were written; nothing is appended when it is none. */
static uint64_t json_group(struct buf *out, const struct batch *b, const struct batch_group *g)
{
	struct batch_place at = { .run = g->first };
	const struct queue_entry *e;
	size_t before = out->len;
	uint64_t written = 0;

	buf__add_str(out, "{\"resource\":");
	if (otlp_json__resource(out, blob__view(g->resource)))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"scopeSpans\":[{\"scope\":");
	if (otlp_json__scope(out, blob__view(g->scope)))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"spans\":[");
	while ((e = next_entry(b, &at))) {
		size_t comma = out->len;

		if (written)
			buf__add(out, ",", 1);
		if (!otlp_json__span(out, (struct view){ (const char *)e->bytes, e->len }))
			written++;
		else if (!out->err)
			out->len = comma;
	}
	buf__add_str(out, "]");
	json_schema(out, g->scope);
	buf__add_str(out, "}]");
	json_schema(out, g->resource);
	buf__add_str(out, "}");
	if (!written && !out->err)
		out->len = before;
	return written;
}

static uint64_t json_request(struct buf *out, const struct batch *b)
{
	size_t before = out->len;
	uint64_t written = 0;

	buf__add_str(out, "{\"resourceSpans\":[");
	for (size_t i = 0; i < b->n_groups; i++) {
		size_t comma = out->len;
		uint64_t n;

		if (written)
			buf__add(out, ",", 1);
		n = json_group(out, b, &b->groups[i]);
		if (!n && !out->err)
			out->len = comma;
		written += n;
	}
	buf__add_str(out, "]}");
	if (!written && !out->err)
		out->len = before;
	return written;
}

int batch__encode(struct batch *batch, const struct queue *q, uint64_t n, enum batch_format format,
		  struct buf *out, uint64_t *ret_bad)
{
	int err;

	*ret_bad = 0;
	if (format == BATCH_PROTOBUF)
		return protobuf_request(out, batch, q, n);
	err = group_spans(batch, q, n);
	if (err)
		return err;
	*ret_bad = batch->n_spans - json_request(out, batch);
	return out->err;
}

void batch__free(struct batch *batch)
{
	free(batch->runs);
	free(batch->groups);
	free(batch->table);
	buf__free(&batch->head);
	*batch = (struct batch){ 0 };
}
