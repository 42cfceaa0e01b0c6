// SPDX-License-Identifier: Apache-2.0
#include "serve/value.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"

#define SORTED_MAX 4096

static void add_value(struct buf *out, const struct otlp_value *value, int depth);

static void add_array(struct buf *out, struct view message, int depth)
{
	struct pb pb = pb__of(message);
	struct otlp_value value;
	struct pb_field f;
	bool first = true;

	buf__add(out, "[", 1);
	while (pb__next(&pb, &f) > 0) {
		if (f.number != 1 || f.wire != PB_BYTES || otlp_value__read(f.bytes, &value))
			continue;
		buf__add(out, ",", !first);
		first = false;
		add_value(out, &value, depth + 1);
	}
	buf__add(out, "]", 1);
}

struct pair {
	struct view key;
	struct otlp_value value;
	size_t at; /* as it was sent */
};

static int by_key(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;
	size_t least = x->key.len < y->key.len ? x->key.len : y->key.len;
	int ret = least ? memcmp(x->key.at, y->key.at, least) : 0;

	if (!ret && x->key.len != y->key.len)
		return x->key.len < y->key.len ? -1 : 1;
	return ret ? ret : x->at < y->at ? -1 : 1;
}

static void add_pair(struct buf *out, const struct pair *pair, bool first, int depth)
{
	buf__add(out, ",", !first);
	otlp_json__string(out, pair->key);
	buf__add(out, ":", 1);
	add_value(out, &pair->value, depth + 1);
}

/* Of a key that is there twice, the last one. */
static void add_sorted(struct buf *out, struct view message, size_t n, int depth)
{
	struct otlp_attributes it = otlp_attributes__of(message, 1);
	struct pair *pairs = calloc(n, sizeof(*pairs));
	bool first = true;

	if (!pairs) {
		out->err = out->err ? out->err : -ENOMEM;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		otlp_attributes__next(&it, &pairs[i].key, &pairs[i].value);
		pairs[i].at = i;
	}
	qsort(pairs, n, sizeof(*pairs), by_key);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 < n && view_eq(pairs[i].key, pairs[i + 1].key))
			continue;
		add_pair(out, &pairs[i], first, depth);
		first = false;
	}
	free(pairs);
}

/* A list that is longer than anybody's is not sorted: a few bytes of it would take a hundred. */
static void add_list(struct buf *out, struct view message, int depth)
{
	struct otlp_attributes it = otlp_attributes__of(message, 1);
	struct pair pair;
	size_t n = 0;

	while (n <= SORTED_MAX && otlp_attributes__next(&it, &pair.key, &pair.value) > 0)
		n++;
	buf__add(out, "{", 1);
	if (n > SORTED_MAX) {
		it = otlp_attributes__of(message, 1);
		for (n = 0; otlp_attributes__next(&it, &pair.key, &pair.value) > 0; n++)
			add_pair(out, &pair, !n, depth);
	} else if (n) {
		add_sorted(out, message, n, depth);
	}
	buf__add(out, "}", 1);
}

/* ECMA-262, Number::toString: the fewest digits that are read as the same number. */
static void add_double(struct buf *out, double d)
{
	char text[400], *e;
	int precision = 0;
	double size = fabs(d);

	if (!isfinite(d)) {
		otlp_json__double(out, d);
		return;
	}
	do
		snprintf(text, sizeof(text), "%.*e", precision, d);
	while (strtod(text, NULL) != d && ++precision < 17);
	e = strchr(text, 'e');
	if (size != 0 && (size < 1e-6 || size >= 1e21)) {
		/* e-09 is written e-9. */
		if (e[2] == '0')
			memmove(e + 2, e + 3, strlen(e + 2));
	} else {
		precision -= (int)strtol(e + 1, NULL, 10);
		snprintf(text, sizeof(text), "%.*f", precision > 0 ? precision : 0, d);
	}
	buf__add_str(out, text);
}

static void add_value(struct buf *out, const struct otlp_value *value, int depth)
{
	if (depth > OTLP_DEPTH_MAX) {
		buf__add_str(out, "null");
		return;
	}
	switch (value->type) {
	case OTLP_STRING:
		otlp_json__string(out, value->bytes);
		break;
	case OTLP_BOOL:
		buf__add_str(out, value->number ? "true" : "false");
		break;
	case OTLP_INT:
		buf__printf(out, "%" PRId64, value->number);
		break;
	case OTLP_DOUBLE:
		add_double(out, value->real);
		break;
	case OTLP_ARRAY:
		add_array(out, value->bytes, depth);
		break;
	case OTLP_KVLIST:
		add_list(out, value->bytes, depth);
		break;
	case OTLP_BYTES:
		otlp_json__base64(out, value->bytes);
		break;
	default:
		buf__add_str(out, "null");
	}
}

void json__value(struct buf *out, const struct otlp_value *value)
{
	add_value(out, value, 0);
}

static void add_escaped(struct buf *out, struct view json)
{
	const char *end = json.at + json.len;

	for (const char *at = json.at; at < end; at++) {
		if (*at == '<' || *at == '>' || *at == '&') {
			buf__printf(out, "\\u%04x", (unsigned int)*at);
		} else if (end - at > 2 && !memcmp(at, "\xe2\x80", 2) &&
			   (at[2] == '\xa8' || at[2] == '\xa9')) {
			/* Line and paragraph separators. */
			buf__add_str(out, at[2] == '\xa8' ? "\\u2028" : "\\u2029");
			at += 2;
		} else {
			buf__add(out, at, 1);
		}
	}
}

void json__value_text(struct buf *out, const struct otlp_value *value)
{
	struct buf json = { 0 };

	if (value->type == OTLP_STRING) {
		buf__add_view(out, value->bytes);
	} else if (value->type == OTLP_ARRAY || value->type == OTLP_KVLIST) {
		add_value(&json, value, 0);
		add_escaped(out, (struct view){ (const char *)json.at, json.len });
		out->err = out->err ? out->err : json.err;
		buf__free(&json);
	} else if (value->type != OTLP_EMPTY) {
		add_value(out, value, 0);
	}
}

bool span_event__next(struct pb *span, struct span_event *ret)
{
	struct pb_field f;

	while (pb__next(span, &f) > 0) {
		struct pb event;

		if (f.number != 11 || f.wire != PB_BYTES)
			continue;
		*ret = (struct span_event){ .name = { "", 0 }, .message = f.bytes };
		event = pb__of(f.bytes);
		while (pb__next(&event, &f) > 0) {
			if (f.number == 1 && f.wire == PB_FIXED64)
				ret->time_ns = f.value;
			else if (f.number == 2 && f.wire == PB_BYTES)
				ret->name = f.bytes;
		}
		return true;
	}
	return false;
}

bool span_link__next(struct pb *span, struct span_link *ret)
{
	struct pb_field f;

	while (pb__next(span, &f) > 0) {
		struct pb link;

		if (f.number != 13 || f.wire != PB_BYTES)
			continue;
		*ret = (struct span_link){ { "", 0 }, { "", 0 }, { "", 0 }, f.bytes };
		link = pb__of(f.bytes);
		while (pb__next(&link, &f) > 0) {
			if (f.wire != PB_BYTES)
				continue;
			if (f.number == 1)
				ret->trace_id = f.bytes;
			else if (f.number == 2)
				ret->span_id = f.bytes;
			else if (f.number == 3)
				ret->trace_state = f.bytes;
		}
		return true;
	}
	return false;
}
