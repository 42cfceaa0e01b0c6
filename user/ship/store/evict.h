/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits of a store: the oldest partitions are unlinked whole, after those traces were marked that had
 * spans in them and have others in what stays.
 */
#ifndef SONDE_SHIP_STORE_EVICT_H
#define SONDE_SHIP_STORE_EVICT_H

#include "base/err.h"
#include "ship/store/file.h"
#include "ship/store/partition.h"

struct store_limits {
	uint64_t bytes_max, age_max_s;
	struct partition *current;	   /* never given up; takes the marks */
	struct partition_account *account; /* its `evicted` grows by the spans that go */
};

struct evicted {
	uint64_t bytes_left;
	unsigned int n_files, n_damaged;
};

/*
 * 0, or a negative errno with what could not be done; *ret says what was. That spans go is in the current
 * partition before their file is unlinked: a death in between neither loses nor doubles them.
 */
int evict__keep(const char *folder, const struct store_limits *limits, struct evicted *ret,
		struct err *err);

/* Unlinks what a writer before this one counted, and then died. */
void evict__finish(const char *folder, const struct store_files *files, struct sqlite3 *db);

#endif
