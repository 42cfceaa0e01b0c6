// SPDX-License-Identifier: Apache-2.0
/* Frames: the resource and the scope when the reader does not have them yet, then the span. */
#include <errno.h>
#include <string.h>

#include "base/siphash.h"
#include "core/frame.h"
#include "core/otlp.h"
#include "core/tracer_impl.h"

#define GOLDEN 0x9e3779b97f4a7c15ull /* 2^64 by the golden ratio: mixes what comes before it */

bool tracer__count_span(struct tracer *tracer, const uint8_t trace_id[16], bool anyway)
{
	/*
	 * No key: who could make two traces meet here could as well send spans with the id of either.
	 */
	uint64_t hash = ((ids__get64(trace_id) ^ ids__get64(trace_id + 8)) * GOLDEN) | 1;
	struct trace_count *set = tracer->counts[hash >> 32 & (TRACE_CAP_SETS - 1)];
	struct trace_count *at = &set[0];

	for (int i = 0; i < TRACE_CAP_WAYS; i++) {
		if (set[i].hash == hash) {
			at = &set[i];
			break;
		}
		if (set[i].used < at->used)
			at = &set[i];
	}
	if (at->hash != hash)
		*at = (struct trace_count){ .hash = hash };
	at->used = ++tracer->counts_used;
	if (at->spans >= TRACE_SPANS_MAX && !anyway)
		return false;
	at->spans++;
	return true;
}

int tracer__prepare_emit(struct tracer *tracer)
{
	for (int i = 0; i < LINK_METHODS; i++) {
		struct buf *said = &tracer->link_said[i];

		if (i == LINK_NONE)
			continue;
		otlp__span_string(said, ATTR_SONDE_LINK_METHOD, view_of(link_method_name[i]));
		otlp__span_int(said, ATTR_SONDE_LINK_CONFIDENCE, link_method_confidence[i]);
		if (said->err)
			return said->err;
	}
	otlp__span_string(&tracer->edge_said, ATTR_SONDE_EDGE_ID, VIEW("0000000000000000"));
	return tracer->edge_said.err;
}

static bool hand_over(struct tracer *tracer)
{
	return !tracer->frame.err &&
	       !tracer->out.frame(tracer->out.arg, tracer->frame.at, tracer->frame.len);
}

static bool send(struct tracer *tracer, enum frame_type type, const void *head, size_t head_len,
		 const struct buf *tail)
{
	buf__clear(&tracer->frame);
	frame__add(&tracer->frame, type, head, head_len, tail->at, tail->len);
	return hand_over(tracer);
}

static bool send_resource(struct tracer *tracer, struct process *p)
{
	uint32_t head[2];

	if (!p->revision)
		process__encode_unknown(&tracer->processes, p);
	if (p->sent_revision == p->revision && p->sent_generation == tracer->processes.generation)
		return true;
	head[0] = p->resource;
	head[1] = p->revision;
	if (!send(tracer, FRAME_RESOURCE, head, sizeof(head), &p->encoded))
		return false;
	p->sent_revision = p->revision;
	p->sent_generation = tracer->processes.generation;
	return true;
}

static bool send_scope(struct tracer *tracer)
{
	uint32_t head = TRACER_SCOPE;

	if (tracer->scope_generation == tracer->processes.generation)
		return true;
	buf__clear(&tracer->body);
	otlp__scope(&tracer->body, VIEW(SCOPE_NAME), VIEW(SONDE_VERSION));
	if (!send(tracer, FRAME_SCOPE, &head, sizeof(head), &tracer->body))
		return false;
	tracer->scope_generation = tracer->processes.generation;
	return true;
}

/*
 * Of a span, in the order in which they stand: writers that take where to write and return where to go on.
 * encode_span() has asked for the room.
 */
static uint8_t *put(uint8_t *at, const void *bytes, size_t n)
{
	if (n)
		memcpy(at, bytes, n);
	return at + n;
}

/* What few spans have is appended to the buffer by itself. */
#define RARE_MAX_BYTES 256
static void end(struct buf *out, const uint8_t *at)
{
	out->len = (size_t)(at - out->at);
}

static uint8_t *put_doubt(struct buf *out, const uint8_t *at, const struct node *node)
{
	end(out, at);
	otlp__span_bool(out, ATTR_SONDE_LINK_AMBIGUOUS, true);
	otlp__span_int(out, ATTR_SONDE_LINK_CANDIDATES, node->candidates);
	return out->at + out->len;
}

static uint8_t *put_link(struct buf *out, const uint8_t *at, const struct node *node)
{
	uint8_t id[8];

	end(out, at);
	ids__put64(id, node->linked_span);
	otlp__span_link(out, node->linked_trace, id, ATTR_SONDE_LINK_METHOD,
			view_of(link_method_name[node->linked_by]));
	return out->at + out->len;
}

/* What no agent could link, a backend may join. Unix sockets do not leave the machine. */
static uint8_t *put_edge(const struct buf *said, uint8_t *at, const struct node *node)
{
	uint8_t id[8];

	if (!node->edge_known || node->edge_matched || !ids__is_tcp(&node->key))
		return at;
	at = put(at, said->at, said->len);
	ids__put64(id, node->edge_id);
	ids__hex((char *)at - 2 * sizeof(id), id, sizeof(id));
	return at;
}

static void encode_span(struct tracer *tracer, const struct node *node, const struct trace *trace,
			const struct frame_span *frame)
{
	struct otlp_place place = {
		.trace_state = { trace->tracestate, trace->tracestate_len },
	};
	const struct buf *said = &tracer->link_said[node->method], *content = &node->content;
	struct buf *out = &tracer->frame;
	uint32_t flags = trace->flags;
	uint8_t *at =
		buf__reserve(out, OTLP_AROUND_MAX_BYTES + trace->tracestate_len + content->len +
					  said->len + RARE_MAX_BYTES + tracer->edge_said.len);

	if (!at)
		return;
	memcpy(place.trace_id, frame->trace_id, sizeof(place.trace_id));
	memcpy(place.span_id, frame->span_id, sizeof(place.span_id));
	memcpy(place.parent_id, frame->parent_id, sizeof(place.parent_id));
	if (node->parent || node->parent_id)
		flags |= OTLP_FLAG_HAS_IS_REMOTE | (node->parent_remote ? OTLP_FLAG_IS_REMOTE : 0);
	at = otlp__place(at, &place);
	at = put(at, content->at, content->len);
	at = put(at, said->at, said->len);
	if (node->ambiguous)
		at = put_doubt(out, at, node);
	at = put_edge(&tracer->edge_said, at, node);
	/* Within one trace the tree says it. */
	if (node->linked_span && memcmp(node->linked_trace, trace->id, sizeof(trace->id)))
		at = put_link(out, at, node);
	end(out, otlp__flags(at, flags));
}

/* A process has few operations, and mostly one after the other. */
static uint64_t operation(const struct tracer *tracer, const struct node *node)
{
	uint8_t bytes[PROCESS_SERVICE_MAX_BYTES + 9];
	struct process *p = node->process;
	struct view service = process__service(p);

	if (p->operation.revision == p->revision && p->operation.name == node->operation &&
	    p->operation.side == node->side)
		return p->operation.hash;
	memcpy(bytes, &node->operation, 8);
	bytes[8] = (uint8_t)node->side;
	memcpy(bytes + 9, service.at, service.len);
	p->operation.hash = siphash24(tracer->config.fleet_key, bytes, 9 + service.len);
	p->operation.name = node->operation;
	p->operation.side = (uint8_t)node->side;
	p->operation.revision = p->revision;
	return p->operation.hash;
}

static void count_link(struct account_trace *account, const struct node *node)
{
	switch (node->method) {
	case LINK_HEADER:
		account->links_header++;
		break;
	case LINK_EDGE:
		account->links_edge++;
		break;
	case LINK_THREAD:
	case LINK_THREAD_CONNECT:
		account->links_thread++;
		break;
	default:
		if (node->ambiguous)
			account->links_ambiguous++;
		else
			account->links_none++;
	}
}

int tracer__emit(struct tracer *tracer, struct node *node, struct trace *trace, bool again)
{
	struct frame_span frame = {
		.start_ns = node->start_ns + (uint64_t)node->epoch_offset_ns,
		.duration_ns = node->end_ns - node->start_ns,
		.resource = node->process->resource,
		.scope = TRACER_SCOPE,
		.kind = (uint8_t)node->side,
		.status = node->status,
		.flags = trace->flags,
		.sampled = trace->sampled,
		.link_method = (uint8_t)node->method,
		.confidence = link_method_confidence[node->method],
	};
	uint64_t parent = node->parent ? node->parent->id : node->parent_id;
	/* A span whose resource or scope the reader lacks would mean nothing to it. */
	bool defined = send_resource(tracer, node->process) && send_scope(tracer);
	size_t start;
	bool taken;

	memcpy(frame.trace_id, trace->id, sizeof(frame.trace_id));
	ids__put64(frame.span_id, node->id);
	if (parent)
		ids__put64(frame.parent_id, parent);
	frame.operation = operation(tracer, node);
	buf__clear(&tracer->frame);
	start = frame__begin(&tracer->frame, FRAME_SPAN);
	buf__add(&tracer->frame, &frame, sizeof(frame));
	if (trace->sampled)
		encode_span(tracer, node, trace, &frame);
	frame__end(&tracer->frame, start);
	if (tracer->frame.err)
		return tracer->frame.err;
	taken = defined && hand_over(tracer);
	if (!taken && again)
		return -EAGAIN;
	count_link(tracer->account, node);
	tracer->account->ex_spans++;
	if (!trace->sampled)
		tracer->account->spans_unsampled++;
	tracer->account->shed_sampling += trace->shed;
	if (!taken)
		tracer->account->frames_refused++;
	return 0;
}
