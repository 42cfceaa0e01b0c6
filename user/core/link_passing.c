// SPDX-License-Identifier: Apache-2.0
#include "core/link_passing.h"

#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

static uint64_t hash_ids(const struct links *links, const struct node *node)
{
	uint8_t bytes[28];

	memcpy(bytes, &node->process->resource, 4);
	memcpy(bytes + 4, node->header_trace, 16);
	memcpy(bytes + 20, &node->header_parent, 8);
	return siphash24(links->config->fleet_key, bytes, sizeof(bytes));
}

struct passing *passing__find(const struct links *links, const struct node *node)
{
	struct map_link *link = map__first(&links->passing, hash_ids(links, node));

	for (; link; link = map__next(link)) {
		struct passing *p = map_entry(link, struct passing, by_ids);

		if (p->resource == node->process->resource && p->parent_id == node->header_parent &&
		    !memcmp(p->trace_id, node->header_trace, sizeof(p->trace_id)) &&
		    (p->open || links->now_ns - p->last_ns <= LINK_PASSING_NS))
			return p;
	}
	return NULL;
}

static void drop_oldest(struct links *links)
{
	struct passing *p = links->passing_first;

	links->passing_first = p->newer;
	if (!p->newer)
		links->passing_last = NULL;
	map__remove(&links->passing, &p->by_ids);
	links->n_passing--;
	free(p);
}

static void append(struct links *links, struct passing *p)
{
	p->newer = NULL;
	if (links->passing_last)
		links->passing_last->newer = p;
	else
		links->passing_first = p;
	links->passing_last = p;
}

/* The oldest that no open request needs; open ones are moved to the end, each at most once. */
static bool make_room(struct links *links)
{
	for (uint32_t i = 0; i < links->n_passing; i++) {
		struct passing *p = links->passing_first;

		if (!p->open) {
			drop_oldest(links);
			return true;
		}
		links->passing_first = p->newer;
		if (!p->newer)
			links->passing_last = NULL;
		append(links, p);
	}
	return false;
}

void passing__read(struct links *links, struct node *node)
{
	struct passing *p = passing__find(links, node);

	if (!p) {
		if (links->n_passing >= LINK_PASSING_MAX && !make_room(links))
			return;
		p = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->resource = node->process->resource;
		memcpy(p->trace_id, node->header_trace, sizeof(p->trace_id));
		p->parent_id = node->header_parent;
		map__add(&links->passing, &p->by_ids, hash_ids(links, node));
		append(links, p);
		links->n_passing++;
	}
	p->last_ns = links->now_ns;
	p->node = p->open++ ? NULL : node;
	node->passing = p;
}

void passing__closed(struct node *node)
{
	struct passing *p = node->passing;

	if (!p)
		return;
	p->open--;
	if (p->node == node)
		p->node = NULL;
	node->passing = NULL;
}

void passing__expire(struct links *links)
{
	while (links->passing_first && !links->passing_first->open &&
	       links->now_ns - links->passing_first->last_ns > LINK_PASSING_NS)
		drop_oldest(links);
}

void passing__release(struct links *links)
{
	while (links->passing_first)
		drop_oldest(links);
}
