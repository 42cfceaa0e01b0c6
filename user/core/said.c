// SPDX-License-Identifier: Apache-2.0
#include "core/said.h"

#include <string.h>

#include "core/otlp.h"

#define SAID_PORT_BYTES 128 /* what the encoder asks for beside an attribute's name */

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
	if (!same_ends(said, &ex->endpoints)) {
		said->family = ex->endpoints.family;
		said->remote_port = ex->endpoints.remote_port;
		memcpy(said->remote, ex->endpoints.remote, sizeof(said->remote));
		for (int i = 0; i < SAID_WHATS; i++)
			said->parts[i].len = 0;
	}
	part = &said->parts[what];
	len = otlp__attributes(part->bytes, sizeof(part->bytes), span, before.n_attributes);
	part->len = set_from(part, from, n) ? (uint16_t)len : 0;
	if (!part->len)
		return;
	span->n_attributes = before.n_attributes;
	span->scratch_used = before.scratch_used;
	span__set_encoded(span, (struct view){ (const char *)part->bytes, part->len });
}

/*
 * Nothing is told of it but what stands in its request's head, its ends, its status and its flags: what TLS
 * agreed on is another connection's.
 */
static bool is_plain(const struct exchange *ex)
{
	return ex->head_again && !ex->error_type && !(ex->flags & EX_CARRIED);
}

static struct said_whole *whole_of(struct said_table *table, const struct exchange *ex)
{
	uint64_t words[2], hash;

	memcpy(words, ex->endpoints.remote, sizeof(words));
	hash = words[0] ^ words[1] * 3 ^ (uint64_t)ex->text.len << 16 ^ ex->status;
	return &table->wholes[(hash * 0x9e3779b97f4a7c15ull) >> 32 & (SAID_MAX - 1)];
}

static bool same_head(const struct said_whole *whole, const struct exchange *ex)
{
	return whole->len && whole->http_status == ex->status && whole->flags == ex->flags &&
	       whole->side == ex->side && whole->head_len == ex->text.len &&
	       whole->family == ex->endpoints.family &&
	       !memcmp(whole->remote, ex->endpoints.remote, sizeof(whole->remote)) &&
	       !memcmp(whole->head, ex->text.at, whole->head_len);
}

const struct said_whole *said__whole(struct said_table *table, const struct exchange *ex)
{
	uint16_t port = ex->endpoints.remote_port;
	struct said_whole *whole;

	if (!is_plain(ex))
		return NULL;
	whole = whole_of(table, ex);
	if (!same_head(whole, ex))
		return NULL;
	if (whole->remote_port != port) {
		if (!whole->port_bytes || otlp__varint_size(port) != whole->port_bytes)
			return NULL;
		otlp__put_varint(whole->content + whole->len - whole->port_bytes, port);
		whole->remote_port = port;
	}
	return whole;
}

/* How many bytes of the port end the content; 0: something else does. */
static uint8_t port_at_end(struct view content, uint16_t port)
{
	uint8_t end[ATTRIBUTE_KEY_BYTES + SAID_PORT_BYTES];
	struct attribute a = { .key = ATTR_NETWORK_PEER_PORT, .type = VALUE_INT, .number = port };
	size_t n = port ? otlp__attribute(end, sizeof(end), &a) : 0;

	if (!n || n > content.len || memcmp(content.at + content.len - n, end, n))
		return 0;
	return (uint8_t)otlp__varint_size(port);
}

void said__keep_whole(struct said_table *table, const struct exchange *ex, struct view content,
		      uint8_t status, uint64_t operation)
{
	struct said_whole *whole;

	if (!is_plain(ex) || ex->text.len > sizeof(whole->head) ||
	    content.len > sizeof(whole->content))
		return;
	whole = whole_of(table, ex);
	whole->head_len = (uint16_t)ex->text.len;
	whole->len = (uint16_t)content.len;
	whole->family = ex->endpoints.family;
	whole->remote_port = ex->endpoints.remote_port;
	memcpy(whole->remote, ex->endpoints.remote, sizeof(whole->remote));
	whole->port_bytes = port_at_end(content, whole->remote_port);
	whole->http_status = ex->status;
	whole->side = (uint8_t)ex->side;
	whole->status = status;
	whole->flags = ex->flags;
	whole->operation = operation;
	memcpy(whole->head, ex->text.at, ex->text.len);
	memcpy(whole->content, content.at, content.len);
}
