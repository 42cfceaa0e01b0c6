/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A search expression against the postings of a segment or a group: which spans may match. Only equality has
 * postings; everything else, and what is negated, leaves all of them as candidates, and every candidate is
 * read and compared afterwards. Pure.
 */
#ifndef SONDE_SHIP_STORE_QUERY_H
#define SONDE_SHIP_STORE_QUERY_H

#include "ship/console/where.h"
#include "ship/store/posting.h"

struct query_source {
	/* Adds the term's spans to *ret. 0, or -EPROTO: it cannot be read, so all are candidates. */
	int (*postings)(void *arg, uint64_t term, struct ordinals *ret);
	void *arg;
};

/* *ret becomes the candidates: all that match, and maybe others. NULL matches everything. */
void query__candidates(const struct where *where, const struct query_source *source,
		       struct ordinals *ret);

#endif
