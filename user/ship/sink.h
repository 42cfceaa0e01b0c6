/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every destination of spans is to the role: an object that takes spans, is told when a round
 * of frames is over, says when it wants to be woken, and can be finished or abandoned. Times are
 * CLOCK_MONOTONIC nanoseconds, passed in.
 *
 * Each sink keeps its line of the account so that after every call
 *   spans = unsampled + acked + queued + rejected + dropped.
 */
#ifndef SONDE_SHIP_SINK_H
#define SONDE_SHIP_SINK_H

#include "core/frame.h"
#include "ship/export/queue.h"
#include "ship/ship.h"

/* One span as the stream has it; borrowed for the call. bytes is empty when it is not sampled. */
struct ship_span {
	struct frame_span head;
	struct view bytes;
	struct blob *resource, *scope; /* NULL: never announced */
};

struct sink;
struct sink_ops {
	void (*span)(struct sink *sink, const struct ship_span *span, uint64_t now);
	/* After each turn of the loop: write, send, look at timers. */
	void (*work)(struct sink *sink, uint64_t now);
	/* When work() is wanted though nothing happens; 0: never. */
	uint64_t (*timer)(const struct sink *sink);
	/* No more spans will come: send what waits, without delay. */
	void (*finish)(struct sink *sink, uint64_t now);
	/* Does something still wait? */
	bool (*busy)(const struct sink *sink);
	/* Would it soon drop what comes, and is going to have room again by itself? NULL: never. */
	bool (*crowded)(const struct sink *sink);
	/* Time is over: what still waits is counted as dropped_shutdown. */
	void (*abandon)(struct sink *sink);
	void (*free)(struct sink *sink);
};

struct sink {
	const struct sink_ops *ops;
	struct account_sink *account;
};

struct loop;
struct transfers;

/* NULL: no memory, or what err says. config outlives the sink. */
struct sink *sink_file__new(const struct ship_file *config, struct account_sink *account,
			    struct loop *loop, struct err *err);
struct sink *sink_console__new(const struct ship_console *config, struct account_sink *account,
			       struct loop *loop, struct err *err);
struct sink *sink_store__new(const struct ship_store *config, struct account_sink *account,
			     struct loop *loop, struct err *err);
struct sink *sink_otlp__new(const struct ship_otlp *config, struct account_sink *account,
			    struct transfers *transfers, struct err *err);

#endif
