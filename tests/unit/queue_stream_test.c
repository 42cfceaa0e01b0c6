// SPDX-License-Identifier: Apache-2.0
/* Protects: frames become spans with their resources, however they are cut, from wherever reading begins. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/frame.h"
#include "pbmake.h"
#include "ship/stream.h"

#define SPANS 300

struct seen {
	uint32_t n, resource[2 * SPANS];
	uint64_t operation[2 * SPANS];
	size_t len[2 * SPANS];
	char service[2 * SPANS][8];
};

static void on_span(void *arg, const struct ship_span *span)
{
	struct seen *seen = arg;
	struct view resource = blob__view(span->resource);

	assert_true(seen->n < 2 * SPANS);
	seen->resource[seen->n] = span->head.resource;
	seen->operation[seen->n] = span->head.operation;
	seen->len[seen->n] = span->bytes.len;
	memcpy(seen->service[seen->n], resource.at ? resource.at : "",
	       resource.len < 7 ? resource.len : 7);
	seen->service[seen->n++][resource.len < 7 ? resource.len : 7] = 0;
}

static void add_resource(struct buf *b, uint32_t n, uint32_t revision, const char *text)
{
	uint32_t head[2] = { n, revision };

	frame__add(b, FRAME_RESOURCE, head, sizeof(head), text, strlen(text));
}

static void add_span(struct buf *b, uint32_t resource, uint64_t operation, size_t len)
{
	struct frame_span head = { .resource = resource,
				   .scope = 1,
				   .operation = operation,
				   .kind = 2,
				   .sampled = len > 0 };
	char *bytes = malloc(len + 1);

	/* Bytes that look like frames, as hostile ones would. */
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)(i % 8 == 4 ? 1 : i % 8 == 5 ? 1 : 0);
	frame__add(b, FRAME_SPAN, &head, sizeof(head), bytes, len);
	free(bytes);
}

static void feed(struct stream *s, const uint8_t *bytes, size_t len, size_t piece)
{
	while (len) {
		size_t room, n = len < piece ? len : piece;
		uint8_t *to = stream__room(s, &room);

		n = n < room ? n : room;
		memcpy(to, bytes, n);
		stream__feed(s, n);
		bytes += n;
		len -= n;
	}
}

static void cut_anywhere(void **state)
{
	static const size_t pieces[] = { 1, 7, 8, 9, 100, 4096, 1 << 20 };
	struct buf b = { 0 };

	add_resource(&b, 1, 1, "one");
	add_resource(&b, 2, 1, "two");
	for (uint64_t i = 0; i < SPANS; i++)
		add_span(&b, 1 + i % 2, i, i % 5 ? i : 0);
	for (size_t p = 0; p < sizeof(pieces) / sizeof(*pieces); p++) {
		struct seen *seen = calloc(1, sizeof(*seen));
		struct stream *s = stream__new(on_span, seen);

		feed(s, b.at, b.len, pieces[p]);
		assert_int_equal(seen->n, SPANS);
		for (uint32_t i = 0; i < SPANS; i++) {
			assert_int_equal(seen->operation[i], i);
			assert_string_equal(seen->service[i], i % 2 ? "two" : "one");
			assert_int_equal(seen->len[i], i % 5 ? i : 0);
		}
		assert_int_equal(stream__skipped(s), 0);
		stream__free(s);
		free(seen);
	}
	buf__free(&b);
}

static void resources_are_replaced(void **state)
{
	struct seen seen = { 0 };
	struct stream *s = stream__new(on_span, &seen);
	struct buf b = { 0 };

	add_span(&b, 1, 0, 1);
	add_resource(&b, 1, 1, "old");
	add_span(&b, 1, 0, 1);
	add_resource(&b, 1, 2, "new");
	add_resource(&b, 1, 2, "new");
	add_span(&b, 1, 0, 1);
	feed(s, b.at, b.len, 1 << 20);
	assert_int_equal(seen.n, 3);
	assert_string_equal(seen.service[0], "");
	assert_string_equal(seen.service[1], "old");
	assert_string_equal(seen.service[2], "new");
	stream__free(s);
	buf__free(&b);
}

/* The reader before this one was killed at any byte of a frame. */
static void begins_in_the_middle(void **state)
{
	struct buf b = { 0 };
	size_t first;

	add_span(&b, 1, 1000, 200);
	first = b.len;
	for (uint64_t i = 0; i < 20; i++)
		add_span(&b, 1, i, 100);
	for (size_t from = 1; from < first; from++) {
		struct seen seen = { 0 };
		struct stream *s = stream__new(on_span, &seen);

		feed(s, b.at + from, b.len - from, 64);
		if (seen.n != 20)
			fail_msg("from %zu: %u", from, seen.n);
		assert_int_equal(seen.operation[0], 0);
		assert_int_equal(stream__skipped(s), first - from);
		stream__free(s);
	}
	buf__free(&b);
}

static void rubbish_between_frames(void **state)
{
	struct seen seen = { 0 };
	struct stream *s = stream__new(on_span, &seen);
	struct buf b = { 0 };

	add_span(&b, 1, 1, 10);
	buf__add(&b, "this is no frame at all, though it is long", 42);
	add_span(&b, 1, 2, 10);
	add_span(&b, 1, 3, 10);
	feed(s, b.at, b.len, 5);
	assert_int_equal(seen.n, 3);
	assert_int_equal(seen.operation[2], 3);
	assert_int_equal(stream__skipped(s), 42);
	stream__free(s);
	buf__free(&b);
}

static void many_resources(void **state)
{
	struct seen seen = { 0 };
	struct stream *s = stream__new(on_span, &seen);
	struct buf b = { 0 };
	char name[8];

	/* More than are remembered: the one in use stays, what is long unused is forgotten. */
	for (uint32_t i = 0; i < 40000; i++) {
		buf__clear(&b);
		snprintf(name, sizeof(name), "r%u", i);
		add_resource(&b, i, 1, name);
		if (i % 100 == 0)
			add_span(&b, 0, i, 1);
		feed(s, b.at, b.len, 1 << 20);
	}
	buf__clear(&b);
	add_span(&b, 39999, 1, 1);
	add_span(&b, 1, 1, 1);
	feed(s, b.at, b.len, 1 << 20);
	for (uint32_t i = 0; i < 400; i++)
		assert_string_equal(seen.service[i], "r0");
	assert_string_equal(seen.service[400], "r39999");
	assert_string_equal(seen.service[401], "");
	stream__free(s);
	buf__free(&b);
}

static void hostile_numbers(void **state)
{
	struct seen seen = { 0 };
	struct stream *s = stream__new(on_span, &seen);
	struct buf b = { 0 };
	struct frame_header h = { .length = UINT32_MAX,
				  .type = FRAME_SPAN,
				  .version = FRAME_VERSION };

	buf__add(&b, &h, sizeof(h));
	h.length = 3; /* shorter than a head */
	buf__add(&b, &h, sizeof(h));
	buf__add(&b, "abc", 3);
	h.type = FRAME_RESOURCE;
	buf__add(&b, &h, sizeof(h));
	buf__add(&b, "abc", 3);
	h.type = 99;
	h.length = 0;
	buf__add(&b, &h, sizeof(h));
	add_span(&b, UINT32_MAX, 7, 1);
	add_span(&b, 0, 8, 1);
	feed(s, b.at, b.len, 1);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.operation[0], 7);
	stream__free(s);
	buf__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_anywhere),		cmocka_unit_test(resources_are_replaced),
		cmocka_unit_test(begins_in_the_middle), cmocka_unit_test(rubbish_between_frames),
		cmocka_unit_test(many_resources),	cmocka_unit_test(hostile_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
