// SPDX-License-Identifier: Apache-2.0
/* What becomes of an ended node: out, filtered, dropped, or on waiting, and for what. */
#include <errno.h>
#include <string.h>

#include "core/link_thread.h"
#include "core/tracer_impl.h"

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* Waits, held, in *list or until deadline_ns (0: none of its own), but never longer than a hold. */
static void wait(struct tracer *tracer, struct node *node, struct node **list, uint64_t deadline_ns)
{
	if (!node->held)
		hold__add(&tracer->hold, node);
	hold__wait(&tracer->hold, node, list, tracer->links.now_ns,
		   earlier(node->ended_ns + HOLD_NS, deadline_ns));
}

/* True: it is known, or it is too late to wait for it. */
static bool identity_done(const struct tracer *tracer, const struct process *p)
{
	return p->known || tracer->links.now_ns >= p->asked_ns + PROCESS_WAIT_NS;
}

static bool opted_out(const struct process *p)
{
	return p->flags & PROCESS_OPT_OUT;
}

/* It may yet turn out that the program exports the same call itself. */
static bool undecided(const struct tracer *tracer, struct node *node)
{
	return !node->promised && sdk_cover__may(&tracer->cover, node, tracer->links.now_ns) &&
	       (node->state == NODE_OPEN || tracer->links.now_ns < node->ended_ns + HOLD_NS);
}

/* Settles `of`, which may be the node itself or one above it; else the node waits. */
static bool settle(struct tracer *tracer, struct node *node, struct node *of, bool force)
{
	uint64_t deadline_ns;
	struct node *on;

	if (of->parent_state == PARENT_SETTLED)
		return true;
	if (links__settle(&tracer->links, of, force, &on, &deadline_ns)) {
		hold__wake(&tracer->hold, &of->waiters);
		if (of != node && of->held)
			hold__wake_one(&tracer->hold, of);
		return true;
	}
	if (of != node)
		on = of;
	wait(tracer, node, on ? &on->waiters : NULL, deadline_ns);
	return false;
}

/* Gives the node its tree's trace (NULL: no memory). False: the way up is not settled yet. */
static bool find_trace(struct tracer *tracer, struct node *node, bool force)
{
	struct node *top = node;

	while (!top->trace) {
		if (!settle(tracer, node, top, force))
			return false;
		/* Where the program tells of it itself, a trace of its own begins here. */
		if (top != node && top->side == SIDE_SERVER && !force && undecided(tracer, top)) {
			wait(tracer, node, &top->waiters, 0);
			return false;
		}
		if (!top->parent)
			break;
		top = top->parent;
	}
	if (!top->trace)
		top->trace = trace__new(&tracer->links, NULL, top->root_trace);
	if (!node->trace && top->trace) {
		node->trace = top->trace;
		node->trace->refs++;
	}
	return true;
}

/*
 * The parent will make no span: the program's own span of the same exchange takes its place, else
 * its own parent.
 */
static void pass_over(struct tracer *tracer, struct node *node)
{
	struct node *parent = node->parent, *up = parent->parent;

	if (parent->covered_by && parent->trace && node->trace &&
	    !memcmp(parent->trace->id, node->trace->id, sizeof(node->trace->id))) {
		node->parent = NULL;
		node->parent_id = parent->covered_by;
		node__put(&tracer->links, parent);
		return;
	}
	if (up)
		node__get(up);
	node->parent = up;
	node->parent_id = parent->parent_id;
	node->parent_remote |= parent->parent_remote;
	if (!up || link_method_confidence[parent->method] < link_method_confidence[node->method])
		node->method = parent->method;
	node__put(&tracer->links, parent);
}

/* True: the parent is one whose span is out or promised, or is none. False: the node waits. */
static bool find_parent(struct tracer *tracer, struct node *node, bool force)
{
	struct node *p;

	while ((p = node->parent)) {
		bool skipped = p->state == NODE_GONE || (p->telemetry && !p->promised);

		if (p->state == NODE_OUT || (p->promised && p->state != NODE_GONE))
			return true;
		if (!skipped && !force && !identity_done(tracer, p->process)) {
			wait(tracer, node, &p->process->waiters,
			     p->process->asked_ns + PROCESS_WAIT_NS);
			return false;
		}
		if (!skipped && !opted_out(p->process)) {
			if (!force && undecided(tracer, p)) {
				wait(tracer, node, &p->waiters, 0);
				return false;
			}
			p->promised = true;
			if (p->held)
				hold__wake_one(&tracer->hold, p);
			return true;
		}
		if (!settle(tracer, node, p, force))
			return false;
		pass_over(tracer, node);
	}
	return true;
}

/* The request will come out, and this made header's call was one of it: the call's span names it. */
static void link_request(struct tracer *tracer, struct node *node, struct node *request)
{
	if (thread__weigh(&tracer->links, node, true) <= 0)
		return;
	if (request->state == NODE_ENDED) {
		if (request->telemetry || opted_out(request->process))
			return;
		find_trace(tracer, request, true);
		if (!request->trace || !request->trace->sampled)
			return;
		request->promised = true;
		hold__wake_one(&tracer->hold, request);
	}
	if (!request->trace->sampled)
		return;
	memcpy(node->linked_trace, request->trace->id, sizeof(node->linked_trace));
	node->linked_span = request->id;
}

/*
 * The span of another trace that this one is to name: the program's own of the request that the
 * call became, or the request that a made header's call belongs to. Only what comes out is named.
 * False: the node waits.
 */
static bool find_link(struct tracer *tracer, struct node *node, bool force)
{
	struct node *request = node->has_header ? node->candidate : NULL;
	struct node *on = NULL;

	if (node->side != SIDE_CLIENT || node->linked_span)
		return true;
	if (node->met && undecided(tracer, node->met))
		on = node->met;
	else if (request && (request->state == NODE_OPEN ||
			     (request->state == NODE_ENDED && undecided(tracer, request))))
		on = request;
	if (on && !force) {
		wait(tracer, node, &on->waiters, 0);
		return false;
	}
	if (request && (request->state == NODE_ENDED || request->state == NODE_OUT))
		link_request(tracer, node, request);
	return true;
}

/* The node lives on only as long as somebody refers to it. */
static void leave(struct tracer *tracer, struct node *node, enum node_state state)
{
	bool held = node->held;

	sdk_cover__remove(&tracer->cover, node);
	hold__remove(&tracer->hold, node);
	node->state = state;
	node__part(&tracer->links, node);
	hold__wake(&tracer->hold, &node->waiters);
	if (held)
		node__put(&tracer->links, node);
}

void tracer__drop(struct tracer *tracer, struct node *node, uint64_t *reason)
{
	if (reason)
		++*reason;
	leave(tracer, node, NODE_GONE);
}

void tracer__cover(struct tracer *tracer, struct node *node, const struct sdk_span *span)
{
	if (node->promised)
		return;
	node__cover(&tracer->links, node, span->trace_id, span->span_id);
	tracer__drop(tracer, node, &tracer->account->filtered_duplicate);
}

bool tracer__covered(struct tracer *tracer, struct node *node)
{
	const struct sdk_span *span;

	span = sdk_cover__ended(&tracer->cover, node, tracer->links.now_ns);
	if (!span || node->promised)
		return false;
	tracer__cover(tracer, node, span);
	return true;
}

/*
 * The program exports or has an SDK (or could not be looked into), but no export that was read tells
 * of this call.
 */
static bool may_be_told_twice(const struct node *node)
{
	const struct process *p = node->process;

	return !p->relay && ((p->flags & PROCESS_SDK) || p->exports);
}

static void go_out(struct tracer *tracer, struct node *node, bool force)
{
	struct node *parent = node->parent;
	struct trace *trace = node->trace;
	int err;

	if (!node->counted && !tracer__count_span(tracer, trace->id, node->promised)) {
		tracer__drop(tracer, node, &tracer->account->dropped_trace_cap);
		return;
	}
	node->counted = true;
	/* What others have named must come; what nobody has may be lost, counted. */
	err = tracer__emit(tracer, node, trace, node->promised && !force);
	if (err == -EAGAIN) {
		wait(tracer, node, NULL, tracer->links.now_ns + TRACER_AGAIN_NS);
		return;
	}
	if (err) {
		tracer__drop(tracer, node, &tracer->account->dropped_bound);
		return;
	}
	if (may_be_told_twice(node))
		tracer->account->links_unproven++;
	/* Its children need its id and its trace, no longer what is above it. */
	node->parent = NULL;
	node__put(&tracer->links, parent);
	leave(tracer, node, NODE_OUT);
}

void tracer__try(struct tracer *tracer, struct node *node, bool force)
{
	struct process *p = node->process;

	if (node->state != NODE_ENDED)
		return;
	force |= tracer->links.now_ns >= node->ended_ns + HOLD_NS;
	if (!force && !identity_done(tracer, p)) {
		wait(tracer, node, &p->waiters, p->asked_ns + PROCESS_WAIT_NS);
		return;
	}
	if (opted_out(p) && !node->promised) {
		tracer__drop(tracer, node, &tracer->account->filtered_opt_out);
		return;
	}
	if (!settle(tracer, node, node, force))
		return;
	if (!force && undecided(tracer, node)) {
		/* What it waited for until now may have hidden a proof that came meanwhile. */
		if (!node->by_proof.at && tracer__covered(tracer, node))
			return;
		sdk_cover__add(&tracer->cover, node);
		wait(tracer, node, NULL, 0);
		return;
	}
	if (!find_trace(tracer, node, force))
		return;
	if (!node->trace) {
		tracer__drop(tracer, node, &tracer->account->dropped_bound);
		return;
	}
	if (find_parent(tracer, node, force) && find_link(tracer, node, force))
		go_out(tracer, node, force);
}

bool tracer__wait_for_edge(struct tracer *tracer, struct node *node)
{
	const struct process *p = node->process;
	uint64_t until_ns = links__edge_until(&tracer->links, node);

	if (node->parent_state != PARENT_EDGE || !p->known || opted_out(p) ||
	    tracer->links.now_ns >= until_ns)
		return false;
	wait(tracer, node, NULL, until_ns);
	return true;
}

void tracer__run(struct tracer *tracer)
{
	struct node *node;

	do {
		while ((node = hold__ready(&tracer->hold))) {
			tracer__try(tracer, node, false);
			node__put(&tracer->links, node);
		}
		node = hold__excess(&tracer->hold);
		if (node) {
			tracer->account->held_early++;
			tracer__try(tracer, node, true);
		}
	} while (node || tracer->hold.ready);
	tracer->account->ex_held = tracer->hold.n;
}
