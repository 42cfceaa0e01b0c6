// SPDX-License-Identifier: Apache-2.0
#include "ship/store/evict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ship/store/file.h"

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void sort(struct buf *hashes)
{
	if (hashes->len)
		qsort(hashes->at, hashes->len / 8, 8, by_value);
}

/* Appends those of `others` that are among `gone` (sorted). */
static void add_common(struct buf *out, const struct buf *gone, const struct buf *others)
{
	const uint64_t *at = (const uint64_t *)others->at;

	for (size_t i = 0; i < others->len / 8 && gone->len; i++)
		if (bsearch(&at[i], gone->at, gone->len / 8, 8, by_value))
			buf__add(out, &at[i], 8);
}

/* The traces of another partition; none where it cannot be read. */
static void read_traces(const char *folder, uint64_t number, struct buf *out, uint64_t *ret_spans,
			bool *ret_damaged)
{
	struct err err;
	sqlite3 *db;
	int ret = store_file__open_to_read(&db, folder, number, &err);

	if (!ret) {
		ret = partition__traces(db, out, ret_spans);
		sqlite3_close(db);
	}
	if (ret_damaged)
		*ret_damaged = ret == -EPROTO;
}

/* Traces that have spans in what goes and in what stays. */
static void find_lost(const char *folder, const struct store_files *files, unsigned int first,
		      const struct store_limits *limits, const struct buf *gone, struct buf *ret)
{
	uint64_t current = partition__number(limits->current);
	struct buf traces = { 0 };

	for (unsigned int i = first; i < files->n; i++) {
		if (files->at[i].damaged || files->at[i].number == current)
			continue;
		buf__clear(&traces);
		read_traces(folder, files->at[i].number, &traces, NULL, NULL);
		add_common(ret, gone, &traces);
	}
	buf__clear(&traces);
	partition__own_traces(limits->current, &traces);
	add_common(ret, gone, &traces);
	buf__free(&traces);
}

static int mark(const struct store_limits *limits, const struct buf *lost, uint64_t number,
		uint64_t spans)
{
	struct partition_account account = *limits->account;
	bool again = false;
	int ret = partition__begin(limits->current);

	if (!ret)
		ret = partition__mark_lost(limits->current, (const uint64_t *)lost->at,
					   lost->len / 8);
	if (!ret)
		ret = partition__give_up(limits->current, number, &again);
	account.evicted += again ? 0 : spans;
	if (!ret)
		ret = partition__note(limits->current, &account);
	if (!ret)
		ret = partition__end(limits->current);
	if (!ret)
		*limits->account = account;
	else
		partition__undo(limits->current);
	return ret;
}

static int give_up(const char *folder, const struct store_files *files, unsigned int i,
		   const struct store_limits *limits, struct evicted *ret)
{
	const struct store_file *file = &files->at[i];
	struct buf gone = { 0 }, lost = { 0 };
	uint64_t spans = 0;
	bool damaged = false;
	int err = 0;

	if (!file->damaged) {
		read_traces(folder, file->number, &gone, &spans, &damaged);
		sort(&gone);
		find_lost(folder, files, i + 1, limits, &gone, &lost);
		err = mark(limits, &lost, file->number, spans);
	}
	buf__free(&gone);
	buf__free(&lost);
	if (!err)
		err = store_file__remove(folder, file);
	if (err)
		return err;
	ret->n_damaged += damaged;
	ret->n_files++;
	ret->bytes_left -= file->bytes;
	return 0;
}

void evict__finish(const char *folder, const struct store_files *files, sqlite3 *db)
{
	struct buf numbers = { 0 };
	const uint64_t *at;

	partition__given_up(db, &numbers);
	at = (const uint64_t *)numbers.at;
	for (size_t k = 0; k < numbers.len / 8; k++)
		for (unsigned int i = 0; i + 1 < files->n; i++)
			if (files->at[i].number == at[k] && !files->at[i].damaged)
				store_file__remove(folder, &files->at[i]);
	buf__free(&numbers);
}

int evict__keep(const char *folder, const struct store_limits *limits, struct evicted *ret,
		struct err *err)
{
	uint64_t current = partition__number(limits->current);
	int64_t now = (int64_t)time(NULL);
	struct store_files files;
	int bad = store_files__list(&files, folder, err);

	if (bad)
		return bad;
	*ret = (struct evicted){ .bytes_left = files.bytes };
	for (unsigned int i = 0; i < files.n && !bad; i++) {
		const struct store_file *file = &files.at[i];
		bool old = now - file->changed_s > (int64_t)limits->age_max_s;

		if (file->number == current || (ret->bytes_left <= limits->bytes_max && !old))
			continue;
		bad = give_up(folder, &files, i, limits, ret);
		if (bad)
			err__set(err, bad, "the store %s cannot give up spans-%08llu.db: %s",
				 folder, (unsigned long long)file->number, strerror(-bad));
	}
	store_files__free(&files);
	return bad;
}
