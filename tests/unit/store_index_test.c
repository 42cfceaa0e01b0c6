// SPDX-License-Identifier: Apache-2.0
/* Protects: what a span is found by is the same in every version that reads the same files, and is sorted whatever it is. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pbmake.h"
#include "ship/store/sort.h"
#include "ship/store/terms.h"

static struct view view_buf(const struct buf *b)
{
	return (struct view){ (const char *)b->at, b->len };
}

/* Of names and values of all lengths about a word's; what lies in files was written with these. */
static void terms_are_the_formats(void **state)
{
	static const uint64_t some[] = { 0x0a100765b524, 0xbb5dcd898e15, 0x8100440e80c1,
					 0xf566935bf869, 0xe1ed974b4f40, 0xddf004547df6,
					 0xf348a9ef64de, 0x21b3bab287fc, 0x6cb4d18c7faf,
					 0xd49938fdb537 };
	uint64_t all = 0;
	char text[64];

	for (int i = 0; i < 64; i++)
		text[i] = (char)(i * 37 + 129);
	for (size_t n = 0; n < sizeof(some) / sizeof(*some); n++)
		assert_int_equal(term__text((struct view){ text, n }, (struct view){ text + 1, 5 }),
				 some[n]);
	for (size_t n = 0; n <= 40; n++)
		for (size_t k = 0; k <= 20; k++)
			all = all * 1099511628211ull ^ term__text((struct view){ text + k % 7, n },
								  (struct view){ text + 3, k });
	assert_int_equal(all, 0x912456f994032b07);
	assert_int_equal(term__trace_hash((struct view){ text, 16 }), 0xf42d76020b48b081);
	assert_int_equal(term__number((struct view){ text, 9 }, 404.0), 0x437237851322);
}

static bool has(const struct pairs *pairs, uint64_t term)
{
	for (size_t i = 0; i < pairs->n; i++)
		if (pairs->at[i] == (term << POSTING_ORDINAL_BITS | 77))
			return true;
	return false;
}

static void make_span(struct buf *span)
{
	struct buf status = { 0 };

	pb_bytes(span, 1, "0123456789abcdef", 16);
	pb_bytes(span, 2, "spanspan", 8);
	pb_text(span, 5, "GET /x");
	pb_number(span, 6, 3);
	pb_fixed64(span, 7, 1000);
	pb_fixed64(span, 8, 1500);
	pb_attribute_text(span, 9, "http.request.method", "GET");
	pb_attribute_text(span, 9, "url.full", "http://shop/y?z=1");
	pb_attribute_text(span, 9, "server.address", "shop");
	pb_attribute_int(span, 9, "server.port", 8080);
	pb_attribute_int(span, 9, "http.response.status_code", 502);
	pb_attribute_text(span, 9, "empty", "");
	pb_number(&status, 3, 2);
	pb_message(span, 15, &status);
}

static void a_span_has_its_terms(void **state)
{
	struct pairs pairs = { 0 };
	struct buf span = { 0 };
	struct row row;

	make_span(&span);
	assert_int_equal(terms__span(&pairs, view_buf(&span), VIEW(""), VIEW("svc"), 77, &row), 0);
	assert_true(has(&pairs, term__text(VIEW(TERM_NAME), VIEW("GET /x"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_KIND), VIEW("client"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_OUTCOME), VIEW("error"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_METHOD), VIEW("GET"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_PATH), VIEW("/y"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_PEER), VIEW("shop"))));
	assert_true(has(&pairs, term__text(VIEW(TERM_TRACE), VIEW("0123456789abcdef"))));
	assert_true(has(&pairs, term__number(VIEW(TERM_STATUS), 502)));
	assert_true(has(&pairs, term__number(VIEW(TERM_PORT), 8080)));
	assert_true(has(&pairs, term__text(VIEW("server.address"), VIEW("shop"))));
	assert_true(has(&pairs, term__number(VIEW("server.port"), 8080)));
	/* The service's is its resource's; nothing is found by what is empty. */
	assert_int_equal(pairs.n, 9 + 5);
	assert_int_equal(row.duration_ns, 500);
	assert_true(view_eq(row.service, VIEW("svc")));
	buf__free(&span);
	pairs__free(&pairs);
}

/* Protects: of a span that is broken behind its attributes nothing is left. */
static void a_broken_span_leaves_none(void **state)
{
	struct pairs pairs = { 0 };
	struct buf span = { 0 };
	struct row row;

	make_span(&span);
	buf__add(&span, "\x4a\x7f", 2);
	assert_int_equal(terms__span(&pairs, view_buf(&span), VIEW(""), VIEW("svc"), 77, &row),
			 -EPROTO);
	assert_int_equal(pairs.n, 0);
	buf__free(&span);
	pairs__free(&pairs);
}

static void a_resource_has_its_terms(void **state)
{
	struct buf resource = { 0 }, terms = { 0 };
	uint64_t term;

	pb_attribute_text(&resource, 1, "service.name", "unknown_service:java");
	assert_int_equal(terms__resource(&terms, view_buf(&resource),
					 row__service(view_buf(&resource))),
			 0);
	assert_int_equal(terms.len, 16);
	memcpy(&term, terms.at, 8);
	assert_int_equal(term, term__text(VIEW(TERM_SERVICE), VIEW("java")));
	memcpy(&term, terms.at + 8, 8);
	assert_int_equal(term, term__text(VIEW("service.name"), VIEW("unknown_service:java")));
	buf__free(&resource);
	buf__free(&terms);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t next_random(void)
{
	static uint64_t state = 88172645463325252ull;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Words that differ in `mask` alone, of few or many kinds, in any order: as qsort() has them. */
static void words_are_sorted(void **state)
{
	static const uint64_t masks[] = { ~0ull,	   0,		0xffff,
					  0xffffffffull,   ~0ull << 42, 0x7ffull << 42 | 0xff,
					  0x3ffffffffffull };
	static const size_t sizes[] = { 0, 1, 2, 24, 25, 1000, 30000 };
	uint64_t *at = malloc(3 * 30000 * sizeof(*at)), *scratch = at + 30000, *same = at + 60000;

	for (size_t m = 0; m < sizeof(masks) / sizeof(*masks); m++) {
		for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
			for (size_t i = 0; i < sizes[s]; i++)
				same[i] = at[i] = next_random() & masks[m];
			sort_words(at, scratch, sizes[s]);
			qsort(same, sizes[s], sizeof(*same), by_value);
			assert_memory_equal(at, same, sizes[s] * sizeof(*at));
		}
	}
	free(at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(terms_are_the_formats),
		cmocka_unit_test(a_span_has_its_terms),
		cmocka_unit_test(a_broken_span_leaves_none),
		cmocka_unit_test(a_resource_has_its_terms),
		cmocka_unit_test(words_are_sorted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
