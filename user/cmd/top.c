// SPDX-License-Identifier: Apache-2.0
/*
 * Three processes: this one, which holds the terminal and gives it back whatever happens; one that traces into a
 * store of its own, as `sonde trace --store` does; and one that reads the store and draws.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/command.h"
#include "cmd/plan.h"
#include "cmd/top_view.h"
#include "ship/store/folder.h"

#define ENTER_SCREEN "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
#define LEAVE_SCREEN "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define STORE_BYTES (64ull << 20)
#define START_MS 30000

static const char help[] =
	"usage: sonde top [SCOPE] [--interval TIME] [--count N] [--json]\n"
	"       sonde top --store DIR [--interval TIME] [--count N] [--json]\n"
	"\n"
	"Services and operations, live: rate, errors and durations of the last five\n"
	"intervals. Traces a scope, or looks at the store of an agent that runs; without either\n"
	"it is the agent's store where there is one, else the whole machine.\n"
	"\n"
	"  sonde top --port 8080                  whoever uses a port\n"
	"  sonde top --store /var/lib/sonde       what the agent sees\n"
	"  sonde top --json --count 1 -p 1234 | jq '.operations[]'\n"
	"\n"
	"What is typed filters by service, operation or kind; Esc takes it away. Arrows choose\n"
	"what is sorted by, Tab goes from operations to services, q ends (/ begins a filter with\n"
	"a q). In a pipe it is a line of JSON an interval, of that interval alone.\n"
	"\n"
	"  --store DIR             a store that an agent writes, instead of a scope\n"
	"  --interval TIME         how often it is drawn: 2, 0.5s (default 2)\n"
	"  --count N               end after N intervals\n"
	"  --json                  JSON also on a terminal\n"
	"\n"
	"Scope (a union):\n"
	"  -p, --pid PID[,PID...]  processes, and what they start from now on\n"
	"  --cgroup PATH           a cgroup (v2) and all below it\n"
	"  --unit NAME             a systemd unit\n"
	"  --container ID          a container, by the beginning of its id\n"
	"  --netns PATH            a network namespace: /run/netns/NAME, /proc/PID/ns/net\n"
	"  --port N                connections with this port at either end\n"
	"  --exe GLOB              executables, by path: '*/nginx'\n"
	"Capture:\n"
	"  --tier NAME             fentry, kprobe or socktp (default: the best that works here)\n"
	"  --ring-size BYTES       of the buffer between kernel and sonde (default 256k)\n"
	"  -v, -q                  more, or less, on standard error\n"
	"\n"
	"Exit status: 0 when it is ended, 1 if sonde failed, 2 for wrong usage.\n";

struct top_run {
	struct run_options options;
	struct top_view view;
	char folder[4096];    /* of the own store; "" : none */
	int said;	      /* what the one that traces writes on standard error */
	pid_t tracer, viewer; /* 0: does not run */
	int tracer_status;
	struct termios before; /* of the terminal */
	bool changed;	       /* it is not as before */
};

static volatile sig_atomic_t told_to_end;

static void on_end(int sig)
{
	told_to_end = 1;
}

static bool has_scope(const struct scope_options *s)
{
	return s->n_pids || s->n_cgroups || s->n_netns || s->n_ports || s->n_exes;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* A child that ends with us; whoever asks us to end asks for its end as well. */
static pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(EXIT_FAILED);
	}
	return pid;
}

static int trace(struct top_run *run)
{
	int none = open("/dev/null", O_RDWR | O_CLOEXEC);
	struct run_plan plan;
	int status;

	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	dup2(none, STDIN_FILENO);
	dup2(none, STDOUT_FILENO);
	dup2(run->said, STDERR_FILENO);
	run->options.store = run->folder;
	run->options.store_bytes = STORE_BYTES;
	run->options.json = false;
	status = plan__make(&plan, &run->options, false);
	return plan__run(&plan, status);
}

static int start_tracing(struct top_run *run)
{
	const char *parent = getenv("TMPDIR");

	snprintf(run->folder, sizeof(run->folder), "%s/sonde-XXXXXX",
		 parent && *parent ? parent : "/tmp");
	if (!mkdtemp(run->folder)) {
		fprintf(stderr, "sonde top: cannot make a folder for what is shown, %s: %s\n",
			run->folder, strerror(errno));
		run->folder[0] = 0;
		return EXIT_FAILED;
	}
	run->said = memfd_create("sonde-top", MFD_CLOEXEC);
	fflush(NULL);
	run->tracer = run->said < 0 ? -1 : fork_child();
	if (run->tracer == 0)
		_exit(trace(run));
	if (run->tracer > 0)
		return EXIT_DONE;
	fprintf(stderr, "sonde top: cannot start another process: %s\n", strerror(errno));
	run->tracer = 0;
	return EXIT_FAILED;
}

/* The first partition is there: the folder has its owner, and the sinks run. False: it ended, or we are to. */
static bool wait_for_store(struct top_run *run)
{
	char path[sizeof(run->folder) + 32];

	snprintf(path, sizeof(path), "%s/lock", run->folder);
	for (unsigned int ms = 0; ms < START_MS && !told_to_end; ms += 20) {
		if (waitpid(run->tracer, &run->tracer_status, WNOHANG) == run->tracer) {
			run->tracer = 0;
			return false;
		}
		if (!access(path, F_OK))
			return true;
		clock__sleep_ms(20);
	}
	return false;
}

static void take_terminal(struct top_run *run)
{
	struct termios raw;

	if (run->view.keys && !tcgetattr(STDIN_FILENO, &run->before)) {
		raw = run->before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		/* Stopped, it could not give the terminal back. */
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;
		raw.c_cc[VMIN] = 1;
		raw.c_cc[VTIME] = 0;
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
		run->changed = true;
	}
	if (run->view.screen && write(STDOUT_FILENO, ENTER_SCREEN, sizeof(ENTER_SCREEN) - 1) < 0)
		told_to_end = 1;
}

static void give_terminal_back(struct top_run *run)
{
	if (run->view.screen && write(STDOUT_FILENO, LEAVE_SCREEN, sizeof(LEAVE_SCREEN) - 1) < 0)
		run->view.screen = false;
	if (run->changed)
		tcsetattr(STDIN_FILENO, TCSANOW, &run->before);
	run->changed = false;
}

/* Our end of the pipe stays open for as long as we live. */
static int start_viewing(struct top_run *run)
{
	int ends[2];

	fflush(NULL);
	if (pipe2(ends, O_CLOEXEC)) {
		fprintf(stderr, "sonde top: cannot make a pipe: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	run->view.parent = ends[0];
	run->viewer = fork_child();
	if (run->viewer == 0)
		close(ends[1]);
	if (run->viewer == 0)
		_exit(top_view__run(&run->view));
	if (run->viewer > 0)
		return EXIT_DONE;
	fprintf(stderr, "sonde top: cannot start another process: %s\n", strerror(errno));
	run->viewer = 0;
	return EXIT_FAILED;
}

/* Until both have ended; the end of one, or a signal to us, is the other's. Exit status of the one that draws. */
static int wait_for_both(struct top_run *run)
{
	int status = 0, ret = EXIT_DONE;

	while (run->viewer || run->tracer) {
		pid_t pid = waitpid(-1, &status, 0);

		if (pid < 0 && errno != EINTR)
			return EXIT_FAILED;
		if (pid > 0 && pid == run->tracer) {
			run->tracer = 0;
			run->tracer_status = status;
		} else if (pid > 0 && pid == run->viewer) {
			run->viewer = 0;
			ret = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
			if (ret == TOP_VIEW_AGAIN && !told_to_end && !start_viewing(run))
				continue;
		}
		if (run->viewer && (told_to_end || pid > 0))
			kill(run->viewer, SIGTERM);
		if (run->tracer && (told_to_end || pid > 0))
			kill(run->tracer, SIGTERM);
	}
	return ret;
}

/* What the one that traces had to say, now that there is no screen over it. */
static void say(const struct top_run *run)
{
	char bytes[4096];
	ssize_t n;

	if (run->said < 0 || lseek(run->said, 0, SEEK_SET))
		return;
	while ((n = read(run->said, bytes, sizeof(bytes))) > 0)
		if (write(STDERR_FILENO, bytes, (size_t)n) != n)
			return;
}

static void take_signals(void)
{
	struct sigaction end = { .sa_handler = on_end }, ignore = { .sa_handler = SIG_IGN };

	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
}

static int show(struct top_run *run)
{
	struct stat st = { 0 };
	int status = EXIT_DONE;

	take_signals();
	if (run->view.own)
		status = start_tracing(run);
	if (!status && run->view.own && !wait_for_store(run))
		status = told_to_end ? EXIT_DONE : EXIT_FAILED;
	else if (!status && !told_to_end) {
		take_terminal(run);
		status = start_viewing(run);
	}
	if (run->tracer && !run->viewer)
		kill(run->tracer, SIGTERM);
	if (run->viewer || run->tracer) {
		int ended = wait_for_both(run);

		status = status ? status : ended;
	}
	give_terminal_back(run);
	say(run);
	if (!status && run->view.own &&
	    (!WIFEXITED(run->tracer_status) || WEXITSTATUS(run->tracer_status)))
		status = EXIT_FAILED;
	if (*run->folder && !stat(run->folder, &st))
		store_folder__remove(run->folder, st.st_uid);
	return status;
}

int cmd_top(int argc, char **argv)
{
	struct top_run run = { .said = -1 };
	struct run_options *o = &run.options;
	int status;

	if (!options__parse(argc, argv, TAKES_SCOPE | TAKES_CAPTURE | TAKES_TOP, help, o, &status))
		return status;
	if (o->store && has_scope(&o->scope)) {
		fprintf(stderr,
			"sonde top: --store: what is in it was traced already: it goes without a "
			"scope\n");
		return EXIT_USAGE;
	}
	if (!o->store && !has_scope(&o->scope) && is_folder(STORE_FOLDER_DEFAULT))
		o->store = STORE_FOLDER_DEFAULT;
	run.view = (struct top_view){ .store = o->store ? o->store : run.folder,
				      .of = o->store		 ? o->store :
					    has_scope(&o->scope) ? "the scope" :
								   "this machine",
				      .screen = isatty(STDOUT_FILENO) && !o->json,
				      .own = !o->store,
				      .interval_s = o->interval_s,
				      .count = o->count };
	run.view.keys = run.view.screen && isatty(STDIN_FILENO);
	return show(&run);
}
