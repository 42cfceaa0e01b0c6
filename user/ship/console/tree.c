// SPDX-License-Identifier: Apache-2.0
/* Gathering spans by trace; how one trace is drawn is in waterfall.c. */
#include "ship/console/tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ship/console/waterfall.h"

#define BUCKETS 1024

/*
 * Where a trace waits: in the first list until it has been quiet, then, if a parent is missing that
 * may still be at work, longer. Each list is in the order of the last span.
 */
enum { QUIET, INCOMPLETE, WAITS };
static const uint64_t waits_ns[WAITS] = { TREE_QUIET_NS, TREE_INCOMPLETE_NS };

struct trace {
	uint8_t id[16];
	struct trace *chain;	     /* of its bucket */
	struct trace *newer, *older; /* by the time of the last span */
	struct buf spans;	     /* struct waterfall_span, one after another */
	uint64_t n, last_ns;
	bool matches;
	uint8_t list; /* QUIET or INCOMPLETE */
};

struct ages {
	struct trace *oldest, *newest;
};

struct tree {
	struct tree_config config;
	struct trace *buckets[BUCKETS];
	struct ages ages[WAITS];
	size_t bytes;
	unsigned int n;
	struct buf text;
};

struct tree *tree__new(const struct tree_config *config)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	if (tree)
		tree->config = *config;
	return tree;
}

/* Ids may be chosen by a stranger, to fall into one bucket: chains are bounded by the number of traces. */
static struct trace **bucket_of(struct tree *tree, const uint8_t id[16])
{
	uint64_t a, b;

	memcpy(&a, id, 8);
	memcpy(&b, id + 8, 8);
	a = (a ^ (b << 17 | b >> 47)) * 0x9e3779b97f4a7c15ull;
	return &tree->buckets[(a >> 32) % BUCKETS];
}

static void unlink_age(struct tree *tree, struct trace *t)
{
	struct ages *ages = &tree->ages[t->list];

	if (t->older)
		t->older->newer = t->newer;
	else
		ages->oldest = t->newer;
	if (t->newer)
		t->newer->older = t->older;
	else
		ages->newest = t->older;
}

static void make_newest(struct tree *tree, struct trace *t, uint8_t list)
{
	struct ages *ages = &tree->ages[list];

	t->list = list;
	t->newer = NULL;
	t->older = ages->newest;
	if (ages->newest)
		ages->newest->newer = t;
	else
		ages->oldest = t;
	ages->newest = t;
}

static void drop(struct tree *tree, struct trace *t)
{
	struct trace **at = bucket_of(tree, t->id);

	while (*at != t)
		at = &(*at)->chain;
	*at = t->chain;
	unlink_age(tree, t);
	tree->bytes -= t->spans.len;
	tree->n--;
	waterfall__release(&t->spans);
	buf__free(&t->spans);
	free(t);
}

static void hand_out(struct tree *tree, struct trace *t)
{
	if (!t->matches) {
		tree->config.forgotten(tree->config.arg, t->n);
	} else {
		buf__clear(&tree->text);
		waterfall__draw(&tree->text, &t->spans, tree->config.style);
		tree->config.trace(tree->config.arg,
				   (struct view){ (const char *)tree->text.at, tree->text.len },
				   t->n);
	}
	drop(tree, t);
}

void tree__free(struct tree *tree)
{
	if (!tree)
		return;
	for (int i = 0; i < WAITS; i++)
		while (tree->ages[i].oldest)
			drop(tree, tree->ages[i].oldest);
	buf__free(&tree->text);
	free(tree);
}

static struct trace *find_or_make(struct tree *tree, const uint8_t id[16])
{
	struct trace **bucket = bucket_of(tree, id);
	struct trace *t = *bucket;

	while (t && memcmp(t->id, id, 16))
		t = t->chain;
	if (t) {
		unlink_age(tree, t);
		make_newest(tree, t, QUIET);
		return t;
	}
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	memcpy(t->id, id, 16);
	t->chain = *bucket;
	*bucket = t;
	make_newest(tree, t, QUIET);
	tree->n++;
	return t;
}

int tree__add(struct tree *tree, const struct frame_span *head, const struct row *row,
	      struct blob *resource, uint64_t now)
{
	struct trace *t = find_or_make(tree, head->trace_id);
	size_t before;

	if (!t)
		return -ENOMEM;
	before = t->spans.len;
	if (waterfall__keep(&t->spans, row->span.message, resource)) {
		if (!t->n)
			drop(tree, t);
		return -ENOMEM;
	}
	tree->bytes += t->spans.len - before;
	t->n++;
	t->last_ns = now;
	t->matches = t->matches || where__matches(tree->config.where, row);
	while (tree->n > TREE_TRACES_MAX || tree->bytes > TREE_BYTES_MAX)
		hand_out(tree, tree->ages[INCOMPLETE].oldest ? tree->ages[INCOMPLETE].oldest :
							       tree->ages[QUIET].oldest);
	return 0;
}

void tree__work(struct tree *tree, uint64_t now)
{
	struct ages *ages = tree->ages;
	struct trace *t;

	while ((t = ages[QUIET].oldest) && t->last_ns + waits_ns[QUIET] <= now) {
		if (waterfall__is_whole(&t->spans)) {
			hand_out(tree, t);
			continue;
		}
		/* Becomes the newest there, as it is the oldest here. */
		unlink_age(tree, t);
		make_newest(tree, t, INCOMPLETE);
	}
	while ((t = ages[INCOMPLETE].oldest) && t->last_ns + waits_ns[INCOMPLETE] <= now)
		hand_out(tree, t);
}

uint64_t tree__timer(const struct tree *tree)
{
	uint64_t first = 0;

	for (int i = 0; i < WAITS; i++) {
		const struct trace *t = tree->ages[i].oldest;

		if (t && (!first || t->last_ns + waits_ns[i] < first))
			first = t->last_ns + waits_ns[i];
	}
	return first;
}

void tree__flush(struct tree *tree)
{
	for (int i = 0; i < WAITS; i++)
		while (tree->ages[i].oldest)
			hand_out(tree, tree->ages[i].oldest);
}
