// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/command.h"
#include "cmd/plan.h"

#define LOCK_FILE "/run/sonde.lock"
/* An agent flushes for 5 s and prints its account: after this it hangs. */
#define REPLACE_SECONDS 15

static const char help[] =
	"usage: sonde agent [SCOPE] [OUTPUT]\n"
	"\n"
	"Traces the whole machine (or a scope) and exports spans as the environment says: OTEL_* "
	"as any\n"
	"OpenTelemetry SDK reads them, default OTLP to http://localhost:4318. With "
	"OTEL_CONFIG_FILE or\n"
	"--config, only that file counts. One agent a machine.\n"
	"\n"
	"  OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 sonde agent\n"
	"  sonde agent --otlp grpc://127.0.0.1:4317 --cgroup /system.slice\n"
	"  sonde agent --store /var/lib/sonde        keep spans here, for `sonde search`\n"
	"  sonde agent --replace                     take over from a running agent\n"
	"\n"
	"  --replace        end the agent that runs and take its place; the gap is in neither's "
	"account\n"
	"  --lock FILE      the lock of the one agent (default " LOCK_FILE ")\n"
	"  --config FILE    OpenTelemetry configuration file\n"
	"  --cpu-budget PERCENT   of this machine's processors together that sonde may take, its "
	"part of\n"
	"                   the kernel included (default 3; 100: no limit). Above it, it sheds: "
	"first\n"
	"                   attributes, then traces (sampling), long heads, busy connections\n"
	"  --memory-budget SIZE   of all its processes and maps (default 64m); sheds likewise\n"
	"  --store DIR      keep spans in this folder; --store-bytes SIZE (1g), --store-age TIME "
	"(7d): "
	"past\n"
	"                   these the oldest are given up\n"
	"  --ui [ADDR]      show what is kept in the browser, at http://127.0.0.1:4380/ or ADDR; "
	"options as\n"
	"                   in `sonde serve --help`\n"
	"  --otlp-http [ADDR], --otlp-grpc [ADDR]   take OTLP of others in, at 127.0.0.1:4318 and "
	":4317, and\n"
	"                   treat it as its own; see `sonde serve --help`\n"
	"With -o, --otlp, --store or --ui only these count, not the environment's exporters.\n"
	"Scope, -o, --otlp, --ledger, --tier, --ring-size, --duration as in `sonde trace --help`.\n"
	"SIGTERM: hooks off, what is in flight sent (5 s at most), account printed, exit 0.\n";

/*
 * The kernel says who holds a lock of fcntl(2): what stands in a file, anybody might have written. It
 * goes with the process, and whoever may not write the file cannot have it.
 */
static int lock_call(int fd, int call, struct flock *ret)
{
	*ret = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(fd, call, ret);
}

static bool try_lock(int fd)
{
	struct flock whole;

	return !lock_call(fd, F_SETLK, &whole);
}

/* 0: nobody, or nobody in our pid namespace. */
static pid_t holder(int fd)
{
	struct flock whole;

	if (lock_call(fd, F_GETLK, &whole) || whole.l_type == F_UNLCK || whole.l_pid < 0)
		return 0;
	return whole.l_pid;
}

/* The descriptor is the process's: asked again afterwards, the holder cannot be a later one of its number. */
static bool ask_to_end(int fd, pid_t pid)
{
	int process = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	bool asked = process >= 0 && holder(fd) == pid &&
		     !syscall(SYS_pidfd_send_signal, process, SIGTERM, NULL, 0);

	if (process >= 0)
		close(process);
	return asked;
}

static int take_over(int fd, const char *path)
{
	pid_t pid = holder(fd);

	if (ask_to_end(fd, pid))
		log_info("agent %d is asked to end", (int)pid);
	else if (!try_lock(fd)) {
		fprintf(stderr,
			"sonde agent: --replace: whoever holds %s cannot be ended from here: it "
			"runs as "
			"another user, or in another pid namespace\n",
			path);
		return EXIT_FAILED;
	}
	for (int i = 0; i < REPLACE_SECONDS * 50; i++) {
		if (try_lock(fd))
			return 0;
		clock__sleep_ms(20);
	}
	fprintf(stderr, "sonde agent: --replace: agent %d did not end within %d s\n", (int)pid,
		REPLACE_SECONDS);
	return EXIT_FAILED;
}

/* Nobody else's file, no link to one: in a folder that all may write it could be a trap. */
static int open_lock(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	const char *why = strerror(errno);
	struct stat st;

	if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return fd;
	if (fd >= 0) {
		why = "it is not a file of ours";
		close(fd);
	} else if (errno == ELOOP) {
		why = "it is a symbolic link";
	}
	fprintf(stderr, "sonde agent: cannot open the lock %s: %s; --lock names another\n", path,
		why);
	return -1;
}

/* The lock's descriptor stays open until we end, and with it the lock. */
static int lock(const struct run_options *options)
{
	const char *path = options->lock ? options->lock : LOCK_FILE;
	int fd = open_lock(path);
	pid_t pid;

	if (fd < 0)
		return EXIT_FAILED;
	if (try_lock(fd))
		return 0;
	if (options->replace)
		return take_over(fd, path);
	pid = holder(fd);
	if (pid)
		fprintf(stderr,
			"sonde agent: another agent runs already, process %d (%s): end it, or take "
			"over "
			"with --replace\n",
			(int)pid, path);
	else
		fprintf(stderr,
			"sonde agent: another agent runs already, in another pid namespace (%s): "
			"end it "
			"there\n",
			path);
	return EXIT_FAILED;
}

int cmd_agent(int argc, char **argv)
{
	struct run_options options;
	struct run_plan plan;
	int status;

	if (!options__parse(argc, argv, TAKES_SCOPE | TAKES_OUTPUT | TAKES_CAPTURE | TAKES_AGENT,
			    help, &options, &status))
		return status;

	if (getenv("OTEL_SDK_DISABLED") && !strcasecmp(getenv("OTEL_SDK_DISABLED"), "true")) {
		log_info("OTEL_SDK_DISABLED is true: nothing to do");
		return EXIT_DONE;
	}
	status = plan__make(&plan, &options, true);
	if (!status)
		status = lock(&options);
	return plan__run(&plan, status);
}
