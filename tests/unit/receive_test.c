// SPDX-License-Identifier: Apache-2.0
/* What the receiver is sent: cut into frames byte for byte, from JSON, unpacked; and what of it is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "core/frame.h"
#include "pbmake.h"
#include "serve/receive_cut.h"
#include "serve/receive_json.h"
#include "serve/receive_reply.h"
#include "serve/receive_unpack.h"

static struct view view_buf(const struct buf *b)
{
	return (struct view){ (const char *)b->at, b->len };
}

static void add_bytes(struct buf *b, unsigned int field, const void *bytes, size_t len)
{
	pb_varint(b, (uint64_t)field << 3 | 2);
	pb_varint(b, len);
	buf__add(b, bytes, len);
}

static void add_inner(struct buf *b, unsigned int field, struct buf *inner)
{
	add_bytes(b, field, inner->at, inner->len);
	buf__free(inner);
}

static void make_span(struct buf *span, const char *trace, size_t trace_len)
{
	add_bytes(span, 1, trace, trace_len);
	add_bytes(span, 2, "spanspan", 8);
	add_bytes(span, 5, "name", 4);
	pb_number(span, 6, 3);
	pb_fixed64(span, 7, 1000);
	pb_fixed64(span, 8, 1500);
}

#define TRACE "0123456789abcdef"

/* A request of one resource and one scope around a span. */
static void wrap_span(struct buf *request, const struct buf *span)
{
	struct buf scope_spans = { 0 }, resource_spans = { 0 };

	add_bytes(&scope_spans, 1, "\x0a\x03lib", 5);
	add_bytes(&scope_spans, 2, span->at, span->len);
	/* The resource stands behind its spans: that is allowed. */
	add_inner(&resource_spans, 2, &scope_spans);
	add_bytes(&resource_spans, 1, "\x0a\x05\x0a\x01k\x12\x00", 7);
	add_bytes(&resource_spans, 3, "url", 3);
	add_inner(request, 1, &resource_spans);
}

static struct receive_counts cut_span(const struct buf *span, struct buf *frames)
{
	struct receive_counts counts = { 0 };
	struct buf request = { 0 };

	wrap_span(&request, span);
	assert_int_equal(receive_cut(view_buf(&request), frames, &counts), 0);
	buf__free(&request);
	return counts;
}

/* Protects: a span leaves as it came, unknown fields included, behind what it needs. */
static void byte_for_byte(void **state)
{
	struct buf span = { 0 }, frames = { 0 };
	struct frame_header header;
	struct frame_span head;
	struct receive_counts counts;
	const uint8_t *body;
	size_t at = 0;

	make_span(&span, TRACE, 16);
	add_bytes(&span, 9999, "of tomorrow", 11);
	counts = cut_span(&span, &frames);
	assert_int_equal(counts.spans, 1);
	assert_int_equal(receive_counts__rejected(&counts), 0);
	at += (size_t)frame__next(frames.at, frames.len, &header, &body);
	assert_int_equal(header.type, FRAME_BESIDE);
	assert_int_equal(header.length, 5);
	assert_memory_equal(body, "\x1a\x03url", 5);
	at += (size_t)frame__next(frames.at + at, frames.len - at, &header, &body);
	assert_int_equal(header.type, FRAME_RESOURCE);
	assert_int_equal(header.length, 8 + 7);
	at += (size_t)frame__next(frames.at + at, frames.len - at, &header, &body);
	assert_int_equal(header.type, FRAME_BESIDE);
	assert_int_equal(header.length, 0);
	at += (size_t)frame__next(frames.at + at, frames.len - at, &header, &body);
	assert_int_equal(header.type, FRAME_SCOPE);
	assert_memory_equal(body + 4, "\x0a\x03lib", 5);
	at += (size_t)frame__next(frames.at + at, frames.len - at, &header, &body);
	assert_int_equal(header.type, FRAME_SPAN);
	assert_int_equal(at, frames.len);
	memcpy(&head, body, sizeof(head));
	assert_memory_equal(head.trace_id, TRACE, 16);
	assert_int_equal(head.start_ns, 1000);
	assert_int_equal(head.duration_ns, 500);
	assert_int_equal(head.kind, 3);
	assert_int_equal(head.sampled, 1);
	assert_int_equal(header.length - sizeof(head), span.len);
	assert_memory_equal(body + sizeof(head), span.at, span.len);
	buf__free(&span);
	buf__free(&frames);
}

/* Protects: what a back end would refuse, with all that travels beside it, does not get so far. */
static void refused_alone(void **state)
{
	static const struct {
		unsigned int field;
		const char *bytes;
		size_t len;
		int which; /* 0 id, 1 broken */
	} bad[] = {
		{ 4, "short", 5, 0 },	      { 5, "\xff", 1, 1 },
		{ 5, "\xed\xa0\x80", 3, 1 },  { 9, "\x0a\x01\xc0", 3, 1 },
		{ 9, "\x0a\x7f", 2, 1 },      { 9, "\x12\x03\x0a\x01\xff", 5, 1 },
		{ 11, "\x12\x01\xff", 3, 1 }, { 13, "\x0a\x01x", 3, 0 },
		{ 15, "\x12\x05x", 3, 1 },
	};
	struct buf span = { 0 }, frames = { 0 };
	struct receive_counts counts;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf__clear(&span);
		make_span(&span, TRACE, 16);
		add_bytes(&span, bad[i].field, bad[i].bytes, bad[i].len);
		counts = cut_span(&span, &frames);
		assert_int_equal(counts.bad_id, bad[i].which == 0);
		assert_int_equal(counts.broken, bad[i].which == 1);
	}
	buf__clear(&span);
	make_span(&span, TRACE, 15);
	assert_int_equal(cut_span(&span, &frames).bad_id, 1);
	buf__clear(&span);
	make_span(&span, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_int_equal(cut_span(&span, &frames).bad_id, 1);
	buf__free(&span);
	buf__free(&frames);
}

/* Protects: of a request that does not hold to its end, nothing is taken; no prefix is read beyond its end. */
static void cut_short(void **state)
{
	struct buf span = { 0 }, request = { 0 }, frames = { 0 };
	struct receive_counts counts;

	make_span(&span, TRACE, 16);
	wrap_span(&request, &span);
	for (size_t n = 1; n < request.len; n++) {
		char *copy = malloc(n);

		memcpy(copy, request.at, n);
		assert_int_equal(receive_cut((struct view){ copy, n }, &frames, &counts), -EPROTO);
		assert_int_equal(frames.len, 0);
		free(copy);
	}
	buf__free(&span);
	buf__free(&request);
	buf__free(&frames);
}

static const char whole[] =
	"{\"unknown\":[{\"a\":null},1.5e3,\"\\ud83d\\ude00\"],\"resourceSpans\":[{\"scopeSpans\":[{"
	"\"spans\":[{"
	"\"traceId\":\"30313233343536373839616263646566\",\"spanId\":\"7370616E7370616E\","
	"\"name\":\"na\\u006de\",\"kind\":3,\"startTimeUnixNano\":\"1000\",\"endTimeUnixNano\":"
	"1500}],"
	"\"scope\":{\"name\":\"lib\"}}]}]}";

/* Protects: JSON says the same as protobuf would. */
static void json_is_protobuf(void **state)
{
	struct buf span = { 0 }, request = { 0 };
	struct err err = { "" };

	make_span(&span, TRACE, 16);
	assert_int_equal(receive_json(VIEW(whole), &request, &err), 0);
	assert_non_null(memmem(request.at, request.len, span.at, span.len));
	assert_non_null(memmem(request.at, request.len, "\x0a\x05\x0a\x03lib", 7));
	buf__free(&span);
	buf__free(&request);
}

#define ATTRIBUTE(value)                                                                           \
	"{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":" value       \
	"}]}}]}"

/* AnyValue in each of its forms, as protobuf has it. */
static void json_values(void **state)
{
	static const struct {
		const char *json;
		struct view value;
	} good[] = {
		{ ATTRIBUTE("{\"stringValue\":\"\"}"), VIEW("\x0a\x00") },
		{ ATTRIBUTE("{\"stringValue\":\"\\\"\\u00e9\"}"), VIEW("\x0a\x03\"\xc3\xa9") },
		{ ATTRIBUTE("{\"boolValue\":false}"), VIEW("\x10\x00") },
		{ ATTRIBUTE("{\"intValue\":\"300\"}"), VIEW("\x18\xac\x02") },
		{ ATTRIBUTE("{\"intValue\":-1}"),
		  VIEW("\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01") },
		{ ATTRIBUTE("{\"intValue\":3e2}"), VIEW("\x18\xac\x02") },
		{ ATTRIBUTE("{\"doubleValue\":1}"), VIEW("\x21\0\0\0\0\0\0\xf0\x3f") },
		{ ATTRIBUTE("{\"bytesValue\":\"aGkh\"}"), VIEW("\x3a\x03hi!") },
		{ ATTRIBUTE("{\"bytesValue\":\"aA\"}"), VIEW("\x3a\x01h") },
		{ ATTRIBUTE("{\"arrayValue\":{\"values\":[{}]}}"), VIEW("\x2a\x02\x0a\x00") },
		{ ATTRIBUTE("{\"kvlistValue\":{}}"), VIEW("\x32\x00") },
		{ ATTRIBUTE("null"), VIEW("") },
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct buf out = { 0 };
		struct err err = { "" };

		assert_int_equal(receive_json(view_of(good[i].json), &out, &err), 0);
		assert_memory_equal(out.at + out.len - good[i].value.len, good[i].value.at,
				    good[i].value.len);
		buf__free(&out);
	}
}

static void json_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"[]",
		"{",
		"{}x",
		"{\"a\":}",
		"{\"a\":tru}",
		"{\"a\"1}",
		"{\"a\":1,}",
		"{\"a\":[1,]}",
		"{a:1}",
		"{\"resourceSpans\":{}}",
		"{\"a\":\"\\x\"}",
		"{\"a\":\"\\ud800\"}",
		"{\"a\":\"\n\"}",
		ATTRIBUTE("{\"intValue\":1.5}"),
		ATTRIBUTE("{\"intValue\":\"9223372036854775808\"}"),
		ATTRIBUTE("{\"boolValue\":1}"),
		ATTRIBUTE("{\"doubleValue\":\"x\"}"),
		ATTRIBUTE("{\"bytesValue\":\"a\"}"),
		ATTRIBUTE("{\"stringValue\":1}"),
		"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"0g\"}]}]}]}",
		"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"kind\":\"SPAN_KIND_SERVER\"}]}"
		"]}]}",
	};
	char deep[2 * RECEIVE_JSON_DEPTH_MAX];
	struct buf out = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { "" };

		assert_int_equal(receive_json(view_of(bad[i]), &out, &err), -EPROTO);
		assert_non_null(strstr(err.text, "at byte"));
		assert_int_equal(out.len, 0);
	}
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	assert_int_equal(receive_json((struct view){ deep, sizeof(deep) }, &out, NULL), -EPROTO);
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		char *copy = malloc(n + 1);

		memcpy(copy + 1, whole, n);
		assert_int_equal(receive_json((struct view){ copy + 1, n }, &out, NULL), -EPROTO);
		free(copy);
	}
	buf__free(&out);
}

static void unpacked(void **state)
{
	static char plain[300000], packed[400000];
	struct buf room = { 0 };
	struct view out;
	uLongf len = sizeof(packed);
	size_t n;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (char)(i * i >> 7);
	assert_int_equal(compress((Bytef *)packed, &len, (Bytef *)plain, sizeof(plain)), Z_OK);
	assert_int_equal(receive_unpack((struct view){ packed, len }, VIEW("deflate"),
					sizeof(plain), &room, &out),
			 0);
	assert_int_equal(out.len, sizeof(plain));
	assert_memory_equal(out.at, plain, sizeof(plain));
	assert_int_equal(receive_unpack((struct view){ packed, len }, VIEW("gzip"),
					sizeof(plain) - 1, &room, &out),
			 -EMSGSIZE);
	assert_int_equal(receive_unpack((struct view){ packed, len - 1 }, VIEW("gzip"),
					sizeof(plain), &room, &out),
			 -EBADMSG);
	n = ZSTD_compress(packed, sizeof(packed), plain, sizeof(plain), 1);
	assert_int_equal(receive_unpack((struct view){ packed, n }, VIEW("zstd"), sizeof(plain),
					&room, &out),
			 0);
	assert_memory_equal(out.at, plain, sizeof(plain));
	assert_int_equal(receive_unpack((struct view){ packed, n }, VIEW("zstd"), sizeof(plain) - 1,
					&room, &out),
			 -EMSGSIZE);
	assert_int_equal(receive_unpack((struct view){ packed, n - 1 }, VIEW("zstd"), sizeof(plain),
					&room, &out),
			 -EBADMSG);
	assert_int_equal(receive_unpack((struct view){ "x", 1 }, VIEW("zstd"), 10, &room, &out),
			 -EBADMSG);
	assert_int_equal(receive_unpack((struct view){ "x", 1 }, VIEW("br"), 10, &room, &out),
			 -ENOTSUP);
	assert_int_equal(receive_unpack((struct view){ "x", 1 }, VIEW(""), 10, &room, &out), 0);
	assert_int_equal(out.len, 1);
	buf__free(&room);
}

static void replies(void **state)
{
	struct receive_answer partial = { RECEIVE_TAKEN, 3, "why" },
			      bad = { RECEIVE_MALFORMED, 0, "why" };
	struct buf out = { 0 };

	assert_int_equal(receive_reply(&partial, RECEIVE_PROTOBUF, &out), 200);
	assert_int_equal(out.len, 9);
	assert_memory_equal(out.at, "\x0a\x07\x08\x03\x12\x03why", 9);
	buf__clear(&out);
	assert_int_equal(receive_reply(&bad, RECEIVE_PROTOBUF, &out), 400);
	assert_memory_equal(out.at, "\x08\x03\x12\x03why", 7);
	buf__free(&out);
}

/* A span with one attribute: may it pass? */
static bool passes(const char *key, size_t key_len, const char *value, size_t value_len)
{
	struct buf span = { 0 }, pair = { 0 }, inner = { 0 }, frames = { 0 };
	struct receive_counts counts;

	add_bytes(&inner, 1, value, value_len);
	add_bytes(&pair, 1, key, key_len);
	add_inner(&pair, 2, &inner);
	make_span(&span, TRACE, 16);
	add_inner(&span, 9, &pair);
	counts = cut_span(&span, &frames);
	buf__free(&span);
	buf__free(&frames);
	return !receive_counts__rejected(&counts);
}

/* Protects: a byte that is no UTF-8 is found wherever it stands in a key or value, and a letter of two bytes is none. */
static void any_byte_is_checked(void **state)
{
	for (size_t len = 2; len <= 130; len += len < 24 ? 1 : 53) {
		for (size_t at = 0; at < len; at++) {
			char text[130], plain[] = "key";

			memset(text, 'a', sizeof(text));
			assert_true(passes(text, len, text, len));
			text[at] = (char)0x80;
			assert_false(passes(text, len, plain, 3));
			assert_false(passes(plain, 3, text, len));
			text[at] = (char)0xc3;
			if (at + 1 < len)
				text[at + 1] = (char)0xa4;
			assert_true(passes(text, len, plain, 3) == (at + 1 < len));
			assert_true(passes(plain, 3, text, len) == (at + 1 < len));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_byte_is_checked),
		cmocka_unit_test(byte_for_byte),
		cmocka_unit_test(refused_alone),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(json_is_protobuf),
		cmocka_unit_test(json_values),
		cmocka_unit_test(json_refused),
		cmocka_unit_test(unpacked),
		cmocka_unit_test(replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
