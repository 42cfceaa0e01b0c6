// SPDX-License-Identifier: Apache-2.0
#include "probe/sdk_detect_search.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/identity_mounts.h"
#include "probe/procfs.h"

static int open_below(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* Absolute, without components that would have to be resolved first. */
static bool is_plain(const char *path)
{
	return path[0] == '/' && !strstr(path, "/../") && !strstr(path, "/./") &&
	       !strstr(path, "//");
}

static int open_in_root(struct search *s, const char *path, uint64_t flags)
{
	uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

	if (s->lookups++ >= SEARCH_LOOKUPS_MAX) {
		s->skipped = true;
		return -1;
	}
	if (s->careful) {
		resolve |= RESOLVE_NO_SYMLINKS;
		if (!is_plain(path) || mounts__path_waits(s->facts->mounts, view_of(path))) {
			s->skipped = true;
			return -1;
		}
	}
	return open_below(s->root, path, flags, resolve);
}

static bool exists_below(const struct search *s, int dir, const char *name)
{
	uint64_t careful = s->careful ? RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS : 0;
	int fd = open_below(dir, name, O_PATH | O_NOFOLLOW,
			    RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | careful);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static bool in_folder(struct search *s, const char *path)
{
	int dir = open_in_root(s, path, O_PATH | O_DIRECTORY);
	bool found = false;

	if (dir < 0)
		return false;
	for (const char *const *name = s->names; !found && *name; name++)
		found = exists_below(s, dir, *name);
	close(dir);
	return found;
}

bool search__entry(struct search *s, const char *path, const char *prefix)
{
	int fd = open_in_root(s, path, O_RDONLY | O_DIRECTORY | O_NONBLOCK);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	size_t n = strlen(prefix);
	const struct dirent *entry;
	bool found = false;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	for (int i = 0; !found && i < SEARCH_ENTRIES_MAX && (entry = readdir(dir)); i++)
		found = !strncmp(entry->d_name, prefix, n);
	closedir(dir);
	return found;
}

bool search__folder(struct search *s, struct view folder)
{
	return search__folderf(s, "%.*s", (int)folder.len, folder.at);
}

bool search__folderf(struct search *s, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	return n > 0 && n < (int)sizeof(path) && in_folder(s, path);
}

bool search__element(struct view *list, struct view *ret)
{
	const char *colon;

	if (!list->len)
		return false;
	colon = memchr(list->at, ':', list->len);
	*ret = (struct view){ list->at, colon ? (size_t)(colon - list->at) : list->len };
	list->at += ret->len + (colon != NULL);
	list->len -= ret->len + (colon != NULL);
	return true;
}

struct view search__parent(struct view path)
{
	while (path.len && path.at[path.len - 1] != '/')
		path.len--;
	while (path.len > 1 && path.at[path.len - 1] == '/')
		path.len--;
	return path;
}

bool search__absolute(const struct search *s, struct view path, char to[PATH_MAX])
{
	struct view cwd = s->facts->process->cwd;
	int n;

	if (path.len && path.at[0] == '/')
		n = snprintf(to, PATH_MAX, "%.*s", (int)path.len, path.at);
	else
		n = snprintf(to, PATH_MAX, "%.*s/%.*s", (int)cwd.len, cwd.at, (int)path.len,
			     path.at);
	return n > 0 && n < PATH_MAX;
}

bool search__scripts(struct search *s, bool (*look)(struct search *, struct view))
{
	struct view rest = s->facts->process->cmdline, arg;
	char path[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
	int seen = 0;

	if (s->facts->process->cwd.len && look(s, s->facts->process->cwd))
		return true;
	arguments__next(&rest, &arg);
	while (seen < SEARCH_SCRIPTS_MAX && arguments__next(&rest, &arg)) {
		ssize_t n;
		int fd;

		if (!arg.len || arg.at[0] == '-' || !search__absolute(s, arg, path))
			continue;
		fd = open_in_root(s, path, O_PATH | O_NOFOLLOW);
		if (fd < 0)
			continue;
		seen++;
		/* /usr/local/bin/app is a link into where its packages are */
		n = readlinkat(fd, "", link, sizeof(link));
		close(fd);
		if (look(s, search__parent(view_of(path))))
			return true;
		if (n <= 0 || n >= (ssize_t)sizeof(link))
			continue;
		if (link[0] == '/')
			snprintf(target, sizeof(target), "%.*s", (int)n, link);
		else if (snprintf(target, sizeof(target), "%.*s/%.*s",
				  (int)search__parent(view_of(path)).len, path, (int)n,
				  link) >= (int)sizeof(target))
			continue;
		if (look(s, search__parent(view_of(target))))
			return true;
	}
	return false;
}

bool search__upwards(struct search *s, struct view folder, const char *packages)
{
	for (int i = 0; i < SEARCH_LEVELS_MAX && folder.len; i++) {
		if (search__folderf(s, "%.*s/%s", (int)folder.len, folder.at, packages))
			return true;
		if (folder.len == 1)
			break;
		folder = search__parent(folder);
	}
	return false;
}

bool search__exists(struct search *s, const char *path)
{
	int fd = open_in_root(s, path, O_PATH);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

int search__open_file(struct search *s, const char *path)
{
	int fd = open_in_root(s, path, O_PATH), file;
	char again[32];
	struct statx st;

	if (fd < 0)
		return -ENOENT;
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &st) < 0 ||
	    !S_ISREG(st.stx_mode)) {
		close(fd);
		return -EINVAL;
	}
	snprintf(again, sizeof(again), "/proc/self/fd/%d", fd);
	file = open(again, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	close(fd);
	return file < 0 ? -errno : file;
}

int search__begin(struct search *s, const struct sdk_facts *facts)
{
	*s = (struct search){ .facts = facts, .careful = mounts__any_waits(facts->mounts) };
	s->root = -1;
	/* which mounts may be asked is not known, or not of all */
	if (!facts->mounts.len || facts->mounts.len >= PROCFS_MOUNTINFO_MAX_BYTES)
		return -E2BIG;
	s->root = openat(facts->proc, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->root < 0 ? -errno : 0;
}

void search__end(struct search *s)
{
	if (s->root >= 0)
		close(s->root);
}
