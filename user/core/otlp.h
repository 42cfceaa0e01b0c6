/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The OTLP messages that go into frames: Span, Resource, InstrumentationScope, in protobuf
 * (opentelemetry-proto 1.11: trace/v1/trace.proto, resource/v1, common/v1). Nothing is allocated
 * but what `out` grows by, and that is kept and used again.
 *
 * A span is encoded in parts, as its place in the trace may be settled long after what happened:
 * place, content, attributes of the link, flags. The parts are concatenated.
 */
#ifndef SONDE_CORE_OTLP_H
#define SONDE_CORE_OTLP_H

#include "core/span.h"

/* Span.flags beside the W3C byte (SpanFlags in trace.proto). */
#define OTLP_FLAG_HAS_IS_REMOTE 0x100u
#define OTLP_FLAG_IS_REMOTE 0x200u

struct otlp_place {
	uint8_t trace_id[16], span_id[8], parent_id[8]; /* parent all zero: none */
	struct view trace_state;
};

/* What a place and flags may come to, beside the trace state. */
#define OTLP_AROUND_MAX_BYTES 160

/* Writes trace_id, span_id, trace_state, parent_span_id at `at`; returns where to go on. */
uint8_t *otlp__place(uint8_t *at, const struct otlp_place *place);
/* Appends name, kind, times (ns since the epoch), attributes, status. */
void otlp__content(struct buf *out, const struct span *span, uint64_t start_ns, uint64_t end_ns);

/* Gives what otlp__content() has written other times. */
void otlp__set_times(uint8_t *content, uint64_t start_ns, uint64_t end_ns);

/*
 * Writes the registry's attributes of span from number `first` on, as fields of a Span, into `size`
 * bytes at `to`. Returns their length; 0: they may not fit.
 */
size_t otlp__attributes(uint8_t *to, size_t size, const struct span *span, unsigned int first);

/*
 * The same of one attribute of the registry. And what a number comes to: its bytes, which
 * otlp__put_varint() writes.
 */
size_t otlp__attribute(uint8_t *to, size_t size, const struct attribute *a);
size_t otlp__varint_size(uint64_t value);
void otlp__put_varint(uint8_t *to, uint64_t value);

/* Writes flags (the W3C byte and OTLP_FLAG_*) at `at`; returns where to go on. */
uint8_t *otlp__flags(uint8_t *at, uint32_t flags);

/* Appends one attribute as the field `attributes` of a Span. */
void otlp__span_string(struct buf *out, enum attribute_key key, struct view value);
void otlp__span_int(struct buf *out, enum attribute_key key, int64_t value);
void otlp__span_bool(struct buf *out, enum attribute_key key, bool value);

/* Appends a link to a span of another trace, with one attribute. */
void otlp__span_link(struct buf *out, const uint8_t trace_id[16], const uint8_t span_id[8],
		     enum attribute_key key, struct view value);

/* Appends one attribute as the field `attributes` of a Resource. */
void otlp__resource_string(struct buf *out, struct view key, struct view value);
void otlp__resource_int(struct buf *out, struct view key, int64_t value);

/* Appends an InstrumentationScope. */
void otlp__scope(struct buf *out, struct view name, struct view version);

#endif
