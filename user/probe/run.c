// SPDX-License-Identifier: Apache-2.0
#include "probe/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/command.h"
#include "probe/capture.h"
#include "probe/child.h"
#include "probe/drain.h"
#include "probe/identify.h"
#include "probe/scope_list.h"
#include "supervise/ledger.h"
#include "supervise/supervisor.h"

/* Time for trace to drain and ship to flush at the end. */
#define FINISH_SECONDS 6
/* How often a tier that may miss hits is looked at. */
#define CHECK_NS 1000000000ull
/* How long the end waits for executables that are being looked at. */
#define IDENTITIES_END_NS 2000000000ull
/* A command that does not end within this time after SIGTERM goes on without us. */
#define COMMAND_END_MS 3000

struct run {
	struct run_plan *plan;
	const struct run_options *options;
	struct capture *capture;
	struct supervisor supervisor;
	struct identify identify;
	struct child child;
	struct drain *drain; /* NULL: trace has the kernel's ring itself */
	int epoll, signals, timer;
	int watched_inspect; /* what identify__fd() was when it was added */
	bool stop;	     /* Ctrl-C, limit, duration, command ended */
	bool enough;	     /* it was we who ended: limit or duration */
	uint64_t end_ns;     /* --duration; 0: none */
	uint64_t next_check_ns;
	struct capture_miss misses[LEDGER_BLIND_MAX]; /* as they were when the hooks came off */
	unsigned int n_misses;
};

static int watch(struct run *run, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return fd < 0 || !epoll_ctl(run->epoll, EPOLL_CTL_ADD, fd, &event) ? 0 : -errno;
}

/* The roles' sockets change when they are started again. */
static void watch_roles(struct run *run)
{
	for (unsigned int at = 0; at < SUPERVISED; at++)
		watch(run, run->supervisor.roles[at].control);
}

/* What sonde itself does is never traced: its own export would be traced without end. */
static void disown_roles(struct run *run)
{
	if (!run->capture)
		return;
	capture__add_pid(run->capture, getpid(), SONDE_PID_OWN);
	for (unsigned int at = 0; at < SUPERVISED; at++)
		if (run->supervisor.roles[at].pid)
			capture__add_pid(run->capture, run->supervisor.roles[at].pid,
					 SONDE_PID_OWN);
}

static void watch_inspect(struct run *run)
{
	int fd = identify__fd(&run->identify);

	if (fd == run->watched_inspect)
		return;
	run->watched_inspect = fd;
	watch(run, fd);
}

static void send_process(void *arg, const void *message, size_t len)
{
	struct run *run = arg;

	/* A full socket: trace asks again for what it still misses. */
	control__send(run->supervisor.roles[AT_TRACE].control, CONTROL_PROCESS, message, len);
}

static void on_proc_record(void *arg, const struct sonde_rec_proc *record)
{
	struct run *run = arg;
	char comm[SONDE_COMM_BYTES + 1] = "";
	struct identity_query query = { .tgid = record->tgid,
					.start_ns = record->tgid_start_ns,
					.comm = comm };

	memcpy(comm, record->comm, SONDE_COMM_BYTES);
	query.pid = (pid_t)record->tgid;
	if (record->h.type == SONDE_REC_EXEC && !(record->h.flags & SONDE_F_SEEN)) {
		/* With --exe, every exec of the machine comes by: only those in scope are looked at. */
		if (scope_list__exec(&run->options->scope, run->capture, query.pid) ||
		    !run->options->scope.n_exes)
			identify__remember(&run->identify, &query);
		return;
	}
	identify__process(&run->identify, &query);
	watch_inspect(run);
}

static void on_trace(struct run *run)
{
	struct control_want want;
	enum control_type type;
	long n;

	while ((n = control__receive(run->supervisor.roles[AT_TRACE].control, &type, &want,
				     sizeof(want))) >= 0) {
		struct identity_query query = { .tgid = want.tgid, .start_ns = want.tgid_start_ns };

		if (type != CONTROL_WANT_PROCESS || n != sizeof(want) || !run->capture)
			continue;
		query.pid = (pid_t)want.tgid;
		identify__process(&run->identify, &query);
		watch_inspect(run);
	}
}

static void on_ship(struct run *run)
{
	enum control_type type;
	char text[512];
	long n;

	while ((n = control__receive(run->supervisor.roles[AT_SHIP].control, &type, text,
				     sizeof(text) - 1)) >= 0)
		if (type == CONTROL_LIMIT)
			run->stop = run->enough = true;
}

static void end_command(struct run *run, int sig)
{
	if (run->child.pid && !run->child.ended)
		kill(run->child.pid, sig);
}

/*
 * Ctrl-C on a terminal reaches the command by itself: the kernel sends it to the whole foreground
 * group. A signal that somebody sent to us alone is passed on.
 */
static void on_stop_signal(struct run *run, const struct signalfd_siginfo *info)
{
	bool from_terminal = info->ssi_code == SI_KERNEL;

	if (run->child.pid && !run->child.ended) {
		if (!from_terminal)
			end_command(run, (int)info->ssi_signo);
		return;
	}
	run->stop = true;
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
			watch_inspect(run);
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
		else if (info.ssi_signo == SIGHUP)
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
	else if (fd == identify__fd(&run->identify))
		identify__on_readable(&run->identify);
	else if (run->drain && fd == capture__ring_fd(run->capture))
		drain__run(run->drain);
	else if (run->capture && fd == capture__proc_fd(run->capture))
		capture__poll_procs(run->capture, on_proc_record, run);
	watch_inspect(run);
}

static void soonest(uint64_t *at, uint64_t candidate)
{
	if (candidate && (!*at || candidate < *at))
		*at = candidate;
}

/* A tier that misses hits is left for one that does not, where there is one. */
static void check_misses(struct run *run, uint64_t now)
{
	struct err err = { "" };
	int ret = capture__check_misses(run->capture, &err);

	if (ret)
		log_warn("%s", err.text);
	run->next_check_ns = now + CHECK_NS;
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
	if (run->capture && now >= run->next_check_ns)
		check_misses(run, now);
	soonest(&next, supervisor__tick(&run->supervisor, &restarted));
	if (restarted) {
		watch_roles(run);
		disown_roles(run);
	}
	soonest(&next, run->end_ns);
	soonest(&next, identify__deadline(&run->identify));
	if (run->capture)
		soonest(&next, run->next_check_ns);
	return next;
}

static void loop(struct run *run)
{
	while (!run->stop) {
		uint64_t next = tick(run), now = clock__boot_ns();
		struct epoll_event events[8];
		int wait = -1, n;

		if (next)
			wait = next > now ? (int)((next - now) / 1000000) + 1 : 0;
		if (run->stop)
			break;
		if (run->drain) {
			int drain_ms = drain__wait_ms(run->drain);

			if (drain_ms >= 0 && (wait < 0 || drain_ms < wait))
				wait = drain_ms;
		}
		n = epoll_wait(run->epoll, events, 8, wait);
		if (run->drain)
			drain__run(run->drain);
		for (int i = 0; i < n; i++)
			dispatch(run, events[i].data.fd);
	}
}

static int block_signals(struct run *run)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	run->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return run->signals < 0 ? -errno : watch(run, run->signals);
}

static int open_capture(struct run *run, struct err *err)
{
	struct capture_options options = { 0 };

	if (run->plan->replay)
		return 0;
	scope_list__options(&run->options->scope, run->options->command != NULL, &options);
	options.tier = run->options->tier;
	options.ring_bytes = (uint32_t)run->options->ring_bytes;
	options.verbose = run->options->verbose > 1;
	return capture__open(&options, &run->capture, err);
}

/* SONDE_RING=drain takes that way on every kernel, so that it can be tested on every kernel. */
static bool must_drain(const struct run *run)
{
	const char *forced = getenv("SONDE_RING");

	return !capture__ring_page_safe(run->capture) || (forced && !strcmp(forced, "drain"));
}

static int pass_capture(struct run *run, struct err *err)
{
	struct supervisor *s = &run->supervisor;
	int ret;

	if (!run->capture)
		return 0;
	supervisor__pass(s, AT_TRACE, capture__slots_fd(run->capture), FD_SLOTS);
	if (run->plan->settings.source == SOURCE_RING) {
		supervisor__pass(s, AT_TRACE, capture__ring_fd(run->capture), FD_RING);
		supervisor__pass(s, AT_TRACE, capture__switches_fd(run->capture), FD_SWITCHES);
		return 0;
	}
	ret = drain__new(capture__ring_fd(run->capture), capture__switches_fd(run->capture),
			 capture__ring_bytes(run->capture), &run->drain, err);
	if (ret)
		return ret;
	supervisor__pass(s, AT_TRACE, drain__buffer_fd(run->drain), FD_DRAIN);
	supervisor__pass(s, AT_TRACE, drain__wake_fd(run->drain), FD_RING);
	supervisor__pass(s, AT_TRACE, drain__switches_fd(run->drain), FD_SWITCHES);
	drain__run(run->drain);
	return watch(run, capture__ring_fd(run->capture));
}

/* Settings that follow from what was loaded; descriptors to hand over. */
static int start_roles(struct run *run, struct err *err)
{
	struct run_plan *plan = run->plan;
	struct buf settings = { 0 }, ship = { 0 };
	char *json = NULL;
	int ret;

	plan->settings.host_attributes_bytes = (uint32_t)plan->host_attributes.len;
	plan->settings.verbose = (uint32_t)run->options->verbose;
	if (plan->replay) {
		plan->settings.source = SOURCE_FILE;
		plan->settings.recording = 0;
	} else {
		plan->settings.source = must_drain(run) ? SOURCE_DRAIN : SOURCE_RING;
		plan->settings.ring_bytes = capture__ring_bytes(run->capture);
		plan->settings.slots = capture__slots(run->capture);
		plan->settings.recording = plan->record_fd >= 0;
	}
	buf__add(&settings, &plan->settings, sizeof(plan->settings));
	buf__add(&settings, plan->host_attributes.at, plan->host_attributes.len);
	ret = ship_config__to_json(&plan->ship, &json);
	if (!ret)
		buf__add_str(&ship, json);
	if (!ret)
		ret = supervisor__new(&run->supervisor, &settings, &ship, err);
	free(json);
	buf__free(&settings);
	buf__free(&ship);
	if (ret)
		return ret;
	ret = pass_capture(run, err);
	if (ret)
		return ret;
	if (plan->record_fd >= 0)
		supervisor__pass(&run->supervisor, AT_TRACE, plan->record_fd, FD_RECORD);
	for (uint32_t i = 0; i < plan->ship.n_sinks; i++) {
		const struct ship_sink_config *sink = &plan->ship.sinks[i];
		int fd = sink->type == SHIP_CONSOLE ? sink->console.fd :
			 sink->type == SHIP_FILE    ? sink->file.fd :
						      -1;

		if (fd > STDERR_FILENO)
			supervisor__pass(&run->supervisor, AT_SHIP, fd, fd);
	}
	ret = supervisor__start(&run->supervisor, err);
	/* A file is read once: whichever role ends then is not started again. */
	run->supervisor.finishing = plan->replay;
	disown_roles(run);
	watch_roles(run);
	return ret;
}

/* Hits that no program saw, for the account. */
static void add_blind(struct run *run, struct ledger *ledger)
{
	for (unsigned int i = 0; i < run->n_misses && i < LEDGER_BLIND_MAX; i++)
		ledger->blind[ledger->n_blind++] =
			(struct ledger_blind){ run->misses[i].program, run->misses[i].known,
					       run->misses[i].missed };
}

static void print_ledger(struct run *run)
{
	struct ledger ledger = { .tier = run->capture ? capture__tier(run->capture) : "" };
	struct buf text = { 0 };

	ledger.account = *run->supervisor.account;
	if (run->capture) {
		capture__counters(run->capture, &ledger.kernel);
		if (run->drain) {
			ledger.drain_lost = drain__lost(run->drain);
			ledger.kernel.begun_lost += drain__begun_lost(run->drain);
		}
		add_blind(run, &ledger);
	}
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
	end_command(run, SIGTERM);
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
	capture__poll_procs(run->capture, on_proc_record, run);
	on_trace(run);
	while (identify__busy(&run->identify) && clock__boot_ns() < until) {
		struct epoll_event events[8];
		int n = epoll_wait(run->epoll, events, 8, 20);

		for (int i = 0; i < n; i++)
			dispatch(run, events[i].data.fd);
		identify__tick(&run->identify, clock__boot_ns());
	}
}

static int finish(struct run *run)
{
	int status = EXIT_DONE;

	finish_command(run);
	if (run->capture) {
		run->n_misses = capture__misses(run->capture, run->misses, LEDGER_BLIND_MAX);
		capture__detach(run->capture);
	}
	finish_identities(run);
	if (run->drain)
		drain__run(run->drain);
	supervisor__finish(&run->supervisor, FINISH_SECONDS);
	print_ledger(run);
	if (run->child.ended && !run->enough)
		status = child__exit_status(&run->child);
	return status;
}

/* Which status says that sonde itself failed: with a command, one that no command has (env(1)). */
static int failed(const struct run *run)
{
	return run->options->command ? EXIT_SONDE : EXIT_FAILED;
}

static int start_command(struct run *run)
{
	int ret;

	ret = child__go(&run->child);
	if (!ret)
		return 0;
	fprintf(stderr, "sonde: cannot run '%s': %s\n", run->options->command[0], strerror(-ret));
	return child__exec_status(ret);
}

static int start_inspect(struct run *run, struct err *err)
{
	uid_t taken[SUPERVISED];
	int ret;

	for (unsigned int at = 0; at < SUPERVISED; at++)
		taken[at] = run->supervisor.roles[at].uid;
	ret = identify__start(&run->identify, taken, SUPERVISED, err);
	watch_inspect(run);
	return ret;
}

static int run_plan(struct run *run)
{
	struct err err = { "" };
	int ret;

	run->epoll = epoll_create1(EPOLL_CLOEXEC);
	ret = run->epoll < 0 ? -errno : block_signals(run);
	if (ret)
		err__set(&err, ret, "cannot wait for events: %s", strerror(-ret));
	if (!ret && run->options->command)
		ret = child__prepare(&run->child, run->options->command, run->options->user, &err);
	if (!ret)
		ret = identify__new(&run->identify, send_process, run, &err);
	if (!ret)
		ret = open_capture(run, &err);
	if (!ret && run->child.pid)
		ret = capture__add_pid(run->capture, run->child.pid, SONDE_PID_IN);
	if (!ret)
		ret = start_roles(run, &err);
	if (!ret && run->capture) {
		ret = start_inspect(run, &err);
		if (!ret)
			ret = watch(run, capture__proc_fd(run->capture));
		if (!ret)
			ret = scope_list__seed(&run->options->scope, run->capture, &err);
	}
	if (ret) {
		fprintf(stderr, "sonde: %s\n", err.text[0] ? err.text : strerror(-ret));
		return failed(run);
	}
	if (run->options->duration_s > 0)
		run->end_ns = clock__boot_ns() + (uint64_t)(run->options->duration_s * 1e9);
	if (run->child.pid) {
		ret = start_command(run);
		if (ret) {
			supervisor__finish(&run->supervisor, FINISH_SECONDS);
			return ret;
		}
	}
	if (run->capture && (run->plan->agent || run->options->verbose))
		log_info("hooks are attached, by tier %s", capture__tier(run->capture));
	loop(run);
	return finish(run);
}

int run__plan(struct run_plan *plan)
{
	struct run run = { .plan = plan,
			   .options = plan->options,
			   .epoll = -1,
			   .signals = -1,
			   .watched_inspect = -1,
			   .child = { .go = -1, .failed = -1 },
			   .supervisor = { .account_fd = -1, .frames = { -1, -1 } } };
	int status = run_plan(&run);

	supervisor__free(&run.supervisor);
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
