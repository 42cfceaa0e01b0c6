/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf by hand, for tests of readers: right and wrong on purpose. */
#ifndef SONDE_TESTS_PBMAKE_H
#define SONDE_TESTS_PBMAKE_H

#include <stdint.h>
#include <string.h>

#include "base/buf.h"

static inline void pb_varint(struct buf *b, uint64_t v)
{
	uint8_t byte;

	for (; v >= 0x80; v >>= 7) {
		byte = (uint8_t)(v | 0x80);
		buf__add(b, &byte, 1);
	}
	byte = (uint8_t)v;
	buf__add(b, &byte, 1);
}

static inline void pb_number(struct buf *b, unsigned int field, uint64_t v)
{
	pb_varint(b, (uint64_t)field << 3);
	pb_varint(b, v);
}

static inline void pb_fixed64(struct buf *b, unsigned int field, uint64_t v)
{
	pb_varint(b, (uint64_t)field << 3 | 1);
	buf__add(b, &v, 8);
}

static inline void pb_fixed32(struct buf *b, unsigned int field, uint32_t v)
{
	pb_varint(b, (uint64_t)field << 3 | 5);
	buf__add(b, &v, 4);
}

static inline void pb_bytes(struct buf *b, unsigned int field, const void *bytes, size_t len)
{
	pb_varint(b, (uint64_t)field << 3 | 2);
	pb_varint(b, len);
	buf__add(b, bytes, len);
}

static inline void pb_text(struct buf *b, unsigned int field, const char *text)
{
	pb_bytes(b, field, text, strlen(text));
}

/* Takes the message's memory. */
static inline void pb_message(struct buf *b, unsigned int field, struct buf *message)
{
	pb_bytes(b, field, message->at, message->len);
	buf__free(message);
}

static inline void pb_attribute_text(struct buf *b, unsigned int field, const char *key,
				     const char *value)
{
	struct buf pair = { 0 }, any = { 0 };

	pb_text(&any, 1, value);
	pb_text(&pair, 1, key);
	pb_message(&pair, 2, &any);
	pb_message(b, field, &pair);
}

static inline void pb_attribute_int(struct buf *b, unsigned int field, const char *key,
				    int64_t value)
{
	struct buf pair = { 0 }, any = { 0 };

	pb_number(&any, 3, (uint64_t)value);
	pb_text(&pair, 1, key);
	pb_message(&pair, 2, &any);
	pb_message(b, field, &pair);
}

struct pb_span {
	uint8_t trace, id, parent; /* repeated; parent 0: none */
	const char *name, *path, *error_type;
	int kind, status;
	int64_t http_status;
	uint64_t start_ns, end_ns;
};

/* A span as the core encodes them, as far as readers are concerned. */
static inline void pb_span(struct buf *b, struct pb_span s)
{
	uint8_t trace[16], id[8], parent[8];
	struct buf status = { 0 };

	memset(trace, s.trace, 16);
	memset(id, s.id, 8);
	memset(parent, s.parent, 8);
	pb_bytes(b, 1, trace, 16);
	pb_bytes(b, 2, id, 8);
	if (s.parent)
		pb_bytes(b, 4, parent, 8);
	pb_text(b, 5, s.name ? s.name : "GET");
	pb_number(b, 6, (uint64_t)s.kind);
	pb_fixed64(b, 7, s.start_ns);
	pb_fixed64(b, 8, s.end_ns);
	if (s.path) {
		pb_attribute_text(b, 9, "http.request.method", "GET");
		pb_attribute_text(b, 9, "url.path", s.path);
	}
	if (s.http_status)
		pb_attribute_int(b, 9, "http.response.status_code", s.http_status);
	if (s.error_type)
		pb_attribute_text(b, 9, "error.type", s.error_type);
	pb_number(&status, 3, (uint64_t)s.status);
	pb_message(b, 15, &status);
}

static inline void pb_resource(struct buf *b, const char *service)
{
	pb_attribute_text(b, 1, "service.name", service);
}

static inline struct view buf_view(const struct buf *b)
{
	return (struct view){ (const char *)b->at, b->len };
}

#endif
