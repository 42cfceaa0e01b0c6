// SPDX-License-Identifier: Apache-2.0
#include "ship/export/batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_json.h"
#include "registry.h"

#define NONE UINT32_MAX

struct batch_item {
	const struct queue_entry *entry;
	uint32_t next; /* of the same group, NONE at the end */
};

/* Spans of one resource and scope, in the order of the queue. */
struct batch_group {
	const struct blob *resource, *scope;
	uint32_t first, last;
	size_t spans_bytes; /* of all `spans` fields, with their tags and lengths */
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

/* The group of these blobs, made if there is none. The table has room: twice the items. */
static uint32_t group_of(struct batch *b, const struct queue_entry *entry)
{
	struct batch_group want = { entry->resource, entry->scope, NONE, NONE, 0 };
	size_t mask = b->table_cap - 1;
	size_t slot = hash_of(&want) & mask;

	for (; b->table[slot] != NONE; slot = (slot + 1) & mask) {
		const struct batch_group *g = &b->groups[b->table[slot]];

		if (g->resource == want.resource && g->scope == want.scope)
			return b->table[slot];
	}
	b->groups[b->n_groups] = want;
	b->table[slot] = (uint32_t)b->n_groups;
	return (uint32_t)b->n_groups++;
}

static int group_spans(struct batch *b, const struct queue *q, uint64_t n)
{
	struct queue_cursor cursor = queue__begin(q);
	const struct queue_entry *entry;

	b->n_items = b->n_groups = 0;
	if (n > q->spans)
		n = q->spans;
	if (!n)
		return 0;
	if (n >= NONE / 2 || grow((void **)&b->items, &b->items_cap, n, sizeof(*b->items)) ||
	    grow((void **)&b->groups, &b->groups_cap, n, sizeof(*b->groups)) ||
	    grow((void **)&b->table, &b->table_cap, 2 * n, sizeof(*b->table)))
		return -ENOMEM;
	memset(b->table, 0xff, b->table_cap * sizeof(*b->table));
	while (b->n_items < n && (entry = queue__next(&cursor))) {
		struct batch_group *g = &b->groups[group_of(b, entry)];
		uint32_t i = (uint32_t)b->n_items++;

		b->items[i] = (struct batch_item){ entry, NONE };
		if (g->first == NONE)
			g->first = i;
		else
			b->items[g->last].next = i;
		g->last = i;
		g->spans_bytes += field_bytes(entry->len);
	}
	return 0;
}

static void add_tag(struct buf *out, unsigned int field, size_t len)
{
	uint8_t head[11];
	size_t n = 0;

	head[n++] = (uint8_t)(field << 3 | 2);
	for (; len >= 0x80; len >>= 7)
		head[n++] = (uint8_t)(len | 0x80);
	head[n++] = (uint8_t)len;
	buf__add(out, head, n);
}

static void add_field(struct buf *out, unsigned int field, struct view bytes)
{
	add_tag(out, field, bytes.len);
	buf__add_view(out, bytes);
}

/* trace.proto: ResourceSpans {resource 1, scope_spans 2, schema_url 3}, ScopeSpans {scope 1, spans 2, schema_url 3}. */
static void protobuf_group(struct buf *out, const struct batch *b, const struct batch_group *g)
{
	struct view schema = VIEW(SEMCONV_SCHEMA_URL);
	struct view resource = blob__view(g->resource), scope = blob__view(g->scope);
	size_t scope_spans = field_bytes(scope.len) + g->spans_bytes + field_bytes(schema.len);
	size_t all = field_bytes(resource.len) + field_bytes(scope_spans) + field_bytes(schema.len);

	add_tag(out, 1, all);
	add_field(out, 1, resource);
	add_tag(out, 2, scope_spans);
	add_field(out, 1, scope);
	for (uint32_t i = g->first; i != NONE; i = b->items[i].next) {
		const struct queue_entry *e = b->items[i].entry;

		add_field(out, 2, (struct view){ (const char *)e->bytes, e->len });
	}
	add_field(out, 3, schema);
	add_field(out, 3, schema);
}

/* How many spans of the group were written; nothing is appended when it is none. */
static uint64_t json_group(struct buf *out, const struct batch *b, const struct batch_group *g)
{
	size_t before = out->len;
	uint64_t written = 0;

	buf__add_str(out, "{\"resource\":");
	if (otlp_json__resource(out, blob__view(g->resource)))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"scopeSpans\":[{\"scope\":");
	if (otlp_json__scope(out, blob__view(g->scope)))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"spans\":[");
	for (uint32_t i = g->first; i != NONE; i = b->items[i].next) {
		const struct queue_entry *e = b->items[i].entry;
		size_t comma = out->len;

		if (written)
			buf__add(out, ",", 1);
		if (!otlp_json__span(out, (struct view){ (const char *)e->bytes, e->len }))
			written++;
		else if (!out->err)
			out->len = comma;
	}
	buf__add_str(out, "],\"schemaUrl\":\"" SEMCONV_SCHEMA_URL
			  "\"}],\"schemaUrl\":\"" SEMCONV_SCHEMA_URL "\"}");
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
	int err = group_spans(batch, q, n);

	*ret_bad = 0;
	if (err)
		return err;
	if (format == BATCH_JSON)
		*ret_bad = batch->n_items - json_request(out, batch);
	else
		for (size_t i = 0; i < batch->n_groups; i++)
			protobuf_group(out, batch, &batch->groups[i]);
	return out->err;
}

void batch__free(struct batch *batch)
{
	free(batch->items);
	free(batch->groups);
	free(batch->table);
	*batch = (struct batch){ 0 };
}
