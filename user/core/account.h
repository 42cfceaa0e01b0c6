/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user side's counters: one struct in shared memory that outlives a role. Written by one role
 * only each (plain stores of aligned u64), read by probe for the ledger. The kernel side's are in
 * headers/counters.h. Reasons are closed lists of the registry.
 */
#ifndef SONDE_CORE_ACCOUNT_H
#define SONDE_CORE_ACCOUNT_H

#include <stdint.h>

#include "core/governor.h"

/* clang-format off */
/* Written by trace. */
#define ACCOUNT_TRACE(X) \
	X(records_read,          "records taken from the ring") \
	X(records_bad,           "records that were refused (wrong length, unknown type)") \
	X(begun_read,            "of the records read, those that stand for a begun exchange") \
	X(ex_inside,             "exchanges for which no record with SONDE_F_BEGUN stands, as they began inside one: line begun") \
	X(ex_user_begun,         "exchanges that the core opened, all told") \
	X(ex_open,               "open exchanges now (a gauge)") \
	X(ex_spans,              "exchanges that became a span") \
	X(ex_held,               "ended exchanges that wait for identity or classification (a gauge)") \
	X(filtered_continuation, "a kernel start that was part of a message (a body that looks like a request, bytes after 100 Continue)") \
	X(filtered_telemetry,    "a telemetry export") \
	X(filtered_duplicate,    "the program exports the same call itself") \
	X(filtered_opt_out,      "the process asked not to be traced") \
	X(dropped_ring,          "records of it, or beside it, were lost in the kernel: it could not be told apart (beside begun_lost)") \
	X(dropped_response_lost, "its response was lost in the kernel") \
	X(dropped_restart,       "was open when the trace role was restarted") \
	X(dropped_bound,         "a bound of the core was reached") \
	X(dropped_bad_head,      "the head could not be parsed") \
	X(dropped_trace_cap,     "its trace had reached the number of spans allowed") \
	X(dropped_unjoined,      "met in the middle of a message, on a connection older than sonde") \
	X(frames_refused,        "frames that ship's pipe had no room for") \
	X(frames_waiting,        "span frames that ship has not taken yet (a gauge)") \
	X(frames_restart,        "span frames lost with the trace role") \
	X(spans_unsampled,       "spans of which only the header was sent") \
	X(shed_attributes,       "spans that the governor left with what is required") \
	X(shed_sampling,         "spans, of those unsampled, whose trace would have been sampled without the governor") \
	X(conns_open,            "connections known now (a gauge)") \
	X(conns_decoded,         "connections that were decoded") \
	X(conns_other,           "connections that were not") \
	X(links_header,          "spans linked by a propagation header") \
	X(links_edge,            "by the two ends of one connection") \
	X(links_thread,          "by thread") \
	X(links_none,            "roots: no candidate") \
	X(links_ambiguous,       "no link, though there were candidates") \
	X(links_agree,           "calls where the header and the thread named the same request") \
	X(links_disagree,        "calls where they did not") \
	X(links_unproven,        "spans of programs that export or have an SDK (or could not be looked into), which no export that was read tells of") \
	X(exports_unread,        "trace exports of programs that could not be read, or not to the end") \
	X(held_early,            "spans released before their wait was over: the bound of what is held was reached")

/* Written by ship, one set a sink. */
#define ACCOUNT_SINK(X) \
	X(spans,                 "handed to this sink") \
	X(unsampled,             "of these, headers only") \
	X(acked,                 "acknowledged") \
	X(queued,                "waiting or in flight now (a gauge)") \
	X(rejected_partial,      "partial success") \
	X(rejected_status,       "refused for good by a status") \
	X(dropped_queue_full,    "the queue was full") \
	X(dropped_too_large,     "larger than the backend takes, even alone") \
	X(dropped_retries,       "given up after the retry limit") \
	X(dropped_shutdown,      "still waiting when the time to flush was over") \
	X(dropped_write,         "writing failed (disk full, closed pipe)") \
	X(dropped_restart,       "lost with the ship role") \
	X(unconfirmed,           "sent, answer never received") \
	X(evicted,               "of the acknowledged: given up for the store's limits of bytes and age") \
	X(damaged,               "partitions of the store that were damaged and put aside")

/* Written by receive: requests, then the spans in those that were taken. */
#define ACCOUNT_RECEIVED(X) \
	X(requests,              "requests to the receiver, all told") \
	X(taken,                 "of these, those whose spans were taken, all or some") \
	X(refused_unauthorized,  "without the token, or of a host that is not answered to") \
	X(refused_address,       "another path, service or method") \
	X(refused_type,          "neither protobuf nor JSON") \
	X(refused_encoding,      "a compression that is not known, or broken") \
	X(refused_too_large,     "larger than what is taken") \
	X(refused_malformed,     "no OTLP") \
	X(refused_busy,          "too much waits already: the sender is asked to come again") \
	X(refused_incomplete,    "ended, or was ended, before all of it had come") \
	X(bytes,                 "of bodies, unpacked") \
	X(spans,                 "in requests that were taken") \
	X(passed,                "spans, of these, handed to ship") \
	X(waiting,               "spans that ship has no room for yet (a gauge)") \
	X(rejected_id,           "spans with ids of a wrong length, or of zeroes") \
	X(rejected_broken,       "spans that are no protobuf, or of the old form (instrumentation library)") \
	X(rejected_too_large,    "spans larger than what is taken of one") \
	X(dropped_restart,       "spans that waited when the role died") \
	X(dropped_shutdown,      "spans that waited when the time to flush was over")
/* clang-format on */

#define ACCOUNT_SINKS_MAX 8

struct account_trace {
#define X(name, comment) uint64_t name;
	ACCOUNT_TRACE(X)
#undef X
};

struct account_sink {
	char name[32]; /* "" : not in use */
#define X(name, comment) uint64_t name;
	ACCOUNT_SINK(X)
#undef X
};

struct account_received {
#define X(name, comment) uint64_t name;
	ACCOUNT_RECEIVED(X)
#undef X
};

/*
 * Exchanges that trace took in hand and that are in none of its lines: 0 whenever it is between two
 * messages, what a sudden death leaves otherwise. Open and held ones count as in hand.
 */
uint64_t account__in_hand(const struct account_trace *trace);

/* Written by probe; trace reads what it is to shed. */
struct account_governor {
	uint64_t step;			/* now: governor__shed() */
	uint64_t highest;		/* step so far */
	uint64_t times;			/* that it began to shed */
	uint64_t level_ns[SHED_LEVELS]; /* time spent at each level but the first, which has none */
};

struct account {
	struct account_trace trace;
	struct account_sink sinks[ACCOUNT_SINKS_MAX];
	struct account_governor governor;
};

#endif
