// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/api_impl.h"

/* Of a trace: so many of the spans that matched, and of its services, are told. */
#define MATCHED_MAX 20
#define SERVICES_MAX 32

struct finding {
	struct ask *ask;
	const struct filter *filter;
	struct found_traces *found;
};

static int index_of(const uint8_t (*ids)[16], unsigned int n, struct view id)
{
	for (unsigned int i = 0; i < n; i++)
		if (id.len == 16 && !memcmp(ids[i], id.at, 16))
			return (int)i;
	return -1;
}

static bool enough_found(void *arg)
{
	const struct finding *f = arg;

	return f->found->n >= f->filter->limit || ask__late(f->ask);
}

static bool find_match(void *arg, const struct row *row)
{
	const struct finding *f = arg;

	return index_of(f->found->ids, f->found->n, row->span.trace_id) < 0 &&
	       filter__matches(f->filter, row);
}

static void find_trace(void *arg, const struct row *row, struct view scope)
{
	struct finding *f = arg;

	if (f->filter->also && !f->filter->also(f->filter->also_arg, row, scope))
		return;
	if (row->span.trace_id.len == 16 && f->found->n < FILTER_LIMIT_MAX)
		memcpy(f->found->ids[f->found->n++], row->span.trace_id.at, 16);
}

static bool find_skip(void *arg, uint64_t partition, uint64_t segment)
{
	const struct finding *f = arg;

	return catalogue__outside(f->ask->api->catalogue, partition, segment, f->filter->start_ns,
				  f->filter->end_ns);
}

static void ignore_note(void *arg, const char *text)
{
}

bool ask__find(struct ask *ask, const struct filter *filter, struct found_traces *ret)
{
	struct finding f = { .ask = ask, .filter = filter, .found = ret };
	struct store_query query = { .where = filter->where,
				     .stop = enough_found,
				     .skip = find_skip,
				     .match = find_match,
				     .found = find_trace,
				     .note = ignore_note,
				     .arg = &f };
	struct store_answer answer;
	struct err err = { "" };

	ret->n = 0;
	if (!store__search(ask->api->folder, &query, &answer, &err)) {
		ask->unread = answer.unread;
		return true;
	}
	ask__unreadable(ask, &err);
	return false;
}

struct collecting {
	struct ask *ask;
	const uint8_t (*ids)[16];
	unsigned int n;
	int trace; /* of the span that has just matched */
	void (*found)(void *arg, unsigned int trace, const struct row *row, struct view scope);
	void *arg;
};

static bool collect_late(void *arg)
{
	const struct collecting *c = arg;

	return ask__late(c->ask);
}

static bool collect_match(void *arg, const struct row *row)
{
	struct collecting *c = arg;

	c->trace = index_of(c->ids, c->n, row->span.trace_id);
	return c->trace >= 0;
}

static void collect_span(void *arg, const struct row *row, struct view scope)
{
	struct collecting *c = arg;

	c->found(c->arg, (unsigned int)c->trace, row, scope);
}

bool ask__spans(struct ask *ask, const uint8_t (*ids)[16], unsigned int n,
		void (*found)(void *arg, unsigned int trace, const struct row *row,
			      struct view scope),
		void *arg)
{
	struct collecting c = { .ask = ask, .ids = ids, .n = n, .found = found, .arg = arg };
	struct where *where = n ? filter__traces(ids, n) : NULL;
	struct store_query query = { .where = where,
				     .stop = collect_late,
				     .match = collect_match,
				     .found = collect_span,
				     .note = ignore_note,
				     .arg = &c };
	struct store_answer answer;
	struct err err = { "" };
	int ret = 0;

	if (n && !where) {
		ask__wrong(ask, -ENOMEM, NULL);
		return false;
	}
	if (n)
		ret = store__search(ask->api->folder, &query, &answer, &err);
	where__free(where);
	if (ret)
		ask__unreadable(ask, &err);
	return !ret;
}

/* What is told of a trace. */
struct summary {
	uint64_t start_ns, end_ns, spans, errors, matched;
	struct names services;
	struct buf root, matches; /* JSON */
	uint64_t root_ns;
	bool true_root; /* it has no parent; else it is the earliest span */
};

struct summing {
	struct ask *ask;
	const struct filter *filter;
	struct summary *summaries;
};

static const char *status_name(uint32_t status)
{
	return status == 2 ? "error" : status == 1 ? "ok" : "unset";
}

#define PATH_MAX_BYTES 512 /* longer ones are no help in a list */

static void add_names(struct buf *out, const struct row *row)
{
	if (row->path.len && row->path.len <= PATH_MAX_BYTES) {
		buf__add_str(out, "\"path\":");
		otlp_json__string(out, row->path);
		buf__add_str(out, ",");
	}
	buf__add_str(out, "\"service\":");
	otlp_json__string(out, row->service);
	buf__add_str(out, ",\"name\":");
	otlp_json__string(out, row->span.name);
	buf__printf(out, ",\"kind\":\"%s\",\"status\":\"%s\"", kind__name(row->span.kind),
		    status_name(row->span.status));
}

static void see_root(struct summary *s, const struct row *row)
{
	bool top = !row->span.parent_id.len;

	if (s->root.len && (top != s->true_root ? s->true_root : row->span.start_ns >= s->root_ns))
		return;
	s->true_root = top;
	s->root_ns = row->span.start_ns;
	buf__clear(&s->root);
	buf__add_str(&s->root, "{");
	add_names(&s->root, row);
	buf__add_str(&s->root, "}");
}

static void see_match(struct summary *s, const struct row *row)
{
	struct buf *out = &s->matches;

	if (s->matched++ >= MATCHED_MAX)
		return;
	buf__add_str(out, s->matched > 1 ? ",{\"span_id\":" : "{\"span_id\":");
	json__hex(out, row->span.span_id);
	buf__add_str(out, ",");
	add_names(out, row);
	buf__add_str(out, ",");
	json__nano(out, "start_unix_nano", row->span.start_ns);
	buf__add_str(out, ",");
	json__nano(out, "duration_nano", row->duration_ns);
	buf__add_str(out, "}");
}

static void see_service(struct summary *s, struct view service)
{
	char *copy;

	for (size_t i = 0; i < s->services.n; i++)
		if (view_eq(s->services.at[i].name, service)) {
			s->services.at[i].spans++;
			return;
		}
	copy = s->services.n < SERVICES_MAX ? strndup(service.at, service.len) : NULL;
	if (copy)
		names__add(&s->services, (struct view){ copy, strlen(copy) }, 0, 1);
}

static void see_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	struct summing *all = arg;
	struct summary *s = &all->summaries[trace];
	uint64_t end = row->span.start_ns + row->duration_ns;

	if (!s->spans || row->span.start_ns < s->start_ns)
		s->start_ns = row->span.start_ns;
	s->end_ns = end > s->end_ns ? end : s->end_ns;
	s->spans++;
	s->errors += row__failed(row);
	see_service(s, row->service);
	see_root(s, row);
	if (filter__matches(all->filter, row))
		see_match(s, row);
}

static void free_summary(struct summary *s)
{
	for (size_t i = 0; i < s->services.n; i++)
		free((void *)s->services.at[i].name.at);
	names__free(&s->services);
	buf__free(&s->root);
	buf__free(&s->matches);
}

static void tell(struct ask *ask, const uint8_t id[16], struct summary *s, bool lost)
{
	struct buf *out = ask__text(ask);
	struct view bytes = { (const char *)id, 16 };

	buf__add_str(out, "{\"trace_id\":");
	json__hex(out, bytes);
	buf__add_str(out, ",");
	json__nano(out, "start_unix_nano", s->start_ns);
	buf__add_str(out, ",");
	json__nano(out, "duration_nano", s->end_ns > s->start_ns ? s->end_ns - s->start_ns : 0);
	buf__printf(out, ",\"spans\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"lost\":%s,\"services\":[",
		    s->spans, s->errors, lost ? "true" : "false");
	names__merge(&s->services);
	for (size_t i = 0; i < s->services.n; i++) {
		if (i)
			buf__add_str(out, ",");
		otlp_json__string(out, s->services.at[i].name);
	}
	buf__add_str(out, "],\"root\":");
	buf__add(out, s->root.at, s->root.len);
	buf__printf(out, ",\"matched_spans\":%" PRIu64 ",\"matched\":[", s->matched);
	buf__add(out, s->matches.at, s->matches.len);
	buf__add_str(out, "]}");
	if (s->root.err || s->matches.err || s->services.failed)
		out->err = -ENOMEM;
	body__spill(ask->answer->body);
}

static void tell_all(struct ask *ask, const struct filter *filter, const struct found_traces *found)
{
	struct summing all = { .ask = ask,
			       .filter = filter,
			       .summaries =
				       calloc(found->n ? found->n : 1, sizeof(struct summary)) };
	bool any = false, lost[FILTER_LIMIT_MAX];

	if (!all.summaries) {
		ask__wrong(ask, -ENOMEM, NULL);
		return;
	}
	if (ask__spans(ask, found->ids, found->n, see_span, &all)) {
		store__have_lost(ask->api->folder, found->ids, found->n, lost);
		buf__add_str(ask__text(ask), "{\"traces\":[");
		for (unsigned int i = 0; i < found->n; i++) {
			/* Given up meanwhile, or not come to in time. */
			if (!all.summaries[i].spans)
				continue;
			buf__add_str(ask__text(ask), any ? "," : "");
			any = true;
			tell(ask, found->ids[i], &all.summaries[i], lost[i]);
		}
		buf__printf(ask__text(ask), "],\"incomplete\":%s,\"unread\":%u}\n",
			    ask->late || ask->unread ? "true" : "false", ask->unread);
	}
	for (unsigned int i = 0; i < found->n; i++)
		free_summary(&all.summaries[i]);
	free(all.summaries);
}

void api__search(struct ask *ask)
{
	struct found_traces found;
	struct complaint why;
	struct filter filter;
	int ret = filter__read(ask->target, &filter, &why);

	if (ret) {
		ask__wrong(ask, ret, &why);
		return;
	}
	if (ask__find(ask, &filter, &found))
		tell_all(ask, &filter, &found);
	filter__free(&filter);
}
