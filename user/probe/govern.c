// SPDX-License-Identifier: Apache-2.0
#include "probe/govern.h"

#include <unistd.h>

#include "base/log.h"

/* Heard of traffic so long ago, there is none: trace says it once a second while there is. */
#define TRAFFIC_NS 1500000000ull
/* Memory is looked at this often: it changes slowly, and the look is dear. */
#define MEMORY_NS 2000000000ull

void govern__begin(struct govern *g, const struct capture *capture,
		   const struct supervisor *supervisor, const struct identify *identify,
		   double cpu_percent, uint64_t memory_bytes)
{
	*g = (struct govern){ .on = true,
			      .cpu_budget = cpu_percent / 100,
			      .memory_budget = memory_bytes,
			      .supervisor = supervisor,
			      .identify = identify };
	governor__init(&g->governor);
	/* The whole machine is no limit: nothing can be over it. */
	usage__begin(&g->usage, capture, cpu_percent < 100);
}

void govern__end(struct govern *g)
{
	if (g->on)
		usage__end(&g->usage);
	g->on = false;
}

static void measure(struct govern *g, uint64_t now_ns, struct governor_usage *ret)
{
	pid_t pids[USAGE_ROLES] = { getpid(), g->supervisor->roles[AT_TRACE].pid,
				    g->supervisor->roles[AT_SHIP].pid, g->identify->inspect.pid };

	*ret = (struct governor_usage){ .now_ns = now_ns };
	ret->cpu = usage__cpu(&g->usage, now_ns, pids) / g->cpu_budget;
	if (g->memory_ns && now_ns - g->memory_ns < MEMORY_NS)
		return;
	g->memory_ns = now_ns;
	ret->memory = (double)usage__memory(&g->usage, pids) / (double)g->memory_budget;
}

void govern__traffic(struct govern *g, uint64_t now_ns)
{
	struct governor_usage from_here;

	if (!g->on)
		return;
	g->traffic_ns = now_ns;
	if (g->next_ns)
		return;
	measure(g, now_ns, &from_here);
	g->last_ns = now_ns;
	g->next_ns = now_ns + GOVERNOR_TICK_NS;
}

static void say_usage(const struct govern *g, const struct governor_usage *usage)
{
	const char *sheds = governor__level_name(governor__shed(g->governor.step).level);

	if (g->governor.why == GOVERNED_MEMORY)
		log_warn("over the memory budget: %.1f of %.1f MiB; begins to shed, in the order "
			 "attributes, sampling, heads, connections; now: %s",
			 g->governor.memory * (double)g->memory_budget / (1 << 20),
			 (double)g->memory_budget / (1 << 20), sheds);
	else
		log_warn("over the processor budget: %.2f of %.2f %% of this machine; begins to "
			 "shed, in the order attributes, sampling, heads, connections; now: %s",
			 usage->cpu * g->cpu_budget * 100, g->cpu_budget * 100, sheds);
}

static void say(struct govern *g, const struct governor_usage *usage, unsigned int before)
{
	struct shed was = governor__shed(before), now = governor__shed(g->governor.step);

	if (was.level == SHED_NOTHING) {
		g->begun_ns = usage->now_ns;
		say_usage(g, usage);
	} else if (now.level == SHED_NOTHING) {
		log_info("within the budget again: nothing is shed any more, after %.1f s",
			 (double)(usage->now_ns - g->begun_ns) / 1e9);
	} else if (now.level != was.level) {
		log_info("%s to shed: %s, at %.0f %% of the processor budget and %.0f %% of the "
			 "memory budget",
			 now.level > was.level ? "has more" : "has less",
			 governor__level_name(now.level), usage->cpu * 100,
			 g->governor.memory * 100);
	}
}

/* Where everything is shed, no record wakes trace, and it must know all the same. */
static void tell(struct govern *g, unsigned int before)
{
	struct account_governor *account = &g->supervisor->account->governor;

	account->times += !before;
	if (g->governor.step > account->highest)
		account->highest = g->governor.step;
	__atomic_store_n(&account->step, g->governor.step, __ATOMIC_RELEASE);
	control__send(g->supervisor->roles[AT_TRACE].control, CONTROL_SHED, NULL, 0);
}

uint64_t govern__tick(struct govern *g, uint64_t now_ns)
{
	unsigned int before = g->governor.step;
	enum shed_level level = governor__shed(before).level;
	struct governor_usage usage;

	if (!g->on || !g->next_ns || now_ns < g->next_ns)
		return g->next_ns;
	measure(g, now_ns, &usage);
	if (level != SHED_NOTHING)
		g->supervisor->account->governor.level_ns[level] += now_ns - g->last_ns;
	g->last_ns = now_ns;
	if (governor__tick(&g->governor, &usage)) {
		tell(g, before);
		say(g, &usage, before);
	}
	if (g->governor.step || now_ns - g->traffic_ns < TRAFFIC_NS)
		g->next_ns = now_ns + governor__interval_ns(&g->governor);
	else
		g->next_ns = 0;
	return g->next_ns;
}
