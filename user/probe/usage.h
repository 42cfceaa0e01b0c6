/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sonde costs, as measured: the processor time of its roles from their own clocks, that of its
 * programs as what they did times the calibrated cost of it, and memory.
 *
 * The programs run in the traced processes' time and no clock tells theirs apart. So the kernel's
 * statistics are switched on until enough hits have run, and off again, as they cost more than some of
 * our hits do; from then on the programs' own counters are enough.
 */
#ifndef SONDE_PROBE_USAGE_H
#define SONDE_PROBE_USAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "probe/capture.h"

#define USAGE_ROLES 4

struct usage {
	const struct capture *capture;
	int statistics;	      /* -1: off, or not allowed */
	double ns_of_unit;    /* see units() */
	uint64_t begun_units; /* when the statistics were switched on */
	const char *tier;     /* whose programs they are of */
	uint64_t last_ns, last_units;
	struct {
		pid_t pid;
		uint64_t ns; /* of its clock, when last read */
	} roles[USAGE_ROLES];
	unsigned int processors;
};

/*
 * Before probe gives up its capabilities. capture is borrowed. calibrate: false where nobody minds
 * what a hit costs.
 */
void usage__begin(struct usage *usage, const struct capture *capture, bool calibrate);
void usage__end(struct usage *usage);

/*
 * Processor time since the call before, of all processors together: 1 is the whole machine for the
 * whole time. pids: of the roles, always in the same order; 0: does not run. 0 on the first call, and
 * where the programs had nothing to do in between.
 */
double usage__cpu(struct usage *usage, uint64_t now_ns, const pid_t pids[USAGE_ROLES]);

/* What the programs have cost since they were loaded, as far as it is calibrated. */
uint64_t usage__programs_ns(const struct usage *usage);

/* Proportional memory of the roles and what the maps hold, in bytes. Takes some 100 µs a role. */
uint64_t usage__memory(const struct usage *usage, const pid_t pids[USAGE_ROLES]);

#endif
