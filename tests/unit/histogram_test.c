// SPDX-License-Identifier: Apache-2.0
/* Protects: percentiles are those of sorted values, within what a bucket spans, however they came together. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/histogram.h"

#define VALUES 5000

static int by_value(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void close_to(uint64_t is, uint64_t should)
{
	uint64_t off = is > should ? is - should : should - is;

	assert_true(off <= should / 32 + 1);
}

static void of_few(void **state)
{
	struct histogram h = { 0 };

	assert_int_equal(histogram__percentile(&h, 50), 0);
	/* By hand: the 1st, 2nd and 3rd of three. */
	assert_int_equal(histogram__add(&h, 1000000), 0);
	assert_int_equal(histogram__percentile(&h, 50), 1000000);
	assert_int_equal(histogram__percentile(&h, 99), 1000000);
	histogram__add(&h, 3000000);
	histogram__add(&h, 2000000);
	close_to(histogram__percentile(&h, 33), 1000000);
	close_to(histogram__percentile(&h, 50), 2000000);
	close_to(histogram__percentile(&h, 66), 2000000);
	assert_true(histogram__percentile(&h, 67) <= 3000000);
	close_to(histogram__percentile(&h, 95), 3000000);
	assert_int_equal(h.max, 3000000);
	assert_int_equal(h.count, 3);
	histogram__clear(&h);
	assert_int_equal(histogram__percentile(&h, 50), 0);
	/* Below 16 every value has a bucket of its own. */
	for (uint64_t v = 1; v <= 10; v++)
		histogram__add(&h, v);
	assert_int_equal(histogram__percentile(&h, 50), 5);
	assert_int_equal(histogram__percentile(&h, 95), 10);
	histogram__add(&h, UINT64_MAX);
	histogram__add(&h, 0);
	assert_int_equal(h.max, UINT64_MAX);
	assert_int_equal(histogram__percentile(&h, 1), 0);
	histogram__free(&h);
}

static void of_many_and_merged(void **state)
{
	struct histogram whole = { 0 }, parts[3] = { 0 }, merged = { 0 };
	static uint64_t values[VALUES];
	uint64_t seed = 7;

	for (unsigned int i = 0; i < VALUES; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		values[i] = seed >> (20 + seed % 30);
		histogram__add(&whole, values[i]);
		histogram__add(&parts[i % 3], values[i]);
	}
	qsort(values, VALUES, sizeof(values[0]), by_value);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(histogram__merge(&merged, &parts[i]), 0);
	assert_int_equal(merged.count, VALUES);
	assert_int_equal(merged.max, whole.max);
	assert_int_equal(merged.n, whole.n);
	for (unsigned int p = 1; p <= 100; p++) {
		close_to(histogram__percentile(&whole, p), values[(VALUES * p + 99) / 100 - 1]);
		assert_int_equal(histogram__percentile(&whole, p),
				 histogram__percentile(&merged, p));
	}
	histogram__free(&whole);
	histogram__free(&merged);
	for (unsigned int i = 0; i < 3; i++)
		histogram__free(&parts[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_few),
		cmocka_unit_test(of_many_and_merged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
