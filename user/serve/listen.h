/* SPDX-License-Identifier: Apache-2.0 */
/* The address that is listened on, and its socket: made by the parent, before privileges go. */
#ifndef SONDE_SERVE_LISTEN_H
#define SONDE_SERVE_LISTEN_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/err.h"

#define LISTEN_DEFAULT "127.0.0.1:4380"
#define LISTEN_PORT 4380

struct listen_address {
	struct sockaddr_storage at;
	socklen_t len;
	bool loopback;
	char host[64]; /* as it stands in a URL, without brackets */
	char url[96];  /* http://127.0.0.1:4380/; of a wildcard this machine's loopback */
};

/*
 * HOST:PORT, [HOST]:PORT, HOST, :PORT or PORT; HOST an address in numbers, or localhost. 0, or -EINVAL with
 * what is wrong in err.
 */
int listen_address__parse(const char *text, struct listen_address *ret, struct err *err);
/* The same, with another port where text says none. */
int listen_address__parse_at(const char *text, unsigned int port, struct listen_address *ret,
			     struct err *err);
/* Could it be one? Not a command, or its argument. */
bool listen_address__looks_like(const char *text);
/* A listening socket, or a negative errno with what to do in err; port 0 becomes a real one in *address. */
int listen_address__open(struct listen_address *address, struct err *err);

#endif
