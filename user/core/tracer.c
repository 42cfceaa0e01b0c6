// SPDX-License-Identifier: Apache-2.0
#include "core/tracer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/tracer_impl.h"

struct tracer *tracer__new(const struct engine_config *config, const struct engine_out *out,
			   struct account *account)
{
	struct tracer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->config = *config;
	t->out = *out;
	t->account = account ? &account->trace : &t->spare.trace;
	hold__init(&t->hold, &t->config);
	if (process_table__init(&t->processes, &t->config) ||
	    links__init(&t->links, &t->config, &t->processes, t->account) ||
	    sdk_cover__init(&t->cover, &t->config) || tracer__prepare_emit(t)) {
		tracer__free(t);
		return NULL;
	}
	return t;
}

void tracer__free(struct tracer *tracer)
{
	struct node *node;

	if (!tracer)
		return;
	while ((node = hold__ready(&tracer->hold)))
		node__put(&tracer->links, node);
	while ((node = tracer->hold.first)) {
		hold__remove(&tracer->hold, node);
		sdk_cover__remove(&tracer->cover, node);
		node__put(&tracer->links, node);
	}
	links__release(&tracer->links);
	sdk_cover__release(&tracer->cover);
	process_table__release(&tracer->processes);
	buf__free(&tracer->body);
	buf__free(&tracer->frame);
	for (int i = 0; i < LINK_METHODS; i++)
		buf__free(&tracer->link_said[i]);
	buf__free(&tracer->edge_said);
	free(tracer);
}

/* Records may be ahead of the last MSG_CLOCK; time never goes back. */
static void advance(struct tracer *tracer, uint64_t now_ns)
{
	if (now_ns > tracer->links.now_ns)
		tracer->links.now_ns = now_ns;
}

static struct process *get_process(struct tracer *tracer, struct process_key key)
{
	bool is_new;
	struct process *p = process_table__get(&tracer->processes, key, &is_new);

	if (!p)
		return NULL;
	if (p->asked_ns)
		return p;
	p->asked_ns = tracer->links.now_ns ? tracer->links.now_ns : 1;
	if (!p->known && tracer->out.want_process)
		tracer->out.want_process(tracer->out.arg, key.tgid, key.start_ns);
	return p;
}

void tracer__request(struct tracer *tracer, struct exchange *ex)
{
	struct node *node, *other;
	struct process *p;

	advance(tracer, ex->start_ns);
	ex->link = NULL;
	p = get_process(tracer, ex->process);
	if (!p)
		return;
	node = links__request(&tracer->links, p, ex, &other);
	if (!node)
		return;
	node->epoch_offset_ns = tracer__epoch_offset(tracer, ex->start_ns);
	ex->link = node;
	if (!other)
		return;
	hold__wake(&tracer->hold, &other->waiters);
	hold__wake_one(&tracer->hold, other);
	tracer__run(tracer);
}

void tracer__learned(struct tracer *tracer, struct exchange *ex)
{
	struct node *other;

	if (!ex->link)
		return;
	links__learned(&tracer->links, ex->link, ex, &other);
	if (!other)
		return;
	hold__wake(&tracer->hold, &other->waiters);
	hold__wake_one(&tracer->hold, other);
	tracer__run(tracer);
}

/* What the node is when its exchange is over, however it was. */
static void close_node(struct tracer *tracer, struct node *node, const struct exchange *ex,
		       uint64_t end_ns)
{
	node->end_ns = end_ns > node->start_ns ? end_ns : node->start_ns;
	node->ended_ns = tracer->links.now_ns;
	node->response_tid = ex->response_tid;
	node->telemetry |= (ex->flags & EX_EXPORT) != 0;
	links__end(&tracer->links, node, ex->flags & EX_CUT);
	node->ex = NULL;
}

/*
 * Its span is certain, unless the process turns out to export it: it is held until it may go, if it may
 * not at once. The caller's reference goes.
 */
static void settle_node(struct tracer *tracer, struct node *node, const struct exchange *ex)
{
	int err = tracer__describe(tracer, node, ex);

	node->state = NODE_ENDED;
	if (err) {
		tracer__drop(tracer, node, &tracer->account->dropped_bound);
	} else if (!tracer__covered(tracer, node)) {
		hold__wake(&tracer->hold, &node->waiters);
		if (tracer__wait_for_edge(tracer, node))
			return;
		/* Those that are ready already come before it. */
		if (tracer->hold.ready) {
			hold__add(&tracer->hold, node);
			hold__wake_one(&tracer->hold, node);
			return;
		}
		tracer__try(tracer, node, false);
	}
	if (!node->held)
		node__put(&tracer->links, node);
}

static void on_covered(void *arg, struct node *node, const struct sdk_span *span)
{
	tracer__cover(arg, node, span);
}

void tracer__end(struct tracer *tracer, struct exchange *ex)
{
	struct node *node = ex->link;

	advance(tracer, ex->end_ns);
	if (!node) {
		tracer->account->dropped_bound++;
		exchange__free(ex);
		return;
	}
	close_node(tracer, node, ex, ex->end_ns);
	if (node->telemetry) {
		tracer__drop(tracer, node, &tracer->account->filtered_telemetry);
		if (!sdk_cover__export(&tracer->cover, node->process, ex, tracer->links.now_ns,
				       on_covered, tracer))
			tracer->account->exports_unread++;
		node__put(&tracer->links, node);
	} else {
		settle_node(tracer, node, ex);
	}
	ex->link = NULL;
	exchange__free(ex);
	tracer__run(tracer);
}

bool tracer__abandon(struct tracer *tracer, struct exchange *ex)
{
	struct node *node = ex->link;
	bool promised;

	if (!node)
		return false;
	ex->link = NULL;
	promised = node->promised && !node->telemetry;
	if (promised)
		ex->flags |= EX_CUT;
	close_node(tracer, node, ex, tracer->links.now_ns);
	if (promised) {
		settle_node(tracer, node, ex);
	} else {
		tracer__drop(tracer, node, NULL);
		node__put(&tracer->links, node);
	}
	tracer__run(tracer);
	return promised;
}

void tracer__process(struct tracer *tracer, const struct message_process *process,
		     const void *attributes, size_t len)
{
	struct process *p;

	if (process_table__learn(&tracer->processes, process, attributes, len, &p))
		return;
	hold__wake(&tracer->hold, &p->waiters);
	tracer__run(tracer);
}

void tracer__process_gone(struct tracer *tracer, struct process_key key)
{
	struct process *p = process_table__find(&tracer->processes, key);

	if (p)
		process__mark_gone(&tracer->processes, p);
}

/* A change of less than this is the clocks' own drift: the times of a trace should not jitter. */
#define CLOCK_STEP_NS 1000

static void add_clock(struct tracer *tracer, const struct message_clock *clock)
{
	struct clock_sample *last;
	int64_t delta;

	if (tracer->n_clocks) {
		last = &tracer->clocks[(tracer->clocks_from + tracer->n_clocks - 1) %
				       TRACER_CLOCKS];
		delta = (int64_t)((uint64_t)clock->epoch_offset_ns -
				  (uint64_t)last->epoch_offset_ns);
		if (delta > -CLOCK_STEP_NS && delta < CLOCK_STEP_NS)
			return;
	}
	if (tracer->n_clocks == TRACER_CLOCKS) {
		tracer->clocks_from = (tracer->clocks_from + 1) % TRACER_CLOCKS;
		tracer->n_clocks--;
	}
	tracer->clocks[(tracer->clocks_from + tracer->n_clocks++) % TRACER_CLOCKS] =
		(struct clock_sample){ clock->now_ns, clock->epoch_offset_ns };
}

void tracer__clock(struct tracer *tracer, const struct message_clock *clock)
{
	add_clock(tracer, clock);
	advance(tracer, clock->now_ns);
	links__expire(&tracer->links);
	sdk_cover__expire(&tracer->cover, tracer->links.now_ns);
	hold__expire(&tracer->hold, tracer->links.now_ns);
	tracer__run(tracer);
}

void tracer__shed(struct tracer *tracer, const struct shed *shed)
{
	tracer->config.shed = *shed;
}

void tracer__resend_definitions(struct tracer *tracer)
{
	tracer->processes.generation++;
}

void tracer__flush(struct tracer *tracer)
{
	tracer__run(tracer);
	while (tracer->hold.first) {
		tracer__try(tracer, tracer->hold.first, true);
		tracer__run(tracer);
	}
}

uint64_t tracer__next_timer(const struct tracer *tracer)
{
	return hold__next_deadline(&tracer->hold);
}
