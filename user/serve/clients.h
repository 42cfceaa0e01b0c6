/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of a server, in the order in which they would be ended: whoever takes too long over a request, or
 * over taking its answer; and, where there are too many, who has been silent for longest.
 */
#ifndef SONDE_SERVE_CLIENTS_H
#define SONDE_SERVE_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>

/* It asks: no request of it is whole; an answer is sent to it; it has had one, and nothing has come since. */
enum client_state { CLIENT_ASKS, CLIENT_TAKES, CLIENT_RESTS };
#define CLIENT_STATES 3

struct client {
	struct client *before, *after;
	int fd;
	enum client_state state;
	uint64_t since_ns;
};

struct clients {
	struct client ring; /* the oldest behind it */
	unsigned int n, kept;
	uint64_t limits_ns[CLIENT_STATES];
	uint64_t next_ns; /* nothing is due before it; 0: nothing ever */
};

/* limits_ns: how long each state may last. Of more than kept connections one is ended for each that comes. */
void clients__begin(struct clients *clients, unsigned int kept,
		    const uint64_t limits_ns[CLIENT_STATES]);
/* NULL: no memory; it is then not looked after. */
struct client *clients__add(struct clients *clients, int fd);
/* It has ended. NULL is fine. */
void clients__remove(struct clients *clients, struct client *client);
/* Time begins anew. NULL is fine. */
void clients__set(struct clients *clients, struct client *client, enum client_state state);
/* Shuts the sockets of those that take too long; when the next one would: ns, 0: none. */
uint64_t clients__end_slow(struct clients *clients, uint64_t now);

#endif
