// SPDX-License-Identifier: Apache-2.0
/*
 * The read API of Tempo, as a Grafana data source asks it: traces as JSON (jsonpb: ids in base64, enums by name)
 * or protobuf, search by tags (logfmt) or by the part of TraceQL that is one set of conditions on a span.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/gather.h"
#include "serve/traceql.h"
#include "serve/value.h"

#define TAGS_MAX 512
#define SAMPLE_SPANS 20000

void tempo__echo(struct ask *ask)
{
	ask->answer->type = TYPE_TEXT;
	buf__add_str(ask__text(ask), "echo");
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
		buf__add_str(out, "}");
	}
	if (any)
		buf__add_str(out, "]");
}

static void add_links(struct buf *out, struct view message)
{
	struct pb pb = pb__of(message), inner;
	struct pb_field f, g;
	bool any = false;

	while (pb__next(&pb, &f) > 0) {
		if (f.number != 13 || f.wire != PB_BYTES)
			continue;
		buf__add_str(out, any ? ",{" : ",\"links\":[{");
		any = true;
		inner = pb__of(f.bytes);
		while (pb__next(&inner, &g) > 0) {
			if (g.wire != PB_BYTES || (g.number != 1 && g.number != 2))
				continue;
			buf__add_str(out, g.number == 1 ? "\"traceId\":" : ",\"spanId\":");
			otlp_json__base64(out, g.bytes);
		}
		otlp_json__pairs(out, ",\"attributes\":", f.bytes, 4);
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
	if (span.events)
		add_events(out, message);
	if (span.links)
		add_links(out, message);
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

/* In Tempo's words and types: its clients show the text. */
static void tempo_error(struct ask *ask, unsigned int status, const char *why)
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
		tempo_error(ask, 400, "trace IDs can only contain hex characters, at most 32");
		return;
	}
	if (!ask->protobuf)
		buf__add_str(ask__text(ask),
			     wrapped ? "{\"trace\":{\"batches\":[" : "{\"batches\":[");
	if (!gather__trace(ask, id, ask->protobuf ? &pb : &json, &all))
		return;
	if (!all.spans) {
		tempo_error(ask, 404, wrapped ? "trace not found" : "");
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

/* What a search tells of a trace. */
struct tempo_summary {
	uint64_t start_ns, end_ns, spans, root_ns;
	bool true_root;
	struct buf root;
};

static void see_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	struct tempo_summary *s = (struct tempo_summary *)arg + trace;
	uint64_t end = row->span.start_ns + row->duration_ns;
	bool top = !row->span.parent_id.len;

	if (!s->spans++ || row->span.start_ns < s->start_ns)
		s->start_ns = row->span.start_ns;
	s->end_ns = end > s->end_ns ? end : s->end_ns;
	if (s->root.len && (top != s->true_root ? s->true_root : row->span.start_ns >= s->root_ns))
		return;
	s->true_root = top;
	s->root_ns = row->span.start_ns;
	buf__clear(&s->root);
	buf__add_str(&s->root, "\"rootServiceName\":");
	otlp_json__string(&s->root, row->service);
	add_text(&s->root, "rootTraceName", row->span.name);
}

/* As Tempo writes an id: without leading zeros. */
static void add_short_id(struct buf *out, const uint8_t id[16])
{
	char text[33];
	size_t zeros;

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	zeros = strspn(text, "0");
	buf__printf(out, "{\"traceID\":\"%s\",", text + (zeros < 32 ? zeros : 31));
}

static void tell_all(struct ask *ask, const struct found_traces *found)
{
	struct tempo_summary *all = calloc(found->n ? found->n : 1, sizeof(*all));
	struct buf *out;
	bool any = false;

	if (!all) {
		ask__wrong(ask, -ENOMEM, NULL);
		return;
	}
	if (ask__spans(ask, found->ids, found->n, see_span, all)) {
		out = ask__text(ask);
		buf__add_str(out, "{\"traces\":[");
		for (unsigned int i = 0; i < found->n; i++) {
			if (!all[i].spans)
				continue;
			buf__add(out, ",", any);
			any = true;
			add_short_id(out, found->ids[i]);
			buf__add(out, all[i].root.at, all[i].root.len);
			buf__printf(out, ",\"startTimeUnixNano\":\"%" PRIu64 "\"", all[i].start_ns);
			if ((all[i].end_ns - all[i].start_ns) / 1000000)
				buf__printf(out, ",\"durationMs\":%" PRIu64,
					    (all[i].end_ns - all[i].start_ns) / 1000000);
			buf__add_str(out, "}");
		}
		buf__printf(out, "],\"metrics\":{\"inspectedTraces\":%u}}\n", found->n);
	}
	for (unsigned int i = 0; i < found->n; i++)
		buf__free(&all[i].root);
	free(all);
}

static int read_param(struct filter *f, const char *key, const char *value, struct err *err)
{
	uint64_t n;

	if (!*value)
		return 0;
	if (!strcmp(key, "tags"))
		return traceql__tags(f, value, err);
	if (!strcmp(key, "q"))
		return traceql__parse(f, value, err);
	if (!strcmp(key, "minDuration") || !strcmp(key, "maxDuration")) {
		if (!traceql__duration(value, &n))
			return err__set(err, -EINVAL,
					"invalid %s: %.200s is no duration such as 100ms", key,
					value);
		return filter__add_duration(f, key[1] == 'i', n);
	}
	if (!strcmp(key, "limit") || !strcmp(key, "start") || !strcmp(key, "end")) {
		if (!filter__number(value, &n) || n > UINT64_MAX / 1000000000u)
			return err__set(err, -EINVAL, "invalid %s: %.200s is no number", key,
					value);
		if (*key == 'l')
			f->limit = n && n < FILTER_LIMIT_MAX ? (unsigned int)n : FILTER_LIMIT_MAX;
		else if (*key == 's')
			f->start_ns = n * 1000000000u;
		else
			f->end_ns = n * 1000000000u + 999999999u;
	}
	return 0;
}

void tempo__search(struct ask *ask)
{
	struct filter filter = { .end_ns = UINT64_MAX, .limit = 20 };
	struct found_traces found = { .n = 0 };
	struct err err = { "" };
	int ret = 0;

	for (unsigned int i = 0; i < ask->target->n_params && !ret; i++)
		ret = read_param(&filter, ask->target->params[i].key.at,
				 ask->target->params[i].value.at, &err);
	if (ret == -EINVAL)
		tempo_error(ask, 400, err.text);
	else if (ret)
		ask__wrong(ask, ret, NULL);
	else if (ask__find(ask, &filter, &found))
		tell_all(ask, &found);
	filter__free(&filter);
}

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
	if (!text.len || text.len > 1024 || s->n == TAGS_MAX)
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

static void keep_message(struct sample *s, struct view message, uint32_t field)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct buf text = { 0 };
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0) {
		if (!s->tag.at) {
			keep(s, key);
		} else if (view_eq(key, s->tag)) {
			buf__clear(&text);
			json__value_text(&text, &value);
			keep(s, (struct view){ (const char *)text.at, text.len });
		}
	}
	buf__free(&text);
}

static void sample_span(void *arg, const struct row *row, struct view scope)
{
	struct sample *s = arg;

	s->spans++;
	keep_message(s, row->resource, OTLP_RESOURCE_ATTRIBUTES);
	keep_message(s, row->span.message, OTLP_SPAN_ATTRIBUTES);
	if (!s->tag.at || view_eq(s->tag, VIEW("name")))
		keep(s, s->tag.at ? row->span.name : VIEW("name"));
}

static bool sample_stop(void *arg)
{
	struct sample *s = arg;

	return s->spans >= SAMPLE_SPANS || ask__late(s->ask);
}

static void ignore_note(void *arg, const char *text)
{
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
	if (store__search(ask->api->folder, &query, &answer, &err)) {
		ask__unreadable(ask, &err);
	} else {
		buf__printf(out, "{\"%s\":[", name);
		for (unsigned int i = 0; i < s->n; i++) {
			buf__add(out, ",", i > 0);
			otlp_json__string(out,
					  (struct view){ (const char *)s->text.at + s->found[i].at,
							 s->found[i].len });
		}
		buf__add_str(out, "]}\n");
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
	buf__add_str(out, "{\"tagValues\":[");
	for (size_t i = 0; i < names.n; i++) {
		buf__add(out, ",", i > 0);
		otlp_json__string(out, names.at[i].name);
	}
	buf__add_str(out, "]}\n");
	names__free(&names);
}
