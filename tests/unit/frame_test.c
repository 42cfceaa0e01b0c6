// SPDX-License-Identifier: Apache-2.0
/* Frames: what is added is found again; what is cut, too long or of another version is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/frame.h"

static void there_and_back(void **state)
{
	struct buf out = { 0 };
	struct frame_header header;
	const uint8_t *body;
	size_t at = 0;

	frame__add(&out, FRAME_SPAN, "head", 4, "tail!", 5);
	frame__add(&out, FRAME_SCOPE, NULL, 0, NULL, 0);
	frame__add(&out, FRAME_RESOURCE, NULL, 0, "r", 1);
	assert_int_equal(out.err, 0);
	assert_int_equal(frame__next(out.at, out.len, &header, &body), 17);
	assert_int_equal(header.length, 9);
	assert_int_equal(header.type, FRAME_SPAN);
	assert_int_equal(header.version, FRAME_VERSION);
	assert_memory_equal(body, "headtail!", 9);
	at += 17;
	assert_int_equal(frame__next(out.at + at, out.len - at, &header, &body), 8);
	assert_int_equal(header.type, FRAME_SCOPE);
	at += 8;
	assert_int_equal(frame__next(out.at + at, out.len - at, &header, &body), 9);
	assert_int_equal(at + 9, out.len);
	buf__free(&out);
}

/* Every prefix of a frame wants more, and is not read beyond its end. */
static void cut_anywhere(void **state)
{
	struct buf out = { 0 };
	struct frame_header header;
	const uint8_t *body;

	frame__add(&out, FRAME_SPAN, "0123456789", 10, NULL, 0);
	for (size_t n = 0; n <= out.len; n++) {
		uint8_t *copy = malloc(n ? n : 1);

		assert_non_null(copy);
		memcpy(copy, out.at, n);
		assert_int_equal(frame__next(copy, n, &header, &body), n == out.len ? 18 : 0);
		free(copy);
	}
	buf__free(&out);
}

static void refused(void **state)
{
	static const uint8_t cases[][8] = {
		{ 0, 0, 0, 0, 3, 2, 0, 0 }, /* version */
		{ 0, 0, 0, 0, 3, 1, 1, 0 }, /* zero is not */
		{ 0, 0, 0, 0, 3, 1, 0, 1 },
		{ 1, 0, 16, 0, 3, 1, 0, 0 }, /* a byte too long */
		{ 255, 255, 255, 255, 3, 1, 0, 0 },
	};
	static const uint8_t longest[8] = { 0, 0, 16, 0, 3, 1, 0, 0 };
	struct frame_header header;
	const uint8_t *body;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(frame__next(cases[i], 8, &header, &body), -EPROTO);
	assert_int_equal(frame__next(longest, 8, &header, &body), 0);
}

static void too_long(void **state)
{
	struct buf out = { 0 };
	char *big = calloc(1, FRAME_MAX_BYTES);

	assert_non_null(big);
	frame__add(&out, FRAME_SPAN, "x", 1, big, FRAME_MAX_BYTES);
	assert_int_equal(out.err, -EMSGSIZE);
	assert_int_equal(out.len, 0);
	buf__clear(&out);
	frame__add(&out, FRAME_SPAN, big, SIZE_MAX, big, 1);
	assert_int_equal(out.err, -EMSGSIZE);
	frame__add(&out, FRAME_SPAN, big, 1, big, SIZE_MAX);
	assert_int_equal(out.len, 0);
	buf__clear(&out);
	frame__add(&out, FRAME_SPAN, big, FRAME_MAX_BYTES, NULL, 0);
	assert_int_equal(out.err, 0);
	assert_int_equal(out.len, FRAME_MAX_BYTES + 8);
	buf__free(&out);
	/* a buffer that may not grow so far stays as it is */
	out.max = 10;
	frame__add(&out, FRAME_SPAN, "abc", 3, NULL, 0);
	assert_int_equal(out.err, -EMSGSIZE);
	assert_int_equal(out.len, 0);
	buf__free(&out);
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(refused),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
