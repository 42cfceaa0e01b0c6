// SPDX-License-Identifier: Apache-2.0
/*
 * Propagation headers. The input is cut into header fields at newlines; the first byte of each says
 * its name.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/propagate.h"
#include "core/proto/proto.h"
#include "core/sampler.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define FIELDS_MAX 64

/* What comes out can be written as a header again, and is read as the same. */
static void check(const struct propagated *p)
{
	struct view state = { p->tracestate, p->tracestate_len };
	char again[TRACESTATE_MAX_BYTES];
	uint8_t any = 0;

	for (int i = 0; i < 8; i++)
		any |= p->parent_id[i];
	if (!any || p->flags & ~(W3C_SAMPLED | W3C_RANDOM))
		abort();
	if (state.len && (propagate__tracestate(&state, 1, again) != state.len ||
			  memcmp(again, state.at, state.len)))
		abort();
}

static void sample(const struct propagated *p)
{
	struct engine_config config = { .sampler = SAMPLER_RATIO, .sampler_ratio = 0.3 };
	struct sampled first, second;
	struct propagated next = *p;

	sampler__decide(&config, p->trace_id, p, &first);
	if (first.tracestate_len > TRACESTATE_MAX_BYTES)
		abort();
	memcpy(next.tracestate, first.tracestate, first.tracestate_len);
	next.tracestate_len = first.tracestate_len;
	sampler__decide(&config, p->trace_id, &next, &second);
	if (first.sampled != second.sampled)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct header_field fields[FIELDS_MAX];
	struct exchange ex = { .proto = &proto_http1,
			       .fields = { .at = fields, .lengths = ~0ull } };
	struct propagated p;

	while (len && ex.fields.n < FIELDS_MAX) {
		const uint8_t *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) : len;

		if (n) {
			fields[ex.fields.n].name =
				bytes[0] & 1 ? VIEW("traceparent") : VIEW("TraceState");
			fields[ex.fields.n++].value =
				(struct view){ (const char *)bytes + 1, n - 1 };
		}
		bytes += n + (end != NULL);
		len -= n + (end != NULL);
	}
	if (propagate__extract(&ex, &p)) {
		check(&p);
		sample(&p);
	}
	return 0;
}
