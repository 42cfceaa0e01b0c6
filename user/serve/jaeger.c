// SPDX-License-Identifier: Apache-2.0
/*
 * The read API of Jaeger's query service, as Jaeger 1.x answers it (cmd/query/app/http_handler.go, model/json):
 * ids in hexadecimal, times in microseconds, attributes as tags, a resource as the process of its spans.
 */
#include "serve/jaeger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/value.h"

#define SPANS_MAX 200000
#define PROCESSES_MAX 1024
#define REFERENCES_MAX 256
/* What a number of JavaScript holds: others are written as text (model/converter/json/from_domain.go). */
#define SAFE_INTEGER ((1ll << 53) - 1)

void jaeger__error(struct ask *ask, unsigned int status, const char *why)
{
	struct buf *out;

	body__free(ask->answer->body);
	ask->answer->body = body__new();
	ask->answer->status = status;
	if (!ask->answer->body)
		return;
	out = ask__text(ask);
	buf__printf(out,
		    "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":%u,"
		    "\"msg\":",
		    status);
	otlp_json__string(out, view_of(why));
	buf__add_str(out, "}]}\n");
}

static void end_data(struct ask *ask, size_t total)
{
	buf__printf(ask__text(ask), "],\"total\":%zu,\"limit\":0,\"offset\":0,\"errors\":null}\n",
		    total);
}

/* Of nothing: null, as Go writes a list that was never begun. */
static void add_strings(struct ask *ask, struct names *names)
{
	struct buf *out = ask__text(ask);
	size_t n = 0;

	if (!names->n) {
		buf__add_str(
			out,
			"{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n");
		names__free(names);
		return;
	}
	buf__add_str(out, "{\"data\":[");
	for (size_t i = 0; i < names->n; i++) {
		if (i && view_eq(names->at[i].name, names->at[i - 1].name))
			continue;
		buf__add(out, ",", n > 0);
		otlp_json__string(out, names->at[i].name);
		n++;
	}
	end_data(ask, n);
	names__free(names);
}

static const struct filter everything = { .end_ns = UINT64_MAX };

void jaeger__services(struct ask *ask)
{
	struct names names = { 0 };

	if (ask__services(ask, &everything, &names))
		add_strings(ask, &names);
}

void jaeger__service_operations(struct ask *ask)
{
	struct names names = { 0 };

	if (ask__operations(ask, ask->part.at, &everything, &names))
		add_strings(ask, &names);
}

void jaeger__operations(struct ask *ask)
{
	const char *service = target__param(ask->target, "service");
	const char *kind = target__param(ask->target, "spanKind");
	struct buf *out = ask__text(ask);
	struct names names = { 0 };
	size_t n = 0;

	if (!service || !*service) {
		jaeger__error(ask, 400, "parameter 'service' is required");
		return;
	}
	if (!ask__operations(ask, service, &everything, &names))
		return;
	buf__add_str(out, "{\"data\":[");
	for (size_t i = 0; i < names.n; i++) {
		const char *of = kind__name(names.at[i].kind);

		if (kind && *kind && strcmp(kind, of))
			continue;
		buf__add_str(out, n++ ? ",{\"name\":" : "{\"name\":");
		otlp_json__string(out, names.at[i].name);
		buf__printf(out, ",\"spanKind\":\"%s\"}", of);
	}
	end_data(ask, n);
	names__free(&names);
}

/* One trace while its spans come in. */
struct jaeger_trace {
	struct body *spans;
	uint64_t n;
	struct process {
		struct buf resource;
	} * processes;
	unsigned int n_processes;
};

struct jaeger_traces {
	struct jaeger_trace *at;
	bool failed, raw; /* raw: references in their order */
};

static void add_tag(struct buf *out, bool *first, struct view key, const struct otlp_value *value)
{
	static const char *const types[] = {
		[OTLP_EMPTY] = "string",  [OTLP_STRING] = "string",  [OTLP_BOOL] = "bool",
		[OTLP_INT] = "int64",	  [OTLP_DOUBLE] = "float64", [OTLP_ARRAY] = "string",
		[OTLP_KVLIST] = "string", [OTLP_BYTES] = "binary",
	};
	struct buf text = { 0 };
	bool unsafe = value->type == OTLP_INT &&
		      (value->number > SAFE_INTEGER || value->number < -SAFE_INTEGER);

	buf__add_str(out, *first ? "{\"key\":" : ",{\"key\":");
	*first = false;
	otlp_json__string(out, key);
	buf__printf(out, ",\"type\":\"%s\",\"value\":", types[value->type]);
	if (value->type == OTLP_ARRAY || value->type == OTLP_KVLIST || value->type == OTLP_EMPTY ||
	    unsafe) {
		json__value_text(&text, value);
		otlp_json__string(out, (struct view){ (const char *)text.at, text.len });
		out->err = out->err ? out->err : text.err;
		buf__free(&text);
	} else if (value->type == OTLP_BYTES && !value->bytes.len) {
		buf__add_str(out, "null");
	} else {
		json__value(out, value);
	}
	buf__add_str(out, "}");
}

static void add_text_tag(struct buf *out, bool *first, const char *key, struct view value)
{
	struct otlp_value v = { .type = OTLP_STRING, .bytes = value };

	add_tag(out, first, view_of(key), &v);
}

static void add_tags(struct buf *out, bool *first, struct view message, uint32_t field,
		     const char *but)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0)
		if (!but || !view_eq(key, view_of(but)))
			add_tag(out, first, key, &value);
}

static void add_scope(struct buf *out, bool *first, struct view scope)
{
	struct pb pb = pb__of(scope);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.wire == PB_BYTES && f.bytes.len && (f.number == 1 || f.number == 2))
			add_text_tag(out, first,
				     f.number == 1 ? "otel.scope.name" : "otel.scope.version",
				     f.bytes);
}

static void add_span_tags(struct buf *out, const struct row *row, struct view scope)
{
	struct otlp_value yes = { .type = OTLP_BOOL, .number = 1 };
	bool first = true;

	add_scope(out, &first, scope);
	add_tags(out, &first, row->span.message, OTLP_SPAN_ATTRIBUTES, NULL);
	if (row->span.kind)
		add_text_tag(out, &first, "span.kind", view_of(kind__name(row->span.kind)));
	if (row->span.status == 1 || row->span.status == 2)
		add_text_tag(out, &first, "otel.status_code",
			     row->span.status == 2 ? VIEW("ERROR") : VIEW("OK"));
	if (row->span.status == 2)
		add_tag(out, &first, VIEW("error"), &yes);
	if (row->span.status_message.len)
		add_text_tag(out, &first, "otel.status_description", row->span.status_message);
	if (row->span.trace_state.len)
		add_text_tag(out, &first, "w3c.tracestate", row->span.trace_state);
}

/* With leading zeros only in the lower half. */
static void add_trace_id(struct buf *out, struct view id)
{
	static const char zeros[8];

	if (id.len == 16 && !memcmp(id.at, zeros, 8))
		id = (struct view){ id.at + 8, 8 };
	json__hex(out, id);
}

static void add_reference(struct buf *out, bool *first, const char *type, struct view trace,
			  struct view span)
{
	buf__printf(out, "%s{\"refType\":\"%s\",\"traceID\":", *first ? "" : ",", type);
	*first = false;
	add_trace_id(out, trace);
	buf__add_str(out, ",\"spanID\":");
	json__hex(out, span);
	buf__add_str(out, "}");
}

static bool is_child_of(const struct span_link *link)
{
	struct otlp_value value;

	return otlp_attributes__find(link->message, 4, VIEW("opentracing.ref_type"), &value) &&
	       value.type == OTLP_STRING && view_eq(value.bytes, VIEW("child_of"));
}

static bool is_parent(const struct row *row, const struct span_link *link)
{
	return row->span.parent_id.len && view_eq(link->trace_id, row->span.trace_id) &&
	       view_eq(link->span_id, row->span.parent_id);
}

static const char *type_of(const struct span_link *link)
{
	return is_child_of(link) ? "CHILD_OF" : "FOLLOWS_FROM";
}

struct reference {
	const char *type;
	struct view trace, span;
};

/* The parent, by the type that the last link to it says, and the other links (traces_to_jaegerproto.go). */
static size_t references_of(const struct row *row, struct reference ret[REFERENCES_MAX])
{
	struct pb pb = pb__of(row->span.message);
	struct span_link link;
	size_t n = 0;

	if (row->span.parent_id.len)
		ret[n++] =
			(struct reference){ "CHILD_OF", row->span.trace_id, row->span.parent_id };
	while (row->span.links && span_link__next(&pb, &link)) {
		if (is_parent(row, &link))
			ret[0].type = type_of(&link);
		else if (n < REFERENCES_MAX)
			ret[n++] =
				(struct reference){ type_of(&link), link.trace_id, link.span_id };
	}
	return n;
}

/* A parent of this trace stands in front: one by CHILD_OF, or else any (model/adjuster/parent_reference.go). */
static void put_parent_first(const struct row *row, struct reference *references, size_t n)
{
	struct reference first;
	size_t child = n, other = n;

	for (size_t i = n; i-- > 0;)
		if (view_eq(references[i].trace, row->span.trace_id))
			*(strcmp(references[i].type, "CHILD_OF") ? &other : &child) = i;
	child = child < n ? child : other;
	if (child == n)
		return;
	first = references[0];
	references[0] = references[child];
	references[child] = first;
}

static void add_references(struct buf *out, const struct row *row, bool raw)
{
	struct reference references[REFERENCES_MAX];
	size_t n = references_of(row, references);
	bool first = true;

	if (!raw)
		put_parent_first(row, references, n);
	for (size_t i = 0; i < n; i++)
		add_reference(out, &first, references[i].type, references[i].trace,
			      references[i].span);
}

static void add_logs(struct buf *out, const struct row *row)
{
	struct pb pb = pb__of(row->span.message);
	struct otlp_value own;
	struct span_event event;
	bool any = false;

	while (row->span.events && span_event__next(&pb, &event)) {
		bool first = true;

		buf__printf(out, "%s{\"timestamp\":%" PRIu64 ",\"fields\":[", any ? "," : "",
			    event.time_ns / 1000);
		any = true;
		if (event.name.len && !otlp_attributes__find(event.message, 3, VIEW("event"), &own))
			add_text_tag(out, &first, "event", event.name);
		add_tags(out, &first, event.message, 3, NULL);
		buf__add_str(out, "]}");
	}
}

static int process_of(struct jaeger_trace *t, struct view resource)
{
	struct process *p;

	for (unsigned int i = 0; i < t->n_processes; i++)
		if (view_eq((struct view){ (const char *)t->processes[i].resource.at,
					   t->processes[i].resource.len },
			    resource))
			return (int)i + 1;
	if (t->n_processes == PROCESSES_MAX)
		return PROCESSES_MAX;
	if (!t->processes)
		t->processes = calloc(PROCESSES_MAX, sizeof(*t->processes));
	if (!t->processes)
		return -1;
	p = &t->processes[t->n_processes];
	buf__add_view(&p->resource, resource);
	return p->resource.err ? -1 : (int)++t->n_processes;
}

static void add_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	struct jaeger_traces *all = arg;
	struct jaeger_trace *t = &all->at[trace];
	int process = process_of(t, row->resource);
	struct buf *out;

	if (!t->spans)
		t->spans = body__new();
	if (!t->spans || process < 0) {
		all->failed = true;
		return;
	}
	if (t->n == SPANS_MAX)
		return;
	out = body__text(t->spans);
	buf__add_str(out, t->n++ ? ",{\"traceID\":" : "{\"traceID\":");
	add_trace_id(out, row->span.trace_id);
	buf__add_str(out, ",\"spanID\":");
	json__hex(out, row->span.span_id);
	buf__add_str(out, ",\"operationName\":");
	otlp_json__string(out, row->span.name);
	buf__add_str(out, ",\"references\":[");
	add_references(out, row, all->raw);
	buf__printf(out, "],\"startTime\":%" PRIu64 ",\"duration\":%" PRIu64 ",\"tags\":[",
		    row->span.start_ns / 1000, row->duration_ns / 1000);
	add_span_tags(out, row, scope);
	buf__add_str(out, "],\"logs\":[");
	add_logs(out, row);
	buf__printf(out, "],\"processID\":\"p%d\",\"warnings\":null}", process);
	body__spill(t->spans);
}

static void add_processes(struct buf *out, const struct jaeger_trace *t)
{
	for (unsigned int i = 0; i < t->n_processes; i++) {
		struct view resource = { (const char *)t->processes[i].resource.at,
					 t->processes[i].resource.len };
		bool first = true;

		buf__printf(out, "%s\"p%u\":{\"serviceName\":", i ? "," : "", i + 1);
		/* As it is called everywhere here, so that it can be searched for. */
		otlp_json__string(out, row__service(resource));
		buf__add_str(out, ",\"tags\":[");
		add_tags(out, &first, resource, OTLP_RESOURCE_ATTRIBUTES, "service.name");
		buf__add_str(out, "]}");
	}
}

static void tell(struct ask *ask, const uint8_t id[16], struct jaeger_trace *t, bool first)
{
	struct buf *out = ask__text(ask);

	buf__add_str(out, first ? "{\"traceID\":" : ",{\"traceID\":");
	add_trace_id(out, (struct view){ (const char *)id, 16 });
	buf__add_str(out, ",\"spans\":[");
	body__append(ask->answer->body, t->spans);
	t->spans = NULL;
	out = ask__text(ask);
	buf__add_str(out, "],\"processes\":{");
	add_processes(out, t);
	buf__add_str(out, "},\"warnings\":null}");
	body__spill(ask->answer->body);
}

/* A trace that was asked for by its id and is not there: in the words of Jaeger. */
static void add_missing(struct ask *ask, const struct found_traces *found,
			const struct jaeger_traces *all)
{
	struct buf *out = ask__text(ask);
	bool any = false;

	buf__add_str(out, "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":");
	for (unsigned int i = 0; i < found->n; i++) {
		if (all->at[i].n)
			continue;
		buf__add_str(out, any ? "," : "[");
		any = true;
		buf__add_str(out, "{\"msg\":\"trace not found\",\"traceID\":");
		add_trace_id(out, (struct view){ (const char *)found->ids[i], 16 });
		buf__add_str(out, "}");
	}
	buf__add_str(out, any ? "]}\n" : "null}\n");
}

void jaeger__tell(struct ask *ask, const struct found_traces *found, enum jaeger_asked asked)
{
	struct jaeger_traces all = { .at = calloc(found->n ? found->n : 1, sizeof(*all.at)) };
	const char *raw = target__param(ask->target, "raw");
	size_t n = 0;
	bool good;

	all.raw = raw && (!strcasecmp(raw, "true") || !strcasecmp(raw, "t") || !strcmp(raw, "1"));
	good = all.at && ask__spans(ask, found->ids, found->n, add_span, &all);

	if (good && !all.failed) {
		buf__add_str(ask__text(ask), "{\"data\":[");
		for (unsigned int i = 0; i < found->n; i++)
			if (all.at[i].n)
				tell(ask, found->ids[i], &all.at[i], !n++);
		if (asked == JAEGER_IDS)
			add_missing(ask, found, &all);
		else
			end_data(ask, 0);
		if (asked == JAEGER_ONE && !n)
			jaeger__error(ask, 404, "trace not found");
	} else if (!all.at || good) {
		ask__wrong(ask, -ENOMEM, NULL);
	}
	for (unsigned int i = 0; all.at && i < found->n; i++) {
		for (unsigned int k = 0; k < all.at[i].n_processes; k++)
			buf__free(&all.at[i].processes[k].resource);
		free(all.at[i].processes);
		body__free(all.at[i].spans);
	}
	free(all.at);
}

void jaeger__trace(struct ask *ask)
{
	struct found_traces found = { .n = 1 };

	if (!filter__trace_id(ask->part, true, found.ids[0])) {
		jaeger__error(ask, 400, "a trace id has 1 to 32 hexadecimal digits");
		return;
	}
	ask__more_time(ask);
	jaeger__tell(ask, &found, JAEGER_ONE);
}
