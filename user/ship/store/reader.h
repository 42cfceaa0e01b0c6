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
	bool more;			 /* the limit was reached */
};

/* 0; a negative errno with err: the folder cannot be read at all. */
int store__search(const char *folder, const struct store_query *query, struct store_answer *ret,
		  struct err *err);

/* Were older spans of this trace given up for the store's limits? False where that cannot be read. */
bool store__has_lost(const char *folder, struct view trace_id);

#endif
