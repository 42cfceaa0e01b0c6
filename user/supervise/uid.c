// SPDX-License-Identifier: Apache-2.0
#include "supervise/uid.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#define UID_FIRST 61184u
#define UID_LAST 65519u
#define UIDS (UID_LAST - UID_FIRST + 1)

/* /proc/PID belongs to the effective uid of the process: one stat each. */
static void mark_running(bool *used)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	struct stat st;

	if (!dir)
		return;
	while ((e = readdir(dir))) {
		if (!isdigit((unsigned char)e->d_name[0]) || fstatat(dirfd(dir), e->d_name, &st, 0))
			continue;
		if (st.st_uid >= UID_FIRST && st.st_uid <= UID_LAST)
			used[st.st_uid - UID_FIRST] = true;
	}
	closedir(dir);
}

int uid__unused(const uid_t *taken, unsigned int n, uid_t *ret)
{
	static bool used[UIDS];

	memset(used, 0, sizeof(used));
	mark_running(used);
	for (unsigned int i = 0; i < n; i++)
		if (taken[i] >= UID_FIRST && taken[i] <= UID_LAST)
			used[taken[i] - UID_FIRST] = true;
	for (unsigned int i = 0; i < UIDS; i++) {
		if (used[i] || getpwuid(UID_FIRST + i) || getgrgid(UID_FIRST + i))
			continue;
		*ret = UID_FIRST + i;
		return 0;
	}
	return -ENOENT;
}
