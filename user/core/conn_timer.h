/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of connections, and of spans that are held back: a wheel of coarse buckets, so that many
 * share one wake-up and setting or clearing a timer costs the same whatever their number.
 */
#ifndef SONDE_CORE_CONN_TIMER_H
#define SONDE_CORE_CONN_TIMER_H

#include <stdint.h>

#define WHEEL_TICK_NS 25000000ull /* 25 ms */
#define WHEEL_BUCKETS 512	  /* 12.8 s: no timer may be longer */

/* One in each connection or node. bucket is its bucket + 1, 0: not set. */
struct wheel_timer {
	struct wheel_timer *prev, *next;
	uint64_t at_ns;
	uint32_t bucket;
};

struct wheel {
	struct {
		struct wheel_timer *first, *last; /* the earliest first */
	} buckets[WHEEL_BUCKETS];
	uint64_t used[WHEEL_BUCKETS / 64]; /* a bit a bucket: may have timers */
	uint32_t set;			   /* timers that are set */
	uint64_t next_ns;		   /* not later than the earliest timer; 0: none is set */
};

/*
 * Both replace what was set; later than the wheel reaches is brought forward. What is set to a time is
 * due at that time; what is set to so long after now is due at the end of a tick, together with others.
 */
void wheel__set_at(struct wheel *wheel, struct wheel_timer *timer, uint64_t now_ns, uint64_t at_ns);
void wheel__set(struct wheel *wheel, struct wheel_timer *timer, uint64_t now_ns, uint64_t after_ns);
void wheel__clear(struct wheel *wheel, struct wheel_timer *timer);
/* Takes one timer that is due out of the wheel; NULL: none is left. */
struct wheel_timer *wheel__expired(struct wheel *wheel, uint64_t now_ns);

#endif
