/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long many things took: counts in buckets of 1/16 of an octave, only those that hold any. Percentiles are
 * within 1/32 (3 %) of a value that was measured; the largest is exact. Two can be merged. Pure.
 */
#ifndef SONDE_BASE_HISTOGRAM_H
#define SONDE_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 976 /* 16 exact ones, then 16 an octave up to 2^64 */

/* Zero-initialised is empty. */
struct histogram {
	struct histogram_slot {
		uint32_t bucket, count;
	} * slots; /* by bucket */
	uint32_t n, cap;
	uint64_t count, max;
};

/* 0; -ENOMEM: it is not counted. */
int histogram__add(struct histogram *h, uint64_t value);
/* Adds all of `from`. 0; -ENOMEM: some of it may be missing. */
int histogram__merge(struct histogram *h, const struct histogram *from);
/* The value that percent (1..100) of all are at or below, by nearest rank; 0 of an empty one. */
uint64_t histogram__percentile(const struct histogram *h, unsigned int percent);
/* Forgets the content, keeps the memory. */
void histogram__clear(struct histogram *h);
void histogram__free(struct histogram *h);

#endif
