/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From exchanges to spans: identities, propagation headers, links, sampling, holding back,
 * encoding. One tracer an engine. The engine tells it of every exchange twice (when its request
 * head is whole, when it has ended), of every process and of time; it emits frames.
 */
#ifndef SONDE_CORE_TRACER_H
#define SONDE_CORE_TRACER_H

#include "core/engine.h"
#include "core/exchange.h"

struct tracer;

struct tracer *tracer__new(const struct engine_config *config, const struct engine_out *out,
			   struct account *account);
void tracer__free(struct tracer *tracer);

/* The request head is whole (or as whole as it will get): candidates are fixed now. */
void tracer__request(struct tracer *tracer, struct exchange *ex);
/* Its edge has become known since, see links__learned(). */
void tracer__learned(struct tracer *tracer, struct exchange *ex);

/*
 * The exchange has ended (whole or cut). The tracer owns it from here and gives it back by
 * exchange__free() once its span is out or filtered.
 */
void tracer__end(struct tracer *tracer, struct exchange *ex);

/*
 * The exchange is given up (its response was lost, a bound was reached); the caller keeps it. True:
 * other spans have named it as their parent, so it became an incomplete span all the same: the
 * caller must not count it as dropped.
 */
bool tracer__abandon(struct tracer *tracer, struct exchange *ex);

void tracer__process(struct tracer *tracer, const struct message_process *process,
		     const void *attributes, size_t len);
/* The process ended, or replaced its program: its open requests were closed before this call. */
void tracer__process_gone(struct tracer *tracer, struct process_key key);
void tracer__clock(struct tracer *tracer, const struct message_clock *clock);
/* See engine__shed(). */
void tracer__shed(struct tracer *tracer, const struct shed *shed);
/* See engine__resend_definitions(). */
void tracer__resend_definitions(struct tracer *tracer);
/* Everything that waits goes out now. */
void tracer__flush(struct tracer *tracer);
/* CLOCK_BOOTTIME ns of the next thing that waits, 0: none. */
uint64_t tracer__next_timer(const struct tracer *tracer);

/* Made by the connection layer, given back by whoever owns it last. From a bounded pool. */
struct exchange_pool;
void exchange__free(struct exchange *ex);

#endif
