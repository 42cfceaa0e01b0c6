// SPDX-License-Identifier: Apache-2.0
/*
 * OTLP JSON and Zipkin v2 JSON, without building a tree: every object is looked at as it closes,
 * and one that has a trace id, a span id and a start is a span (links have no start).
 */
#include "core/sdk.h"

#include <string.h>

#include "core/ids.h"

#define NS_PER_US 1000

enum { HAS_TRACE = 1, HAS_ID = 2, HAS_START = 4 };

struct object {
	struct sdk_span span;
	uint64_t duration_ns;
	unsigned int has;
	bool array;
	bool remote;	/* Zipkin's remoteEndpoint */
	bool peer_port; /* an attribute that is the peer's port */
};

struct parser {
	const char *at, *end;
	struct object stack[SDK_JSON_DEPTH_MAX];
	int depth;
	bool remote; /* what opens next is a remoteEndpoint */
	sdk_span_fn *fn;
	void *arg;
	unsigned int n;
};

static void skip_space(struct parser *p)
{
	while (p->at < p->end &&
	       (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
		p->at++;
}

/* A string without its quotes; escapes stay as they are: no id or name that is looked for has any. */
static bool read_string(struct parser *p, struct view *ret)
{
	const char *start;

	if (p->at == p->end || *p->at != '"')
		return false;
	start = ++p->at;
	for (; p->at < p->end && *p->at != '"'; p->at++)
		if (*p->at == '\\' && ++p->at == p->end)
			return false;
	if (p->at >= p->end)
		return false;
	*ret = (struct view){ start, (size_t)(p->at - start) };
	p->at++;
	return true;
}

/* A number, true, false or null, as text. */
static bool read_bare(struct parser *p, struct view *ret)
{
	const char *start = p->at;

	while (p->at < p->end && !strchr(",]} \t\r\n", *p->at) && *p->at)
		p->at++;
	*ret = (struct view){ start, (size_t)(p->at - start) };
	return p->at > start;
}

/* n digits, or fewer where padding on the left is allowed (Zipkin's 64-bit trace ids). */
static bool read_hex(struct view v, uint8_t *to, size_t bytes)
{
	memset(to, 0, bytes);
	if (!v.len || v.len > 2 * bytes)
		return false;
	for (size_t i = 0; i < v.len; i++) {
		char c = v.at[i] | 0x20;
		int digit = c >= '0' && c <= '9' ? c - '0' :
			    c >= 'a' && c <= 'f' ? c - 'a' + 10 :
						   -1;
		size_t place = v.len - 1 - i;

		if (digit < 0)
			return false;
		to[bytes - 1 - place / 2] |= (uint8_t)(digit << (place % 2 ? 4 : 0));
	}
	return true;
}

static uint64_t read_id(struct view v)
{
	uint8_t bytes[8];

	return read_hex(v, bytes, sizeof(bytes)) ? ids__get64(bytes) : 0;
}

/* Digits; a fraction is cut off. */
static uint64_t read_number(struct view v)
{
	uint64_t value = 0;

	for (size_t i = 0; i < v.len && v.at[i] >= '0' && v.at[i] <= '9'; i++) {
		if (value > (UINT64_MAX - 9) / 10)
			return 0;
		value = value * 10 + (uint64_t)(v.at[i] - '0');
	}
	return value;
}

static uint64_t microseconds(struct view v)
{
	uint64_t us = read_number(v);

	return us > UINT64_MAX / NS_PER_US ? 0 : us * NS_PER_US;
}

static uint8_t read_kind(struct view v)
{
	static const char *const names[] = { "UNSPECIFIED", "INTERNAL", "SERVER",
					     "CLIENT",	    "PRODUCER", "CONSUMER" };
	struct view prefix = VIEW("SPAN_KIND_");
	uint64_t number = read_number(v);

	if (v.len > prefix.len && !memcmp(v.at, prefix.at, prefix.len))
		v = (struct view){ v.at + prefix.len, v.len - prefix.len };
	for (uint8_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (view_eq(v, view_of(names[i])))
			return i;
	return number <= 5 ? (uint8_t)number : 0;
}

/* A key that comes again replaces what was there. */
static void set(struct object *o, unsigned int flag, bool is)
{
	o->has = is ? o->has | flag : o->has & ~flag;
}

static void take(struct object *o, struct view key, struct view v)
{
	struct sdk_span *s = &o->span;

	if (view_eq(key, VIEW("traceId"))) {
		set(o, HAS_TRACE, read_hex(v, s->trace_id, sizeof(s->trace_id)));
	} else if (view_eq(key, VIEW("spanId")) || view_eq(key, VIEW("id"))) {
		s->span_id = read_id(v);
		set(o, HAS_ID, s->span_id != 0);
	} else if (view_eq(key, VIEW("parentSpanId")) || view_eq(key, VIEW("parentId"))) {
		s->parent_id = read_id(v);
	} else if (view_eq(key, VIEW("kind"))) {
		s->kind = read_kind(v);
	} else if (view_eq(key, VIEW("startTimeUnixNano"))) {
		s->start_ns = read_number(v);
		o->has |= HAS_START;
	} else if (view_eq(key, VIEW("endTimeUnixNano"))) {
		s->end_ns = read_number(v);
	} else if (view_eq(key, VIEW("timestamp"))) {
		s->start_ns = microseconds(v);
		o->has |= HAS_START;
	} else if (view_eq(key, VIEW("duration"))) {
		o->duration_ns = microseconds(v);
	}
}

/*
 * The peer's port is in an object below the span's: Zipkin's remoteEndpoint or tags; or OTLP's
 * attributes, an array of {key, value: {intValue}}.
 */
static void take_port(struct parser *p, struct view key, struct view v)
{
	struct object *o = &p->stack[p->depth - 1];

	if (view_eq(key, VIEW("key"))) {
		o->peer_port = sdk__is_peer_port(v);
	} else if (p->depth >= 2 &&
		   ((o->remote && view_eq(key, VIEW("port"))) || sdk__is_peer_port(key))) {
		o[-1].span.peer_port = sdk__port(v);
	} else if (p->depth >= 4 && o[-1].peer_port &&
		   (view_eq(key, VIEW("intValue")) || view_eq(key, VIEW("stringValue")))) {
		o[-3].span.peer_port = sdk__port(v);
	}
}

static bool open_level(struct parser *p)
{
	if (p->depth == SDK_JSON_DEPTH_MAX)
		return false;
	p->stack[p->depth] = (struct object){ .array = *p->at == '[', .remote = p->remote };
	p->remote = false;
	p->depth++;
	p->at++;
	return true;
}

static bool close_level(struct parser *p)
{
	struct object *o;

	if (!p->depth)
		return false;
	o = &p->stack[--p->depth];
	if (o->array != (*p->at++ == ']'))
		return false;
	if (o->array || o->has != (HAS_TRACE | HAS_ID | HAS_START))
		return true;
	if (!o->span.end_ns)
		o->span.end_ns = o->span.start_ns + o->duration_ns;
	p->fn(p->arg, &o->span);
	p->n++;
	return true;
}

/* One step: a bracket, a comma, a value, or a key with its value if that is no bracket. */
static bool step(struct parser *p)
{
	struct view key, value;
	bool is_string;

	switch (*p->at) {
	case '{':
	case '[':
		return open_level(p);
	case '}':
	case ']':
		return close_level(p);
	case ',':
		p->at++;
		return true;
	}
	is_string = *p->at == '"';
	if (!(is_string ? read_string(p, &key) : read_bare(p, &key)))
		return false;
	skip_space(p);
	if (!is_string || p->at == p->end || *p->at != ':')
		return true;
	p->at++;
	skip_space(p);
	if (p->at == p->end)
		return false;
	if (*p->at == '{' || *p->at == '[') {
		p->remote = view_eq(key, VIEW("remoteEndpoint"));
		return true;
	}
	if (!(*p->at == '"' ? read_string(p, &value) : read_bare(p, &value)))
		return false;
	if (p->depth) {
		take(&p->stack[p->depth - 1], key, value);
		take_port(p, key, value);
	}
	return true;
}

unsigned int sdk__decode_json(struct view body, sdk_span_fn *fn, void *arg)
{
	struct parser p = { .at = body.at, .end = body.at + body.len, .fn = fn, .arg = arg };

	for (;;) {
		skip_space(&p);
		if (p.at == p.end || !step(&p))
			return p.n;
	}
}
