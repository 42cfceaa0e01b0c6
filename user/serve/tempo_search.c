// SPDX-License-Identifier: Apache-2.0
/*
 * Tempo's search: by tags (logfmt), or by the part of TraceQL that is sets of conditions on spans. Tags, sets and
 * durations are those of a trace: each may be met by another span, and a trace lasts from the begin of its first
 * span to the end of its last one. What meets a set is told beside its trace.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/tempo.h"
#include "serve/traceql.h"

#define CONDITIONS_MAX 64
/* Spans told of a trace, where none or all are asked for. */
#define SPANS_DEFAULT 3
#define SPANS_MAX 100
/* What stands for a root that is not there (modules/ingester and tempodb/search of Tempo). */
#define NO_ROOT "<root span not yet received>"

/* What has to hold for a trace. */
struct search {
	struct filter all; /* for one span: the range and all conditions on spans */
	struct filter conditions[CONDITIONS_MAX];
	unsigned int n;
	char *root_service, *root_name; /* NULL: any */
	uint64_t least_ns, most_ns;	/* 0: any */
	unsigned int limit, spans;
	struct traceql
		query; /* its names are told of each span; its sets are among the conditions */
	bool tell_spans;
};

/* What is told of a trace, and which conditions it meets. */
struct summary {
	uint8_t id[16];
	uint64_t start_ns, end_ns, spans, met, matched;
	bool root, right_service, right_name;
	struct buf told, set; /* of the root, of the spans that matched; JSON */
};

static void free_summary(struct summary *s)
{
	buf__free(&s->told);
	buf__free(&s->set);
}

static void see_root(const struct search *search, struct summary *s, const struct row *row)
{
	struct otlp_value service;

	if (s->root)
		return;
	s->root = true;
	s->right_service =
		!search->root_service || view_eq(row->service, view_of(search->root_service));
	s->right_name = !search->root_name || view_eq(row->span.name, view_of(search->root_name));
	buf__add_str(&s->told, "\"rootServiceName\":");
	if (otlp_attributes__find(row->resource, OTLP_RESOURCE_ATTRIBUTES, VIEW("service.name"),
				  &service))
		otlp_json__string(&s->told, row->service);
	else
		buf__add_str(&s->told, "\"" NO_ROOT "\"");
	if (!row->span.name.len)
		return;
	buf__add_str(&s->told, ",\"rootTraceName\":");
	otlp_json__string(&s->told, row->span.name);
}

static void add_pair(struct buf *out, bool *any, struct view key)
{
	buf__add_str(out, *any ? ",{\"key\":" : ",\"attributes\":[{\"key\":");
	*any = true;
	otlp_json__string(out, key);
	buf__add_str(out, ",\"value\":");
}

static void tell_intrinsic(struct buf *out, bool *any, struct view name, const struct row *row)
{
	static const char *const codes[] = { "unset", "ok", "error" };

	if (view_eq(name, VIEW("status"))) {
		add_pair(out, any, name);
		buf__printf(out, "{\"stringValue\":\"%s\"}}",
			    codes[row->span.status < 3 ? row->span.status : 0]);
	} else if (view_eq(name, VIEW("kind"))) {
		add_pair(out, any, name);
		buf__printf(out, "{\"stringValue\":\"%s\"}}", kind__name(row->span.kind));
	}
}

static void tell_name(struct buf *out, bool *any, const struct traceql_name *name,
		      const struct row *row)
{
	struct otlp_value value;

	if (name->scope == TRACEQL_INTRINSIC) {
		tell_intrinsic(out, any, name->text, row);
		return;
	}
	if ((name->scope == TRACEQL_RESOURCE ||
	     !otlp_attributes__find(row->span.message, OTLP_SPAN_ATTRIBUTES, name->text, &value)) &&
	    (name->scope == TRACEQL_SPAN ||
	     !otlp_attributes__find(row->resource, OTLP_RESOURCE_ATTRIBUTES, name->text, &value)))
		return;
	if (!tempo__is_plain(&value))
		return;
	add_pair(out, any, name->text);
	tempo__value(out, &value);
	buf__add_str(out, "}");
}

static void see_match(const struct search *search, struct summary *s, const struct row *row)
{
	struct buf *out = &s->set;
	bool any = false;

	if (s->matched++ >= search->spans)
		return;
	buf__add_str(out, out->len ? ",{\"spanID\":" : "{\"spanID\":");
	json__hex(out, row->span.span_id);
	if (row->span.name.len) {
		buf__add_str(out, ",\"name\":");
		otlp_json__string(out, row->span.name);
	}
	buf__printf(out, ",\"startTimeUnixNano\":\"%" PRIu64 "\",\"durationNanos\":\"%" PRIu64 "\"",
		    row->span.start_ns, row->duration_ns);
	for (unsigned int i = 0; i < search->query.n_names; i++)
		tell_name(out, &any, &search->query.names[i], row);
	buf__add_str(out, any ? "]}" : "}");
}

struct looking {
	const struct search *search;
	struct summary *at;
};

static void see_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	const struct looking *looking = arg;
	const struct search *search = looking->search;
	struct summary *s = &looking->at[trace];
	uint64_t end = row->span.start_ns + row->duration_ns;
	bool matched = false;

	if (!s->spans++ || row->span.start_ns < s->start_ns)
		s->start_ns = row->span.start_ns;
	s->end_ns = end > s->end_ns ? end : s->end_ns;
	for (unsigned int i = 0; i < search->n; i++) {
		if (!search->tell_spans && (s->met >> i & 1))
			continue;
		if (!filter__matches(&search->conditions[i], row))
			continue;
		s->met |= 1ull << i;
		matched = true;
	}
	if (search->tell_spans && matched)
		see_match(search, s, row);
	if (!row->span.parent_id.len)
		see_root(search, s, row);
}

static bool is_met(const struct search *search, const struct summary *s)
{
	uint64_t took = s->end_ns - s->start_ns;

	if (!s->spans || s->met != (search->n == 64 ? ~0ull : (1ull << search->n) - 1))
		return false;
	if (search->root_service && !s->right_service)
		return false;
	if (search->root_name && !s->right_name)
		return false;
	return (!search->least_ns || took >= search->least_ns) &&
	       (!search->most_ns || took <= search->most_ns);
}

struct results {
	struct summary at[FILTER_LIMIT_MAX];
	unsigned int n, looked_at;
};

static bool is_known(const struct results *all, const uint8_t id[16])
{
	for (unsigned int i = 0; i < all->n; i++)
		if (!memcmp(all->at[i].id, id, 16))
			return true;
	return false;
}

static void keep(const struct search *search, struct results *all, struct summary *s)
{
	if (all->n == search->limit || is_known(all, s->id))
		return;
	all->at[all->n++] = *s;
	s->told = s->set = (struct buf){ 0 };
}

/* What a span meets its trace meets: there is nothing to find out of the others. */
static bool is_simple(const struct search *s)
{
	return s->n < 2 && !s->least_ns && !s->most_ns && !s->root_service && !s->root_name;
}

/* Of the newest traces with a span that this filter matches, those that meet all. False: the answer is an error. */
static bool look(struct ask *ask, const struct search *search, const struct filter *lead,
		 struct results *all)
{
	struct filter filter = { .where = lead->where,
				 .start_ns = search->all.start_ns,
				 .end_ns = search->all.end_ns,
				 .limit = is_simple(search) ? search->limit : FILTER_LIMIT_MAX };
	struct summary *at = calloc(FILTER_LIMIT_MAX, sizeof(*at));
	struct found_traces *found = calloc(1, sizeof(*found));
	struct looking looking = { search, at };
	bool good = at && found;

	if (!good)
		ask__wrong(ask, -ENOMEM, NULL);
	else
		good = ask__find(ask, &filter, found) &&
		       ask__spans(ask, found->ids, found->n, see_span, &looking);
	for (unsigned int i = 0; good && i < found->n; i++) {
		memcpy(at[i].id, found->ids[i], 16);
		if (is_met(search, &at[i]))
			keep(search, all, &at[i]);
	}
	all->looked_at += good ? found->n : 0;
	for (unsigned int i = 0; at && i < FILTER_LIMIT_MAX; i++)
		free_summary(&at[i]);
	free(at);
	free(found);
	return good;
}

/* First where one span says it all, which postings find among millions; then by each condition alone. */
static bool look_all(struct ask *ask, const struct search *search, struct results *all)
{
	bool plain = search->n < 2 && !search->least_ns;

	if (!look(ask, search, &search->all, all))
		return false;
	for (unsigned int i = 0; i < search->n && !plain && all->n < search->limit; i++)
		if (!look(ask, search, &search->conditions[i], all))
			return false;
	return true;
}

static int newest_first(const void *a, const void *b)
{
	const struct summary *x = a, *y = b;

	return x->start_ns > y->start_ns ? -1 : x->start_ns < y->start_ns;
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

static void tell(struct ask *ask, struct results *all)
{
	struct buf *out = ask__text(ask);

	qsort(all->at, all->n, sizeof(*all->at), newest_first);
	buf__add_str(out, all->n ? "{\"traces\":[" : "{");
	for (unsigned int i = 0; i < all->n; i++) {
		const struct summary *s = &all->at[i];
		uint64_t ms = (s->end_ns - s->start_ns) / 1000000;

		buf__add(out, ",", i > 0);
		add_short_id(out, s->id);
		if (s->root)
			buf__add(out, s->told.at, s->told.len);
		else
			buf__add_str(out, "\"rootServiceName\":\"" NO_ROOT "\"");
		buf__printf(out, ",\"startTimeUnixNano\":\"%" PRIu64 "\"", s->start_ns);
		if (ms)
			buf__printf(out, ",\"durationMs\":%" PRIu64, ms);
		/* The first set stands by itself, too, as in the answers of Tempo 2. */
		for (int set = 0; set < 2 && s->set.len; set++) {
			buf__add_str(out, set ? ",\"spanSets\":[{\"spans\":[" :
						",\"spanSet\":{\"spans\":[");
			buf__add(out, s->set.at, s->set.len);
			buf__printf(out, "],\"matched\":%" PRIu64 "}%s", s->matched,
				    set ? "]" : "");
		}
		buf__add_str(out, "}");
	}
	buf__printf(out, "%s\"metrics\":{\"inspectedTraces\":%u}}\n", all->n ? "]," : "",
		    all->looked_at);
}

static struct filter *next_condition(struct search *s)
{
	struct filter *f = s->n < CONDITIONS_MAX ? &s->conditions[s->n++] : NULL;

	if (f)
		*f = (struct filter){ .end_ns = UINT64_MAX };
	return f;
}

static int read_tag(void *arg, struct view name, const char *value)
{
	struct search *s = arg;
	struct filter *condition;
	int ret;

	if (view_eq(name, VIEW("root.service.name")) || view_eq(name, VIEW("root.name"))) {
		char **root = name.len == 9 ? &s->root_name : &s->root_service;

		free(*root);
		*root = strdup(value);
		return *root ? 0 : -ENOMEM;
	}
	condition = next_condition(s);
	if (!condition)
		return -EINVAL;
	ret = traceql__add_tag(condition, name, value);
	return ret ? ret : traceql__add_tag(&s->all, name, value);
}

static int keep_text(char **ret, const struct buf *text)
{
	if (!text->len)
		return 0;
	free(*ret);
	*ret = strdup((const char *)text->at);
	return *ret ? 0 : -ENOMEM;
}

static struct where *take_set(struct traceql *query, unsigned int i)
{
	struct where *set = query->sets[i];

	query->sets[i] = NULL;
	return set;
}

/* Its sets twice: each by itself, and all of them for one span. */
static int read_query(struct search *s, const char *value, struct err *err)
{
	struct traceql once = { 0 };
	int ret;

	if (s->tell_spans)
		return err__set(err, -EINVAL, "invalid query: there is more than one q");
	ret = traceql__parse(&s->query, value, err);
	if (!ret)
		ret = traceql__parse(&once, value, err);
	for (unsigned int i = 0; !ret && i < once.n_sets; i++) {
		struct filter *condition = next_condition(s);

		ret = condition ? filter__add_where(condition, take_set(&s->query, i)) : -EINVAL;
		if (!ret)
			ret = filter__add_where(&s->all, take_set(&once, i));
	}
	if (!ret)
		ret = keep_text(&s->root_service, &s->query.root_service);
	if (!ret)
		ret = keep_text(&s->root_name, &s->query.root_name);
	s->least_ns = s->query.least_ns ? s->query.least_ns : s->least_ns;
	s->most_ns = s->query.most_ns ? s->query.most_ns : s->most_ns;
	s->tell_spans = true;
	traceql__free(&once);
	return ret;
}

static int read_duration(struct search *s, const char *key, const char *value, struct err *err)
{
	bool least = key[1] == 'i';
	uint64_t ns;

	if (!traceql__duration(value, &ns))
		return err__set(err, -EINVAL, "invalid %s: %.200s is no duration such as 100ms",
				key, value);
	*(least ? &s->least_ns : &s->most_ns) = ns;
	return filter__add_duration(&s->all, least, ns);
}

static int read_number(struct search *s, const char *key, const char *value, struct err *err)
{
	uint64_t n;

	if (!filter__number(value, &n) || n > UINT64_MAX / 1000000000u)
		return err__set(err, -EINVAL, "invalid %s: %.200s is no number", key, value);
	if (*key == 'l' && !n)
		return err__set(err, -EINVAL, "invalid limit: must be a positive number");
	if (*key == 'l')
		s->limit = n < FILTER_LIMIT_MAX ? (unsigned int)n : FILTER_LIMIT_MAX;
	else if (!strcmp(key, "spss"))
		s->spans = n && n < SPANS_MAX ? (unsigned int)n : SPANS_MAX;
	else if (*key == 's')
		s->all.start_ns = n * 1000000000u;
	else
		s->all.end_ns = n * 1000000000u + 999999999u;
	return 0;
}

static int read_param(struct search *s, const char *key, const char *value, struct err *err)
{
	if (!*value)
		return 0;
	if (!strcmp(key, "tags"))
		return traceql__each_tag(value, read_tag, s, err);
	if (!strcmp(key, "q"))
		return read_query(s, value, err);
	if (!strcmp(key, "minDuration") || !strcmp(key, "maxDuration"))
		return read_duration(s, key, value, err);
	if (!strcmp(key, "limit") || !strcmp(key, "start") || !strcmp(key, "end") ||
	    !strcmp(key, "spss"))
		return read_number(s, key, value, err);
	return 0;
}

void tempo__search(struct ask *ask)
{
	struct search *s = calloc(1, sizeof(*s));
	struct results *all = calloc(1, sizeof(*all));
	struct err err = { "" };
	int ret = s && all ? 0 : -ENOMEM;

	if (s) {
		s->all.end_ns = UINT64_MAX;
		s->limit = FILTER_LIMIT_DEFAULT;
		s->spans = SPANS_DEFAULT;
	}
	for (unsigned int i = 0; i < ask->target->n_params && !ret; i++)
		ret = read_param(s, ask->target->params[i].key.at, ask->target->params[i].value.at,
				 &err);
	if (!ret && s->all.end_ns <= s->all.start_ns)
		ret = err__set(&err, -EINVAL, "http parameter start must be before end");
	if (ret == -EINVAL)
		tempo__error(ask, 400, *err.text ? err.text : "there are too many conditions");
	else if (ret)
		ask__wrong(ask, ret, NULL);
	else if (look_all(ask, s, all))
		tell(ask, all);
	for (unsigned int i = 0; all && i < all->n; i++)
		free_summary(&all->at[i]);
	for (unsigned int i = 0; s && i < s->n; i++)
		filter__free(&s->conditions[i]);
	if (s) {
		filter__free(&s->all);
		traceql__free(&s->query);
		free(s->root_service);
		free(s->root_name);
	}
	free(s);
	free(all);
}
