// SPDX-License-Identifier: Apache-2.0
#include "core/link_thread.h"

/* Pids and resource numbers are nobody's to choose: any mixing does. */
static uint64_t hash_thread(const struct process *process, uint32_t tid)
{
	return ((uint64_t)process->resource << 32 | tid) * 0x9e3779b97f4a7c15ull >> 16;
}

static struct node *first_open(const struct links *links, const struct process *process,
			       uint32_t tid, struct map_link **at)
{
	struct map_link *link =
		*at ? map__next(*at) : map__first(&links->by_thread, hash_thread(process, tid));

	for (; link; link = map__next(link)) {
		struct node *n = map_entry(link, struct node, by_thread);

		if (n->process == process && n->tid == tid) {
			*at = link;
			return n;
		}
	}
	return NULL;
}

void thread__opened(struct links *links, struct node *server)
{
	struct process *p = server->process;
	struct map_link *at = NULL;

	if (first_open(links, p, server->tid, &at))
		p->multiplexes = true;
	if (!p->served_tid)
		p->served_tid = server->tid;
	else if (p->served_tid != server->tid)
		p->many_threads = true;
	p->open++;
	map__add(&links->by_thread, &server->by_thread, hash_thread(p, server->tid));
}

void thread__closed(struct links *links, struct node *server)
{
	struct process *p = server->process;

	if (!server->by_thread.at)
		return;
	map__remove(&links->by_thread, &server->by_thread);
	p->open--;
	if (!server->response_tid)
		return;
	if (server->response_tid == server->tid)
		p->stayed++;
	else
		p->hopped++;
}

/* Open requests on the thread, counted up to 2; *ret_named: the one of this turn. */
static unsigned int open_on_thread(const struct links *links, const struct node *client,
				   const struct sonde_turn_ref *turn, struct node **ret_named)
{
	struct map_link *at = NULL;
	unsigned int n = 0;
	struct node *open;

	*ret_named = NULL;
	while ((open = first_open(links, client->process, client->tid, &at))) {
		n++;
		if (open->turn.conn == turn->conn && open->turn.turn == turn->turn)
			*ret_named = open;
	}
	return n;
}

/* The connection was opened for this very call: its first request. */
static bool first_use(const struct exchange *ex)
{
	return ex->edge.known ? ex->edge.offset == 0 : ex->turn.turn <= 1;
}

bool thread__candidate(struct links *links, struct node *client)
{
	static const enum link_method methods[SONDE_EV_KINDS] = {
		[SONDE_EV_WRITE] = LINK_THREAD,
		[SONDE_EV_CONNECT] = LINK_THREAD_CONNECT,
	};
	const struct process *p = client->process;
	struct node *found = NULL;

	client->candidates = p->open;
	if (!p->open)
		return true;
	/* Evidence is of the moment at which the turn began: of its first request. */
	if (client->ex->index)
		return false;
	for (int kind = 0; kind < SONDE_EV_KINDS; kind++) {
		const struct sonde_turn_ref *turn = &client->ex->evidence.at[kind];
		struct node *named;

		if (!turn->conn || (kind == SONDE_EV_CONNECT && !first_use(client->ex)))
			continue;
		if (turn->tid != client->tid || open_on_thread(links, client, turn, &named) != 1 ||
		    !named || (found && found != named))
			return false;
		if (!found)
			client->method = methods[kind];
		found = named;
	}
	if (!found || found->ex->flags & EX_NOT_ALONE)
		return false;
	/* An event loop in several threads may hand a request's calls to another loop. */
	if (p->multiplexes && p->many_threads && p->open > 1)
		return false;
	client->candidate = found;
	node__get(found);
	return true;
}

static bool runtime_keeps_thread(enum runtime runtime)
{
	switch (runtime) {
	case RUNTIME_NATIVE:
	case RUNTIME_NODE:
	case RUNTIME_PYTHON:
	case RUNTIME_JAVA:
	case RUNTIME_RUBY:
	case RUNTIME_PHP:
	case RUNTIME_PERL:
		return true;
	case RUNTIME_UNKNOWN:
	case RUNTIME_GO:
	case RUNTIME_DOTNET:
	case RUNTIME_RUST:
	case RUNTIME_BEAM:
		break;
	}
	return false;
}

bool thread__is_request(const struct process *process)
{
	return process->known && runtime_keeps_thread(process->runtime) && !process->hopped;
}

int thread__weigh(const struct links *links, const struct node *client, bool force)
{
	const struct process *p = client->process;
	const struct node *request = client->candidate;
	int unsure = force ? -1 : 0;

	if (!p->known)
		return links->now_ns < p->asked_ns + PROCESS_WAIT_NS ? unsure : -1;
	if (!thread__is_request(p))
		return -1;
	if (request->ex && request->ex->flags & EX_NOT_ALONE)
		return -1;
	if (client->state == NODE_OPEN)
		return unsure;
	if (client->start_ns < request->start_ns)
		return -1;
	if (request->state == NODE_OPEN)
		return p->stayed >= LINK_STAYED_ENOUGH || force ? 1 : 0;
	if (client->end_ns > request->end_ns)
		return -1;
	return !request->response_tid || request->response_tid == request->tid ? 1 : -1;
}
