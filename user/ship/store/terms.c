// SPDX-License-Identifier: Apache-2.0
#include "ship/store/terms.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define TERM_MASK ((1ull << TERM_BITS) - 1)

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t mix(uint64_t h, struct view bytes)
{
	uint64_t word[2];

	h ^= bytes.len * 0x9e3779b97f4a7c15ull;
	for (; bytes.len > 16; bytes.at += 16, bytes.len -= 16) {
		memcpy(word, bytes.at, 16);
		h = fold(le64toh(word[0]) ^ 0xa0761d6478bd642full, le64toh(word[1]) ^ h);
	}
	word[0] = word[1] = 0;
	if (bytes.len)
		memcpy(word, bytes.at, bytes.len);
	return fold(le64toh(word[0]) ^ 0xe7037ed1a0b428dbull,
		    le64toh(word[1]) ^ h ^ 0x8ebc6af09c88c6e3ull);
}

static uint64_t finish(uint64_t h)
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
static bool term_of(struct view key, const struct otlp_value *value, uint64_t *ret)
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

int terms__resource(struct buf *out, struct view resource)
{
	struct otlp_attributes it = otlp_attributes__of(resource, OTLP_RESOURCE_ATTRIBUTES);
	struct otlp_value value;
	struct view key;
	uint64_t term;
	int more;

	while ((more = otlp_attributes__next(&it, &key, &value)) > 0)
		if (term_of(key, &value, &term))
			buf__add(out, &term, sizeof(term));
	return out->err ? out->err : more;
}

static void add_text(struct pairs *pairs, struct view name, struct view value, unsigned int ordinal)
{
	if (value.len)
		pairs__add(pairs, term__text(name, value), ordinal);
}

static void add_own(struct pairs *pairs, const struct row *row, unsigned int ordinal)
{
	add_text(pairs, VIEW(TERM_SERVICE), row->service, ordinal);
	add_text(pairs, VIEW(TERM_NAME), row->span.name, ordinal);
	add_text(pairs, VIEW(TERM_KIND), view_of(row__kind(row)), ordinal);
	add_text(pairs, VIEW(TERM_OUTCOME),
		 row->span.status == 2 ? VIEW("error") :
		 row->span.status == 1 ? VIEW("ok") :
					 VIEW("unset"),
		 ordinal);
	add_text(pairs, VIEW(TERM_METHOD), row->method, ordinal);
	add_text(pairs, VIEW(TERM_PATH), row->path, ordinal);
	add_text(pairs, VIEW(TERM_PEER), row->peer, ordinal);
	add_text(pairs, VIEW(TERM_TRACE), row->span.trace_id, ordinal);
	if (row->status > 0)
		pairs__add(pairs, term__number(VIEW(TERM_STATUS), (double)row->status), ordinal);
	if (row->peer_port > 0)
		pairs__add(pairs, term__number(VIEW(TERM_PORT), (double)row->peer_port), ordinal);
}
#define OWN_TERMS 10

int terms__span(struct pairs *pairs, const struct row *row, unsigned int ordinal)
{
	struct otlp_attributes it = otlp_attributes__of(row->span.message, OTLP_SPAN_ATTRIBUTES);
	struct otlp_value value;
	struct view key;
	uint64_t term;

	if (pairs__reserve(pairs, OWN_TERMS))
		return -ENOMEM;
	add_own(pairs, row, ordinal);
	while (otlp_attributes__next(&it, &key, &value) > 0) {
		if (!term_of(key, &value, &term))
			continue;
		if (pairs__reserve(pairs, 1))
			return -ENOMEM;
		pairs__add(pairs, term, ordinal);
	}
	return 0;
}
