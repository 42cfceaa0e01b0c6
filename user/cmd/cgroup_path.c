// SPDX-License-Identifier: Apache-2.0
#include "cmd/cgroup_path.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define CONTAINER_PREFIX_MIN 6

/* Where cgroup v2 is mounted: alone, or beside v1 (systemd's hybrid layout). */
static const char *cgroup_root(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
	struct statfs fs;

	for (unsigned int i = 0; i < 2; i++)
		if (!statfs(places[i], &fs) && fs.f_type == CGROUP2_SUPER_MAGIC)
			return places[i];
	return NULL;
}

/* nftw has no argument for its callback. */
static struct {
	const char *name;
	enum cgroup_kind kind;
	char found[PATH_MAX];
	unsigned int matches;
} walk;

/* docker-<id>.scope, cri-containerd-<id>.scope, crio-<id>.scope, libpod-<id>.scope, <id> */
static bool is_container(const char *base, const char *id)
{
	const char *at = strstr(base, id);

	if (!at || (at != base && at[-1] != '-'))
		return false;
	/* Of a scope and a folder of the same name inside it the outer one is met first. */
	return strspn(at, "0123456789abcdef") >= 12;
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	const char *base = path + ftw->base;
	bool match;

	if (type != FTW_D)
		return FTW_CONTINUE;
	match = walk.kind == CGROUP_UNIT ? !strcmp(base, walk.name) : is_container(base, walk.name);
	if (!match)
		return FTW_CONTINUE;
	if (!walk.matches++)
		snprintf(walk.found, sizeof(walk.found), "%s", path);
	return FTW_SKIP_SUBTREE;
}

static int find_by_name(enum cgroup_kind kind, const char *root, const char *name, char **ret,
			struct err *err)
{
	const char *what = kind == CGROUP_UNIT ? "unit" : "container";
	char unit[256];

	snprintf(unit, sizeof(unit), "%s%s", name,
		 kind == CGROUP_UNIT && !strchr(name, '.') ? ".service" : "");
	if (kind == CGROUP_CONTAINER && strlen(name) < CONTAINER_PREFIX_MIN)
		return err__set(err, -EINVAL,
				"'%s' is too short to name one container: give at least %d "
				"characters of its id",
				name, CONTAINER_PREFIX_MIN);
	walk.name = unit;
	walk.kind = kind;
	walk.matches = 0;
	nftw(root, visit, 32, FTW_PHYS | FTW_ACTIONRETVAL);
	if (!walk.matches)
		return err__set(err, -ENOENT,
				"there is no %s '%s' below %s: is it running, and on cgroup v2?",
				what, unit, root);
	if (walk.matches > 1)
		return err__set(err, -EINVAL,
				"'%s' names %u %ss: write more of it, or use --cgroup", unit,
				walk.matches, what);
	*ret = strdup(walk.found);
	return *ret ? 0 : -ENOMEM;
}

int cgroup_path__find(enum cgroup_kind kind, const char *name, char **ret_path, struct err *err)
{
	const char *root = cgroup_root();
	char path[PATH_MAX];
	struct stat st;

	if (!root)
		return err__set(err, -ENOENT,
				"cgroup v2 is not mounted at /sys/fs/cgroup or "
				"/sys/fs/cgroup/unified: mount it, or use -p, --port or --netns");
	if (kind != CGROUP_PATH)
		return find_by_name(kind, root, name, ret_path, err);
	if (name[0] == '/' && !stat(name, &st) && S_ISDIR(st.st_mode) &&
	    !strncmp(name, root, strlen(root))) {
		*ret_path = strdup(name);
		return *ret_path ? 0 : -ENOMEM;
	}
	snprintf(path, sizeof(path), "%s/%s", root, name + (name[0] == '/'));
	if (stat(path, &st) || !S_ISDIR(st.st_mode))
		return err__set(err, -ENOENT,
				"there is no cgroup '%s' below %s; `cat /proc/PID/cgroup` shows a "
				"process's",
				name, root);
	*ret_path = strdup(path);
	return *ret_path ? 0 : -ENOMEM;
}
