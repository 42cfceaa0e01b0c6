/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4, 64-bit output (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012). */
#ifndef SONDE_BASE_SIPHASH_H
#define SONDE_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t len);

#define SIPHASH_LANES 4
/*
 * Of the same bytes (at least 8) behind each of four tags of one byte, all at once: hardly dearer than one
 * where the machine has vectors of four words.
 */
void siphash24_lanes(const uint8_t key[16], const uint8_t tags[SIPHASH_LANES], const void *bytes,
		     size_t len, uint64_t ret[SIPHASH_LANES]);

#endif
