// SPDX-License-Identifier: Apache-2.0
#include "core/governor.h"

/* Room enough for a step less: what it gives back must not go over the budget again. */
#define CALM_PRESSURE 0.75
/* How long the room has to be there, at first and at the longest. */
#define HOLD_FIRST_NS 1000000000ull
#define HOLD_MAX_NS 64000000000ull
/* Over the budget so soon after a step down: that step was the reason. */
#define BLAME_NS 4000000000ull
/* The load is another one when so little is left of it. */
#define CHANGED 0.5

static const struct shed ladder[GOVERNOR_STEPS + 1] = {
	{ SHED_NOTHING, 0, 0 },	      { SHED_ATTRIBUTES, 0, 0 },    { SHED_SAMPLING, 1, 0 },
	{ SHED_SAMPLING, 2, 0 },      { SHED_SAMPLING, 3, 0 },	    { SHED_SAMPLING, 4, 0 },
	{ SHED_SAMPLING, 5, 0 },      { SHED_SAMPLING, 6, 0 },	    { SHED_HEADS, 6, 0 },
	{ SHED_CONNECTIONS, 6, 64 },  { SHED_CONNECTIONS, 6, 128 }, { SHED_CONNECTIONS, 6, 192 },
	{ SHED_CONNECTIONS, 6, 224 }, { SHED_CONNECTIONS, 6, 256 },
};

static const char *const names[SHED_LEVELS] = { "nothing", "attributes", "sampling", "heads",
						"connections" };

struct shed governor__shed(unsigned int step)
{
	return ladder[step < GOVERNOR_STEPS ? step : GOVERNOR_STEPS];
}

const char *governor__level_name(enum shed_level level)
{
	return names[level];
}

bool governor__in_share(uint64_t conn, uint32_t share)
{
	/* Fibonacci hashing: numbers of connections are counters. */
	return (uint32_t)((conn * 0x9e3779b97f4a7c15ull) >> 56) < share;
}

void governor__init(struct governor *governor)
{
	*governor = (struct governor){ .hold_ns = HOLD_FIRST_NS, .before = -1 };
}

static unsigned int steps_up(double pressure)
{
	return pressure > 8 ? 7 : pressure > 4 ? 5 : pressure > 2 ? 3 : pressure > 1.3 ? 2 : 1;
}

static bool go_up(struct governor *g, uint64_t now_ns, double pressure)
{
	/* What was tried just now was not enough: more of it each time. */
	unsigned int step = g->step + steps_up(pressure) + g->streak++;

	g->calm_ns = 0;
	if (g->step == GOVERNOR_STEPS)
		return false;
	if (g->down_ns && now_ns - g->down_ns < BLAME_NS) {
		/* What a step down had brought back was too much: back, and no further. */
		if (pressure <= 2)
			step = g->step + 1;
		if (g->hold_ns < HOLD_MAX_NS)
			g->hold_ns *= 2;
	}
	g->down_ns = 0;
	g->step = step < GOVERNOR_STEPS ? step : GOVERNOR_STEPS;
	g->before = -1;
	return true;
}

static bool go_down(struct governor *g, uint64_t now_ns, double pressure)
{
	if (!g->step)
		return false;
	/* Stayed down: the next step is tried the sooner for it. */
	if (g->down_ns && now_ns - g->down_ns >= BLAME_NS) {
		g->down_ns = 0;
		if (g->hold_ns > HOLD_FIRST_NS)
			g->hold_ns /= 2;
	}
	if (pressure < CHANGED * g->down_pressure)
		g->hold_ns = HOLD_FIRST_NS;
	if (!g->calm_ns)
		g->calm_ns = now_ns;
	if (now_ns - g->calm_ns < g->hold_ns)
		return false;
	g->step--;
	g->calm_ns = g->down_ns = now_ns;
	g->down_pressure = pressure;
	g->before = -1;
	return true;
}

bool governor__tick(struct governor *g, const struct governor_usage *usage)
{
	double pressure, mean;

	if (usage->memory > 0)
		g->memory = usage->memory;
	pressure = g->memory > usage->cpu ? g->memory : usage->cpu;
	/* It has rested: a first request after that is dear, and no load. */
	if (!g->step && usage->now_ns - g->last_ns > 2 * GOVERNOR_TICK_NS)
		g->before = 0;
	g->last_ns = usage->now_ns;
	/* A little over for a moment is noise; much over is not. */
	mean = g->before < 0 ? pressure : (g->before + pressure) / 2;
	g->before = pressure;
	if (mean > 1) {
		/* Memory is given back slowly: a step at a time, and only on a new measurement. */
		bool of_memory = usage->cpu <= 1;

		if (of_memory && usage->memory <= 1) {
			g->calm_ns = 0;
			return false;
		}
		g->why = of_memory ? GOVERNED_MEMORY : GOVERNED_CPU;
		g->streak = of_memory ? 0 : g->streak;
		return go_up(g, usage->now_ns, of_memory ? 1 : mean);
	}
	g->streak = 0;
	if (pressure < CALM_PRESSURE)
		return go_down(g, usage->now_ns, pressure);
	g->calm_ns = 0;
	return false;
}
