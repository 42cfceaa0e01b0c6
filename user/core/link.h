/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Links: which span is whose parent.
 *
 * Every exchange has a node from its request on. A node's span id is computed at once; its parent
 * may take longer, because the other end's record or the proof comes later. The trace id belongs
 * to a tree: it is the nearest propagation header's on the way up, else the root's own, and it is
 * fixed with the first span of the tree that goes out. So a child never has another trace id than
 * its parent, in whatever order things become known.
 *
 * A trace is one tree: a header that a program makes in the middle of a request that came without
 * one begins another trace, whose root is the program's. The two are joined by a span link, never
 * by one trace id over two roots.
 *
 * No span names a parent that will not be there: naming a node as parent promises it
 * (node->promised), and a promised node becomes a span whatever happens to its exchange. One that
 * will be filtered is passed over for its own parent.
 */
#ifndef SONDE_CORE_LINK_H
#define SONDE_CORE_LINK_H

#include "core/conn_timer.h"
#include "core/ids.h"
#include "core/link_map.h"
#include "core/process.h"
#include "core/propagate.h"
#include "registry.h"

/* How long a server's span waits for the record of the client's end, from its request on. */
#define LINK_EDGE_WAIT_NS 100000000ull
/*
 * Where so many requests in a row, from one address to one process, had no client's end that is traced,
 * a server's span waits for none: only until its own end. A client's end that comes resets that.
 */
#define LINK_ALONE_ENOUGH 8
/* Addresses and processes for which that is known. */
#define LINK_PEERS_MAX 256
/* Header pairs that a process has read are remembered for so long, and so many of them. */
#define LINK_PASSING_NS 60000000000ull
#define LINK_PASSING_MAX 16384
/* A client's end that was cut off is remembered: its request may be read later. */
#define LINK_LATE_NS 10000000000ull
#define LINK_LATE_MAX 1024
/* Responses on the reading thread after which a process counts as one thread a request. */
#define LINK_STAYED_ENOUGH 16

struct tracer;

enum node_state {
	NODE_OPEN,  /* its exchange is under way */
	NODE_ENDED, /* over, and its content encoded; waits */
	NODE_OUT,   /* its span is out */
	NODE_GONE,  /* will make no span */
};

enum parent_state {
	PARENT_SETTLED,
	PARENT_EDGE,   /* server: the client's end may still show up */
	PARENT_THREAD, /* client: the candidate is not confirmed yet */
};

/* What the spans of one tree share. */
struct trace {
	uint8_t id[16];
	uint8_t flags; /* W3C */
	bool sampled;
	bool shed; /* it would be sampled, were it not for the governor */
	uint32_t refs;
	struct trace *next; /* of those that are not in use */
	uint16_t tracestate_len;
	char tracestate[];
};

/* A (trace id, parent id) that a process has read. */
struct passing {
	struct map_link by_ids;
	struct passing *newer;
	uint64_t last_ns;
	uint32_t open;	   /* open server nodes with these */
	struct node *node; /* the only one, while there has been only one since open was 0 */
	uint32_t resource; /* of the process */
	uint8_t trace_id[16];
	uint64_t parent_id;
};

struct node {
	struct map_link by_edge, by_thread, by_proof;
	struct process *process; /* holds a reference */
	struct exchange *ex;	 /* while NODE_OPEN */
	uint32_t refs;
	enum exchange_side side;
	enum node_state state;
	enum parent_state parent_state;
	enum link_method method;
	bool promised, telemetry;
	bool counted; /* among the spans of its trace */
	bool ambiguous;
	bool edge_known, edge_matched;
	bool has_header, passes_on; /* passes_on: the header is one that the process has read */
	bool parent_remote;
	uint16_t peer_port; /* of the connection; 0: has none */
	uint32_t peer;	    /* server: its process and the peer's address, hashed */
	uint32_t candidates;
	uint32_t tid, response_tid;
	struct trace *trace;
	struct node *parent; /* holds a reference; NULL: see parent_id */
	uint64_t parent_id;  /* a parent that is no node; 0: none */
	/* Holds a reference: thread evidence, until it is weighed; or the request of a made header. */
	struct node *candidate;
	struct passing *passing;
	/* The other end, of a request without a header. The server's holds a reference. */
	struct node *met;
	/* Server without a header: the trace of a header that the program made for a call of it. */
	bool has_own_trace;
	uint64_t covered_by; /* the program's own span of the same exchange; 0: none */
	/* A span in another trace that this one goes on in, or comes from; 0: none. */
	uint64_t linked_span;
	enum link_method linked_by;

	/* hold.h's and tracer_emit.c's */
	struct node *held_prev, *held_next;
	struct node *waiters;		   /* nodes that wait for news of this one */
	struct node **wait_at, *wait_next; /* in somebody's waiters */
	struct node *ready_next;
	bool held, ready;
	struct wheel_timer timer; /* its deadline */
	uint8_t status;

	/* From here on nothing is cleared for the next one: none of it is read before it is written. */
	struct sonde_turn_ref turn;
	struct span_key key;
	uint64_t id, edge_id, place; /* place: of the key, in by_edge */
	uint8_t root_trace[16];	     /* of a trace that begins here */
	uint8_t header_trace[16];    /* has_header: and the parent */
	uint64_t header_parent;
	uint8_t own_trace[16];	    /* has_own_trace */
	uint8_t linked_trace[16];   /* linked_span: the trace that it is in */
	uint64_t start_ns, end_ns;  /* CLOCK_BOOTTIME */
	uint64_t seen_ns, ended_ns; /* when the tracer was told of request and end */
	int64_t epoch_offset_ns;
	uint64_t operation; /* of content */
	struct buf content; /* the settled part of the span; its memory stays with the node */
};

/* Whether the client's end of what one peer asks one service is ever seen. */
struct link_peer {
	uint32_t peer;
	uint32_t alone;	 /* requests without a client's end that came after met_ns */
	uint64_t met_ns; /* when there was one last */
};

struct links {
	const struct engine_config *config;
	struct process_table *processes;
	struct account_trace *account;
	struct map by_edge;   /* clients until they have ended, servers until they have settled */
	struct map by_thread; /* open server nodes by process and thread */
	struct map passing;
	struct passing *passing_first, *passing_last; /* first: the oldest */
	uint32_t n_passing;
	struct node *late[LINK_LATE_MAX]; /* a ring of cut clients, each with a reference */
	uint32_t late_from, n_late;
	uint64_t now_ns;
	struct link_peer peers[LINK_PEERS_MAX];
	/* Not in use now: steady traffic allocates nothing. */
	struct node *idle_nodes; /* by ready_next */
	struct trace *idle_traces;
	uint32_t n_idle_nodes, n_idle_traces, n_nodes, n_traces; /* n_nodes, n_traces: in use */
};

/* -ENOMEM. */
int links__init(struct links *links, const struct engine_config *config,
		struct process_table *processes, struct account_trace *account);
/* Nodes must have been released by their owners; the ring of cut clients is let go here. */
void links__release(struct links *links);

/*
 * A node for an exchange whose request is whole, with its header read, in the tables, linked as far
 * as that is known. *ret_other: the server's node that this client's node settled, or NULL.
 * NULL: no memory.
 */
struct node *links__request(struct links *links, struct process *process, struct exchange *ex,
			    struct node **ret_other);
/*
 * Where a client's request goes has become known after it was announced: its edge, and what that settles, as in
 * links__request(). Of a server's, whose parent has been settled, nothing changes.
 */
void links__learned(struct links *links, struct node *node, const struct exchange *ex,
		    struct node **ret_other);
/* The exchange is over (node->end_ns, response_tid are set): out of the tables of what is open. */
void links__end(struct links *links, struct node *node, bool cut);
/* Until when a server's node, whose edge is not settled, waits for the client's end. */
uint64_t links__edge_until(const struct links *links, const struct node *node);
/*
 * Tries to settle the parent. True: it is settled. False: not yet, *ret_on is whose news it
 * waits for (NULL: only time) and *ret_deadline_ns when to ask again (0: by news alone). force:
 * it is settled now, by refusal where there is doubt.
 */
bool links__settle(struct links *links, struct node *node, bool force, struct node **ret_on,
		   uint64_t *ret_deadline_ns);
/* Forgets what is too old. */
void links__expire(struct links *links);

/* A zeroed node with one reference. NULL: no memory. */
struct node *node__new(struct links *links);
void node__get(struct node *node);
/* NULL is accepted. */
void node__put(struct links *links, struct node *node);
/* The trace goes to the top of the node's tree, if that has none yet. */
void node__adopt(struct node *node, struct trace *trace);
/* The node waits no more, or has no more to say: its two ends need not know of each other. */
void node__part(struct links *links, struct node *node);
/*
 * The program's own span tells of the same exchange, so the node's does not come out. What hangs on
 * a request hangs on that span from now on; where the request came without a header that is another
 * trace than the caller's, and the caller's span links to it.
 */
void node__cover(struct links *links, struct node *node, const uint8_t trace_id[16],
		 uint64_t span_id);
/* The trace that is known for the node, on its way up; NULL: none yet. *ret_top: where the way ends. */
struct trace *node__trace(struct node *node, struct node **ret_top);

/*
 * The trace of a header, or, where that is NULL, a new one of this id; sampled or not is decided.
 * NULL: no memory.
 */
struct trace *trace__new(struct links *links, const struct propagated *header,
			 const uint8_t root[16]);
/* NULL is accepted. */
void trace__put(struct links *links, struct trace *trace);
/* Frees the nodes and traces that are kept for later. */
void links__free_idle(struct links *links);

#endif
