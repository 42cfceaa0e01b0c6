// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/plan.h"

static const char help[] = "usage: sonde replay FILE [OUTPUT]\n"
			   "\n"
			   "Runs a file of `sonde record` through the whole user side again: the "
			   "same spans, ids and times,\n"
			   "to the same bytes each time. Needs no privileges.\n"
			   "\n"
			   "  sonde replay run.sonde --tree\n"
			   "  sonde replay run.sonde -o spans.jsonl --ledger account.json\n"
			   "\n"
			   "Output: -o, --otlp, --ledger, --tree, -c, --json, --where, -n as in "
			   "`sonde trace --help`.\n";

static int open_file(struct run_plan *plan, const char *path)
{
	struct trace_settings settings;
	struct err err = { "" };

	plan->record_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (plan->record_fd < 0) {
		fprintf(stderr, "sonde replay: cannot read %s: %s\n", path, strerror(errno));
		return EXIT_FAILED;
	}
	buf__clear(&plan->host_attributes);
	if (record_file__open(plan->record_fd, &settings, &plan->host_attributes, &err)) {
		fprintf(stderr, "sonde replay: cannot replay %s: %s\n", path, err.text);
		return EXIT_FAILED;
	}
	plan->settings = settings;
	return 0;
}

int cmd_replay(int argc, char **argv)
{
	const char *path = argc > 1 && argv[1][0] != '-' ? argv[1] : NULL;
	struct run_options options;
	struct run_plan plan;
	int status;

	if (path) { /* options may follow it */
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (!options__parse(argc, argv, TAKES_OUTPUT | TAKES_COMMAND, help, &options, &status))
		return status;
	if (!path && options.command) {
		path = options.command[0];
		options.command = options.command[1] ? options.command : NULL;
	}
	if (!path || options.command) {
		fprintf(stderr, "sonde replay: it needs one file that `sonde record` wrote: sonde "
				"replay FILE\n");
		return EXIT_USAGE;
	}
	status = plan__make(&plan, &options, false);
	plan.replay = true;
	for (uint32_t i = 0; i < plan.ship.n_sinks; i++)
		plan.ship.sinks[i].file.by_size = true;
	if (!status)
		status = open_file(&plan, path);
	return plan__run(&plan, status);
}
