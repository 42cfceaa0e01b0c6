// SPDX-License-Identifier: Apache-2.0
#include "ship/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ship/store/evict.h"
#include "ship/store/file.h"
#include "ship/store/partition.h"

/* A partition is a share of all: what is given up at once. */
#define PARTITIONS 8
#define AGE_SHARES 8
/* Sizes of files are asked for when so much may have come since. */
#define LOOK_SHARE 64
#define LOOK_NS 10000000000ull
#define RETRY_NS 1000000000ull

struct store {
	struct store_config config;
	char *folder;
	int lock;
	struct partition *partition;
	uint64_t opened_ns; /* the partition: realtime */
	uint64_t retry_ns, look_ns, unlooked;
	struct store_counters counters;
	bool met; /* what the folder holds was looked at */
	struct err notes[STORE_NOTES_MAX];
	unsigned int n_notes;
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

struct store *store__new(const struct store_config *config)
{
	struct store *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->config = *config;
	s->lock = -1;
	s->counters.acked = config->acked;
	s->counters.evicted = config->evicted;
	s->folder = strdup(config->folder);
	if (!s->folder) {
		free(s);
		return NULL;
	}
	s->config.folder = s->folder;
	return s;
}

void store__free(struct store *s)
{
	if (!s)
		return;
	partition__close(s->partition);
	if (s->lock >= 0)
		close(s->lock);
	free(s->folder);
	free(s);
}

const struct store_counters *store__counters(const struct store *s)
{
	return &s->counters;
}

bool store__note(struct store *s, struct err *ret)
{
	if (!s->n_notes)
		return false;
	*ret = s->notes[0];
	memmove(s->notes, s->notes + 1, --s->n_notes * sizeof(*s->notes));
	return true;
}

/* The last one stands for those that do not fit. */
static struct err *new_note(struct store *s)
{
	if (s->n_notes == STORE_NOTES_MAX)
		s->n_notes--;
	s->notes[s->n_notes].text[0] = 0;
	return &s->notes[s->n_notes++];
}

/* A lock of the process: it goes with it, however it ends. */
static int take_lock(struct store *s, struct err *err)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char path[STORE_PATH_MAX];
	int ret;

	if (s->lock >= 0)
		return 0;
	snprintf(path, sizeof(path), "%s/" STORE_LOCK, s->folder);
	s->lock = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (s->lock < 0) {
		ret = -errno;
		return err__set(err, ret, "it cannot be written: %s", strerror(-ret));
	}
	if (!fcntl(s->lock, F_SETLK, &whole))
		return 0;
	close(s->lock);
	s->lock = -1;
	return err__set(err, -EBUSY,
			"another sonde writes into it: end that one, or name another folder");
}

static void put_aside(struct store *s, uint64_t number, const struct err *why)
{
	struct err *note = new_note(s);
	int ret = store_file__quarantine(s->folder, number);

	if (ret) {
		err__set(note, ret, "%s; it cannot be put aside: %s", why->text, strerror(-ret));
		return;
	}
	s->counters.damaged++;
	err__set(note, 0,
		 "%s: it was put aside as spans-%08llu.db.damaged; the others are as they were",
		 why->text, (unsigned long long)number);
}

/* Every other partition can be read, or is put aside, or is said to be a newer one's. */
static void meet(struct store *s, const struct store_files *files, uint64_t last)
{
	for (unsigned int i = 0; i < files->n; i++) {
		struct err err = { "" };
		sqlite3 *db;
		int ret;

		if (files->at[i].damaged || files->at[i].number == last)
			continue;
		ret = store_file__open_to_read(&db, s->folder, files->at[i].number, &err);
		if (!ret)
			sqlite3_close(db);
		else if (ret == -EPROTO)
			put_aside(s, files->at[i].number, &err);
		else if (ret == -EPROTONOSUPPORT)
			*new_note(s) = err;
	}
	s->met = true;
}

/* Goes on with the last partition where that is possible, else makes a new one. */
static int open_partition(struct store *s, const struct store_files *files, struct err *err)
{
	const struct store_file *last = files->n ? &files->at[files->n - 1] : NULL;
	uint64_t number = last ? last->number : 0;
	int ret = -ENOENT;

	if (last && !last->damaged) {
		ret = partition__open(&s->partition, s->folder, number, false, err);
		if (ret == -EPROTO)
			put_aside(s, number, err);
		else if (ret == -EPROTONOSUPPORT && !s->met)
			*new_note(s) = *err;
		else if (ret && ret != -ENOENT)
			return ret;
	}
	if (!s->met)
		meet(s, files, number);
	if (ret)
		ret = partition__open(&s->partition, s->folder, number + 1, true, err);
	if (!ret)
		s->opened_ns = now_ns(CLOCK_REALTIME);
	return ret;
}

static struct partition_account account_of(const struct store *s)
{
	return (struct partition_account){ .run = s->config.run,
					   .acked = s->counters.acked,
					   .evicted = s->counters.evicted };
}

/*
 * What a writer of this run before us has noted: in the partition that is gone on with, or, where it died after
 * it began that one, in the one before.
 */
static void take_over(struct store *s, const struct store_files *files)
{
	struct partition_account account = account_of(s);
	uint64_t current = partition__number(s->partition);
	struct err err;
	sqlite3 *db;

	partition__account(partition__db(s->partition), &account);
	evict__finish(s->folder, files, partition__db(s->partition));
	for (unsigned int i = files->n; i-- > 0;) {
		if (files->at[i].damaged || files->at[i].number >= current)
			continue;
		if (!store_file__open_to_read(&db, s->folder, files->at[i].number, &err)) {
			partition__account(db, &account);
			evict__finish(s->folder, files, db);
			sqlite3_close(db);
		}
		break;
	}
	s->counters.acked = account.acked;
	s->counters.evicted = account.evicted;
}

int store__open(struct store *s, struct err *err)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	struct store_files files;
	int ret;

	if (s->partition)
		return 0;
	if (s->retry_ns > now)
		return -EAGAIN;
	s->retry_ns = now + RETRY_NS;
	ret = take_lock(s, err);
	if (!ret)
		ret = store_files__list(&files, s->folder, err);
	if (ret)
		return ret;
	ret = open_partition(s, &files, err);
	if (!ret) {
		take_over(s, &files);
		s->retry_ns = 0;
		s->look_ns = 0;
	}
	store_files__free(&files);
	return ret;
}

static int put_spans(struct store *s, const struct queue *q, uint64_t n, uint64_t *ret_too_large)
{
	struct queue_cursor cursor = queue__begin(q);
	const struct queue_entry *entry;
	int ret = partition__begin(s->partition);

	while (!ret && n-- && (entry = queue__next(&cursor))) {
		ret = partition__add(s->partition, blob__view(entry->resource),
				     blob__view(entry->scope),
				     (struct view){ (const char *)entry->bytes, entry->len });
		if (ret == -EMSGSIZE) {
			++*ret_too_large;
			ret = 0;
		}
		s->unlooked += entry->len;
	}
	return ret;
}

/* The current partition has its share, or is old enough that the limit of age would be kept too coarsely. */
static bool due(struct store *s)
{
	uint64_t age = now_ns(CLOCK_REALTIME) - s->opened_ns;

	return partition__bytes(s->partition) >= s->config.bytes_max / PARTITIONS ||
	       age / 1000000000 >= s->config.age_max_s / AGE_SHARES + 1;
}

static int rotate(struct store *s, struct err *err)
{
	uint64_t number = partition__number(s->partition);
	int ret = partition__finish(s->partition);

	partition__close(s->partition);
	s->partition = NULL;
	if (!ret)
		ret = partition__open(&s->partition, s->folder, number + 1, true, err);
	s->opened_ns = now_ns(CLOCK_REALTIME);
	return ret;
}

/* Limits. What cannot be done now is tried again with the next look; the batch is in the store already. */
static void keep_limits(struct store *s)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);
	struct store_limits limits = { .bytes_max = s->config.bytes_max,
				       .age_max_s = s->config.age_max_s };
	struct partition_account account = account_of(s);
	struct evicted evicted = { 0 };
	struct err err = { "" };

	if (due(s) && rotate(s, &err)) {
		*new_note(s) = err;
		return;
	}
	if (s->look_ns > now && s->unlooked < s->config.bytes_max / LOOK_SHARE)
		return;
	s->look_ns = now + LOOK_NS;
	s->unlooked = 0;
	limits.current = s->partition;
	limits.account = &account;
	if (evict__keep(s->folder, &limits, &evicted, &err))
		*new_note(s) = err;
	s->counters.evicted = account.evicted;
	s->counters.bytes = evicted.bytes_left;
	for (unsigned int i = 0; i < evicted.n_damaged; i++)
		s->counters.damaged++;
}

int store__write(struct store *s, const struct queue *q, uint64_t n, uint64_t *ret_too_large,
		 struct err *err)
{
	struct partition_account account;
	struct err why = { "" };
	uint64_t number;
	int ret = store__open(s, err);

	*ret_too_large = 0;
	if (ret)
		return ret;
	ret = put_spans(s, q, n, ret_too_large);
	account = account_of(s);
	account.acked += n - *ret_too_large;
	if (!ret)
		ret = partition__commit(s->partition, &account);
	if (!ret) {
		s->counters.acked = account.acked;
		/* Where it fails, questions take a little longer, and no span is the worse for it. */
		partition__merge(s->partition);
		keep_limits(s);
		return 0;
	}
	/* The file is as it was after the last commit: what is in memory is not. */
	number = partition__number(s->partition);
	err__set(err, ret, "it cannot be written: %s",
		 ret == -ENOSPC ? "no space left on its device" : partition__why(s->partition));
	partition__close(s->partition);
	s->partition = NULL;
	if (ret == -EPROTO) {
		err__set(&why, ret, "%s/spans-%08llu.db is damaged", s->folder,
			 (unsigned long long)number);
		put_aside(s, number, &why);
	} else {
		s->retry_ns = now_ns(CLOCK_MONOTONIC) + RETRY_NS;
	}
	return ret;
}
