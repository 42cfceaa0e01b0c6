// SPDX-License-Identifier: Apache-2.0
#include "supervise/uid.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UID_FIRST 61184u
#define UID_LAST 65519u
#define UIDS (UID_LAST - UID_FIRST + 1)

/* Not whose the folder is: that of a process that forbids tracing, as our roles do, is root's. */
static bool read_uid(int proc, const char *pid, uid_t *ret)
{
	char path[64], text[1024];
	const char *line;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%.20s/status", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nUid:");
	return line && sscanf(line, "\nUid: %u", ret) == 1;
}

static void mark_running(bool *used)
{
	DIR *dir = opendir("/proc");
	struct dirent *e;
	uid_t uid;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (isdigit((unsigned char)e->d_name[0]) && read_uid(dirfd(dir), e->d_name, &uid) &&
		    uid >= UID_FIRST && uid <= UID_LAST)
			used[uid - UID_FIRST] = true;
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
