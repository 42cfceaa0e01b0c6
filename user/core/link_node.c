// SPDX-License-Identifier: Apache-2.0
#include "core/link.h"

#include <stdlib.h>
#include <string.h>

#include "core/link_thread.h"
#include "core/sampler.h"

void node__get(struct node *node)
{
	node->refs++;
}

void trace__put(struct trace *trace)
{
	if (trace && !--trace->refs)
		free(trace);
}

struct trace *trace__new(const struct engine_config *config, const struct propagated *header,
			 const struct span_key *root)
{
	struct sampled sampled;
	struct trace *trace;
	uint8_t id[16];

	if (header)
		memcpy(id, header->trace_id, sizeof(id));
	else
		ids__trace(config->fleet_key, root, id);
	sampler__decide(config, id, header, &sampled);
	trace = malloc(sizeof(*trace) + sampled.tracestate_len);
	if (!trace)
		return NULL;
	memcpy(trace->id, id, sizeof(id));
	trace->sampled = sampled.sampled;
	trace->flags = (uint8_t)((header ? header->flags & W3C_RANDOM : W3C_RANDOM) |
				 (sampled.sampled ? W3C_SAMPLED : 0));
	trace->refs = 1;
	trace->tracestate_len = sampled.tracestate_len;
	memcpy(trace->tracestate, sampled.tracestate, sampled.tracestate_len);
	return trace;
}

static void drop_suggestion(struct links *links, struct node *node)
{
	if (!node->suggested)
		return;
	trace__put(node->suggested);
	process__put(links->processes, node->suggested_by);
	node->suggested = NULL;
	node->suggested_by = NULL;
}

/* They wait for their deadlines alone. */
static void forget_waiters(struct node *node)
{
	struct node *next;

	for (struct node *w = node->waiters; w; w = next) {
		next = w->wait_next;
		w->wait_at = NULL;
		w->wait_next = NULL;
	}
	node->waiters = NULL;
}

/* Nodes hold their parents; a chain is let go link by link, without recursion. */
void node__put(struct links *links, struct node *node)
{
	struct node *stack = node;

	if (!node || --node->refs)
		return;
	/* ready_next is free to chain what is to be freed: nobody else knows these nodes. */
	stack->ready_next = NULL;
	while (stack) {
		struct node *n = stack, *held[2] = { n->parent, n->candidate };

		stack = n->ready_next;
		map__remove(&links->by_edge, &n->by_edge);
		map__remove(&links->by_thread, &n->by_thread);
		forget_waiters(n);
		for (int i = 0; i < 2; i++)
			if (held[i] && !--held[i]->refs) {
				held[i]->ready_next = stack;
				stack = held[i];
			}
		trace__put(n->trace);
		drop_suggestion(links, n);
		process__put(links->processes, n->process);
		free(n->content);
		free(n);
	}
}

struct trace *node__trace(struct node *node, struct node **ret_top)
{
	while (!node->trace && node->parent)
		node = node->parent;
	if (ret_top)
		*ret_top = node;
	return node->trace;
}

void node__adopt(struct node *node, struct trace *trace)
{
	struct node *top;

	if (node__trace(node, &top))
		return;
	top->trace = trace;
	top->adopted = true;
	trace->refs++;
}

void node__suggest(struct node *node, struct trace *trace, struct process *by)
{
	struct node *top;

	if (node__trace(node, &top) || top->suggested)
		return;
	top->suggested = trace;
	top->suggested_by = by;
	trace->refs++;
	by->refs++;
}

void node__suggested(struct links *links, struct node *top)
{
	if (!top->suggested || !top->suggested_by->known)
		return;
	if (!top->trace && thread__is_request(top->suggested_by))
		node__adopt(top, top->suggested);
	drop_suggestion(links, top);
}

void node__move_suggestion(struct links *links, struct node *from, struct node *to)
{
	if (!from->suggested)
		return;
	node__suggest(to, from->suggested, from->suggested_by);
	drop_suggestion(links, from);
}
