// SPDX-License-Identifier: Apache-2.0
#include "ship/store/posting.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ship/store/sort.h"

#define TERM_BYTES 6
#define CHECK_BYTES 4
/* More of them than a sixteenth are a bitmap. */
#define DENSE(n, space) ((n) > (space) / 16)

int pairs__reserve(struct pairs *pairs, size_t more)
{
	size_t cap = pairs->cap ? pairs->cap : 4096;
	uint64_t *bigger;

	if (pairs->cap - pairs->n >= more)
		return 0;
	while (cap - pairs->n < more)
		cap += cap / 2;
	bigger = reallocarray(pairs->at, cap, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	pairs->at = bigger;
	pairs->cap = cap;
	return 0;
}

void pairs__free(struct pairs *pairs)
{
	free(pairs->at);
	*pairs = (struct pairs){ 0 };
}

int pairs__sort(struct pairs *pairs, struct pairs *scratch)
{
	size_t n = 0;

	scratch->n = 0;
	if (pairs__reserve(scratch, pairs->n + 1))
		return -ENOMEM;
	sort_words(pairs->at, scratch->at, pairs->n);
	for (size_t i = 0; i < pairs->n; i++)
		if (!i || pairs->at[i] != pairs->at[n - 1])
			pairs->at[n++] = pairs->at[i];
	pairs->n = n;
	return 0;
}

static uint32_t checksum(struct view bytes)
{
	uint64_t sum = bytes.len * 0x9e3779b97f4a7c15ull, word;

	for (; bytes.len >= 8; bytes.at += 8, bytes.len -= 8) {
		memcpy(&word, bytes.at, 8);
		sum = (sum ^ le64toh(word)) * 0xff51afd7ed558ccdull;
		sum ^= sum >> 32;
	}
	word = 0;
	if (bytes.len)
		memcpy(&word, bytes.at, bytes.len);
	sum = (sum ^ le64toh(word)) * 0xff51afd7ed558ccdull;
	return (uint32_t)(sum >> 32 ^ sum);
}

void posting__seal(struct buf *out, size_t from)
{
	uint32_t le;

	if (!buf__reserve(out, sizeof(le)))
		return;
	le = htole32(checksum((struct view){ (const char *)out->at + from, out->len - from }));
	buf__add(out, &le, sizeof(le));
}

bool posting__sealed(struct view bytes)
{
	uint32_t le;

	if (bytes.len < CHECK_BYTES)
		return false;
	bytes.len -= CHECK_BYTES;
	memcpy(&le, bytes.at + bytes.len, sizeof(le));
	return le32toh(le) == checksum(bytes);
}

bool posting__unseal(struct view *bytes)
{
	if (!posting__sealed(*bytes))
		return false;
	bytes->len -= CHECK_BYTES;
	return true;
}

static uint8_t *put_varint(uint8_t *to, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*to++ = (uint8_t)(v | 0x80);
	*to++ = (uint8_t)v;
	return to;
}

/* Room for an entry of n ordinals, its head written; NULL: none. */
static uint8_t *begin_entry(struct buf *out, uint64_t term, size_t n, unsigned int space)
{
	uint8_t *to = buf__reserve(out, TERM_BYTES + 5 + (DENSE(n, space) ? space / 8 : 3 * n));

	if (!to)
		return NULL;
	term = htole64(term);
	memcpy(to, &term, TERM_BYTES);
	to = put_varint(to + TERM_BYTES, n);
	if (DENSE(n, space))
		memset(to, 0, space / 8);
	return to;
}

/* All pairs of one term, [at, end). */
static void add_entry(struct buf *out, const uint64_t *at, const uint64_t *end)
{
	size_t n = (size_t)(end - at);
	uint8_t *to = begin_entry(out, *at >> POSTING_ORDINAL_BITS, n, STORE_ORDINALS);
	uint64_t before = 0;

	if (!to)
		return;
	if (DENSE(n, STORE_ORDINALS)) {
		for (; at < end; at++) {
			uint16_t ordinal = (uint16_t)*at;

			to[ordinal >> 3] |= (uint8_t)(1 << (ordinal & 7));
		}
		to += STORE_ORDINALS / 8;
	} else {
		for (; at < end; at++) {
			uint16_t ordinal = (uint16_t)*at;

			to = put_varint(to, ordinal - before);
			before = ordinal;
		}
	}
	out->len = (size_t)(to - out->at);
}

void posting__add(struct buf *out, uint64_t term, const uint32_t *ordinals, uint32_t n,
		  unsigned int space)
{
	uint8_t *to = begin_entry(out, term, n, space);
	uint32_t before = 0;

	if (!to)
		return;
	if (DENSE(n, space)) {
		for (uint32_t i = 0; i < n; i++)
			to[ordinals[i] >> 3] |= (uint8_t)(1 << (ordinals[i] & 7));
		to += space / 8;
	} else {
		for (uint32_t i = 0; i < n; i++) {
			to = put_varint(to, ordinals[i] - before);
			before = ordinals[i];
		}
	}
	out->len = (size_t)(to - out->at);
}

int posting__page(struct buf *out, const struct pairs *pairs, size_t *at)
{
	size_t from = out->len;

	while (*at < pairs->n && out->len - from < STORE_PAGE_BYTES && !out->err) {
		uint64_t term = pairs->at[*at] >> POSTING_ORDINAL_BITS;
		size_t end = *at;

		while (end < pairs->n && pairs->at[end] >> POSTING_ORDINAL_BITS == term)
			end++;
		add_entry(out, pairs->at + *at, pairs->at + end);
		*at = end;
	}
	posting__seal(out, from);
	return out->err;
}

static uint64_t directory_at(struct view directory, size_t i)
{
	uint64_t le;

	memcpy(&le, directory.at + 8 * i, 8);
	return le64toh(le);
}

long posting__find_page(struct view directory, uint64_t term)
{
	size_t low = 0, high;

	if (!posting__sealed(directory) || (directory.len - CHECK_BYTES) % 8)
		return -EPROTO;
	high = (directory.len - CHECK_BYTES) / 8;
	/* The last page whose first term is not behind it. */
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (directory_at(directory, middle) <= term)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? (long)low - 1 : -ENOENT;
}

static bool get_varint(struct view *v, uint64_t *ret)
{
	*ret = 0;
	for (unsigned int shift = 0; v->len && shift < 35; shift += 7) {
		uint8_t byte = (uint8_t)*v->at++;

		v->len--;
		*ret |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return true;
	}
	return false;
}

static int skip_list(struct view *page, uint32_t n)
{
	uint64_t ignored;

	while (n--)
		if (!get_varint(page, &ignored))
			return -EPROTO;
	return 0;
}

int posting__next(struct view *page, unsigned int space, struct posting_entry *ret)
{
	uint64_t n;
	int bad = 0;

	if (!page->len)
		return 0;
	if (page->len < TERM_BYTES)
		return -EPROTO;
	ret->term = 0;
	memcpy(&ret->term, page->at, TERM_BYTES);
	ret->term = le64toh(ret->term);
	page->at += TERM_BYTES;
	page->len -= TERM_BYTES;
	if (!get_varint(page, &n) || n > space)
		return -EPROTO;
	ret->n = (uint32_t)n;
	ret->ordinals = *page;
	if (!DENSE(n, space)) {
		bad = skip_list(page, ret->n);
	} else if (page->len < space / 8) {
		bad = -EPROTO;
	} else {
		page->at += space / 8;
		page->len -= space / 8;
	}
	return bad ? bad : 1;
}

static int list_bitmap(const struct posting_entry *entry, unsigned int space, uint32_t base,
		       uint32_t *ret, uint32_t *n)
{
	uint32_t left = entry->n;

	for (unsigned int i = 0; i < space / 64; i++) {
		for (uint64_t bits = directory_at(entry->ordinals, i); bits; bits &= bits - 1) {
			if (!left--)
				return -EPROTO;
			ret[(*n)++] = base + 64 * i + (uint32_t)__builtin_ctzll(bits);
		}
	}
	return 0;
}

int posting__list(const struct posting_entry *entry, unsigned int space, uint32_t base,
		  uint32_t *ret, uint32_t *n)
{
	struct view list = entry->ordinals;
	uint64_t ordinal = 0, more;

	if (DENSE(entry->n, space))
		return list_bitmap(entry, space, base, ret, n);
	for (uint32_t i = 0; i < entry->n; i++) {
		if (!get_varint(&list, &more))
			return -EPROTO;
		ordinal += more;
		if (ordinal >= space)
			return -EPROTO;
		ret[(*n)++] = base + (uint32_t)ordinal;
	}
	return 0;
}

static int add_to_set(const struct posting_entry *entry, unsigned int space, struct ordinals *ret)
{
	struct view list = entry->ordinals;
	uint64_t ordinal = 0, more;

	if (DENSE(entry->n, space)) {
		for (unsigned int i = 0; i < space / 64; i++)
			ret->bits[i] |= directory_at(list, i);
		return 0;
	}
	for (uint32_t i = 0; i < entry->n; i++) {
		if (!get_varint(&list, &more))
			return -EPROTO;
		ordinal += more;
		if (ordinal >= space)
			return -EPROTO;
		ret->bits[ordinal / 64] |= 1ull << ordinal % 64;
	}
	return 0;
}

int posting__read(struct view page, uint64_t term, unsigned int space, struct ordinals *ret)
{
	struct posting_entry entry = { 0 };
	int more;

	if (!posting__unseal(&page))
		return -EPROTO;
	while ((more = posting__next(&page, space, &entry)) > 0 && entry.term <= term)
		if (entry.term == term && add_to_set(&entry, space, ret))
			return -EPROTO;
	return more < 0 ? more : 0;
}
