// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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
	"  sonde agent --replace                     take over from a running agent\n"
	"\n"
	"  --replace        end the agent that runs and take its place; the gap is in neither's "
	"account\n"
	"  --lock FILE      the lock of the one agent (default " LOCK_FILE ")\n"
	"  --config FILE    OpenTelemetry configuration file\n"
	"Scope, -o, --otlp, --ledger, --tier, --ring-size, --duration as in `sonde trace --help`.\n"
	"SIGTERM: hooks off, what is in flight sent (5 s at most), account printed, exit 0.\n";

static pid_t holder(int fd)
{
	char text[32] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

static bool try_lock(int fd)
{
	return !flock(fd, LOCK_EX | LOCK_NB);
}

static int take_over(int fd, const char *path)
{
	pid_t pid = holder(fd);

	if (pid <= 1 || kill(pid, SIGTERM)) {
		fprintf(stderr, "sonde agent: --replace: %s names no process that could be ended\n",
			path);
		return EXIT_FAILED;
	}
	log_info("agent %d is asked to end", (int)pid);
	for (int i = 0; i < REPLACE_SECONDS * 50; i++) {
		if (try_lock(fd))
			return 0;
		clock__sleep_ms(20);
	}
	fprintf(stderr, "sonde agent: --replace: agent %d did not end within %d s\n", (int)pid,
		REPLACE_SECONDS);
	return EXIT_FAILED;
}

/* The lock is held by an open descriptor: it cannot outlive us. */
static int lock(const struct run_options *options)
{
	const char *path = options->lock ? options->lock : LOCK_FILE;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644), status = 0;

	if (fd < 0) {
		fprintf(stderr, "sonde agent: cannot open the lock %s: %s; --lock names another\n",
			path, strerror(errno));
		return EXIT_FAILED;
	}
	if (!try_lock(fd)) {
		if (!options->replace) {
			fprintf(stderr,
				"sonde agent: another agent runs already, process %d (%s): end it, "
				"or take over with --replace\n",
				(int)holder(fd), path);
			return EXIT_FAILED;
		}
		status = take_over(fd, path);
	}
	if (!status && (ftruncate(fd, 0) || dprintf(fd, "%d\n", (int)getpid()) < 0))
		log_warn("cannot write our process id to %s: %s", path, strerror(errno));
	return status;
}

int cmd_agent(int argc, char **argv)
{
	struct run_options options;
	struct run_plan plan;
	int status =
		options__parse(argc, argv, TAKES_SCOPE | TAKES_OUTPUT | TAKES_CAPTURE | TAKES_AGENT,
			       &options);

	if (status)
		return status;
	if (options.help) {
		fputs(help, stdout);
		return EXIT_DONE;
	}
	if (getenv("OTEL_SDK_DISABLED") && !strcasecmp(getenv("OTEL_SDK_DISABLED"), "true")) {
		log_info("OTEL_SDK_DISABLED is true: nothing to do");
		return EXIT_DONE;
	}
	status = plan__make(&plan, &options, true);
	if (!status)
		status = lock(&options);
	if (!status)
		status = run__plan(&plan);
	plan__free(&plan);
	return status == PLAN_NOTHING ? EXIT_DONE : status;
}
