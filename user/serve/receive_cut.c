// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_cut.h"

#include <errno.h>

#include "base/siphash.h"
#include "core/frame.h"
#include "core/otlp_view.h"

/*
 * Numbers of resources, and of scopes: what is in use at a time is far less, and whoever sends others each time
 * makes ship remember no more. A number is defined anew before each use.
 */
#define NUMBERS 256
/* Values in values. What is deeper, some decoders refuse. */
#define DEPTH_MAX 32

enum verdict { GOOD = 0, BAD_ID, BROKEN, TOO_LARGE };

struct cut {
	struct buf *out;
	struct receive_counts counts;
	uint32_t resource, scope;
	enum verdict resource_verdict, scope_verdict;
	struct view service;
	struct buf beside;
	struct buf resource_bytes, scope_bytes; /* of those that came in several pieces */
};

/* No byte of it has its high bit set. Eight at once, the last eight over bytes of those before. */
static inline bool is_ascii(const char *at, size_t len)
{
	const uint64_t high = 0x8080808080808080ull;
	const char *last;
	uint64_t word, all = 0;

	if (len < 8) {
		while (len--)
			all |= (uint8_t)at[len];
		return !(all & 0x80);
	}
	for (last = at + len - 8; at < last; at += 8) {
		memcpy(&word, at, sizeof(word));
		all |= word;
	}
	memcpy(&word, last, sizeof(word));
	return !((all | word) & high);
}

/* RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF. */
static bool is_utf8_beyond_ascii(struct view text)
{
	const uint8_t *at = (const uint8_t *)text.at, *end = at + text.len;

	while (at < end) {
		uint8_t first = *at++;
		unsigned int more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;

		if (!more)
			continue;
		if (first < 0xc2 || first > 0xf4 || (size_t)(end - at) < more)
			return false;
		if ((first == 0xe0 && *at < 0xa0) || (first == 0xed && *at > 0x9f) ||
		    (first == 0xf0 && *at < 0x90) || (first == 0xf4 && *at > 0x8f))
			return false;
		for (; more; more--)
			if ((*at++ & 0xc0) != 0x80)
				return false;
	}
	return true;
}

static inline bool is_utf8(struct view text)
{
	return is_ascii(text.at, text.len) || is_utf8_beyond_ascii(text);
}

static bool good_value(struct view bytes, unsigned int depth);

static bool good_any_pair(struct view bytes, unsigned int depth)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		if ((f.number == 1 && !is_utf8(f.bytes)) ||
		    (f.number == 2 && !good_value(f.bytes, depth)))
			return false;
	}
	return !more;
}

/* A key and a text, both ASCII, is what nearly all are, and then nothing else has to be looked at. */
static inline bool good_pair(struct view bytes, unsigned int depth)
{
	struct view key, text;

	return (otlp_pair__text(bytes, &key, &text) && is_ascii(bytes.at, bytes.len)) ||
	       good_any_pair(bytes, depth);
}

/* ArrayValue and KeyValueList: field 1, many times. */
static bool good_list(struct view bytes, bool pairs, unsigned int depth)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0)
		if (f.number == 1 && f.wire == PB_BYTES &&
		    !(pairs ? good_pair(f.bytes, depth) : good_value(f.bytes, depth)))
			return false;
	return !more;
}

static bool good_value(struct view bytes, unsigned int depth)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	if (depth > DEPTH_MAX)
		return false;
	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		if ((f.number == 1 && !is_utf8(f.bytes)) ||
		    ((f.number == 5 || f.number == 6) &&
		     !good_list(f.bytes, f.number == 6, depth + 1)))
			return false;
	}
	return !more;
}

/* A message whose strings and attributes have these numbers; 0: it has none. Resource, scope, event, status. */
static bool good_message(struct view bytes, uint64_t strings, uint32_t attributes)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		if ((f.number < 64 && strings >> f.number & 1 && !is_utf8(f.bytes)) ||
		    (f.number == attributes && !good_pair(f.bytes, 0)))
			return false;
	}
	return !more;
}

/* Link {trace_id 1, span_id 2, trace_state 3, attributes 4}. */
static enum verdict judge_link(struct view bytes)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;

	if (!good_message(bytes, 1u << 3, 4))
		return BROKEN;
	while (pb__next(&pb, &f) > 0)
		if (f.wire == PB_BYTES && f.bytes.len &&
		    ((f.number == 1 && f.bytes.len != 16) || (f.number == 2 && f.bytes.len != 8)))
			return BAD_ID;
	return GOOD;
}

static inline enum verdict judge_field(const struct pb_field *f)
{
	switch (f->number) {
	case 1:
		return f->bytes.len == 16 ? GOOD : BAD_ID;
	case 2:
		return f->bytes.len == 8 ? GOOD : BAD_ID;
	case 4:
		return f->bytes.len == 8 || !f->bytes.len ? GOOD : BAD_ID;
	case 3:
	case 5:
		return is_utf8(f->bytes) ? GOOD : BROKEN;
	case 9:
		return good_pair(f->bytes, 0) ? GOOD : BROKEN;
	case 11: /* Event {name 2, attributes 3} */
		return good_message(f->bytes, 1u << 2, 3) ? GOOD : BROKEN;
	case 13:
		return judge_link(f->bytes);
	case 15: /* Status {message 2} */
		return good_message(f->bytes, 1u << 2, 0) ? GOOD : BROKEN;
	default:
		return GOOD;
	}
}

static bool all_zero(struct view bytes)
{
	for (size_t i = 0; i < bytes.len; i++)
		if (bytes.at[i])
			return false;
	return true;
}

static enum verdict judge_span(struct view bytes, struct otlp_span_view *ret)
{
	enum verdict verdict;
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	*ret = (struct otlp_span_view){ .message = bytes };
	if (bytes.len > RECEIVE_SPAN_MAX_BYTES)
		return TOO_LARGE;
	while ((more = pb__next(&pb, &f)) > 0) {
		verdict = f.wire == PB_BYTES ? judge_field(&f) : GOOD;
		if (verdict != GOOD)
			return verdict;
		if (f.number != OTLP_SPAN_ATTRIBUTES && otlp_span__read_field(&f, ret))
			return BROKEN;
	}
	if (more < 0)
		return BROKEN;
	/* Of what is left, only that there are none. */
	if (!otlp_span__complete(ret) || all_zero(ret->trace_id) || all_zero(ret->span_id))
		return BAD_ID;
	return GOOD;
}

/* Of service, kind and name; what is very long counts by its front. */
static uint64_t operation(const struct cut *cut, const struct otlp_span_view *span)
{
	static const uint8_t key[16] = "sonde operation";
	uint8_t bytes[1 + 128 + 256] = { (uint8_t)span->kind };
	size_t service = cut->service.len < 128 ? cut->service.len : 128;
	size_t name = span->name.len < 256 ? span->name.len : 256;

	memcpy(bytes + 1, cut->service.at, service);
	if (name)
		memcpy(bytes + 1 + service, span->name.at, name);
	return siphash24(key, bytes, 1 + service + name);
}

static void count(struct cut *cut, enum verdict verdict)
{
	cut->counts.spans++;
	cut->counts.bad_id += verdict == BAD_ID;
	cut->counts.broken += verdict == BROKEN;
	cut->counts.too_large += verdict == TOO_LARGE;
}

static void add_span(struct cut *cut, struct view bytes)
{
	struct frame_span head = { .resource = cut->resource, .scope = cut->scope, .sampled = 1 };
	enum verdict verdict =
		cut->resource_verdict != GOOD ? cut->resource_verdict : cut->scope_verdict;
	struct otlp_span_view span = { 0 };

	if (verdict == GOOD)
		verdict = judge_span(bytes, &span);
	count(cut, verdict);
	if (verdict != GOOD)
		return;
	memcpy(head.trace_id, span.trace_id.at, sizeof(head.trace_id));
	memcpy(head.span_id, span.span_id.at, sizeof(head.span_id));
	if (span.parent_id.len)
		memcpy(head.parent_id, span.parent_id.at, sizeof(head.parent_id));
	head.start_ns = span.start_ns;
	head.duration_ns = span.end_ns > span.start_ns ? span.end_ns - span.start_ns : 0;
	head.operation = operation(cut, &span);
	head.kind = span.kind <= 5 ? (uint8_t)span.kind : 0;
	head.status = span.status <= 2 ? (uint8_t)span.status : 0;
	head.flags = (uint8_t)span.flags;
	frame__add(cut->out, FRAME_SPAN, &head, sizeof(head), bytes.at, bytes.len);
}

/*
 * Field 1 of a message: of several pieces, which a decoder would merge, all of them (their bytes one behind the
 * other are the merged message). 0, or -EPROTO.
 */
static int first_field(struct view message, struct buf *gathered, struct view *ret)
{
	struct pb pb = pb__of(message);
	unsigned int n = 0;
	struct pb_field f;
	int more;

	*ret = (struct view){ "", 0 };
	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number != 1 || f.wire != PB_BYTES)
			continue;
		if (!n++) {
			*ret = f.bytes;
			continue;
		}
		if (n == 2) {
			buf__clear(gathered);
			buf__add_view(gathered, *ret);
		}
		buf__add_view(gathered, f.bytes);
		if (gathered->err)
			return gathered->err;
		*ret = (struct view){ (const char *)gathered->at, gathered->len };
	}
	return more;
}

static uint32_t number_of(struct view bytes)
{
	static const uint8_t key[16] = "sonde received";

	return (uint32_t)siphash24(key, bytes.at, bytes.len) % NUMBERS;
}

/*
 * What stands beside a resource or scope, as it came: all fields of the message around it but that one, and those that
 * hold spans. schema_url is text.
 */
static enum verdict gather_beside(struct cut *cut, struct view message)
{
	struct pb pb = pb__of(message);
	const uint8_t *begin = pb.at;
	struct pb_field f;

	buf__clear(&cut->beside);
	for (; pb__next(&pb, &f) > 0; begin = pb.at) {
		if (f.wire == PB_BYTES && (f.number == 1 || f.number == 2 || f.number == 1000))
			continue;
		if (f.wire == PB_BYTES && f.number == 3 && !is_utf8(f.bytes))
			return BROKEN;
		if (cut->beside.len + (size_t)(pb.at - begin) > RECEIVE_BESIDE_MAX_BYTES)
			return TOO_LARGE;
		buf__add(&cut->beside, begin, (size_t)(pb.at - begin));
	}
	if (cut->beside.err && !cut->out->err)
		cut->out->err = cut->beside.err;
	return GOOD;
}

/* How many spans there are in a ScopeSpans that is not looked at otherwise. */
static void refuse_scope(struct cut *cut, struct view message)
{
	struct pb pb = pb__of(message);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.number == 2 && f.wire == PB_BYTES)
			count(cut, BROKEN);
}

/* ScopeSpans {scope 1, spans 2, schema_url 3}. */
static int cut_scope(struct cut *cut, struct view message)
{
	struct pb pb = pb__of(message);
	struct pb_field f;
	struct view scope;
	int ret = first_field(message, &cut->scope_bytes, &scope);

	if (ret)
		return ret;
	/* InstrumentationScope {name 1, version 2, attributes 3} */
	cut->scope_verdict = scope.len > RECEIVE_RESOURCE_MAX_BYTES	? TOO_LARGE :
			     !good_message(scope, 1u << 1 | 1u << 2, 3) ? BROKEN :
									  GOOD;
	cut->scope = number_of(scope);
	if (cut->scope_verdict == GOOD)
		cut->scope_verdict = gather_beside(cut, message);
	if (cut->scope_verdict == GOOD) {
		frame__add(cut->out, FRAME_BESIDE, cut->beside.at, cut->beside.len, NULL, 0);
		frame__add(cut->out, FRAME_SCOPE, &cut->scope, sizeof(cut->scope), scope.at,
			   scope.len);
	}
	while ((ret = pb__next(&pb, &f)) > 0)
		if (f.number == 2 && f.wire == PB_BYTES)
			add_span(cut, f.bytes);
	return ret;
}

static void define_resource(struct cut *cut, struct view message, struct view resource)
{
	uint32_t head[2] = { number_of(resource), 0 };
	struct otlp_value value;

	cut->resource_verdict = resource.len > RECEIVE_RESOURCE_MAX_BYTES ? TOO_LARGE :
				!good_message(resource, 0, 1)		  ? BROKEN :
									    GOOD;
	cut->resource = head[0];
	cut->service = VIEW("");
	if (cut->resource_verdict == GOOD)
		cut->resource_verdict = gather_beside(cut, message);
	if (cut->resource_verdict != GOOD)
		return;
	frame__add(cut->out, FRAME_BESIDE, cut->beside.at, cut->beside.len, NULL, 0);
	frame__add(cut->out, FRAME_RESOURCE, head, sizeof(head), resource.at, resource.len);
	if (otlp_attributes__find(resource, OTLP_RESOURCE_ATTRIBUTES, VIEW("service.name"),
				  &value) &&
	    value.type == OTLP_STRING)
		cut->service = value.bytes;
}

/* ResourceSpans {resource 1, scope_spans 2, schema_url 3, instrumentation_library_spans 1000 until 2022}. */
static int cut_resource(struct cut *cut, struct view message)
{
	struct pb pb = pb__of(message);
	struct pb_field f;
	struct view resource;
	int ret = first_field(message, &cut->resource_bytes, &resource);

	if (ret)
		return ret;
	define_resource(cut, message, resource);
	while ((ret = pb__next(&pb, &f)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		if (f.number == 1000)
			refuse_scope(cut, f.bytes);
		else if (f.number == 2)
			ret = cut_scope(cut, f.bytes);
		if (ret < 0)
			break;
	}
	return ret;
}

int receive_cut(struct view request, struct buf *out, struct receive_counts *ret)
{
	struct cut cut = {
		.out = out,
	};
	struct pb pb = pb__of(request);
	size_t before = out->len;
	struct pb_field f;
	int more, bad = 0;

	while (!bad && (more = pb__next(&pb, &f)) > 0)
		if (f.number == 1 && f.wire == PB_BYTES)
			bad = cut_resource(&cut, f.bytes);
	if (!bad)
		bad = more;
	if (!bad)
		bad = out->err;
	buf__free(&cut.beside);
	buf__free(&cut.resource_bytes);
	buf__free(&cut.scope_bytes);
	if (bad) {
		out->len = before;
		return bad;
	}
	*ret = cut.counts;
	return 0;
}
