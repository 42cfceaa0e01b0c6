// SPDX-License-Identifier: Apache-2.0
/* The end of a run: what is in flight drained and flushed, and the account of it all. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/command.h"
#include "probe/run_internal.h"

/*
 * How long the end waits for executables that are being looked at: longer than one may take, which
 * on a busy machine is most of INSPECT_DEADLINE_MS, and within the five seconds of an end.
 */
#define IDENTITIES_END_NS 4000000000ull
/* A command that does not end within this time after SIGTERM goes on without us. */
#define COMMAND_END_MS 3000

static void print_ledger(struct run *run)
{
	struct ledger ledger;
	struct buf text = { 0 };

	run__account(run, &ledger);
	if (!run->options->quiet) {
		ledger__line(&ledger, &text);
		if (write(STDERR_FILENO, text.at, text.len) < 0)
			log_debug("standard error is closed");
		buf__clear(&text);
	}
	if (run->plan->ledger_fd >= 0) {
		ledger__json(&ledger, &text);
		if (write(run->plan->ledger_fd, text.at, text.len) != (ssize_t)text.len)
			log_error("cannot write the account to %s: %s", run->options->ledger,
				  strerror(errno));
	}
	buf__free(&text);
}

/* A command of ours that has not ended by itself (limit, duration) ends with the trace. */
static void finish_command(struct run *run)
{
	if (!run->child.pid || run->child.ended)
		return;
	kill(run->child.pid, SIGTERM);
	for (unsigned int ms = 0; ms < COMMAND_END_MS && !run->child.ended; ms += 10) {
		run->child.ended =
			waitpid(run->child.pid, &run->child.status, WNOHANG) == run->child.pid;
		if (!run->child.ended)
			clock__sleep_ms(10);
	}
}

/*
 * Who is still being looked at is waited for, but not long: a run may be shorter than the look at an
 * executable, and its spans are to name their runtime all the same.
 */
static void finish_identities(struct run *run)
{
	uint64_t until = clock__boot_ns() + IDENTITIES_END_NS;

	if (!run->capture)
		return;
	run__take_processes(run);
	while (identify__busy(&run->identify) && clock__boot_ns() < until) {
		run__wait(run, 20);
		identify__tick(&run->identify, clock__boot_ns());
	}
}

/*
 * Who looks at the page in front of a terminal goes on looking when the command has ended, until Ctrl-C. What was
 * asked to end (a signal, a limit) ends at once.
 */
static void keep_serving(struct run *run)
{
	struct supervisor *s = &run->supervisor;
	struct pollfd fds[2] = { { .fd = run->signals, .events = POLLIN },
				 { .fd = s->roles[AT_SERVE].control, .events = POLLIN } };
	struct signalfd_siginfo info;

	if (run->child.ended && !run->enough && s->roles[AT_SERVE].pid && isatty(STDERR_FILENO)) {
		log_info("the command has ended; its traces are shown at %s until Ctrl-C",
			 run->plan->ui.address.url);
		while (poll(fds, 2, -1) < 0 || !(fds[1].revents & POLLHUP)) {
			if (read(run->signals, &info, sizeof(info)) == sizeof(info) &&
			    info.ssi_signo != SIGCHLD)
				break;
			run__on_serve(run);
			fds[0].revents = fds[1].revents = 0;
		}
	}
	supervisor__end_serve(s);
}

static void *detach_tls(void *arg)
{
	tls_watch__free(arg);
	return NULL;
}

/* The kernel takes its time for each, and most of it is waiting. */
static void detach(struct run *run)
{
	pthread_t thread;
	bool alone;

	if (run->tls)
		tls_watch__counts(run->tls, &run->tls_counts);
	alone = run->tls && !pthread_create(&thread, NULL, detach_tls, run->tls);

	capture__detach(run->capture);
	if (alone)
		pthread_join(thread, NULL);
	else
		tls_watch__free(run->tls);
	run->tls = NULL;
}

int run__finish(struct run *run)
{
	int status = EXIT_DONE;

	finish_command(run);
	if (run->capture) {
		run->n_misses = capture__misses(run->capture, run->misses, LEDGER_BLIND_MAX);
		run->detached = true;
		detach(run);
	}
	finish_identities(run);
	if (run->drain)
		drain__run(run->drain);
	supervisor__finish(&run->supervisor, FINISH_SECONDS);
	run->ended = true;
	log__to(STDERR_FILENO,
		true); /* nothing is held up any more, and what is said now is the last */
	print_ledger(run);
	run__publish(run);
	keep_serving(run);
	if (run->child.ended && !run->enough)
		status = child__exit_status(&run->child);
	return status;
}
