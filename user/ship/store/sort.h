/* SPDX-License-Identifier: Apache-2.0 */
/* Words that begin with a hash, sorted: postings, traces. Pure. */
#ifndef SONDE_SHIP_STORE_SORT_H
#define SONDE_SHIP_STORE_SORT_H

#include <stddef.h>
#include <stdint.h>

/*
 * Sorts n words at `at`, with as many at scratch, which is overwritten. What is there twice stays twice. As long as a constant times n
 * whatever they are; it is quick where their upper bits tell most of them apart.
 */
void sort_words(uint64_t *at, uint64_t *scratch, size_t n);

#endif
