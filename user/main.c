// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "cmd/command.h"
#include "inspect/role.h"
#include "serve/receive_role.h"
#include "serve/role.h"
#include "ship/role.h"
#include "supervise/sandbox.h"
#include "trace/role.h"

static const struct command commands[] = {
	{ "trace", "trace a command, or a scope, and show its spans", cmd_trace },
	{ "agent", "trace the machine and export spans, as a daemon", cmd_agent },
	{ "record", "write what the kernel reports to a file", cmd_record },
	{ "replay", "run a recorded file through sonde again", cmd_replay },
	{ "search", "find spans in a store", cmd_search },
	{ "show", "one trace of a store, as a waterfall", cmd_show },
	{ "top", "services and operations, live", cmd_top },
	{ "map", "who calls whom, from a store", cmd_map },
	{ "serve", "a store in the browser, and its HTTP API", cmd_serve },
	{ "doctor", "what this kernel and these permissions allow", cmd_doctor },
	{ "version", "version, libraries, tiers compiled in", cmd_version },
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void usage(FILE *to)
{
	fputs("sonde: traces every request on a machine, without touching the programs that serve "
	      "them\n"
	      "\n"
	      "usage: sonde COMMAND [ARGUMENT...]\n"
	      "\n",
	      to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n"
	      "Try it:\n"
	      "  sudo sonde trace -- curl -s http://127.0.0.1:8080/     the spans of one command\n"
	      "  sudo sonde trace --tree --port 8080                    of whoever uses a port\n"
	      "  sudo sonde doctor                                      if nothing shows\n"
	      "\n"
	      "sonde COMMAND --help explains each.\n",
	      to);
}

/*
 * The parent re-executes this binary for its roles: --role=NAME UID. Not for people: such a process
 * does nothing without the descriptors that it expects.
 */
static int run_role(const char *name, uid_t uid)
{
	char comm[16];

	snprintf(comm, sizeof(comm), "sonde-%s", name);
	prctl(PR_SET_NAME, comm, 0, 0, 0);
	log__configure(
		&(struct log_config){ .level = LOG_INFO, .role = comm + sizeof("sonde-") - 1 });
	log__to(STDERR_FILENO, false);
	if (!strcmp(name, "trace"))
		return trace__main(uid);
	if (!strcmp(name, "ship"))
		return ship__main(uid);
	if (!strcmp(name, "inspect"))
		return inspect__role_main(uid);
	if (!strcmp(name, "serve"))
		return serve__main(uid);
	if (!strcmp(name, "receive"))
		return receive__main(uid);
	fprintf(stderr, "sonde: there is no role '%s'\n", name);
	return EXIT_USAGE;
}

/* --escape=NAME UID: enter that role's sandbox, then try what it must not be able to do. */
static int run_escape(const char *name, uid_t uid)
{
	struct sandbox sandbox = { .uid = uid };
	struct err err = { "" };

	sandbox.role = !strcmp(name, "ship")	? ROLE_SHIP :
		       !strcmp(name, "read")	? ROLE_READ :
		       !strcmp(name, "serve")	? ROLE_SERVE :
		       !strcmp(name, "receive") ? ROLE_RECEIVE :
		       !strcmp(name, "inspect") ? ROLE_INSPECT :
						  ROLE_TRACE;
	if (sandbox__enter(&sandbox, &err)) {
		fprintf(stderr, "sonde: %s\n", err.text);
		return EXIT_FAILED;
	}
	return sandbox__try_to_escape(sandbox.role) ? EXIT_FAILED : EXIT_DONE;
}

/*
 * Whoever starts us with descriptors 0 to 2 closed must not have a message written into the next file
 * that we open. A traced command sees them closed all the same.
 */
static void open_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";

	open_standard_descriptors();
	if (argc == 3 && !strncmp(name, "--role=", 7))
		return run_role(name + 7, (uid_t)strtoul(argv[2], NULL, 10));
	if (argc == 3 && !strncmp(name, "--escape=", 9))
		return run_escape(name + 9, (uid_t)strtoul(argv[2], NULL, 10));
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return cmd_version(1, argv + 1);
	for (size_t i = 0; i < COMMANDS; i++)
		if (!strcmp(name, commands[i].name))
			return commands[i].run(argc - 1, argv + 1);
	fprintf(stderr, "sonde: there is no command '%s'; `sonde --help` lists them\n", name);
	return EXIT_USAGE;
}
