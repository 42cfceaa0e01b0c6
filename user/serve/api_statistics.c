// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/otlp_json.h"
#include "serve/api_impl.h"
#include "ship/console/callmap.h"
#include "ship/console/count_json.h"
#include "ship/console/tally.h"

#define BUCKETS_DEFAULT 60
/* A machine that has become busier in between may not have time for what there was time for before. */
#define AGAIN_MAX 2

/* By so many ends of spans it is known how far a walk has come. */
#define LAST_SPANS 255

/* A walk over the spans of a range, the newest first, for as long as there is time. */
struct gathering {
	struct ask *ask;
	struct filter filter;
	struct tally *tally;
	struct callmap *map;
	uint64_t last_ns[LAST_SPANS], seen; /* when the spans ended that were seen last */
};

static bool gather_late(void *arg)
{
	const struct gathering *g = arg;

	return ask__late(g->ask) || (g->map && g->map->left_out);
}

static bool gather_skip(void *arg, uint64_t partition, uint64_t segment)
{
	const struct gathering *g = arg;
	uint64_t margin = g->map ? CALLMAP_MARGIN_NS : 0, start = g->filter.start_ns;
	uint64_t end = g->filter.end_ns;

	return catalogue__outside(g->ask->api->catalogue, partition, segment,
				  start > margin ? start - margin : 0,
				  end < UINT64_MAX - margin ? end + margin : UINT64_MAX);
}

static bool gather_match(void *arg, const struct row *row)
{
	struct gathering *g = arg;

	g->last_ns[g->seen++ % LAST_SPANS] = row->span.start_ns + row->duration_ns;
	return g->map ? callmap__wants(g->map, row) : filter__matches(&g->filter, row);
}

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * From when on everything was seen: the store is in the order in which spans came, which is that of their ends but for
 * what was delayed on its way, of which the middle one knows nothing.
 */
static uint64_t seen_from(struct gathering *g)
{
	size_t n = g->seen < LAST_SPANS ? g->seen : LAST_SPANS;
	uint64_t at;

	qsort(g->last_ns, n, sizeof(g->last_ns[0]), by_time);
	at = n ? g->last_ns[n / 2] : g->filter.end_ns;
	if (at > g->filter.end_ns)
		return g->filter.end_ns;
	return at > g->filter.start_ns ? at : g->filter.start_ns;
}

static void gather_span(void *arg, const struct row *row, struct view scope)
{
	struct gathering *g = arg;

	if (g->map)
		callmap__add(g->map, row);
	else
		tally__add(g->tally, row);
}

static void ignore_note(void *arg, const char *text)
{
}

/* False: the answer is an error. */
static bool gather(struct gathering *g)
{
	struct store_query query = { .where = g->filter.where,
				     .stop = gather_late,
				     .skip = gather_skip,
				     .match = gather_match,
				     .found = gather_span,
				     .note = ignore_note,
				     .arg = g };
	struct store_answer answer;
	struct err err = { "" };

	if (!store__search(g->ask->api->folder, &query, &answer, &err))
		return true;
	ask__unreadable(g->ask, &err);
	return false;
}

/*
 * The parameters of a search but for its limit, and buckets where it is not NULL; what is not said of the range is
 * that of the store. False: the answer is an error.
 */
static bool read_question(struct ask *ask, struct filter *ret, unsigned int *buckets)
{
	struct target target = *ask->target;
	struct catalogue_totals totals;
	const char *text = buckets ? target__param(&target, "buckets") : NULL;
	struct complaint why;
	uint64_t n;
	int bad;

	if (text && *text && (!filter__number(text, &n) || n < 1 || n > TALLY_BUCKETS_MAX)) {
		ask__error(ask, 400, "the parameter buckets is wrong",
			   "it is how many parts the time is cut into",
			   "give a number from 1 to 240");
		return false;
	}
	if (buckets)
		*buckets = text && *text ? (unsigned int)n : BUCKETS_DEFAULT;
	/* The search does not know it. */
	target.n_params = 0;
	for (unsigned int i = 0; i < ask->target->n_params; i++)
		if (!buckets || !view_eq(ask->target->params[i].key, VIEW("buckets")))
			target.params[target.n_params++] = ask->target->params[i];
	bad = buckets ? filter__read(&target, ret, &why) :
			filter__read_range(&target, NULL, ret, &why);
	if (bad) {
		ask__wrong(ask, bad, &why);
		return false;
	}
	if (!ask__catalogue(ask)) {
		filter__free(ret);
		return false;
	}
	catalogue__totals(ask->api->catalogue, &totals);
	/* Of a store that is still being read the newest is not known yet. */
	if (ret->end_ns == UINT64_MAX)
		ret->end_ns = totals.complete ? totals.newest_ns : clock__epoch_ns();
	if (!ret->start_ns)
		ret->start_ns = totals.oldest_ns;
	if (ret->start_ns > ret->end_ns)
		ret->start_ns = ret->end_ns;
	return true;
}

/* What was at work at once: shares of `ns`. */
static void add_load(struct buf *out, const struct tally_side_of *side, uint64_t work,
		     uint64_t busy, uint32_t peak, uint64_t ns)
{
	buf__printf(out, "\"in_flight\":%.6g", ns ? (double)work / (double)ns : 0);
	if (!side->many)
		buf__printf(out, ",\"peak\":%" PRIu32 ",\"busy_share\":%.6g", peak,
			    ns ? (double)busy / (double)ns : 0);
}

static void add_buckets(struct buf *out, const struct tally *t, const struct tally_side_of *side)
{
	bool any = false;

	buf__add_str(out, ",\"buckets\":[");
	for (unsigned int i = 0; i < t->n_buckets && side->buckets; i++) {
		const struct tally_bucket *b = &side->buckets[i];

		if (!b->of.count && !b->work_ns)
			continue;
		buf__add_str(out, any ? ",{" : "{");
		any = true;
		json__nano(out, "start_unix_nano", t->start_ns + i * t->width_ns);
		buf__add_str(out, ",");
		count_json__add(out, b->of.count, b->of.errors, &b->of.durations);
		buf__add_str(out, ",");
		add_load(out, side, b->work_ns, b->busy_ns, b->peak, t->width_ns);
		buf__add_str(out, "}");
	}
	buf__add_str(out, "]");
}

static int by_count(const void *a, const void *b, void *arg)
{
	const struct tally *t = arg;
	const struct tally_operation *x = &t->ops[*(const uint32_t *)a];
	const struct tally_operation *y = &t->ops[*(const uint32_t *)b];

	if (x->of.count != y->of.count)
		return x->of.count < y->of.count ? 1 : -1;
	return *(const uint32_t *)a < *(const uint32_t *)b ? -1 : 1;
}

static void add_operations(struct buf *out, const struct tally *t, uint32_t service)
{
	uint32_t numbers[TALLY_OPERATIONS_MAX], n = 0;

	for (uint32_t i = 0; i < t->operations.n && i < t->cap_ops; i++)
		if (t->ops[i].service == service && t->ops[i].of.count)
			numbers[n++] = i;
	qsort_r(numbers, n, sizeof(numbers[0]), by_count, (void *)t);
	buf__add_str(out, ",\"operations\":[");
	for (uint32_t i = 0; i < n; i++) {
		const struct tally_operation *op = &t->ops[numbers[i]];

		buf__add_str(out, i ? ",{\"name\":" : "{\"name\":");
		otlp_json__string(out, op->name);
		buf__add_str(out, ",\"span_name\":");
		otlp_json__string(out, op->asked);
		buf__printf(out, ",\"kind\":\"%s\",\"inferred\":%s,", kind__name(op->kind),
			    op->inferred ? "true" : "false");
		count_json__add(out, op->of.count, op->of.errors, &op->of.durations);
		buf__add_str(out, "}");
	}
	buf__add_str(out, "]");
}

static void tell_service(struct ask *ask, const struct tally *t, uint32_t number, bool first)
{
	static const char *const kinds[SIDES] = { "server", "client", "internal" };
	enum tally_side which = tally__side(&t->at[number]);
	const struct tally_side_of *side = &t->at[number].sides[which];
	struct buf *out = ask__text(ask);

	buf__add_str(out, first ? "{\"name\":" : ",{\"name\":");
	otlp_json__string(out, intern__text(&t->services, number));
	buf__printf(out, ",\"kind\":\"%s\",", kinds[which]);
	count_json__add(out, side->all.count, side->all.errors, &side->all.durations);
	buf__add_str(out, ",");
	add_load(out, side, side->work_ns, side->busy_ns, side->peak, t->width_ns * t->n_buckets);
	add_buckets(out, t, side);
	add_operations(out, t, number);
	buf__add_str(out, "}");
	body__spill(ask->answer->body);
}

static void add_range(struct buf *out, uint64_t start_ns, uint64_t end_ns)
{
	json__nano(out, "start_unix_nano", start_ns);
	buf__add_str(out, ",");
	json__nano(out, "end_unix_nano", end_ns);
	buf__add_str(out, ",");
}

static bool store_is_read(struct ask *ask)
{
	struct catalogue_totals totals;

	catalogue__totals(ask->api->catalogue, &totals);
	return totals.complete && !totals.unread;
}

static void tell_statistics(struct ask *ask, const struct tally *t, bool shorter)
{
	struct buf *out = ask__text(ask);
	bool whole = store_is_read(ask) && !ask->late && !shorter && !t->left_out;

	buf__add_str(out, "{");
	add_range(out, t->start_ns, t->end_ns);
	json__nano(out, "bucket_nano", t->width_ns);
	buf__add_str(out, ",");
	json__number(out, "spans", t->spans);
	buf__add_str(out, ",\"services\":[");
	for (uint32_t i = 0; i < t->services.n; i++)
		tell_service(ask, t, i, !i);
	buf__printf(ask__text(ask), "],\"incomplete\":%s}\n", whole ? "false" : "true");
}

void api__statistics(struct ask *ask)
{
	struct gathering g = { .ask = ask };
	unsigned int buckets;
	struct tally tally;
	bool good, shorter = false;

	if (!read_question(ask, &g.filter, &buckets))
		return;
	tally__init(&tally, g.filter.start_ns, g.filter.end_ns, buckets);
	g.tally = &tally;
	good = gather(&g);
	/* Where there is not time for all, what is told is all of a shorter time, or no rate were true. */
	for (unsigned int again = 0; good && ask->late && again < AGAIN_MAX; again++) {
		g.filter.start_ns = seen_from(&g);
		shorter = true;
		tally__free(&tally);
		tally__init(&tally, g.filter.start_ns, g.filter.end_ns, buckets);
		ask__once_more(ask);
		good = gather(&g);
	}
	if (good) {
		tally__finish(&tally);
		if (tally.failed)
			ask__wrong(ask, -ENOMEM, NULL);
		else
			tell_statistics(ask, &tally, shorter);
	}
	tally__free(&tally);
	filter__free(&g.filter);
	malloc_trim(0);
}

bool ask__callmap(struct ask *ask, const struct filter *range, struct callmap *ret)
{
	struct gathering g = { .ask = ask, .filter = *range, .map = ret };

	callmap__init(ret, range->start_ns, range->end_ns, clock__epoch_ns());
	if (!gather(&g))
		return false;
	/* As above. What began before and ended in it stands for what has begun and goes on. */
	if (ask->late || ret->left_out)
		ret->start_ns = seen_from(&g);
	callmap__finish(ret);
	if (ret->failed)
		ask__wrong(ask, -ENOMEM, NULL);
	return !ret->failed;
}

void api__map(struct ask *ask)
{
	struct filter range;
	struct callmap map;

	if (!read_question(ask, &range, NULL))
		return;
	if (ask__callmap(ask, &range, &map))
		count_json__map(ask__text(ask), &map,
				store_is_read(ask) && !ask->late && !map.left_out);
	callmap__free(&map);
	malloc_trim(0);
}
