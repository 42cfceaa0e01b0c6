// SPDX-License-Identifier: Apache-2.0
#include "core/propagate.h"

#include <string.h>

#include "core/proto/proto.h"

#define TRACEPARENT_BYTES 55 /* of version 00, and the prefix that later versions keep */
#define TRACESTATE_HEADERS_MAX TRACESTATE_MAX_MEMBERS

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	/* Upper case is not allowed (W3C 3.2.2: HEXDIGLC). */
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* n bytes from 2 * n digits. *ret_zero: all of them are 0. */
static bool hex_bytes(const char *from, size_t n, uint8_t *to, bool *ret_zero)
{
	uint8_t any = 0;

	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(from[2 * i]), low = hex_digit(from[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i] = (uint8_t)(high << 4 | low);
		any |= to[i];
	}
	*ret_zero = !any;
	return true;
}

bool propagate__traceparent(struct view value, struct propagated *ret)
{
	uint8_t version, flags, trace_id[16], parent_id[8];
	bool zero, trace_zero, parent_zero;
	const char *at = value.at;

	if (value.len < TRACEPARENT_BYTES || at[2] != '-' || at[35] != '-' || at[52] != '-')
		return false;
	if (!hex_bytes(at, 1, &version, &zero) || version == 0xff)
		return false;
	/* Version 00 ends here; what a later one appends begins with a dash. */
	if (value.len > TRACEPARENT_BYTES && (version == 0 || at[TRACEPARENT_BYTES] != '-'))
		return false;
	if (!hex_bytes(at + 3, sizeof(trace_id), trace_id, &trace_zero) || trace_zero ||
	    !hex_bytes(at + 36, sizeof(parent_id), parent_id, &parent_zero) || parent_zero ||
	    !hex_bytes(at + 53, 1, &flags, &zero))
		return false;
	memcpy(ret->trace_id, trace_id, sizeof(trace_id));
	memcpy(ret->parent_id, parent_id, sizeof(parent_id));
	ret->flags = flags & (W3C_SAMPLED | W3C_RANDOM);
	ret->tracestate_len = 0;
	return true;
}

static bool extract_w3c(const struct exchange *ex, struct propagated *ret)
{
	struct view values[TRACESTATE_HEADERS_MAX];
	struct propagated found;
	unsigned int n = 0;
	struct view v;

	v = ex->proto->header(ex, VIEW("traceparent"), 0);
	if (!v.len || ex->proto->header(ex, VIEW("traceparent"), 1).at ||
	    !propagate__traceparent(v, &found))
		return false;
	for (; n < TRACESTATE_HEADERS_MAX; n++) {
		values[n] = ex->proto->header(ex, VIEW("tracestate"), n);
		if (!values[n].at)
			break;
	}
	if (n == TRACESTATE_HEADERS_MAX && ex->proto->header(ex, VIEW("tracestate"), n).at)
		n = 0;
	found.tracestate_len = (uint16_t)propagate__tracestate(values, n, found.tracestate);
	memcpy(ret, &found, offsetof(struct propagated, tracestate));
	memcpy(ret->tracestate, found.tracestate, found.tracestate_len);
	return true;
}

/* In the order in which they are asked. */
static const struct extractor extractors[] = {
	{ "tracecontext", extract_w3c },
};

bool propagate__extract(const struct exchange *ex, struct propagated *ret)
{
	if (!ex->proto->header)
		return false;
	for (size_t i = 0; i < sizeof(extractors) / sizeof(extractors[0]); i++)
		if (extractors[i].extract(ex, ret))
			return true;
	return false;
}
