// SPDX-License-Identifier: Apache-2.0
/*
 * Names and values to complete what somebody types, as Tempo tells them: names of attributes by themselves, or by scope
 * as TraceQL has them (v2), where values have types. All but the services are those of the newest spans.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/tempo.h"
#include "serve/traceql.h"
#include "serve/value.h"

#define TAGS_MAX 512
#define SAMPLE_SPANS 20000

/* What every trace can be searched by, as Tempo names it: by tags, and in TraceQL. */
static const char *const made_names[] = { "name", "root.name", "root.service.name", "status.code",
					  "error" };
static const char *const status_codes[] = { "0", "1", "2", "error", "ok", "unset" };
static const char *const intrinsics[] = {
	"duration",	 "kind",	   "name",	"rootName",	  "rootServiceName",
	"span:duration", "span:id",	   "span:kind", "span:name",	  "span:status",
	"status",	 "trace:duration", "trace:id",	"trace:rootName", "trace:rootService",
	"traceDuration"
};
static const char *const kinds[] = { "client", "consumer", "internal", "producer", "server" };
static const char *const states[] = { "error", "ok", "unset" };

enum what { TAG_NAMES, TAG_VALUES, SCOPED_NAMES, TYPED_VALUES };

/* Names, or one name's values, of the newest spans. */
struct sample {
	struct ask *ask;
	enum what what;
	struct view tag;		  /* the values of which are wanted, as by tags */
	struct traceql_name name;	  /* the same, in TraceQL */
	struct filter filter;		  /* of which spans */
	bool none[TRACEQL_INTRINSIC + 1]; /* names of this scope are not wanted */
	struct buf text;		  /* of what is found */
	struct {
		size_t at, len;
		int type; /* of a value, enum otlp_type; of a name its scope */
	} found[TAGS_MAX];
	unsigned int n, spans;
};

static void keep(struct sample *s, int type, struct view text)
{
	if (text.len > 1024 || s->n == TAGS_MAX)
		return;
	for (unsigned int i = 0; i < s->n; i++)
		if (s->found[i].type == type &&
		    view_eq((struct view){ (const char *)s->text.at + s->found[i].at,
					   s->found[i].len },
			    text))
			return;
	s->found[s->n].at = s->text.len;
	s->found[s->n].len = text.len;
	s->found[s->n].type = type;
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

bool tempo__is_plain(const struct otlp_value *value)
{
	return value->type == OTLP_STRING || value->type == OTLP_BOOL || value->type == OTLP_INT ||
	       value->type == OTLP_DOUBLE;
}

void tempo__value(struct buf *out, const struct otlp_value *value)
{
	if (value->type == OTLP_STRING) {
		buf__add_str(out, "{\"stringValue\":");
		otlp_json__string(out, value->bytes);
	} else if (value->type == OTLP_BOOL) {
		buf__printf(out, "{\"boolValue\":%s", value->number ? "true" : "false");
	} else if (value->type == OTLP_INT) {
		buf__printf(out, "{\"intValue\":\"%" PRId64 "\"", (int64_t)value->number);
	} else {
		buf__add_str(out, "{\"doubleValue\":");
		otlp_json__double(out, value->real);
	}
	buf__add_str(out, "}");
}

static void keep_value(struct sample *s, const struct otlp_value *value)
{
	struct buf text = { 0 };

	if (value->type == OTLP_DOUBLE)
		add_double(&text, value->real);
	else
		json__value_text(&text, value);
	/* By tags all are text. */
	keep(s, s->what == TYPED_VALUES ? (int)value->type : OTLP_STRING,
	     (struct view){ (const char *)text.at, text.len });
	buf__free(&text);
}

static void keep_message(struct sample *s, struct view message, uint32_t field,
			 enum traceql_scope scope)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct view key, wanted = s->what == TYPED_VALUES ? s->name.text : s->tag;

	if (s->what == TYPED_VALUES && s->name.scope != TRACEQL_ANY && s->name.scope != scope)
		return;
	if (s->what == SCOPED_NAMES && s->none[scope])
		return;
	while (otlp_attributes__next(&it, &key, &value) > 0) {
		if (!tempo__is_plain(&value))
			continue;
		if (s->what == TAG_NAMES || s->what == SCOPED_NAMES)
			keep(s, s->what == SCOPED_NAMES ? (int)scope : 0, key);
		else if (view_eq(key, wanted))
			keep_value(s, &value);
	}
}

static bool is_asked(const struct sample *s, const char *tag, const char *name)
{
	return s->what == TAG_VALUES   ? view_eq(s->tag, view_of(tag)) :
	       s->what == TYPED_VALUES ? s->name.scope == TRACEQL_INTRINSIC &&
						 view_eq(s->name.text, view_of(name)) :
					 false;
}

static void sample_span(void *arg, const struct row *row, struct view scope)
{
	struct sample *s = arg;
	bool root = !row->span.parent_id.len;

	s->spans++;
	keep_message(s, row->resource, OTLP_RESOURCE_ATTRIBUTES, TRACEQL_RESOURCE);
	keep_message(s, row->span.message, OTLP_SPAN_ATTRIBUTES, TRACEQL_SPAN);
	if (is_asked(s, "name", "name") || (root && is_asked(s, "root.name", "rootName")))
		keep(s, OTLP_STRING, row->span.name);
	else if (root && is_asked(s, "root.service.name", "rootServiceName"))
		keep(s, OTLP_STRING, row->service);
}

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static void keep_all(struct sample *s, int type, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		keep(s, type, view_of(list[i]));
}

/* A word of TraceQL, which has no quotes around it. */
#define KEYWORD 1000

/* What is there whether or not a span has it. */
static void keep_made(struct sample *s)
{
	if (s->what == TAG_NAMES)
		keep_all(s, 0, made_names, COUNT(made_names));
	else if (s->what == SCOPED_NAMES && !s->none[TRACEQL_INTRINSIC])
		keep_all(s, TRACEQL_INTRINSIC, intrinsics, COUNT(intrinsics));
	else if (is_asked(s, "status.code", ""))
		keep_all(s, OTLP_STRING, status_codes, COUNT(status_codes));
	else if (is_asked(s, "error", ""))
		keep(s, OTLP_STRING, VIEW("true"));
	else if (is_asked(s, "", "status"))
		keep_all(s, KEYWORD, states, COUNT(states));
	else if (is_asked(s, "", "kind"))
		keep_all(s, KEYWORD, kinds, COUNT(kinds));
}

static bool sample_stop(void *arg)
{
	struct sample *s = arg;

	return s->spans >= SAMPLE_SPANS || ask__late(s->ask);
}

static bool sample_match(void *arg, const struct row *row)
{
	const struct sample *s = arg;

	return filter__matches(&s->filter, row);
}

static void ignore_note(void *arg, const char *text)
{
}

static struct view found_text(const struct sample *s, unsigned int i)
{
	return (struct view){ (const char *)s->text.at + s->found[i].at, s->found[i].len };
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

static void tell_scopes(struct buf *out, const struct sample *s)
{
	static const struct {
		enum traceql_scope scope;
		const char *name;
	} scopes[] = { { TRACEQL_RESOURCE, "resource" },
		       { TRACEQL_SPAN, "span" },
		       { TRACEQL_INTRINSIC, "intrinsic" } };
	unsigned int told = 0;

	buf__add_str(out, "{\"scopes\":[");
	for (size_t k = 0; k < COUNT(scopes); k++) {
		unsigned int n = 0;

		if (s->none[scopes[k].scope])
			continue;
		buf__printf(out, "%s{\"name\":\"%s\",\"tags\":[", told++ ? "," : "",
			    scopes[k].name);
		for (unsigned int i = 0; i < s->n; i++) {
			if (s->found[i].type != (int)scopes[k].scope)
				continue;
			buf__add(out, ",", n++ > 0);
			otlp_json__string(out, found_text(s, i));
		}
		buf__add_str(out, "]}");
	}
	buf__add_str(out, "],\"metrics\":{}}\n");
}

static const char *type_name(int type)
{
	switch (type) {
	case OTLP_INT:
		return "int";
	case OTLP_DOUBLE:
		return "float";
	case OTLP_BOOL:
		return "bool";
	case KEYWORD:
		return "keyword";
	default:
		return "string";
	}
}

static void add_typed(struct buf *out, bool first, int type, struct view text)
{
	buf__printf(out, "%s{\"type\":\"%s\",\"value\":", first ? "" : ",", type_name(type));
	otlp_json__string(out, text);
	buf__add_str(out, "}");
}

static void tell(struct buf *out, const struct sample *s)
{
	if (s->what == SCOPED_NAMES) {
		tell_scopes(out, s);
		return;
	}
	if (s->what == TYPED_VALUES) {
		buf__add_str(out, "{\"tagValues\":[");
		for (unsigned int i = 0; i < s->n; i++)
			add_typed(out, !i, s->found[i].type, found_text(s, i));
		buf__add_str(out, "],\"metrics\":{}}\n");
		return;
	}
	for (unsigned int i = 0; i < s->n; i++)
		add_name(out, s->what == TAG_NAMES ? "tagNames" : "tagValues", i, found_text(s, i));
	buf__add_str(out, s->n ? "]}\n" : "{}\n");
}

static void answer_sample(struct ask *ask, struct sample *s)
{
	struct store_query query = { .where = s->filter.where,
				     .stop = sample_stop,
				     .match = sample_match,
				     .found = sample_span,
				     .note = ignore_note,
				     .arg = s };
	struct store_answer answer;
	struct err err = { "" };

	keep_made(s);
	if (store__search(ask->api->folder, &query, &answer, &err))
		ask__unreadable(ask, &err);
	else
		tell(ask__text(ask), s);
}

/* Of what is typed only half is there, mostly: a query that cannot be read narrows nothing. */
static int narrow(struct filter *filter, const char *text)
{
	struct traceql query;
	struct err err = { "" };
	int ret = traceql__parse(&query, text, &err);

	if (ret)
		return ret == -ENOMEM ? ret : 0;
	if (query.n_sets == 1) {
		ret = filter__add_where(filter, query.sets[0]);
		query.sets[0] = NULL;
	}
	traceql__free(&query);
	return ret;
}

/* 0, -ENOMEM, or -EINVAL with err. */
static int read_scope(struct sample *s, const char *name, struct err *err)
{
	static const struct {
		const char *name;
		enum traceql_scope scope;
	} scopes[] = { { "resource", TRACEQL_RESOURCE },
		       { "span", TRACEQL_SPAN },
		       { "intrinsic", TRACEQL_INTRINSIC },
		       /* There may be some, but none that can be searched by. */
		       { "event", TRACEQL_ANY },
		       { "link", TRACEQL_ANY },
		       { "trace", TRACEQL_ANY },
		       { "instrumentation", TRACEQL_ANY } };

	if (!*name || !strcmp(name, "none"))
		return 0;
	for (size_t i = 0; i < COUNT(scopes); i++) {
		if (strcmp(scopes[i].name, name) != 0)
			continue;
		for (int k = 0; k <= TRACEQL_INTRINSIC; k++)
			s->none[k] = k != (int)scopes[i].scope;
		return 0;
	}
	return err__set(err, -EINVAL, "invalid scope: %.100s", name);
}

static int read_param(struct sample *s, const char *key, const char *value, struct err *err)
{
	uint64_t n;

	if (!strcmp(key, "scope"))
		return read_scope(s, value, err);
	if (!*value)
		return 0;
	if (!strcmp(key, "q"))
		return narrow(&s->filter, value);
	if (strcmp(key, "start") != 0 && strcmp(key, "end") != 0)
		return 0;
	if (!filter__number(value, &n) || n > UINT64_MAX / 1000000000u)
		return err__set(err, -EINVAL, "invalid %s: %.200s is no number", key, value);
	if (*key == 's')
		s->filter.start_ns = n * 1000000000u;
	else
		s->filter.end_ns = n * 1000000000u + 999999999u;
	return 0;
}

static void answer(struct ask *ask, enum what what)
{
	struct sample *s = calloc(1, sizeof(*s));
	struct err err = { "" };
	int ret = s ? 0 : -ENOMEM;

	if (s) {
		s->ask = ask;
		s->what = what;
		s->tag = ask->part;
		s->name = traceql__name(ask->part);
		s->filter.end_ns = UINT64_MAX;
	}
	for (unsigned int i = 0; i < ask->target->n_params && !ret; i++)
		ret = read_param(s, ask->target->params[i].key.at, ask->target->params[i].value.at,
				 &err);
	if (ret == -EINVAL)
		tempo__error(ask, 400, err.text);
	else if (ret)
		ask__wrong(ask, ret, NULL);
	else
		answer_sample(ask, s);
	if (s) {
		filter__free(&s->filter);
		buf__free(&s->text);
	}
	free(s);
}

/* All services that there are, and no sample. */
static void answer_services(struct ask *ask, bool typed)
{
	static const struct filter everything = { .end_ns = UINT64_MAX };
	struct buf *out = ask__text(ask);
	struct names names = { 0 };

	if (!ask__services(ask, &everything, &names))
		return;
	if (typed)
		buf__add_str(out, "{\"tagValues\":[");
	for (size_t i = 0; i < names.n; i++) {
		if (typed)
			add_typed(out, !i, OTLP_STRING, names.at[i].name);
		else
			add_name(out, "tagValues", i, names.at[i].name);
	}
	buf__add_str(out, typed ? "],\"metrics\":{}}\n" : names.n ? "]}\n" : "{}\n");
	names__free(&names);
}

void tempo__tags(struct ask *ask)
{
	answer(ask, TAG_NAMES);
}

void tempo__tags_v2(struct ask *ask)
{
	answer(ask, SCOPED_NAMES);
}

void tempo__tag_values(struct ask *ask)
{
	if (view_eq(ask->part, VIEW("service.name")))
		answer_services(ask, false);
	else
		answer(ask, TAG_VALUES);
}

void tempo__tag_values_v2(struct ask *ask)
{
	struct traceql_name name = traceql__name(ask->part);
	const char *q = target__param(ask->target, "q"),
		   *start = target__param(ask->target, "start");

	if (view_eq(name.text, VIEW("service.name")) && name.scope != TRACEQL_SPAN && (!q || !*q) &&
	    (!start || !*start))
		answer_services(ask, true);
	else
		answer(ask, TYPED_VALUES);
}
