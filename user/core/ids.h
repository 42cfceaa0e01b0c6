/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Span and trace ids: computed, never drawn, so that both ends of a connection find the same ones
 * and a replay gives the same bytes.
 *
 * H is SipHash-2-4 under the fleet's key K over one tag byte and a key of fixed-width big-endian
 * fields; a result of 0 becomes 1. Three forms of key, told apart by their lengths:
 *
 *   TCP    u32 client base, u32 server base, u64 offset, u32 stream                  20 bytes
 *   Unix   16 bytes boot id, u64 pair[0], u64 pair[1], u64 offset, u32 stream        44 bytes
 *   alone  8 bytes host key, 16 bytes boot id, u64 connection, u32 turn, u32 index   40 bytes
 */
#ifndef SONDE_CORE_IDS_H
#define SONDE_CORE_IDS_H

#include "core/engine.h"
#include "core/exchange.h"

#define IDS_KEY_MAX_BYTES 44

struct span_key {
	uint8_t bytes[IDS_KEY_MAX_BYTES];
	uint8_t len;
};

/* The key of an exchange: its edge where there is one, else its place on this machine. */
void ids__key(const struct engine_config *config, const struct exchange *ex, struct span_key *ret);

/* The first of the three forms. */
bool ids__is_tcp(const struct span_key *key);

/* What the key of an exchange gives: H(K, tag, key), never 0, of several tags. */
struct span_ids {
	uint64_t span;	   /* of its own tag: 'c' client span, 's' server span */
	uint64_t edge;	   /* 'e' */
	uint8_t trace[16]; /* of a root: 'T' then 't', big-endian: the low 56 bits are uniform */
};
void ids__of(const uint8_t fleet_key[16], char tag, const struct span_key *key,
	     struct span_ids *ret);

/*
 * Where a key stands in a table of this agent. Cheaper than an id, and good for nothing else: whoever
 * does not know K cannot choose keys that meet, but those that met must be compared.
 */
uint64_t ids__place(const uint8_t fleet_key[16], const struct span_key *key);

/* Big-endian, as ids are written. */
void ids__put64(uint8_t to[8], uint64_t value);
uint64_t ids__get64(const uint8_t from[8]);
/* 2 * n lower-case hex digits, no NUL. */
void ids__hex(char *to, const uint8_t *from, size_t n);

#endif
