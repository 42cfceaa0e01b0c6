// SPDX-License-Identifier: Apache-2.0
/* Protects: W3C Trace Context, rule by rule. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/exchange_pool.h"
#include "core/ids.h"
#include "core/propagate.h"
#include "core/proto/proto.h"
#include "core/tracer.h"

#define T "0af7651916cd43dd8448eb211c80319c"
#define P "b7ad6b7169203331"

static bool parse(const char *value, struct propagated *ret)
{
	size_t n = strlen(value);
	char *copy = malloc(n ? n : 1); /* of the exact size: reading past it is found */
	bool ok;

	memcpy(copy, value, n);
	ok = propagate__traceparent((struct view){ copy, n }, ret);
	free(copy);
	return ok;
}

static void valid_traceparents(void **state)
{
	static const struct {
		const char *value;
		uint8_t flags;
	} rows[] = {
		{ "00-" T "-" P "-01", 1 },
		{ "00-" T "-" P "-00", 0 },
		{ "00-" T "-" P "-03", 3 },
		{ "00-" T "-" P "-ff", 3 }, /* bits without a meaning are dropped */
		{ "01-" T "-" P "-01", 1 }, /* versions to come: the prefix is read */
		{ "cc-" T "-" P "-01-what-next", 1 },
		{ "cc-" T "-" P "-01-", 1 },
		{ "fe-" T "-" P "-02", 2 },
	};
	struct propagated p;
	char hex[33] = { 0 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(parse(rows[i].value, &p));
		assert_int_equal(p.flags, rows[i].flags);
		ids__hex(hex, p.trace_id, 16);
		assert_string_equal(hex, T);
		assert_int_equal(ids__get64(p.parent_id), 0xb7ad6b7169203331);
		assert_int_equal(p.tracestate_len, 0);
	}
}

static void broken_traceparents(void **state)
{
	static const char *const rows[] = {
		"",
		"00",
		"00-" T "-" P "-0",
		"00-" T "-" P,
		"00-" T "-" P "-01-", /* version 00 ends with its flags */
		"00-" T "-" P "-01-more",
		"00-" T "-" P "-011",
		"ff-" T "-" P "-01", /* this version is forbidden */
		"FF-" T "-" P "-01",
		"cc-" T "-" P "-01.what", /* what is appended begins with a dash */
		"0-" T "-" P "-001",
		"000-" T "-" P "-1",
		"0g-" T "-" P "-01",
		"0A-" T "-" P "-01", /* lower case only */
		"00-0AF7651916CD43DD8448EB211C80319C-" P "-01",
		"00-" T "-B7AD6B7169203331-01",
		"00-" T "-" P "-0A",
		"00-00000000000000000000000000000000-" P "-01",
		"00-" T "-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319-" P "--01",
		"00_" T "-" P "-01",
		"00-" T "_" P "-01",
		"00-" T "-" P "_01",
		"00-" T "-" P "-0 ",
		" 00-" T "-" P "-0",
		"00-.af7651916cd43dd8448eb211c80319c-" P "-01",
	};
	struct propagated p;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (parse(rows[i], &p))
			fail_msg("accepted: %s", rows[i]);
}

static size_t join(char *to, unsigned int n, const char *const *values)
{
	struct view views[40];

	for (unsigned int i = 0; i < n; i++)
		views[i] = view_of(values[i]);
	return propagate__tracestate(views, n, to);
}

static void check_state(const char *value, const char *expected)
{
	char to[TRACESTATE_MAX_BYTES];
	size_t n = join(to, 1, &value);

	if (n != strlen(expected) || memcmp(to, expected, n))
		fail_msg("%s became %.*s", value, (int)n, to);
}

static void tracestates(void **state)
{
	const char *two[] = { "a=1,b=2", "c=3" }, *repeated[] = { "a=1", "a=2" };
	char to[TRACESTATE_MAX_BYTES], key[300], long_key[320];

	check_state("foo=1", "foo=1");
	check_state("foo=1 \t , \tbar=2", "foo=1,bar=2");
	check_state("foo=1,,bar=2,", "foo=1,bar=2");
	check_state("0a@sys/x*_-=a b", "0a@sys/x*_-=a b");
	check_state("", "");
	check_state("foo", "");
	check_state("=1", "");
	check_state("foo=", "");
	check_state("Foo=1", "");
	check_state("_foo=1", "");
	check_state("fo o=1", "");
	check_state("foo=a=b", "");
	check_state("foo=\x01", "");
	check_state("foo=1,foo=2", "");
	assert_int_equal(join(to, 2, two), 11);
	assert_memory_equal(to, "a=1,b=2,c=3", 11);
	assert_int_equal(join(to, 2, repeated), 0);
	memset(key, 'k', sizeof(key));
	snprintf(long_key, sizeof(long_key), "%.256s=1", key);
	check_state(long_key, long_key);
	snprintf(long_key, sizeof(long_key), "%.257s=1", key);
	check_state(long_key, "");
	snprintf(long_key, sizeof(long_key), "a=%.256s", key);
	check_state(long_key, long_key);
	snprintf(long_key, sizeof(long_key), "a=%.257s", key);
	check_state(long_key, "");
}

static void members_are_bounded(void **state)
{
	char list[400] = "", to[TRACESTATE_MAX_BYTES], text[2000] = "", filler[130];
	const char *value = list;

	for (int i = 0; i < 32; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "k%d=v,", i);
	assert_int_equal(join(to, 1, &value), strlen(list) - 1);
	strcat(list, "k32=v");
	assert_int_equal(join(to, 1, &value), 0);
	/* Too long: members of more than 128 characters go first, then from the right. */
	memset(filler, 'x', sizeof(filler));
	snprintf(text, sizeof(text), "a=1,b=%.128s,c=%.110s,d=%.110s,e=%.110s,f=%.110s,g=2", filler,
		 filler, filler, filler, filler);
	value = text;
	assert_int_equal(join(to, 1, &value), 3 + 4 * 113 + 4);
	assert_memory_equal(to, "a=1,c=", 6);
	assert_memory_equal(to + 3 + 4 * 113, ",g=2", 4);
	snprintf(text, sizeof(text), "a=%.110s,c=%.110s,d=%.110s,e=%.110s,f=%.110s,g=2", filler,
		 filler, filler, filler, filler);
	assert_int_equal(join(to, 1, &value), 4 * 112 + 3);
	assert_memory_equal(to + 3 * 112 + 2, ",e=", 3);
}

static void members_are_found(void **state)
{
	struct view v = propagate__member(VIEW("other=x,ot=th:8,o=1"), VIEW("ot"));

	assert_true(view_eq(v, VIEW("th:8")));
	assert_null(propagate__member(VIEW("other=x"), VIEW("ot")).at);
	assert_null(propagate__member((struct view){ NULL, 0 }, VIEW("ot")).at);
}

static bool extract(unsigned int n, const char *const (*fields)[2], struct propagated *ret)
{
	struct exchange_pool *pool = exchange_pool__new(1);
	struct exchange *ex = exchange_pool__get(pool);
	bool found;

	ex->proto = &proto_http1;
	for (unsigned int i = 0; i < n; i++) {
		struct header_field f = { view_of(fields[i][0]), view_of(fields[i][1]) };

		header_fields__add(&ex->fields, f);
	}
	found = propagate__extract(ex, ret);
	exchange__free(ex);
	exchange_pool__free(pool);
	return found;
}

static void headers(void **state)
{
	static const char *const good[][2] = { { "Host", "x" },
					       { "TRACESTATE", "b=2" },
					       { "TrAcEpArEnT", "00-" T "-" P "-01" },
					       { "tracestate", "a=1" } };
	static const char *const twice[][2] = { { "traceparent", "00-" T "-" P "-01" },
						{ "Traceparent", "00-" T "-" P "-01" } };
	static const char *const second_empty[][2] = { { "traceparent", "00-" T "-" P "-01" },
						       { "Traceparent", "" } };
	static const char *const bad_state[][2] = { { "traceparent", "00-" T "-" P "-01" },
						    { "tracestate", "A=1" } };
	static const char *const bad_parent[][2] = { { "traceparent", "00-" T "-" P "-1" },
						     { "tracestate", "a=1" } };
	static const char *const none[][2] = { { "trace-parent", "00-" T "-" P "-01" } };
	const char *many[41][2] = { { "traceparent", "00-" T "-" P "-01" } };
	struct propagated p = { .flags = 9 };

	assert_true(extract(4, good, &p));
	assert_int_equal(p.tracestate_len, 7);
	assert_memory_equal(p.tracestate, "b=2,a=1", 7);
	assert_true(extract(2, bad_state, &p));
	assert_int_equal(p.tracestate_len, 0);
	for (int i = 1; i < 41; i++) {
		many[i][0] = "tracestate";
		many[i][1] = "a=1";
	}
	assert_true(extract(41, (const char *const(*)[2])many, &p));
	assert_int_equal(p.tracestate_len, 0);
	p.flags = 9;
	assert_false(extract(2, twice, &p));
	assert_false(extract(2, second_empty, &p));
	assert_false(extract(2, bad_parent, &p));
	assert_false(extract(1, none, &p));
	assert_int_equal(p.flags, 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_traceparents), cmocka_unit_test(broken_traceparents),
		cmocka_unit_test(tracestates),	      cmocka_unit_test(members_are_bounded),
		cmocka_unit_test(members_are_found),  cmocka_unit_test(headers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
