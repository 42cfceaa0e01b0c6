// SPDX-License-Identifier: Apache-2.0
#include "core/hold.h"

void hold__init(struct hold *hold, const struct engine_config *config)
{
	*hold = (struct hold){
		.max = config->held_max ? config->held_max : HELD_MAX_DEFAULT,
		.bytes_max =
			config->held_bytes_max ? config->held_bytes_max : HELD_BYTES_MAX_DEFAULT,
	};
	hold->ready_last = &hold->ready;
}

static size_t node_bytes(const struct node *node)
{
	return sizeof(*node) + node->content.cap;
}

static void stop_waiting(struct hold *hold, struct node *node)
{
	wheel__clear(&hold->wheel, &node->timer);
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

void hold__wait(struct hold *hold, struct node *node, struct node **list, uint64_t now_ns,
		uint64_t deadline_ns)
{
	stop_waiting(hold, node);
	wheel__set_at(&hold->wheel, &node->timer, now_ns, deadline_ns);
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
	struct wheel_timer *timer;

	while ((timer = wheel__expired(&hold->wheel, now_ns)))
		hold__wake_one(hold, map_entry(timer, struct node, timer));
}

uint64_t hold__next_deadline(const struct hold *hold)
{
	return hold->wheel.next_ns;
}
