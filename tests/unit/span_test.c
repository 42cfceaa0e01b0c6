// SPDX-License-Identifier: Apache-2.0
/* Protects: a span takes what fits, counts what does not, and owns the strings that it made. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>

#include "core/endpoints.h"
#include "core/otlp.h"
#include "core/said.h"
#include "core/span.h"

static struct span span;

static int setup(void **state)
{
	memset(&span, 0, sizeof(span));
	return 0;
}

static void attributes_beyond_the_array_are_counted(void **state)
{
	for (int i = 0; i < SPAN_ATTRIBUTES_MAX + 5; i++)
		span__set_int(&span, ATTR_SERVER_PORT, i);
	span__set_string(&span, ATTR_URL_PATH, VIEW("/"));
	span__set_bool(&span, ATTR_SONDE_INCOMPLETE, true);
	span__set_custom(&span, VIEW("a."), VIEW("b"), VIEW("c"));
	assert_int_equal(span.n_attributes, SPAN_ATTRIBUTES_MAX);
	assert_int_equal(span.dropped_attributes, 8);
	assert_int_equal(span.attributes[SPAN_ATTRIBUTES_MAX - 1].number, SPAN_ATTRIBUTES_MAX - 1);
}

/* What says which operation it was and how it ended stays; all else is counted. */
static void required_attributes_stay(void **state)
{
	span__set_string(&span, ATTR_HTTP_REQUEST_METHOD, VIEW("GET"));
	span__set_string(&span, ATTR_USER_AGENT_ORIGINAL, VIEW("curl"));
	span__set_string(&span, ATTR_URL_PATH, VIEW("/"));
	span__set_custom(&span, VIEW("a."), VIEW("b"), VIEW("c"));
	span__set_string(&span, ATTR_URL_QUERY, VIEW("a=b"));
	span__set_int(&span, ATTR_HTTP_RESPONSE_STATUS_CODE, 500);
	span__set_string(&span, ATTR_ERROR_TYPE, VIEW("500"));
	span__keep_required(&span);
	assert_int_equal(span.n_attributes, 4);
	assert_int_equal(span.dropped_attributes, 3);
	assert_int_equal(span.attributes[0].key, ATTR_HTTP_REQUEST_METHOD);
	assert_int_equal(span.attributes[1].key, ATTR_URL_PATH);
	assert_int_equal(span.attributes[2].number, 500);
	assert_int_equal(span.attributes[3].key, ATTR_ERROR_TYPE);
}

static void custom_attributes_are_copied(void **state)
{
	char name[] = "x-y", value[] = "v";

	span__set_custom(&span, VIEW("http.request.header."), view_of(name), view_of(value));
	memset(name, '!', 3);
	value[0] = '!';
	assert_int_equal(span.attributes[0].key, ATTR_CUSTOM);
	assert_int_equal(span.attributes[0].type, VALUE_STRINGS);
	assert_true(view_eq(span.attributes[0].name, VIEW("http.request.header.x-y")));
	assert_true(view_eq(span.attributes[0].text, VIEW("v")));
}

static void scratch_ends(void **state)
{
	char *a = span__scratch(&span, SPAN_SCRATCH_BYTES - 1);

	assert_ptr_equal(a, span.scratch);
	assert_null(span__scratch(&span, 2));
	assert_non_null(span__scratch(&span, 1));
	assert_null(span__scratch(&span, 1));
	span__set_custom(&span, VIEW("a."), VIEW("b"), VIEW("c"));
	assert_int_equal(span.dropped_attributes, 1);
	assert_int_equal(span.n_attributes, 0);
}

static void check_address(uint16_t family, const uint8_t address[16], const char *expected)
{
	char text[ENDPOINTS_ADDRESS_MAX_BYTES];
	size_t n = endpoints__format(text, family, address);

	assert_int_equal(n, strlen(expected));
	assert_memory_equal(text, expected, n);
}

static void addresses(void **state)
{
	static const uint8_t v4[16] = { 192, 168, 0, 1 }, loopback[16] = { [15] = 1 };
	static const uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff, 10, 0, 0, 7 };
	static const uint8_t v6[16] = { 0x20, 1, 0x0d, 0xb8, [15] = 0xaf };

	check_address(SONDE_AF_INET, v4, "192.168.0.1");
	check_address(SONDE_AF_INET6, loopback, "::1");
	check_address(SONDE_AF_INET6, mapped, "10.0.0.7");
	check_address(SONDE_AF_INET6, v6, "2001:db8::af");
	check_address(SONDE_AF_UNIX, v4, "");
}

/* Zero words wherever they can be, beside words of every length: as the C library writes them. */
static void addresses_as_inet_ntop(void **state)
{
	static const uint16_t other[] = { 0x1, 0x12, 0xabc, 0xffff, 0x2001 };

	for (unsigned int zeros = 0; zeros < 256; zeros++)
		for (unsigned int k = 0; k < 5; k++) {
			char text[ENDPOINTS_ADDRESS_MAX_BYTES], expected[INET6_ADDRSTRLEN];
			uint8_t address[16] = { 0 };
			size_t n;

			for (unsigned int i = 0; i < 8; i++)
				if (!(zeros & 1u << i)) {
					address[2 * i] = (uint8_t)(other[(k + i / 2) % 5] >> 8);
					address[2 * i + 1] = (uint8_t)other[(k + i / 2) % 5];
				}
			n = endpoints__format_as_is(text, SONDE_AF_INET6, address);
			assert_non_null(inet_ntop(AF_INET6, address, expected, sizeof(expected)));
			assert_int_equal(n, strlen(expected));
			assert_memory_equal(text, expected, n);
			n = endpoints__format_as_is(text, SONDE_AF_INET, address);
			assert_non_null(inet_ntop(AF_INET, address, expected, sizeof(expected)));
			assert_int_equal(n, strlen(expected));
			assert_memory_equal(text, expected, n);
		}
}

static void peers(void **state)
{
	struct endpoints e = { .family = SONDE_AF_INET,
			       .remote_port = 80,
			       .remote = { 1, 2, 3, 4 } };

	endpoints__describe(&e, &span);
	endpoints__describe(&e, &span); /* not twice */
	assert_int_equal(span.n_attributes, 2);
	assert_int_equal(span.attributes[0].key, ATTR_NETWORK_PEER_ADDRESS);
	assert_true(view_eq(span.attributes[0].text, VIEW("1.2.3.4")));
	assert_int_equal(span.attributes[1].number, 80);
	span.n_attributes = 0;
	e.family = SONDE_AF_UNIX;
	endpoints__describe(&e, &span);
	assert_int_equal(span.n_attributes, 1);
	assert_true(view_eq(span.attributes[0].text, VIEW("unix")));
}

/* What describing an exchange of this connection adds, encoded. */
static struct buf *said(const struct exchange *ex, const char *host, bool *ret_again)
{
	static struct buf out;
	struct view from[2] = { view_of(host), VIEW("agent") };
	struct span_mark before;

	span.n_attributes = 0;
	span__set_string(&span, ATTR_URL_PATH, VIEW("/"));
	before = span__mark(&span);
	*ret_again = said__again(&span, ex, SAID_REQUEST, from, 2);
	if (!*ret_again) {
		span__set_string(&span, ATTR_SERVER_ADDRESS, from[0]);
		span__set_int(&span, ATTR_SERVER_PORT, ex->endpoints.remote_port);
		said__keep(&span, ex, SAID_REQUEST, from, 2, before);
	}
	buf__clear(&out);
	otlp__content(&out, &span, 1, 2);
	assert_int_equal(out.err, 0);
	return &out;
}

static void what_was_said_is_the_same(void **state)
{
	static struct said_table table;
	struct exchange ex = { .turn = { .conn = 7 } }, other = { .turn = { .conn = 7 } };
	char host[300] = "a.example";
	struct buf first = { 0 };
	const struct buf *got;
	bool again;

	ex.endpoints = (struct endpoints){ .family = SONDE_AF_INET, .remote_port = 1 };
	other.endpoints = (struct endpoints){ .family = SONDE_AF_INET, .remote_port = 2 };
	/* as it is without a table */
	got = said(&ex, host, &again);
	buf__add(&first, got->at, got->len);
	assert_false(again);
	span.said = &table;
	for (int i = 0; i < 3; i++) {
		got = said(&ex, host, &again);
		assert_int_equal(again, i > 0);
		assert_int_equal(got->len, first.len);
		assert_memory_equal(got->at, first.at, first.len);
	}
	/* another request, another connection in the same place, and one kind is not the other */
	said(&ex, "b.example", &again);
	assert_false(again);
	said(&ex, "b.exampl", &again);
	assert_false(again);
	said(&other, "b.exampl", &again);
	assert_false(again);
	assert_false(said__again(&span, &other, SAID_PEER, NULL, 0));
	said(&other, "b.exampl", &again);
	assert_true(again);
	/* too much to be kept */
	memset(host, 'x', sizeof(host) - 1);
	for (int i = 0; i < 2; i++) {
		said(&ex, host, &again);
		assert_false(again);
		assert_int_equal(span.n_attributes, 3);
		host[250] = 0;
	}
	span.n_attributes = 0;
	span__set_custom(&span, VIEW("a."), VIEW("b"), VIEW("c"));
	said__keep(&span, &ex, SAID_PEER, NULL, 0, (struct span_mark){ 0 });
	assert_false(said__again(&span, &ex, SAID_PEER, NULL, 0));
	buf__free(&first);
	buf__free((struct buf *)got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(attributes_beyond_the_array_are_counted, setup),
		cmocka_unit_test_setup(required_attributes_stay, setup),
		cmocka_unit_test_setup(custom_attributes_are_copied, setup),
		cmocka_unit_test_setup(scratch_ends, setup),
		cmocka_unit_test_setup(addresses, setup),
		cmocka_unit_test(addresses_as_inet_ntop),
		cmocka_unit_test_setup(peers, setup),
		cmocka_unit_test_setup(what_was_said_is_the_same, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
