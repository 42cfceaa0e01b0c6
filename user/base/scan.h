/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sixteen bytes at a time, for what looks at every byte of a message: with the compilers' vectors,
 * which are instructions where the machine has them. A mask has a byte of all ones for each byte that
 * is meant, and bits one bit for each, the first byte's lowest.
 */
#ifndef SONDE_BASE_SCAN_H
#define SONDE_BASE_SCAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define SCAN_BYTES 16

typedef uint8_t scan16 __attribute__((vector_size(SCAN_BYTES)));

/* All sixteen are read. */
static inline scan16 scan__load(const void *at)
{
	scan16 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* The same byte sixteen times. */
static inline scan16 scan__all(uint8_t byte)
{
	return (scan16){ 0 } + byte;
}

static inline uint32_t scan__bits(scan16 mask)
{
#ifdef __SSE2__
	typedef char chars __attribute__((vector_size(SCAN_BYTES)));

	return (uint32_t)__builtin_ia32_pmovmskb128((chars)mask);
#else
	uint64_t half[2];
	uint32_t bits = 0;

	memcpy(half, &mask, sizeof(half));
	for (int i = 0; i < 2; i++) {
		/* The lowest bit of each byte, gathered in the highest byte. */
		uint64_t one = le64toh(half[i]) & 0x0101010101010101ull;

		bits |= (uint32_t)((one * 0x0102040810204080ull) >> 56) << (8 * i);
	}
	return bits;
#endif
}

static inline scan16 scan__is(scan16 v, uint8_t byte)
{
	return (scan16)(v == scan__all(byte));
}

/* From first to last, both included. */
static inline scan16 scan__within(scan16 v, uint8_t first, uint8_t last)
{
	return (scan16)(v - scan__all(first) <= scan__all((uint8_t)(last - first)));
}

#endif
