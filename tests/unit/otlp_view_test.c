// SPDX-License-Identifier: Apache-2.0
/* Protects: encoded spans are read as they were written, and broken ones are refused, not over-read. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/otlp_view.h"
#include "pbmake.h"

static void every_wire_type(void **state)
{
	struct pb_field f;
	struct buf b = { 0 };
	struct pb pb;

	pb_number(&b, 1, UINT64_MAX);
	pb_fixed64(&b, 2, 0x1122334455667788);
	pb_fixed32(&b, 3, 0xdeadbeef);
	pb_text(&b, 536870911, "x"); /* the largest field number */
	pb = pb__of(buf_view(&b));
	assert_int_equal(pb__next(&pb, &f), 1);
	assert_true(f.number == 1 && f.wire == PB_VARINT && f.value == UINT64_MAX);
	assert_int_equal(pb__next(&pb, &f), 1);
	assert_true(f.number == 2 && f.wire == PB_FIXED64 && f.value == 0x1122334455667788);
	assert_int_equal(pb__next(&pb, &f), 1);
	assert_true(f.number == 3 && f.wire == PB_FIXED32 && f.value == 0xdeadbeef);
	assert_int_equal(pb__next(&pb, &f), 1);
	assert_true(f.number == 536870911 && f.wire == PB_BYTES && view_eq(f.bytes, VIEW("x")));
	assert_int_equal(pb__next(&pb, &f), 0);
	buf__free(&b);
}

static void assert_broken(const char *bytes, size_t len)
{
	struct pb pb = pb__of((struct view){ bytes, len });
	struct pb_field f;

	assert_int_equal(pb__next(&pb, &f), -EPROTO);
}
#define BROKEN(literal) assert_broken(literal, sizeof(literal) - 1)

static void broken_fields(void **state)
{
	BROKEN("\x08");							/* no value */
	BROKEN("\x08\x80");						/* varint cut off */
	BROKEN("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");		/* 65 bits */
	BROKEN("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* 12 bytes */
	BROKEN("\x00\x01");						/* field 0 */
	BROKEN("\x0b");							/* group */
	BROKEN("\x0c");
	BROKEN("\x0e"); /* wire types that are none */
	BROKEN("\x0f");
	BROKEN("\x09\x01\x02\x03\x04\x05\x06\x07");		/* fixed64 of 7 bytes */
	BROKEN("\x0d\x01\x02\x03");				/* fixed32 of 3 */
	BROKEN("\x0a\x02x");					/* length past the end */
	BROKEN("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"); /* length of 2^64-1 */
	BROKEN("\x88\x80\x80\x80\x80\x01\x01");			/* tag of more than 32 bits */
}

static void a_span(void **state)
{
	struct otlp_span_view span;
	struct otlp_value value;
	struct buf b = { 0 };

	pb_span(&b, (struct pb_span){ .trace = 0xaa,
				      .id = 0xbb,
				      .parent = 0xcc,
				      .name = "GET /x",
				      .path = "/x",
				      .kind = 2,
				      .status = 2,
				      .http_status = -5,
				      .start_ns = 1000,
				      .end_ns = 3000 });
	pb_text(&b, 3, "a=b");
	pb_number(&b, 10, 7);
	pb_number(&b, 12, 8);
	pb_number(&b, 14, 9);
	pb_fixed32(&b, 16, 0x301);
	pb_text(&b, 99, "of the future");
	assert_int_equal(otlp_span__read(buf_view(&b), &span), 0);
	assert_memory_equal(span.trace_id.at,
			    "\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa\xaa", 16);
	assert_int_equal((uint8_t)span.span_id.at[7], 0xbb);
	assert_int_equal((uint8_t)span.parent_id.at[0], 0xcc);
	assert_true(view_eq(span.name, VIEW("GET /x")) && view_eq(span.trace_state, VIEW("a=b")));
	assert_true(span.kind == 2 && span.status == 2 && span.start_ns == 1000 &&
		    span.end_ns == 3000);
	assert_true(span.dropped_attributes == 7 && span.dropped_events == 8 &&
		    span.dropped_links == 9);
	assert_int_equal(span.flags, 0x301);
	assert_true(otlp_attributes__find(buf_view(&b), OTLP_SPAN_ATTRIBUTES, VIEW("url.path"),
					  &value));
	assert_true(value.type == OTLP_STRING && view_eq(value.bytes, VIEW("/x")));
	assert_true(otlp_attributes__find(buf_view(&b), OTLP_SPAN_ATTRIBUTES,
					  VIEW("http.response.status_code"), &value));
	assert_true(value.type == OTLP_INT && value.number == -5);
	assert_false(
		otlp_attributes__find(buf_view(&b), OTLP_SPAN_ATTRIBUTES, VIEW("url.pat"), &value));
	buf__free(&b);
}

static void spans_with_wrong_ids(void **state)
{
	static const struct {
		size_t trace, id, parent;
		int ret;
	} cases[] = { { 16, 8, 8, 0 },	     { 16, 8, 0, 0 },	    { 15, 8, 8, -EPROTO },
		      { 17, 8, 8, -EPROTO }, { 16, 7, 8, -EPROTO }, { 16, 9, 8, -EPROTO },
		      { 16, 8, 7, -EPROTO }, { 0, 8, 0, -EPROTO },  { 16, 0, 0, -EPROTO } };
	static const char zero[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct otlp_span_view span;
		struct buf b = { 0 };

		pb_bytes(&b, 1, zero, cases[i].trace);
		pb_bytes(&b, 2, zero, cases[i].id);
		pb_bytes(&b, 4, zero, cases[i].parent);
		assert_int_equal(otlp_span__read(buf_view(&b), &span), cases[i].ret);
		buf__free(&b);
	}
}

static void every_value(void **state)
{
	struct otlp_value v;
	struct buf b = { 0 };
	double d = -2.5;
	uint64_t bits;

	memcpy(&bits, &d, 8);
	assert_int_equal(otlp_value__read(VIEW(""), &v), 0);
	assert_int_equal(v.type, OTLP_EMPTY);
	pb_number(&b, 2, 1);
	assert_int_equal(otlp_value__read(buf_view(&b), &v), 0);
	assert_true(v.type == OTLP_BOOL && v.number == 1);
	pb_fixed64(&b, 4, bits); /* the last one counts: it is a oneof */
	assert_int_equal(otlp_value__read(buf_view(&b), &v), 0);
	assert_true(v.type == OTLP_DOUBLE && v.real == -2.5);
	pb_text(&b, 7, "raw");
	assert_int_equal(otlp_value__read(buf_view(&b), &v), 0);
	assert_true(v.type == OTLP_BYTES && view_eq(v.bytes, VIEW("raw")));
	pb_text(&b, 3, "a string where a number belongs is passed over");
	assert_int_equal(otlp_value__read(buf_view(&b), &v), 0);
	assert_int_equal(v.type, OTLP_BYTES);
	buf__free(&b);
}

static void attributes_end_where_they_break(void **state)
{
	struct otlp_attributes it;
	struct otlp_value value;
	struct buf b = { 0 };
	struct view key;

	pb_attribute_text(&b, 9, "first", "1");
	pb_text(&b, 9, "\x0a\x7f"); /* a pair that is cut off */
	it = otlp_attributes__of(buf_view(&b), 9);
	assert_int_equal(otlp_attributes__next(&it, &key, &value), 1);
	assert_int_equal(otlp_attributes__next(&it, &key, &value), -EPROTO);
	assert_true(otlp_attributes__find(buf_view(&b), 9, VIEW("first"), &value));
	assert_false(otlp_attributes__find(buf_view(&b), 9, VIEW("second"), &value));
	buf__free(&b);
}

/* Every prefix of a span, its end against a page that cannot be read. */
static void never_past_the_end(void **state)
{
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, (size_t)(2 * page), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct otlp_span_view span;
	struct buf b = { 0 };

	assert_true(two != MAP_FAILED && !mprotect(two + page, (size_t)page, PROT_NONE));
	pb_span(&b, (struct pb_span){ .trace = 1,
				      .id = 2,
				      .parent = 3,
				      .path = "/x",
				      .kind = 2,
				      .http_status = 200 });
	for (size_t n = 0; n <= b.len; n++) {
		struct view v = { two + page - n, n };
		struct otlp_value value;

		memcpy(two + page - n, b.at, n);
		otlp_span__read(v, &span);
		otlp_attributes__find(v, OTLP_SPAN_ATTRIBUTES, VIEW("no such"), &value);
	}
	munmap(two, (size_t)(2 * page));
	buf__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wire_type),
		cmocka_unit_test(broken_fields),
		cmocka_unit_test(a_span),
		cmocka_unit_test(spans_with_wrong_ids),
		cmocka_unit_test(every_value),
		cmocka_unit_test(attributes_end_where_they_break),
		cmocka_unit_test(never_past_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
