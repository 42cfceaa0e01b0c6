// SPDX-License-Identifier: Apache-2.0
#include "core/hold.h"

#include <errno.h>
#include <stdlib.h>

#define HEAP_FIRST 256

int hold__init(struct hold *hold, const struct engine_config *config)
{
	*hold = (struct hold){
		.max = config->held_max ? config->held_max : HELD_MAX_DEFAULT,
		.bytes_max =
			config->held_bytes_max ? config->held_bytes_max : HELD_BYTES_MAX_DEFAULT,
		.heap_cap = HEAP_FIRST,
	};
	hold->ready_last = &hold->ready;
	hold->heap = malloc((HEAP_FIRST + 1) * sizeof(*hold->heap));
	return hold->heap ? 0 : -ENOMEM;
}

void hold__release(struct hold *hold)
{
	free(hold->heap);
	hold->heap = NULL;
}

static size_t node_bytes(const struct node *node)
{
	return sizeof(*node) + node->content.cap;
}

static void place(struct hold *hold, uint32_t at, struct node *node)
{
	hold->heap[at] = node;
	node->heap_at = at;
}

static void sift_up(struct hold *hold, uint32_t at, struct node *node)
{
	for (; at > 1 && hold->heap[at / 2]->deadline_ns > node->deadline_ns; at /= 2)
		place(hold, at, hold->heap[at / 2]);
	place(hold, at, node);
}

static void sift_down(struct hold *hold, uint32_t at, struct node *node)
{
	uint32_t child;

	for (; (child = at * 2) <= hold->heap_n; at = child) {
		if (child < hold->heap_n &&
		    hold->heap[child + 1]->deadline_ns < hold->heap[child]->deadline_ns)
			child++;
		if (hold->heap[child]->deadline_ns >= node->deadline_ns)
			break;
		place(hold, at, hold->heap[child]);
	}
	place(hold, at, node);
}

static void heap_remove(struct hold *hold, struct node *node)
{
	uint32_t at = node->heap_at;
	struct node *last;

	if (!at)
		return;
	node->heap_at = 0;
	last = hold->heap[hold->heap_n--];
	if (last == node)
		return;
	if (at > 1 && hold->heap[at / 2]->deadline_ns > last->deadline_ns)
		sift_up(hold, at, last);
	else
		sift_down(hold, at, last);
}

/* False: no memory; the node then waits for news, or for the bound. */
static bool heap_add(struct hold *hold, struct node *node)
{
	if (hold->heap_n == hold->heap_cap) {
		struct node **more =
			realloc(hold->heap, (2 * (size_t)hold->heap_cap + 1) * sizeof(*more));

		if (!more)
			return false;
		hold->heap = more;
		hold->heap_cap *= 2;
	}
	sift_up(hold, ++hold->heap_n, node);
	return true;
}

static void stop_waiting(struct hold *hold, struct node *node)
{
	heap_remove(hold, node);
	if (!node->wait_at)
		return;
	*node->wait_at = node->wait_next;
	if (node->wait_next)
		node->wait_next->wait_at = node->wait_at;
	node->wait_at = NULL;
	node->wait_next = NULL;
}

void hold__add(struct hold *hold, struct node *node)
{
	node->held = true;
	node->held_next = NULL;
	node->held_prev = hold->last;
	*(hold->last ? &hold->last->held_next : &hold->first) = node;
	hold->last = node;
	hold->n++;
	hold->bytes += node_bytes(node);
}

void hold__remove(struct hold *hold, struct node *node)
{
	stop_waiting(hold, node);
	if (!node->held)
		return;
	node->held = false;
	*(node->held_prev ? &node->held_prev->held_next : &hold->first) = node->held_next;
	*(node->held_next ? &node->held_next->held_prev : &hold->last) = node->held_prev;
	hold->n--;
	hold->bytes -= node_bytes(node);
}

struct node *hold__excess(const struct hold *hold)
{
	return hold->n > hold->max || hold->bytes > hold->bytes_max ? hold->first : NULL;
}

void hold__wait(struct hold *hold, struct node *node, struct node **list, uint64_t deadline_ns)
{
	stop_waiting(hold, node);
	if (deadline_ns) {
		node->deadline_ns = deadline_ns;
		heap_add(hold, node);
	}
	if (!list)
		return;
	node->wait_next = *list;
	node->wait_at = list;
	if (*list)
		(*list)->wait_at = &node->wait_next;
	*list = node;
}

void hold__wake_one(struct hold *hold, struct node *node)
{
	stop_waiting(hold, node);
	if (node->ready)
		return;
	/* While it is in the queue nothing may free it. */
	node__get(node);
	node->ready = true;
	node->ready_next = NULL;
	*hold->ready_last = node;
	hold->ready_last = &node->ready_next;
}

void hold__wake(struct hold *hold, struct node **list)
{
	while (*list)
		hold__wake_one(hold, *list);
}

struct node *hold__ready(struct hold *hold)
{
	struct node *node = hold->ready;

	if (!node)
		return NULL;
	hold->ready = node->ready_next;
	if (!hold->ready)
		hold->ready_last = &hold->ready;
	node->ready = false;
	return node;
}

void hold__expire(struct hold *hold, uint64_t now_ns)
{
	while (hold->heap_n && hold->heap[1]->deadline_ns <= now_ns)
		hold__wake_one(hold, hold->heap[1]);
}

uint64_t hold__next_deadline(const struct hold *hold)
{
	return hold->heap_n ? hold->heap[1]->deadline_ns : 0;
}
