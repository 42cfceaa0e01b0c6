/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a protocol is to the rest: one file (or one family of files), one struct of functions, one
 * line in proto/table.c, and its state in struct conn.
 *
 * A protocol sees each direction of a connection as a stream with holes: pieces of captured bytes
 * at their offsets, and knowledge of how far the stream has got. It opens exchanges, announces,
 * ends and drops them (core/conn.h), and says where the next interesting byte is.
 */
#ifndef SONDE_CORE_PROTO_H
#define SONDE_CORE_PROTO_H

#include "core/exchange.h"
#include "core/span.h"

struct conn;
struct piece;

/* Why exchanges end before their time; registry: error.type. */
enum cut_reason {
	CUT_RESET,
	CUT_CLOSED,
	CUT_EXIT,
	CUT_EXEC,
	CUT_TRACING_ENDED,
	CUT_UNSEEN, /* goes on where nobody looks: no end of it is known, so that it is dropped */
};

struct proto {
	const char *name;    /* "http" */
	const char *version; /* scope version of its spans is sonde's; this is for messages */
	uint8_t verdict;     /* enum sonde_verdict: what the kernel takes such a connection for */

	/* Do these first bytes begin a request (1), a response (2), or neither (0)? len may be small. */
	int (*detect)(struct view first);

	/* A connection of this protocol was met: tx and rx are where the agent began to look. */
	void (*met)(struct conn *conn, uint64_t tx_offset, uint64_t rx_offset);
	/* Captured bytes; may overlap what was seen before, may leave a hole after it. */
	void (*piece)(struct conn *conn, struct piece *piece);
	/* Frames that the kernel followed (HTTP/2); NULL: this protocol has none. Their bytes are in `at`. */
	void (*frames)(struct conn *conn, const struct sonde_rec_frames *rec, const uint8_t *at);
	/* The connection goes: its state is given back. Nothing is open on it. NULL: there is none. */
	void (*forget)(struct conn *conn);
	/*
	 * This direction (enum direction) has got as far as offset; the last byte passed at ns.
	 * exact: nothing has passed beyond offset in the same call or since.
	 */
	void (*passed)(struct conn *conn, int dir, uint64_t offset, uint64_t ns, bool exact);
	/* The kernel saw what looks like a last chunk, which ended at offset, in this turn. */
	void (*last_chunk)(struct conn *conn, int dir, uint32_t turn, uint64_t offset, uint64_t ns);
	/* No more bytes will come in this direction; passed() was called before. */
	void (*shut)(struct conn *conn, int dir, uint64_t ns);
	/*
	 * Everything open on the connection (of one process: process not NULL) ends now. For
	 * CUT_RESET and CUT_CLOSED no byte can follow, and passed() was called before.
	 */
	void (*cut)(struct conn *conn, const struct process_key *process, uint64_t ns,
		    enum cut_reason why);
	void (*slot)(struct conn *conn, const struct sonde_slot *slot);
	void (*timer)(struct conn *conn);

	/*
	 * Writes name, kind, status and the protocol's own attributes of an ended exchange into
	 * span (semconv 1.44). Times, ids, links, resource, endpoints are the tracer's.
	 */
	void (*describe)(const struct exchange *ex, const struct describe_options *options,
			 struct span *span);

	/* The value of a request header, for propagation; empty view if absent. nth: from 0. */
	struct view (*header)(const struct exchange *ex, struct view name, unsigned int nth);
	/* The decoded telemetry export that this exchange carries, if it is one: see core/sdk.h. */
};

extern const struct proto proto_http1, proto_http2, proto_tls;

/* The protocol that the kernel took a connection for; NULL: none of ours. */
const struct proto *proto__by_verdict(uint8_t verdict);
/* The protocol whose message these bytes begin; NULL: none of ours. */
const struct proto *proto__by_bytes(struct view first);

#endif
