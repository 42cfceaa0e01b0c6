/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The governor at work in an agent: measures, decides (core/governor.h), tells trace and says in the
 * log and in the account what was decided. Its clock ticks only while there is traffic, or while something is
 * shed.
 */
#ifndef SONDE_PROBE_GOVERN_H
#define SONDE_PROBE_GOVERN_H

#include "core/governor.h"
#include "probe/identify.h"
#include "probe/usage.h"
#include "supervise/supervisor.h"

struct govern {
	bool on;
	double cpu_budget;	/* of the whole machine: 1 */
	uint64_t memory_budget; /* bytes */
	struct governor governor;
	struct usage usage;
	const struct supervisor *supervisor;
	const struct identify *identify;
	uint64_t next_ns;    /* of the next measurement, 0: none */
	uint64_t traffic_ns; /* when traffic was last heard of */
	uint64_t last_ns;    /* of the last measurement */
	uint64_t begun_ns;   /* when it began to shed */
	uint64_t memory_ns;  /* when memory was last looked at */
};

/*
 * Before probe gives up its capabilities; everything is borrowed. cpu_percent: of all processors
 * together.
 */
void govern__begin(struct govern *govern, const struct capture *capture,
		   const struct supervisor *supervisor, const struct identify *identify,
		   double cpu_percent, uint64_t memory_bytes);
void govern__end(struct govern *govern);

/* trace says that there is traffic. */
void govern__traffic(struct govern *govern, uint64_t now_ns);
/* Measures and decides when that is due. When it is due next (CLOCK_BOOTTIME ns), 0: not. */
uint64_t govern__tick(struct govern *govern, uint64_t now_ns);

#endif
