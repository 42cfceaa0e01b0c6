/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tracer with everything real around it but the connections: exchanges are made by hand, frames
 * are kept and can be asked for by what they say.
 */
#ifndef SONDE_TEST_TRACER_RIG_H
#define SONDE_TEST_TRACER_RIG_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exchange_pool.h"
#include "core/frame.h"
#include "core/ids.h"
#include "core/link.h"
#include "core/otlp_view.h"
#include "core/proto/proto.h"
#include "core/tracer.h"

#define RIG_SPANS_MAX 60000
#define RIG_MS 1000000ull
#define RIG_S (1000 * RIG_MS)
#define RIG_EPOCH 1700000000000000000ll
#define RIG_UNUSED __attribute__((unused))

struct rig_span {
	struct frame_span frame;
	struct view message; /* in the rig's own memory */
};

struct rig {
	struct engine_config config;
	struct account account;
	struct exchange_pool *pool;
	struct tracer *tracer;
	struct rig_span *spans;
	unsigned int n_spans, n_resources, n_scopes, asked;
	char service[4096][40]; /* by resource n */
	uint32_t asked_tgid;
	bool refuse; /* the reader's pipe is full */
	uint64_t now;
	uint64_t next_conn;
};

static int rig_frame(void *arg, const void *bytes, size_t len)
{
	struct rig *rig = arg;
	struct frame_header header;
	const uint8_t *body;
	struct otlp_value value;
	struct view message;
	uint32_t n;

	if (rig->refuse)
		return -1;
	assert_int_equal(frame__next(bytes, len, &header, &body), (long)len);
	switch (header.type) {
	case FRAME_RESOURCE:
		rig->n_resources++;
		memcpy(&n, body, 4);
		assert_true(n < 4096);
		message = (struct view){ (const char *)body + 8, header.length - 8 };
		assert_true(otlp_attributes__find(message, OTLP_RESOURCE_ATTRIBUTES,
						  VIEW("service.name"), &value));
		snprintf(rig->service[n], sizeof(rig->service[n]), "%.*s", (int)value.bytes.len,
			 value.bytes.at);
		break;
	case FRAME_SCOPE:
		rig->n_scopes++;
		break;
	case FRAME_SPAN: {
		struct rig_span *span = &rig->spans[rig->n_spans++];
		char *copy = malloc(header.length);

		assert_true(rig->n_spans < RIG_SPANS_MAX);
		memcpy(copy, body, header.length);
		memcpy(&span->frame, copy, sizeof(span->frame));
		span->message = (struct view){ copy + sizeof(span->frame),
					       header.length - sizeof(span->frame) };
		/* What it needs is there already. */
		assert_true(rig->service[span->frame.resource][0]);
		assert_true(rig->n_scopes > 0);
		break;
	}
	default:
		fail();
	}
	return 0;
}

static void rig_want_process(void *arg, uint32_t tgid, uint64_t start_ns)
{
	struct rig *rig = arg;

	rig->asked++;
	rig->asked_tgid = tgid;
}

static RIG_UNUSED void rig_clock(struct rig *rig, uint64_t ms)
{
	struct message_clock clock;

	rig->now += ms * RIG_MS;
	clock = (struct message_clock){ rig->now, RIG_EPOCH };
	tracer__clock(rig->tracer, &clock);
}

static RIG_UNUSED void rig_start(struct rig *rig)
{
	struct engine_out out = { .arg = rig,
				  .frame = rig_frame,
				  .want_process = rig_want_process };

	memcpy(rig->config.fleet_key, "0123456789abcdef", 16);
	rig->config.query_values = true;
	rig->now = 1000 * RIG_S;
	rig->next_conn = 1;
	rig->spans = calloc(RIG_SPANS_MAX, sizeof(*rig->spans));
	rig->pool = exchange_pool__new(65536);
	rig->tracer = tracer__new(&rig->config, &out, &rig->account);
	assert_non_null(rig->tracer);
	rig_clock(rig, 0);
}

static RIG_UNUSED void rig_stop(struct rig *rig)
{
	tracer__free(rig->tracer);
	exchange_pool__free(rig->pool);
	for (unsigned int i = 0; i < rig->n_spans; i++)
		free((char *)rig->spans[i].message.at - sizeof(struct frame_span));
	free(rig->spans);
	memset(rig, 0, sizeof(*rig));
}

/* Its name is its service.name. */
static RIG_UNUSED void rig_process(struct rig *rig, uint32_t tgid, const char *name,
				   enum runtime runtime, uint16_t flags)
{
	struct message_process m = { .tgid = tgid,
				     .tgid_start_ns = tgid,
				     .runtime = (uint16_t)runtime,
				     .flags = flags,
				     .attributes = 1 };
	uint8_t bytes[128] = { 0 };
	uint16_t key = 12, value = (uint16_t)strlen(name);

	memcpy(bytes, &key, 2);
	memcpy(bytes + 2, &value, 2);
	memcpy(bytes + 8, "service.name", key);
	memcpy(bytes + 8 + key, name, value);
	tracer__process(rig->tracer, &m, bytes, 8u + key + value);
}

/* A call over one connection: two ends, each of which may be out of sight. */
struct rig_call {
	uint32_t client, client_tid, server, server_tid; /* pids; tids of 0: the pid */
	const struct rig_call *in_hand; /* whose server end the caller had in hand; NULL: none */
	const char *traceparent, *tracestate, *target, *method;
	const char *body, *content_type;
	size_t body_len;
	uint16_t status;
	bool reused; /* not the first request of its connection */
	bool unix_pair, no_edge;
	uint32_t flags;
	uint64_t client_conn, server_conn;
	struct exchange *c, *s;
};

static void rig_field(struct exchange *ex, const char *name, const char *value)
{
	struct header_field field = { view_of(name), view_of(value) };

	if (value)
		assert_int_equal(header_fields__add(&ex->fields, field), 0);
}

static struct exchange *rig_exchange(struct rig *rig, struct rig_call *call,
				     enum exchange_side side)
{
	struct exchange *ex = exchange_pool__get(rig->pool);
	uint32_t tgid = side == SIDE_SERVER ? call->server : call->client;
	uint32_t tid = side == SIDE_SERVER ? call->server_tid : call->client_tid;

	assert_non_null(ex);
	if (!call->client_conn) {
		call->client_conn = rig->next_conn++;
		call->server_conn = rig->next_conn++;
	}
	ex->proto = &proto_http1;
	ex->side = side;
	ex->flags = call->flags;
	ex->process = (struct process_key){ tgid, tgid };
	ex->tid = tid ? tid : tgid;
	ex->turn = (struct sonde_turn_ref){ side == SIDE_SERVER ? call->server_conn :
								  call->client_conn,
					    call->reused ? 3 : 1, ex->tid };
	ex->edge = (struct edge){ .known = !call->no_edge,
				  .unix_pair = call->unix_pair,
				  .client_base = (uint32_t)call->client_conn * 77,
				  .server_base = (uint32_t)call->client_conn * 131,
				  .pair = { call->client_conn, 5 },
				  .offset = call->reused ? 400 : 0 };
	ex->endpoints = (struct endpoints){ .family = SONDE_AF_INET,
					    .remote_port = 8080,
					    .remote = { 127, 0, 0, 1 } };
	ex->start_ns = rig->now;
	ex->method = view_of(call->method ? call->method : "GET");
	ex->target = view_of(call->target ? call->target : "/");
	ex->version = VIEW("1.1");
	rig_field(ex, "Host", "localhost:8080");
	rig_field(ex, "TraceParent", call->traceparent);
	rig_field(ex, "tracestate", call->tracestate);
	rig_field(ex, "Content-Type", call->content_type);
	if (call->body)
		buf__add(&ex->body, call->body, call->body_len);
	return ex;
}

/* The client writes its request. */
static RIG_UNUSED void rig_write(struct rig *rig, struct rig_call *call)
{
	struct sonde_turn_ref in_hand = { 0 };

	call->c = rig_exchange(rig, call, SIDE_CLIENT);
	if (call->in_hand)
		in_hand = (struct sonde_turn_ref){ call->in_hand->server_conn,
						   call->in_hand->reused ? 3 : 1,
						   call->in_hand->server_tid ?
							   call->in_hand->server_tid :
							   call->in_hand->server };
	call->c->evidence.at[SONDE_EV_WRITE] = in_hand;
	if (!call->reused)
		call->c->evidence.at[SONDE_EV_CONNECT] = in_hand;
	tracer__request(rig->tracer, call->c);
}

/* The server reads it. */
static RIG_UNUSED void rig_read(struct rig *rig, struct rig_call *call)
{
	call->s = rig_exchange(rig, call, SIDE_SERVER);
	tracer__request(rig->tracer, call->s);
}

static void rig_end(struct rig *rig, struct rig_call *call, struct exchange **ex)
{
	(*ex)->status = call->status ? call->status : 200;
	(*ex)->flags |= EX_RESPONSE;
	(*ex)->response_ns = (*ex)->end_ns = rig->now;
	if (!(*ex)->response_tid)
		(*ex)->response_tid = (*ex)->tid;
	tracer__end(rig->tracer, *ex);
	*ex = NULL;
}

/* The server has written its whole response; the client has read it. */
static RIG_UNUSED void rig_answer(struct rig *rig, struct rig_call *call)
{
	rig_end(rig, call, &call->s);
}

static RIG_UNUSED void rig_done(struct rig *rig, struct rig_call *call)
{
	rig_end(rig, call, &call->c);
}

static RIG_UNUSED void rig_ask(struct rig *rig, struct rig_call *call)
{
	rig_write(rig, call);
	rig_read(rig, call);
}

static RIG_UNUSED void rig_tell(struct rig *rig, struct rig_call *call)
{
	rig_answer(rig, call);
	rig_done(rig, call);
}

static RIG_UNUSED struct rig_span *rig_find(struct rig *rig, const uint8_t id[8])
{
	for (unsigned int i = 0; i < rig->n_spans; i++)
		if (!memcmp(rig->spans[i].frame.span_id, id, 8))
			return &rig->spans[i];
	return NULL;
}

/* The nth span (from 0) of that service and kind, in the order in which they came. */
static RIG_UNUSED struct rig_span *rig_span(struct rig *rig, const char *service, int kind,
					    unsigned int nth)
{
	for (unsigned int i = 0; i < rig->n_spans; i++) {
		struct rig_span *s = &rig->spans[i];

		if (s->frame.kind == kind && !strcmp(rig->service[s->frame.resource], service) &&
		    !nth--)
			return s;
	}
	print_error("no span of %s, kind %d, among %u\n", service, kind, rig->n_spans);
	fail();
	return NULL;
}

static RIG_UNUSED bool rig_has(const struct rig_span *span, const char *key)
{
	struct otlp_value value;

	return otlp_attributes__find(span->message, OTLP_SPAN_ATTRIBUTES, view_of(key), &value);
}

static RIG_UNUSED void rig_check_text(const struct rig_span *span, const char *key,
				      const char *text)
{
	struct otlp_value value;

	assert_true(
		otlp_attributes__find(span->message, OTLP_SPAN_ATTRIBUTES, view_of(key), &value));
	assert_int_equal(value.type, OTLP_STRING);
	assert_int_equal(value.bytes.len, strlen(text));
	assert_memory_equal(value.bytes.at, text, strlen(text));
}

static RIG_UNUSED bool rig_is_root(const struct rig_span *span)
{
	static const uint8_t none[8];

	return !memcmp(span->frame.parent_id, none, 8);
}

static RIG_UNUSED void rig_check_child(const struct rig_span *child, const struct rig_span *parent)
{
	assert_memory_equal(child->frame.parent_id, parent->frame.span_id, 8);
	assert_memory_equal(child->frame.trace_id, parent->frame.trace_id, 16);
}

/* Span links, too, name spans that came out, of the trace that they say; or `outside`. */
static RIG_UNUSED void rig_check_links(struct rig *rig, const struct rig_span *span,
				       bool (*outside)(const uint8_t id[8]))
{
	struct pb pb = pb__of(span->message);
	struct pb_field link, trace, id;
	struct rig_span *there;

	while (pb__next(&pb, &link) > 0) {
		struct pb fields;

		if (link.number != 13)
			continue;
		fields = pb__of(link.bytes);
		assert_int_equal(pb__next(&fields, &trace), 1);
		assert_int_equal(pb__next(&fields, &id), 1);
		assert_int_equal(trace.bytes.len, 16);
		assert_int_equal(id.bytes.len, 8);
		assert_memory_not_equal(trace.bytes.at, span->frame.trace_id, 16);
		there = rig_find(rig, (const uint8_t *)id.bytes.at);
		if (there)
			assert_memory_equal(there->frame.trace_id, trace.bytes.at, 16);
		else
			assert_true(outside && outside((const uint8_t *)id.bytes.at));
	}
}

/*
 * What must hold of any output: every parent that is not `outside` (an id that a header brought)
 * is a span that came out, of the same trace; frames and encoded spans say the same.
 */
static RIG_UNUSED void rig_check_whole(struct rig *rig, bool (*outside)(const uint8_t id[8]))
{
	for (unsigned int i = 0; i < rig->n_spans; i++) {
		struct rig_span *s = &rig->spans[i];
		struct rig_span *parent = rig_find(rig, s->frame.parent_id);
		struct otlp_span_view view;

		if (s->frame.sampled) {
			assert_int_equal(otlp_span__read(s->message, &view), 0);
			assert_memory_equal(view.trace_id.at, s->frame.trace_id, 16);
			assert_memory_equal(view.span_id.at, s->frame.span_id, 8);
			assert_int_equal(view.start_ns, s->frame.start_ns);
			assert_int_equal(view.end_ns - view.start_ns, s->frame.duration_ns);
			assert_int_equal(view.parent_id.len, rig_is_root(s) ? 0 : 8);
		} else {
			assert_int_equal(s->message.len, 0);
		}
		rig_check_links(rig, s, outside);
		if (rig_is_root(s))
			continue;
		if (parent)
			assert_memory_equal(parent->frame.trace_id, s->frame.trace_id, 16);
		else if (!outside || !outside(s->frame.parent_id))
			fail_msg("span %u names a parent that did not come out", i);
	}
}

#endif
