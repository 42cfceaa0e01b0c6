// SPDX-License-Identifier: Apache-2.0
/* Protects: sonde is back within its budget in a second, sheds in one order, and does not swing. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/governor.h"

#define TICKS_A_SECOND (1000000000ull / GOVERNOR_TICK_NS)

/* A sonde whose cost is known: so much at step 0, and what each level leaves of it. */
struct world {
	struct governor governor;
	uint64_t now_ns;
	double load; /* pressure at step 0 */
	double memory;
	unsigned int ups, downs; /* changes so far */
	uint32_t noise;		 /* state of a small generator; 0: none */
};

static double left_of(unsigned int step)
{
	struct shed shed = governor__shed(step);
	double sampled = 1.0 / (1u << shed.halvings);
	/* hooks and parsing, attributes, encoding and sending */
	double cost = 0.5 + 0.1 * (shed.level < SHED_ATTRIBUTES) + 0.4 * sampled;

	return cost * (1 - 0.85 * shed.share / 256);
}

static double jitter(struct world *w)
{
	if (!w->noise)
		return 1;
	w->noise = w->noise * 1664525 + 1013904223;
	return 0.85 + 0.3 * (w->noise >> 8) / (1 << 24);
}

static double pressure_of(const struct world *w)
{
	return w->load * left_of(w->governor.step);
}

static void tick(struct world *w)
{
	struct governor_usage usage;
	unsigned int before = w->governor.step;
	bool changed;

	w->now_ns += governor__interval_ns(&w->governor);
	usage = (struct governor_usage){ w->now_ns, pressure_of(w) * jitter(w), w->memory };
	changed = governor__tick(&w->governor, &usage);
	assert_int_equal(changed, w->governor.step != before);
	assert_true(w->governor.step <= GOVERNOR_STEPS);
	/* Comes back in small steps. */
	assert_true(w->governor.step + 1 >= before);
	w->ups += w->governor.step > before;
	w->downs += w->governor.step < before;
}

static void milliseconds(struct world *w, uint64_t n)
{
	for (uint64_t end = w->now_ns + n * 1000000; w->now_ns < end;)
		tick(w);
}

static void seconds(struct world *w, unsigned int n)
{
	milliseconds(w, 1000ull * n);
}

static struct world begin(double load)
{
	struct world w = { .now_ns = 1000000000, .load = load };

	governor__init(&w.governor);
	return w;
}

static void ladder(void **state)
{
	struct shed last = governor__shed(0);
	bool seen[SHED_LEVELS] = { true };

	assert_int_equal(last.level, SHED_NOTHING);
	for (unsigned int step = 1; step <= GOVERNOR_STEPS; step++) {
		struct shed shed = governor__shed(step);

		assert_true(shed.level == last.level || shed.level == last.level + 1);
		assert_true(shed.halvings >= last.halvings && shed.halvings <= last.halvings + 1);
		assert_true(shed.share >= last.share);
		/* No step for nothing. */
		assert_true(shed.level > last.level || shed.halvings > last.halvings ||
			    shed.share > last.share);
		seen[shed.level] = true;
		last = shed;
	}
	for (int level = 0; level < SHED_LEVELS; level++)
		assert_true(seen[level]);
	assert_int_equal(last.share, 256);
	assert_int_equal(governor__shed(1000).share, 256);
	assert_string_equal(governor__level_name(SHED_ATTRIBUTES), "attributes");
	assert_string_equal(governor__level_name(SHED_CONNECTIONS), "connections");
}

static void shares(void **state)
{
	unsigned int in_half = 0, in_all = 0;

	for (uint64_t conn = 1; conn <= 1000; conn++) {
		in_half += governor__in_share(conn, 128);
		in_all += governor__in_share(conn, 256);
		assert_false(governor__in_share(conn, 0));
		/* Who is in a smaller share is in a larger one. */
		if (governor__in_share(conn, 64))
			assert_true(governor__in_share(conn, 128));
	}
	assert_int_equal(in_all, 1000);
	assert_in_range(in_half, 400, 600);
}

static void within_budget(void **state)
{
	struct world w = begin(0.95);

	seconds(&w, 600);
	assert_int_equal(w.ups, 0);
	w = begin(0.8);
	w.noise = 1;
	seconds(&w, 600);
	assert_int_equal(w.ups, 0);
}

/* A sudden overload of any size that shedding can answer is within the budget after a second. */
static void sudden(void **state)
{
	static const double loads[] = { 1.2, 1.5, 2, 3, 5, 8, 10 };

	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		struct world w = begin(0.2);

		seconds(&w, 5);
		w.load = loads[i];
		/* A little over may be noise for longer. */
		milliseconds(&w, loads[i] > 1.25 ? 500 : 700);
		assert_true(w.governor.step > 0);
		milliseconds(&w, loads[i] > 1.25 ? 500 : 300);
		assert_true(pressure_of(&w) <= 1);
	}
}

#define WINDOW_NS 2000000000ull
#define GRAIN_NS 10000000ull

/*
 * Twice what fits, from one moment to the next, where what is shed shows a tenth of a second later in the
 * cost: no two seconds are more than a sixth over the budget.
 */
static void twice(void **state)
{
	for (uint32_t noise = 0; noise < 50; noise++) {
		double window[WINDOW_NS / GRAIN_NS], sum = 0;
		struct world w = begin(0.2);
		unsigned int at = 0;

		w.noise = noise;
		seconds(&w, 5);
		for (size_t i = 0; i < WINDOW_NS / GRAIN_NS; i++)
			sum += window[i] = 0.2;
		for (unsigned int ticks = 0, last = 0; ticks < 600; ticks++) {
			uint64_t ns = governor__interval_ns(&w.governor), grains = ns / GRAIN_NS;
			unsigned int step = w.governor.step;
			double all = 0;

			for (uint64_t i = 0; i < grains; i++) {
				double cost = 2 * left_of(i < 10 ? last : step);
				double *old = &window[at++ % (WINDOW_NS / GRAIN_NS)];

				sum += cost - *old;
				all += *old = cost;
				assert_true(sum * GRAIN_NS / WINDOW_NS <= 3.5 / 3);
			}
			w.now_ns += ns;
			governor__tick(&w.governor,
				       &(struct governor_usage){
					       w.now_ns, all / (double)grains * jitter(&w), 0 });
			last = step;
		}
	}
}

/* What cannot be kept within the budget has all shed that can be, and stays so. */
static void hopeless(void **state)
{
	struct world w = begin(100);

	seconds(&w, 1);
	assert_int_equal(w.governor.step, GOVERNOR_STEPS);
	seconds(&w, 600);
	assert_int_equal(w.governor.step, GOVERNOR_STEPS);
	assert_int_equal(w.downs, 0);
}

/* The same load for an hour: it settles, and tries ever less often what went wrong. */
static void steady(void **state)
{
	for (double load = 1.05; load < 10; load *= 1.13) {
		for (uint32_t noise = 0; noise < 3; noise++) {
			struct world w = begin(load);
			unsigned int over = 0;

			w.noise = noise;
			seconds(&w, 60);
			w.ups = w.downs = 0;
			for (uint64_t end = w.now_ns + 3600000000000; w.now_ns < end;) {
				tick(&w);
				over += pressure_of(&w) > 1.15;
			}
			assert_true(w.ups + w.downs <= 3600 / 16);
			/* Over its budget for a hundredth of the time at most. */
			assert_true(over <= 36 * TICKS_A_SECOND);
		}
	}
}

static void ramp(void **state)
{
	struct world w = begin(0.1);

	/* A hundredth more every second. */
	for (unsigned int i = 0; i < 300; i++) {
		seconds(&w, 1);
		assert_true(pressure_of(&w) <= 1.3);
		w.load *= 1.01;
	}
	assert_true(w.governor.step > 0);
	assert_int_not_equal(governor__shed(w.governor.step).level, SHED_CONNECTIONS);
	for (unsigned int i = 0; i < 500; i++) {
		seconds(&w, 1);
		w.load *= 0.98;
	}
	assert_int_equal(w.governor.step, 0);
}

/* One step after the other when the load is gone, and soon. */
static void back(void **state)
{
	struct world w = begin(100);
	unsigned int n = 0;

	seconds(&w, 30);
	w.load = 0;
	while (w.governor.step && n++ < 100)
		seconds(&w, 1);
	assert_int_equal(w.governor.step, 0);
	assert_int_equal(w.downs, GOVERNOR_STEPS);
	assert_in_range(n, GOVERNOR_STEPS - 1, 2 * GOVERNOR_STEPS);
}

/* Also after an hour of steps down that were taken back. */
static void back_after_blame(void **state)
{
	struct world w = begin(2.2);
	unsigned int n = 0;

	seconds(&w, 3600);
	w.load = 0;
	while (w.governor.step && n++ < 100)
		seconds(&w, 1);
	assert_int_equal(w.governor.step, 0);
	assert_true(n <= 2 * GOVERNOR_STEPS);
}

/* A second of load every ten: each is answered at once, and what is between stays whole. */
static void bursts(void **state)
{
	struct world w = begin(0.3);

	for (unsigned int i = 0; i < 60; i++) {
		w.load = 4;
		seconds(&w, 1);
		assert_true(pressure_of(&w) <= 1);
		w.load = 0.3;
		seconds(&w, 20);
		assert_int_equal(w.governor.step, 0);
	}
}

/* A single measurement that is a little over is none. */
static void blip(void **state)
{
	struct world w = begin(0.4);

	seconds(&w, 2);
	w.load = 1.4;
	tick(&w);
	w.load = 0.4;
	seconds(&w, 2);
	assert_int_equal(w.ups, 0);
	/* Nor is the first one after a rest, when everything is cold. */
	w.now_ns += 60000000000;
	w.load = 1.9;
	tick(&w);
	w.load = 0.4;
	seconds(&w, 2);
	assert_int_equal(w.ups, 0);
}

static void memory(void **state)
{
	struct world w = begin(0.1);

	w.memory = 1.5;
	tick(&w);
	assert_int_equal(w.governor.step, 1);
	assert_int_equal(w.governor.why, GOVERNED_MEMORY);
	/* Not measured anew: no further, and not back. */
	w.memory = 0;
	seconds(&w, 60);
	assert_int_equal(w.governor.step, 1);
	w.memory = 1.2;
	tick(&w);
	assert_int_equal(w.governor.step, 2);
	w.memory = 0.9;
	seconds(&w, 60);
	assert_int_equal(w.governor.step, 2);
	w.memory = 0.5;
	seconds(&w, 10);
	assert_int_equal(w.governor.step, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ladder),	 cmocka_unit_test(shares),
		cmocka_unit_test(within_budget), cmocka_unit_test(sudden),
		cmocka_unit_test(twice),	 cmocka_unit_test(hopeless),
		cmocka_unit_test(steady),	 cmocka_unit_test(ramp),
		cmocka_unit_test(back),		 cmocka_unit_test(back_after_blame),
		cmocka_unit_test(bursts),	 cmocka_unit_test(blip),
		cmocka_unit_test(memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
