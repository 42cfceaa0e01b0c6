/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a store's folder: names, sizes, and SQLite handles on them. Whoever reads opens a file
 * so that it neither writes nor waits.
 */
#ifndef SONDE_SHIP_STORE_FILE_H
#define SONDE_SHIP_STORE_FILE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ship/store/format.h"

#define STORE_PATH_MAX 4096
#define STORE_FILES_MAX 4096
#define STORE_LOCK "lock"

struct store_file {
	uint64_t number;
	uint64_t bytes;	   /* with its log */
	int64_t changed_s; /* when it was last written, since the epoch */
	bool damaged;	   /* put aside under another name */
};

struct store_files {
	struct store_file *at; /* by number, the oldest first */
	unsigned int n;
	uint64_t bytes; /* of all */
};

/* What is there; what is none of ours is passed over. 0, or a negative errno with err. */
int store_files__list(struct store_files *ret, const char *folder, struct err *err);
void store_files__free(struct store_files *files);

void store_file__path(char path[STORE_PATH_MAX], const char *folder, uint64_t number, bool damaged);
/* Takes the file and its log away. 0 or a negative errno. */
int store_file__remove(const char *folder, const struct store_file *file);
/* Puts a damaged file aside, so that nobody reads it again. 0 or a negative errno. */
int store_file__quarantine(const char *folder, uint64_t number);

/*
 * Opens for reading only. 0; -EPROTONOSUPPORT: a newer sonde's; -EPROTO: damaged, or none of ours;
 * another negative errno. err says which and what to do.
 */
int store_file__open_to_read(sqlite3 **ret, const char *folder, uint64_t number, struct err *err);

/* Version and kind of an open file, as above; *ret_version is 0 for an empty one. */
int store_file__check(sqlite3 *db, const char *path, int *ret_version, struct err *err);

/* The name of a VFS that takes paths as they are, so that "." is enough where the process is in the folder. */
const char *store_vfs(void);

/* A result code of SQLite as a negative errno: -EPROTO is damage. */
int store_errno(sqlite3 *db, int code);

/* A statement of one number, or -1 where there is none; a negative errno in *ret_err. */
int64_t store_number(sqlite3 *db, const char *sql, int *ret_err);

/*
 * From version `from` to STORE_VERSION, a step a version, each in its own transaction with the version that
 * it leads to. steps[i] leads from i + 1. 0 or a negative errno.
 */
int store_file__migrate(sqlite3 *db, int from, int to, const char *const *steps);

#endif
