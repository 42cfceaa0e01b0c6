// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "cmd/command.h"
#include "cmd/plan.h"

static const char help[] =
	"usage: sonde record -o FILE [SCOPE] [-- CMD ARG...]\n"
	"\n"
	"Writes every message that the trace role receives to FILE (mode 0600: it holds the heads "
	"of\n"
	"requests, credentials included). `sonde replay FILE` makes the same spans of it, on any "
	"machine\n"
	"of the same byte order, without root: for bug reports, tests and benchmarks.\n"
	"\n"
	"  sonde record -o run.sonde -- ./run-my-services.sh\n"
	"  sonde record -o run.sonde --port 8080 --duration 30s\n"
	"\n"
	"Scope, -u, --tier, --ring-size, --duration, --ledger as in `sonde trace --help`.\n"
	"Exit status as in `sonde trace`.\n";

int cmd_record(int argc, char **argv)
{
	struct run_options options;
	struct run_plan plan;
	const char *file;
	int status;

	if (!options__parse(argc, argv, TAKES_SCOPE | TAKES_COMMAND | TAKES_OUTPUT | TAKES_CAPTURE,
			    help, &options, &status))
		return status;
	if (!options.file) {
		fprintf(stderr,
			"sonde record: it needs a file to write to: sonde record -o FILE ...\n");
		return EXIT_USAGE;
	}
	file = options.file;
	options.file = NULL; /* here it is not for spans */
	status = plan__make(&plan, &options, false);
	if (!status) {
		plan.record_fd = plan__open_output("record", "-o", file, 0600);
		if (plan.record_fd < 0)
			status = options.command ? EXIT_SONDE : EXIT_FAILED;
	}
	return plan__run(&plan, status);
}
