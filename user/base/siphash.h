/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4, 64-bit output (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012). */
#ifndef SONDE_BASE_SIPHASH_H
#define SONDE_BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t len);
/* The same of one byte and then len others, which stand elsewhere. */
uint64_t siphash24_tagged(const uint8_t key[16], uint8_t tag, const void *bytes, size_t len);

#endif
