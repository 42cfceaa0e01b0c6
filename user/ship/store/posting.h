/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Postings of a segment: which spans have a term. While a segment is open they are pairs in one word:
 * the term's 48 upper bits, the span's ordinal in the lower 16. Sealing sorts them into pages:
 *
 *	entry: term (6 bytes, the low one first), varint number of spans, then, for more than a sixteenth
 *	of all ordinals, a bitmap of them, else the ordinals' differences as varints
 *	page:  entries, sorted by term, about STORE_PAGE_BYTES; last a checksum of 4 bytes
 *
 * and a directory: the first term of each page, 8 bytes each, and its checksum. Terms are hashes
 * (terms.h): what is found has to be checked. A group's pages are the same over its `space` of ordinals,
 * four times a segment's. Pages may come from anybody. Pure.
 */
#ifndef SONDE_SHIP_STORE_POSTING_H
#define SONDE_SHIP_STORE_POSTING_H

#include <stdint.h>

#include "base/buf.h"
#include "ship/store/format.h"

#define POSTING_ORDINAL_BITS 16

struct pairs {
	uint64_t *at;
	size_t n, cap;
};
/* 0 or -ENOMEM. */
int pairs__reserve(struct pairs *pairs, size_t more);
static inline bool pairs__room(struct pairs *pairs, size_t more)
{
	return pairs->cap - pairs->n >= more || !pairs__reserve(pairs, more);
}
static inline void pairs__add(struct pairs *pairs, uint64_t term, unsigned int ordinal)
{
	pairs->at[pairs->n++] = term << POSTING_ORDINAL_BITS | ordinal;
}
/* By term, then by ordinal; what is there twice once. scratch is grown to the same size. 0 or -ENOMEM. */
int pairs__sort(struct pairs *pairs, struct pairs *scratch);
void pairs__free(struct pairs *pairs);

/* A set of spans of a segment, or of a group. */
struct ordinals {
	uint64_t bits[STORE_GROUP_ORDINALS / 64];
};

/* Appends the page that begins with pair *at (sorted), moves *at behind its last. 0 or out->err. */
int posting__page(struct buf *out, const struct pairs *pairs, size_t *at);

/* Which page would hold the term: its number, -ENOENT: none; -EPROTO: the directory is damaged. */
long posting__find_page(struct view directory, uint64_t term);
/* Adds the term's spans to *ret. 0 (also when it is not there), -EPROTO: the page is damaged. */
int posting__read(struct view page, uint64_t term, unsigned int space, struct ordinals *ret);

/* One term of a page, and where its spans are. */
struct posting_entry {
	uint64_t term;
	uint32_t n;
	struct view ordinals; /* a bitmap or a list; what is behind is not its own */
};
/* The next entry of a page that is without its checksum; page moves behind it. 1; 0: no more; -EPROTO. */
int posting__next(struct view *page, unsigned int space, struct posting_entry *ret);
/* Appends its ordinals, each with `base` added, to ret[*n ..], which has room for the entry's n. */
int posting__list(const struct posting_entry *entry, unsigned int space, uint32_t base,
		  uint32_t *ret, uint32_t *n);
/* Appends an entry of a page: n ordinals, sorted, below space. */
void posting__add(struct buf *out, uint64_t term, const uint32_t *ordinals, uint32_t n,
		  unsigned int space);
/* Appends the checksum of what is in out from `from` on: every directory ends with one. */
void posting__seal(struct buf *out, size_t from);
bool posting__sealed(struct view bytes);
/* Checks it and takes it away. */
bool posting__unseal(struct view *bytes);

#endif
