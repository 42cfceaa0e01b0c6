// SPDX-License-Identifier: Apache-2.0
/*
 * The read API of Tempo, as a Grafana data source asks it: traces as JSON (jsonpb: ids in base64, enums by name)
 * or protobuf, names and values of tags.
 */
#include "serve/tempo.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/gather.h"
#include "serve/value.h"

#define TAGS_MAX 512
#define SAMPLE_SPANS 20000

void tempo__echo(struct ask *ask)
{
	ask->answer->type = TYPE_TEXT;
	buf__add_str(ask__text(ask), "echo\n");
}

static void put_varint(struct buf *out, uint64_t n)
{
	uint8_t bytes[10];
	size_t len = 0;

	do {
		bytes[len] = (uint8_t)(n & 127) | (n > 127 ? 128 : 0);
		n >>= 7;
		len++;
	} while (n);
	buf__add(out, bytes, len);
}

static void put_bytes(struct buf *out, unsigned int field, struct view bytes)
{
	put_varint(out, field << 3 | PB_BYTES);
	put_varint(out, bytes.len);
	buf__add_view(out, bytes);
}

static size_t varint_len(uint64_t n)
{
	size_t len = 1;

	while (n >>= 7)
		len++;
	return len;
}

static int pb_span(struct buf *out, struct view message, bool first)
{
	put_bytes(out, 2, message);
	return 0;
}

/* ResourceSpans as field 1: { resource = 1, scope_spans = 2 { scope = 1, spans = 2 } } */
static void pb_group(struct body *body, struct view resource, struct view scope, struct body *spans,
		     bool first)
{
	struct buf *out = body__text(body);
	int64_t length = body__length(spans);
	uint64_t scope_spans =
		1 + varint_len(scope.len) + scope.len + (uint64_t)(length > 0 ? length : 0);

	put_varint(out, 1 << 3 | PB_BYTES);
	put_varint(out, 1 + varint_len(resource.len) + resource.len + 1 + varint_len(scope_spans) +
				scope_spans);
	put_bytes(out, 1, resource);
	put_varint(out, 2 << 3 | PB_BYTES);
	put_varint(out, scope_spans);
	put_bytes(out, 1, scope);
	body__append(body, spans);
}

static void add_enum(struct buf *out, const char *name, const char *const *names, uint32_t n,
		     uint32_t value)
{
	if (value && value < n)
		buf__printf(out, ",\"%s\":\"%s\"", name, names[value]);
	else if (value)
		buf__printf(out, ",\"%s\":%" PRId32, name, (int32_t)value);
}

static void add_id(struct buf *out, const char *name, struct view id)
{
	if (!id.len)
		return;
	buf__printf(out, ",\"%s\":", name);
	otlp_json__base64(out, id);
}

static void add_text(struct buf *out, const char *name, struct view text)
{
	if (!text.len)
		return;
	buf__printf(out, ",\"%s\":", name);
	otlp_json__string(out, text);
}

/* A count that is not 0; it stands at the end of its message. */
static void add_dropped(struct buf *out, const char *name, uint32_t n)
{
	if (n)
		buf__printf(out, ",\"%s\":%" PRIu32, name, n);
}

static uint32_t number_of(struct view message, uint32_t field)
{
	struct pb pb = pb__of(message);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.number == field && f.wire == PB_VARINT)
			return (uint32_t)f.value;
	return 0;
}

static void add_events(struct buf *out, struct view message)
{
	struct pb pb = pb__of(message);
	struct span_event event;
	bool any = false;

	while (span_event__next(&pb, &event)) {
		buf__add_str(out, any ? "," : ",\"events\":[");
		any = true;
		buf__printf(out, "{\"timeUnixNano\":\"%" PRIu64 "\"", event.time_ns);
		add_text(out, "name", event.name);
		otlp_json__pairs(out, ",\"attributes\":", event.message, 3);
		add_dropped(out, "droppedAttributesCount", number_of(event.message, 4));
		buf__add_str(out, "}");
	}
	if (any)
		buf__add_str(out, "]");
}

static void add_links(struct buf *out, struct view message)
{
	struct pb pb = pb__of(message);
	struct span_link link;
	bool any = false;

	while (span_link__next(&pb, &link)) {
		buf__add_str(out, any ? ",{\"traceId\":" : ",\"links\":[{\"traceId\":");
		any = true;
		otlp_json__base64(out, link.trace_id);
		add_id(out, "spanId", link.span_id);
		add_text(out, "traceState", link.trace_state);
		otlp_json__pairs(out, ",\"attributes\":", link.message, 4);
		add_dropped(out, "droppedAttributesCount", number_of(link.message, 5));
		buf__add_str(out, "}");
	}
	if (any)
		buf__add_str(out, "]");
}

static int json_span(struct buf *out, struct view message, bool first)
{
	static const char *const kinds[] = { "",
					     "SPAN_KIND_INTERNAL",
					     "SPAN_KIND_SERVER",
					     "SPAN_KIND_CLIENT",
					     "SPAN_KIND_PRODUCER",
					     "SPAN_KIND_CONSUMER" };
	static const char *const codes[] = { "", "STATUS_CODE_OK", "STATUS_CODE_ERROR" };
	struct otlp_span_view span;
	struct buf status = { 0 };

	if (otlp_span__read(message, &span))
		return -EPROTO;
	buf__add_str(out, first ? "{\"traceId\":" : ",{\"traceId\":");
	otlp_json__base64(out, span.trace_id);
	add_id(out, "spanId", span.span_id);
	add_text(out, "traceState", span.trace_state);
	add_id(out, "parentSpanId", span.parent_id);
	add_text(out, "name", span.name);
	add_enum(out, "kind", kinds, 6, span.kind);
	buf__printf(out,
		    ",\"startTimeUnixNano\":\"%" PRIu64 "\",\"endTimeUnixNano\":\"%" PRIu64 "\"",
		    span.start_ns, span.end_ns);
	otlp_json__pairs(out, ",\"attributes\":", message, OTLP_SPAN_ATTRIBUTES);
	add_dropped(out, "droppedAttributesCount", span.dropped_attributes);
	if (span.events)
		add_events(out, message);
	add_dropped(out, "droppedEventsCount", span.dropped_events);
	if (span.links)
		add_links(out, message);
	add_dropped(out, "droppedLinksCount", span.dropped_links);
	add_text(&status, "message", span.status_message);
	add_enum(&status, "code", codes, 3, span.status);
	buf__add_str(out, ",\"status\":{");
	if (status.len > 1)
		buf__add(out, status.at + 1, status.len - 1);
	buf__add_str(out, "}}");
	out->err = out->err ? out->err : status.err;
	buf__free(&status);
	return 0;
}

static void json_group(struct body *body, struct view resource, struct view scope,
		       struct body *spans, bool first)
{
	struct buf *out = body__text(body);
	struct pb pb = pb__of(scope);
	struct pb_field f;
	bool any = false;

	buf__add_str(out, first ? "{\"resource\":{" : ",{\"resource\":{");
	otlp_json__pairs(out, "\"attributes\":", resource, OTLP_RESOURCE_ATTRIBUTES);
	buf__add_str(out, "},\"scopeSpans\":[{\"scope\":{");
	while (pb__next(&pb, &f) > 0) {
		if (f.wire != PB_BYTES || (f.number != 1 && f.number != 2) || !f.bytes.len)
			continue;
		buf__printf(out, "%s\"%s\":", any ? "," : "", f.number == 1 ? "name" : "version");
		any = true;
		otlp_json__string(out, f.bytes);
	}
	buf__add_str(out, "},\"spans\":[");
	body__append(body, spans);
	buf__add_str(body__text(body), "]}]}");
}

void tempo__error(struct ask *ask, unsigned int status, const char *why)
{
	body__free(ask->answer->body);
	*ask->answer = (struct answer){ status, TYPE_TEXT, body__new() };
	if (ask->answer->body)
		buf__add_str(ask__text(ask), why);
}

static void answer_trace(struct ask *ask, bool wrapped)
{
	static const struct gather_format pb = { pb_span, pb_group },
					  json = { json_span, json_group };
	struct answer *answer = ask->answer;
	struct gathered all;
	uint8_t id[16];
	struct body *inner;
	int64_t length;

	if (!filter__trace_id(ask->part, true, id)) {
		tempo__error(ask, 400, "trace IDs can only contain hex characters, at most 32");
		return;
	}
	if (!ask->protobuf)
		buf__add_str(ask__text(ask),
			     wrapped ? "{\"trace\":{\"batches\":[" : "{\"batches\":[");
	if (!gather__trace(ask, id, ask->protobuf ? &pb : &json, &all))
		return;
	if (!all.spans) {
		tempo__error(ask, 404, "trace not found");
		return;
	}
	if (!ask->protobuf) {
		buf__add_str(ask__text(ask), wrapped ? "]},\"metrics\":{}}" : "]}");
		return;
	}
	answer->type = TYPE_PROTOBUF;
	if (!wrapped)
		return;
	/* TraceByIDResponse: the trace is its field 1. */
	inner = answer->body;
	length = body__length(inner);
	answer->body = body__new();
	if (!answer->body || length < 0) {
		body__free(inner);
		return;
	}
	put_varint(ask__text(ask), 1 << 3 | PB_BYTES);
	put_varint(ask__text(ask), (uint64_t)length);
	body__append(answer->body, inner);
}

void tempo__trace(struct ask *ask)
{
	answer_trace(ask, false);
}

void tempo__trace_v2(struct ask *ask)
{
	answer_trace(ask, true);
}

/* What every trace can be searched by, as Tempo names it. */
static const char *const made_names[] = { "name", "root.name", "root.service.name", "status.code",
					  "error" };
static const char *const status_codes[] = { "0", "1", "2", "error", "ok", "unset" };

/* Names, or one name's values, of the newest spans: enough to complete what somebody types. */
struct sample {
	struct ask *ask;
	struct view tag; /* values of it; empty: names */
	struct buf text; /* of the names */
	struct {
		size_t at, len;
	} found[TAGS_MAX];
	unsigned int n, spans;
};

static void keep(struct sample *s, struct view text)
{
	if (text.len > 1024 || s->n == TAGS_MAX)
		return;
	for (unsigned int i = 0; i < s->n; i++)
		if (view_eq((struct view){ (const char *)s->text.at + s->found[i].at,
					   s->found[i].len },
			    text))
			return;
	s->found[s->n].at = s->text.len;
	s->found[s->n].len = text.len;
	buf__add_view(&s->text, text);
	s->n += !s->text.err;
}

/* As Go writes it (strconv.FormatFloat, 'g', -1). */
static void add_double(struct buf *out, double d)
{
	char text[64];
	int precision = 0;
	long exponent;

	do
		snprintf(text, sizeof(text), "%.*e", precision, d);
	while (strtod(text, NULL) != d && isfinite(d) && ++precision < 17);
	exponent = isfinite(d) ? strtol(strchr(text, 'e') + 1, NULL, 10) : 0;
	if (isfinite(d) && exponent >= -4 && exponent < 21) {
		precision -= (int)exponent;
		snprintf(text, sizeof(text), "%.*f", precision > 0 ? precision : 0, d);
	}
	buf__add_str(out, text);
}

/* Lists, bytes and what has no value are not searched for. */
static bool is_plain(const struct otlp_value *value)
{
	return value->type == OTLP_STRING || value->type == OTLP_BOOL || value->type == OTLP_INT ||
	       value->type == OTLP_DOUBLE;
}

static void keep_message(struct sample *s, struct view message, uint32_t field)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct buf text = { 0 };
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0) {
		if (!is_plain(&value))
			continue;
		if (!s->tag.at) {
			keep(s, key);
		} else if (view_eq(key, s->tag)) {
			buf__clear(&text);
			if (value.type == OTLP_DOUBLE)
				add_double(&text, value.real);
			else
				json__value_text(&text, &value);
			keep(s, (struct view){ (const char *)text.at, text.len });
		}
	}
	buf__free(&text);
}

static void sample_span(void *arg, const struct row *row, struct view scope)
{
	struct sample *s = arg;
	bool root = !row->span.parent_id.len;

	s->spans++;
	keep_message(s, row->resource, OTLP_RESOURCE_ATTRIBUTES);
	keep_message(s, row->span.message, OTLP_SPAN_ATTRIBUTES);
	if (!s->tag.at)
		return;
	if (view_eq(s->tag, VIEW("name")) || (root && view_eq(s->tag, VIEW("root.name"))))
		keep(s, row->span.name);
	else if (root && view_eq(s->tag, VIEW("root.service.name")))
		keep(s, row->service);
}

/* What is there whether or not a span has it. */
static void keep_made(struct sample *s)
{
	if (!s->tag.at)
		for (size_t i = 0; i < sizeof(made_names) / sizeof(made_names[0]); i++)
			keep(s, view_of(made_names[i]));
	else if (view_eq(s->tag, VIEW("status.code")))
		for (size_t i = 0; i < sizeof(status_codes) / sizeof(status_codes[0]); i++)
			keep(s, view_of(status_codes[i]));
	else if (view_eq(s->tag, VIEW("error")))
		keep(s, VIEW("true"));
}

static bool sample_stop(void *arg)
{
	struct sample *s = arg;

	return s->spans >= SAMPLE_SPANS || ask__late(s->ask);
}

static void ignore_note(void *arg, const char *text)
{
}

/* The list is left out where nothing is in it. */
static void add_name(struct buf *out, const char *list, size_t n, struct view name)
{
	if (n)
		buf__add_str(out, ",");
	else
		buf__printf(out, "{\"%s\":[", list);
	otlp_json__string(out, name);
}

static void answer_sample(struct ask *ask, struct view tag, const char *name)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct store_query query = {
		.stop = sample_stop, .found = sample_span, .note = ignore_note, .arg = s
	};
	struct store_answer answer;
	struct err err = { "" };
	struct buf *out = ask__text(ask);

	if (!s) {
		ask__wrong(ask, -ENOMEM, NULL);
		return;
	}
	s->ask = ask;
	s->tag = tag;
	keep_made(s);
	if (store__search(ask->api->folder, &query, &answer, &err)) {
		ask__unreadable(ask, &err);
	} else {
		for (unsigned int i = 0; i < s->n; i++)
			add_name(out, name, i,
				 (struct view){ (const char *)s->text.at + s->found[i].at,
						s->found[i].len });
		buf__add_str(out, s->n ? "]}\n" : "{}\n");
	}
	buf__free(&s->text);
	free(s);
}

void tempo__tags(struct ask *ask)
{
	answer_sample(ask, (struct view){ NULL, 0 }, "tagNames");
}

void tempo__tag_values(struct ask *ask)
{
	static const struct filter everything = { .end_ns = UINT64_MAX };
	struct buf *out = ask__text(ask);
	struct names names = { 0 };

	if (!view_eq(ask->part, VIEW("service.name"))) {
		answer_sample(ask, ask->part, "tagValues");
		return;
	}
	if (!ask__services(ask, &everything, &names))
		return;
	for (size_t i = 0; i < names.n; i++)
		add_name(out, "tagValues", i, names.at[i].name);
	buf__add_str(out, names.n ? "]}\n" : "{}\n");
	names__free(&names);
}
