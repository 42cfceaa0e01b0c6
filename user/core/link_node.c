// SPDX-License-Identifier: Apache-2.0
#include "core/link.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/sampler.h"

/*
 * So many are kept for later, or as many as are in use, as those that wait for the same time come
 * back together; and of each not more than so much content.
 */
#define IDLE_MAX 1024
#define IDLE_CONTENT_BYTES 1024

struct node *node__new(struct links *links)
{
	struct node *node = links->idle_nodes;

	if (node) {
		links->idle_nodes = node->ready_next;
		links->n_idle_nodes--;
		memset(node, 0, offsetof(struct node, turn));
	} else {
		node = calloc(1, sizeof(*node));
		if (!node)
			return NULL;
	}
	node->refs = 1;
	links->n_nodes++;
	return node;
}

static void free_node(struct links *links, struct node *node)
{
	links->n_nodes--;
	if (links->n_idle_nodes >= IDLE_MAX && links->n_idle_nodes >= links->n_nodes) {
		buf__free(&node->content);
		free(node);
		return;
	}
	if (node->content.cap > IDLE_CONTENT_BYTES)
		buf__free(&node->content);
	buf__clear(&node->content);
	node->ready_next = links->idle_nodes;
	links->idle_nodes = node;
	links->n_idle_nodes++;
}

void links__free_idle(struct links *links)
{
	struct trace *trace;
	struct node *node;

	while ((node = links->idle_nodes)) {
		links->idle_nodes = node->ready_next;
		buf__free(&node->content);
		free(node);
	}
	while ((trace = links->idle_traces)) {
		links->idle_traces = trace->next;
		free(trace);
	}
	links->n_idle_nodes = links->n_idle_traces = 0;
}

void node__get(struct node *node)
{
	node->refs++;
}

void trace__put(struct links *links, struct trace *trace)
{
	if (!trace || --trace->refs)
		return;
	/* Those without a tracestate are all of one size. */
	links->n_traces--;
	if (trace->tracestate_len ||
	    (links->n_idle_traces >= IDLE_MAX && links->n_idle_traces >= links->n_traces)) {
		free(trace);
		return;
	}
	trace->next = links->idle_traces;
	links->idle_traces = trace;
	links->n_idle_traces++;
}

static struct trace *get_trace(struct links *links, size_t tracestate_len)
{
	struct trace *trace = links->idle_traces;

	if (tracestate_len || !trace)
		return malloc(sizeof(*trace) + tracestate_len);
	links->idle_traces = trace->next;
	links->n_idle_traces--;
	return trace;
}

struct trace *trace__new(struct links *links, const struct propagated *header,
			 const uint8_t root[16])
{
	const struct engine_config *config = links->config;
	struct sampled sampled;
	struct trace *trace;
	uint8_t id[16];

	memcpy(id, header ? header->trace_id : root, sizeof(id));
	sampler__decide(config, id, header, &sampled);
	trace = get_trace(links, sampled.tracestate_len);
	if (!trace)
		return NULL;
	memcpy(trace->id, id, sizeof(id));
	trace->sampled = sampled.sampled;
	trace->shed = sampled.shed;
	trace->flags = (uint8_t)((header ? header->flags & W3C_RANDOM : W3C_RANDOM) |
				 (sampled.sampled ? W3C_SAMPLED : 0));
	trace->refs = 1;
	links->n_traces++;
	trace->tracestate_len = sampled.tracestate_len;
	memcpy(trace->tracestate, sampled.tracestate, sampled.tracestate_len);
	return trace;
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
		struct node *n = stack, *held[3] = { n->parent, n->candidate };

		stack = n->ready_next;
		map__remove(&links->by_edge, &n->by_edge);
		map__remove(&links->by_thread, &n->by_thread);
		forget_waiters(n);
		/* A client whose server still knows of it is not freed. */
		if (n->met) {
			held[2] = n->met;
			n->met->met = NULL;
		}
		for (int i = 0; i < 3; i++)
			if (held[i] && !--held[i]->refs) {
				held[i]->ready_next = stack;
				stack = held[i];
			}
		trace__put(links, n->trace);
		process__put(links->processes, n->process);
		free_node(links, n);
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
	trace->refs++;
}

void node__part(struct links *links, struct node *node)
{
	struct node *other = node->met, *client = node->side == SIDE_CLIENT ? node : other;

	if (!other)
		return;
	node->met = NULL;
	other->met = NULL;
	node__put(links, client);
}

void node__cover(struct links *links, struct node *node, const uint8_t trace_id[16],
		 uint64_t span_id)
{
	struct node *client = node->met;
	struct propagated own = { .flags = W3C_SAMPLED }; /* it was exported */
	struct trace *trace;

	node->covered_by = span_id;
	if (node->has_header || node->side != SIDE_SERVER)
		return;
	memcpy(own.trace_id, trace_id, sizeof(own.trace_id));
	trace = trace__new(links, &own, NULL);
	if (trace) {
		trace__put(links, node->trace);
		node->trace = trace;
	}
	if (!client)
		return;
	memcpy(client->linked_trace, trace_id, sizeof(client->linked_trace));
	client->linked_span = span_id;
	client->linked_by = LINK_EXPORT;
}
