/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of spans as the APIs of others write them. Bytes may be hostile; all that is written is JSON. */
#ifndef SONDE_SERVE_VALUE_H
#define SONDE_SERVE_VALUE_H

#include "core/otlp_view.h"

/* A value as plain JSON: "text", 5, true, ["a"], {"k":1}; bytes in base64. */
void json__value(struct buf *out, const struct otlp_value *value);
/*
 * The same as text, as Go's clients make it of a value (pdata, Value.AsString): a string as it is, others as
 * compact JSON with sorted keys, no digit more than a number needs, and <, >, & of strings as \u003c.
 */
void json__value_text(struct buf *out, const struct otlp_value *value);

/* An event of a span (opentelemetry-proto, Span.Event); its attributes are field 3 of message. */
struct span_event {
	uint64_t time_ns;
	struct view name, message;
};

/* The next one of an encoded span; views borrow its bytes. False: there is none, or the rest is broken. */
bool span_event__next(struct pb *span, struct span_event *ret);

/* A link of a span (Span.Link); its attributes are field 4 of message. */
struct span_link {
	struct view trace_id, span_id, trace_state, message;
};

/* As span_event__next(). */
bool span_link__next(struct pb *span, struct span_link *ret);

#endif
