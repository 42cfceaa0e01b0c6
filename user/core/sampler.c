// SPDX-License-Identifier: Apache-2.0
#include "core/sampler.h"

#include <stdio.h>
#include <string.h>

#include "core/ids.h"

#define RANDOM_BITS 56
#define RANDOM_DIGITS 14
#define MAX_THRESHOLD (1ull << RANDOM_BITS)
#define THRESHOLD_PRECISION                                                                        \
	4 /* hex digits after the leading f's or 0's, as the specification's default */

/* A sub-key of the ot member: `th:…;rv:…`. */
static struct view ot_field(struct view ot, const char *key)
{
	size_t i = 0;

	while (i < ot.len) {
		const char *semi = memchr(ot.at + i, ';', ot.len - i);
		size_t end = semi ? (size_t)(semi - ot.at) : ot.len;

		if (end - i > 3 && !memcmp(ot.at + i, key, 2) && ot.at[i + 2] == ':')
			return (struct view){ ot.at + i + 3, end - i - 3 };
		i = end + 1;
	}
	return (struct view){ NULL, 0 };
}

static bool hex56(struct view v, uint64_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.at[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret = value;
	return true;
}

static uint64_t randomness(const uint8_t trace_id[16], struct view ot)
{
	struct view rv = ot_field(ot, "rv");
	uint64_t value;

	if (rv.len == RANDOM_DIGITS && hex56(rv, &value))
		return value;
	return ids__get64(trace_id + 8) & (MAX_THRESHOLD - 1);
}

/* Rounded to a few digits, so that the header stays short; the exact ratio is not worth 14. */
static uint64_t threshold(double ratio)
{
	uint64_t t = (uint64_t)((1.0 - ratio) * (double)MAX_THRESHOLD + 0.5), unit;
	int shift = RANDOM_BITS - 4 * THRESHOLD_PRECISION;

	/* Each leading f says that the ratio is a sixteenth: it is none of the digits that count. */
	for (; shift > 0 && ratio < 1.0 / 16; ratio *= 16)
		shift -= 4;
	if (shift <= 0 || !t || t >= MAX_THRESHOLD)
		return t;
	unit = 1ull << shift;
	return (t + unit / 2) & ~(unit - 1);
}

/* th without trailing zeros; "0" is everything. */
static size_t write_threshold(char *to, uint64_t t)
{
	char digits[RANDOM_DIGITS + 1];
	size_t n = RANDOM_DIGITS;

	snprintf(digits, sizeof(digits), "%014llx", (unsigned long long)t);
	while (n > 1 && digits[n - 1] == '0')
		n--;
	memcpy(to, digits, n);
	return n;
}

/* The ot member without its th, then the others: `from` may be empty. */
static size_t without_threshold(struct view ot, char *to)
{
	size_t len = 0, i = 0;

	while (i < ot.len) {
		const char *semi = memchr(ot.at + i, ';', ot.len - i);
		size_t end = semi ? (size_t)(semi - ot.at) : ot.len;

		if (end > i && !(end - i > 2 && !memcmp(ot.at + i, "th:", 3))) {
			to[len++] = ';';
			memcpy(to + len, ot.at + i, end - i);
			len += end - i;
		}
		i = end + 1;
	}
	return len;
}

/* ot goes to the front, as a changed member must (W3C 3.5). */
static void put_threshold(struct sampled *ret, struct view state, struct view ot, uint64_t t)
{
	char member[3 + 3 + RANDOM_DIGITS + 1 + TRACESTATE_MAX_BYTES] = "ot=th:";
	char out[TRACESTATE_MAX_BYTES + sizeof(member)];
	size_t n = 6, len;

	n += write_threshold(member + n, t);
	n += without_threshold(ot, member + n);
	memcpy(out, member, n);
	len = n;
	for (size_t i = 0; i < state.len;) {
		const char *comma = memchr(state.at + i, ',', state.len - i);
		size_t end = comma ? (size_t)(comma - state.at) : state.len;

		if (end > i && !(end - i > 3 && !memcmp(state.at + i, "ot=", 3))) {
			out[len++] = ',';
			memcpy(out + len, state.at + i, end - i);
			len += end - i;
		}
		i = end + 1;
	}
	if (len > TRACESTATE_MAX_BYTES)
		return;
	memcpy(ret->tracestate, out, len);
	ret->tracestate_len = (uint16_t)len;
}

/* What the trace that is propagated was sampled by, in 56 bits; false: it does not say. */
static bool read_threshold(struct view ot, uint64_t *ret)
{
	struct view th = ot_field(ot, "th");
	uint64_t t;

	if (!th.len || th.len > RANDOM_DIGITS || !hex56(th, &t))
		return false;
	*ret = t << 4 * (RANDOM_DIGITS - th.len);
	return true;
}

static void keep_state(struct sampled *ret, struct view state)
{
	if (state.len)
		memcpy(ret->tracestate, state.at, state.len);
	ret->tracestate_len = (uint16_t)state.len;
}

/* Sampled by the threshold `before` where that is known. */
static void shed(struct sampled *ret, uint32_t halvings, uint64_t random, struct view state,
		 struct view ot, bool known, uint64_t before)
{
	uint64_t t = MAX_THRESHOLD - (MAX_THRESHOLD >> halvings);

	if (random < t) {
		ret->sampled = false;
		ret->shed = true;
		keep_state(ret, state);
	} else if (known && before < t) {
		put_threshold(ret, state, ot, t);
	}
}

void sampler__decide(const struct engine_config *config, const uint8_t trace_id[16],
		     const struct propagated *parent, struct sampled *ret)
{
	struct view state = { parent ? parent->tracestate : NULL,
			      parent ? parent->tracestate_len : 0 };
	struct view ot = propagate__member(state, VIEW("ot"));
	enum sampler_kind kind = config->sampler;
	uint64_t t = 0;
	bool known = true;

	keep_state(ret, state);
	ret->shed = false;
	if (parent && (kind == SAMPLER_PARENT_ALWAYS_ON || kind == SAMPLER_PARENT_ALWAYS_OFF ||
		       kind == SAMPLER_PARENT_RATIO)) {
		ret->sampled = parent->flags & W3C_SAMPLED;
		known = read_threshold(ot, &t);
		goto out;
	}
	switch (kind) {
	case SAMPLER_ALWAYS_OFF:
	case SAMPLER_PARENT_ALWAYS_OFF:
		ret->sampled = false;
		break;
	case SAMPLER_RATIO:
	case SAMPLER_PARENT_RATIO:
		t = threshold(config->sampler_ratio);
		ret->sampled = config->sampler_ratio > 0 && randomness(trace_id, ot) >= t;
		if (ret->sampled)
			put_threshold(ret, state, ot, t);
		break;
	default:
		ret->sampled = true;
	}
out:
	if (ret->sampled && config->shed.halvings)
		shed(ret, config->shed.halvings, randomness(trace_id, ot), state, ot, known, t);
}
