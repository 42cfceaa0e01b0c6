// SPDX-License-Identifier: Apache-2.0
#include "core/said.h"

#include <string.h>

#include "core/otlp.h"

static struct said *said_of(struct said_table *table, const struct exchange *ex)
{
	/* Fibonacci hashing: the low bits of an id are a counter. */
	return &table->at[(ex->turn.conn * 0x9e3779b97f4a7c15ull) >> 32 & (SAID_MAX - 1)];
}

static bool same_ends(const struct said *said, const struct endpoints *ends)
{
	return said->remote_port == ends->remote_port && said->family == ends->family &&
	       !memcmp(said->remote, ends->remote, sizeof(said->remote));
}

/* What was said of others goes. */
static void set_ends(struct said *said, const struct endpoints *ends)
{
	if (same_ends(said, ends))
		return;
	said->family = ends->family;
	said->remote_port = ends->remote_port;
	memcpy(said->remote, ends->remote, sizeof(said->remote));
	for (int i = 0; i < SAID_WHATS; i++)
		said->parts[i].len = 0;
	said->whole.len = 0;
}

static bool same_from(const struct said_part *part, const struct view *from, unsigned int n)
{
	const char *at = part->from, *end = at + part->from_len;

	/* Lengths stand before the texts: no two lists have the same bytes. */
	for (unsigned int i = 0; i < n; i++) {
		if (end - at < 1 || (uint8_t)*at++ != from[i].len ||
		    (from[i].len && memcmp(at, from[i].at, from[i].len)))
			return false;
		at += from[i].len;
	}
	return at == end;
}

static bool set_from(struct said_part *part, const struct view *from, unsigned int n)
{
	char *at = part->from, *end = at + sizeof(part->from);

	for (unsigned int i = 0; i < n; i++) {
		if (from[i].len > UINT8_MAX || (size_t)(end - at) < from[i].len + 1)
			return false;
		*at++ = (char)from[i].len;
		if (from[i].len)
			memcpy(at, from[i].at, from[i].len);
		at += from[i].len;
	}
	part->from_len = (uint16_t)(at - part->from);
	return true;
}

bool said__again(struct span *span, const struct exchange *ex, enum said_what what,
		 const struct view *from, unsigned int n)
{
	struct said *said;
	struct said_part *part;

	if (!span->said)
		return false;
	said = said_of(span->said, ex);
	part = &said->parts[what];
	if (!part->len || !same_ends(said, &ex->endpoints) || !same_from(part, from, n))
		return false;
	span__set_encoded(span, (struct view){ (const char *)part->bytes, part->len });
	return true;
}

void said__keep(struct span *span, const struct exchange *ex, enum said_what what,
		const struct view *from, unsigned int n, struct span_mark before)
{
	struct said_part *part;
	struct said *said;
	size_t len;

	if (!span->said || before.n_attributes >= span->n_attributes || span->dropped_attributes)
		return;
	said = said_of(span->said, ex);
	set_ends(said, &ex->endpoints);
	part = &said->parts[what];
	len = otlp__attributes(part->bytes, sizeof(part->bytes), span, before.n_attributes);
	part->len = set_from(part, from, n) ? (uint16_t)len : 0;
	if (!part->len)
		return;
	span->n_attributes = before.n_attributes;
	span->scratch_used = before.scratch_used;
	span__set_encoded(span, (struct view){ (const char *)part->bytes, part->len });
}

/* Nothing is told of it but what stands in its request's head, its ends, its status and its flags. */
static bool is_plain(const struct exchange *ex)
{
	return ex->head_again && !ex->error_type;
}

const struct said_whole *said__whole(struct said_table *table, const struct exchange *ex)
{
	const struct said *said = said_of(table, ex);
	const struct said_whole *whole = &said->whole;

	if (!is_plain(ex) || !whole->len || whole->http_status != ex->status ||
	    whole->flags != ex->flags || whole->side != ex->side ||
	    whole->head_len != ex->text.len || !same_ends(said, &ex->endpoints) ||
	    memcmp(whole->head, ex->text.at, whole->head_len))
		return NULL;
	return whole;
}

void said__keep_whole(struct said_table *table, const struct exchange *ex, struct view content,
		      uint8_t status, uint64_t operation)
{
	struct said *said = said_of(table, ex);
	struct said_whole *whole = &said->whole;

	if (!is_plain(ex) || ex->text.len > sizeof(whole->head) ||
	    content.len > sizeof(whole->content))
		return;
	set_ends(said, &ex->endpoints);
	whole->head_len = (uint16_t)ex->text.len;
	whole->len = (uint16_t)content.len;
	whole->http_status = ex->status;
	whole->side = (uint8_t)ex->side;
	whole->status = status;
	whole->flags = ex->flags;
	whole->operation = operation;
	memcpy(whole->head, ex->text.at, ex->text.len);
	memcpy(whole->content, content.at, content.len);
}
