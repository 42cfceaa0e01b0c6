// SPDX-License-Identifier: Apache-2.0
#include "core/conn_timer.h"

#include <stddef.h>

static uint32_t bucket_of(uint64_t at_ns)
{
	return (uint32_t)(at_ns / WHEEL_TICK_NS % WHEEL_BUCKETS);
}

void wheel__clear(struct wheel *wheel, struct wheel_timer *timer)
{
	uint32_t b = timer->bucket - 1;

	if (!timer->bucket)
		return;
	*(timer->prev ? &timer->prev->next : &wheel->buckets[b].first) = timer->next;
	*(timer->next ? &timer->next->prev : &wheel->buckets[b].last) = timer->prev;
	timer->prev = timer->next = NULL;
	timer->bucket = 0;
	if (!--wheel->set)
		wheel->next_ns = 0;
}

void wheel__set_at(struct wheel *wheel, struct wheel_timer *timer, uint64_t now_ns, uint64_t at_ns)
{
	uint64_t longest = WHEEL_TICK_NS * (WHEEL_BUCKETS - 2);
	struct wheel_timer *before;
	uint32_t b;

	wheel__clear(wheel, timer);
	if (at_ns > now_ns + longest)
		at_ns = now_ns + longest;
	timer->at_ns = at_ns > now_ns ? at_ns : now_ns + 1;
	b = bucket_of(timer->at_ns);
	timer->bucket = b + 1;
	/* Nearly always it is the latest of its bucket. */
	for (before = wheel->buckets[b].last; before && before->at_ns > timer->at_ns;)
		before = before->prev;
	timer->prev = before;
	timer->next = before ? before->next : wheel->buckets[b].first;
	*(timer->prev ? &timer->prev->next : &wheel->buckets[b].first) = timer;
	*(timer->next ? &timer->next->prev : &wheel->buckets[b].last) = timer;
	wheel->used[b / 64] |= 1ull << b % 64;
	wheel->set++;
	if (!wheel->next_ns || timer->at_ns < wheel->next_ns)
		wheel->next_ns = timer->at_ns;
}

void wheel__set(struct wheel *wheel, struct wheel_timer *timer, uint64_t now_ns, uint64_t after_ns)
{
	uint64_t longest = WHEEL_TICK_NS * (WHEEL_BUCKETS - 3);
	uint64_t at_ns = now_ns + (after_ns < longest ? after_ns : longest);

	/* Rounded up to a tick: all that is due within one is done at its end. */
	wheel__set_at(wheel, timer, now_ns, at_ns + WHEEL_TICK_NS - at_ns % WHEEL_TICK_NS);
}

/* The earliest timer, once a tick that has timers. The first of a bucket is its earliest. */
static void find_next(struct wheel *wheel)
{
	wheel->next_ns = 0;
	for (uint32_t word = 0; word < WHEEL_BUCKETS / 64; word++) {
		for (uint64_t bits = wheel->used[word]; bits; bits &= bits - 1) {
			uint64_t bit = bits & -bits;
			const struct wheel_timer *t =
				wheel->buckets[word * 64 + (uint32_t)__builtin_ctzll(bit)].first;

			if (!t)
				wheel->used[word] &= ~bit;
			else if (!wheel->next_ns || t->at_ns < wheel->next_ns)
				wheel->next_ns = t->at_ns;
		}
	}
}

struct wheel_timer *wheel__expired(struct wheel *wheel, uint64_t now_ns)
{
	while (wheel->next_ns && wheel->next_ns <= now_ns) {
		struct wheel_timer *t = wheel->buckets[bucket_of(wheel->next_ns)].first;

		if (t && t->at_ns <= now_ns) {
			wheel__clear(wheel, t);
			return t;
		}
		/* Unless its first was taken out just now, the next of a bucket is the next of all. */
		if (t && t->at_ns / WHEEL_TICK_NS == wheel->next_ns / WHEEL_TICK_NS)
			wheel->next_ns = t->at_ns;
		else
			find_next(wheel);
	}
	return NULL;
}
