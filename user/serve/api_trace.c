// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "serve/api_impl.h"

#define SPANS_MAX 200000
/* Resources with their scopes whose spans are gathered at a time. */
#define GROUPS_MAX 64

struct group {
	struct buf resource, scope;
	struct body *body;
	uint64_t spans;
};

struct whole_trace {
	struct ask *ask;
	struct group groups[GROUPS_MAX];
	unsigned int n_groups, last;
	uint64_t spans, dropped;
	bool any, failed;
};

static void end_group(struct whole_trace *t, struct group *g)
{
	struct buf *out = ask__text(t->ask);

	buf__add_str(out, t->any ? ",{\"resource\":" : "{\"resource\":");
	if (otlp_json__resource(out,
				(struct view){ (const char *)g->resource.at, g->resource.len }))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"scopeSpans\":[{\"scope\":");
	if (otlp_json__scope(out, (struct view){ (const char *)g->scope.at, g->scope.len }))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"spans\":[");
	body__append(t->ask->answer->body, g->body);
	buf__add_str(ask__text(t->ask), "]}]}");
	t->any = true;
	g->body = NULL;
	g->spans = 0;
	buf__clear(&g->resource);
	buf__clear(&g->scope);
}

static bool is_of(const struct group *g, struct view resource, struct view scope)
{
	return view_eq((struct view){ (const char *)g->resource.at, g->resource.len }, resource) &&
	       view_eq((struct view){ (const char *)g->scope.at, g->scope.len }, scope);
}

static struct group *group_of(struct whole_trace *t, struct view resource, struct view scope)
{
	struct group *g;

	if (t->n_groups && is_of(&t->groups[t->last], resource, scope))
		return &t->groups[t->last];
	for (t->last = 0; t->last < t->n_groups; t->last++)
		if (is_of(&t->groups[t->last], resource, scope))
			return &t->groups[t->last];
	if (t->n_groups < GROUPS_MAX) {
		g = &t->groups[t->n_groups++];
	} else {
		/* One makes room; it may come again. */
		t->last = (unsigned int)(t->spans % GROUPS_MAX);
		g = &t->groups[t->last];
		end_group(t, g);
	}
	buf__add_view(&g->resource, resource);
	buf__add_view(&g->scope, scope);
	g->body = body__new();
	return g;
}

static void add_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	struct whole_trace *t = arg;
	struct group *g;
	struct buf *out;
	size_t before;

	if (t->spans == SPANS_MAX) {
		t->dropped++;
		return;
	}
	g = group_of(t, row->resource, scope);
	if (!g->body || g->resource.err || g->scope.err) {
		t->failed = true;
		return;
	}
	out = body__text(g->body);
	before = out->len;
	if (g->spans)
		buf__add_str(out, ",");
	if (otlp_json__span(out, row->span.message)) {
		out->len = before;
		return;
	}
	g->spans++;
	t->spans++;
	body__spill(g->body);
}

void api__trace(struct ask *ask)
{
	struct whole_trace *t;
	uint8_t id[1][16];
	bool good;

	if (!filter__trace_id(ask->part, false, id[0])) {
		ask__error(ask, 400, "this is no trace id", "it has not 32 hexadecimal digits",
			   "take one from /api/v1/search");
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		ask__wrong(ask, -ENOMEM, NULL);
		return;
	}
	t->ask = ask;
	/* A big trace takes its time; it is bounded by its spans. */
	ask->until_ns += 8000000000ull;
	buf__add_str(ask__text(ask), "{\"resourceSpans\":[");
	good = ask__spans(ask, (const uint8_t(*)[16])id, 1, add_span, t);
	for (unsigned int i = 0; i < t->n_groups; i++) {
		if (good && t->groups[i].spans)
			end_group(t, &t->groups[i]);
		body__free(t->groups[i].body);
		buf__free(&t->groups[i].resource);
		buf__free(&t->groups[i].scope);
	}
	if (good && t->failed)
		ask__wrong(ask, -ENOMEM, NULL);
	else if (good && !t->spans)
		ask__error(ask, 404, "there is no such trace",
			   "no span of it is in the store: it never came, or was given up for the "
			   "store's limits",
			   "take one from /api/v1/search");
	else if (good)
		buf__printf(ask__text(ask), "],\"sonde\":{\"lost\":%s,\"incomplete\":%s}}\n",
			    store__has_lost(ask->api->folder,
					    (struct view){ (const char *)id[0], 16 }) ?
				    "true" :
				    "false",
			    ask->late || t->dropped ? "true" : "false");
	free(t);
}
