// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "cmd/command.h"
#include "cmd/plan.h"

static const char help[] =
	"usage: sonde trace [SCOPE] [OUTPUT] [-- CMD ARG...]\n"
	"\n"
	"Traces CMD and all that it starts, or a scope, until it ends or Ctrl-C. Prints a line a "
	"span\n"
	"(on standard error beside a CMD, else on standard output), and at the end, on standard "
	"error,\n"
	"spans, losses and what was not decoded.\n"
	"\n"
	"  sonde trace -- curl -s http://127.0.0.1:8080/       one command\n"
	"  sonde trace --tree -- ./run-my-services.sh          waterfalls of whole traces\n"
	"  sonde trace -p 1234,1240 --duration 10s             running processes and what they "
	"start\n"
	"  sonde trace --port 8080 --where 'status>=500'       whoever uses a port, errors only\n"
	"  sonde trace --store spans -- CMD; sonde search --store spans 'duration>1s'\n"
	"  sonde trace -o spans.jsonl --otlp http://127.0.0.1:4318 -- CMD\n"
	"\n"
	"Scope (a union; none and no CMD: the whole machine):\n"
	"  -p, --pid PID[,PID...]  processes, and what they start from now on\n"
	"  --cgroup PATH           a cgroup (v2) and all below it\n"
	"  --unit NAME             a systemd unit\n"
	"  --container ID          a container, by the beginning of its id\n"
	"  --netns PATH            a network namespace: /run/netns/NAME, /proc/PID/ns/net\n"
	"  --port N                connections with this port at either end\n"
	"  --exe GLOB              executables, by path: '*/nginx'\n"
	"Output:\n"
	"  -o, --output FILE       OTLP JSON, one export request a line ('-': standard output)\n"
	"  --otlp URL              to a backend: http://host:4318, grpc://host:4317, https://...\n"
	"  --store DIR             to a store, which `sonde search` and `sonde show` read\n"
	"  --store-bytes SIZE, --store-age TIME\n"
	"                          of which the oldest part is given up past these (1g, 7d)\n"
	"  --ui [ADDR]             to the browser, at http://127.0.0.1:4380/ or ADDR; keeps spans "
	"in a "
	"folder\n"
	"                          that ends with the run, unless --store names one\n"
	"  --ui-token-file FILE, --ui-host NAME\n"
	"                          as in `sonde serve --help`\n"
	"  --otlp-http [ADDR], --otlp-grpc [ADDR], --otlp-token-file FILE\n"
	"                          take OTLP of others in beside it, as in `sonde serve --help`\n"
	"  --ledger FILE           the account of the run, as JSON\n"
	"  --tree                  waterfalls instead of lines\n"
	"  -c, --summary           a table by service and operation at the end\n"
	"  --json                  spans as OTLP JSON on standard output\n"
	"  --where EXPR            only spans that match: 'service=nginx status>=500 "
	"duration>10ms'\n"
	"  -n, --limit N           end after N spans\n"
	"  --duration TIME         end after 10, 10s, 5m\n"
	"  --headers               with request and response headers (secrets redacted)\n"
	"  --config FILE           OpenTelemetry configuration file\n"
	"Capture:\n"
	"  -u, --user USER         run CMD as USER\n"
	"  --tier NAME             fentry, kprobe or socktp (default: the best that works here)\n"
	"  --ring-size BYTES       of the buffer between kernel and sonde (default 256k)\n"
	"  -v, -q                  more, or less, on standard error\n"
	"\n"
	"Exit status: the command's own (128+n if a signal killed it), 125 if sonde failed, 126 or "
	"127 if\n"
	"the command could not be run; without a command 0, 1 if sonde failed, 2 for wrong "
	"usage.\n";

int cmd_trace(int argc, char **argv)
{
	struct run_options options;
	struct run_plan plan;
	int status;

	if (!options__parse(argc, argv, TAKES_SCOPE | TAKES_COMMAND | TAKES_OUTPUT | TAKES_CAPTURE,
			    help, &options, &status))
		return status;

	status = plan__make(&plan, &options, false);
	return plan__run(&plan, status);
}
