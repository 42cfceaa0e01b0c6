/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tracer that only notes what it is told, for tests of what is before it: its functions stand in
 * for those of user/core/tracer.c. Beside sim.h.
 */
#ifndef SONDE_TESTS_SIM_TRACER_H
#define SONDE_TESTS_SIM_TRACER_H

#include "sim.h"

#include "core/exchange_pool.h"
#include "core/proto/proto.h"
#include "core/tracer.h"

#define SIM_ENDED 4096

/* What of an ended exchange the tests look at. */
struct sim_ended {
	char method[40], target[256], traceparent[64];
	enum exchange_side side;
	uint32_t flags, index, turn, tid, tgid;
	uint16_t status;
	uint64_t start_ns, request_end_ns, response_ns, end_ns, request_bytes, response_bytes;
	const char *error_type;
	struct edge edge;
	unsigned int n_fields;
	char body[256];
	size_t body_len;
	uint16_t rpc_status;
	uint32_t request_messages, response_messages;
	size_t head_bytes; /* of text that is kept for it */
};

static struct sim_ended sim_ended[SIM_ENDED];
static uint32_t sim_n_ended, sim_n_request, sim_n_abandoned, sim_n_gone, sim_n_process, sim_n_flush,
	sim_n_resent;
static bool sim_promise; /* other spans refer to what is abandoned */
static struct account *sim_account;

/* ---- the tracer ---- */

struct tracer {
	int unused;
};

struct tracer *tracer__new(const struct engine_config *config, const struct engine_out *out,
			   struct account *account)
{
	sim_account = account;
	sim_n_ended = sim_n_request = sim_n_abandoned = sim_n_gone = sim_n_process = sim_n_flush =
		0;
	return calloc(1, sizeof(struct tracer));
}

void tracer__free(struct tracer *tracer)
{
	free(tracer);
}

void tracer__request(struct tracer *tracer, struct exchange *ex)
{
	assert_null(ex->link);
	assert_non_null(ex->proto);
	/* of a stream it may have been said before anybody looked */
	assert_true(ex->method.len > 0 || ex->edge.stream);
	ex->link = tracer;
	sim_n_request++;
}

void tracer__learned(struct tracer *tracer, struct exchange *ex)
{
	assert_true(!ex->link || ex->link == tracer);
}

static void sim_copy(char *to, size_t size, struct view v)
{
	size_t n = v.len < size - 1 ? v.len : size - 1;

	if (n)
		memcpy(to, v.at, n);
	to[n] = 0;
}

void tracer__end(struct tracer *tracer, struct exchange *ex)
{
	struct sim_ended *e = &sim_ended[sim_n_ended++ % SIM_ENDED];

	assert_ptr_equal(ex->link, tracer);
	memset(e, 0, sizeof(*e));
	sim_copy(e->method, sizeof(e->method), ex->method);
	sim_copy(e->target, sizeof(e->target), ex->target);
	sim_copy(e->traceparent, sizeof(e->traceparent),
		 ex->proto->header(ex, VIEW("traceparent"), 0));
	e->side = ex->side;
	e->flags = ex->flags;
	e->index = ex->index;
	e->turn = ex->turn.turn;
	e->tid = ex->tid;
	e->tgid = ex->process.tgid;
	e->status = ex->status;
	e->start_ns = ex->start_ns;
	e->request_end_ns = ex->request_end_ns;
	e->response_ns = ex->response_ns;
	e->end_ns = ex->end_ns;
	e->request_bytes = ex->request_body_bytes;
	e->response_bytes = ex->response_body_bytes;
	e->error_type = ex->error_type;
	e->edge = ex->edge;
	e->n_fields = ex->fields.n;
	e->rpc_status = ex->rpc_status;
	e->request_messages = ex->request_messages;
	e->response_messages = ex->response_messages;
	e->head_bytes = ex->text.len + ex->response_text.len;
	e->body_len = ex->body.len;
	if (ex->body.len)
		memcpy(e->body, ex->body.at, ex->body.len < 256 ? ex->body.len : 256);
	sim_account->trace.ex_spans++;
	exchange__free(ex);
}

bool tracer__abandon(struct tracer *tracer, struct exchange *ex)
{
	assert_ptr_equal(ex->link, tracer);
	sim_n_abandoned++;
	if (sim_promise)
		sim_account->trace.ex_spans++;
	return sim_promise;
}

void tracer__shed(struct tracer *tracer, const struct shed *shed)
{
}

void tracer__resend_definitions(struct tracer *tracer)
{
	sim_n_resent++;
}

void tracer__process(struct tracer *tracer, const struct message_process *process,
		     const void *attributes, size_t len)
{
	sim_n_process++;
}

void tracer__process_gone(struct tracer *tracer, struct process_key key)
{
	sim_n_gone++;
}

void tracer__clock(struct tracer *tracer, const struct message_clock *clock)
{
}

void tracer__flush(struct tracer *tracer)
{
	sim_n_flush++;
}

uint64_t tracer__next_timer(const struct tracer *tracer)
{
	return 0;
}

static struct sim_ended *sim_ended_at(uint32_t i)
{
	if (i >= sim_n_ended)
		fail_msg("%u exchanges ended, not %u", sim_n_ended, i + 1);
	return &sim_ended[i];
}

#endif
