// SPDX-License-Identifier: Apache-2.0
#include "ship/console/summary.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/histogram.h"
#include "ship/console/escape.h"

#define TABLE (2 * SUMMARY_OPERATIONS_MAX)

struct operation {
	uint64_t hash, count, errors;
	char service[64], name[96];
	uint8_t kind, service_len, name_len;
	bool named;
	struct histogram durations;
};

struct summary {
	struct operation
		operations[SUMMARY_OPERATIONS_MAX + 1]; /* the last: all that did not fit */
	uint16_t table[TABLE];				/* 1 + index, 0: free */
	unsigned int n;
	bool overflow;
};

struct summary *summary__new(void)
{
	return calloc(1, sizeof(struct summary));
}

void summary__free(struct summary *s)
{
	if (!s)
		return;
	for (unsigned int i = 0; i <= SUMMARY_OPERATIONS_MAX; i++)
		histogram__free(&s->operations[i].durations);
	free(s);
}

static struct operation *find(struct summary *s, uint64_t hash)
{
	struct operation *rest = &s->operations[SUMMARY_OPERATIONS_MAX];
	unsigned int i = (unsigned int)(hash ^ hash >> 32) % TABLE;
	struct operation *op;

	for (; s->table[i]; i = (i + 1) % TABLE)
		if (s->operations[s->table[i] - 1].hash == hash)
			return &s->operations[s->table[i] - 1];
	if (s->n == SUMMARY_OPERATIONS_MAX) {
		s->overflow = true;
		return rest;
	}
	op = &s->operations[s->n++];
	op->hash = hash;
	s->table[i] = (uint16_t)s->n;
	return op;
}

void summary__count(struct summary *s, const struct frame_span *head)
{
	struct operation *op = find(s, head->operation);

	op->count++;
	op->errors += head->status == 2;
	op->kind = head->kind;
	histogram__add(&op->durations, head->duration_ns);
}

void summary__name(struct summary *s, const struct frame_span *head, const struct row *row)
{
	struct operation *op = find(s, head->operation);

	if (op->named || op == &s->operations[SUMMARY_OPERATIONS_MAX])
		return;
	op->service_len = (uint8_t)(row->service.len < sizeof(op->service) ? row->service.len :
									     sizeof(op->service));
	op->name_len = (uint8_t)(row->span.name.len < sizeof(op->name) ? row->span.name.len :
									 sizeof(op->name));
	memcpy(op->service, row->service.at, op->service_len);
	memcpy(op->name, row->span.name.at, op->name_len);
	op->named = true;
}

static int by_count(const void *a, const void *b)
{
	const struct operation *x = *(const struct operation *const *)a;
	const struct operation *y = *(const struct operation *const *)b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static void print_operation(struct buf *out, const struct operation *op, bool rest,
			    const struct line_style *style, unsigned int service_columns)
{
	static const char *const kinds[] = { "?",      "internal", "server",
					     "client", "producer", "consumer" };
	const uint64_t times[] = { histogram__percentile(&op->durations, 50),
				   histogram__percentile(&op->durations, 95),
				   histogram__percentile(&op->durations, 99), op->durations.max };
	char text[16];

	buf__printf(out, "%10" PRIu64 "  ", op->count);
	color__on(out, style->color && op->errors, COLOR_RED);
	buf__printf(out, "%8" PRIu64, op->errors);
	color__off(out, style->color && op->errors);
	for (int i = 0; i < 4; i++) {
		duration__text(text, times[i], false);
		buf__printf(out, "  %7s", text);
	}
	pad__add(out, 2);
	if (rest) {
		buf__add_str(out, "(all other operations)\n");
		return;
	}
	escape__pad(out,
		    op->named ? (struct view){ op->service, op->service_len } : VIEW("(unsampled)"),
		    service_columns, style->unicode);
	buf__printf(out, "  %-8s  ", kinds[op->kind < 6 ? op->kind : 0]);
	if (op->named)
		escape__add(out, (struct view){ op->name, op->name_len }, 0, style->unicode);
	else
		buf__printf(out, "%016" PRIx64, op->hash);
	buf__add(out, "\n", 1);
}

void summary__print(const struct summary *s, struct buf *out, const struct line_style *style)
{
	const struct operation **sorted = calloc(s->n + 1, sizeof(*sorted));
	unsigned int service_columns = 11;
	uint64_t count = 0, errors = 0;

	if (!sorted) {
		out->err = -ENOMEM;
		return;
	}
	for (unsigned int i = 0; i < s->n; i++) {
		sorted[i] = &s->operations[i];
		if (s->operations[i].service_len > service_columns)
			service_columns = s->operations[i].service_len;
	}
	qsort(sorted, s->n, sizeof(*sorted), by_count);
	color__on(out, style->color, COLOR_DIM);
	buf__printf(out, "%10s  %8s  %7s  %7s  %7s  %7s  %-*s  %-8s  %s", "SPANS", "ERRORS", "P50",
		    "P95", "P99", "MAX", (int)service_columns, "SERVICE", "KIND", "OPERATION");
	color__off(out, style->color);
	buf__add(out, "\n", 1);
	for (unsigned int i = 0; i < s->n; i++) {
		print_operation(out, sorted[i], false, style, service_columns);
		count += sorted[i]->count;
		errors += sorted[i]->errors;
	}
	if (s->overflow) {
		print_operation(out, &s->operations[SUMMARY_OPERATIONS_MAX], true, style,
				service_columns);
		count += s->operations[SUMMARY_OPERATIONS_MAX].count;
		errors += s->operations[SUMMARY_OPERATIONS_MAX].errors;
	}
	buf__printf(out, "%10" PRIu64 "  %8" PRIu64 "  %33s  total\n", count, errors, "");
	free(sorted);
}
