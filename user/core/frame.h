/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam between trace and ship: a stream of small frames, little-endian. Span bytes are
 * encoded once; export requests are made by concatenating them under resource and scope headers.
 */
#ifndef SONDE_CORE_FRAME_H
#define SONDE_CORE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define FRAME_VERSION 1
#define FRAME_MAX_BYTES (1u << 20)

enum frame_type {
	FRAME_RESOURCE = 1, /* u32 n, u32 revision, then the encoded OTLP Resource message */
	FRAME_SCOPE = 2,    /* u32 n, then the encoded OTLP InstrumentationScope message */
	FRAME_SPAN =
		3, /* struct frame_span, then the encoded OTLP Span message (none if unsampled) */
	/*
	 * What stands beside the next RESOURCE or SCOPE in the message around it (ResourceSpans, ScopeSpans): encoded fields,
	 * schema_url and those that are not known. Without it, the schema is sonde's own.
	 */
	FRAME_BESIDE = 4,
};

struct frame_header {
	uint32_t length; /* of the body, this header not included */
	uint8_t type, version;
	uint16_t zero;
};

struct frame_span {
	uint8_t trace_id[16], span_id[8], parent_id[8]; /* parent all zero: none */
	uint64_t start_ns;				/* since the epoch */
	uint64_t duration_ns;
	uint64_t operation;  /* hash of service, kind and name */
	uint32_t resource;   /* n of the RESOURCE frame */
	uint32_t scope;	     /* n of the SCOPE frame */
	uint8_t kind;	     /* OTLP: 2 server, 3 client */
	uint8_t status;	     /* OTLP: 0 unset, 2 error */
	uint8_t flags;	     /* W3C trace flags */
	uint8_t sampled;     /* 0: header only */
	uint8_t link_method; /* registry: enum link_method */
	uint8_t confidence;  /* percent */
	uint8_t pad[2];
};

/*
 * A frame whose body is appended to out in between: frame__begin() returns where it starts, which
 * frame__end() takes. Bodies that are too long make an error of out, -EMSGSIZE.
 */
size_t frame__begin(struct buf *out, enum frame_type type);
void frame__end(struct buf *out, size_t start);

/* Appends a whole frame to out: header, then head and tail (either may be empty). */
void frame__add(struct buf *out, enum frame_type type, const void *head, size_t head_len,
		const void *tail, size_t tail_len);

/*
 * Looks for one whole frame at the start of bytes. Returns its whole length (header included),
 * 0 when more bytes are needed, -EPROTO when this cannot be a frame (wrong version, too long,
 * non-zero zero). *ret_body points into bytes.
 */
long frame__next(const void *bytes, size_t len, struct frame_header *ret_header,
		 const uint8_t **ret_body);

#endif
