// SPDX-License-Identifier: Apache-2.0
/* The account of a run, gathered: at its end, and while it goes on for whoever looks at the page. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "probe/procfs.h"
#include "probe/run_internal.h"

/* Whoever asks more often is told what was written last: a look at it takes about a millisecond. */
#define PUBLISH_NS 200000000ull
#define MESSAGES_MAX 64

/* Hits that no program saw. */
static void add_blind(struct run *run, struct ledger *ledger)
{
	if (!run->detached)
		run->n_misses = capture__misses(run->capture, run->misses, LEDGER_BLIND_MAX);
	for (unsigned int i = 0; i < run->n_misses && i < LEDGER_BLIND_MAX; i++)
		ledger->blind[ledger->n_blind++] =
			(struct ledger_blind){ run->misses[i].program, run->misses[i].known,
					       run->misses[i].missed };
}

static void add_libraries(struct run *run, struct ledger *ledger)
{
	const struct tls_watch_counts *counts = &run->tls_counts;

	if (run->tls)
		tls_watch__counts(run->tls, &run->tls_counts);
	ledger->libraries = (struct ledger_libraries){ .looked_at = counts->files,
						       .hooked = counts->hooked_ever,
						       .let_go = counts->let_go,
						       .hooked_now = counts->hooked,
						       .refused = counts->refused,
						       .broken = counts->broken,
						       .gone = counts->gone,
						       .functions_left = counts->unhooked,
						       .full = counts->full,
						       .mappings_lost = counts->lost };
}

void run__account(struct run *run, struct ledger *ret)
{
	*ret = (struct ledger){ .tier = run->capture ? capture__tier(run->capture) : "" };
	/* What leaves is read before what comes in: what is on its way is never less than nothing. */
	ret->account = *run->supervisor.account;
	ret->received = run->supervisor.received;
	ret->untraced = run->plan->untraced;
	if (!run->capture)
		return;
	capture__counters(run->capture, &ret->kernel);
	if (run->drain) {
		ret->drain_lost = drain__lost(run->drain);
		ret->kernel.begun_lost += drain__begun_lost(run->drain);
	}
	add_blind(run, ret);
	add_libraries(run, ret);
}

static void add_role(struct ledger *ledger, const char *name, pid_t pid)
{
	struct ledger_cost *cost = &ledger->cost[ledger->n_cost];
	struct timespec t;
	clockid_t clock;
	char path[64];

	if (!pid || clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t))
		return;
	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	*cost = (struct ledger_cost){ .role = name,
				      .cpu_ns =
					      (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec,
				      .memory_bytes = procfs__number(path, "Pss:") * 1024 };
	ledger->n_cost++;
}

static void add_cost(struct run *run, struct ledger *ledger)
{
	const struct role_process *roles = run->supervisor.roles;

	add_role(ledger, "probe", getpid());
	for (unsigned int at = 0; at < SUPERVISED; at++)
		add_role(ledger, roles__name(roles[at].role), roles[at].pid);
	add_role(ledger, "inspect", run->identify.inspect.pid);
	if (!run->capture)
		return;
	ledger->map_bytes = capture__map_bytes(run->capture);
	if (!run->govern.on)
		return;
	ledger->programs_known = true;
	ledger->programs_ns = usage__programs_ns(&run->govern.usage);
}

void run__publish(struct run *run)
{
	struct ledger ledger;
	struct buf text = { 0 };

	if (!run->supervisor.live)
		return;
	run->published_ns = clock__boot_ns();
	run__account(run, &ledger);
	add_cost(run, &ledger);
	ledger.running = !run->ended;
	ledger.at_unix_ns = clock__epoch_ns();
	ledger__json(&ledger, &text);
	if (!text.err)
		supervisor__publish(&run->supervisor,
				    (struct view){ (const char *)text.at, text.len });
	buf__free(&text);
}

void run__on_serve(struct run *run)
{
	enum control_type type;
	bool asked = false;
	char ignored[64];
	long n = 0;

	for (unsigned int i = 0; i < MESSAGES_MAX && n >= 0; i++) {
		n = control__receive(run->supervisor.roles[AT_SERVE].control, &type, ignored,
				     sizeof(ignored));
		asked |= n >= 0 && type == CONTROL_ACCOUNT;
	}
	if (asked && clock__boot_ns() - run->published_ns >= PUBLISH_NS)
		run__publish(run);
	run__unwatch_closed(run, AT_SERVE, n);
}
