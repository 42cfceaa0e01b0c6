// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_reply.h"

#include <inttypes.h>

/* google/rpc/code.proto */
enum {
	CODE_OK = 0,
	CODE_INVALID_ARGUMENT = 3,
	CODE_RESOURCE_EXHAUSTED = 8,
	CODE_UNIMPLEMENTED = 12,
	CODE_UNAVAILABLE = 14,
	CODE_UNAUTHENTICATED = 16,
};

static const struct {
	unsigned int status, code;
} replies[] = {
	[RECEIVE_TAKEN] = { 200, CODE_OK },
	[RECEIVE_UNAUTHORIZED] = { 401, CODE_UNAUTHENTICATED },
	[RECEIVE_BAD_HOST] = { 421, CODE_UNAUTHENTICATED },
	[RECEIVE_NO_ADDRESS] = { 404, CODE_UNIMPLEMENTED },
	[RECEIVE_BAD_METHOD] = { 405, CODE_UNIMPLEMENTED },
	[RECEIVE_NO_METHOD] = { 404, CODE_UNIMPLEMENTED },
	[RECEIVE_BAD_TYPE] = { 415, CODE_INVALID_ARGUMENT },
	[RECEIVE_BAD_ENCODING] = { 415, CODE_UNIMPLEMENTED },
	[RECEIVE_BAD_PACKING] = { 400, CODE_INVALID_ARGUMENT },
	[RECEIVE_TOO_LARGE] = { 413, CODE_RESOURCE_EXHAUSTED },
	[RECEIVE_MALFORMED] = { 400, CODE_INVALID_ARGUMENT },
	[RECEIVE_BUSY] = { 503, CODE_UNAVAILABLE },
	[RECEIVE_INCOMPLETE] = { 408, CODE_UNAVAILABLE },
};

unsigned int receive_reply__code(enum receive_refusal refusal)
{
	return replies[refusal].code;
}

static void add_varint(struct buf *out, uint64_t value)
{
	uint8_t byte;

	for (; value >= 0x80; value >>= 7) {
		byte = (uint8_t)(value | 0x80);
		buf__add(out, &byte, 1);
	}
	byte = (uint8_t)value;
	buf__add(out, &byte, 1);
}

/* A number in field 1, a text in field 2: so have both Status and ExportTracePartialSuccess. */
static void add_pair(struct buf *out, uint64_t number, struct view text)
{
	buf__add(out, "\x08", 1);
	add_varint(out, number);
	buf__add(out, "\x12", 1);
	add_varint(out, text.len);
	buf__add_view(out, text);
}

static void add_protobuf(const struct receive_answer *answer, struct buf *out)
{
	struct buf inner = { 0 };

	if (answer->refusal != RECEIVE_TAKEN) {
		add_pair(out, receive_reply__code(answer->refusal), view_of(answer->text));
		return;
	}
	if (!answer->rejected)
		return;
	add_pair(&inner, answer->rejected, view_of(answer->text));
	buf__add(out, "\x0a", 1);
	add_varint(out, inner.len);
	buf__add(out, inner.at, inner.len);
	if (inner.err && !out->err)
		out->err = inner.err;
	buf__free(&inner);
}

/* The texts are ours: nothing in them needs an escape. */
static void add_json(const struct receive_answer *answer, struct buf *out)
{
	if (answer->refusal != RECEIVE_TAKEN)
		buf__printf(out, "{\"code\":%u,\"message\":\"%s\"}",
			    receive_reply__code(answer->refusal), answer->text);
	else if (answer->rejected)
		buf__printf(out,
			    "{\"partialSuccess\":{\"rejectedSpans\":\"%" PRIu64
			    "\",\"errorMessage\":\"%s\"}}",
			    answer->rejected, answer->text);
	else
		buf__add_str(out, "{}");
}

unsigned int receive_reply(const struct receive_answer *answer, enum receive_encoding encoding,
			   struct buf *out)
{
	if (encoding == RECEIVE_JSON)
		add_json(answer, out);
	else
		add_protobuf(answer, out);
	return replies[answer->refusal].status;
}
