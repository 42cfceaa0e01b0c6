// SPDX-License-Identifier: Apache-2.0
#include "core/governor.h"

/* Room enough for a step less: what it gives back must not go over the budget again. */
#define CALM_PRESSURE 0.75
/* Over the budget by so much on two measurements is no noise. */
#define FAR_PRESSURE 1.25
/* So far from it that measurements may come less often. */
#define IDLE_PRESSURE 0.25
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
	*governor = (struct governor){ .hold_ns = HOLD_FIRST_NS };
}

/*
 * Too far is made good in a few seconds, not far enough is paid for until then. Twice what is allowed needs
 * all of the sampling, and some.
 */
static unsigned int steps_up(double pressure)
{
	return pressure > 4 ? 9 : pressure > 1.8 ? 7 : pressure > 1.4 ? 4 : pressure > 1.1 ? 2 : 1;
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
	g->recents = 0;
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
	g->recents = 0;
	return true;
}

static void remember(struct governor *g, double cpu)
{
	for (unsigned int i = GOVERNOR_RECENT - 1; i > 0; i--)
		g->recent[i] = g->recent[i - 1];
	g->recent[0] = cpu;
	g->recents += g->recents < GOVERNOR_RECENT;
}

/* Of the newest measurements at this step, n at the most. */
static double mean_of(const struct governor *g, unsigned int n)
{
	double sum = 0;

	if (n > g->recents)
		n = g->recents;
	for (unsigned int i = 0; i < n; i++)
		sum += g->recent[i];
	return sum / n;
}

/* A little over for a moment is noise; much over is not, nor a little that stays. 0: not over. */
static double over(const struct governor *g)
{
	double now = mean_of(g, 2), lately = mean_of(g, GOVERNOR_RECENT);

	if (g->recents >= 2 && now > FAR_PRESSURE)
		return now;
	return g->recents == GOVERNOR_RECENT && lately > 1 ? lately : 0;
}

bool governor__tick(struct governor *g, const struct governor_usage *usage)
{
	double pressure;

	if (usage->memory > 0)
		g->memory = usage->memory;
	/* It has rested: a first request after that is dear, and no load. */
	if (!g->step && usage->now_ns - g->last_ns > 2 * GOVERNOR_CALM_NS) {
		g->recents = 0;
		remember(g, 0);
	}
	g->last_ns = usage->now_ns;
	remember(g, usage->cpu);
	pressure = over(g);
	if (pressure > 0) {
		g->why = GOVERNED_CPU;
		return go_up(g, usage->now_ns, pressure);
	}
	if (g->memory > 1) {
		g->calm_ns = 0;
		/* Memory is given back slowly: a step at a time, and only on a new measurement. */
		if (usage->memory <= 1)
			return false;
		g->why = GOVERNED_MEMORY;
		g->streak = 0;
		return go_up(g, usage->now_ns, 1);
	}
	pressure = mean_of(g, 2);
	if (pressure <= 1 && g->recents >= 2)
		g->streak = 0;
	if (g->memory > pressure)
		pressure = g->memory;
	if (pressure < CALM_PRESSURE)
		return go_down(g, usage->now_ns, pressure);
	g->calm_ns = 0;
	return false;
}

uint64_t governor__interval_ns(const struct governor *g)
{
	bool far = !g->step && g->recents && g->recent[0] < IDLE_PRESSURE && g->memory < 1;

	return far ? GOVERNOR_CALM_NS : GOVERNOR_TICK_NS;
}
