// SPDX-License-Identifier: Apache-2.0
#include "ship/console/waterfall.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ship/console/escape.h"
#include "ship/console/tree.h"

#define NONE UINT32_MAX
#define DEPTH_SHOWN 20
#define LABEL_MOST 64
#define LABEL_LEAST 24
#define BAR_PIPE 32
#define BAR_LEAST 10
#define STATUS_COLUMNS 5
#define DURATION_COLUMNS 7

struct kept {
	struct blob *resource;
	uint32_t len, pad;
	uint8_t bytes[];
};

struct node {
	struct row row;
	uint32_t parent, first, last, next; /* children in the order of their start */
	uint32_t depth;
	bool seen, orphan; /* orphan: its parent is not in this trace */
};

struct picture {
	struct node *nodes; /* sorted by start */
	uint32_t *by_id;    /* sorted by span id */
	uint32_t *order;    /* as drawn */
	uint32_t n, drawn;
	uint64_t kept; /* all that there are, drawn or not */
	uint64_t start_ns, end_ns;
	unsigned int label, bar;
	const struct line_style *style;
};

static size_t kept_bytes(size_t len)
{
	return sizeof(struct kept) + ((len + 7) & ~(size_t)7);
}

int waterfall__keep(struct buf *spans, struct view span, struct blob *resource)
{
	size_t n = kept_bytes(span.len);
	struct kept *kept = (struct kept *)buf__reserve(spans, n);

	if (!kept) {
		spans->err = 0;
		return -ENOMEM;
	}
	kept->resource = blob__get(resource);
	kept->len = (uint32_t)span.len;
	kept->pad = 0;
	memcpy(kept->bytes, span.at, span.len);
	spans->len += n;
	return 0;
}

static const struct kept *kept_at(const struct buf *spans, size_t *at)
{
	const struct kept *kept = (const struct kept *)(spans->at + *at);

	if (*at >= spans->len)
		return NULL;
	*at += kept_bytes(kept->len);
	return kept;
}

void waterfall__release(struct buf *spans)
{
	const struct kept *kept;
	size_t at = 0;

	while ((kept = kept_at(spans, &at)))
		blob__put(kept->resource);
	spans->len = 0;
}

static int by_start(const void *a, const void *b)
{
	const struct otlp_span_view *x = &((const struct node *)a)->row.span;
	const struct otlp_span_view *y = &((const struct node *)b)->row.span;

	if (x->start_ns != y->start_ns)
		return x->start_ns < y->start_ns ? -1 : 1;
	/* Of two that begin together, the one that lasts longer holds the other. */
	if (x->end_ns != y->end_ns)
		return x->end_ns > y->end_ns ? -1 : 1;
	return memcmp(x->span_id.at, y->span_id.at, 8);
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct node *nodes = arg;

	return memcmp(nodes[*(const uint32_t *)a].row.span.span_id.at,
		      nodes[*(const uint32_t *)b].row.span.span_id.at, 8);
}

static uint32_t find(const struct picture *p, struct view id)
{
	uint32_t low = 0, high = p->n;

	while (id.len == 8 && low < high) {
		uint32_t middle = low + (high - low) / 2;
		int c = memcmp(p->nodes[p->by_id[middle]].row.span.span_id.at, id.at, 8);

		if (!c)
			return p->by_id[middle];
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NONE;
}

static void read_nodes(struct picture *p, const struct buf *spans)
{
	const struct kept *kept;
	size_t at = 0;

	while ((kept = kept_at(spans, &at))) {
		struct node *node = &p->nodes[p->n];
		struct view bytes = { (const char *)kept->bytes, kept->len };

		if (p->kept++ >= TREE_SPANS_MAX)
			continue;
		*node = (struct node){ .parent = NONE, .first = NONE, .last = NONE, .next = NONE };
		if (!row__read(&node->row, bytes, blob__view(kept->resource)))
			p->n++;
	}
}

static bool names_parent(const struct otlp_span_view *span)
{
	static const char zero[8];

	return span->parent_id.len == 8 && memcmp(span->parent_id.at, zero, 8) != 0;
}

static void connect(struct picture *p)
{
	qsort(p->nodes, p->n, sizeof(*p->nodes), by_start);
	for (uint32_t i = 0; i < p->n; i++)
		p->by_id[i] = i;
	qsort_r(p->by_id, p->n, sizeof(*p->by_id), by_id, p->nodes);
	p->start_ns = UINT64_MAX;
	for (uint32_t i = 0; i < p->n; i++) {
		struct node *node = &p->nodes[i];

		if (node->row.span.start_ns < p->start_ns)
			p->start_ns = node->row.span.start_ns;
		if (node->row.span.end_ns > p->end_ns)
			p->end_ns = node->row.span.end_ns;
		if (!names_parent(&node->row.span))
			continue;
		node->parent = find(p, node->row.span.parent_id);
		node->orphan = node->parent == NONE;
		if (node->parent == i)
			node->parent = NONE;
		if (node->parent == NONE)
			continue;
		if (p->nodes[node->parent].first == NONE)
			p->nodes[node->parent].first = i;
		else
			p->nodes[p->nodes[node->parent].last].next = i;
		p->nodes[node->parent].last = i;
	}
}

/* Depth first, without recursion: hostile parents may be as deep as there are spans, or run in a circle. */
static void walk(struct picture *p, uint32_t root)
{
	uint32_t at = root;

	while (at != NONE) {
		struct node *node = &p->nodes[at];

		if (!node->seen) {
			node->seen = true;
			node->depth = at == root ? 0 : p->nodes[node->parent].depth + 1;
			p->order[p->drawn++] = at;
			if (node->first != NONE && !p->nodes[node->first].seen) {
				at = node->first;
				continue;
			}
		}
		while (at != root &&
		       (p->nodes[at].next == NONE || p->nodes[p->nodes[at].next].seen))
			at = p->nodes[at].parent;
		if (at == root)
			break;
		at = p->nodes[at].next;
	}
}

static void put_in_order(struct picture *p)
{
	for (uint32_t i = 0; i < p->n; i++)
		if (p->nodes[i].parent == NONE)
			walk(p, i);
	/* Circles have no root: begin anywhere. */
	for (uint32_t i = 0; i < p->n; i++)
		if (!p->nodes[i].seen)
			walk(p, i);
}

/* Branches in front of a label. Returns the columns used. */
static unsigned int add_branches(struct buf *out, const struct picture *p, uint32_t at)
{
	const struct line_style *style = p->style;
	const char *pieces[DEPTH_SHOWN];
	uint32_t depth = p->nodes[at].depth;
	unsigned int n = 0;

	for (uint32_t i = at; p->nodes[i].depth && n < DEPTH_SHOWN; i = p->nodes[i].parent) {
		bool last = p->nodes[i].next == NONE;

		if (i == at)
			pieces[n++] = style->unicode ? (last ? "└─" : "├─") : last ? "`-" : "|-";
		else
			pieces[n++] = last ? "  " : style->unicode ? "│ " : "| ";
	}
	if (!n)
		return 0;
	depth = n;
	color__on(out, style->color, COLOR_DIM);
	while (n)
		buf__add_str(out, pieces[--n]);
	color__off(out, style->color);
	return 2 * depth;
}

static unsigned int add_label(struct buf *out, const struct picture *p, uint32_t at,
			      unsigned int columns)
{
	const struct node *node = &p->nodes[at];
	const struct line_style *style = p->style;
	unsigned int used = add_branches(out, p, at), room;

	room = columns > used + 8 ? columns - used : 8;
	color__on(out, style->color, COLOR_BOLD);
	used += escape__add(out, node->row.service, room > 24 ? 24 : room, style->unicode);
	color__off(out, style->color);
	room = columns > used + 9 ? columns - used : 9;
	color__on(out, style->color, node->row.span.kind == 3 ? COLOR_MAGENTA : COLOR_BLUE);
	buf__printf(out, " %s ", row__kind(&node->row));
	color__off(out, style->color);
	used += (unsigned int)strlen(row__kind(&node->row)) + 2;
	room = columns > used + 4 ? columns - used : 4;
	return used + row__title(out, &node->row, room, style->unicode);
}

/* In eighths of a column where Unicode has them: from is empty, then full, then empty. */
static void add_bar(struct buf *out, const struct picture *p, const struct row *row)
{
	uint64_t all = p->end_ns > p->start_ns ? p->end_ns - p->start_ns : 1;
	uint64_t from = row->span.start_ns - p->start_ns, to = from + row->duration_ns;
	unsigned int begin = (unsigned int)((double)from / (double)all * p->bar);
	unsigned int end = (unsigned int)((double)to / (double)all * p->bar + 0.999);

	if (begin >= p->bar)
		begin = p->bar - 1;
	if (end > p->bar)
		end = p->bar;
	if (end <= begin)
		end = begin + 1;
	pad__add(out, begin);
	color__on(out, p->style->color, row__failed(row) ? COLOR_RED : COLOR_GREEN);
	for (unsigned int i = begin; i < end; i++)
		buf__add_str(out, p->style->unicode ? "━" : "=");
	color__off(out, p->style->color);
}

static void add_node(struct buf *out, const struct picture *p, uint32_t at)
{
	const struct node *node = &p->nodes[at];
	unsigned int used;
	char text[16];

	pad__add(out, 2);
	used = add_label(out, p, at, p->label);
	pad__add(out, (used < p->label ? p->label - used : 0) + 2);
	status__text(text, &node->row);
	color__on(out, p->style->color, status__color(&node->row));
	buf__printf(out, "%*s", STATUS_COLUMNS, text);
	color__off(out, p->style->color);
	duration__text(text, node->row.duration_ns, false);
	buf__printf(out, "  %*s  ", DURATION_COLUMNS, text);
	add_bar(out, p, &node->row);
	if (node->row.error_type.len &&
	    (node->row.error_type.at[0] < '0' || node->row.error_type.at[0] > '9')) {
		pad__add(out, 1);
		color__on(out, p->style->color, COLOR_RED);
		escape__add(out, node->row.error_type, 40, p->style->unicode);
		color__off(out, p->style->color);
	}
	if (node->orphan) {
		color__on(out, p->style->color, COLOR_DIM);
		buf__add_str(out, " (its parent was not seen)");
		color__off(out, p->style->color);
	}
	buf__add(out, "\n", 1);
}

/* The label column is as wide as the longest label, the bars get the rest. */
static void measure(struct picture *p)
{
	unsigned int width = p->style->width,
		     fixed = 2 + 2 + STATUS_COLUMNS + 2 + DURATION_COLUMNS + 2 + 1;
	unsigned int most = LABEL_MOST;
	struct buf scratch = { 0 };

	if (width && width < fixed + LABEL_MOST + BAR_LEAST)
		most = width > fixed + LABEL_LEAST + BAR_LEAST ? width - fixed - BAR_LEAST :
								 LABEL_LEAST;
	for (uint32_t i = 0; i < p->drawn; i++) {
		unsigned int used;

		buf__clear(&scratch);
		used = add_label(&scratch, p, p->order[i], most);
		if (used > p->label)
			p->label = used < most ? used : most;
	}
	buf__free(&scratch);
	p->bar = !width				      ? BAR_PIPE :
		 width > fixed + p->label + BAR_LEAST ? width - fixed - p->label :
							BAR_LEAST;
	if (p->bar > 80)
		p->bar = 80;
}

static unsigned int count_services(const struct picture *p)
{
	unsigned int services = 0;

	/* Quadratic, but a trace has few; past the bound it says so by staying there. */
	for (uint32_t i = 0; i < p->n && services < 100; i++) {
		uint32_t j = 0;

		while (j < i && !view_eq(p->nodes[j].row.service, p->nodes[i].row.service))
			j++;
		services += j == i;
	}
	return services;
}

static void add_heading(struct buf *out, const struct picture *p)
{
	unsigned int services = count_services(p), errors = 0;
	char took[16], clock[16];

	for (uint32_t i = 0; i < p->n; i++)
		errors += row__failed(&p->nodes[i].row);
	duration__text(took, p->end_ns > p->start_ns ? p->end_ns - p->start_ns : 0, false);
	clock__text(clock, p->start_ns, p->style->utc_offset_s);
	color__on(out, p->style->color, COLOR_BOLD);
	buf__add_str(out, "trace ");
	for (int i = 0; i < 16; i++)
		buf__printf(out, "%02x", (uint8_t)p->nodes[0].row.span.trace_id.at[i]);
	color__off(out, p->style->color);
	buf__printf(out, "  %s  %s  %" PRIu64 " span%s  %u service%s", clock, took, p->kept,
		    p->kept == 1 ? "" : "s", services, services == 1 ? "" : "s");
	if (errors) {
		color__on(out, p->style->color, COLOR_RED);
		buf__printf(out, "  %u error%s", errors, errors == 1 ? "" : "s");
		color__off(out, p->style->color);
	}
	if (p->kept > p->n)
		buf__printf(out, "  (%" PRIu64 " of them not shown)", p->kept - p->n);
	buf__add(out, "\n", 1);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 8);
}

static uint64_t count_kept(const struct buf *spans)
{
	uint64_t n = 0;
	size_t at = 0;

	while (kept_at(spans, &at))
		n++;
	return n < TREE_SPANS_MAX ? n : TREE_SPANS_MAX;
}

void waterfall__draw(struct buf *out, const struct buf *spans, const struct line_style *style)
{
	uint64_t n = count_kept(spans);
	struct picture p = { .style = style };

	p.nodes = calloc(n + 1, sizeof(*p.nodes));
	p.by_id = calloc(n + 1, sizeof(*p.by_id));
	p.order = calloc(n + 1, sizeof(*p.order));
	if (!p.nodes || !p.by_id || !p.order) {
		out->err = -ENOMEM;
		goto cleanup;
	}
	read_nodes(&p, spans);
	if (!p.n)
		goto cleanup;
	connect(&p);
	put_in_order(&p);
	measure(&p);
	add_heading(out, &p);
	for (uint32_t i = 0; i < p.drawn; i++)
		add_node(out, &p, p.order[i]);
	buf__add(out, "\n", 1);
cleanup:
	free(p.nodes);
	free(p.by_id);
	free(p.order);
}

bool waterfall__is_whole(const struct buf *spans)
{
	uint64_t n = count_kept(spans);
	char(*ids)[8] = n < TREE_SPANS_MAX ? calloc(n + 1, sizeof(*ids)) : NULL;
	struct otlp_span_view span;
	const struct kept *kept;
	bool whole = true;
	size_t at = 0, i = 0;

	if (!ids)
		return true;
	while ((kept = kept_at(spans, &at)))
		if (!otlp_span__read((struct view){ (const char *)kept->bytes, kept->len }, &span))
			memcpy(ids[i++], span.span_id.at, 8);
	qsort(ids, i, sizeof(*ids), by_bytes);
	at = 0;
	while (whole && (kept = kept_at(spans, &at)))
		if (!otlp_span__read((struct view){ (const char *)kept->bytes, kept->len },
				     &span) &&
		    names_parent(&span))
			whole = bsearch(span.parent_id.at, ids, i, sizeof(*ids), by_bytes) != NULL;
	free(ids);
	return whole;
}
