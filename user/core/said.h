/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is the same for every exchange of a connection, encoded once: attributes of its ends, and of
 * header fields that a client sends again with each request. A small table, in which a connection
 * that is busy finds what was said of it last.
 */
#ifndef SONDE_CORE_SAID_H
#define SONDE_CORE_SAID_H

#include "core/exchange.h"
#include "core/span.h"

#define SAID_MAX 256 /* a power of two */
#define SAID_FROM_BYTES 256
#define SAID_BYTES 512

/* Encoded attributes, and what they were made from beside the connection's ends. */
struct said_part {
	uint16_t from_len, len; /* len 0: nothing */
	char from[SAID_FROM_BYTES];
	uint8_t bytes[SAID_BYTES];
};

enum said_what {
	SAID_REQUEST, /* what a server's span tells of client, host and program */
	SAID_PEER,    /* network.peer.* */
	SAID_WHATS
};

struct said {
	uint16_t family, remote_port;
	uint8_t remote[16];
	struct said_part parts[SAID_WHATS];
};

struct said_table {
	struct said at[SAID_MAX];
};

/*
 * Adds to span what was said of this exchange's connection, made from the same `from` (n views, which are
 * copied). False: nothing was; what the caller then adds to span is to be handed to said__keep().
 */
bool said__again(struct span *span, const struct exchange *ex, enum said_what what,
		 const struct view *from, unsigned int n);
/*
 * Keeps what was added to span since `before`, where it is not too long. The span has then the encoded
 * form of it: what it holds does not depend on what was said before.
 */
void said__keep(struct span *span, const struct exchange *ex, enum said_what what,
		const struct view *from, unsigned int n, struct span_mark before);

#endif
