/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Propagation headers: what a request says about the trace that it belongs to.
 *
 * W3C Trace Context (https://www.w3.org/TR/trace-context-2/): a traceparent that breaks any rule is
 * as if it were not there, and then tracestate is not read. A traceparent that is there twice is
 * broken. tracestate headers combine in order; one bad member, a key that is there twice or more
 * than 32 members discard the tracestate alone.
 */
#ifndef SONDE_CORE_PROPAGATE_H
#define SONDE_CORE_PROPAGATE_H

#include "core/exchange.h"

/* Members beyond this are dropped whole, from the right, long ones first (W3C 3.3.1.5). */
#define TRACESTATE_MAX_BYTES 512
#define TRACESTATE_MAX_MEMBERS 32

enum { W3C_SAMPLED = 1, W3C_RANDOM = 2 };

struct propagated {
	uint8_t trace_id[16], parent_id[8];
	uint8_t flags; /* W3C_* and nothing else */
	uint16_t tracestate_len;
	char tracestate[TRACESTATE_MAX_BYTES];
};

/* One format. Returns false and leaves *ret alone where it is absent or broken. */
struct extractor {
	const char *name;
	bool (*extract)(const struct exchange *ex, struct propagated *ret);
};

/* The first format of the table that says something. */
bool propagate__extract(const struct exchange *ex, struct propagated *ret);

/* One traceparent value; tracestate is left empty. */
bool propagate__traceparent(struct view value, struct propagated *ret);

/*
 * Joins the values of tracestate headers, in order. `to` has TRACESTATE_MAX_BYTES. Returns the
 * length, 0 where there is nothing or something is broken.
 */
size_t propagate__tracestate(const struct view *values, unsigned int n, char *to);

/* The value of one member of a valid tracestate; at == NULL: not there. */
struct view propagate__member(struct view tracestate, struct view key);

#endif
