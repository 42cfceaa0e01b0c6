// SPDX-License-Identifier: Apache-2.0
/* An ended exchange becomes the settled part of its span: all but its place in the trace. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "core/endpoints.h"
#include "core/otlp.h"
#include "core/proto/proto.h"
#include "core/proto/tls.h"
#include "core/said.h"
#include "core/tracer_impl.h"

#define STATUS_ERROR 2 /* OTLP StatusCode */

int64_t tracer__epoch_offset(const struct tracer *tracer, uint64_t boot_ns)
{
	uint32_t last = tracer->n_clocks ? tracer->n_clocks - 1 : 0;
	const struct clock_sample *s;

	/* The latest first, as it is asked of just now; where all are later, the oldest is the nearest. */
	for (;; last--) {
		s = &tracer->clocks[(tracer->clocks_from + last) % TRACER_CLOCKS];
		if (!last || s->now_ns <= boot_ns)
			return s->epoch_offset_ns;
	}
}

static bool has(const struct span *span, enum attribute_key key)
{
	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (span->attributes[i].key == key)
			return true;
	return false;
}

static void describe_flags(const struct exchange *ex, struct span *span)
{
	static const struct {
		uint32_t flag;
		enum attribute_key key;
	} told[] = {
		{ EX_CUT, ATTR_SONDE_INCOMPLETE },
		{ EX_AMBIGUOUS, ATTR_SONDE_FRAMING_AMBIGUOUS },
		{ EX_HEAD_PARTIAL, ATTR_SONDE_HEAD_TRUNCATED },
		{ EX_UPGRADED, ATTR_SONDE_UPGRADED },
		{ EX_EARLY, ATTR_SONDE_EARLY_RESPONSE },
		{ EX_MID, ATTR_SONDE_JOINED },
	};

	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
		if (ex->flags & told[i].flag && !has(span, told[i].key))
			span__set_bool(span, told[i].key, true);
	if (ex->error_type && !has(span, ATTR_ERROR_TYPE))
		span__set_string(span, ATTR_ERROR_TYPE, view_of(ex->error_type));
	if (!(ex->flags & EX_CUT))
		return;
	if (!has(span, ATTR_ERROR_TYPE))
		span__set_string(span, ATTR_ERROR_TYPE, view_of(error_type_name[ERROR_OTHER]));
	span->status = STATUS_ERROR;
}

static void describe_peer(const struct exchange *ex, struct span *span)
{
	struct span_mark before = span__mark(span);

	if (said__again(span, ex, SAID_PEER, NULL, 0))
		return;
	endpoints__describe(&ex->endpoints, span);
	said__keep(span, ex, SAID_PEER, NULL, 0, before);
}

static uint64_t hash_name(struct tracer *tracer, struct view name)
{
	struct name_hash *last = &tracer->name_hash;

	if (last->len && view_eq(name, (struct view){ last->name, last->len }))
		return last->hash;
	last->hash = siphash24(tracer->config.fleet_key, name.at, name.len);
	last->len = name.len <= sizeof(last->name) ? name.len : 0;
	memcpy(last->name, name.at, last->len);
	return last->hash;
}

/* The span as it is told for the first time. */
static int describe_anew(struct tracer *tracer, struct node *node, const struct exchange *ex,
			 uint64_t start_ns, uint64_t end_ns, bool required_only)
{
	const struct describe_options options = {
		.headers = tracer->config.headers,
		.query_values = tracer->config.query_values,
		.known_methods = tracer->config.known_methods,
	};
	struct span *span = &tracer->span;

	span->name = span->status_message = (struct view){ NULL, 0 };
	span->kind = (uint8_t)ex->side;
	span->status = 0;
	span->n_attributes = span->dropped_attributes = 0;
	span->scratch_used = 0;
	/* What was said before holds more than is required. */
	span->said = required_only ? NULL : &tracer->said;
	ex->proto->describe(ex, &options, span);
	if (ex->tls)
		tls__describe(ex->tls, span);
	describe_flags(ex, span);
	if (required_only) {
		span__keep_required(span);
		tracer->account->shed_attributes++;
	} else {
		describe_peer(ex, span);
	}

	/* The encoder asks for more room than it needs: the node keeps no more than there is. */
	buf__clear(&tracer->body);
	otlp__content(&tracer->body, span, start_ns, end_ns);
	buf__add(&node->content, tracer->body.at, tracer->body.len);
	if (tracer->body.err || node->content.err)
		return tracer->body.err ?: node->content.err;
	node->status = span->status;
	/* Half of the operation's hash: the service's name may come later. */
	node->operation = hash_name(tracer, span->name);
	return 0;
}

int tracer__describe(struct tracer *tracer, struct node *node, const struct exchange *ex)
{
	const bool required_only = tracer->config.shed.level >= SHED_ATTRIBUTES;
	/* With --headers a span tells of the response's head and of bodies too. */
	const bool may_repeat = !required_only && !tracer->config.headers;
	uint64_t start_ns = node->start_ns + (uint64_t)node->epoch_offset_ns;
	uint64_t end_ns = start_ns + (node->end_ns - node->start_ns);
	const struct said_whole *said = may_repeat ? said__whole(&tracer->said, ex) : NULL;
	int err;

	if (!said) {
		err = describe_anew(tracer, node, ex, start_ns, end_ns, required_only);
		if (!err && may_repeat)
			said__keep_whole(&tracer->said, ex,
					 (struct view){ (const char *)node->content.at,
							node->content.len },
					 node->status, node->operation);
		return err;
	}
	buf__add(&node->content, said->content, said->len);
	if (node->content.err)
		return node->content.err;
	otlp__set_times(node->content.at, start_ns, end_ns);
	node->status = said->status;
	node->operation = said->operation;
	return 0;
}
