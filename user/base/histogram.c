// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 8

static uint32_t bucket_of(uint64_t value)
{
	unsigned int e;

	if (value < 16)
		return (uint32_t)value;
	e = 63 - (unsigned int)__builtin_clzll(value);
	return (e - 3) * 16 + (uint32_t)(value >> (e - 4) & 15);
}

/* The middle of a bucket. */
static uint64_t middle_of(uint32_t bucket)
{
	unsigned int e = bucket / 16 + 3;

	if (bucket < 16)
		return bucket;
	return ((uint64_t)(16 + bucket % 16) << (e - 4)) + ((uint64_t)1 << (e - 4)) / 2;
}

/* Where it is, or belongs. */
static uint32_t place_of(const struct histogram *h, uint32_t bucket)
{
	uint32_t low = 0, high = h->n;

	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (h->slots[middle].bucket < bucket)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int count(struct histogram *h, uint32_t bucket, uint32_t n)
{
	uint32_t at = place_of(h, bucket);

	if (at < h->n && h->slots[at].bucket == bucket) {
		h->slots[at].count += n;
		h->count += n;
		return 0;
	}
	if (h->n == h->cap) {
		uint32_t cap = h->cap ? 2 * h->cap : FIRST_SLOTS;
		struct histogram_slot *bigger = reallocarray(h->slots, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		h->slots = bigger;
		h->cap = cap;
	}
	memmove(&h->slots[at + 1], &h->slots[at], (h->n - at) * sizeof(*h->slots));
	h->slots[at] = (struct histogram_slot){ bucket, n };
	h->n++;
	h->count += n;
	return 0;
}

int histogram__add(struct histogram *h, uint64_t value)
{
	int ret = count(h, bucket_of(value), 1);

	if (!ret && value > h->max)
		h->max = value;
	return ret;
}

int histogram__merge(struct histogram *h, const struct histogram *from)
{
	int ret = 0;

	for (uint32_t i = 0; i < from->n && !ret; i++)
		ret = count(h, from->slots[i].bucket, from->slots[i].count);
	if (!ret && from->max > h->max)
		h->max = from->max;
	return ret;
}

uint64_t histogram__percentile(const struct histogram *h, unsigned int percent)
{
	uint64_t rank = (h->count * percent + 99) / 100, seen = 0;

	for (uint32_t i = 0; i < h->n; i++) {
		uint64_t middle = middle_of(h->slots[i].bucket);

		seen += h->slots[i].count;
		if (seen < rank)
			continue;
		/* The last one by itself is the maximum, which is known. */
		if (i + 1 == h->n && h->slots[i].count == 1)
			return h->max;
		return middle < h->max ? middle : h->max;
	}
	return h->max;
}

void histogram__clear(struct histogram *h)
{
	h->n = 0;
	h->count = h->max = 0;
}

void histogram__free(struct histogram *h)
{
	free(h->slots);
	*h = (struct histogram){ 0 };
}
