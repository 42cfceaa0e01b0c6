// SPDX-License-Identifier: Apache-2.0
#include "base/siphash.h"

#include <endian.h>
#include <string.h>

static inline uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static inline __attribute__((always_inline)) void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static inline __attribute__((always_inline)) void sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

static inline uint64_t load_le(const uint8_t *at)
{
	uint64_t x;

	memcpy(&x, at, sizeof(x));
	return le64toh(x);
}

/* The fewer than 8 bytes that are left, and the length above them. */
static inline uint64_t last_word(const uint8_t *bytes, size_t len)
{
	size_t n = len & 7;
	uint64_t x = 0;

	if (n && len >= 8) /* the last 8 bytes, without those that were taken */
		x = load_le(bytes + len - 8) >> (64 - 8 * n);
	else
		for (size_t i = 0; i < n; i++)
			x |= (uint64_t)bytes[i] << (8 * i);
	return x | (uint64_t)len << 56;
}

struct sip {
	uint64_t v[4];
};

static inline __attribute__((always_inline)) struct sip begin(const uint8_t key[16])
{
	uint64_t k0 = load_le(key), k1 = load_le(key + 8);

	return (struct sip){ { k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
			       k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull } };
}

static inline __attribute__((always_inline)) uint64_t end(struct sip *s, uint64_t last)
{
	sip_word(s->v, last);
	s->v[2] ^= 0xff;
	sip_round(s->v);
	sip_round(s->v);
	sip_round(s->v);
	sip_round(s->v);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	struct sip s = begin(key);

	/* what is empty may lie nowhere: nothing is added to its address */
	for (size_t words = len / 8; words; words--, at += 8)
		sip_word(s.v, load_le(at));
	return end(&s, last_word(bytes, len));
}

/* A word of each of four hashes. By address alone: how they are passed by value depends on the machine. */
typedef uint64_t lanes __attribute__((vector_size(SIPHASH_LANES * sizeof(uint64_t))));

#define ROTL(v, b) ((v) << (b) | (v) >> (64 - (b)))

/* By 32 the halves change places, which takes one instruction where a rotation takes three. */
static inline __attribute__((always_inline)) void swap_halves(lanes *v)
{
#if __has_builtin(__builtin_shufflevector)
	typedef uint32_t halves __attribute__((vector_size(sizeof(lanes))));

	*v = (lanes)__builtin_shufflevector((halves)*v, (halves)*v, 1, 0, 3, 2, 5, 4, 7, 6);
#else
	*v = ROTL(*v, 32);
#endif
}

/* The same by 16, by the quarters of a word: little-endian, the last one comes first. */
static inline __attribute__((always_inline)) void turn_quarters(lanes *v)
{
#if __has_builtin(__builtin_shufflevector) && __BYTE_ORDER == __LITTLE_ENDIAN
	typedef uint16_t quarters __attribute__((vector_size(sizeof(lanes))));

	*v = (lanes)__builtin_shufflevector((quarters)*v, (quarters)*v, 3, 0, 1, 2, 7, 4, 5, 6, 11,
					    8, 9, 10, 15, 12, 13, 14);
#else
	*v = ROTL(*v, 16);
#endif
}

static inline __attribute__((always_inline)) void lanes_round(lanes v[4])
{
	v[0] += v[1];
	v[1] = ROTL(v[1], 13) ^ v[0];
	swap_halves(&v[0]);
	v[2] += v[3];
	turn_quarters(&v[3]);
	v[3] ^= v[2];
	v[0] += v[3];
	v[3] = ROTL(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = ROTL(v[1], 17) ^ v[2];
	swap_halves(&v[2]);
}

static inline __attribute__((always_inline)) void lanes_word(lanes v[4], const lanes *word)
{
	v[3] ^= *word;
	lanes_round(v);
	lanes_round(v);
	v[0] ^= *word;
}

static inline __attribute__((always_inline)) void hash_lanes(const uint8_t key[16],
							     const uint8_t tags[SIPHASH_LANES],
							     const void *bytes, size_t len,
							     uint64_t ret[SIPHASH_LANES])
{
	const uint8_t *at = bytes, *stop = at + len;
	struct sip s = begin(key);
	size_t n = (len + 1) & 7;
	lanes v[4], word = { tags[0], tags[1], tags[2], tags[3] };

	for (int i = 0; i < 4; i++)
		v[i] = (lanes){ 0 } + s.v[i];
	word |= load_le(at) << 8;
	lanes_word(v, &word);
	for (at += 7; stop - at >= 8; at += 8) {
		word = (lanes){ 0 } + load_le(at);
		lanes_word(v, &word);
	}
	word = (lanes){ 0 } +
	       ((n ? load_le(stop - 8) >> (64 - 8 * n) : 0) | (uint64_t)(len + 1) << 56);
	lanes_word(v, &word);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		lanes_round(v);
	word = v[0] ^ v[1] ^ v[2] ^ v[3];
	memcpy(ret, &word, sizeof(word));
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void hash_avx2(const uint8_t key[16],
						      const uint8_t tags[SIPHASH_LANES],
						      const void *bytes, size_t len,
						      uint64_t ret[SIPHASH_LANES])
{
	hash_lanes(key, tags, bytes, len, ret);
}
#endif

void siphash24_lanes(const uint8_t key[16], const uint8_t tags[SIPHASH_LANES], const void *bytes,
		     size_t len, uint64_t ret[SIPHASH_LANES])
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx2")) {
		hash_avx2(key, tags, bytes, len, ret);
		return;
	}
#endif
	hash_lanes(key, tags, bytes, len, ret);
}
