// SPDX-License-Identifier: Apache-2.0
/*
 * The read API of Jaeger's query service, as Jaeger 1.x answers it (cmd/query/app/http_handler.go, model/json):
 * ids in hexadecimal, times in microseconds, attributes as tags, a resource as the process of its spans.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/api_impl.h"
#include "serve/traceql.h"
#include "serve/value.h"

#define SPANS_MAX 200000
#define PROCESSES_MAX 1024

static void jaeger_error(struct ask *ask, unsigned int status, const char *why)
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

static void add_strings(struct ask *ask, struct names *names)
{
	struct buf *out = ask__text(ask);
	size_t n = 0;

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
		jaeger_error(ask, 400, "parameter 'service' is required");
		return;
	}
	if (!ask__operations(ask, service, &everything, &names))
		return;
	buf__add_str(out, "{\"data\":[");
	for (size_t i = 0; i < names.n; i++) {
		const char *of = names.at[i].kind ? kind__name(names.at[i].kind) : "";

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
	bool failed;
};

static void add_tag(struct buf *out, bool *first, struct view key, const struct otlp_value *value)
{
	static const char *const types[] = {
		[OTLP_EMPTY] = "string",  [OTLP_STRING] = "string",  [OTLP_BOOL] = "bool",
		[OTLP_INT] = "int64",	  [OTLP_DOUBLE] = "float64", [OTLP_ARRAY] = "string",
		[OTLP_KVLIST] = "string", [OTLP_BYTES] = "binary",
	};
	struct buf text = { 0 };

	buf__add_str(out, *first ? "{\"key\":" : ",{\"key\":");
	*first = false;
	otlp_json__string(out, key);
	buf__printf(out, ",\"type\":\"%s\",\"value\":", types[value->type]);
	if (value->type == OTLP_ARRAY || value->type == OTLP_KVLIST || value->type == OTLP_EMPTY) {
		json__value_text(&text, value);
		otlp_json__string(out, (struct view){ (const char *)text.at, text.len });
		out->err = out->err ? out->err : text.err;
		buf__free(&text);
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

static void add_links(struct buf *out, const struct row *row, bool *first)
{
	struct pb pb = pb__of(row->span.message), inner;
	struct view trace, span;
	struct pb_field f, g;

	while (row->span.links && pb__next(&pb, &f) > 0) {
		if (f.number != 13 || f.wire != PB_BYTES)
			continue;
		trace = span = (struct view){ "", 0 };
		inner = pb__of(f.bytes);
		while (pb__next(&inner, &g) > 0) {
			if (g.number == 1 && g.wire == PB_BYTES)
				trace = g.bytes;
			else if (g.number == 2 && g.wire == PB_BYTES)
				span = g.bytes;
		}
		add_reference(out, first, "FOLLOWS_FROM", trace, span);
	}
}

static void add_logs(struct buf *out, const struct row *row)
{
	struct pb pb = pb__of(row->span.message);
	struct span_event event;
	bool any = false;

	while (row->span.events && span_event__next(&pb, &event)) {
		bool first = true;

		buf__printf(out, "%s{\"timestamp\":%" PRIu64 ",\"fields\":[", any ? "," : "",
			    event.time_ns / 1000);
		any = true;
		if (event.name.len)
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
	bool first = true;
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
	if (row->span.parent_id.len)
		add_reference(out, &first, "CHILD_OF", row->span.trace_id, row->span.parent_id);
	add_links(out, row, &first);
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

static void answer_traces(struct ask *ask, const struct found_traces *found, bool must)
{
	struct jaeger_traces all = { .at = calloc(found->n ? found->n : 1, sizeof(*all.at)) };
	size_t n = 0;
	bool good = all.at && ask__spans(ask, found->ids, found->n, add_span, &all);

	if (good && !all.failed) {
		buf__add_str(ask__text(ask), "{\"data\":[");
		for (unsigned int i = 0; i < found->n; i++)
			if (all.at[i].n)
				tell(ask, found->ids[i], &all.at[i], !n++);
		end_data(ask, 0);
		if (must && !n)
			jaeger_error(ask, 404, "trace not found");
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
		jaeger_error(ask, 400, "a trace id has 1 to 32 hexadecimal digits");
		return;
	}
	ask->until_ns += 8000000000ull;
	answer_traces(ask, &found, true);
}

/* What Jaeger calls by names of its own. */
static int add_tag_filter(struct filter *f, const char *key, const char *value)
{
	if (!strcmp(key, "error"))
		return strcmp(value, "true") ? 0 : filter__add_text(f, "status", "error");
	if (!strcmp(key, "span.kind"))
		return filter__add_text(f, "kind", value);
	return filter__add_attribute(f, view_of(key), value);
}

static int add_tags_json(struct filter *f, const char *text)
{
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
	const char *key;
	int ret = json_is_object(root) ? 0 : -EINVAL;

	json_object_foreach(root, key, value)
	{
		if (!ret)
			ret = json_is_string(value) ?
				      add_tag_filter(f, key, json_string_value(value)) :
				      -EINVAL;
	}
	json_decref(root);
	return ret;
}

static int read_param(struct filter *f, const char *key, char *value, const char **why)
{
	uint64_t n;
	char *colon;

	*why = "a parameter cannot be read";
	if (!*value)
		return 0;
	if (!strcmp(key, "service") || !strcmp(key, "operation"))
		return filter__add_text(f, key, value);
	if (!strcmp(key, "start") || !strcmp(key, "end")) {
		*why = "start and end are microseconds since the epoch";
		if (!filter__number(value, &n) || n > UINT64_MAX / 1000)
			return -EINVAL;
		*(*key == 's' ? &f->start_ns : &f->end_ns) = n * 1000;
	} else if (!strcmp(key, "limit")) {
		*why = "limit is a number of traces";
		if (!filter__number(value, &n))
			return -EINVAL;
		f->limit = n && n < FILTER_LIMIT_MAX ? (unsigned int)n : FILTER_LIMIT_MAX;
	} else if (!strcmp(key, "minDuration") || !strcmp(key, "maxDuration")) {
		*why = "durations are written as 100ms or 1.2s";
		return traceql__duration(value, &n) ? filter__add_duration(f, key[1] == 'i', n) :
						      -EINVAL;
	} else if (!strcmp(key, "tags")) {
		*why = "malformed 'tags' parameter, expecting a JSON object of strings";
		return add_tags_json(f, value);
	} else if (!strcmp(key, "tag")) {
		*why = "malformed 'tag' parameter, expecting key:value";
		colon = strchr(value, ':');
		if (!colon || colon == value)
			return -EINVAL;
		*colon = 0;
		return add_tag_filter(f, value, colon + 1);
	}
	return 0;
}

/* traceID=...: these, whatever else is asked. */
static bool read_ids(struct ask *ask, struct found_traces *ret)
{
	for (unsigned int i = 0; i < ask->target->n_params; i++) {
		if (!view_eq(ask->target->params[i].key, VIEW("traceID")))
			continue;
		if (!filter__trace_id(ask->target->params[i].value, true, ret->ids[ret->n]))
			return false;
		ret->n++;
	}
	return true;
}
_Static_assert(TARGET_PARAMS_MAX <= FILTER_LIMIT_MAX, "all ids have room");

void jaeger__traces(struct ask *ask)
{
	struct filter filter = { .end_ns = UINT64_MAX, .limit = 20 };
	struct found_traces found = { .n = 0 };
	const char *service = target__param(ask->target, "service"), *why = NULL;
	int ret = 0;

	if (!read_ids(ask, &found)) {
		jaeger_error(ask, 400, "a trace id has 1 to 32 hexadecimal digits");
		return;
	}
	if (found.n) {
		answer_traces(ask, &found, false);
		return;
	}
	if (!service || !*service) {
		jaeger_error(ask, 400, "parameter 'service' is required");
		return;
	}
	for (unsigned int i = 0; i < ask->target->n_params && !ret; i++)
		ret = read_param(&filter, ask->target->params[i].key.at,
				 (char *)ask->target->params[i].value.at, &why);
	if (ret == -EINVAL)
		jaeger_error(ask, 400, why);
	else if (ret)
		ask__wrong(ask, ret, NULL);
	else if (ask__find(ask, &filter, &found))
		answer_traces(ask, &found, false);
	filter__free(&filter);
}
