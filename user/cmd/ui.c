// SPDX-License-Identifier: Apache-2.0
#include "cmd/ui.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"

#define TOKEN_ENV "SONDE_UI_TOKEN"

static int wrong(const char *command, const char *why)
{
	fprintf(stderr, "sonde %s: --ui: %s\n", command, why);
	return EXIT_USAGE;
}

/* This machine's name; the addresses that it is asked by are known from each connection. */
static void add_own_name(struct serve_config *config)
{
	char name[256] = "";

	if (!gethostname(name, sizeof(name) - 1) && *name)
		serve_config__add_host(config, name, strlen(name));
}

int ui__make(struct ui *ret, const struct ui_options *options, const char *command,
	     const char *folder)
{
	struct err err = { "" };

	*ret = (struct ui){ .listening = -1 };
	if (listen_address__parse(options->address, &ret->address, &err))
		return wrong(command, err.text);
	if (serve_config__read_token(options->token_file, TOKEN_ENV, &ret->config.token, &err))
		return wrong(command, err.text);
	if (!ret->address.loopback && !ret->config.token)
		return wrong(command,
			     "others could read what is traced at this address: it needs a token. "
			     "Make one (head -c 24 /dev/urandom | base64 > token; chmod 600 token) "
			     "and name it: --ui-token-file token");
	ret->config.folder = realpath(folder, NULL);
	if (!ret->config.folder)
		return wrong(command, "the store's folder cannot be used");
	if (!ret->address.loopback)
		add_own_name(&ret->config);
	if (*ret->address.host)
		serve_config__add_host(&ret->config, ret->address.host, strlen(ret->address.host));
	for (unsigned int i = 0; i < options->n_hosts; i++)
		serve_config__add_host(&ret->config, options->hosts[i], strlen(options->hosts[i]));
	ret->listening = listen_address__open(&ret->address, &err);
	if (ret->listening < 0) {
		ret->listening = -1;
		fprintf(stderr, "sonde %s: nothing is served: %s\n", command, err.text);
	}
	return 0;
}

void ui__free(struct ui *ui)
{
	if (ui->listening >= 0)
		close(ui->listening);
	ui->listening = -1;
	serve_config__free(&ui->config);
}
