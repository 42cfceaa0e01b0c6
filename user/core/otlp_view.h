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

struct pb pb__of(struct view bytes);
/* 1: *ret_field is the next field; 0: the end; -EPROTO: no protobuf (cut, groups, field 0). */
int pb__next(struct pb *pb, struct pb_field *ret_field);

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

#endif
