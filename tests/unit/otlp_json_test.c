// SPDX-License-Identifier: Apache-2.0
/* Protects: OTLP JSON as its specification says, valid UTF-8 and valid JSON whatever goes in. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "core/otlp_json.h"
#include "core/otlp_view.h"
#include "pbmake.h"

static void assert_string(struct view in, const char *want)
{
	struct buf out = { 0 };

	otlp_json__string(&out, in);
	buf__add(&out, "", 1);
	assert_string_equal(out.at, want);
	buf__free(&out);
}
#define STRING(in, want) assert_string(VIEW(in), want)

static void strings(void **state)
{
	STRING("", "\"\"");
	STRING("plain /text~", "\"plain /text~\"");
	STRING("a\"b\\c", "\"a\\\"b\\\\c\"");
	STRING("\n\t\r", "\"\\n\\t\\u000d\"");
	STRING("\0\x01\x1f\x7f", "\"\\u0000\\u0001\\u001f\\u007f\"");
	STRING("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
	       "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

#define BAD "\xef\xbf\xbd"
static void strings_that_are_no_utf8(void **state)
{
	STRING("a\xff"
	       "b",
	       "\"a" BAD "b\"");
	STRING("\x80", "\"" BAD "\"");
	STRING("\xc3", "\"" BAD "\""); /* cut off */
	STRING("\xe2\x82", "\"" BAD BAD "\"");
	STRING("\xc0\xaf", "\"" BAD BAD "\""); /* overlong */
	STRING("\xe0\x80\xaf", "\"" BAD BAD BAD "\"");
	STRING("\xf0\x80\x80\xaf", "\"" BAD BAD BAD BAD "\"");
	STRING("\xed\xa0\x80", "\"" BAD BAD BAD "\"");	       /* surrogate */
	STRING("\xf4\x90\x80\x80", "\"" BAD BAD BAD BAD "\""); /* beyond U+10FFFF */
	STRING("\xc3(", "\"" BAD "(\"");
}

static json_t *read_back(struct buf *out)
{
	json_t *root = json_loadb((const char *)out->at, out->len, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(root);
	buf__free(out);
	return root;
}

static void any(struct buf *span, const char *key, struct buf *value)
{
	struct buf pair = { 0 };

	pb_text(&pair, 1, key);
	pb_message(&pair, 2, value);
	pb_message(span, 9, &pair);
}

static const char *text_of(json_t *root, const char *path)
{
	return json_string_value(json_object_get(root, path));
}

static void a_whole_span(void **state)
{
	struct buf b = { 0 }, out = { 0 }, event = { 0 }, link = { 0 };
	uint8_t id[16];
	json_t *root;

	memset(id, 0xab, sizeof(id));
	pb_span(&b, (struct pb_span){ .trace = 0xaa,
				      .id = 0x0b,
				      .parent = 0xcc,
				      .path = "/x",
				      .kind = 3,
				      .status = 2,
				      .start_ns = UINT64_MAX,
				      .end_ns = 1 });
	pb_text(&b, 3, "k=v");
	pb_fixed32(&b, 16, 257);
	pb_number(&b, 10, 1);
	pb_fixed64(&event, 1, 5);
	pb_text(&event, 2, "exception");
	pb_attribute_text(&event, 3, "exception.type", "E");
	pb_number(&event, 4, 2);
	pb_message(&b, 11, &event);
	pb_bytes(&link, 1, id, 16);
	pb_bytes(&link, 2, id, 8);
	pb_text(&link, 3, "s=t");
	pb_attribute_int(&link, 4, "n", 1);
	pb_number(&link, 5, 3);
	pb_fixed32(&link, 6, 1);
	pb_message(&b, 13, &link);
	pb_number(&b, 12, 4);
	pb_number(&b, 14, 5);
	assert_int_equal(otlp_json__span(&out, buf_view(&b)), 0);
	root = read_back(&out);
	assert_string_equal(text_of(root, "traceId"), "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
	assert_string_equal(text_of(root, "spanId"), "0b0b0b0b0b0b0b0b");
	assert_string_equal(text_of(root, "parentSpanId"), "cccccccccccccccc");
	assert_string_equal(text_of(root, "traceState"), "k=v");
	assert_string_equal(text_of(root, "startTimeUnixNano"), "18446744073709551615");
	assert_int_equal(json_integer_value(json_object_get(root, "kind")), 3);
	assert_int_equal(json_integer_value(json_object_get(root, "flags")), 257);
	assert_int_equal(json_integer_value(json_object_get(root, "droppedAttributesCount")), 1);
	assert_int_equal(json_integer_value(json_object_get(root, "droppedEventsCount")), 4);
	assert_int_equal(json_integer_value(json_object_get(root, "droppedLinksCount")), 5);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(root, "status"), "code")),
			 2);
	assert_string_equal(text_of(json_array_get(json_object_get(root, "events"), 0), "name"),
			    "exception");
	assert_string_equal(text_of(json_array_get(json_object_get(root, "links"), 0), "traceId"),
			    "abababababababababababababababab");
	json_decref(root);
	buf__free(&b);
}

static void assert_value(struct buf *value, const char *want)
{
	struct buf b = { 0 }, out = { 0 };

	pb_span(&b, (struct pb_span){ .trace = 1, .id = 1 });
	any(&b, "k", value);
	assert_int_equal(otlp_json__span(&out, buf_view(&b)), 0);
	buf__add(&out, "", 1);
	if (!strstr((const char *)out.at, want))
		fail_msg("%s not in %s", want, (const char *)out.at);
	out.len--;
	json_decref(read_back(&out));
	buf__free(&b);
}

static void put_double(struct buf *b, double d)
{
	uint64_t bits;

	memcpy(&bits, &d, 8);
	pb_fixed64(b, 4, bits);
}

static void every_value(void **state)
{
	struct buf v = { 0 }, inner = { 0 }, list = { 0 };

	assert_value(&v, "\"value\":{}");
	pb_number(&v, 2, 1);
	assert_value(&v, "{\"boolValue\":true}");
	pb_number(&v, 2, 0);
	assert_value(&v, "{\"boolValue\":false}");
	pb_number(&v, 3, (uint64_t)INT64_MIN);
	assert_value(&v, "{\"intValue\":\"-9223372036854775808\"}");
	put_double(&v, 0.1);
	assert_value(&v, "{\"doubleValue\":0.10000000000000001}");
	put_double(&v, (double)NAN);
	assert_value(&v, "{\"doubleValue\":\"NaN\"}");
	put_double(&v, (double)-INFINITY);
	assert_value(&v, "{\"doubleValue\":\"-Infinity\"}");
	put_double(&v, (double)INFINITY);
	assert_value(&v, "{\"doubleValue\":\"Infinity\"}");
	pb_bytes(&v, 7, "\x00\xff\x10", 3);
	assert_value(&v, "{\"bytesValue\":\"AP8Q\"}");
	pb_bytes(&v, 7, "\xfb\xff", 2);
	assert_value(&v, "{\"bytesValue\":\"+/8=\"}");
	pb_bytes(&v, 7, "f", 1);
	assert_value(&v, "{\"bytesValue\":\"Zg==\"}");
	pb_text(&inner, 1, "x");
	pb_message(&list, 1, &inner);
	pb_number(&inner, 3, 5);
	pb_message(&list, 1, &inner);
	pb_message(&v, 5, &list);
	assert_value(
		&v, "{\"arrayValue\":{\"values\":[{\"stringValue\":\"x\"},{\"intValue\":\"5\"}]}}");
	pb_attribute_text(&list, 1, "in", "side");
	pb_message(&v, 6, &list);
	assert_value(&v, "{\"kvlistValue\":{\"values\":[{\"key\":\"in\",\"value\":{\"stringValue\":"
			 "\"side\"}}]}}");
}

static void deep_values_end(void **state)
{
	struct buf v = { 0 }, list = { 0 };

	pb_text(&v, 1, "bottom");
	for (int i = 0; i < 100; i++) {
		pb_message(&list, 1, &v);
		pb_message(&v, 5, &list);
	}
	assert_value(&v, "{}");
}

static void broken_ones_leave_nothing(void **state)
{
	struct buf b = { 0 }, out = { 0 };

	buf__add_str(&out, "before");
	assert_int_equal(otlp_json__span(&out, VIEW("\xff")), -EPROTO);
	assert_int_equal(otlp_json__span(&out, VIEW("")), -EPROTO);
	assert_int_equal(otlp_json__resource(&out, VIEW("\x0a\x05")), -EPROTO);
	assert_int_equal(otlp_json__scope(&out, VIEW("\x0a\x05")), -EPROTO);
	pb_span(&b, (struct pb_span){ .trace = 1, .id = 1 });
	pb_text(&b, 9, "\x0a\x7f");
	assert_int_equal(otlp_json__span(&out, buf_view(&b)), -EPROTO);
	assert_int_equal(out.len, 6);
	buf__clear(&b);
	pb_span(&b, (struct pb_span){ .trace = 1, .id = 1 });
	pb_text(&b, 13, "\x0a\x01x"); /* a link without ids */
	assert_int_equal(otlp_json__span(&out, buf_view(&b)), -EPROTO);
	assert_int_equal(out.len, 6);
	buf__free(&b);
	buf__free(&out);
}

static void resources_and_scopes(void **state)
{
	struct buf b = { 0 }, out = { 0 };

	pb_resource(&b, "web");
	pb_number(&b, 2, 3);
	assert_int_equal(otlp_json__resource(&out, buf_view(&b)), 0);
	buf__add(&out, "", 1);
	assert_string_equal(
		out.at,
		"{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"web\"}}],"
		"\"droppedAttributesCount\":3}");
	buf__clear(&out);
	buf__clear(&b);
	pb_text(&b, 1, "sonde");
	pb_text(&b, 2, "1");
	pb_number(&b, 4, 1);
	assert_int_equal(otlp_json__scope(&out, buf_view(&b)), 0);
	buf__add(&out, "", 1);
	assert_string_equal(out.at, "{\"name\":\"sonde\",\"version\":\"1\",\"attributes\":[],"
				    "\"droppedAttributesCount\":1}");
	buf__free(&b);
	buf__free(&out);
}

static void a_full_buffer(void **state)
{
	struct buf b = { 0 };

	pb_span(&b, (struct pb_span){
			    .trace = 1, .id = 1, .parent = 1, .path = "/x", .http_status = 200 });
	for (size_t max = 1; max < 400; max++) {
		struct buf out = { .max = max };

		otlp_json__span(&out, buf_view(&b));
		assert_true(out.len <= max);
		buf__free(&out);
	}
	buf__free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings),
		cmocka_unit_test(strings_that_are_no_utf8),
		cmocka_unit_test(a_whole_span),
		cmocka_unit_test(every_value),
		cmocka_unit_test(deep_values_end),
		cmocka_unit_test(broken_ones_leave_nothing),
		cmocka_unit_test(resources_and_scopes),
		cmocka_unit_test(a_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
