// SPDX-License-Identifier: Apache-2.0
#include "core/link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/link_passing.h"
#include "core/link_thread.h"

int links__init(struct links *links, const struct engine_config *config,
		struct process_table *processes, struct account_trace *account)
{
	*links = (struct links){ .config = config, .processes = processes, .account = account };
	if (map__init(&links->by_edge) || map__init(&links->by_thread) ||
	    map__init(&links->passing)) {
		links__release(links);
		return -ENOMEM;
	}
	return 0;
}

static struct node *drop_late(struct links *links)
{
	struct node *node = links->late[links->late_from];

	links->late_from = (links->late_from + 1) % LINK_LATE_MAX;
	links->n_late--;
	map__remove(&links->by_edge, &node->by_edge);
	return node;
}

void links__release(struct links *links)
{
	while (links->n_late)
		node__put(links, drop_late(links));
	passing__release(links);
	map__release(&links->by_edge);
	map__release(&links->by_thread);
	map__release(&links->passing);
	links__free_idle(links);
}

void links__expire(struct links *links)
{
	while (links->n_late &&
	       links->now_ns - links->late[links->late_from]->ended_ns > LINK_LATE_NS)
		node__put(links, drop_late(links));
	passing__expire(links);
}

/* A client whose server's record may still come, though it has ended itself. */
static void keep_late(struct links *links, struct node *node)
{
	if (links->n_late == LINK_LATE_MAX)
		node__put(links, drop_late(links));
	links->late[(links->late_from + links->n_late++) % LINK_LATE_MAX] = node;
	node__get(node);
}

static bool same_key(const struct span_key *a, const struct span_key *b)
{
	return a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

/* No key: what collides waits longer or less long. */
static uint32_t peer_of(const struct process *process, const struct endpoints *ends)
{
	uint64_t words[2];

	memcpy(words, ends->remote, sizeof(words));
	return (uint32_t)((words[0] ^ words[1] * 3 ^ process->resource) * 0x9e3779b97f4a7c15ull >>
			  32);
}

static struct link_peer *peer_entry(struct links *links, const struct node *server)
{
	struct link_peer *entry = &links->peers[server->peer % LINK_PEERS_MAX];

	if (entry->peer != server->peer)
		*entry = (struct link_peer){ .peer = server->peer };
	return entry;
}

static void note_alone(struct links *links, const struct node *server)
{
	struct link_peer *entry = peer_entry(links, server);

	/* what has waited since before says nothing of what comes */
	if (server->seen_ns > entry->met_ns && entry->alone < LINK_ALONE_ENOUGH)
		entry->alone++;
}

static void note_met(struct links *links, const struct node *server)
{
	struct link_peer *entry = peer_entry(links, server);

	entry->alone = 0;
	entry->met_ns = links->now_ns;
}

uint64_t links__edge_until(const struct links *links, const struct node *node)
{
	uint32_t i = node->peer % LINK_PEERS_MAX;
	bool alone =
		links->peers[i].peer == node->peer && links->peers[i].alone == LINK_ALONE_ENOUGH;

	return node->seen_ns + (alone ? 0 : LINK_EDGE_WAIT_NS);
}

/* The other end of the node's edge. */
static struct node *find_edge(struct links *links, const struct node *node, enum exchange_side side)
{
	struct map_link *link = map__first(&links->by_edge, node->place);

	for (; link; link = map__next(link)) {
		struct node *n = map_entry(link, struct node, by_edge);

		if (n->side == side && same_key(&n->key, &node->key))
			return n;
	}
	return NULL;
}

static void settle_parent(struct node *node, struct node *parent, enum link_method method)
{
	node->parent = parent;
	node->parent_id = 0;
	node->method = method;
	node->parent_state = PARENT_SETTLED;
	node__get(parent);
}

/* The header's parent, or none. */
static void settle_alone(struct node *node)
{
	node->parent_id = node->has_header ? node->header_parent : 0;
	node->method = node->has_header ? LINK_HEADER : LINK_NONE;
	node->parent_state = PARENT_SETTLED;
}

/*
 * The two ends of one request have met. They carry the same bytes, but one head may have been
 * captured less well than the other: where both have a trace and they differ, the header wins over
 * the edge, as a parent in another trace is none.
 */
static void meet(struct links *links, struct node *client, struct node *server)
{
	struct trace *theirs = node__trace(client, NULL);

	map__remove(&links->by_edge, &server->by_edge);
	note_met(links, server);
	client->edge_matched = server->edge_matched = true;
	/* written before they were read; only a hook that fires after the call can say otherwise */
	if (client->start_ns > server->start_ns)
		client->start_ns = server->start_ns;
	if (theirs && server->trace && memcmp(theirs->id, server->trace->id, sizeof(theirs->id))) {
		settle_alone(server);
		return;
	}
	if (!theirs && server->trace)
		node__adopt(client, server->trace);
	settle_parent(server, client, LINK_EDGE);
	server->parent_remote = true;
	if (server->has_header || client->has_header)
		return;
	server->met = client;
	client->met = server;
	node__get(client);
}

static void request_server(struct links *links, struct node *node)
{
	struct node *client;

	thread__opened(links, node);
	if (node->has_header)
		passing__read(links, node);
	node->parent_remote = node->has_header;
	if (!node->edge_known) {
		settle_alone(node);
		return;
	}
	node->peer = peer_of(node->process, &node->ex->endpoints);
	client = find_edge(links, node, SIDE_CLIENT);
	if (client && !client->edge_matched) {
		meet(links, client, node);
		return;
	}
	node->parent_state = PARENT_EDGE;
	map__add(&links->by_edge, &node->by_edge, node->place);
}

/* Header and thread were asked independently: how often do they agree? */
static void compare(struct links *links, bool agree)
{
	if (agree)
		links->account->links_agree++;
	else
		links->account->links_disagree++;
}

/*
 * The process passes on a header that it has read. If only one open request came with it, that is
 * the one; among several the thread may decide; else the header's own parent stays the parent.
 */
static void pass_on(struct links *links, struct node *node, const struct passing *passing)
{
	struct node *opinion = node->candidate;

	node->passes_on = true;
	settle_alone(node);
	if (passing->open && passing->node) {
		if (opinion)
			compare(links, opinion == passing->node);
		node->ambiguous = false;
		settle_parent(node, passing->node, LINK_HEADER);
	} else if (passing->open && opinion && opinion->passing == passing) {
		node->parent_state = PARENT_THREAD;
		return;
	} else {
		node->ambiguous = passing->open > 0;
	}
	node->candidate = NULL;
	if (opinion)
		node__put(links, opinion);
}

/*
 * A header that the program made, in a request that came without one: the trace in which the
 * program's own span of that request is, if it makes one.
 */
static void begin_own(struct links *links, struct node *node)
{
	struct node *request = node->candidate;

	if (!request)
		return;
	if (!node->telemetry && !request->has_header) {
		if (!request->has_own_trace)
			memcpy(request->own_trace, node->header_trace, sizeof(request->own_trace));
		request->has_own_trace = true;
		return;
	}
	node->candidate = NULL;
	node__put(links, request);
}

static void request_client(struct links *links, struct node *node, struct node **ret_other)
{
	const struct passing *passing;

	node->ambiguous = !thread__candidate(links, node);
	passing = node->has_header ? passing__find(links, node) : NULL;
	if (passing) {
		pass_on(links, node, passing);
	} else if (node->has_header) {
		/* Made by the program: its own span, or a caller's that came another way. */
		node->ambiguous = false;
		if (node->candidate && node->candidate->trace)
			compare(links, !memcmp(node->candidate->trace->id, node->header_trace,
					       sizeof(node->header_trace)));
		node->linked_by = node->method;
		settle_alone(node);
		begin_own(links, node);
	} else if (node->candidate) {
		node->parent_state = PARENT_THREAD;
	} else {
		settle_alone(node);
	}
	if (!node->edge_known)
		return;
	*ret_other = find_edge(links, node, SIDE_SERVER);
	if (*ret_other)
		meet(links, node, *ret_other);
	map__add(&links->by_edge, &node->by_edge, node->place);
}

static void read_header(struct links *links, struct node *node, const struct exchange *ex)
{
	struct propagated header;

	if (!propagate__extract(ex, &header))
		return;
	node->trace = trace__new(links, &header, NULL);
	if (!node->trace)
		return;
	node->has_header = true;
	memcpy(node->header_trace, header.trace_id, sizeof(node->header_trace));
	node->header_parent = ids__get64(header.parent_id);
}

struct node *links__request(struct links *links, struct process *process, struct exchange *ex,
			    struct node **ret_other)
{
	struct node *node = node__new(links);
	struct span_ids ids;

	*ret_other = NULL;
	if (!node)
		return NULL;
	node->process = process;
	process->refs++;
	node->ex = ex;
	node->side = ex->side;
	node->telemetry = ex->flags & EX_EXPORT;
	node->tid = ex->tid;
	node->turn = ex->turn;
	node->start_ns = ex->start_ns;
	node->seen_ns = links->now_ns;
	ids__key(links->config, ex, &node->key);
	ids__of(links->config->fleet_key, ex->side == SIDE_SERVER ? 's' : 'c', &node->key, &ids);
	node->id = ids.span;
	node->edge_id = ids.edge;
	memcpy(node->root_trace, ids.trace, sizeof(node->root_trace));
	node->peer_port = ex->endpoints.remote_port;
	node->edge_known = ex->edge.known;
	if (node->edge_known)
		node->place = ids__place(links->config->fleet_key, &node->key);
	read_header(links, node, ex);
	if (node->side == SIDE_SERVER)
		request_server(links, node);
	else
		request_client(links, node, ret_other);
	return node;
}

void links__learned(struct links *links, struct node *node, const struct exchange *ex,
		    struct node **ret_other)
{
	struct span_ids ids;

	*ret_other = NULL;
	if (node->side != SIDE_CLIENT || node->edge_known || !ex->edge.known)
		return;
	ids__key(links->config, ex, &node->key);
	ids__of(links->config->fleet_key, 'c', &node->key, &ids);
	/* nobody can know it by its first id: it has no child but by its edge */
	node->id = ids.span;
	node->edge_id = ids.edge;
	node->edge_known = true;
	node->place = ids__place(links->config->fleet_key, &node->key);
	node->peer_port = ex->endpoints.remote_port;
	*ret_other = find_edge(links, node, SIDE_SERVER);
	if (*ret_other)
		meet(links, node, *ret_other);
	map__add(&links->by_edge, &node->by_edge, node->place);
}

void links__end(struct links *links, struct node *node, bool cut)
{
	if (node->side == SIDE_SERVER) {
		passing__closed(node);
		thread__closed(links, node);
		return;
	}
	if (!node->edge_known)
		return;
	/*
	 * A server reads a request before it answers, so whoever got an answer has been met by now;
	 * one that gave up may be met later.
	 */
	if (cut && !node->edge_matched)
		keep_late(links, node);
	else
		map__remove(&links->by_edge, &node->by_edge);
}

/* A parent in another trace is none; one in no trace yet takes the node's. */
static bool same_tree(struct node *node, struct node *parent)
{
	struct trace *theirs = node__trace(parent, NULL);

	if (!node->trace)
		return true;
	if (!theirs)
		node__adopt(parent, node->trace);
	return !theirs || !memcmp(theirs->id, node->trace->id, sizeof(theirs->id));
}

static bool settle_edge(struct links *links, struct node *node, bool force,
			uint64_t *ret_deadline_ns)
{
	uint64_t until_ns = links__edge_until(links, node);

	if (!force && links->now_ns < until_ns) {
		*ret_deadline_ns = until_ns;
		return false;
	}
	if (!force)
		note_alone(links, node);
	map__remove(&links->by_edge, &node->by_edge);
	settle_alone(node);
	return true;
}

bool links__settle(struct links *links, struct node *node, bool force, struct node **ret_on,
		   uint64_t *ret_deadline_ns)
{
	struct node *candidate = node->candidate;
	int verdict;

	*ret_on = NULL;
	*ret_deadline_ns = 0;
	switch (node->parent_state) {
	case PARENT_SETTLED:
		return true;
	case PARENT_EDGE:
		return settle_edge(links, node, force, ret_deadline_ns);
	case PARENT_THREAD:
		break;
	}
	verdict = thread__weigh(links, node, force);
	if (verdict > 0 && !same_tree(node, candidate))
		verdict = -1;
	if (!verdict) {
		*ret_on = node->state == NODE_ENDED ? candidate : NULL;
		return false;
	}
	if (verdict > 0) {
		enum link_method method = node->method;

		settle_parent(node, candidate, method);
	} else {
		settle_alone(node);
		node->ambiguous = true;
	}
	node->candidate = NULL;
	node__put(links, candidate);
	return true;
}
