/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls whom, from the spans' own ids: an edge is a span whose parent is another service's (or a client's
 * of its own), never two that used the same address, so that a port that was used twice makes no edge that never was.
 * A client span that no span answers is a call of something that is not traced; it is named by its address.
 * Spans are added in about the order of their ends, the last first: what can have no more links to what is still to come
 * is counted and let go, so that memory is that of a time of links, not of the range. It is bounded: spans past the bound
 * are passed over. Pure.
 */
#ifndef SONDE_SHIP_CALLMAP_H
#define SONDE_SHIP_CALLMAP_H

#include "base/histogram.h"
#include "base/intern.h"
#include "ship/console/row.h"

#define CALLMAP_SPANS_MAX (1u << 18)
#define CALLMAP_SERVICES_MAX 512
#define CALLMAP_PEERS_MAX 1024
#define CALLMAP_EDGES_MAX 4096
#define CALLMAP_EXAMPLES 5
/* Links may lead this far out of the range of what is counted; and from a span that is added back to one that was. */
#define CALLMAP_MARGIN_NS 10000000000ull
/* What has ended only just may still be answered by a span that is on its way into the store. */
#define CALLMAP_SETTLE_NS 2000000000ull

struct callmap_span;

struct callmap_node {
	struct view name;
	bool traced;
	bool shown;		   /* a service of the range, or a peer with an edge */
	uint64_t requests, errors; /* what it was asked */
	struct histogram durations;
};

struct callmap_example {
	uint8_t trace[16];
	uint64_t span; /* id, its bytes in their order */
	uint64_t duration_ns;
	bool error;
};

struct callmap_edge {
	uint32_t from, to; /* numbers of nodes */
	uint64_t count, errors;
	struct histogram durations; /* as the caller saw it, where that is known */
	struct callmap_example
		examples[CALLMAP_EXAMPLES]; /* failed ones first, the slowest first */
	unsigned int n_examples;
};

struct callmap {
	uint64_t start_ns, end_ns, now_ns;
	struct intern services, peers;
	struct callmap_span *spans;
	uint32_t n_spans, cap_spans;
	uint64_t at_ns;		    /* when the span ended that was added last */
	uint64_t counted, left_out; /* spans of the range; those past a bound */
	struct callmap_node *nodes; /* to be read after callmap__finish() */
	uint32_t n_nodes;
	struct callmap_edge *edges;
	uint32_t n_edges, cap_edges;
	uint32_t *edge_slots; /* by their ends: 1 + index */
	bool crowded;	      /* too many spans at a time: all others are passed over */
	bool failed;	      /* out of memory */
};

/* Spans that begin from start_ns to end_ns count; now_ns: when the question is asked. Freed by callmap__free(). */
void callmap__init(struct callmap *m, uint64_t start_ns, uint64_t end_ns, uint64_t now_ns);
/* May this span be of use? In the range, or so near that it may be linked with one that is. */
bool callmap__wants(const struct callmap *m, const struct row *row);
void callmap__add(struct callmap *m, const struct row *row);
/* After the last span: nodes and edges. Edges are sorted by the names of their ends. */
void callmap__finish(struct callmap *m);
void callmap__free(struct callmap *m);

#endif
