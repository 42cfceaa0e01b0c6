/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files as a process sees them: below its root, through its mounts. A bounded number of look-ups
 * for one process; nothing but directories and regular files is ever opened, as a path that a
 * process names could be a device. Nothing is looked up below mounts that may never answer
 * (identity_mounts.h); where there are any, symbolic links are not followed, as they could lead there.
 */
#ifndef SONDE_PROBE_SDK_DETECT_SEARCH_H
#define SONDE_PROBE_SDK_DETECT_SEARCH_H

#include <limits.h>

#include "probe/sdk_detect.h"

#define SEARCH_LOOKUPS_MAX 256	/* of one process */
#define SEARCH_ENTRIES_MAX 2048 /* entries read of one directory */
#define SEARCH_LEVELS_MAX 16	/* directories up from a script */
#define SEARCH_SCRIPTS_MAX 4	/* arguments that may be a script */

struct search {
	const struct sdk_facts *facts;
	int root; /* O_PATH descriptor of the process's root */
	unsigned int lookups;
	bool careful; /* there are mounts that answer when they like: keep clear of them */
	bool skipped; /* something was not looked at */
	const char *const *names; /* files or directories that are an SDK, below a package folder */
};

/* -EPERM, -E2BIG and the like: nothing can be looked up. search__end() in any case. */
int search__begin(struct search *search, const struct sdk_facts *facts);
void search__end(struct search *search);

/* Whether one of search->names lies in the folder. */
bool search__folder(struct search *search, struct view folder);
bool search__folderf(struct search *search, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/* The same in folder/packages, parent/packages and so on up to the root. */
bool search__upwards(struct search *search, struct view folder, const char *packages);
/* Whether an entry of the folder begins with prefix (names that carry a version). */
bool search__entry(struct search *search, const char *folder, const char *prefix);
bool search__exists(struct search *search, const char *path);
/* Opens a regular file to read: a descriptor, or a negative errno. */
int search__open_file(struct search *search, const char *path);
/* Calls `look` for the working directory and for the folders of what may be scripts. */
bool search__scripts(struct search *search, bool (*look)(struct search *, struct view folder));

/* Path as the process means it: absolute, or from its working directory. false: too long. */
bool search__absolute(const struct search *search, struct view path, char to[PATH_MAX]);
/* Each element of a list like PATH; false at the end. */
bool search__element(struct view *list, struct view *ret);
/* The folder that holds path; "/" holds itself. */
struct view search__parent(struct view path);

#endif
