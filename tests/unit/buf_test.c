// SPDX-License-Identifier: Apache-2.0
/* Views and buffers: limits hold, errors stay until they are looked at. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void views(void **state)
{
	assert_int_equal(view_of(NULL).len, 0);
	assert_int_equal(view_of("abc").len, 3);
	assert_true(view_eq(VIEW("abc"), view_of("abc")));
	assert_false(view_eq(VIEW("abc"), VIEW("abd")));
	assert_false(view_eq(VIEW("abc"), VIEW("ab")));
	assert_true(view_eq((struct view){ 0 }, VIEW("")));
	assert_true(view_eq_nocase(VIEW("TraceParent"), VIEW("traceparenT")));
	assert_false(view_eq_nocase(VIEW("a"), VIEW("b")));
	assert_false(view_eq_nocase(VIEW("a"), VIEW("ab")));
	/* ASCII letters only: '@' and '`', '[' and '{' are not pairs */
	assert_false(view_eq_nocase(VIEW("@["), VIEW("`{")));
}

static void growth(void **state)
{
	struct buf b = { 0 };

	for (int i = 0; i < 10000; i++)
		buf__add(&b, "0123456789", 10);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.len, 100000);
	assert_memory_equal(b.at + 99990, "0123456789", 10);
	buf__consume(&b, 99995);
	assert_int_equal(b.len, 5);
	assert_memory_equal(b.at, "56789", 5);
	buf__consume(&b, 6);
	assert_int_equal(b.len, 0);
	buf__add(&b, NULL, 0);
	buf__add_str(&b, "a");
	buf__add_view(&b, VIEW("bc"));
	buf__printf(&b, "%d-%s", 42, "x");
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.at, "abc42-x", 7);
	buf__free(&b);
	assert_null(b.at);
	buf__free(NULL);
}

static void limits(void **state)
{
	struct buf b = { .max = 10 };
	uint8_t *at;

	buf__add(&b, "0123456789", 10);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.cap, 10);
	buf__add(&b, "x", 1);
	assert_int_equal(b.err, -EMSGSIZE);
	/* what comes after an error does nothing, however small */
	buf__consume(&b, 5);
	buf__add(&b, "x", 1);
	assert_int_equal(b.len, 5);
	buf__printf(&b, "x");
	assert_int_equal(b.len, 5);
	buf__clear(&b);
	assert_int_equal(b.err, 0);
	assert_int_equal(b.max, 10);
	at = buf__reserve(&b, 10);
	assert_ptr_equal(at, b.at);
	assert_int_equal(b.len, 0);
	assert_null(buf__reserve(&b, SIZE_MAX));
	assert_int_equal(b.err, -EMSGSIZE);
	buf__free(&b);
	assert_int_equal(b.max, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(views),
		cmocka_unit_test(growth),
		cmocka_unit_test(limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
