// SPDX-License-Identifier: Apache-2.0
#include "core/sdk_cover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"

int sdk_cover__init(struct sdk_cover *cover, const struct engine_config *config)
{
	*cover = (struct sdk_cover){ .config = config };
	if (map__init(&cover->nodes) || map__init(&cover->known)) {
		sdk_cover__release(cover);
		return -ENOMEM;
	}
	return 0;
}

void sdk_cover__release(struct sdk_cover *cover)
{
	map__release(&cover->nodes);
	map__release(&cover->known);
	free(cover->ring);
	cover->ring = NULL;
}

/* id: a client span's own, a server span's parent. */
static uint64_t hash_proof(const struct sdk_cover *cover, uint32_t resource, uint8_t kind,
			   const uint8_t trace_id[16], uint64_t id)
{
	uint8_t bytes[29];

	memcpy(bytes, &resource, 4);
	bytes[4] = kind;
	memcpy(bytes + 5, trace_id, 16);
	memcpy(bytes + 21, &id, 8);
	return siphash24(cover->config->fleet_key, bytes, sizeof(bytes));
}

/* The trace and the id by which a node's own exported span would be known. False: there are none. */
static bool proof_of(struct node *node, const uint8_t **ret_trace, uint64_t *ret_id)
{
	struct node *top;
	struct trace *trace;

	if (node->has_header && !node->passes_on) {
		*ret_trace = node->header_trace;
		*ret_id = node->header_parent;
		return true;
	}
	if (node->side == SIDE_CLIENT || node->has_header)
		return false;
	trace = node__trace(node, &top);
	if (!trace || !top->adopted)
		return false;
	*ret_trace = trace->id;
	*ret_id = 0;
	return true;
}

static bool overlaps(const struct node *node, const struct sdk_span *span)
{
	uint64_t start = node->start_ns + (uint64_t)node->epoch_offset_ns;
	uint64_t end = start + (node->end_ns - node->start_ns);

	return span->start_ns <= end + SDK_COVER_SLACK_NS &&
	       start <= span->end_ns + SDK_COVER_SLACK_NS;
}

/* Several may fit, where many requests bring one and the same header: the nearest start wins. */
static uint64_t distance(const struct node *node, const struct sdk_span *span)
{
	uint64_t start = node->start_ns + (uint64_t)node->epoch_offset_ns;

	return start > span->start_ns ? start - span->start_ns : span->start_ns - start;
}

static bool covers(const struct sdk_span *span, uint32_t resource, struct node *node)
{
	uint64_t id = node->side == SIDE_CLIENT ? span->span_id : span->parent_id;
	const uint8_t *trace_id;
	uint64_t node_id;

	return span->kind == node->side && resource == node->process->resource &&
	       proof_of(node, &trace_id, &node_id) && id == node_id &&
	       !memcmp(span->trace_id, trace_id, 16) && overlaps(node, span);
}

bool sdk_cover__may(const struct sdk_cover *cover, struct node *node, uint64_t now_ns)
{
	struct process *p = node->process;
	const uint8_t *trace_id;
	uint64_t id;

	if (p->relay || !((p->flags & PROCESS_SDK) || p->exports) ||
	    !proof_of(node, &trace_id, &id))
		return false;
	if (!p->first_held_ns)
		p->first_held_ns = now_ns;
	return p->exports || now_ns - p->first_held_ns < SDK_SILENT_NS;
}

bool sdk_cover__ended(struct sdk_cover *cover, struct node *node, uint64_t now_ns)
{
	struct sdk_known *best = NULL;
	const uint8_t *trace_id;
	struct map_link *link;
	uint64_t id;

	if (!cover->n || !proof_of(node, &trace_id, &id))
		return false;
	link = map__first(&cover->known, hash_proof(cover, node->process->resource,
						    (uint8_t)node->side, trace_id, id));
	for (; link; link = map__next(link)) {
		struct sdk_known *k = map_entry(link, struct sdk_known, by_proof);

		if (!k->used && now_ns - k->seen_ns <= SDK_COVER_NS &&
		    covers(&k->span, k->resource, node) &&
		    (!best || distance(node, &k->span) < distance(node, &best->span)))
			best = k;
	}
	if (best)
		best->used = true;
	return best != NULL;
}

void sdk_cover__add(struct sdk_cover *cover, struct node *node)
{
	const uint8_t *trace_id;
	uint64_t id;

	if (node->by_proof.at || !proof_of(node, &trace_id, &id))
		return;
	map__add(&cover->nodes, &node->by_proof,
		 hash_proof(cover, node->process->resource, (uint8_t)node->side, trace_id, id));
}

void sdk_cover__remove(struct sdk_cover *cover, struct node *node)
{
	map__remove(&cover->nodes, &node->by_proof);
}

static void drop_oldest(struct sdk_cover *cover)
{
	map__remove(&cover->known, &cover->ring[cover->from].by_proof);
	cover->from = (cover->from + 1) % SDK_COVER_MAX;
	cover->n--;
}

void sdk_cover__expire(struct sdk_cover *cover, uint64_t now_ns)
{
	while (cover->n && now_ns - cover->ring[cover->from].seen_ns > SDK_COVER_NS)
		drop_oldest(cover);
}

struct learning {
	struct sdk_cover *cover;
	struct process *process;
	uint64_t now_ns;
	void (*covered)(void *arg, struct node *node);
	void *arg;
};

static void remember(struct learning *l, const struct sdk_span *span, uint64_t hash)
{
	struct sdk_cover *cover = l->cover;
	struct sdk_known *k;

	/* Most programs bring none: the memory comes with the first. */
	if (!cover->ring)
		cover->ring = calloc(SDK_COVER_MAX, sizeof(*cover->ring));
	if (!cover->ring)
		return;
	if (cover->n == SDK_COVER_MAX)
		drop_oldest(cover);
	k = &cover->ring[(cover->from + cover->n++) % SDK_COVER_MAX];
	*k = (struct sdk_known){ .span = *span,
				 .resource = l->process->resource,
				 .seen_ns = l->now_ns };
	map__add(&cover->known, &k->by_proof, hash);
}

static void on_span(void *arg, const struct sdk_span *span)
{
	struct learning *l = arg;
	struct node *best = NULL;
	struct map_link *link;
	uint64_t hash;

	if (span->kind != SIDE_SERVER && span->kind != SIDE_CLIENT)
		return;
	hash = hash_proof(l->cover, l->process->resource, span->kind, span->trace_id,
			  span->kind == SIDE_CLIENT ? span->span_id : span->parent_id);
	link = map__first(&l->cover->nodes, hash);
	for (; link; link = map__next(link)) {
		struct node *node = map_entry(link, struct node, by_proof);

		if (covers(span, l->process->resource, node) &&
		    (!best || distance(node, span) < distance(best, span)))
			best = node;
	}
	if (best)
		l->covered(l->arg, best);
	else
		remember(l, span, hash);
}

void sdk_cover__export(struct sdk_cover *cover, struct process *process, const struct exchange *ex,
		       uint64_t now_ns, void (*covered)(void *arg, struct node *node), void *arg)
{
	struct learning learning = { cover, process, now_ns, covered, arg };

	/* One that was not taken will be sent again, or is lost to the program itself. */
	if (ex->status < 200 || ex->status > 299)
		return;
	if (ex->side == SIDE_SERVER) {
		process->relay = true;
		return;
	}
	if (!process->relay && sdk__decode(ex, on_span, &learning))
		process->exports++;
}
