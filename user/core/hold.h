/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ended nodes that wait: for the identity of their process, for the proof that the program exports
 * them itself, for their parent. Each waits for news of one node or process and for a deadline,
 * whichever comes first. Count and bytes are bounded; beyond, the oldest is released.
 */
#ifndef SONDE_CORE_HOLD_H
#define SONDE_CORE_HOLD_H

#include "core/conn_timer.h"
#include "core/link.h"

#define HELD_MAX_DEFAULT 16384
#define HELD_BYTES_MAX_DEFAULT (16u << 20)
/* The longest that a span is held back. */
#define HOLD_NS 10000000000ull

struct hold {
	struct node *first, *last; /* in the order in which they ended */
	uint32_t n, max;
	size_t bytes, bytes_max;
	struct wheel wheel;		  /* deadlines */
	struct node *ready, **ready_last; /* to be looked at again */
};

void hold__init(struct hold *hold, const struct engine_config *config);

/* An ended node is held from now on; its content counts. */
void hold__add(struct hold *hold, struct node *node);
/* It is out or gone: it waits for nothing any more. */
void hold__remove(struct hold *hold, struct node *node);
/* The oldest, where a bound is exceeded; else NULL. */
struct node *hold__excess(const struct hold *hold);

/*
 * Wait for news in *list (NULL: none) or for the deadline, or for as long as timers reach: whoever is
 * woken looks at the time.
 */
void hold__wait(struct hold *hold, struct node *node, struct node **list, uint64_t now_ns,
		uint64_t deadline_ns);
/* Those that wait in *list are to be looked at again, and so is the node itself. */
void hold__wake(struct hold *hold, struct node **list);
void hold__wake_one(struct hold *hold, struct node *node);
/* The next to be looked at, with a reference that the caller gives back. NULL: none. */
struct node *hold__ready(struct hold *hold);
/* Those whose deadline has come become ready. */
void hold__expire(struct hold *hold, uint64_t now_ns);
/* 0: none. */
uint64_t hold__next_deadline(const struct hold *hold);

#endif
