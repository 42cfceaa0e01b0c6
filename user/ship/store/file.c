// SPDX-License-Identifier: Apache-2.0
#include "ship/store/file.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

#define READ_CACHE                                                                                 \
	"PRAGMA cache_size=-2048; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY; PRAGMA "           \
	"cell_size_check=ON;"

/*
 * A writer that puts its log into the file when the partition is full, or takes up what a dead one left, is alone
 * with it for so long at the most; what lies in the file meanwhile is neither before nor after.
 */
#define BUSY_MS 500

void store_file__path(char path[STORE_PATH_MAX], const char *folder, uint64_t number, bool damaged)
{
	snprintf(path, STORE_PATH_MAX, "%s/spans-%08llu.db%s", folder, (unsigned long long)number,
		 damaged ? ".damaged" : "");
}

/* spans-NNNNNNNN.db, and what SQLite or we make of it. */
static bool read_name(const char *name, uint64_t *ret_number, bool *ret_main, bool *ret_damaged)
{
	char *end;

	if (strncmp(name, "spans-", 6) || name[6] < '0' || name[6] > '9')
		return false;
	*ret_number = strtoull(name + 6, &end, 10);
	*ret_damaged = !strncmp(end, ".db.damaged", 11);
	*ret_main = !strcmp(end, ".db") || !strcmp(end, ".db.damaged");
	return !strncmp(end, ".db", 3) && *ret_number < UINT32_MAX;
}

static struct store_file *find_or_add(struct store_files *files, uint64_t number)
{
	struct store_file *bigger;

	for (unsigned int i = 0; i < files->n; i++)
		if (files->at[i].number == number)
			return &files->at[i];
	if (files->n == STORE_FILES_MAX)
		return NULL;
	bigger = reallocarray(files->at, files->n + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	files->at = bigger;
	files->at[files->n] = (struct store_file){ .number = number };
	return &files->at[files->n++];
}

static int by_number(const void *a, const void *b)
{
	const struct store_file *x = a, *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

/* Files of which only a log is left are listed too: they are taken away in their turn. */
int store_files__list(struct store_files *ret, const char *folder, struct err *err)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;

	*ret = (struct store_files){ 0 };
	if (!dir)
		return err__set(err, -errno, "the store %s cannot be read: %s", folder,
				strerror(errno));
	while ((entry = readdir(dir))) {
		struct store_file *file;
		struct stat st;
		uint64_t number;
		bool whole, damaged;

		if (!read_name(entry->d_name, &number, &whole, &damaged) ||
		    fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode))
			continue;
		file = find_or_add(ret, number);
		if (!file)
			continue;
		file->damaged |= damaged;
		file->bytes += (uint64_t)st.st_size;
		ret->bytes += (uint64_t)st.st_size;
		if (st.st_mtim.tv_sec > file->changed_s)
			file->changed_s = st.st_mtim.tv_sec;
	}
	closedir(dir);
	if (ret->n)
		qsort(ret->at, ret->n, sizeof(*ret->at), by_number);
	return 0;
}

void store_files__free(struct store_files *files)
{
	free(files->at);
	*files = (struct store_files){ 0 };
}

static const char *const companions[] = { "-wal", "-shm", "-journal" };

int store_file__remove(const char *folder, const struct store_file *file)
{
	char path[STORE_PATH_MAX], other[STORE_PATH_MAX + 16];
	int ret;

	store_file__path(path, folder, file->number, file->damaged);
	ret = unlink(path) && errno != ENOENT ? -errno : 0;
	store_file__path(path, folder, file->number, false);
	for (size_t i = 0; !ret && i < sizeof(companions) / sizeof(*companions); i++) {
		snprintf(other, sizeof(other), "%s%s", path, companions[i]);
		if (unlink(other) && errno != ENOENT)
			ret = -errno;
	}
	return ret;
}

/* The log goes with it: without its file it says nothing. */
int store_file__quarantine(const char *folder, uint64_t number)
{
	char path[STORE_PATH_MAX], aside[STORE_PATH_MAX], other[STORE_PATH_MAX + 16];

	store_file__path(path, folder, number, false);
	store_file__path(aside, folder, number, true);
	if (rename(path, aside))
		return -errno;
	for (size_t i = 0; i < sizeof(companions) / sizeof(*companions); i++) {
		snprintf(other, sizeof(other), "%s%s", path, companions[i]);
		unlink(other);
	}
	return 0;
}

int store_errno(sqlite3 *db, int code)
{
	int sys = db ? sqlite3_system_errno(db) : 0;

	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a table that is not there: our statements are right */
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
		return -EPROTO;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return sys ? -sys : -EROFS;
	case SQLITE_IOERR:
		/* The file is shorter than it says. */
		if (code == SQLITE_IOERR_SHORT_READ)
			return -EPROTO;
		return sys ? -sys : -EIO;
	case SQLITE_CANTOPEN:
		return sys ? -sys : -EACCES;
	default:
		return -EIO;
	}
}

int64_t store_number(sqlite3 *db, const char *sql, int *ret_err)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	int64_t n = -1;

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW && sqlite3_column_type(stmt, 0) == SQLITE_INTEGER)
		n = sqlite3_column_int64(stmt, 0);
	*ret_err = store_errno(db, code);
	sqlite3_finalize(stmt);
	return n;
}

int store_file__check(sqlite3 *db, const char *path, int *ret_version, struct err *err)
{
	int ret;
	int64_t version, kind = store_number(db, "PRAGMA application_id", &ret);

	version = ret ? 0 : store_number(db, "PRAGMA user_version", &ret);
	if (ret)
		return err__set(err, ret, "%s cannot be read: %s", path,
				ret == -EPROTO ? "it is damaged" : sqlite3_errmsg(db));
	*ret_version = (int)version;
	if (!kind && !version && !store_number(db, "SELECT count(*) FROM sqlite_master", &ret) &&
	    !ret)
		return 0; /* new: nothing in it yet */
	if (kind != STORE_APPLICATION_ID || version < 1)
		return err__set(err, -EPROTO, "%s is no store of sonde, or damaged", path);
	if (version > STORE_VERSION)
		return err__set(
			err, -EPROTONOSUPPORT,
			"%s was written by a newer sonde (version %d; this one knows %d): it is "
			"left as it is; read it with that sonde",
			path, (int)version, STORE_VERSION);
	return 0;
}

/* A path as SQLite's URI: what means something in one is escaped. */
static void add_uri(struct buf *out, const char *path, const char *options)
{
	buf__add_str(out, "file:");
	for (const char *c = path; *c; c++) {
		if (*c == '%' || *c == '?' || *c == '#')
			buf__printf(out, "%%%02x", (uint8_t)*c);
		else
			buf__add(out, c, 1);
	}
	buf__add_str(out, options);
	buf__add(out, "", 1);
}

/* Names stay as they are: the folders above ours may be closed to the role that has it. */
static int plain_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

const char *store_vfs(void)
{
	static sqlite3_vfs vfs;

	if (!vfs.zName) {
		vfs = *sqlite3_vfs_find(NULL);
		vfs.zName = "sonde";
		vfs.xFullPathname = plain_name;
		sqlite3_vfs_register(&vfs, 0);
	}
	return vfs.zName;
}

static int open_with(sqlite3 **ret, const char *path, const char *options, int *ret_version,
		     struct err *err)
{
	struct buf uri = { 0 };
	sqlite3 *db = NULL;
	int code, bad;

	add_uri(&uri, path, options);
	if (uri.err) {
		buf__free(&uri);
		return uri.err;
	}
	code = sqlite3_open_v2((const char *)uri.at, &db,
			       SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
			       store_vfs());
	buf__free(&uri);
	if (code == SQLITE_OK) {
		sqlite3_extended_result_codes(db, 1);
		sqlite3_busy_timeout(db, BUSY_MS);
		code = sqlite3_exec(db, READ_CACHE, NULL, NULL, NULL);
	}
	bad = store_errno(db, code);
	if (bad)
		err__set(err, bad, "%s cannot be opened: %s", path,
			 bad == -EPROTO ? "it is damaged" : sqlite3_errmsg(db));
	else
		bad = store_file__check(db, path, ret_version, err);
	if (bad) {
		sqlite3_close(db);
		return bad;
	}
	*ret = db;
	return 0;
}

static uint32_t word(const uint8_t *at, bool big)
{
	uint32_t w;

	memcpy(&w, at, sizeof(w));
	return big ? be32toh(w) : le32toh(w);
}

/* Eight words, the last two the checksum of those before. */
static bool sound_head(const uint8_t head[32])
{
	uint32_t sums[2] = { 0, 0 };
	bool big = word(head, true) & 1;

	if ((word(head, true) & ~1u) != 0x377f0682)
		return false;
	for (int i = 0; i < 24; i += 8) {
		sums[0] += word(head + i, big) + sums[1];
		sums[1] += word(head + i + 4, big) + sums[0];
	}
	return sums[0] == word(head + 24, true) && sums[1] == word(head + 28, true);
}

/*
 * Where its writer was killed before its first commit a log holds nothing, and SQLite, which may not begin it
 * anew here, would wait for somebody who does. SQLite's file format, "WAL File Format": a frame whose second
 * word is not 0 ends a commit; its salts are the header's.
 */
static bool holds_commits(const char *log)
{
	int fd = open(log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	uint8_t head[32], frame[24];
	bool commits = false;
	off_t at = sizeof(head);

	if (fd < 0)
		return false;
	if (pread(fd, head, sizeof(head), 0) == sizeof(head) && sound_head(head)) {
		while (!commits && pread(fd, frame, sizeof(frame), at) == sizeof(frame) &&
		       !memcmp(frame + 8, head + 16, 8)) {
			commits = word(frame + 4, true) != 0;
			at += (off_t)sizeof(frame) + word(head + 8, true);
		}
	}
	close(fd);
	return commits;
}

int store_file__open_to_read(sqlite3 **ret, const char *folder, uint64_t number, struct err *err)
{
	char path[STORE_PATH_MAX], log[STORE_PATH_MAX + 8];
	int version = 0, bad;

	store_file__path(path, folder, number, false);
	snprintf(log, sizeof(log), "%s-wal", path);
	/* Without a log SQLite needs no memory shared with a writer, which it would wait for. */
	if (!holds_commits(log))
		bad = open_with(ret, path, "?immutable=1", &version, err);
	else
		bad = open_with(ret, path, "?mode=ro&readonly_shm=1", &version, err);
	/*
	 * Its commits were torn: as before them. Or the memory shared with its writer has gone while the log is
	 * still there: SQLite takes it away first, when all of the log is in the file.
	 */
	if (bad == -EBUSY || bad == -ENOENT)
		bad = open_with(ret, path, "?immutable=1", &version, err);
	if (!bad && !version) {
		sqlite3_close(*ret);
		bad = -ENODATA;
	}
	return bad;
}

int store_file__migrate(sqlite3 *db, int from, int to, const char *const *steps)
{
	char version[64];

	for (; from < to; from++) {
		int code = sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

		if (code == SQLITE_OK)
			code = sqlite3_exec(db, steps[from - 1], NULL, NULL, NULL);
		snprintf(version, sizeof(version), "PRAGMA user_version=%d", from + 1);
		if (code == SQLITE_OK)
			code = sqlite3_exec(db, version, NULL, NULL, NULL);
		if (code == SQLITE_OK)
			code = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
		if (code != SQLITE_OK) {
			int ret = store_errno(db, code);

			sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
			return ret;
		}
	}
	return 0;
}
