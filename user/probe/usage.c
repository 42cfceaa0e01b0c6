// SPDX-License-Identifier: Apache-2.0
#include "probe/usage.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "probe/procfs.h"

/* A record costs as much as so many hits that write none. */
#define RECORD_UNITS 3
/* So many hits on connections none of whose bytes is looked at cost as much as one on another. */
#define QUIET_A_UNIT 4
/* What a unit costs until it is calibrated, and where it cannot be. */
#define UNIT_NS 80.0
/* Hits after which the calibration is good enough. */
#define CALIBRATE_UNITS 20000
/* What the statistics add themselves to each run of a program, and measure with it. */
#define STATISTICS_NS 25.0

/* What the programs have done so far: hits in scope, and the records that they wrote. */
static uint64_t units(const struct capture *capture)
{
	struct sonde_kcounters sum;

	capture__counters(capture, &sum);
	return sum.hits_send + sum.hits_recv + RECORD_UNITS * sum.records_attempted +
	       sum.hits_quiet / QUIET_A_UNIT;
}

void usage__begin(struct usage *usage, const struct capture *capture, bool calibrate)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	*usage = (struct usage){
		.capture = capture,
		.statistics = calibrate ? bpf_enable_stats(BPF_STATS_RUN_TIME) : -1,
		.tier = capture__tier(capture),
		.ns_of_unit = UNIT_NS,
		.processors = processors > 0 ? (unsigned int)processors : 1,
	};
	usage->begun_units = units(capture);
}

void usage__end(struct usage *usage)
{
	if (usage->capture && usage->statistics >= 0)
		close(usage->statistics);
	usage->statistics = -1;
}

static void calibrate_now(struct usage *usage, uint64_t now_units)
{
	uint64_t ns, runs, done = now_units - usage->begun_units;
	double own;

	/* Another tier's programs have a clock of their own, which starts now. */
	if (usage->tier != capture__tier(usage->capture)) {
		usage->tier = capture__tier(usage->capture);
		usage->begun_units = now_units;
		return;
	}
	if (usage->statistics < 0 || done < CALIBRATE_UNITS)
		return;
	capture__run_time(usage->capture, &ns, &runs);
	own = (double)ns - STATISTICS_NS * (double)runs;
	if (own > 0)
		usage->ns_of_unit = own / (double)done;
	usage__end(usage);
}

/* By the process's own clock: no file is read, and it counts in ns. */
static uint64_t role_ns(struct usage *usage, unsigned int at, pid_t pid)
{
	struct timespec t;
	uint64_t ns, before;
	clockid_t clock;

	if (!pid || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return 0;
	ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	before = usage->roles[at].pid == pid ? usage->roles[at].ns : 0;
	usage->roles[at].pid = pid;
	usage->roles[at].ns = ns;
	return ns > before ? ns - before : 0;
}

double usage__cpu(struct usage *usage, uint64_t now_ns, const pid_t pids[USAGE_ROLES])
{
	uint64_t now_units = units(usage->capture), since = now_ns - usage->last_ns;
	double ns;

	calibrate_now(usage, now_units);
	ns = (double)(now_units - usage->last_units) * usage->ns_of_unit;
	for (unsigned int i = 0; i < USAGE_ROLES; i++)
		ns += (double)role_ns(usage, i, pids[i]);
	/* Without traffic it is measuring itself that costs, and nothing that is shed makes it less. */
	if (!usage->last_ns || now_units == usage->last_units)
		ns = 0;
	usage->last_ns = now_ns;
	usage->last_units = now_units;
	return since ? ns / ((double)since * usage->processors) : 0;
}

uint64_t usage__programs_ns(const struct usage *usage)
{
	return (uint64_t)((double)units(usage->capture) * usage->ns_of_unit);
}

static uint64_t pss_bytes(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	return procfs__number(path, "Pss:") * 1024;
}

uint64_t usage__memory(const struct usage *usage, const pid_t pids[USAGE_ROLES])
{
	uint64_t bytes = capture__map_bytes(usage->capture);

	for (unsigned int i = 0; i < USAGE_ROLES; i++)
		if (pids[i])
			bytes += pss_bytes(pids[i]);
	return bytes;
}
