/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading encoded OTLP messages without copying: a checked protobuf cursor, and views of Span,
 * Resource, InstrumentationScope and their attributes. Bytes are borrowed and may be hostile:
 * every read is checked, nesting is bounded, unknown fields are passed over.
 *
 * Sources: protobuf encoding guide; opentelemetry-proto 1.11, trace/v1/trace.proto,
 * common/v1/common.proto, resource/v1/resource.proto.
 */
#ifndef SONDE_CORE_OTLP_VIEW_H
#define SONDE_CORE_OTLP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* AnyValue inside AnyValue: deeper values are shown as empty. */
#define OTLP_DEPTH_MAX 16

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb {
	const uint8_t *at, *end;
};

struct pb_field {
	uint32_t number;
	uint8_t wire;	   /* enum pb_wire */
	uint64_t value;	   /* PB_VARINT, PB_FIXED64, PB_FIXED32 */
	struct view bytes; /* PB_BYTES */
};

static inline struct pb pb__of(struct view bytes)
{
	const uint8_t *at = (const uint8_t *)bytes.at;

	return (struct pb){ at, bytes.len ? at + bytes.len : at };
}

/* pb__next() of any field. */
int pb__next_any(struct pb *pb, struct pb_field *ret_field);

/* 1: *ret_field is the next field; 0: the end; -EPROTO: no protobuf (cut, groups, field 0). */
static inline int pb__next(struct pb *pb, struct pb_field *ret_field)
{
	const uint8_t *at = pb->at;
	size_t left = (size_t)(pb->end - at);

	/* Nearly all are short bytes under a number below 16: a byte of each, and here there is no call for them. */
	if (left < 2 || (at[0] & 0x87) != PB_BYTES || at[0] < 8 || at[1] > 0x7f || at[1] > left - 2)
		return pb__next_any(pb, ret_field);
	*ret_field = (struct pb_field){ .number = at[0] >> 3,
					.wire = PB_BYTES,
					.bytes = { (const char *)at + 2, at[1] } };
	pb->at = at + 2 + at[1];
	return 1;
}

enum otlp_type {
	OTLP_EMPTY = 0,
	OTLP_STRING,
	OTLP_BOOL,
	OTLP_INT,
	OTLP_DOUBLE,
	OTLP_ARRAY,  /* bytes: ArrayValue */
	OTLP_KVLIST, /* bytes: KeyValueList */
	OTLP_BYTES,
};

struct otlp_value {
	enum otlp_type type;
	struct view bytes; /* STRING (as sent, not checked for UTF-8), BYTES, ARRAY, KVLIST */
	int64_t number;	   /* INT; BOOL: 0 or 1 */
	double real;	   /* DOUBLE */
};

/* An encoded AnyValue. 0 or -EPROTO. */
int otlp_value__read(struct view bytes, struct otlp_value *ret);
/* An encoded KeyValue. 0 or -EPROTO. */
int otlp_pair__read(struct view bytes, struct view *ret_key, struct otlp_value *ret);
/*
 * A KeyValue as every encoder writes one whose value is a text: key, then value, each once, both shorter than 128
 * bytes. False: it may be one all the same.
 */
static inline bool otlp_pair__text(struct view bytes, struct view *ret_key, struct view *ret_text)
{
	const uint8_t *at = (const uint8_t *)bytes.at;
	size_t key, value;

	if (bytes.len < 4 || at[0] != (1 << 3 | PB_BYTES) || at[1] > 0x7f || at[1] > bytes.len - 4)
		return false;
	key = at[1];
	value = bytes.len - 4 - key;
	if (at[2 + key] != (2 << 3 | PB_BYTES) || at[3 + key] != value || value < 2 ||
	    value > 0x7f || at[4 + key] != (1 << 3 | PB_BYTES) || at[5 + key] != value - 2)
		return false;
	*ret_key = (struct view){ bytes.at + 2, key };
	*ret_text = (struct view){ bytes.at + 6 + key, value - 2 };
	return true;
}

/* Field numbers of `attributes` in the messages that have them. */
enum { OTLP_RESOURCE_ATTRIBUTES = 1, OTLP_SCOPE_ATTRIBUTES = 3, OTLP_SPAN_ATTRIBUTES = 9 };

/* Walks the attributes of a message: 1, 0 at the end, -EPROTO. */
struct otlp_attributes {
	struct pb pb;
	uint32_t field;
};
struct otlp_attributes otlp_attributes__of(struct view message, uint32_t field);
int otlp_attributes__next(struct otlp_attributes *it, struct view *ret_key,
			  struct otlp_value *ret_value);
/* The first attribute of that name. False: there is none (or the bytes are broken before it). */
bool otlp_attributes__find(struct view message, uint32_t field, struct view key,
			   struct otlp_value *ret_value);

struct otlp_span_view {
	struct view message; /* the whole encoded Span */
	struct view trace_id, span_id, parent_id, trace_state, name, status_message;
	uint32_t kind, status, flags;
	uint64_t start_ns, end_ns;
	uint32_t dropped_attributes, dropped_events, dropped_links;
	bool events, links; /* it has some */
};
/* 0 or -EPROTO (also for an id of a wrong length; an absent parent is an empty view). */
int otlp_span__read(struct view message, struct otlp_span_view *ret);

/*
 * The same field by field, for whoever looks at all of them anyway: what one says goes into *span. 0 or -EPROTO. With the
 * last field, otlp_span__complete() says whether there was what a span must have.
 */
int otlp_span__read_field(const struct pb_field *f, struct otlp_span_view *span);
static inline bool otlp_span__complete(const struct otlp_span_view *span)
{
	return span->trace_id.len == 16 && span->span_id.len == 8;
}

#endif
