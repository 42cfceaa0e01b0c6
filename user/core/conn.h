/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections: what the kernel's records are about. This layer knows offsets, turns, slots, timers
 * and the life of connections, nothing of any protocol; proto/ knows the bytes.
 */
#ifndef SONDE_CORE_CONN_H
#define SONDE_CORE_CONN_H

#include "core/conn_timer.h"
#include "core/engine.h"
#include "core/exchange_pool.h"
#include "core/proto/http1.h"
#include "core/proto/proto.h"
#include "core/proto/tls.h"
#include "core/tracer.h"

enum direction { DIR_RX = 0, DIR_TX = 1 };

static inline enum direction direction_other(enum direction dir)
{
	return dir == DIR_RX ? DIR_TX : DIR_RX;
}

/* Captured bytes of one direction, and what their record says beside them. */
struct piece {
	enum direction dir;
	uint16_t flags;	 /* SONDE_F_* */
	uint64_t offset; /* of bytes.at[0] */
	struct view bytes;
	uint64_t call_end; /* offset after the last byte of the call */
	uint64_t ns;
	uint64_t other_offset,
		other_ns; /* how far the other direction had got, and when; ns 0: nothing */
	uint32_t turn, tid;
	struct process_key process;
	const struct sonde_evidence *evidence;
	/*
	 * The kernel counted this record as a begun exchange: either an exchange is opened for it,
	 * or was by a piece before (conn__claim() clears this), or it is counted under *fate.
	 */
	bool begun;
	uint64_t *fate;
	/* What the protocol takes the first bytes for, once it has looked: see begins() of http1.c. */
	bool looked, kind_sure;
	int kind;
};

/* Requests that wait for their answers on one connection: more are dropped_bound. */
#define CONN_EXCHANGES_MAX 1024

struct conn {
	uint64_t id;
	struct conn *lru_prev, *lru_next;
	struct wheel_timer timer;
	struct core *core;
	const struct proto *proto;
	struct process_key process; /* that did the first input or output */
	uint32_t slot;		    /* ~0: none */
	bool known;		    /* its CONN was seen: endpoints, bases and role are true */
	bool from_start;
	bool carried; /* inside TLS: offsets count plaintext, and pair[0] is what carries it, 0: not known */
	bool adrift;  /* Unix: bytes passed unseen, so its offsets are not the peer's any more */
	uint8_t role; /* enum sonde_role */
	struct endpoints endpoints;
	uint32_t base[2]; /* by enum direction */
	/* how far the calls had got of which records told, and when the last one was */
	uint64_t told[2], told_ns[2];
	uint64_t pair[2];
	struct exchange *first, *last; /* open exchanges, in the order of their requests */
	uint32_t open;		       /* how many there are */
	uint32_t turn, index;	       /* of the latest exchange */
	uint64_t shed_from_ns;	       /* since when shed_ended counts */
	uint16_t shed_ended;	       /* exchanges */
	bool shed, shed_sends; /* the kernel counts its requests and shows none; of a client */
	struct early *early;   /* a record kept back; NULL: none, see conn_record.c */
	struct tls *tls;       /* of one that speaks TLS; else NULL */
	struct tls_info *said; /* inside TLS: what its carrier's hellos said; NULL: nothing yet */
	struct http1 http1;
	struct http2 *http2; /* NULL: it is none, or there was no memory */
};

/* Open addressing by connection id. */
struct conn_table {
	struct conn **at;
	uint32_t size, used, max;	   /* size: a power of two */
	struct conn *lru_first, *lru_last; /* first: used last */
};

/*
 * The kernel tells a process' end before it closes what that leaves open. What was read or written of
 * an exchange last may be known only then, so a whole one must not be taken for one that was cut off.
 */
#define ENDED_WAIT_NS 100000000ull
/* So many processes with open exchanges are waited for. */
#define CORE_ENDED_MAX 64

struct ended_process {
	struct process_key key;
	uint64_t ns;	 /* when it ended */
	uint64_t due_ns; /* when that is waited for no more */
};

/* What all connections share. */
struct core {
	const struct engine_out *out;
	struct account_trace *account;
	struct tracer *tracer;
	struct exchange_pool *pool;
	struct conn_table conns;
	struct wheel wheel;
	struct conn_exchange *open; /* all open exchanges */
	uint64_t now_ns;	    /* as of the last MSG_CLOCK */
	uint64_t last_ns;	    /* of the latest record */
	uint32_t hello_bytes;	    /* of TLS hellos that are not whole yet */
	uint32_t shed_share;	    /* of busy connections, in 1/256: see conn_shed.c */
	struct ended_process ended[CORE_ENDED_MAX]; /* the one that is due first first */
	unsigned int n_ended;
};

/* -ENOMEM. */
int conn_table__init(struct conn_table *table, uint32_t max);
void conn_table__release(struct core *core);
struct conn *conn__find(struct core *core, uint64_t id);
/* A new connection; the longest unused one makes room at the bound. NULL: no memory. */
struct conn *conn__add(struct core *core, uint64_t id);
/* Open exchanges must have been ended or dropped. */
void conn__remove(struct conn *conn);
/* Moves it to the front of those that stay. */
void conn__touch(struct conn *conn);

/* conn_record.c: what a record means to a connection. Records have been validated. */
void conn__on_conn(struct core *core, const struct sonde_rec_conn *rec);
void conn__on_data(struct core *core, const struct sonde_rec_data *rec,
		   const struct sonde_rec_more *more, const void *payload); /* NULL: no more */
void conn__on_frames(struct core *core, const struct sonde_rec_frames *rec, const uint8_t *payload);
void conn__on_stream(struct core *core, const struct sonde_rec_stream *rec);
void conn__on_end(struct core *core, const struct sonde_rec_end *rec);
void conn__on_gone(struct core *core, const struct sonde_rec_gone *rec);
void conn__on_process_end(struct core *core, const struct sonde_rec_proc *rec);
void conn__on_slot(struct core *core, const struct sonde_slot *slot);
void conn__on_timers(struct core *core);
/* Input is over: everything that is open is ended. */
void conn__on_input_end(struct core *core);

/* Inside TLS: which socket carries it has become known. What is open learns of its ends. */
void conn__learned(struct conn *conn);

/* conn_exchange.c: the life of exchanges, for protocols. */

/*
 * Opens an exchange for the request whose first byte is at `offset` within the piece. The caller
 * fills in the rest. NULL: a bound was reached, and counted.
 */
struct exchange *conn__open(struct conn *conn, struct piece *piece, uint64_t offset,
			    const struct proto *proto);
/*
 * This piece belongs to the request. The kernel counts a request as begun when its first 16 bytes
 * are there, be they in one piece or in many.
 */
void conn__claim(struct exchange *ex, struct piece *piece);
/* The request's head is as whole as it gets: the tracer may look at it. Once an exchange. */
void conn__announce(struct conn *conn, struct exchange *ex);
/* The exchange has ended at end_ns; the tracer owns it from here. */
void conn__end(struct conn *conn, struct exchange *ex, uint64_t end_ns);
/* The same for one that was cut off; error_type: registry, static. */
void conn__cut(struct conn *conn, struct exchange *ex, uint64_t end_ns, const char *error_type);
/* No span will come of it: counted under *reason. */
void conn__drop(struct conn *conn, struct exchange *ex, uint64_t *reason);

/* The kernel is asked for an END record at this offset (0: no longer). Nothing without a slot. */
void conn__watermark(struct conn *conn, enum direction dir, uint64_t offset);
void conn__want_slot(struct conn *conn);
/* conn_shed.c: this share of busy connections is not looked at, in 1/256; the others are again. */
void conn__shed(struct core *core, uint32_t share);
/* An exchange has ended: is this one of those connections? */
void conn__shed_busy(struct conn *conn, uint64_t ns);
/* It is looked at again. */
void conn__unshed(struct conn *conn);

/* The kernel may stop looking at this connection. */
void conn__ignore(struct conn *conn);
/* Calls the protocol's timer function in so many ns; 0: not. */
void conn__set_timer(struct conn *conn, uint64_t after_ns);

#endif
