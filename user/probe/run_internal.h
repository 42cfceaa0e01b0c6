/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a run share: run.c (the loop), run_start.c, run_finish.c. */
#ifndef SONDE_PROBE_RUN_INTERNAL_H
#define SONDE_PROBE_RUN_INTERNAL_H

#include "probe/capture.h"
#include "probe/child.h"
#include "probe/drain.h"
#include "probe/govern.h"
#include "probe/identify.h"
#include "probe/run.h"
#include "probe/signals.h"
#include "probe/tls_watch.h"
#include "supervise/ledger.h"
#include "supervise/supervisor.h"

/* Time for trace to drain and ship to flush at the end. */
#define FINISH_SECONDS 6

struct run {
	struct run_plan *plan;
	const struct run_options *options;
	struct capture *capture; /* NULL: a replay */
	struct supervisor supervisor;
	struct identify identify;
	struct govern govern;
	struct child child;
	struct tls_watch *tls;		    /* NULL: TLS libraries are not looked for */
	struct tls_watch_counts tls_counts; /* as they were when the hooks came off */
	struct drain *drain;		    /* NULL: trace has the kernel's ring itself */
	struct signals_before before;
	int epoll, signals;
	pid_t watched_inspect;	/* whose socket was added */
	bool stop;		/* Ctrl-C, limit, duration, command ended */
	bool enough;		/* it was we who ended: limit or duration */
	uint64_t end_ns;	/* --duration; 0: none */
	uint64_t published_ns;	/* when the account was last written for the page */
	bool detached;		/* the hooks are off: misses are as they were then */
	bool ended;		/* the roles have drained: the account changes no more */
	uint64_t next_check_ns; /* of missed hits; 0: there were no hits since the last one */
	struct capture_miss misses[LEDGER_BLIND_MAX]; /* as they were when the hooks came off */
	unsigned int n_misses;
};

/* Adds a descriptor to the loop; -1 is nothing to add. 0 or a negative errno. */
int run__watch(struct run *run, int fd);
void run__watch_roles(struct run *run);
void run__watch_inspect(struct run *run);
/* One who has closed its end but lives on would be reported without end. */
void run__unwatch_closed(struct run *run, unsigned int at, long received);
/* What sonde itself does is never traced: its own export would be traced without end. */
void run__disown_roles(struct run *run);
/* Where identities go: to trace. arg: the run. */
void run__send_process(void *arg, const void *message, size_t len);
/* The account as it stands, for the page: at the end, or when the role that serves asks (then not too often). */
void run__account(struct run *run, struct ledger *ret);
void run__publish(struct run *run);
void run__on_serve(struct run *run);
/* Waits for events, at most ms (-1: for ever), and sees to them. */
void run__wait(struct run *run, int ms);
/* run_tls.c: TLS libraries are looked for from here on. What is not to be had is said, never fatal. */
void run__start_tls(struct run *run);
/* Sees to what processes and trace have asked so far. */
void run__take_processes(struct run *run);

/*
 * Everything between the plan and the loop. 0; else the exit status, after a message. What was
 * started is the caller's to end in either case.
 */
int run__start(struct run *run);

/* The command ended, hooks off, roles drained and flushed, the account printed. Returns the exit status. */
int run__finish(struct run *run);

#endif
