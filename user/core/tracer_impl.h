/* SPDX-License-Identifier: Apache-2.0 */
/* The tracer's own parts; tracer.h is for everybody else. */
#ifndef SONDE_CORE_TRACER_IMPL_H
#define SONDE_CORE_TRACER_IMPL_H

#include "core/hold.h"
#include "core/link.h"
#include "core/said.h"
#include "core/sdk_cover.h"
#include "core/span.h"
#include "core/tracer.h"

#define TRACE_SPANS_MAX 10000 /* spans of one trace; more are dropped and counted */
#define TRACE_CAP_SETS 1024
#define TRACE_CAP_WAYS 4
#define TRACER_CLOCKS 64
/* A span that others have named is offered again after so long, when the reader's pipe was full. */
#define TRACER_AGAIN_NS 100000000ull
#define TRACER_SCOPE 1 /* n of the one SCOPE frame */

/* How many spans of a trace went out: the latest TRACE_CAP_SETS * TRACE_CAP_WAYS traces. */
struct trace_count {
	uint64_t hash; /* 0: free */
	uint32_t spans;
	uint32_t used; /* larger: used later */
};

struct clock_sample {
	uint64_t now_ns;
	int64_t epoch_offset_ns;
};

struct tracer {
	struct engine_config config; /* the strings that it points to are borrowed */
	struct engine_out out;
	struct account_trace *account;
	struct process_table processes;
	struct links links;
	struct hold hold;
	struct sdk_cover cover;
	struct clock_sample clocks[TRACER_CLOCKS]; /* a ring */
	uint32_t clocks_from, n_clocks;
	struct trace_count counts[TRACE_CAP_SETS][TRACE_CAP_WAYS];
	uint32_t counts_used;
	uint32_t scope_generation; /* the generation in which SCOPE was sent */
	struct span span;	   /* described here */
	struct said_table said;
	struct name_hash { /* the name that was hashed last: they repeat */
		char name[32];
		size_t len;
		uint64_t hash;
	} name_hash;
	struct buf body, frame;
	struct buf link_said[LINK_METHODS]; /* the attributes that tell of each method */
	struct buf edge_said;		    /* the attribute of an edge's id, whose digits end it */
	struct account spare;		    /* where nobody gave an account */
};

/* CLOCK_REALTIME - CLOCK_BOOTTIME of the latest sample at or before that time. */
int64_t tracer__epoch_offset(const struct tracer *tracer, uint64_t boot_ns);

/* Encodes once what is always the same. -ENOMEM. */
int tracer__prepare_emit(struct tracer *tracer);

/* Encodes what happened into node->content. -ENOMEM. */
int tracer__describe(struct tracer *tracer, struct node *node, const struct exchange *ex);

/*
 * One more span of this trace. False: the trace has its number already; `anyway` lets it pass
 * nevertheless.
 */
bool tracer__count_span(struct tracer *tracer, const uint8_t trace_id[16], bool anyway);

/*
 * Looks at an ended node: its span goes out, it is filtered or dropped, or it waits on. force: it
 * waits no more.
 */
void tracer__try(struct tracer *tracer, struct node *node, bool force);
/*
 * The same of one that has ended just now, where nothing is missing but what the other end may say: it waits.
 * False: there is more to look at.
 */
bool tracer__wait_for_edge(struct tracer *tracer, struct node *node);
/*
 * The node makes no span: counted under *reason (NULL: the caller counts), those that wait for it
 * are woken.
 */
void tracer__drop(struct tracer *tracer, struct node *node, uint64_t *reason);
/* The program's own span tells of it: its own is filtered, unless others have named it. */
void tracer__cover(struct tracer *tracer, struct node *node, const struct sdk_span *span);
/* True: it is covered by a span that was exported before; it is gone. */
bool tracer__covered(struct tracer *tracer, struct node *node);
/* Looks at everything that has become ready, and keeps the bounds. */
void tracer__run(struct tracer *tracer);

/*
 * Writes the node's frames. A span that the reader's pipe does not take is counted and lost; with
 * `again` nothing is counted and the answer is -EAGAIN. -ENOMEM.
 */
int tracer__emit(struct tracer *tracer, struct node *node, struct trace *trace, bool again);

#endif
