// SPDX-License-Identifier: Apache-2.0
#include "ship/console/top.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "ship/console/count_json.h"
#include "ship/console/escape.h"

#define HEAD_LINES 3
#define FIXED_COLUMNS 57 /* of a row, before its names */

static const char *const kinds[] = { "?", "internal", "server", "client", "producer", "consumer" };
static const char *const json_kinds[] = { "unspecified", "internal", "server",
					  "client",	 "producer", "consumer" };
static const char *const sorts[TOP_SORTS] = { "rate", "errors", "p50", "p99", "slowest", "name" };

struct line {
	struct view service, name;
	uint32_t kind;
	uint64_t count, errors, p50, p99, max;
	struct histogram durations; /* of a service: its operations together */
};

/* The last byte of ESC [ C. */
static void arrow(struct top *top, char c)
{
	if (c == 'C')
		top->sort = (top->sort + 1) % TOP_SORTS;
	else if (c == 'D')
		top->sort = (top->sort + TOP_SORTS - 1) % TOP_SORTS;
}

static void clear_filter(struct top *top)
{
	top->n_filter = 0;
	top->filter[0] = 0;
	top->typing = false;
}

/* False: q. */
static bool key(struct top *top, char c)
{
	if (top->escape == 1 && (c == '[' || c == 'O')) {
		top->escape = 2;
	} else if (top->escape == 2) {
		/* Digits and separators belong to a longer one. */
		if (c >= '@')
			top->escape = 0;
		arrow(top, c);
	} else if (c == 0x7f || c == '\b') {
		top->filter[top->n_filter ? --top->n_filter : 0] = 0;
		top->typing = top->n_filter;
	} else if (c == '\t') {
		top->by_service = !top->by_service;
	} else if (c == '/' && !top->n_filter && !top->typing) {
		top->typing = true;
	} else if (c == 'q' && !top->n_filter && !top->typing) {
		return false;
	} else if ((uint8_t)c >= 0x20 && top->n_filter < TOP_FILTER_MAX) {
		top->filter[top->n_filter++] = c;
		top->filter[top->n_filter] = 0;
	}
	return true;
}

bool top__keys(struct top *top, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* An arrow is three bytes that come at once; a lone ESC is a key of its own. */
		bool sequence = bytes[i] == 0x1b && i + 1 < n &&
				(bytes[i + 1] == '[' || bytes[i + 1] == 'O');

		if (sequence)
			top->escape = 1;
		else if (bytes[i] == 0x1b)
			clear_filter(top);
		else if (!key(top, bytes[i]))
			return false;
	}
	return true;
}

static bool contains(struct view text, const char *what, size_t n)
{
	for (size_t i = 0; i + n <= text.len; i++)
		if (view_eq_nocase((struct view){ text.at + i, n }, (struct view){ what, n }))
			return true;
	return false;
}

static bool wanted(const struct top *top, const struct line *l)
{
	return contains(l->service, top->filter, top->n_filter) ||
	       contains(l->name, top->filter, top->n_filter) ||
	       contains(view_of(kinds[l->kind]), top->filter, top->n_filter);
}

static int by_text(struct view a, struct view b)
{
	size_t least = a.len < b.len ? a.len : b.len;
	int ret = least ? memcmp(a.at, b.at, least) : 0;

	return ret ? ret : a.len < b.len ? -1 : a.len > b.len;
}

static uint64_t value_of(const struct line *l, enum top_sort sort)
{
	return sort == TOP_RATE	   ? l->count :
	       sort == TOP_ERRORS  ? l->errors :
	       sort == TOP_P50	   ? l->p50 :
	       sort == TOP_P99	   ? l->p99 :
	       sort == TOP_SLOWEST ? l->max :
				     0;
}

/* What is equal stands where it did: by name. */
static int compare(const void *a, const void *b, void *arg)
{
	const struct line *x = a, *y = b;
	const struct top *top = arg;
	uint64_t one = value_of(x, top->sort), two = value_of(y, top->sort);
	int ret;

	if (one != two)
		return one < two ? 1 : -1;
	ret = by_text(x->service, y->service);
	if (!ret)
		ret = by_text(x->name, y->name);
	return ret ? ret : x->kind < y->kind ? -1 : x->kind > y->kind;
}

static struct line *line_of(struct line *lines, uint32_t *n, struct view service, uint32_t kind,
			    struct view name, bool by_service)
{
	for (uint32_t i = 0; by_service && i < *n; i++)
		if (lines[i].kind == kind && view_eq(lines[i].service, service))
			return &lines[i];
	lines[*n] = (struct line){ .service = service,
				   .name = by_service ? (struct view){ "", 0 } : name,
				   .kind = kind };
	return &lines[(*n)++];
}

/* NULL: no memory. */
static struct line *lines_of(const struct top *top, const struct tally *t, uint32_t *ret_n)
{
	struct line *lines = calloc(t->operations.n + 1ul, sizeof(*lines));
	uint32_t kept = 0;

	*ret_n = 0;
	for (uint32_t i = 0; lines && i < t->operations.n && i < t->cap_ops; i++) {
		const struct tally_operation *op = &t->ops[i];
		struct line *l;

		if (!op->of.count)
			continue;
		l = line_of(lines, ret_n, intern__text(&t->services, op->service), op->kind,
			    op->name, top->by_service);
		l->count += op->of.count;
		l->errors += op->of.errors;
		histogram__merge(&l->durations, &op->of.durations);
	}
	for (uint32_t i = 0; i < *ret_n; i++) {
		struct line *l = &lines[i];

		l->p50 = histogram__percentile(&l->durations, 50);
		l->p99 = histogram__percentile(&l->durations, 99);
		l->max = l->durations.max;
		histogram__free(&l->durations);
		if (wanted(top, l))
			lines[kept++] = *l;
	}
	*ret_n = kept;
	if (kept)
		qsort_r(lines, kept, sizeof(*lines), compare, (void *)top);
	return lines;
}

static void end_line(struct buf *out)
{
	buf__add_str(out, "\x1b[K\r\n");
}

static void add_head(struct buf *out, const struct top *top, const struct top_frame *f,
		     const struct line_style *style)
{
	uint64_t errors = 0;
	char text[128], time[16];

	for (uint32_t i = 0; i < f->tally->operations.n && i < f->tally->cap_ops; i++)
		errors += f->tally->ops[i].of.errors;
	clock__text(time, f->now_ns, style->utc_offset_s);
	time[8] = 0;
	snprintf(text, sizeof(text), "sonde top  %s  %.1f spans/s, %.1f errors/s in %.0f s of ",
		 time, f->seconds > 0 ? (double)f->tally->spans / f->seconds : 0,
		 f->seconds > 0 ? (double)errors / f->seconds : 0, f->seconds);
	if (strlen(text) < f->width) {
		buf__add_str(out, text);
		escape__add(out, view_of(f->of), f->width - (unsigned int)strlen(text),
			    style->unicode);
	}
	end_line(out);
	snprintf(text, sizeof(text), "%s, sorted by %s (arrows)  Tab %s  q ends  filter: ",
		 top->by_service ? "services" : "operations", sorts[top->sort],
		 top->by_service ? "operations" : "services");
	color__on(out, style->color, COLOR_DIM);
	escape__add(out, view_of(text), f->width, style->unicode);
	color__off(out, style->color);
	if (strlen(text) < f->width)
		escape__add(out,
			    top->n_filter ? view_of(top->filter) :
			    top->typing	  ? VIEW("") :
					    VIEW("(type)"),
			    f->width - (unsigned int)strlen(text), style->unicode);
	end_line(out);
}

static void add_row(struct buf *out, const struct line *l, const struct top_frame *f,
		    const struct line_style *style, unsigned int service_columns)
{
	char p50[16], p99[16], max[16], row[128];
	unsigned int left;

	duration__text(p50, l->p50, false);
	duration__text(p99, l->p99, false);
	duration__text(max, l->max, false);
	snprintf(row, sizeof(row), "%9.1f  ", f->seconds > 0 ? (double)l->count / f->seconds : 0);
	buf__add_str(out, row);
	color__on(out, style->color && l->errors, COLOR_RED);
	snprintf(row, sizeof(row), "%6.1f%%",
		 l->count ? 100.0 * (double)l->errors / (double)l->count : 0);
	buf__add_str(out, row);
	color__off(out, style->color && l->errors);
	snprintf(row, sizeof(row), "  %7s  %7s  %7s  %-8s  ", p50, p99, max, kinds[l->kind]);
	buf__add_str(out, row);
	left = f->width > FIXED_COLUMNS ? f->width - FIXED_COLUMNS : 0;
	if (left < service_columns + 3) {
		if (left)
			escape__add(out, l->service, left, style->unicode);
		end_line(out);
		return;
	}
	escape__pad(out, l->service, service_columns, style->unicode);
	pad__add(out, 2);
	escape__add(out, l->name, left - service_columns - 2, style->unicode);
	end_line(out);
}

void top__draw(const struct top *top, const struct top_frame *f, const struct line_style *style,
	       struct buf *out)
{
	unsigned int service_columns = 7,
		     room = f->height > HEAD_LINES ? f->height - HEAD_LINES : 0;
	char heading[128];
	struct line *lines;
	uint32_t n;

	lines = lines_of(top, f->tally, &n);
	buf__add_str(out, "\x1b[H");
	add_head(out, top, f, style);
	for (uint32_t i = 0; i < n; i++)
		if (lines[i].service.len > service_columns && lines[i].service.len <= 24)
			service_columns = (unsigned int)lines[i].service.len;
	snprintf(heading, sizeof(heading), "%9s  %7s  %7s  %7s  %7s  %-8s  %-*s  %s", "RATE/S",
		 "ERRORS", "P50", "P99", "SLOWEST", "KIND", (int)service_columns, "SERVICE",
		 top->by_service ? "" : "OPERATION");
	color__on(out, style->color, COLOR_BOLD);
	escape__add(out, view_of(heading), f->width, style->unicode);
	color__off(out, style->color);
	buf__add_str(out, "\x1b[K");
	for (uint32_t i = 0; i < n && i < room; i++) {
		/* No line behind the last one, which would scroll. */
		buf__add_str(out, "\r\n");
		add_row(out, &lines[i], f, style, service_columns);
		out->len -= out->err ? 0 : 2;
	}
	buf__add_str(out, "\x1b[J");
	free(lines);
}

void top__json(const struct tally *t, double seconds, uint64_t now_ns, struct buf *out)
{
	bool any = false;

	buf__printf(out,
		    "{\"at_unix_nano\":\"%" PRIu64 "\",\"seconds\":%.3f,\"spans\":%" PRIu64
		    ",\"left_out\":%" PRIu64 ",\"operations\":[",
		    now_ns, seconds, t->spans, t->left_out);
	for (uint32_t i = 0; i < t->operations.n && i < t->cap_ops; i++) {
		const struct tally_operation *op = &t->ops[i];

		if (!op->of.count)
			continue;
		buf__add_str(out, any ? ",{\"service\":" : "{\"service\":");
		any = true;
		otlp_json__string(out, intern__text(&t->services, op->service));
		buf__add_str(out, ",\"name\":");
		otlp_json__string(out, op->name);
		buf__printf(out, ",\"kind\":\"%s\",\"inferred\":%s,\"rate\":%.3f,",
			    json_kinds[op->kind], op->inferred ? "true" : "false",
			    seconds > 0 ? (double)op->of.count / seconds : 0);
		count_json__add(out, op->of.count, op->of.errors, &op->of.durations);
		buf__add_str(out, "}");
	}
	buf__add_str(out, "]}\n");
}
