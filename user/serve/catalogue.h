/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What services and operations a store holds, and when each of its segments was: from the digests that the
 * store has of its segments, and from the spans behind the last one, a slice at a time; from then on only what
 * has been added.
 */
#ifndef SONDE_SERVE_CATALOGUE_H
#define SONDE_SERVE_CATALOGUE_H

#include "base/buf.h"
#include "base/err.h"

struct catalogue_entry {
	struct view service, name;
	uint32_t kind;
	uint64_t spans;
	uint64_t first_ns, last_ns; /* when the first and the last of them began */
};

struct catalogue_totals {
	uint64_t spans, bytes, oldest_ns,
		newest_ns;		  /* begin of the first, end of the last; 0: no span */
	unsigned int partitions, damaged; /* damaged: put aside */
	unsigned int unread;		  /* could not be read, and are where they were */
	const char *why; /* of one of these, for a person; the catalogue's. Else NULL */
	bool complete;	 /* all that is stored has been read */
	bool crowded;	 /* there are more operations than are kept */
};

struct catalogue;
struct catalogue *catalogue__new(void);
/*
 * Reads on for at most ns. 0: it is complete; 1: there is more; a negative errno with err: the folder cannot
 * be read.
 */
int catalogue__read(struct catalogue *c, const char *folder, uint64_t ns, struct err *err);
void catalogue__totals(const struct catalogue *c, struct catalogue_totals *ret);
/* Each operation of each partition. */
void catalogue__each(const struct catalogue *c,
		     void (*each)(void *arg, const struct catalogue_entry *entry), void *arg);
/* Can no span of this segment begin within the range? False where that is not known. */
bool catalogue__outside(const struct catalogue *c, uint64_t partition, uint64_t segment,
			uint64_t start_ns, uint64_t end_ns);
/* NULL is fine. */
void catalogue__free(struct catalogue *c);

#endif
