/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sonde sheds when it costs more than it may. Pure: what was measured goes in, what to shed
 * comes out; no clock of its own, so that every load can be played through.
 *
 * What can be shed is a ladder of steps, in one fixed order. A step takes away what those below it
 * take away, and something more.
 */
#ifndef SONDE_CORE_GOVERNOR_H
#define SONDE_CORE_GOVERNOR_H

#include <stdbool.h>
#include <stdint.h>

enum shed_level {
	SHED_NOTHING = 0,
	SHED_ATTRIBUTES,  /* spans without what is not required */
	SHED_SAMPLING,	  /* fewer traces, the same ones everywhere */
	SHED_HEADS,	  /* of a call in which a head begins, the first KiB at the most */
	SHED_CONNECTIONS, /* busy connections are not looked at, a growing share of them */
};
#define SHED_LEVELS 5

/* The last step: everything is shed that can be. */
#define GOVERNOR_STEPS 13
/* How often measurements are wanted, while there is traffic or something is shed; and far from the budget. */
#define GOVERNOR_TICK_NS 100000000ull
#define GOVERNOR_CALM_NS 250000000ull
/* Measurements that a decision looks at, at the most. */
#define GOVERNOR_RECENT 5
/* Of connections, those with more exchanges a second than this are busy. */
#define GOVERNOR_BUSY_HZ 10

struct shed {
	enum shed_level level;
	uint32_t halvings; /* of the share of traces that is sampled: one in 2^halvings stays */
	uint32_t share;	   /* of busy connections, in 1/256 */
};

/* What a step sheds; a larger one than GOVERNOR_STEPS is taken for the last. */
struct shed governor__shed(unsigned int step);
/* "attributes", …; a static string. */
const char *governor__level_name(enum shed_level level);
/* Whether a connection belongs to the share: the same one for every step that has it. */
bool governor__in_share(uint64_t conn, uint32_t share);

struct governor_usage {
	uint64_t now_ns;
	double cpu;    /* since the usage before: of its budget, 1 is all of it */
	double memory; /* now: likewise; 0: not measured this time */
};

struct governor {
	unsigned int step;
	enum { GOVERNED_CPU, GOVERNED_MEMORY } why; /* what went over its budget last */
	unsigned int streak;			    /* steps up, one after the other */
	unsigned int recents;			    /* of recent, how many there are at this step */
	double recent[GOVERNOR_RECENT]; /* processor time of its budget, the newest first */
	double memory;			/* as last measured */
	uint64_t last_ns;		/* of the measurement before */
	uint64_t calm_ns;     /* since when there is room for one step less; 0: there is none */
	uint64_t hold_ns;     /* how long there has to be */
	uint64_t down_ns;     /* when it last came down a step; 0: not since it went up */
	double down_pressure; /* and at which pressure */
};

void governor__init(struct governor *governor);

/*
 * One measurement. True: governor->step has changed. Far over the budget it goes up after two of them, a
 * little over after GOVERNOR_RECENT, the further the more is missing; well below it comes down one step at a time. Where a step down had to be
 * taken back, the next attempt waits twice as long, unless the load has changed since.
 */
bool governor__tick(struct governor *governor, const struct governor_usage *usage);
/* How long to wait for the next one: measuring costs, too, where there is next to nothing to measure. */
uint64_t governor__interval_ns(const struct governor *governor);

#endif
