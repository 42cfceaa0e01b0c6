/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program's own trace exports say: the ids, kinds and times of the spans in them. OTLP over
 * HTTP (protobuf and JSON) and Zipkin v2 JSON, plain or compressed by gzip or deflate. Bytes are
 * hostile and may end early: what can be read is read.
 */
#ifndef SONDE_CORE_SDK_H
#define SONDE_CORE_SDK_H

#include "core/exchange.h"

/* An inflated body is read up to here. */
#define SDK_INFLATED_MAX_BYTES (1u << 20)
/* Nesting of JSON. */
#define SDK_JSON_DEPTH_MAX 32

enum sdk_format {
	SDK_NONE, /* not a trace export, or one in a format that is not read */
	SDK_OTLP_PROTOBUF,
	SDK_OTLP_JSON,
	SDK_ZIPKIN_JSON,
};

struct sdk_span {
	uint8_t trace_id[16];
	uint64_t span_id, parent_id; /* parent 0: none */
	uint8_t kind;		     /* OTLP SpanKind; 0: not said */
	uint16_t peer_port;	     /* of the connection, as the program saw it; 0: not said */
	uint64_t start_ns, end_ns;   /* since the epoch */
};

typedef void sdk_span_fn(void *arg, const struct sdk_span *span);

/* By path and Content-Type (opentelemetry-proto docs/specification.md; zipkin.io/zipkin-api). */
enum sdk_format sdk__format(const struct exchange *ex);

/*
 * The whole body is there, in a format and an encoding that sdk__decode() reads. Where it is not,
 * some of its spans stay unknown.
 */
bool sdk__readable(const struct exchange *ex);

/* Calls fn for every whole span of the exchange's body. Returns how many. */
unsigned int sdk__decode(const struct exchange *ex, sdk_span_fn *fn, void *arg);

/* Is it the name of an attribute with the port at the other end of the connection? */
bool sdk__is_peer_port(struct view key);
/* Digits to a port; 0: it is none. */
uint16_t sdk__port(struct view digits);

/* The decoders, on a body that is not compressed. */
unsigned int sdk__decode_protobuf(struct view body, sdk_span_fn *fn, void *arg);
unsigned int sdk__decode_json(struct view body, sdk_span_fn *fn, void *arg);

#endif
