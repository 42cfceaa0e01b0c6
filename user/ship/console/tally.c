// SPDX-License-Identifier: Apache-2.0
#include "ship/console/tally.h"

#include <errno.h>
#include <stdlib.h>

#include "ship/console/operation.h"

void tally__init(struct tally *t, uint64_t start_ns, uint64_t end_ns, unsigned int n_buckets)
{
	*t = (struct tally){ .start_ns = start_ns,
			     .end_ns = end_ns,
			     .n_buckets = n_buckets,
			     .services = { .max = TALLY_SERVICES_MAX },
			     .operations = { .max = TALLY_OPERATIONS_MAX },
			     .names = { .max = 2 * TALLY_OPERATIONS_MAX } };
	if (n_buckets)
		t->width_ns = (end_ns - start_ns) / n_buckets + 1;
}

static void count(struct tally *t, struct tally_count *c, const struct row *row)
{
	if (histogram__add(&c->durations, row->duration_ns))
		t->failed = true;
	c->count++;
	c->errors += row__failed(row);
}

static enum tally_side side_of(uint32_t kind)
{
	return kind == 2 || kind == 5 ? SIDE_SERVER :
	       kind == 3 || kind == 4 ? SIDE_CLIENT :
					SIDE_OTHER;
}

/* Room for one more of size bytes behind n; what is new is zero. */
static void *grown(void *at, uint32_t n, uint32_t *cap, size_t size)
{
	uint32_t more = *cap ? 2 * *cap : 8;
	char *bigger;

	if (n < *cap)
		return at;
	bigger = reallocarray(at, more, size);
	if (!bigger)
		return NULL;
	memset(bigger + *cap * size, 0, (more - *cap) * size);
	*cap = more;
	return bigger;
}

/* A span's time, cut to the range, as what it adds to each bucket. */
static void spread(const struct tally *t, struct tally_bucket *buckets, uint64_t start,
		   uint64_t end, bool busy)
{
	uint64_t last = t->start_ns + t->n_buckets * t->width_ns;

	start = start > t->start_ns ? start : t->start_ns;
	end = end < last ? end : last;
	while (start < end) {
		uint64_t i = (start - t->start_ns) / t->width_ns,
			 edge = t->start_ns + (i + 1) * t->width_ns;
		uint64_t until = end < edge ? end : edge;

		if (busy)
			buckets[i].busy_ns += until - start;
		else
			buckets[i].work_ns += until - start;
		start = until;
	}
}

static void add_over_time(struct tally *t, struct tally_side_of *side, const struct row *row)
{
	uint64_t start = row->span.start_ns, end = start + row->duration_ns;
	struct tally_interval *bigger;

	if (!side->buckets)
		side->buckets = calloc(t->n_buckets, sizeof(*side->buckets));
	if (!side->buckets) {
		t->failed = true;
		return;
	}
	count(t, &side->buckets[(start - t->start_ns) / t->width_ns].of, row);
	spread(t, side->buckets, start, end, false);
	if (side->many)
		return;
	bigger = side->n_intervals < TALLY_INTERVALS_MAX ?
			 grown(side->intervals, side->n_intervals, &side->cap_intervals,
			       sizeof(*bigger)) :
			 NULL;
	if (!bigger) {
		side->many = true;
		return;
	}
	side->intervals = bigger;
	bigger[side->n_intervals++] = (struct tally_interval){ start, end };
}

/* The number of a service, with its place; negative: it has none. */
static long service_of(struct tally *t, struct view name)
{
	long number =
		intern__add(&t->services, (struct view){ name.at, name.len < OPERATION_MAX_BYTES ?
									  name.len :
									  OPERATION_MAX_BYTES });
	struct tally_service *bigger;

	if (number < 0)
		return number;
	bigger = grown(t->at, (uint32_t)number, &t->cap, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	t->at = bigger;
	return number;
}

static struct tally_operation *operation_of(struct tally *t, uint32_t service, uint32_t kind,
					    struct view name, struct view asked, bool inferred)
{
	struct tally_operation *bigger;
	uint32_t head[2] = { service, kind };
	long number, name_number, asked_number;
	struct buf key = { .max = 4096 };
	bool is_new;

	buf__add(&key, head, sizeof(head));
	buf__add_view(&key, name);
	number = key.err ? -ENOMEM :
			   intern__add(&t->operations,
				       (struct view){ (const char *)key.at, key.len });
	buf__free(&key);
	if (number < 0)
		return NULL;
	bigger = grown(t->ops, (uint32_t)number, &t->cap_ops, sizeof(*bigger));
	if (!bigger)
		return NULL;
	t->ops = bigger;
	is_new = !bigger[number].name.at;
	if (!is_new)
		return &bigger[number];
	name_number = intern__add(&t->names, name);
	asked_number = intern__add(&t->names, asked);
	if (name_number < 0 || asked_number < 0)
		return NULL;
	bigger[number] =
		(struct tally_operation){ .service = service,
					  .kind = kind,
					  .inferred = inferred,
					  .name = intern__text(&t->names, (uint32_t)name_number),
					  .asked =
						  intern__text(&t->names, (uint32_t)asked_number) };
	return &bigger[number];
}

void tally__add(struct tally *t, const struct row *row)
{
	struct tally_operation *op;
	struct tally_side_of *side;
	struct view asked = row->span.name;
	bool inferred;
	long service;

	if (row->span.start_ns < t->start_ns || row->span.start_ns > t->end_ns)
		return;
	t->spans++;
	service = service_of(t, row->service);
	if (service < 0) {
		t->left_out++;
		return;
	}
	side = &t->at[service].sides[side_of(row->span.kind)];
	count(t, &side->all, row);
	if (t->n_buckets)
		add_over_time(t, side, row);
	buf__clear(&t->text);
	inferred = operation__add(&t->text, row);
	if (asked.len > OPERATION_MAX_BYTES)
		asked.len = OPERATION_MAX_BYTES;
	op = operation_of(t, (uint32_t)service, row->span.kind < 6 ? row->span.kind : 0,
			  (struct view){ (const char *)t->text.at, t->text.len }, asked, inferred);
	if (op)
		count(t, &op->of, row);
	else
		t->left_out++;
}

void tally__merge(struct tally *t, const struct tally *from)
{
	t->spans += from->spans;
	t->left_out += from->left_out;
	for (uint32_t i = 0; i < from->operations.n; i++) {
		const struct tally_operation *its = &from->ops[i];
		struct tally_operation *op = NULL;
		long service;

		if (!its->name.at)
			continue;
		service = service_of(t, intern__text(&from->services, its->service));
		if (service >= 0)
			op = operation_of(t, (uint32_t)service, its->kind, its->name, its->asked,
					  its->inferred);
		if (!op) {
			t->left_out += its->of.count;
			continue;
		}
		op->of.count += its->of.count;
		op->of.errors += its->of.errors;
		if (histogram__merge(&op->of.durations, &its->of.durations))
			t->failed = true;
	}
}

static int by_number(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int by_start(const void *a, const void *b)
{
	const struct tally_interval *x = a, *y = b;

	return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

/* The time in which there was any, piece by piece. */
static void find_busy(const struct tally *t, struct tally_side_of *side)
{
	uint64_t start = 0, end = 0;

	for (uint32_t i = 0; i < side->n_intervals; i++) {
		const struct tally_interval *at = &side->intervals[i];

		if (i && at->start_ns <= end) {
			end = at->end_ns > end ? at->end_ns : end;
			continue;
		}
		spread(t, side->buckets, start, end, true);
		start = at->start_ns;
		end = at->end_ns;
	}
	spread(t, side->buckets, start, end, true);
}

/* At each start: those that have begun, without those that have ended. One that ends as another begins is over. */
static void find_peaks(const struct tally *t, struct tally_side_of *side, const uint64_t *ends)
{
	uint32_t begun = 0, ended = 0;

	for (uint32_t b = 0; b < t->n_buckets; b++) {
		uint64_t edge = t->start_ns + (b + 1) * t->width_ns;
		uint32_t peak = begun - ended; /* what goes on from the bucket before */

		for (; begun < side->n_intervals && side->intervals[begun].start_ns < edge;
		     begun++) {
			while (ended < begun && ends[ended] <= side->intervals[begun].start_ns)
				ended++;
			peak = begun + 1 - ended > peak ? begun + 1 - ended : peak;
		}
		while (ended < begun && ends[ended] <= edge)
			ended++;
		side->buckets[b].peak = peak;
		side->peak = peak > side->peak ? peak : side->peak;
	}
}

static void finish_side(struct tally *t, struct tally_side_of *side)
{
	uint64_t *ends = side->many ? NULL : calloc(side->n_intervals + 1ul, sizeof(*ends));

	if (!ends)
		side->many = true;
	if (ends) {
		qsort(side->intervals, side->n_intervals, sizeof(*side->intervals), by_start);
		for (uint32_t i = 0; i < side->n_intervals; i++)
			ends[i] = side->intervals[i].end_ns;
		qsort(ends, side->n_intervals, sizeof(*ends), by_number);
		find_busy(t, side);
		find_peaks(t, side, ends);
	}
	free(ends);
	for (unsigned int b = 0; b < t->n_buckets; b++) {
		side->work_ns += side->buckets[b].work_ns;
		side->busy_ns += side->buckets[b].busy_ns;
	}
}

void tally__finish(struct tally *t)
{
	for (uint32_t i = 0; i < t->services.n && i < t->cap; i++)
		for (int s = 0; s < SIDES; s++)
			if (t->at[i].sides[s].buckets)
				finish_side(t, &t->at[i].sides[s]);
}

enum tally_side tally__side(const struct tally_service *service)
{
	for (int s = 0; s < SIDES; s++)
		if (service->sides[s].all.count)
			return (enum tally_side)s;
	return SIDE_OTHER;
}

static void free_side(struct tally_side_of *side, unsigned int n_buckets)
{
	histogram__free(&side->all.durations);
	for (unsigned int b = 0; side->buckets && b < n_buckets; b++)
		histogram__free(&side->buckets[b].of.durations);
	free(side->buckets);
	free(side->intervals);
}

void tally__free(struct tally *t)
{
	for (uint32_t i = 0; i < t->services.n && i < t->cap; i++)
		for (int s = 0; s < SIDES; s++)
			free_side(&t->at[i].sides[s], t->n_buckets);
	for (uint32_t i = 0; i < t->operations.n && i < t->cap_ops; i++)
		histogram__free(&t->ops[i].of.durations);
	free(t->at);
	free(t->ops);
	intern__free(&t->services);
	intern__free(&t->operations);
	intern__free(&t->names);
	buf__free(&t->text);
	*t = (struct tally){ 0 };
}
