// SPDX-License-Identifier: Apache-2.0
/* What a writer wants to know of any partition's file, its own or not. */
#include "ship/store/file.h"
#include "ship/store/partition.h"

/* What is in file `db` of a run; of version 1 nothing was given up. */
void partition__account(sqlite3 *db, struct partition_account *account)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT * FROM account WHERE run=?1", -1, &stmt, NULL);

	if (code == SQLITE_OK) {
		sqlite3_bind_int64(stmt, 1, (sqlite3_int64)account->run);
		code = sqlite3_step(stmt);
	}
	if (code == SQLITE_ROW) {
		uint64_t acked = (uint64_t)sqlite3_column_int64(stmt, 1);
		uint64_t evicted = (uint64_t)sqlite3_column_int64(stmt, 2);

		account->acked = acked > account->acked ? acked : account->acked;
		account->evicted = evicted > account->evicted ? evicted : account->evicted;
	}
	sqlite3_finalize(stmt);
}

void partition__given_up(sqlite3 *db, struct buf *out)
{
	sqlite3_stmt *stmt = NULL;

	/* Version 1 has no such table. */
	if (sqlite3_prepare_v2(db, "SELECT partition FROM given_up", -1, &stmt, NULL) == SQLITE_OK)
		while (sqlite3_step(stmt) == SQLITE_ROW)
			buf__add(out, &(uint64_t){ (uint64_t)sqlite3_column_int64(stmt, 0) },
				 sizeof(uint64_t));
	sqlite3_finalize(stmt);
}

int partition__traces(sqlite3 *db, struct buf *out, uint64_t *ret_spans)
{
	sqlite3_stmt *stmt = NULL;
	int code =
		sqlite3_prepare_v2(db, "SELECT traces FROM segment ORDER BY id", -1, &stmt, NULL);
	int ret;

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			buf__add(out, sqlite3_column_blob(stmt, 0),
				 (size_t)sqlite3_column_bytes(stmt, 0) & ~(size_t)7);
	}
	ret = store_errno(db, code);
	sqlite3_finalize(stmt);
	if (ret_spans && !ret) {
		int64_t n = store_number(db, "SELECT sum(spans) FROM block", &ret);

		*ret_spans = n > 0 ? (uint64_t)n : 0;
	}
	return ret ? ret : out->err;
}
