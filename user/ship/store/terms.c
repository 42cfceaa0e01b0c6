// SPDX-License-Identifier: Apache-2.0
#include "ship/store/terms.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ship/console/row_walk.h"

#define TERM_MASK ((1ull << TERM_BITS) - 1)

static inline uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t load(const char *at)
{
	uint64_t le;

	memcpy(&le, at, sizeof(le));
	return le64toh(le);
}

/*
 * The last word of up to 16 bytes, zeroes behind them, by two loads that overlap: a copy of as many bytes as there are would
 * be a call.
 */
static inline void load_last(struct view bytes, uint64_t word[2])
{
	size_t n = bytes.len;

	word[0] = word[1] = 0;
	if (n >= 8) {
		word[0] = load(bytes.at);
		word[1] = n > 8 ? load(bytes.at + n - 8) >> (8 * (16 - n)) : 0;
	} else if (n >= 4) {
		uint32_t low, high;

		memcpy(&low, bytes.at, sizeof(low));
		memcpy(&high, bytes.at + n - 4, sizeof(high));
		word[0] = le32toh(low) | (uint64_t)le32toh(high) << (8 * (n - 4));
	} else if (n) {
		word[0] = (uint64_t)(uint8_t)bytes.at[0] |
			  (uint64_t)(uint8_t)bytes.at[n / 2] << (8 * (n / 2)) |
			  (uint64_t)(uint8_t)bytes.at[n - 1] << (8 * (n - 1));
	}
}

static inline uint64_t mix(uint64_t h, struct view bytes)
{
	uint64_t word[2];

	h ^= bytes.len * 0x9e3779b97f4a7c15ull;
	for (; bytes.len > 16; bytes.at += 16, bytes.len -= 16)
		h = fold(load(bytes.at) ^ 0xa0761d6478bd642full, load(bytes.at + 8) ^ h);
	load_last(bytes, word);
	return fold(word[0] ^ 0xe7037ed1a0b428dbull, word[1] ^ h ^ 0x8ebc6af09c88c6e3ull);
}

static inline uint64_t finish(uint64_t h)
{
	return fold(h ^ 0x589965cc75374cc3ull, 0x1d8e4e27c47d124full) & TERM_MASK;
}

uint64_t term__text(struct view name, struct view value)
{
	return finish(mix(mix(0, name), value));
}

uint64_t term__number(struct view name, double value)
{
	uint64_t bits;

	value = value == 0 ? 0 : value; /* -0.0 equals 0.0 */
	memcpy(&bits, &value, sizeof(bits));
	return finish(mix(0, name) ^ fold(bits ^ 0xa0761d6478bd642full, 0xe7037ed1a0b428dbull));
}

uint64_t term__trace_hash(struct view trace_id)
{
	return fold(mix(0, trace_id), 0x1d8e4e27c47d124full);
}

/* Whether a value can be found by it; as --where takes values. */
static inline bool term_of(struct view key, const struct otlp_value *value, uint64_t *ret)
{
	switch (value->type) {
	case OTLP_STRING:
		*ret = term__text(key, value->bytes);
		return value->bytes.len > 0;
	case OTLP_INT:
		*ret = term__number(key, (double)value->number);
		return true;
	case OTLP_DOUBLE:
		*ret = term__number(key, value->real);
		return true;
	case OTLP_BOOL:
		*ret = term__text(key, value->number ? VIEW("true") : VIEW("false"));
		return true;
	default:
		return false;
	}
}

int terms__resource(struct buf *out, struct view resource, struct view service)
{
	struct otlp_attributes it = otlp_attributes__of(resource, OTLP_RESOURCE_ATTRIBUTES);
	uint64_t term = term__text(VIEW(TERM_SERVICE), service);
	struct otlp_value value;
	struct view key;
	int more;

	if (service.len)
		buf__add(out, &term, sizeof(term));
	while ((more = otlp_attributes__next(&it, &key, &value)) > 0)
		if (term_of(key, &value, &term))
			buf__add(out, &term, sizeof(term));
	return out->err ? out->err : more;
}

/* What mix() makes of our own names, and of all that there is of kinds and outcomes: the same for each span. */
struct own_terms {
	uint64_t name, method, path, peer, trace;
	uint64_t kinds[6], outcomes[3];
};

static void make_own(struct own_terms *own)
{
	static const struct view outcomes[] = { VIEW("unset"), VIEW("ok"), VIEW("error") };

	for (uint32_t kind = 0; kind < 6; kind++)
		own->kinds[kind] =
			term__text(VIEW(TERM_KIND),
				   view_of(row__kind(&(struct row){ .span.kind = kind })));
	for (int i = 0; i < 3; i++)
		own->outcomes[i] = term__text(VIEW(TERM_OUTCOME), outcomes[i]);
	own->method = mix(0, VIEW(TERM_METHOD));
	own->path = mix(0, VIEW(TERM_PATH));
	own->peer = mix(0, VIEW(TERM_PEER));
	own->trace = mix(0, VIEW(TERM_TRACE));
	own->name = mix(0, VIEW(TERM_NAME));
}

/* There is one thread that writes a store; another would find the same. */
static const struct own_terms *own_terms(void)
{
	static _Thread_local struct own_terms own;

	if (!own.name)
		make_own(&own);
	return &own;
}

static inline void add_text(struct pairs *pairs, uint64_t name, struct view value,
			    unsigned int ordinal)
{
	if (value.len)
		pairs__add(pairs, finish(mix(name, value)), ordinal);
}
#define OWN_TERMS 9

static void add_own(struct pairs *pairs, const struct row *row, unsigned int ordinal)
{
	const struct own_terms *own = own_terms();

	add_text(pairs, own->name, row->span.name, ordinal);
	pairs__add(pairs, own->kinds[row->span.kind < 6 ? row->span.kind : 0], ordinal);
	pairs__add(pairs, own->outcomes[row->span.status < 3 ? row->span.status : 0], ordinal);
	add_text(pairs, own->method, row->method, ordinal);
	add_text(pairs, own->path, row->path, ordinal);
	add_text(pairs, own->peer, row->peer, ordinal);
	add_text(pairs, own->trace, row->span.trace_id, ordinal);
	if (row->status > 0)
		pairs__add(pairs, term__number(VIEW(TERM_STATUS), (double)row->status), ordinal);
	if (row->peer_port > 0)
		pairs__add(pairs, term__number(VIEW(TERM_PORT), (double)row->peer_port), ordinal);
}

struct attributes {
	struct pairs *pairs;
	unsigned int ordinal;
	int err;
};

static inline void add_attribute(void *arg, struct view key, const struct otlp_value *value)
{
	struct attributes *a = arg;
	uint64_t term;

	if (!term_of(key, value, &term))
		return;
	if (pairs__room(a->pairs, 1))
		pairs__add(a->pairs, term, a->ordinal);
	else
		a->err = -ENOMEM;
}

int terms__span(struct pairs *pairs, struct view span, struct view resource, struct view service,
		unsigned int ordinal, struct row *ret_row)
{
	struct attributes a = { .pairs = pairs, .ordinal = ordinal };
	size_t before = pairs->n;
	int ret = row__walk(ret_row, span, resource, service, add_attribute, &a);

	if (!ret && !a.err && pairs__room(pairs, OWN_TERMS)) {
		add_own(pairs, ret_row, ordinal);
		return 0;
	}
	pairs->n = before;
	return ret ? ret : -ENOMEM;
}
