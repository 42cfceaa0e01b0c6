// SPDX-License-Identifier: Apache-2.0
/*
 * The read API of Tempo, as a Grafana data source asks it: traces as JSON (jsonpb: ids in base64, enums by name)
 * or protobuf, and what a client wants to know first.
 */
#include "serve/tempo.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/gather.h"
#include "serve/value.h"

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
	static const struct gather_format pb = { pb_span, pb_group, NULL },
					  json = { json_span, json_group, NULL };
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
			     wrapped ? "{\"trace\":{\"resourceSpans\":[" : "{\"batches\":[");
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

/* As Tempo's: what a client may look at is its version, by which Grafana knows what it cannot ask for (streams, since 2.2). */
void tempo__buildinfo(struct ask *ask)
{
	buf__add_str(ask__text(ask), "{\"version\":\"2.1.0\",\"revision\":\"sonde " SONDE_VERSION
				     "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
				     "\"goVersion\":\"\"}\n");
}

void tempo__metrics(struct ask *ask)
{
	tempo__error(ask, 400,
		     "metrics of traces are not known here: sonde's own page and API have "
		     "rate, errors and durations of services and operations (/api/v1/statistics)");
}
