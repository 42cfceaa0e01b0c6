// SPDX-License-Identifier: Apache-2.0
/* Protects: the screen of `sonde top` shows what was counted, in the order and with the filter that were typed, and no more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "pbmake.h"
#include "ship/console/top.h"

#define MS 1000000ull

static void add(struct tally *t, const char *service, int kind, const char *name, const char *path,
		uint64_t took_ms, bool failed)
{
	struct buf span = { 0 }, resource = { 0 };
	struct row row;

	pb_resource(&resource, service);
	pb_span(&span, (struct pb_span){ .trace = 1,
					 .id = 1,
					 .name = name,
					 .path = path,
					 .kind = kind,
					 .status = failed ? 2 : 0,
					 .start_ns = 1000,
					 .end_ns = 1000 + took_ms * MS });
	assert_int_equal(row__read(&row, buf_view(&span), buf_view(&resource)), 0);
	tally__add(t, &row);
	buf__free(&span);
	buf__free(&resource);
}

static void fill(struct tally *t)
{
	tally__init(t, 0, UINT64_MAX, 0);
	for (int i = 0; i < 10; i++)
		add(t, "shop", 2, "GET", "/items/7", 2, false);
	for (int i = 0; i < 4; i++)
		add(t, "shop", 2, "POST", "/buy", 30, i < 2);
	add(t, "web", 3, "GET", "/items/7", 500, false);
	/* A name that would steer the terminal. */
	add(t, "evil\x1b[2J\x9b", 1, "a\nb\xe2\x80\xae", NULL, 1, false);
}

/* Lines of the screen, without what steers it; to be freed by the caller. */
static char *drawn(const struct top *top, const struct tally *t, unsigned int width,
		   unsigned int height)
{
	const struct line_style style = { .unicode = false };
	const struct top_frame frame = { .tally = t,
					 .seconds = 2,
					 .now_ns = 0,
					 .width = width,
					 .height = height,
					 .of = "here" };
	struct buf out = { 0 };
	char *text, *to;

	top__draw(top, &frame, &style, &out);
	assert_int_equal(out.err, 0);
	text = to = malloc(out.len + 1);
	for (size_t i = 0; i < out.len; i++) {
		uint8_t c = out.at[i];

		if (c == 0x1b) {
			assert_int_equal(out.at[i + 1], '[');
			assert_non_null(strchr("HKJ", out.at[i + 2]));
			i += 2;
		} else if (c != '\r') {
			assert_true(c == '\n' || (c >= 0x20 && c < 0x7f));
			*to++ = (char)c;
		}
	}
	*to = 0;
	buf__free(&out);
	return text;
}

/* The order of these words in the rows below the heads. */
static void in_order(const char *text, const char *first, const char *then)
{
	const char *at = strstr(text, "RATE/S"), *one, *two;

	assert_non_null(at);
	one = strstr(at, first);
	two = strstr(at, then);
	if (!one || !two || one > two)
		fail_msg("'%s' is not before '%s' in:\n%s", first, then, text);
}

static void type(struct top *top, const char *keys)
{
	assert_true(top__keys(top, keys, strlen(keys)));
}

static void sorted_and_filtered(void **state)
{
	struct top top = { 0 };
	struct tally t;
	char *text;

	fill(&t);
	text = drawn(&top, &t, 120, 30);
	in_order(text, "GET /items/{id}", "POST /buy");
	assert_non_null(strstr(text, "8.0 spans/s, 1.0 errors/s in 2 s of here"));
	assert_non_null(strstr(text, "      5.0     0.0%"));
	assert_non_null(strstr(text, "      2.0    50.0%"));
	assert_null(strstr(text, "\x1b"));
	free(text);
	type(&top, "\x1b[C");
	text = drawn(&top, &t, 120, 30);
	in_order(text, "POST /buy", "GET /items/{id}");
	free(text);
	type(&top, "\x1b[D\x1b[D\x1b[D"); /* slowest */
	assert_int_equal(top.sort, TOP_SLOWEST);
	text = drawn(&top, &t, 120, 30);
	in_order(text, "web", "shop");
	free(text);
	/* Of the one service, in any case of letters. */
	type(&top, "SHO");
	text = drawn(&top, &t, 120, 30);
	in_order(text, "POST /buy", "GET /items/{id}");
	assert_null(strstr(text, "web"));
	free(text);
	type(&top, "\x7f\x7f\x7f");
	assert_int_equal(top.n_filter, 0);
	type(&top, "\t");
	text = drawn(&top, &t, 120, 30);
	assert_null(strstr(text, "POST /buy"));
	assert_non_null(strstr(text, "      7.0    14.3%"));
	free(text);
	tally__free(&t);
}

static void keys(void **state)
{
	struct top top = { 0 };

	assert_false(top__keys(&top, "q", 1));
	type(&top, "/q");
	assert_string_equal(top.filter, "q");
	type(&top, "q");
	assert_string_equal(top.filter, "qq");
	type(&top, "\x1b"); /* by itself */
	assert_string_equal(top.filter, "");
	/* A sequence that is none of ours adds nothing. */
	type(&top, "\x1b[15~\x1b[1;5C");
	assert_string_equal(top.filter, "");
	for (int i = 0; i < 200; i++)
		type(&top, "xxxxxxxx");
	assert_int_equal(top.n_filter, TOP_FILTER_MAX);
	type(&top, "\x1b");
	type(&top, "\x7f");
	assert_false(top__keys(&top, "q", 1));
}

static void never_larger_than_the_screen(void **state)
{
	static const unsigned int sizes[][2] = {
		{ 1, 1 }, { 10, 2 }, { 40, 4 }, { 56, 5 }, { 60, 24 }, { 80, 24 }, { 300, 5 },
	};
	struct top top = { 0 };
	struct tally t;

	fill(&t);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char *text = drawn(&top, &t, sizes[i][0], sizes[i][1]), *save = NULL;
		unsigned int lines = 0;

		for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
			lines++;
			/* Rows have columns that are not cut: a terminal narrower than those has to. */
			if (sizes[i][0] >= 60 && strlen(l) > sizes[i][0])
				fail_msg("%u columns: %s", sizes[i][0], l);
		}
		assert_true(lines <= (sizes[i][1] > 3 ? sizes[i][1] : 3));
		free(text);
	}
	tally__free(&t);
}

static void as_json(void **state)
{
	struct buf out = { 0 };
	json_t *root, *op;
	struct tally t;
	size_t i;
	uint64_t count = 0;

	fill(&t);
	top__json(&t, 2, 5, &out);
	assert_int_equal(out.at[out.len - 1], '\n');
	root = json_loadb((char *)out.at, out.len, 0, NULL);
	assert_non_null(root);
	assert_int_equal(json_integer_value(json_object_get(root, "spans")), 16);
	json_array_foreach(json_object_get(root, "operations"), i, op)
	{
		count += (uint64_t)json_integer_value(json_object_get(op, "count"));
		if (strcmp(json_string_value(json_object_get(op, "name")), "POST /buy"))
			continue;
		assert_int_equal(json_integer_value(json_object_get(op, "errors")), 2);
		assert_string_equal(json_string_value(json_object_get(op, "max_nano")), "30000000");
		assert_true(json_real_value(json_object_get(op, "rate")) == 2.0);
	}
	assert_int_equal(count, 16);
	json_decref(root);
	buf__free(&out);
	tally__free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sorted_and_filtered),
		cmocka_unit_test(keys),
		cmocka_unit_test(never_larger_than_the_screen),
		cmocka_unit_test(as_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
