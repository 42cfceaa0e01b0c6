// SPDX-License-Identifier: Apache-2.0
#include "ship/store/sort.h"

#include <stdbool.h>
#include <string.h>

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)
/* By these two digits first; hashes differ there, or nearly all of them are equal. */
#define UPPER_SHIFT (64 - DIGIT_BITS)
#define SECOND_SHIFT (64 - 2 * DIGIT_BITS)
/* So few are put in order one by one. */
#define FEW 24

static unsigned int digit(uint64_t word, unsigned int shift)
{
	return (unsigned int)(word >> shift) & (DIGITS - 1);
}

/* How many have each digit becomes where the first of them goes. */
static void begin_at(uint32_t counts[DIGITS])
{
	uint32_t sum = 0;

	for (unsigned int d = 0; d < DIGITS; d++) {
		uint32_t count = counts[d];

		counts[d] = sum;
		sum += count;
	}
}

/* One round of a radix sort: it keeps the order of what is equal in this digit. */
static void distribute(const uint64_t *from, uint64_t *to, size_t n, unsigned int shift,
		       uint32_t starts[DIGITS])
{
	for (size_t i = 0; i < n; i++)
		to[starts[digit(from[i], shift)]++] = from[i];
}

static void sort_few(uint64_t *at, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t word = at[i];
		size_t k = i;

		for (; k && at[k - 1] > word; k--)
			at[k] = at[k - 1];
		at[k] = word;
	}
}

/* Words that are equal in the two upper digits: by all that is below. */
static void sort_lower(uint64_t *at, uint64_t *scratch, size_t n)
{
	uint32_t starts[DIGITS];

	for (unsigned int shift = 0; shift < SECOND_SHIFT; shift += DIGIT_BITS) {
		memset(starts, 0, sizeof(starts));
		for (size_t i = 0; i < n; i++)
			starts[digit(at[i], shift)]++;
		begin_at(starts);
		distribute(at, scratch, n, shift, starts);
		memcpy(at, scratch, n * sizeof(*at));
	}
}

/* The two upper digits are in order. What is below nearly always is, too: ordinals came in theirs. */
static void sort_rest(uint64_t *at, uint64_t *scratch, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		uint64_t upper = at[i] >> SECOND_SHIFT;
		size_t begin = i - 1, end = i + 1;

		if (at[i] >= at[i - 1])
			continue;
		while (begin && at[begin - 1] >> SECOND_SHIFT == upper)
			begin--;
		while (end < n && at[end] >> SECOND_SHIFT == upper)
			end++;
		if (end - begin <= FEW)
			sort_few(at + begin, end - begin);
		else
			sort_lower(at + begin, scratch, end - begin);
		i = end - 1;
	}
}

void sort_words(uint64_t *at, uint64_t *scratch, size_t n)
{
	uint32_t upper[DIGITS] = { 0 }, second[DIGITS] = { 0 };

	if (n <= FEW) {
		sort_few(at, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		upper[digit(at[i], UPPER_SHIFT)]++;
		second[digit(at[i], SECOND_SHIFT)]++;
	}
	begin_at(upper);
	begin_at(second);
	distribute(at, scratch, n, SECOND_SHIFT, second);
	distribute(scratch, at, n, UPPER_SHIFT, upper);
	sort_rest(at, scratch, n);
}
