// SPDX-License-Identifier: Apache-2.0
#include "probe/run.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/command.h"
#include "probe/run_internal.h"
#include "probe/scope_list.h"
#include "ship/store/folder.h"

/* Traffic that has misses is looked at this long after it began, and as often while it lasts. */
#define CHECK_NS 1000000000ull
/* Messages of one role that are seen to before the others get their turn. */
#define MESSAGES_MAX 64

int run__watch(struct run *run, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return fd < 0 || !epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) ? 0 : -errno;
}

/* The roles' sockets change when they are started again. */
void run__watch_roles(struct run *run)
{
	for (unsigned int at = 0; at < SUPERVISED; at++)
		run__watch(run, run->supervisor.roles[at].control);
}

void run__disown_roles(struct run *run)
{
	if (!run->capture)
		return;
	capture__add_pid(run->capture, getpid(), SONDE_PID_OWN);
	for (unsigned int at = 0; at < SUPERVISED; at++)
		if (run->supervisor.roles[at].pid)
			capture__add_pid(run->capture, run->supervisor.roles[at].pid,
					 SONDE_PID_OWN);
}

void run__watch_inspect(struct run *run)
{
	int fd = identify__fd(&run->identify);

	/* Not by its number: the next one's socket may well have the same. */
	if (fd < 0 || run->identify.inspect.pid == run->watched_inspect)
		return;
	run->watched_inspect = run->identify.inspect.pid;
	run__watch(run, fd);
}

void run__send_process(void *arg, const void *message, size_t len)
{
	struct run *run = arg;

	/* A full socket: trace asks again for what it still misses. */
	control__send(run->supervisor.roles[AT_TRACE].control, CONTROL_PROCESS, message, len);
}

static void on_proc_record(void *arg, const struct sonde_rec_told *told)
{
	const struct sonde_rec_proc *record = &told->proc;
	struct run *run = arg;
	char comm[SONDE_COMM_BYTES + 1] = "";
	struct identity_query query = { .tgid = record->tgid,
					.start_ns = record->tgid_start_ns,
					.forked_from = told->forked_from,
					.comm = comm,
					.exec = record->h.type == SONDE_REC_EXEC };

	memcpy(comm, record->comm, SONDE_COMM_BYTES);
	query.pid = capture__own_id(run->capture, record->tgid);
	if (told->forked_from)
		query.parent_pid = capture__own_id(run->capture, told->forked_from);
	if (record->h.type == SONDE_REC_EXEC && !(record->h.flags & SONDE_F_SEEN)) {
		/* With --exe, every exec of the machine comes by: only those in scope are looked at. */
		if (scope_list__exec(&run->options->scope, run->capture, query.pid) ||
		    !run->options->scope.n_exes)
			identify__remember(&run->identify, &query);
		return;
	}
	identify__process(&run->identify, &query);
	run__watch_inspect(run);
}

void run__unwatch_closed(struct run *run, unsigned int at, long received)
{
	if (received == -EPIPE)
		epoll_ctl(run->epoll, EPOLL_CTL_DEL, run->supervisor.roles[at].control, NULL);
}

static void want_process(struct run *run, const struct control_want *want)
{
	struct identity_query query = { .pid = capture__own_id(run->capture, want->tgid),
					.tgid = want->tgid,
					.start_ns = want->tgid_start_ns };

	identify__process(&run->identify, &query);
	run__watch_inspect(run);
}

static void on_traffic(struct run *run)
{
	uint64_t now = clock__boot_ns();

	if (!run->next_check_ns)
		run->next_check_ns = now + CHECK_NS;
	govern__traffic(&run->govern, now);
}

static void on_trace(struct run *run)
{
	struct control_want want;
	enum control_type type;
	long n = 0;

	for (unsigned int i = 0; i < MESSAGES_MAX && n >= 0; i++) {
		n = control__receive(run->supervisor.roles[AT_TRACE].control, &type, &want,
				     sizeof(want));
		if (n == sizeof(want) && type == CONTROL_WANT_PROCESS && run->capture) {
			/* What the kernel said of it comes first: it names those that are gone. */
			capture__poll_procs(run->capture, on_proc_record, run);
			want_process(run, &want);
		} else if (n == 0 && type == CONTROL_TRAFFIC)
			on_traffic(run);
	}
	run__unwatch_closed(run, AT_TRACE, n);
}

static void on_ship(struct run *run)
{
	enum control_type type;
	char text[sizeof(struct err)];
	long n = 0;

	for (unsigned int i = 0; i < MESSAGES_MAX && n >= 0; i++) {
		n = control__receive(run->supervisor.roles[AT_SHIP].control, &type, text,
				     sizeof(text));
		if (n >= 0 && type == CONTROL_LIMIT)
			run->stop = run->enough = true;
	}
	run__unwatch_closed(run, AT_SHIP, n);
}

/* The one that receives has nothing to say but that it has begun. */
static void on_receive(struct run *run)
{
	enum control_type type;
	char ignored[64];
	long n = 0;

	for (unsigned int i = 0; i < MESSAGES_MAX && n >= 0; i++)
		n = control__receive(run->supervisor.roles[AT_RECEIVE].control, &type, ignored,
				     sizeof(ignored));
	run__unwatch_closed(run, AT_RECEIVE, n);
}

/*
 * Ctrl-C on a terminal reaches the command by itself, and so does the terminal's end: the kernel tells
 * the whole foreground group. A signal that somebody sent to us alone is passed on.
 */
static void on_stop_signal(struct run *run, const struct signalfd_siginfo *info)
{
	bool from_terminal = info->ssi_code == SI_KERNEL;

	if (!run->child.pid || run->child.ended)
		run->stop = true;
	else if (!from_terminal)
		kill(run->child.pid, (int)info->ssi_signo);
}

static void reap(struct run *run)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == run->child.pid) {
			run->child.ended = true;
			run->child.status = status;
			run->stop = true;
		} else if (identify__reap(&run->identify, pid)) {
			run__watch_inspect(run);
		} else if (supervisor__reap(&run->supervisor, pid, status) && run->plan->replay) {
			run->stop = true; /* the file is read, or cannot be */
		}
	}
}

/* Validated first, swapped then: a broken file changes nothing. */
static void reload(struct run *run)
{
	struct ship_config fresh = { 0 };
	struct buf document = { 0 };
	char *json = NULL;

	if (!run->plan->reload)
		return;
	if (run->plan->reload(run->plan, &fresh)) {
		log_warn("the configuration was not changed: what is wrong with it stands above");
	} else if (!ship_config__to_json(&fresh, &json)) {
		buf__add_str(&document, json);
		if (supervisor__reconfigure(&run->supervisor, AT_SHIP, &document))
			log_warn("the configuration was not changed: out of memory");
		else
			log_info("the configuration was read again");
	}
	free(json);
	buf__free(&document);
	ship_config__free(&fresh);
}

static void on_signal(struct run *run)
{
	struct signalfd_siginfo info;

	while (read(run->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD)
			reap(run);
		else if (info.ssi_signo == SIGHUP && run->plan->agent)
			reload(run);
		else
			on_stop_signal(run, &info);
	}
}

static void dispatch(struct run *run, int fd)
{
	if (fd == run->signals)
		on_signal(run);
	else if (fd == run->supervisor.roles[AT_TRACE].control)
		on_trace(run);
	else if (fd == run->supervisor.roles[AT_SHIP].control)
		on_ship(run);
	else if (fd == run->supervisor.roles[AT_SERVE].control)
		run__on_serve(run);
	else if (fd == run->supervisor.roles[AT_RECEIVE].control)
		on_receive(run);
	else if (fd == identify__fd(&run->identify))
		identify__on_readable(&run->identify);
	else if (run->drain && fd == capture__ring_fd(run->capture))
		drain__run(run->drain);
	else if (run->tls && fd == tls_watch__fd(run->tls))
		tls_watch__read(run->tls);
	else if (run->capture && fd == capture__proc_fd(run->capture))
		capture__poll_procs(run->capture, on_proc_record, run);
	run__watch_inspect(run);
}

void run__wait(struct run *run, int ms)
{
	struct epoll_event events[8];
	int n = epoll_wait(run->epoll, events, 8, ms);

	if (run->drain)
		drain__run(run->drain);
	for (int i = 0; i < n; i++)
		dispatch(run, events[i].data.fd);
}

void run__take_processes(struct run *run)
{
	capture__poll_procs(run->capture, on_proc_record, run);
	on_trace(run);
}

static void soonest(uint64_t *at, uint64_t candidate)
{
	if (candidate && (!*at || candidate < *at))
		*at = candidate;
}

/* A tier that misses hits is left for one that does not, where there is one. */
static void check_misses(struct run *run)
{
	struct err err = { "" };

	run->next_check_ns = 0;
	if (run->tls)
		tls_watch__tick(run->tls, clock__boot_ns());
	if (!capture__check_misses(run->capture, &err))
		return;
	log_warn("%s", err.text);
	malloc_trim(0); /* of loading: see run__start() */
}

/* Everything that is due; when the next thing is. */
static uint64_t tick(struct run *run)
{
	uint64_t now = clock__boot_ns(), next = 0;
	unsigned int restarted;

	if (run->end_ns && now >= run->end_ns) {
		run->end_ns = 0;
		run->stop = run->enough = true;
	}
	identify__tick(&run->identify, now);
	if (run->next_check_ns && now >= run->next_check_ns)
		check_misses(run);
	soonest(&next, supervisor__tick(&run->supervisor, &restarted));
	if (restarted) {
		run__watch_roles(run);
		run__disown_roles(run);
	}
	soonest(&next, run->end_ns);
	soonest(&next, govern__tick(&run->govern, now));
	soonest(&next, identify__deadline(&run->identify));
	if (run->tls)
		soonest(&next, tls_watch__look(run->tls, now));
	soonest(&next, run->next_check_ns);
	return next;
}

/* Rounded up: woken early, nothing would be due yet. */
static int wait_ms(const struct run *run, uint64_t next)
{
	uint64_t now = clock__boot_ns(), ms = next > now ? (next - now) / 1000000 + 1 : 0;
	int wait = !next ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;
	int drain = run->drain ? drain__wait_ms(run->drain) : -1;

	return drain >= 0 && (wait < 0 || drain < wait) ? drain : wait;
}

static void loop(struct run *run)
{
	while (!run->stop) {
		uint64_t next = tick(run);

		if (!run->stop)
			run__wait(run, wait_ms(run, next));
	}
}

int run__plan(struct run_plan *plan)
{
	struct run run = { .plan = plan,
			   .options = plan->options,
			   .epoll = -1,
			   .signals = -1,
			   .child = { .go = -1, .failed = -1 },
			   .supervisor = { .account_fd = -1,
					   .frames = { -1, -1 },
					   .received_frames = { -1, -1 } } };
	int status = run__start(&run);

	if (!status) {
		loop(&run);
		status = run__finish(&run);
	}
	govern__end(&run.govern);
	supervisor__free(&run.supervisor);
	if (plan->own_store)
		store_folder__remove(plan->own_store, run.supervisor.roles[AT_SHIP].uid);
	tls_watch__free(run.tls);
	identify__free(&run.identify);
	child__free(&run.child);
	drain__free(run.drain);
	capture__free(run.capture);
	if (run.signals >= 0)
		close(run.signals);
	if (run.epoll >= 0)
		close(run.epoll);
	return status;
}
