/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/scope.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>

/* A process whose parents keep appearing faster than this many passes is followed by the hook. */
#define PASSES_MAX 16

uint32_t scope__bits(const struct capture_options *o)
{
	uint32_t bits = 0;

	if (o->n_pids || o->pids_later)
		bits |= SONDE_SCOPE_PIDS;
	if (o->n_cgroups)
		bits |= SONDE_SCOPE_CGROUP;
	if (o->n_netns)
		bits |= SONDE_SCOPE_NETNS;
	if (o->n_ports)
		bits |= SONDE_SCOPE_PORT;
	return bits;
}

int scope__add_pid(int map_fd, pid_t pid, uint32_t how)
{
	uint32_t key = pid;

	return bpf_map_update_elem(map_fd, &key, &how, BPF_ANY) ? -errno : 0;
}

/* The parent of a process; -1 where it is gone. */
static pid_t parent_of(const char *pid)
{
	char path[64], text[512];
	const char *at;
	ssize_t n;
	int fd, parent;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = '\0';
	/* the name may hold anything, brackets too: the last one ends it */
	at = strrchr(text, ')');
	return at && sscanf(at + 1, " %*c %d", &parent) == 1 ? parent : -1;
}

static bool is_in(int map_fd, pid_t pid)
{
	uint32_t key = pid, value;

	return !bpf_map_lookup_elem(map_fd, &key, &value) && value == SONDE_PID_IN;
}

/* One pass over /proc: how many processes were added, or -errno. */
static int seed_pass(int map_fd)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int added = 0, err = 0;

	if (!proc)
		return -errno;
	while (!err && (entry = readdir(proc))) {
		uint32_t key, value;
		pid_t parent;

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		key = strtoul(entry->d_name, NULL, 10);
		if (!bpf_map_lookup_elem(map_fd, &key, &value))
			continue;
		parent = parent_of(entry->d_name);
		if (parent <= 0 || !is_in(map_fd, parent))
			continue;
		err = scope__add_pid(map_fd, key, SONDE_PID_IN);
		added++;
	}
	closedir(proc);
	return err ? err : added;
}

int scope__seed_trees(int map_fd)
{
	for (int i = 0; i < PASSES_MAX; i++) {
		int added = seed_pass(map_fd);

		if (added <= 0)
			return added;
	}
	return 0;
}

int scope__add_cgroups(int map_fd, const struct capture_options *o, struct err *err)
{
	if (o->n_cgroups > SONDE_SCOPE_CGROUPS_MAX)
		return err__set(err, -EINVAL, "at most %d cgroups can be traced at once, not %u",
				SONDE_SCOPE_CGROUPS_MAX, o->n_cgroups);
	for (uint32_t i = 0; i < o->n_cgroups; i++) {
		int fd = open(o->cgroups[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

		if (fd < 0)
			return err__set(err, -errno,
					"cannot open the cgroup %s: %s; name a folder below "
					"/sys/fs/cgroup",
					o->cgroups[i], strerror(errno));
		ret = bpf_map_update_elem(map_fd, &i, &fd, BPF_ANY) ? -errno : 0;
		close(fd);
		if (ret)
			return err__set(err, ret,
					"%s is no cgroup v2 folder: %s; on a hybrid system it "
					"lies below /sys/fs/cgroup/unified",
					o->cgroups[i], strerror(-ret));
	}
	return 0;
}

int scope__add_netns(int map_fd, const struct capture_options *o, struct err *err)
{
	uint32_t in = SONDE_PID_IN;

	for (unsigned int i = 0; i < o->n_netns; i++) {
		struct stat st;
		uint32_t inum;

		if (stat(o->netns[i], &st))
			return err__set(err, -errno,
					"cannot look at the network namespace %s: %s; name "
					"/proc/PID/ns/net or /run/netns/NAME",
					o->netns[i], strerror(errno));
		inum = st.st_ino;
		if (bpf_map_update_elem(map_fd, &inum, &in, BPF_ANY))
			return err__set(err, -errno, "cannot add the network namespace %s: %s",
					o->netns[i], strerror(errno));
	}
	return 0;
}

int scope__add_ports(int map_fd, const struct capture_options *o, struct err *err)
{
	uint32_t in = SONDE_PID_IN;

	for (unsigned int i = 0; i < o->n_ports; i++)
		if (bpf_map_update_elem(map_fd, &o->ports[i], &in, BPF_ANY))
			return err__set(err, -errno, "cannot add port %u: %s; at most 64 ports",
					o->ports[i], strerror(errno));
	return 0;
}
