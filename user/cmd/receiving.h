/* SPDX-License-Identifier: Apache-2.0 */
/* --otlp-http, --otlp-grpc: from options to listening sockets and the configuration of the role that receives. */
#ifndef SONDE_CMD_RECEIVING_H
#define SONDE_CMD_RECEIVING_H

#include "cmd/ui.h"
#include "ship/ship.h"

#define RECEIVE_HTTP_DEFAULT "127.0.0.1:4318"
#define RECEIVE_GRPC_DEFAULT "127.0.0.1:4317"

/* Strings are borrowed from argv. */
struct receiving_options {
	const char *http, *grpc; /* addresses; NULL: not received that way */
	const char *token_file;
};

struct receiving {
	struct serve_config config;
	struct listen_address http_at, grpc_at;
	int http, grpc; /* -1: not asked for, or cannot be had, which has been said */
};

/* Nothing is received. */
#define RECEIVING_NONE                                                                             \
	(struct receiving)                                                                         \
	{                                                                                          \
		.http = -1, .grpc = -1                                                             \
	}

/*
 * Binds the addresses. hosts: names that are answered to, beside loopback's. 0, also where one is occupied, which is no
 * reason not to trace; EXIT_USAGE after a message: what was asked for is wrong or unsafe. Freed by the caller in
 * either case.
 */
int receiving__make(struct receiving *ret, const struct receiving_options *options,
		    const struct ui_options *hosts, const char *command);
/* A destination that is the receiver itself would be sent what it sent, without end: EXIT_USAGE after a message. */
int receiving__check_loop(const struct receiving *receiving, const struct ship_config *ship,
			  const char *command);
/* "OTLP is taken at …" to the log. */
void receiving__say(const struct receiving *receiving);
void receiving__free(struct receiving *receiving);

#endif
