// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <errno.h>

#include "cmd/command.h"
#include "cmd/options.h"
#include "cmd/plan.h"
#include "serve/role.h"
#include "ship/store/folder.h"

static const char help[] =
	"usage: sonde serve [--store DIR] [--ui ADDR] [--otlp-http [ADDR]] [--otlp-grpc [ADDR]]\n"
	"\n"
	"Shows a store in the browser and answers its HTTP API, without tracing anything: of an "
	"agent that\n"
	"runs or has run, or a copy of its folder. With --otlp-http or --otlp-grpc it also takes "
	"spans in,\n"
	"from programs with an OpenTelemetry SDK and from other machines' sondes, and keeps them "
	"there.\n"
	"\n"
	"  sonde serve                              the agent's store, at http://127.0.0.1:4380/\n"
	"  sonde serve --store spans --ui 8080      another one, at another port\n"
	"  curl -s http://127.0.0.1:4380/api/v1/search?status=error\n"
	"  sonde serve --store spans --otlp-http    for programs with OTEL_EXPORTER_OTLP_ENDPOINT="
	"http://127.0.0.1:4318\n"
	"\n"
	"  --store DIR           the store (default " STORE_FOLDER_DEFAULT ")\n"
	"  --ui ADDR             address and port (default " LISTEN_DEFAULT ")\n"
	"  --ui-token-file FILE  the API asks for this token: Authorization: Bearer TOKEN (or the "
	"variable\n"
	"                        SONDE_UI_TOKEN); it must, on an address that others reach\n"
	"  --ui-host NAME        a name that it answers to, beside localhost and its address; may "
	"be repeated\n"
	"\n"
	"Receiving:\n"
	"  --otlp-http [ADDR]    take OTLP over HTTP, protobuf or JSON "
	"(default " RECEIVE_HTTP_DEFAULT ")\n"
	"  --otlp-grpc [ADDR]    take OTLP over gRPC (default " RECEIVE_GRPC_DEFAULT ")\n"
	"  --otlp-token-file FILE  senders have to show this token (or the variable "
	"SONDE_OTLP_TOKEN);\n"
	"                        they must, on an address that others reach\n"
	"  --otlp URL            pass what is received on, beside keeping it\n"
	"  --store-bytes SIZE, --store-age TIME, --ledger FILE\n"
	"                        as in `sonde trace --help`\n"
	"\n"
	"Exit status: 0 after Ctrl-C or SIGTERM, 1 where the store cannot be served, 2 for wrong "
	"usage.\n";

/* Only shown: nothing is written, and one process does it. */
static int show(const struct run_options *o)
{
	struct ui ui;
	struct stat st;
	int status;

	if (stat(o->store, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr,
			"sonde serve: there is no store in %s: %s; `sonde agent --store DIR` "
			"writes "
			"one, --store DIR names it here\n",
			o->store, errno ? strerror(errno) : "it is no folder");
		return EXIT_FAILED;
	}
	status = ui__make(&ui, &o->ui, "serve", o->store);
	if (!status && ui.listening < 0)
		status = EXIT_FAILED;
	if (!status)
		status = serve__alone(&ui.config, ui.listening, ui.address.url);
	ui__free(&ui);
	return status;
}

/* A store that spans come into has one writer, the role for that. */
static int receive(const struct run_options *o)
{
	struct run_plan plan;
	int status = plan__make_untraced(&plan, o);

	if (!status && plan.receiving.http < 0 && plan.receiving.grpc < 0)
		status = EXIT_FAILED;
	return plan__run(&plan, status);
}

int cmd_serve(int argc, char **argv)
{
	struct run_options options;
	int status;

	if (!options__parse(argc, argv, TAKES_SERVE, help, &options, &status))
		return status;
	if ((options.otlp || options.ledger) && !options.receiving.http &&
	    !options.receiving.grpc) {
		fprintf(stderr, "sonde serve: --otlp and --ledger are for what is received: add "
				"--otlp-http or --otlp-grpc\n");
		return EXIT_USAGE;
	}
	if (!options.store)
		options.store = STORE_FOLDER_DEFAULT;
	if (!options.ui.address)
		options.ui.address = LISTEN_DEFAULT;
	return options.receiving.http || options.receiving.grpc ? receive(&options) :
								  show(&options);
}
