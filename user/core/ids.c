// SPDX-License-Identifier: Apache-2.0
#include "core/ids.h"

#include <endian.h>
#include <string.h>

#include "base/siphash.h"

#define TCP_KEY_BYTES 20

void ids__put64(uint8_t to[8], uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof(value));
}

uint64_t ids__get64(const uint8_t from[8])
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return be64toh(value);
}

/* Four bytes as eight digits, in the order in which they stand. */
static uint64_t hex_word(const uint8_t *from)
{
	const uint64_t ones = 0x0101010101010101ull;
	uint64_t x, over;
	uint32_t four;

	memcpy(&four, from, sizeof(four));
	x = le32toh(four);
	/* A nibble a byte: the high one of each byte first. */
	x = (x | x << 16) & 0x0000ffff0000ffffull;
	x = (x | x << 8) & 0x00ff00ff00ff00ffull;
	x = (x >> 4 & 0x000f000f000f000full) | (x & 0x000f000f000f000full) << 8;
	over = (x + 6 * ones) >> 4 & ones; /* 1 where it is a letter */
	return htole64(x + '0' * ones + over * ('a' - '0' - 10));
}

void ids__hex(char *to, const uint8_t *from, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (; n >= 4; n -= 4, from += 4, to += 8) {
		uint64_t word = hex_word(from);

		memcpy(to, &word, sizeof(word));
	}
	for (; n; n--, from++) {
		*to++ = digits[*from >> 4];
		*to++ = digits[*from & 15];
	}
}

bool ids__is_tcp(const struct span_key *key)
{
	return key->len == TCP_KEY_BYTES;
}

static void add_bytes(struct span_key *key, const void *bytes, size_t n)
{
	memcpy(key->bytes + key->len, bytes, n);
	key->len += (uint8_t)n;
}

static void add32(struct span_key *key, uint32_t value)
{
	value = htobe32(value);
	add_bytes(key, &value, sizeof(value));
}

static void add64(struct span_key *key, uint64_t value)
{
	value = htobe64(value);
	add_bytes(key, &value, sizeof(value));
}

void ids__key(const struct engine_config *config, const struct exchange *ex, struct span_key *ret)
{
	const struct edge *edge = &ex->edge;

	ret->len = 0;
	if (edge->known && !edge->unix_pair) {
		add32(ret, edge->client_base);
		add32(ret, edge->server_base);
		add64(ret, edge->offset);
		add32(ret, edge->stream);
	} else if (edge->known) {
		/* Pair ids begin anew with every boot. */
		add_bytes(ret, config->boot_id, sizeof(config->boot_id));
		add64(ret, edge->pair[0]);
		add64(ret, edge->pair[1]);
		add64(ret, edge->offset);
		add32(ret, edge->stream);
	} else {
		add_bytes(ret, config->host_key, sizeof(config->host_key));
		add_bytes(ret, config->boot_id, sizeof(config->boot_id));
		add64(ret, ex->turn.conn);
		add32(ret, ex->turn.turn);
		add32(ret, ex->index);
	}
}

static uint64_t not_zero(uint64_t hash)
{
	return hash ? hash : 1;
}

void ids__of(const uint8_t fleet_key[16], char tag, const struct span_key *key,
	     struct span_ids *ret)
{
	const uint8_t tags[SIPHASH_LANES] = { (uint8_t)tag, 'e', 'T', 't' };
	uint64_t hashes[SIPHASH_LANES];

	siphash24_lanes(fleet_key, tags, key->bytes, key->len, hashes);
	ret->span = not_zero(hashes[0]);
	ret->edge = not_zero(hashes[1]);
	ids__put64(ret->trace, not_zero(hashes[2]));
	ids__put64(ret->trace + 8, not_zero(hashes[3]));
}

uint64_t ids__place(const uint8_t fleet_key[16], const struct span_key *key)
{
	uint64_t secret[2], hash, word;

	memcpy(secret, fleet_key, sizeof(secret));
	hash = secret[0] ^ key->len;
	/* The last word lies over bytes of the one before it: no key is shorter than one. */
	for (size_t i = 0; i < key->len; i += sizeof(word)) {
		unsigned __int128 product;

		memcpy(&word,
		       key->bytes + (i + sizeof(word) <= key->len ? i : key->len - sizeof(word)),
		       sizeof(word));
		product = (unsigned __int128)(hash ^ word) * (secret[1] | 1);
		hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	return hash;
}
