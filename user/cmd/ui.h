/* SPDX-License-Identifier: Apache-2.0 */
/* --ui and what belongs to it: from options to a listening socket and the configuration of who serves. */
#ifndef SONDE_CMD_UI_H
#define SONDE_CMD_UI_H

#include "serve/config.h"
#include "serve/listen.h"

#define UI_HOSTS_MAX 8

/* Strings are borrowed from argv. */
struct ui_options {
	const char *address; /* NULL: nothing is served */
	const char *token_file;
	const char *hosts[UI_HOSTS_MAX];
	unsigned int n_hosts;
};

struct ui {
	struct serve_config config;
	struct listen_address address;
	int listening; /* -1: the address cannot be had, which has been said */
};

/*
 * Binds the address. 0, also where it is occupied, which is no reason not to trace; EXIT_USAGE after a message: what
 * was asked for is wrong or unsafe. Freed by the caller in either case.
 */
int ui__make(struct ui *ret, const struct ui_options *options, const char *command,
	     const char *folder);
void ui__free(struct ui *ui);

#endif
