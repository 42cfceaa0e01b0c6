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
#define SAID_HEAD_BYTES 512

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

/*
 * All that otlp__content() made of an exchange, whose times alone another one has to change, where
 * its request's head, and what else is told of, are the same; and the peer's port, where it ends with that:
 * many connections of a client differ in nothing else.
 */
struct said_whole {
	uint16_t head_len, len; /* len 0: nothing */
	uint16_t family, remote_port;
	uint8_t remote[16];
	uint8_t port_bytes; /* of the port, the last ones; 0: it may not be changed */
	uint16_t http_status;
	uint8_t side, status; /* status: the span's */
	uint32_t flags;	      /* EX_* */
	uint64_t operation;   /* of the tracer, which keeps it here */
	uint8_t head[SAID_HEAD_BYTES], content[SAID_BYTES];
};

struct said {
	uint16_t family, remote_port;
	uint8_t remote[16];
	struct said_part parts[SAID_WHATS];
};

struct said_table {
	struct said at[SAID_MAX];
	struct said_whole wholes[SAID_MAX]; /* by the peer's address */
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

/*
 * The whole of an exchange whose request's head came before (ex->head_again), where the same was said
 * to or by that peer. NULL: it was not, or may have to tell more than that depends on.
 */
const struct said_whole *said__whole(struct said_table *table, const struct exchange *ex);
/* Keeps it for the next one, where it is not too long. */
void said__keep_whole(struct said_table *table, const struct exchange *ex, struct view content,
		      uint8_t status, uint64_t operation);

#endif
