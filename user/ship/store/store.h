/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store that is written: a folder of partitions, one of which takes what comes. One writer a folder,
 * any number of readers (reader.h), who never make it wait. Not thread-safe: one thread at a time.
 *
 * What a batch brought is in the file, for good and searchable, when store__write() has returned 0; after an
 * error none of it is. Past its limits the oldest partitions are given up whole.
 */
#ifndef SONDE_SHIP_STORE_STORE_H
#define SONDE_SHIP_STORE_STORE_H

#include "base/err.h"
#include "ship/export/queue.h"

#define STORE_BYTES_DEFAULT (1ull << 30)
#define STORE_BYTES_MIN (16ull << 20)
#define STORE_AGE_DEFAULT_S (7ull * 86400)
#define STORE_NOTES_MAX 8

struct store_config {
	const char *folder;
	uint64_t bytes_max; /* of all files; one partition is an eighth of it */
	uint64_t age_max_s; /* of the newest span of a partition */
	uint64_t run;	    /* of this run of sonde: its count of spans goes on after a restart */
	uint64_t acked;	    /* so many of it are there already, as far as is known */
	uint64_t evicted;   /* so many spans has it given up, as far as is known */
};

struct store_counters {
	uint64_t acked;	  /* of this run */
	uint64_t evicted; /* spans given up for the limits, by this run */
	uint64_t damaged; /* partitions put aside */
	uint64_t bytes;	  /* of all files, when they were last looked at */
};

struct store;
/* Touches nothing yet. NULL: no memory. */
struct store *store__new(const struct store_config *config);
/*
 * Opens the folder where that has not been done. 0, or a negative errno with what a person should know: it is
 * asked again with the next batch, and then opens at most once a second.
 */
int store__open(struct store *store, struct err *err);
/* The first n spans of the queue (their blobs' references are not touched), which are `*ret_too_large` more than are kept. */
int store__write(struct store *store, const struct queue *q, uint64_t n, uint64_t *ret_too_large,
		 struct err *err);
const struct store_counters *store__counters(const struct store *store);
/* What happened beside: partitions put aside, or given up. False: nothing more. */
bool store__note(struct store *store, struct err *ret);
/* NULL is fine. */
void store__free(struct store *store);

#endif
