// SPDX-License-Identifier: Apache-2.0
/* Every tier tried for real, for `sonde doctor`. */
#include <stdio.h>
#include <string.h>

#include "probe/capture.h"

/* Loads, attaches and fires it with a scope that holds nobody but ourselves for the moment of the test. */
static void try_tier(enum tier_id tier, struct tier_report *report)
{
	struct capture_options options = { .pids_later = true, .tier = tier__name(tier) };
	struct capture *capture = NULL;
	struct err err = { "" };

	report->available = !capture__open(&options, &capture, &err);
	if (!report->available)
		snprintf(report->why, sizeof(report->why), "%s",
			 err.text + strlen("tier : ") + strlen(report->name));
	capture__free(capture);
}

unsigned int capture__report(struct tier_report ret[TIERS])
{
	struct kernel_features features;
	unsigned int available = 0;

	kernel_features__read(&features);
	for (unsigned int i = 0; i < TIERS; i++) {
		ret[i] = (struct tier_report){ .name = tier__name((enum tier_id)i) };
		if (tier__possible((enum tier_id)i, &features, &ret[i]))
			try_tier((enum tier_id)i, &ret[i]);
		available += ret[i].available;
	}
	return available;
}
