/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request and its answer, as one end of one connection saw them: the unit between protocols
 * (which make exchanges), links (which connect them) and spans (which describe them).
 *
 * Owned by the connection until it ends, then by whoever holds the span back. Strings are views
 * into the exchange's own bytes (`text`), so that it can outlive records and connection.
 */
#ifndef SONDE_CORE_EXCHANGE_H
#define SONDE_CORE_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "../../headers/records.h"
#include "base/buf.h"

struct exchange_pool;
struct proto;
struct tls_info;

/* pids are never keys by themselves. */
struct process_key {
	uint32_t tgid;
	uint64_t start_ns;
};

enum exchange_side { SIDE_SERVER = 2, SIDE_CLIENT = 3 }; /* values of OTLP SpanKind */

/* What is wrong with an exchange, or special: several may hold. */
enum {
	EX_RESPONSE = 1 << 0, /* a final response head was seen */
	EX_CUT = 1 << 1,      /* ended before its response was whole: by reset, close, exit, exec */
	EX_AMBIGUOUS = 1 << 2, /* framing is ambiguous (RFC 9112 6.3): lengths not trusted */
	EX_UPGRADED = 1 << 3, /* 101, or CONNECT with 2xx: the connection is another protocol now */
	EX_EARLY = 1 << 4,    /* the response came before the request was whole */
	EX_NOT_ALONE = 1 << 5,	  /* shares its turn with other exchanges: no thread evidence */
	EX_EXPORT = 1 << 6,	  /* a telemetry export: filtered{telemetry} */
	EX_MID = 1 << 7,	  /* on a connection older than the agent */
	EX_HEAD_PARTIAL = 1 << 8, /* the head was longer than is captured, or partly unreadable */
	EX_BODY_PARTIAL =
		1 << 9, /* `body` is not the whole body: bytes are missing, or it is too long */
	EX_FIELDS_PARTIAL = 1 << 10, /* HTTP/2: header fields refer to others that were not seen */
	EX_UNSURE = 1 << 11,	     /* HTTP/2: its end may have been among what was lost */
	EX_RPC = 1 << 12,	     /* a call of gRPC */
	EX_STATUS = 1 << 13,	     /* and its status was seen */
	/* how many messages it had is not known */
	EX_REQUESTS_UNKNOWN = 1 << 14,
	EX_RESPONSES_UNKNOWN = 1 << 15,
	EX_CARRIED = 1 << 16, /* inside TLS */
	EX_COUNTING =
		1 << 17, /* HTTP/2: the kernel side counts what it does not tell of the bodies */
	EX_COUNTED = 1 << 18,	    /* and what it had counted up to the end was told */
	EX_SIZES_UNKNOWN = 1 << 19, /* how long the bodies were is not known */
};

struct header_field {
	struct view name, value; /* value without surrounding white space; name as sent */
};
/*
 * Fields kept of one head. Past ORDINARY_MAX only those are kept that mean something to sonde
 * (propagation, framing, naming), so that no number of others can hide them.
 */
#define EXCHANGE_FIELDS_ORDINARY_MAX 100
#define EXCHANGE_FIELDS_MAX 256

struct header_fields {
	struct header_field *at; /* the pool's memory */
	unsigned int n, cap;
	uint64_t lengths; /* header_length_bit() of every name: what is not there is told at once */
};

static inline uint64_t header_length_bit(size_t name_bytes)
{
	return 1ull << (name_bytes & 63);
}

/* Where the connection goes: copied from CONN, complete with the role that the protocol showed. */
struct endpoints {
	uint16_t family; /* SONDE_AF_* */
	uint16_t local_port, remote_port;
	uint8_t local[16], remote[16];
	uint32_t netns;
};

/*
 * The edge key, the same on both ends. TCP: {ISN + 1 of the opener, ISN + 1 of the acceptor},
 * offset in the direction of the request. Unix: pair. `known` false: no key.
 */
/* Of edge.stream: inside TLS, so that it is not what passed on the same connection before. */
#define EDGE_CARRIED 0x80000000u
struct edge {
	bool known, unix_pair;
	uint32_t client_base, server_base;
	uint64_t pair[2];
	uint64_t offset; /* of the request's first byte, in its direction */
	uint32_t stream; /* 0 for HTTP/1 */
};

struct exchange {
	struct exchange *next;	    /* for whoever owns it */
	struct exchange_pool *pool; /* where exchange__free() puts it */

	/* conn__open() says all of these. */
	const struct proto *proto;
	enum exchange_side side;
	uint32_t flags; /* EX_* */
	struct process_key process;
	uint32_t tid; /* that read (server) or wrote (client) the request's first bytes */
	struct sonde_turn_ref turn; /* the request's turn */
	struct endpoints endpoints;
	struct edge edge;
	const struct tls_info
		*tls; /* inside TLS: what was agreed on; NULL: not known. The connection's */
	struct sonde_evidence evidence; /* client side: what was in hand; else not set */

	/* From here to `fields` it is all 0 in a new one. */
	uint32_t response_tid; /* that wrote or read the response's first bytes; 0: not seen */
	uint32_t index;	       /* the how-manieth exchange of this turn, from 0 */
	/* CLOCK_BOOTTIME; 0: did not happen */
	uint64_t start_ns, request_end_ns, response_ns, end_ns;
	uint64_t request_body_bytes, response_body_bytes;

	/* The request; views into text. */
	struct view method, target, version; /* version: "1.1" */
	uint16_t status;		     /* of the response */
	uint16_t rpc_status;		     /* of a gRPC call: EX_STATUS */
	/* Of a gRPC call, and what of them (and of the bodies' bytes) the kernel side has counted: request, response. */
	uint32_t request_messages, response_messages, counted_messages[2];
	uint64_t counted_bytes[2];
	uint64_t counted_ns; /* of the call that told of them last */
	/* A registry error.type when it is none of the status: static string, or NULL. */
	const char *error_type;
	/* The request's head has the bytes of one that was read before, and its text is these bytes. */
	bool head_again;

	/* For the linker's own use, from tracer__request() to tracer__end(). */
	void *link;

	/* From here on: memory of the pool, that an exchange hands on to the next. */
	struct header_fields fields, response_fields;
	struct buf text, response_text; /* the heads */
	struct buf body;		/* of a telemetry export, as far as captured */
	bool no_response_fields;	/* nobody asks for them: they are not kept */
};

#endif
