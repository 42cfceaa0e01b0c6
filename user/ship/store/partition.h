/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The partition that is being written: spans are gathered into a block, blocks into a segment, and both are
 * in the file with every commit. After an error that is not -EMSGSIZE the partition is in no known state:
 * close it and open it again, the file is as it was after the last commit.
 */
#ifndef SONDE_SHIP_STORE_PARTITION_H
#define SONDE_SHIP_STORE_PARTITION_H

#include "base/err.h"
#include "base/buf.h"

struct partition;

/*
 * Opens spans-NNNNNNNN.db of the folder, makes it where `make`, brings an older version up to date, reads what
 * its open segment holds. 0; -EPROTONOSUPPORT: newer; -EPROTO: damaged; another negative errno.
 */
int partition__open(struct partition **ret, const char *folder, uint64_t number, bool make,
		    struct err *err);
/* What has not been committed is lost. NULL is fine. Leaves one file without a log, unless somebody reads it. */
void partition__close(struct partition *p);

int partition__begin(struct partition *p);
/* 0; -EMSGSIZE: this span is longer than a block; another negative errno: give up. */
int partition__add(struct partition *p, struct view resource, struct view scope, struct view span);
/* Of a run: how many of its spans are in the store, and how many spans it has given up, whoever's. */
struct partition_account {
	uint64_t run, acked, evicted;
};
/* Notes that so it stands with this. */
int partition__commit(struct partition *p, const struct partition_account *account);
/* The two parts of it, for a transaction without spans. */
int partition__note(struct partition *p, const struct partition_account *account);
int partition__end(struct partition *p);
/* Takes back what has not been committed of a transaction without spans. */
void partition__undo(struct partition *p);
/* What is noted in a file of account->run, where that is more; damage reads as nothing. */
struct sqlite3;
void partition__account(struct sqlite3 *db, struct partition_account *account);

/*
 * Merges the postings of the next group where its segments are complete, in a transaction of its own. 0, or a
 * negative errno: they stay as they are, nothing else is touched, and it is tried again with the next segment
 * (-EPROTO, damage: never).
 */
int partition__merge(struct partition *p);
/* No more spans will come: what is in the open segment gets its postings. */
int partition__finish(struct partition *p);

/* Hashes of traces (terms.h), n of them, sorted: marks those that this partition holds. Between begin and commit. */
int partition__mark_lost(struct partition *p, const uint64_t *traces, size_t n);
/* The same with the number of a partition whose spans count as given up from here on. *ret_again: they did before. */
int partition__give_up(struct partition *p, uint64_t number, bool *ret_again);
/* Appends the numbers of those, u64 each. */
void partition__given_up(struct sqlite3 *db, struct buf *out);
/* Appends the hashes of the traces of all sealed segments of a file, and how many spans it has. */
int partition__traces(struct sqlite3 *db, struct buf *out, uint64_t *ret_spans);
/* Those of this one, the open segment's included; what cannot be read is left out. */
void partition__own_traces(struct partition *p, struct buf *out);

struct sqlite3 *partition__db(struct partition *p);
uint64_t partition__bytes(struct partition *p);
uint64_t partition__number(const struct partition *p);
const char *partition__why(struct partition *p);

#endif
