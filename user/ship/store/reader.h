/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a store, in another process than the one that writes it: never makes it wait, writes nothing, and
 * takes every byte as from a stranger. What is damaged is passed over and said. Needs nothing but to open
 * files of the folder for reading.
 */
#ifndef SONDE_SHIP_STORE_READER_H
#define SONDE_SHIP_STORE_READER_H

#include "base/err.h"
#include "ship/console/where.h"

struct store_query {
	const struct where *where; /* NULL: all */
	uint64_t limit;		   /* 0: none */
	/*
	 * Each may be NULL. stop: asked between spans, true ends the search (`more` is set). skip: nothing of this
	 * segment can match. match: instead of `where`, which then only says where to look.
	 */
	bool (*stop)(void *arg);
	bool (*skip)(void *arg, uint64_t partition, uint64_t segment);
	bool (*match)(void *arg, const struct row *row);
	/* A span that matches, the newest (by when it was written) first; views hold for the call. */
	void (*found)(void *arg, const struct row *row, struct view scope);
	/* What could not be read, for a person. */
	void (*note)(void *arg, const char *text);
	void *arg;
};

struct store_answer {
	uint64_t found;
	uint64_t blocks_read, segments;
	unsigned int partitions, unread; /* unread: damaged, or a newer sonde's */
	bool more;			 /* the limit was reached, or it was stopped */
};

/* 0; a negative errno with err: the folder cannot be read at all. */
int store__search(const char *folder, const struct store_query *query, struct store_answer *ret,
		  struct err *err);

/*
 * The spans of one partition from a place on, in the order they were written; *place becomes the one to go on
 * from, also in a block that grows. stop: asked between blocks. 0; -ENOENT: the partition has gone; -ENODATA:
 * there is nothing in it yet; another negative errno with err.
 */
struct store_place {
	uint64_t block;
	unsigned int span; /* of that block, the next one */
};
struct store_walk {
	bool (*stop)(void *arg);
	void (*span)(void *arg, uint64_t segment, const struct row *row);
	/*
	 * May be NULL. What stands for the spans of a segment's first blocks (digest.h), instead of them; false:
	 * it cannot be read.
	 */
	bool (*digest)(void *arg, uint64_t segment, struct view bytes);
	void *arg;
};
/* The place of the last block that is there now: a walk from it ends soon. Unchanged where there is none. */
void store__end(const char *folder, uint64_t partition, struct store_place *ret);
int store__walk(const char *folder, uint64_t partition, struct store_place *place,
		const struct store_walk *walk, struct err *err);

/* Were older spans of this trace given up for the store's limits? False where that cannot be read. */
bool store__has_lost(const char *folder, struct view trace_id);
/* The same of n of them; ret has room for all. */
void store__have_lost(const char *folder, const uint8_t (*ids)[16], unsigned int n, bool *ret);

#endif
