/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine gives a tracer, beside the tiers: one finding a condition, for `sonde doctor`. */
#ifndef SONDE_PROBE_ENVIRONMENT_H
#define SONDE_PROBE_ENVIRONMENT_H

enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_BAD };

/* One sentence each, never more than a person wants to read. */
struct finding {
	const char *name; /* static, for --json */
	enum finding_level level;
	char text[256];
	char fix[256]; /* what to do; "" where nothing is wrong */
};

#define FINDINGS_MAX 16

/* Looks, changes nothing, needs no privileges. Returns how many findings there are. */
unsigned int environment__look(struct finding *ret, unsigned int max);

#endif
