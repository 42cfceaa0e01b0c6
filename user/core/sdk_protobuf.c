// SPDX-License-Identifier: Apache-2.0
/*
 * ExportTraceServiceRequest (opentelemetry-proto collector/trace/v1/trace_service.proto). Unlike
 * otlp_view.h, a message that is cut off is read as far as it goes: bodies are captured to a bound.
 */
#include "core/sdk.h"

#include <string.h>

enum {
	REQUEST_RESOURCE_SPANS = 1,
	RESOURCE_SCOPE_SPANS = 2,
	SCOPE_SPANS = 2,
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_PARENT_ID = 4,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_ATTRIBUTES = 9,
	PAIR_KEY = 1,
	PAIR_VALUE = 2,
	ANY_STRING = 1,
	ANY_INT = 3,
};

struct cursor {
	const uint8_t *at, *end;
};

struct field {
	uint32_t number, wire;
	uint64_t value;
	struct cursor bytes;
	bool cut; /* bytes go on beyond the end */
};

static bool read_varint(struct cursor *c, uint64_t *ret)
{
	uint64_t value = 0;

	for (int shift = 0; shift < 64; shift += 7) {
		if (c->at == c->end)
			return false;
		value |= (uint64_t)(*c->at & 0x7f) << shift;
		if (!(*c->at++ & 0x80)) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool read_fixed(struct cursor *c, size_t n, uint64_t *ret)
{
	uint64_t value = 0;

	if ((size_t)(c->end - c->at) < n)
		return false;
	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)c->at[i] << (8 * i);
	c->at += n;
	*ret = value;
	return true;
}

static bool next_field(struct cursor *c, struct field *ret)
{
	uint64_t tag, len;

	if (!read_varint(c, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX)
		return false;
	*ret = (struct field){ .number = (uint32_t)(tag >> 3), .wire = tag & 7 };
	switch (ret->wire) {
	case 0:
		return read_varint(c, &ret->value);
	case 1:
		return read_fixed(c, 8, &ret->value);
	case 5:
		return read_fixed(c, 4, &ret->value);
	case 2:
		if (!read_varint(c, &len))
			return false;
		ret->cut = len > (uint64_t)(c->end - c->at);
		if (ret->cut)
			len = (uint64_t)(c->end - c->at);
		ret->bytes = (struct cursor){ c->at, c->at + len };
		c->at += len;
		return true;
	}
	return false;
}

static uint64_t id_of(struct cursor bytes)
{
	uint64_t id = 0;

	if (bytes.end - bytes.at != 8)
		return 0;
	for (int i = 0; i < 8; i++)
		id = id << 8 | bytes.at[i];
	return id;
}

static struct view text_of(struct cursor bytes)
{
	return (struct view){ (const char *)bytes.at, (size_t)(bytes.end - bytes.at) };
}

/* 0: the pair is no peer's port. */
static uint16_t peer_port(struct cursor pair)
{
	struct cursor value = { NULL, NULL };
	struct field f;
	bool is = false;

	while (next_field(&pair, &f)) {
		if (f.number == PAIR_KEY && f.wire == 2)
			is = sdk__is_peer_port(text_of(f.bytes));
		else if (f.number == PAIR_VALUE && f.wire == 2)
			value = f.bytes;
	}
	while (is && next_field(&value, &f)) {
		if (f.number == ANY_INT && f.wire == 0)
			return f.value <= UINT16_MAX ? (uint16_t)f.value : 0;
		if (f.number == ANY_STRING && f.wire == 2)
			return sdk__port(text_of(f.bytes));
	}
	return 0;
}

static bool read_span(struct cursor c, struct sdk_span *ret)
{
	struct field f;
	bool trace = false;

	*ret = (struct sdk_span){ .kind = 0 };
	while (next_field(&c, &f)) {
		if (f.number == SPAN_TRACE_ID && f.wire == 2 && f.bytes.end - f.bytes.at == 16) {
			memcpy(ret->trace_id, f.bytes.at, 16);
			trace = true;
		} else if (f.number == SPAN_SPAN_ID && f.wire == 2) {
			ret->span_id = id_of(f.bytes);
		} else if (f.number == SPAN_PARENT_ID && f.wire == 2) {
			ret->parent_id = id_of(f.bytes);
		} else if (f.number == SPAN_KIND && f.wire == 0) {
			ret->kind = f.value <= 5 ? (uint8_t)f.value : 0;
		} else if (f.number == SPAN_START && f.wire == 1) {
			ret->start_ns = f.value;
		} else if (f.number == SPAN_END && f.wire == 1) {
			ret->end_ns = f.value;
		} else if (f.number == SPAN_ATTRIBUTES && f.wire == 2 && !ret->peer_port) {
			ret->peer_port = peer_port(f.bytes);
		}
	}
	return trace && ret->span_id && c.at == c.end;
}

unsigned int sdk__decode_protobuf(struct view body, sdk_span_fn *fn, void *arg)
{
	struct cursor request = { (const uint8_t *)body.at, (const uint8_t *)body.at + body.len };
	struct field resource, scope, span;
	struct sdk_span found;
	unsigned int n = 0;

	while (next_field(&request, &resource)) {
		if (resource.number != REQUEST_RESOURCE_SPANS || resource.wire != 2)
			continue;
		while (next_field(&resource.bytes, &scope)) {
			if (scope.number != RESOURCE_SCOPE_SPANS || scope.wire != 2)
				continue;
			while (next_field(&scope.bytes, &span)) {
				if (span.number != SCOPE_SPANS || span.wire != 2 || span.cut ||
				    !read_span(span.bytes, &found))
					continue;
				fn(arg, &found);
				n++;
			}
		}
	}
	return n;
}
