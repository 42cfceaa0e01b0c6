// SPDX-License-Identifier: Apache-2.0
#include "core/sdk_cover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "core/link_thread.h"

int sdk_cover__init(struct sdk_cover *cover, const struct engine_config *config)
{
	*cover = (struct sdk_cover){ .config = config };
	if (map__init(&cover->nodes) || map__init(&cover->known) ||
	    map__init(&cover->known_ports)) {
		sdk_cover__release(cover);
		return -ENOMEM;
	}
	return 0;
}

void sdk_cover__release(struct sdk_cover *cover)
{
	map__release(&cover->nodes);
	map__release(&cover->known);
	map__release(&cover->known_ports);
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

/*
 * The trace and the id by which a node's own exported span would be known; the trace no_trace: the
 * id is the peer's port. False: there are none.
 */
static const uint8_t no_trace[16];

static bool proof_of(const struct node *node, const uint8_t **ret_trace, uint64_t *ret_id)
{
	if (node->has_header && !node->passes_on) {
		*ret_trace = node->header_trace;
		*ret_id = node->header_parent;
		return true;
	}
	if (node->side == SIDE_CLIENT || node->has_header)
		return false;
	if (node->has_own_trace && thread__is_request(node->process)) {
		*ret_trace = node->own_trace;
		*ret_id = 0;
		return true;
	}
	*ret_trace = no_trace;
	*ret_id = node->peer_port;
	return node->peer_port != 0;
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

static bool covers(const struct sdk_span *span, uint32_t resource, const struct node *node)
{
	uint64_t id = node->side == SIDE_CLIENT ? span->span_id : span->parent_id;
	const uint8_t *trace_id;
	uint64_t node_id;

	if (span->kind != node->side || resource != node->process->resource ||
	    !proof_of(node, &trace_id, &node_id) || !overlaps(node, span))
		return false;
	if (trace_id == no_trace)
		return !span->parent_id && span->peer_port == node_id;
	return id == node_id && !memcmp(span->trace_id, trace_id, 16);
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

const struct sdk_span *sdk_cover__ended(struct sdk_cover *cover, struct node *node, uint64_t now_ns)
{
	struct sdk_known *best = NULL;
	const uint8_t *trace_id;
	struct map_link *link;
	bool by_port;
	uint64_t id;

	if (!cover->n || !proof_of(node, &trace_id, &id))
		return NULL;
	by_port = trace_id == no_trace;
	link = map__first(by_port ? &cover->known_ports : &cover->known,
			  hash_proof(cover, node->process->resource, (uint8_t)node->side, trace_id,
				     id));
	for (; link; link = map__next(link)) {
		struct sdk_known *k = by_port ? map_entry(link, struct sdk_known, by_port) :
						map_entry(link, struct sdk_known, by_proof);

		if (!k->used && now_ns - k->seen_ns <= SDK_COVER_NS &&
		    covers(&k->span, k->resource, node) &&
		    (!best || distance(node, &k->span) < distance(node, &best->span)))
			best = k;
	}
	if (!best)
		return NULL;
	best->used = true;
	return &best->span;
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
	map__remove(&cover->known_ports, &cover->ring[cover->from].by_port);
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
	sdk_covered_fn *covered;
	void *arg;
};

/* The hash under which nodes that only their port tells wait for this span; false: none can. */
static bool hash_port(const struct learning *l, const struct sdk_span *span, uint64_t *ret)
{
	if (span->kind != SIDE_SERVER || span->parent_id || !span->peer_port)
		return false;
	*ret = hash_proof(l->cover, l->process->resource, span->kind, no_trace, span->peer_port);
	return true;
}

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
	if (hash_port(l, span, &hash))
		map__add(&cover->known_ports, &k->by_port, hash);
}

static struct node *nearest(const struct learning *l, const struct sdk_span *span, uint64_t hash)
{
	struct map_link *link = map__first(&l->cover->nodes, hash);
	struct node *best = NULL;

	for (; link; link = map__next(link)) {
		struct node *node = map_entry(link, struct node, by_proof);

		if (covers(span, l->process->resource, node) &&
		    (!best || distance(node, span) < distance(best, span)))
			best = node;
	}
	return best;
}

static void on_span(void *arg, const struct sdk_span *span)
{
	struct learning *l = arg;
	uint64_t hash, port_hash;
	struct node *best;

	if (span->kind != SIDE_SERVER && span->kind != SIDE_CLIENT)
		return;
	hash = hash_proof(l->cover, l->process->resource, span->kind, span->trace_id,
			  span->kind == SIDE_CLIENT ? span->span_id : span->parent_id);
	best = nearest(l, span, hash);
	if (!best && hash_port(l, span, &port_hash))
		best = nearest(l, span, port_hash);
	if (best)
		l->covered(l->arg, best, span);
	else
		remember(l, span, hash);
}

bool sdk_cover__export(struct sdk_cover *cover, struct process *process, const struct exchange *ex,
		       uint64_t now_ns, sdk_covered_fn *covered, void *arg)
{
	struct learning learning = { cover, process, now_ns, covered, arg };

	/* One that was not taken will be sent again, or is lost to the program itself. */
	if (ex->status < 200 || ex->status > 299)
		return true;
	if (ex->side == SIDE_SERVER) {
		process->relay = true;
		return true;
	}
	if (process->relay)
		return true;
	if (sdk__decode(ex, on_span, &learning))
		process->exports++;
	return sdk__readable(ex);
}
