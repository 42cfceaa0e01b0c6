// SPDX-License-Identifier: Apache-2.0
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <errno.h>

#include "cmd/command.h"
#include "cmd/ui.h"
#include "serve/role.h"
#include "ship/store/folder.h"

static const char help[] =
	"usage: sonde serve [--store DIR] [--ui ADDR]\n"
	"\n"
	"Shows a store in the browser and answers its HTTP API, without tracing anything: of an "
	"agent that\n"
	"runs or has run, or a copy of its folder.\n"
	"\n"
	"  sonde serve                              the agent's store, at http://127.0.0.1:4380/\n"
	"  sonde serve --store spans --ui 8080      another one, at another port\n"
	"  curl -s http://127.0.0.1:4380/api/v1/search?status=error\n"
	"\n"
	"  --store DIR           the store (default " STORE_FOLDER_DEFAULT ")\n"
	"  --ui ADDR             address and port (default " LISTEN_DEFAULT ")\n"
	"  --ui-token-file FILE  the API asks for this token: Authorization: Bearer TOKEN (or the "
	"variable\n"
	"                        SONDE_UI_TOKEN); it must, on an address that others reach\n"
	"  --ui-host NAME        a name that it answers to, beside localhost and its address; may "
	"be repeated\n"
	"\n"
	"Exit status: 0 after Ctrl-C or SIGTERM, 1 where the store cannot be served, 2 for wrong "
	"usage.\n";

enum { OPT_STORE = 256, OPT_UI, OPT_TOKEN, OPT_HOST };

static const struct option longs[] = { { "store", required_argument, NULL, OPT_STORE },
				       { "ui", required_argument, NULL, OPT_UI },
				       { "ui-token-file", required_argument, NULL, OPT_TOKEN },
				       { "ui-host", required_argument, NULL, OPT_HOST },
				       { "help", no_argument, NULL, 'h' },
				       { 0 } };

/* True: go on. */
static bool read_options(int argc, char **argv, const char **store, struct ui_options *ui,
			 int *ret_status)
{
	int code;

	optind = 1;
	opterr = 0;
	*ret_status = EXIT_USAGE;
	while ((code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (code == 'h') {
			fputs(help, stdout);
			*ret_status = EXIT_DONE;
			return false;
		} else if (code == OPT_STORE) {
			*store = optarg;
		} else if (code == OPT_UI) {
			ui->address = optarg;
		} else if (code == OPT_TOKEN) {
			ui->token_file = optarg;
		} else if (code == OPT_HOST && ui->n_hosts < UI_HOSTS_MAX) {
			ui->hosts[ui->n_hosts++] = optarg;
		} else {
			fprintf(stderr,
				"sonde serve: %s '%s'; `sonde serve --help` shows how it is used\n",
				code == ':' ? "a value is missing behind" : "cannot use",
				argv[optind - 1]);
			return false;
		}
	}
	if (optind == argc)
		return true;
	fprintf(stderr, "sonde serve: '%s' is one argument too many; --store DIR names a store\n",
		argv[optind]);
	return false;
}

int cmd_serve(int argc, char **argv)
{
	struct ui_options options = { .address = LISTEN_DEFAULT };
	const char *store = STORE_FOLDER_DEFAULT;
	struct ui ui;
	struct stat st;
	int status;

	if (!read_options(argc, argv, &store, &options, &status))
		return status;
	if (stat(store, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr,
			"sonde serve: there is no store in %s: %s; `sonde agent --store DIR` "
			"writes "
			"one, --store DIR names it here\n",
			store, errno ? strerror(errno) : "it is no folder");
		return EXIT_FAILED;
	}
	status = ui__make(&ui, &options, "serve", store);
	if (!status && ui.listening < 0)
		status = EXIT_FAILED;
	if (!status)
		status = serve__alone(&ui.config, ui.listening, ui.address.url);
	ui__free(&ui);
	return status;
}
