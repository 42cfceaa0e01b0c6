/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tracer knows of each process: its identity as an OTLP resource, its runtime, and what
 * its behaviour has taught (does it serve several requests on one thread, does it export spans).
 */
#ifndef SONDE_CORE_PROCESS_H
#define SONDE_CORE_PROCESS_H

#include "core/engine.h"
#include "core/exchange.h"
#include "core/link_map.h"

#define PROCESSES_MAX_DEFAULT 4096
#define PROCESS_SERVICE_MAX_BYTES 256
#define PROCESSES_RECENT 16 /* a power of two */
/* How long spans wait for the identity of their process before they go out without. */
#define PROCESS_WAIT_NS 5000000000ull

struct node;

struct process {
	struct map_link by_key;
	struct process *lru_prev, *lru_next; /* first: used last */
	struct process_key key;
	uint32_t refs;	/* nodes of it */
	bool known;	/* a MSG_PROCESS was seen */
	bool gone;	/* ended, or replaced its program */
	uint16_t flags; /* PROCESS_* */
	enum runtime runtime;
	uint64_t asked_ns;    /* when its identity was asked for */
	struct node *waiters; /* ended nodes that wait for its identity */

	/* The resource: n of its frames, what was last encoded, what was last sent. */
	uint32_t resource, revision, sent_revision, sent_generation;
	struct buf encoded;
	char service[PROCESS_SERVICE_MAX_BYTES];
	uint16_t service_len;
	/* The operation hash that was asked for last, and of what: tracer_emit.c. */
	struct {
		uint64_t name, hash;
		uint32_t revision;
		uint8_t side;
	} operation;

	/* Serving: how its threads and requests relate. */
	uint32_t open;	     /* server exchanges open now */
	uint32_t served_tid; /* the first thread that read a request; 0: none */
	bool many_threads;   /* others did too */
	bool multiplexes;    /* a thread read a request while another was open on it */
	uint32_t stayed;     /* responses begun on the thread that read the request */
	uint32_t hopped;     /* responses begun on another one */

	/* Its own telemetry. */
	bool relay;		/* others export to it */
	uint32_t exports;	/* trace exports of it that were decoded */
	uint64_t first_held_ns; /* since when its spans have been waiting for a proof */
};

struct process_table {
	const struct engine_config *config;
	struct map by_key;
	struct process *lru_first, *lru_last;
	uint32_t used, max, next_resource;
	uint32_t generation; /* raised when frames have a new reader */
	/* Who was asked for lately, by tgid: running processes only, entries may be NULL. */
	struct process *recent[PROCESSES_RECENT];
};

/* -ENOMEM. */
int process_table__init(struct process_table *table, const struct engine_config *config);
void process_table__release(struct process_table *table);
/* The running process of this key; NULL: not known. */
struct process *process_table__find(struct process_table *table, struct process_key key);
/* The same, made where it is missing: then *ret_new. NULL: the bound is reached and all are in use. */
struct process *process_table__get(struct process_table *table, struct process_key key,
				   bool *ret_new);
/*
 * Takes a MSG_PROCESS in; it may come before the process's first exchange. -EPROTO: its attributes
 * are malformed, nothing has changed; -ENOSPC: the bound is reached.
 */
int process_table__learn(struct process_table *table, const struct message_process *message,
			 const void *attributes, size_t len, struct process **ret);
/* No exchange will be added to it. It is forgotten with its last node. */
void process__mark_gone(struct process_table *table, struct process *process);
void process__put(struct process_table *table, struct process *process);

/* The service's name as the resource says it. */
struct view process__service(const struct process *process);
/* Encodes the identity of one that nobody has answered for: its pid and `unknown_service`. */
void process__encode_unknown(struct process_table *table, struct process *process);

#endif
