// SPDX-License-Identifier: Apache-2.0
/* Protects: --where means what it says, and says where it is wrong. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pbmake.h"
#include "ship/console/where.h"

static struct buf span_bytes, resource_bytes;
static struct row row;

static int set_up(void **state)
{
	pb_span(&span_bytes, (struct pb_span){ .trace = 0xab,
					       .id = 0x01,
					       .name = "GET /api",
					       .path = "/api/users",
					       .kind = 2,
					       .status = 2,
					       .http_status = 503,
					       .error_type = "503",
					       .start_ns = 1000,
					       .end_ns = 12001000 });
	pb_attribute_text(&span_bytes, 9, "http.route", "/api/{x}");
	pb_attribute_text(&span_bytes, 9, "user_agent.original", "curl/8 (linux)");
	pb_resource(&resource_bytes, "nginx");
	pb_attribute_int(&resource_bytes, 1, "process.pid", 42);
	assert_int_equal(row__read(&row, buf_view(&span_bytes), buf_view(&resource_bytes)), 0);
	return 0;
}

static int tear_down(void **state)
{
	buf__free(&span_bytes);
	buf__free(&resource_bytes);
	return 0;
}

static bool matches(const char *text)
{
	struct where *w = NULL;
	struct err err = { "" };
	bool ret;

	if (where__parse(text, &w, &err))
		fail_msg("%s: %s", text, err.text);
	ret = where__matches(w, &row);
	where__free(w);
	return ret;
}

static void true_ones(void **state)
{
	static const char *const texts[] = {
		"service=nginx",
		"service == nginx",
		"service='nginx'",
		"service=\"nginx\"",
		"service!=apache",
		"status=503",
		"status>=500",
		"status<504",
		"status!=200",
		"status=error",
		"status!=ok",
		"error",
		"error=true",
		"kind=server",
		"name='GET /api'",
		"method=GET",
		"duration>10ms",
		"duration>=12ms",
		"duration<0.1s",
		"duration>11999us",
		"duration=12",
		"duration<1m",
		"duration>11999999ns",
		"path~/api",
		"path~^/api/[a-z]+$",
		"path~(a|b)pi",
		"path!~admin",
		"path=/api/users",
		"trace=abababababababababababababababab",
		"span~^01",
		"parent!=x",
		"not parent",
		"http.route~users|\\{",
		"user_agent.original~'curl.*linux'",
		"process.pid=42",
		"process.pid>41",
		"service=nginx status>=500 duration>10ms path~/api",
		"service=nginx and status>=500",
		"service=x or service=nginx",
		"service=x or service=y or status=503",
		"not service=x",
		"!service=x",
		"not (service=x or service=y)",
		"(service=nginx)",
		"((service=nginx) and (status=503))",
		"service=x and service=y or status=503",
		"status=503 or service=x and service=y",
		"service=nginx(status=503)" /* a value goes up to the blank; this one is another service */
		,
		"no.such!=1",
		"no.such!~x",
		"not no.such",
		"not not error",
		"order_by!=x",
		"query!=x",
		"port!=1",
		"service>m",
		"service<o",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		bool want = strcmp(texts[i], "service=nginx(status=503)") != 0;

		if (matches(texts[i]) != want)
			fail_msg("%s", texts[i]);
	}
}

static void false_ones(void **state)
{
	static const char *const texts[] = {
		"service=apache",
		"service=ngin",
		"service=nginxx",
		"service!=nginx",
		"status=200",
		"status<500",
		"status=ok",
		"status=unset",
		"error=false",
		"not error",
		"kind=client",
		"duration<10ms",
		"duration>12ms",
		"path~^api",
		"path!~api",
		"no.such=1",
		"no.such>1",
		"no.such~.",
		"no.such",
		"process.pid=43",
		"process.pid=x",
		"process.pid~4",
		"query=x",
		"query",
		"port>0",
		"parent",
		"service=nginx and status=200",
		"service=x or status=200",
		"not service=nginx",
		"(service=nginx or status=503) and kind=client",
		"service=x and service=y or status=200",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (matches(texts[i]))
			fail_msg("%s", texts[i]);
}

static void wrong_ones(void **state)
{
	static const struct {
		const char *text, *why;
		unsigned int column;
	} cases[] = {
		{ "", "ends too early", 1 },
		{ "   ", "ends too early", 4 },
		{ "service=", "a value is missing", 9 },
		{ "service= ", "a value is missing", 10 },
		{ "servce=x", "no such field", 1 },
		{ "service=x and", "ends too early", 14 },
		{ "service=x or or", "no such field", 14 },
		{ "(service=x", "a parenthesis is not closed", 1 },
		{ "service=x)", "not expected here", 10 },
		{ "=x", "a field name is wanted", 1 },
		{ "service='x", "a quote is not closed", 9 },
		{ "path~[", "no regular expression", 6 },
		{ "path~'*('", "no regular expression", 6 },
		{ "path~(a{1000}){1000}", "repeats too often", 6 },
		{ "path~a{1,99999}", "repeats too often", 6 },
		{ "path~a++++++++++++++++", "repeats too often", 6 },
		{ "path~((((((((((((a+)+)+)+)+)+)+)+)+)+)+)+)+", "repeats too often", 6 },
		{ "status>=abc", "a number, or error, ok, unset", 9 },
		{ "duration>10parsec", "a duration is wanted", 10 },
		{ "duration>fast", "a duration is wanted", 10 },
		{ "port=http", "a number is wanted", 6 },
		{ "not", "ends too early", 4 },
		{ "service=x &", "a field name is wanted", 11 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct where *w = NULL;
		struct err err = { "" };
		char column[32];

		snprintf(column, sizeof(column), "at column %u of", cases[i].column);
		assert_int_equal(where__parse(cases[i].text, &w, &err), -EINVAL);
		if (!strstr(err.text, cases[i].why) || !strstr(err.text, column))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
}

static void bounded(void **state)
{
	struct err err = { "" };
	struct where *w = NULL;
	struct buf deep = { 0 }, wide = { 0 };

	for (int i = 0; i < 1000; i++) {
		buf__add_str(&deep, "(");
		buf__add_str(&wide, "error ");
	}
	buf__add(&deep, "", 1);
	buf__add(&wide, "", 1);
	assert_int_equal(where__parse((char *)deep.at, &w, &err), -EINVAL);
	assert_non_null(strstr(err.text, "nested too deeply"));
	assert_int_equal(where__parse((char *)wide.at, &w, &err), -EINVAL);
	assert_non_null(strstr(err.text, "too long an expression"));
	buf__free(&deep);
	buf__free(&wide);
}

static void nothing_matches_everything(void **state)
{
	assert_true(where__matches(NULL, &row));
	where__free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(true_ones),
		cmocka_unit_test(false_ones),
		cmocka_unit_test(wrong_ones),
		cmocka_unit_test(bounded),
		cmocka_unit_test(nothing_matches_everything),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
