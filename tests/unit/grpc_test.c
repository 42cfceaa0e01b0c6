// SPDX-License-Identifier: Apache-2.0
/* gRPC: what its header fields mean, and the spans of calls by the RPC semantic conventions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/exchange_pool.h"
#include "core/tracer.h"
#include "core/proto/http2.h"
#include "core/span.h"

#define MS 1000000ull

static struct exchange_pool *pool;
static struct span span;

static int setup(void **state)
{
	pool = exchange_pool__new(2);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	exchange_pool__free(pool);
	return 0;
}

/* ---- fields ---- */

static void content_types(void **state)
{
	static const char *const calls[] = { "application/grpc", "application/grpc+proto",
					     "Application/gRPC", "application/grpc;v=1" };
	static const char *const others[] = { "",
					      "application/grp",
					      "application/grpc-web",
					      "application/grpc-web+proto",
					      "application/grpcx",
					      "application/json" };

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		assert_true(grpc__is_content_type(view_of(calls[i])));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(grpc__is_content_type(view_of(others[i])));
}

static void statuses(void **state)
{
	assert_int_equal(grpc__status_of(VIEW("0")), 0);
	assert_int_equal(grpc__status_of(VIEW("16")), 16);
	assert_int_equal(grpc__status_of(VIEW("9999")), 9999);
	assert_int_equal(grpc__status_of(VIEW("")), -1);
	assert_int_equal(grpc__status_of(VIEW("10000")), -1);
	assert_int_equal(grpc__status_of(VIEW("-1")), -1);
	assert_int_equal(grpc__status_of(VIEW("1 ")), -1);
	/* RST_STREAM: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Errors */
	assert_int_equal(grpc__status_of_reset(0), 13);
	assert_int_equal(grpc__status_of_reset(7), 14);
	assert_int_equal(grpc__status_of_reset(8), 1);
	assert_int_equal(grpc__status_of_reset(11), 8);
	assert_int_equal(grpc__status_of_reset(12), 7);
	assert_int_equal(grpc__status_of_reset(0xffffffff), 13);
}

static void timeouts(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		{ "1n", 1 },
		{ "2u", 2000 },
		{ "300m", 300 * MS },
		{ "4S", 4000 * MS },
		{ "5M", 300000 * MS },
		{ "6H", 6 * 3600000 * MS },
		{ "99999999S", 99999999000 * MS },
		/* 11,000 years: the nanoseconds do not fit, and no wrong number is said */
		{ "99999999H", 0 },
		/* eight digits are the most, and a unit is one of six */
		{ "100000000n", 0 },
		{ "", 0 },
		{ "S", 0 },
		{ "1", 0 },
		{ "1s", 0 },
		{ "-1S", 0 },
		{ "1 S", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(grpc__timeout_ns(view_of(cases[i].text)), cases[i].ns);
	}
}

/* ---- spans ---- */

static const struct attribute *find(const char *name)
{
	for (unsigned int i = 0; i < span.n_attributes; i++)
		if (!strcmp(attribute_name[span.attributes[i].key], name))
			return &span.attributes[i];
	return NULL;
}

static void has(const char *name, const char *want)
{
	const struct attribute *a = find(name);
	char number[24];

	if (!want) {
		if (a)
			fail_msg("%s is there", name);
		return;
	}
	if (!a)
		fail_msg("no %s", name);
	snprintf(number, sizeof(number), "%ld", (long)a->number);
	if (!view_eq(a->type == VALUE_INT ? view_of(number) : a->text, view_of(want)))
		fail_msg("%s is %s%.*s, not %s", name, a->type == VALUE_INT ? number : "",
			 (int)a->text.len, a->text.at, want);
}

/* A call of `/shop.Cart/Add`; timeout: of its metadata, or NULL. */
static void describe(enum exchange_side side, uint32_t flags, uint16_t status, const char *timeout,
		     uint64_t took_ns)
{
	static const struct describe_options options = { .known_methods = "" };
	struct exchange *ex = exchange_pool__get(pool);

	assert_non_null(ex);
	ex->side = side;
	ex->flags = EX_RPC | flags;
	ex->method = VIEW("POST");
	ex->target = VIEW("http://cart:50051/shop.Cart/Add");
	ex->version = VIEW("2");
	ex->rpc_status = status;
	ex->start_ns = 1000;
	ex->end_ns = 1000 + took_ns;
	ex->request_messages = 3;
	ex->response_messages = 1;
	if (timeout)
		header_fields__add(&ex->fields,
				   (struct header_field){ VIEW("grpc-timeout"), view_of(timeout) });
	memset(&span, 0, sizeof(span));
	http2__describe(ex, &options, &span);
	exchange__free(ex);
}

static void calls(void **state)
{
	for (int side = SIDE_SERVER; side <= SIDE_CLIENT; side++) {
		describe(side, EX_STATUS | EX_RESPONSE, 0, NULL, MS);
		assert_true(view_eq(span.name, VIEW("shop.Cart/Add")));
		assert_int_equal(span.kind, side);
		assert_int_equal(span.status, 0);
		has("rpc.system.name", "grpc");
		has("rpc.method", "shop.Cart/Add");
		has("rpc.method_original", NULL);
		has("rpc.response.status_code", "OK");
		has("error.type", NULL);
		has("server.address", "cart");
		has("server.port", "50051");
		has("sonde.rpc.request.messages", "3");
		has("sonde.rpc.response.messages", "1");
		has("sonde.rpc.timeout", NULL);
		has("sonde.headers", NULL);
		has("http.request.method", NULL);
	}
}

/* Of a server's status not every one is an error of the server (RPC conventions, gRPC). */
static void errors(void **state)
{
	static const uint32_t of_server = 1 << 2 | 1 << 4 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15;

	for (uint16_t status = 1; status <= 16; status++) {
		describe(SIDE_CLIENT, EX_STATUS, status, NULL, MS);
		assert_int_equal(span.status, 2);
		describe(SIDE_SERVER, EX_STATUS, status, NULL, MS);
		assert_int_equal(span.status, of_server >> status & 1 ? 2 : 0);
	}
	describe(SIDE_CLIENT, EX_STATUS, 5, NULL, MS);
	has("rpc.response.status_code", "NOT_FOUND");
	has("error.type", "NOT_FOUND");
	/* one of nobody's, in digits */
	describe(SIDE_CLIENT, EX_STATUS, 1234, NULL, MS);
	has("rpc.response.status_code", "1234");
	/* names of methods that nobody has are not spans' names */
	describe(SIDE_SERVER, EX_STATUS, 12, NULL, MS);
	assert_true(view_eq(span.name, VIEW("_OTHER")));
	has("rpc.method", "_OTHER");
	has("rpc.method_original", "shop.Cart/Add");
	/* none seen */
	describe(SIDE_SERVER, 0, 0, NULL, MS);
	has("rpc.response.status_code", NULL);
}

/* A client whose time is over cancels by the same code as one that wants no more. */
static void deadlines(void **state)
{
	describe(SIDE_CLIENT, EX_STATUS | EX_CUT, 1, "100m", 100 * MS);
	has("sonde.rpc.timeout", "100");
	has("rpc.response.status_code", "DEADLINE_EXCEEDED");
	describe(SIDE_CLIENT, EX_STATUS | EX_CUT, 1, "100m", 50 * MS);
	has("rpc.response.status_code", "CANCELLED");
	describe(SIDE_CLIENT, EX_STATUS | EX_CUT, 1, NULL, 100 * MS);
	has("rpc.response.status_code", "CANCELLED");
	/* said by the server itself */
	describe(SIDE_CLIENT, EX_STATUS | EX_RESPONSE, 1, "100m", 200 * MS);
	has("rpc.response.status_code", "CANCELLED");
}

/* Protects: numbers that are not known are left out. */
static void unknown_numbers(void **state)
{
	describe(SIDE_SERVER, EX_STATUS | EX_REQUESTS_UNKNOWN, 0, NULL, MS);
	has("sonde.rpc.request.messages", NULL);
	has("sonde.rpc.response.messages", "1");
	describe(SIDE_SERVER, EX_STATUS | EX_RESPONSES_UNKNOWN | EX_FIELDS_PARTIAL, 0, NULL, MS);
	has("sonde.rpc.request.messages", "3");
	has("sonde.rpc.response.messages", NULL);
	has("sonde.headers", "partial");
}

/* Protects: what is inside TLS is https, and nothing else is said of it by that. */
static void inside_tls(void **state)
{
	describe(SIDE_SERVER, EX_STATUS | EX_CARRIED, 0, NULL, MS);
	has("sonde.headers", NULL);
}

/* A call by grpc-web or Connect; fields are "name: value", and NULL. */
static void describe_web(int side, uint32_t flags, uint16_t status, uint16_t rpc_status,
			 const char *target, const char *const *fields)
{
	static const struct describe_options options = { .known_methods = "" };
	struct exchange *ex = exchange_pool__get(pool);

	ex->side = (enum exchange_side)side;
	ex->flags = flags | EX_RESPONSE;
	ex->status = status;
	ex->rpc_status = rpc_status;
	ex->method = VIEW("POST");
	ex->target = view_of(target);
	ex->version = VIEW("1.1");
	for (; *fields; fields++) {
		const char *colon = strchr(*fields, ':');
		struct header_field field = { { *fields, (size_t)(colon - *fields) },
					      view_of(colon + 2) };

		assert_int_equal(header_fields__add(&ex->fields, field), 0);
	}
	memset(&span, 0, sizeof(span));
	http1__describe(ex, &options, &span);
	exchange__free(ex);
}

#define FIELDS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define CONNECT "connect-protocol-version: 1"

/* Protects: what fields of HTTP say of a call is said beside what is said of HTTP, and nothing else is. */
static void web_calls(void **state)
{
	static const struct {
		const char *type, *version, *system;
	} cases[] = {
		{ "content-type: application/grpc-web", NULL, "grpc" },
		{ "Content-Type: application/grpc-web+proto", NULL, "grpc" },
		{ "content-type: application/grpc-web-text; charset=x", NULL, "grpc" },
		{ "content-type: application/connect+proto", NULL, "connectrpc" },
		{ "content-type: application/connect+json", CONNECT, "connectrpc" },
		{ "content-type: application/proto", CONNECT, "connectrpc" },
		{ "content-type: application/json", CONNECT, "connectrpc" },
		{ "content-type: application/json", NULL, NULL },
		{ "content-type: application/proto", NULL, NULL },
		{ "content-type: application/connect", NULL, NULL },
		{ "content-type: application/grpc-website", NULL, NULL },
		{ "content-type: text/plain", CONNECT, NULL },
		{ "content-type: a", CONNECT, NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		describe_web(SIDE_SERVER, 0, 200, 0, "/shop.Cart/Add",
			     FIELDS(cases[i].type, cases[i].version));
		has("rpc.system.name", cases[i].system);
		has("rpc.method", cases[i].system ? "shop.Cart/Add" : NULL);
		has("rpc.response.status_code", NULL);
		has("http.request.method", "POST");
		has("http.response.status_code", "200");
		has("url.path", "/shop.Cart/Add");
		assert_true(
			view_eq(span.name, cases[i].system ? VIEW("shop.Cart/Add") : VIEW("POST")));
		assert_int_equal(span.status, 0);
	}
}

static void web_statuses(void **state)
{
	static const char type[] = "content-type: application/grpc-web";

	/* one that was said */
	describe_web(SIDE_CLIENT, EX_STATUS, 200, 5, "/shop.Cart/Add", FIELDS(type));
	has("rpc.response.status_code", "NOT_FOUND");
	has("error.type", "NOT_FOUND");
	assert_int_equal(span.status, 2);
	describe_web(SIDE_SERVER, EX_STATUS, 200, 5, "/shop.Cart/Add", FIELDS(type));
	assert_int_equal(span.status, 0);
	/* none: what HTTP says, and nothing made of it */
	describe_web(SIDE_CLIENT, 0, 503, 0, "/shop.Cart/Add", FIELDS(type));
	has("rpc.response.status_code", NULL);
	has("error.type", "503");
	assert_int_equal(span.status, 2);
	/* a name that may be anybody's */
	describe_web(SIDE_SERVER, 0, 404, 0, "/any/Thing", FIELDS(type));
	assert_true(view_eq(span.name, VIEW("_OTHER")));
	has("rpc.method", "_OTHER");
	has("rpc.method_original", "any/Thing");
	describe_web(SIDE_SERVER, EX_STATUS, 200, 12, "/any/Thing", FIELDS(type));
	has("rpc.method_original", "any/Thing");
}

static void web_paths(void **state)
{
	static const char type[] = "content-type: application/connect+proto";
	static const char *const none[] = { "*", "/", "/a", "//", "/a/", "//a", "h:80", "/a//" };

	describe_web(SIDE_SERVER, 0, 200, 0, "/api/v1/shop.Cart/Add?x=1", FIELDS(type));
	has("rpc.method", "shop.Cart/Add");
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		describe_web(SIDE_SERVER, 0, 200, 0, none[i], FIELDS(type));
		has("rpc.method", NULL);
		has("rpc.system.name", NULL);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(content_types), TEST(statuses),	 TEST(timeouts),	TEST(calls),
		TEST(errors),	     TEST(deadlines),	 TEST(unknown_numbers), TEST(inside_tls),
		TEST(web_calls),     TEST(web_statuses), TEST(web_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
