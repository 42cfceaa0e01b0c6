/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waterfalls of whole traces: spans are gathered by trace id until the trace has been quiet for a
 * while, then it is handed out as text. One that lacks a parent is waited for longer. Memory is bounded: what is oldest is printed early.
 */
#ifndef SONDE_SHIP_TREE_H
#define SONDE_SHIP_TREE_H

#include "core/frame.h"
#include "ship/console/line.h"
#include "ship/console/where.h"
#include "ship/export/queue.h"

/* A trace is printed when nothing has been added to it for so long. */
#define TREE_QUIET_NS 1000000000ull
/* ... or, where a span's parent is not there (it may still be at work), for so long. */
#define TREE_INCOMPLETE_NS 10000000000ull
#define TREE_BYTES_MAX (16u << 20)
#define TREE_TRACES_MAX 4096
#define TREE_SPANS_MAX 2000 /* of one trace, shown; the others are counted in its heading */

struct tree_config {
	struct line_style *style;
	const struct where *where; /* a trace is shown when one of its spans matches; NULL: all */
	/* One trace as text, and how many spans it stands for. */
	void (*trace)(void *arg, struct view text, uint64_t spans);
	/* A trace of so many spans that is not shown. */
	void (*forgotten)(void *arg, uint64_t spans);
	void *arg;
};

struct tree;
struct tree *tree__new(const struct tree_config *config);
void tree__free(struct tree *tree);
/* Copies what it needs; resource gets a reference. 0, -ENOMEM. */
int tree__add(struct tree *tree, const struct frame_span *head, const struct row *row,
	      struct blob *resource, uint64_t now);
/* Hands out what has been quiet for long enough. */
void tree__work(struct tree *tree, uint64_t now);
uint64_t tree__timer(const struct tree *tree);
/* Hands out everything. */
void tree__flush(struct tree *tree);

#endif
