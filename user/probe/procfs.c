// SPDX-License-Identifier: Apache-2.0
#include "probe/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_S 1000000000ULL

ssize_t procfs__link(int proc, const char *name, char *to, size_t max)
{
	ssize_t n = readlinkat(proc, name, to, max - 1);

	if (n < 0)
		return -errno;
	to[n] = '\0';
	return n;
}

static int open_file(int proc, const char *name)
{
	int fd = openat(proc, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

/* Until max bytes, the end, or an error; -EINTR is not an error, a short read is not the end. */
static ssize_t read_up_to(int fd, char *to, size_t max)
{
	size_t have = 0;

	while (have < max) {
		ssize_t n = read(fd, to + have, max - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

ssize_t procfs__read(int proc, const char *name, char *to, size_t max, bool *ret_cut)
{
	int fd = open_file(proc, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = read_up_to(fd, to, max - 1);
	close(fd);
	if (n < 0)
		return n;
	to[n] = '\0';
	if (ret_cut)
		*ret_cut = (size_t)n == max - 1;
	return n;
}

ssize_t procfs__read_all(int proc, const char *name, char **ret_bytes, size_t max)
{
	size_t cap = 16 * 1024, have = 0;
	char *at = NULL;
	int fd = open_file(proc, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	for (;;) {
		char *more;

		if (cap > max)
			cap = max;
		more = realloc(at, cap + 1);
		n = more ? 0 : -ENOMEM;
		if (!more)
			goto fail;
		at = more;
		n = read_up_to(fd, at + have, cap - have);
		if (n < 0)
			goto fail;
		have += (size_t)n;
		if (have < cap || cap == max)
			break;
		cap *= 2;
	}
	close(fd);
	at[have] = '\0';
	*ret_bytes = at;
	return (ssize_t)have;
fail:
	close(fd);
	free(at);
	return n;
}

uint64_t procfs__number(const char *path, const char *key)
{
	size_t len = strlen(key);
	uint64_t number = 0;
	char line[256];
	FILE *f = fopen(path, "re");

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, len)) {
			number = strtoull(line + len, NULL, 10);
			break;
		}
	fclose(f);
	return number;
}

uint32_t procfs__namespace(int proc, const char *name)
{
	char path[32], text[64];
	unsigned int inode;

	snprintf(path, sizeof(path), "ns/%s", name);
	if (procfs__link(proc, path, text, sizeof(text)) < 0)
		return 0;
	/* "net:[4026531840]" */
	if (sscanf(text, "%*[a-z_]:[%u]", &inode) != 1)
		return 0;
	return inode;
}

int procfs__parse_stat(const char *text, size_t len, uint64_t *ret_start_ticks, char *ret_state)
{
	const char *at = memrchr(text, ')', len), *end = text + len;
	uint64_t ticks = 0;
	int digits = 0;

	if (!at || end - at < 3 || at[1] != ' ')
		return -EPROTO;
	at += 2;
	*ret_state = *at;
	/* state is field 3, starttime field 22 */
	for (int field = 3; field < 22; field++) {
		at = memchr(at, ' ', (size_t)(end - at));
		if (!at)
			return -EPROTO;
		at++;
	}
	for (; at < end && *at >= '0' && *at <= '9' && digits < 19; at++, digits++)
		ticks = ticks * 10 + (uint64_t)(*at - '0');
	if (!digits)
		return -EPROTO;
	*ret_start_ticks = ticks;
	return 0;
}

/*
 * /proc shows start times as the reader's time namespace has them (timens_add_boottime_ns() in
 * fs/proc/array.c); the kernel records hold them as they are. 0 outside of such a namespace.
 */
static int64_t own_boottime_offset_ns(void)
{
	static int64_t offset;
	static bool known;
	char text[256];
	const char *at;
	long long s, ns;

	if (__atomic_load_n(&known, __ATOMIC_ACQUIRE))
		return offset;
	if (procfs__read(AT_FDCWD, "/proc/self/timens_offsets", text, sizeof(text), NULL) > 0) {
		at = strstr(text, "boottime");
		if (at && sscanf(at, "boottime %lld %lld", &s, &ns) == 2)
			offset = s * (int64_t)NS_PER_S + ns;
	}
	__atomic_store_n(&known, true, __ATOMIC_RELEASE);
	return offset;
}

int procfs__open(pid_t pid, uint64_t start_ns, uint64_t *ret_start_ns)
{
	uint64_t ticks, tick_ns = NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
	char path[32], text[1024], state;
	ssize_t n;
	int proc;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	proc = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (proc < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = procfs__read(proc, "stat", text, sizeof(text), NULL);
	if (n >= 0)
		n = procfs__parse_stat(text, (size_t)n, &ticks, &state);
	if (n >= 0 && (state == 'Z' || state == 'X' || state == 'x'))
		n = -ESRCH;
	if (n >= 0 && start_ns &&
	    (start_ns + (uint64_t)own_boottime_offset_ns()) / tick_ns != ticks)
		n = -ESRCH;
	if (n < 0) {
		close(proc);
		return n == -ENOENT ? -ESRCH : (int)n;
	}
	if (ret_start_ns)
		*ret_start_ns =
			start_ns ? start_ns : ticks * tick_ns - (uint64_t)own_boottime_offset_ns();
	return proc;
}
