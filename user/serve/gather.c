// SPDX-License-Identifier: Apache-2.0
#include "serve/gather.h"

#include <errno.h>
#include <stdlib.h>

#define SPANS_MAX 200000
/* Resources with their scopes whose spans are gathered at a time. */
#define GROUPS_MAX 64

struct group {
	struct buf resource, scope;
	struct body *body;
	uint64_t spans;
};

struct gather {
	struct ask *ask;
	const struct gather_format *format;
	struct group groups[GROUPS_MAX];
	unsigned int n_groups, last;
	uint64_t spans;
	bool any, failed, dropped;
};

static struct view view_of_buf(const struct buf *b)
{
	return (struct view){ (const char *)b->at, b->len };
}

static void end_group(struct gather *t, struct group *g)
{
	t->format->group(t->ask->answer->body, view_of_buf(&g->resource), view_of_buf(&g->scope),
			 g->body, !t->any);
	t->any = true;
	g->body = NULL;
	g->spans = 0;
	buf__clear(&g->resource);
	buf__clear(&g->scope);
}

static bool is_of(const struct group *g, struct view resource, struct view scope)
{
	return view_eq(view_of_buf(&g->resource), resource) &&
	       view_eq(view_of_buf(&g->scope), scope);
}

static struct group *group_of(struct gather *t, struct view resource, struct view scope)
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
		if (g->spans)
			end_group(t, g);
		body__free(g->body);
		buf__clear(&g->resource);
		buf__clear(&g->scope);
	}
	buf__add_view(&g->resource, resource);
	buf__add_view(&g->scope, scope);
	g->body = body__new();
	return g;
}

static void add_span(void *arg, unsigned int trace, const struct row *row, struct view scope)
{
	struct gather *t = arg;
	struct group *g;

	if (t->format->span_id && memcmp(row->span.span_id.at, t->format->span_id, 8))
		return;
	if (t->spans == SPANS_MAX) {
		t->dropped = true;
		return;
	}
	g = group_of(t, row->resource, scope);
	if (!g->body || g->resource.err || g->scope.err) {
		t->failed = true;
		return;
	}
	if (t->format->span(body__text(g->body), row->span.message, !g->spans))
		return;
	g->spans++;
	t->spans++;
	body__spill(g->body);
}

bool gather__trace(struct ask *ask, const uint8_t id[16], const struct gather_format *format,
		   struct gathered *ret)
{
	struct gather *t = calloc(1, sizeof(*t));
	uint8_t ids[1][16];
	bool good;

	if (!t) {
		ask__wrong(ask, -ENOMEM, NULL);
		return false;
	}
	memcpy(ids[0], id, 16);
	t->ask = ask;
	t->format = format;
	ask__more_time(ask);
	good = ask__spans(ask, (const uint8_t(*)[16])ids, 1, add_span, t);
	for (unsigned int i = 0; i < t->n_groups; i++) {
		if (good && t->groups[i].spans)
			end_group(t, &t->groups[i]);
		body__free(t->groups[i].body);
		buf__free(&t->groups[i].resource);
		buf__free(&t->groups[i].scope);
	}
	*ret = (struct gathered){ t->spans, ask->late || t->dropped };
	if (good && t->failed)
		ask__wrong(ask, -ENOMEM, NULL);
	good = good && !t->failed;
	free(t);
	return good;
}
