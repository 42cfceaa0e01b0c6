// SPDX-License-Identifier: Apache-2.0
/* Protects: rates, durations, what was in flight, and who called whom, on traces that were worked out by hand. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "pbmake.h"
#include "ship/console/callmap.h"
#include "ship/console/operation.h"
#include "ship/console/tally.h"

/* What a row of a table leaves out is nothing. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define MS 1000000ull
#define BEGIN 1000000000000ull
#define LATE (BEGIN + 3600000 * MS)

enum { INTERNAL = 1, SERVER, CLIENT, PRODUCER, CONSUMER };

struct made {
	uint8_t trace, id, parent;
	const char *service;
	int kind;
	const char *name, *path;
	uint64_t start_ms, took_ms;
	bool failed;
	const char *address;
	int port;
};

/* The row holds as long as the buffers do. */
static void make(struct buf *span, struct buf *resource, const struct made *m, struct row *ret)
{
	buf__clear(span);
	buf__clear(resource);
	pb_resource(resource, m->service);
	pb_span(span, (struct pb_span){ .trace = m->trace,
					.id = m->id,
					.parent = m->parent,
					.name = m->name,
					.path = m->path,
					.kind = m->kind,
					.status = m->failed ? 2 : 0,
					.start_ns = BEGIN + m->start_ms * MS,
					.end_ns = BEGIN + (m->start_ms + m->took_ms) * MS });
	if (m->address)
		pb_attribute_text(span, 9, "server.address", m->address);
	if (m->port)
		pb_attribute_int(span, 9, "server.port", m->port);
	assert_int_equal(row__read(ret, buf_view(span), buf_view(resource)), 0);
}

static void tally_all(struct tally *t, const struct made *spans, size_t n)
{
	struct buf span = { 0 }, resource = { 0 };
	struct row row;

	for (size_t i = 0; i < n; i++) {
		make(&span, &resource, &spans[i], &row);
		tally__add(t, &row);
	}
	tally__finish(t);
	assert_false(t->failed);
	buf__free(&span);
	buf__free(&resource);
}

#define TALLY(t, spans) tally_all(t, spans, sizeof(spans) / sizeof(spans[0]))

static const struct tally_side_of *side(const struct tally *t, const char *service)
{
	for (uint32_t i = 0; i < t->services.n; i++)
		if (view_eq(intern__text(&t->services, i), view_of(service)))
			return &t->at[i].sides[tally__side(&t->at[i])];
	fail_msg("there is no service %s", service);
	return NULL;
}

static void over_time(void **state)
{
	/* In buckets of 10 ms: one of 25 ms from 0, one of 3 ms from 12 that failed, one of 1 ms from 99. */
	static const struct made spans[] = {
		{ 1, 1, 0, "shop", SERVER, "GET", "/a/1", 0, 25 },
		{ 1, 2, 0, "shop", SERVER, "GET", "/a/2", 12, 3, true },
		{ 1, 3, 0, "shop", SERVER, "GET", "/b", 99, 1 },
		{ 1, 4, 0, "shop", CLIENT, "GET", "/x", 13, 1 },
		{ 1, 5, 0, "shop", SERVER, "GET", "/a/3", 200, 1 }, /* after the range */
	};
	const struct tally_side_of *shop;
	struct tally t;

	tally__init(&t, BEGIN, BEGIN + 100 * MS - 1, 10);
	assert_int_equal(t.width_ns, 10 * MS);
	TALLY(&t, spans);
	shop = side(&t, "shop");
	assert_int_equal(t.spans, 4);
	assert_int_equal(shop->all.count, 3);
	assert_int_equal(shop->all.errors, 1);
	assert_int_equal(shop->all.durations.max, 25 * MS);
	assert_int_equal(shop->buckets[0].of.count, 1);
	assert_int_equal(shop->buckets[1].of.count, 1);
	assert_int_equal(shop->buckets[1].of.errors, 1);
	assert_int_equal(shop->buckets[9].of.count, 1);
	/* 10 of the long one; 10 of it and 3 of the other; the rest of it. */
	assert_int_equal(shop->buckets[0].work_ns, 10 * MS);
	assert_int_equal(shop->buckets[1].work_ns, 13 * MS);
	assert_int_equal(shop->buckets[2].work_ns, 5 * MS);
	assert_int_equal(shop->buckets[3].work_ns, 0);
	assert_int_equal(shop->buckets[0].busy_ns, 10 * MS);
	assert_int_equal(shop->buckets[1].busy_ns, 10 * MS);
	assert_int_equal(shop->buckets[2].busy_ns, 5 * MS);
	assert_int_equal(shop->busy_ns, 26 * MS);
	assert_int_equal(shop->work_ns, 29 * MS);
	assert_int_equal(shop->buckets[0].peak, 1);
	assert_int_equal(shop->buckets[1].peak, 2);
	assert_int_equal(shop->buckets[2].peak, 1);
	assert_int_equal(shop->buckets[3].peak, 0);
	assert_int_equal(shop->peak, 2);
	tally__free(&t);
}

static const struct tally_operation *operation(const struct tally *t, const char *name, int kind)
{
	for (uint32_t i = 0; i < t->operations.n; i++)
		if (view_eq(t->ops[i].name, view_of(name)) && t->ops[i].kind == (uint32_t)kind)
			return &t->ops[i];
	fail_msg("there is no operation %s", name);
	return NULL;
}

static void by_operation_and_merged(void **state)
{
	static const struct made one[] = {
		{ 1, 1, 0, "shop", SERVER, "GET", "/a/1", 0, 10 },
		{ 1, 2, 0, "shop", SERVER, "GET", "/a/77", 1, 20, true },
		{ 1, 3, 0, "shop", SERVER, "GET /b", "/b", 2, 1 },
	};
	static const struct made two[] = {
		{ 2, 1, 0, "shop", SERVER, "GET", "/a/3", 3, 30 },
		{ 2, 2, 0, "web", CLIENT, "GET", "/a/3", 4, 31 },
	};
	struct tally t, u;

	tally__init(&t, BEGIN, LATE, 0);
	tally__init(&u, BEGIN, LATE, 0);
	TALLY(&t, one);
	TALLY(&u, two);
	tally__merge(&t, &u);
	assert_int_equal(t.spans, 5);
	assert_int_equal(operation(&t, "GET /a/{id}", SERVER)->of.count, 3);
	assert_int_equal(operation(&t, "GET /a/{id}", SERVER)->of.errors, 1);
	assert_int_equal(operation(&t, "GET /a/{id}", SERVER)->of.durations.max, 30 * MS);
	assert_true(operation(&t, "GET /a/{id}", SERVER)->inferred);
	assert_true(view_eq(operation(&t, "GET /a/{id}", SERVER)->asked, VIEW("GET")));
	assert_false(operation(&t, "GET /b", SERVER)->inferred);
	assert_int_equal(operation(&t, "GET /a/{id}", CLIENT)->of.count, 1);
	tally__free(&t);
	tally__free(&u);
}

/* What is one too many is counted, and harms nothing. */
static void more_than_is_kept(void **state)
{
	struct buf span = { 0 }, resource = { 0 };
	struct tally t;
	struct row row;
	char name[32];

	tally__init(&t, BEGIN, LATE, 4);
	for (unsigned int i = 0; i < 3000; i++) {
		struct made m = { 1, 1, 0, "one", SERVER, name, NULL, i, 1 };

		snprintf(name, sizeof(name), "op%u-x", i);
		if (i >= 2000) {
			snprintf(name, sizeof(name), "s%u", i);
			m.service = name;
			m.name = "GET";
		}
		make(&span, &resource, &m, &row);
		tally__add(&t, &row);
	}
	tally__finish(&t);
	assert_int_equal(t.spans, 3000);
	assert_int_equal(t.operations.n, TALLY_OPERATIONS_MAX);
	assert_int_equal(t.services.n, TALLY_SERVICES_MAX);
	assert_int_equal(t.left_out, 3000 - TALLY_OPERATIONS_MAX);
	assert_int_equal(side(&t, "one")->all.count, 2000);
	tally__free(&t);
	buf__free(&span);
	buf__free(&resource);
}

static void names_of_operations(void **state)
{
	static const struct {
		const char *name, *path, *is;
		bool inferred;
	} cases[] = {
		{ "GET", "/users/17/cart", "GET /users/{id}/cart", true },
		{ "GET", "/", "GET /", true },
		{ "GET", NULL, "GET", false },
		{ "GET", "/x/0b9c0e0c-2d6a-4f39-9a44-d7a4a5ac4a11", "GET /x/{id}", true },
		{ "GET", "/x/deadbeef", "GET /x/deadbeef", true },
		{ "GET", "/x/deadbee5", "GET /x/{id}", true },
		{ "GET", "/x/some-very-long-words-here", "GET /x/some-very-long-words-here", true },
		{ "GET", "/x/abcdefghij0123456789", "GET /x/{id}", true },
		{ "SELECT stock", NULL, "SELECT stock", false },
		{ "GET /users/{id}", "/users/17", "GET /users/{id}", false },
		{ "/users/17", NULL, "/users/{id}", true },
		{ "", NULL, "", false },
	};
	struct buf span = { 0 }, resource = { 0 }, out = { 0 };
	struct row row;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct made m = { 1, 1, 0, "s", SERVER, cases[i].name, cases[i].path, 0, 1 };

		make(&span, &resource, &m, &row);
		buf__clear(&out);
		assert_int_equal(operation__add(&out, &row), cases[i].inferred);
		if (!view_eq(buf_view(&out), view_of(cases[i].is)))
			fail_msg("%s %s: %.*s", cases[i].name, cases[i].path, (int)out.len, out.at);
	}
	buf__free(&span);
	buf__free(&resource);
	buf__free(&out);
}

static void map_all(struct callmap *m, const struct made *spans, size_t n)
{
	struct buf span = { 0 }, resource = { 0 };
	struct row row;

	callmap__init(m, BEGIN, BEGIN + 1000 * MS, LATE);
	for (size_t i = 0; i < n; i++) {
		make(&span, &resource, &spans[i], &row);
		if (callmap__wants(m, &row))
			callmap__add(m, &row);
	}
	callmap__finish(m);
	assert_false(m->failed);
	buf__free(&span);
	buf__free(&resource);
}

#define MAP(m, spans) map_all(m, spans, sizeof(spans) / sizeof(spans[0]))

static void edge_is(const struct callmap *m, uint32_t i, const char *from, const char *to,
		    uint64_t count, uint64_t errors)
{
	assert_true(i < m->n_edges);
	if (!view_eq(m->nodes[m->edges[i].from].name, view_of(from)) ||
	    !view_eq(m->nodes[m->edges[i].to].name, view_of(to)))
		fail_msg("edge %u is %.*s to %.*s", i, (int)m->nodes[m->edges[i].from].name.len,
			 m->nodes[m->edges[i].from].name.at, (int)m->nodes[m->edges[i].to].name.len,
			 m->nodes[m->edges[i].to].name.at);
	assert_int_equal(m->edges[i].count, count);
	assert_int_equal(m->edges[i].errors, errors);
}

static void who_calls_whom(void **state)
{
	/* web asks shop (80 ms as web sees it, 76 in shop), which asks a database twice, once in vain. */
	static const struct made spans[] = {
		{ 1, 1, 0, "web", SERVER, "GET", "/", 0, 100 },
		{ 1, 2, 1, "web", CLIENT, "GET", NULL, 2, 80, false, "shop", 80 },
		{ 1, 3, 2, "shop", SERVER, "GET", "/items", 4, 76 },
		{ 1, 4, 3, "shop", INTERNAL, "work", NULL, 5, 70 },
		{ 1, 5, 4, "shop", CLIENT, "SELECT", NULL, 6, 10, false, "db", 5432 },
		{ 1, 6, 3, "shop", CLIENT, "SELECT", NULL, 20, 30, true, "db", 5432 },
		/* Its SDK tells of the request beside sonde, and of its own part of it. */
		{ 1, 7, 2, "shop", SERVER, "GET /items", NULL, 5, 74 },
		{ 1, 8, 3, "shop", SERVER, "GET /items", NULL, 5, 74 },
		/* After the range, and so far that it says nothing of what is in it. */
		{ 9, 1, 0, "later", SERVER, "GET", "/", 60000, 1 },
	};
	struct callmap m;

	MAP(&m, spans);
	assert_int_equal(m.counted, 8);
	assert_int_equal(m.n_edges, 2);
	edge_is(&m, 0, "shop", "db:5432", 2, 1);
	edge_is(&m, 1, "web", "shop", 1, 0);
	assert_int_equal(m.edges[1].durations.max, 80 * MS);
	/* The failed one first, though it is not the slowest of all that may come. */
	assert_int_equal(m.edges[0].n_examples, 2);
	assert_true(m.edges[0].examples[0].error);
	assert_int_equal(m.edges[0].examples[0].duration_ns, 30 * MS);
	assert_int_equal(m.edges[0].examples[1].duration_ns, 10 * MS);
	for (uint32_t i = 0; i < m.n_nodes; i++) {
		bool address = memchr(m.nodes[i].name.at, ':', m.nodes[i].name.len);

		assert_int_equal(m.nodes[i].traced, !address);
		/* web's call was answered: its address is nobody's name. */
		assert_int_equal(m.nodes[i].shown, !view_eq(m.nodes[i].name, VIEW("shop:80")));
	}
	callmap__free(&m);
}

static void a_port_that_another_took(void **state)
{
	/* Both say 127.0.0.1:80; who answered is what the spans say. Then nobody that is traced has it. */
	static const struct made spans[] = {
		{ 1, 1, 0, "web", CLIENT, "GET", NULL, 0, 9, false, "127.0.0.1", 80 },
		{ 1, 2, 1, "a", SERVER, "GET", "/", 1, 8 },
		{ 2, 1, 0, "web", CLIENT, "GET", NULL, 20, 9, false, "127.0.0.1", 80 },
		{ 2, 2, 1, "b", SERVER, "GET", "/", 21, 8 },
		{ 3, 1, 0, "web", CLIENT, "GET", NULL, 40, 9, false, "127.0.0.1", 80 },
		/* The same span ids in another trace are other spans. */
		{ 4, 2, 1, "c", SERVER, "GET", "/", 41, 8 },
	};
	struct callmap m;

	MAP(&m, spans);
	assert_int_equal(m.n_edges, 3);
	edge_is(&m, 0, "web", "127.0.0.1:80", 1, 0);
	edge_is(&m, 1, "web", "a", 1, 0);
	edge_is(&m, 2, "web", "b", 1, 0);
	callmap__free(&m);
}

static void other_ways_to_call(void **state)
{
	static const struct made spans[] = {
		/* A server whose caller's span is no call hangs on that service. */
		{ 1, 1, 0, "web", INTERNAL, "work", NULL, 0, 9 },
		{ 1, 2, 1, "shop", SERVER, "GET", "/", 1, 8, true },
		/* A service that calls itself. */
		{ 2, 1, 0, "loop", CLIENT, "GET", NULL, 0, 9, false, "loop", 80 },
		{ 2, 2, 1, "loop", SERVER, "GET", "/", 1, 8 },
		/* A message, and its two consumers. */
		{ 3, 1, 0, "web", PRODUCER, "send", NULL, 0, 1, false, "kafka", 9092 },
		{ 3, 2, 1, "mail", CONSUMER, "process", NULL, 5, 3 },
		{ 3, 3, 1, "stock", CONSUMER, "process", NULL, 6, 3 },
		/* An SDK's call, and below it what sonde saw of it: one call. */
		{ 4, 1, 0, "app", CLIENT, "GET", NULL, 0, 9, false, "api", 443 },
		{ 4, 2, 1, "app", CLIENT, "GET", NULL, 1, 7, false, "10.0.0.9", 443 },
		/* A span that is its own parent. */
		{ 5, 1, 1, "own", SERVER, "GET", "/", 0, 9 },
	};
	struct callmap m;

	MAP(&m, spans);
	assert_int_equal(m.n_edges, 5);
	edge_is(&m, 0, "app", "10.0.0.9:443", 1, 0);
	edge_is(&m, 1, "loop", "loop", 1, 0);
	edge_is(&m, 2, "web", "mail", 1, 0);
	edge_is(&m, 3, "web", "shop", 1, 1);
	edge_is(&m, 4, "web", "stock", 1, 0);
	callmap__free(&m);
}

/* A call that has only just ended may be answered by a span on its way; one at the range's edge is by one outside. */
static void what_is_not_known_yet(void **state)
{
	static const struct made spans[] = {
		{ 1, 1, 0, "web", CLIENT, "GET", NULL, 999, 9, false, "shop", 80 },
		{ 1, 2, 1, "shop", SERVER, "GET", "/", 1001, 5 },
	};
	struct buf span = { 0 }, resource = { 0 };
	struct callmap m;
	struct row row;

	MAP(&m, spans);
	assert_int_equal(m.n_edges, 1);
	edge_is(&m, 0, "web", "shop", 1, 0);
	callmap__free(&m);
	callmap__init(&m, BEGIN, LATE, BEGIN + 1500 * MS);
	make(&span, &resource, &spans[0], &row);
	callmap__add(&m, &row);
	callmap__finish(&m);
	assert_int_equal(m.n_edges, 0);
	callmap__free(&m);
	buf__free(&span);
	buf__free(&resource);
}

/* Ids that are not drawn at random, as some tools make them, are found again all the same. */
static void ids_in_a_row(void **state)
{
	struct buf span = { 0 }, resource = { 0 };
	struct callmap m;

	callmap__init(&m, 0, LATE, LATE);
	pb_resource(&resource, "a");
	for (uint32_t i = 1; i <= 40000; i++) {
		uint8_t trace[16] = { 1 }, id[8] = { 0 }, parent[8] = { 0 };
		uint32_t big = __builtin_bswap32(i), above = __builtin_bswap32(i - 1);
		struct row row;

		memcpy(id + 4, &big, 4);
		memcpy(parent + 4, &above, 4);
		buf__clear(&span);
		pb_bytes(&span, 1, trace, 16);
		pb_bytes(&span, 2, id, 8);
		if (i > 1)
			pb_bytes(&span, 4, parent, 8);
		pb_number(&span, 6, i % 2 ? CLIENT : SERVER);
		assert_int_equal(row__read(&row, buf_view(&span), buf_view(&resource)), 0);
		callmap__add(&m, &row);
	}
	callmap__finish(&m);
	assert_int_equal(m.n_edges, 1);
	assert_int_equal(m.edges[0].count, 20000);
	callmap__free(&m);
	buf__free(&span);
	buf__free(&resource);
}

/* A request of web, which asks shop, which asks a database that is not traced: the last to end comes first. */
static void add_request(struct callmap *m, struct buf *span, struct buf *resources, uint64_t n,
			uint64_t end_ns)
{
	static const uint32_t kinds[] = { SERVER, CLIENT, SERVER, CLIENT };

	for (uint64_t i = 0; i < 4; i++) {
		uint64_t trace[2] = { n + 1, 7 }, id = i + 1, parent = i;
		struct row row;

		buf__clear(span);
		pb_bytes(span, 1, trace, 16);
		pb_bytes(span, 2, &id, 8);
		if (i)
			pb_bytes(span, 4, &parent, 8);
		pb_number(span, 6, kinds[i]);
		pb_fixed64(span, 7, end_ns - (8 - i) * MS);
		pb_fixed64(span, 8, end_ns - i * MS);
		assert_int_equal(row__read(&row, buf_view(span), buf_view(&resources[i / 2])), 0);
		callmap__add(m, &row);
	}
}

/* Memory is that of the spans which may still be linked: of a range that has many times as many all is counted, once. */
static void map_of_many_spans(void **state)
{
	const uint64_t requests = 3 * CALLMAP_SPANS_MAX / 4 + 12345;
	struct buf span = { 0 }, resources[2] = { 0 };
	struct callmap m;

	pb_resource(&resources[0], "web");
	pb_resource(&resources[1], "shop");
	callmap__init(&m, 0, LATE, LATE);
	for (uint64_t n = 0; n < requests; n++)
		add_request(&m, &span, resources, n, BEGIN + (requests - n) * MS);
	callmap__finish(&m);
	assert_false(m.failed || m.crowded);
	assert_int_equal(m.left_out, 0);
	assert_int_equal(m.counted, 4 * requests);
	assert_true(m.cap_spans <= CALLMAP_SPANS_MAX);
	assert_int_equal(m.n_edges, 2);
	edge_is(&m, 0, "shop", "(address not known)", requests, 0);
	edge_is(&m, 1, "web", "shop", requests, 0);
	assert_int_equal(m.nodes[m.edges[1].from].requests, requests);
	assert_int_equal(m.nodes[m.edges[1].to].requests, requests);
	callmap__free(&m);
	/* All at one time: none may be let go, and that is said. */
	callmap__init(&m, 0, LATE, LATE);
	for (uint64_t n = 0; n < requests && !m.left_out; n++)
		add_request(&m, &span, resources, n, BEGIN);
	callmap__finish(&m);
	assert_true(m.crowded && m.left_out);
	edge_is(&m, 1, "web", "shop", CALLMAP_SPANS_MAX / 4, 0);
	callmap__free(&m);
	buf__free(&span);
	buf__free(&resources[0]);
	buf__free(&resources[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(over_time),	      cmocka_unit_test(by_operation_and_merged),
		cmocka_unit_test(more_than_is_kept),  cmocka_unit_test(names_of_operations),
		cmocka_unit_test(who_calls_whom),     cmocka_unit_test(a_port_that_another_took),
		cmocka_unit_test(other_ways_to_call), cmocka_unit_test(what_is_not_known_yet),
		cmocka_unit_test(ids_in_a_row),	      cmocka_unit_test(map_of_many_spans),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
