// SPDX-License-Identifier: Apache-2.0
#include "core/conn_timer.h"

#include <stddef.h>

static uint32_t bucket_of(uint64_t at_ns)
{
	return (uint32_t)(at_ns / WHEEL_TICK_NS % WHEEL_BUCKETS);
}

void wheel__clear(struct wheel *wheel, struct wheel_timer *timer)
{
	if (!timer->bucket)
		return;
	if (timer->prev)
		timer->prev->next = timer->next;
	else
		wheel->buckets[timer->bucket - 1] = timer->next;
	if (timer->next)
		timer->next->prev = timer->prev;
	timer->prev = timer->next = NULL;
	timer->bucket = 0;
	if (!--wheel->set)
		wheel->next_ns = 0;
}

void wheel__set(struct wheel *wheel, struct wheel_timer *timer, uint64_t now_ns, uint64_t after_ns)
{
	uint64_t longest = WHEEL_TICK_NS * (WHEEL_BUCKETS - 2);
	uint32_t bucket;

	wheel__clear(wheel, timer);
	/* Rounded up to a tick: all that is due within one is done at its end. */
	timer->at_ns = now_ns + (after_ns < longest ? after_ns : longest);
	timer->at_ns += WHEEL_TICK_NS - timer->at_ns % WHEEL_TICK_NS;
	bucket = bucket_of(timer->at_ns);
	timer->bucket = bucket + 1;
	timer->prev = NULL;
	timer->next = wheel->buckets[bucket];
	if (timer->next)
		timer->next->prev = timer;
	wheel->buckets[bucket] = timer;
	wheel->set++;
	if (!wheel->next_ns || timer->at_ns < wheel->next_ns)
		wheel->next_ns = timer->at_ns;
}

/*
 * The earliest timer, once a tick that has timers. The first of a bucket speaks for all in it:
 * they differ only where the clock was not fed for a whole turn of the wheel, and then wait for it.
 */
static void find_next(struct wheel *wheel)
{
	wheel->next_ns = 0;
	for (uint32_t i = 0; i < WHEEL_BUCKETS; i++) {
		const struct wheel_timer *t = wheel->buckets[i];

		if (t && (!wheel->next_ns || t->at_ns < wheel->next_ns))
			wheel->next_ns = t->at_ns;
	}
}

struct wheel_timer *wheel__expired(struct wheel *wheel, uint64_t now_ns)
{
	while (wheel->next_ns && wheel->next_ns <= now_ns) {
		struct wheel_timer *t = wheel->buckets[bucket_of(wheel->next_ns)];

		for (; t; t = t->next)
			if (t->at_ns <= now_ns) {
				wheel__clear(wheel, t);
				return t;
			}
		find_next(wheel);
	}
	return NULL;
}
