/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/scope.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

#define CELLS_BYTES (SONDE_SCOPE_CELLS * sizeof(uint64_t))

int scope__map_cells(struct scope_pids *pids, int fd)
{
	void *at = mmap(NULL, CELLS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	pids->cells = at;
	return 0;
}

void scope__unmap_cells(struct scope_pids *pids)
{
	if (pids->cells)
		munmap(pids->cells, CELLS_BYTES);
	pids->cells = NULL;
}

static void cell_add(const struct scope_pids *pids, uint32_t tgid, uint64_t what)
{
	__atomic_fetch_add(&pids->cells[tgid & (SONDE_SCOPE_CELLS - 1)], what, __ATOMIC_RELAXED);
}

static void remove_pid(const struct scope_pids *pids, uint32_t tgid)
{
	uint32_t how;

	if (!bpf_map_lookup_elem(pids->fd, &tgid, &how) && !bpf_map_delete_elem(pids->fd, &tgid))
		cell_add(pids, tgid, -SONDE_SCOPE_CELL(tgid, how));
}

int scope__add_pid(const struct scope_pids *pids, uint32_t tgid, uint32_t how)
{
	uint32_t is;

	if (!bpf_map_lookup_elem(pids->fd, &tgid, &is)) {
		if (is == how)
			return 0;
		remove_pid(pids, tgid);
	}
	if (bpf_map_update_elem(pids->fd, &tgid, &how, BPF_NOEXIST))
		return errno == EEXIST ? 0 : -errno; /* its parent's fork was quicker */
	cell_add(pids, tgid, SONDE_SCOPE_CELL(tgid, how));
	return 0;
}

bool scope__has_pid(const struct scope_pids *pids, uint32_t tgid)
{
	uint32_t value;

	return !bpf_map_lookup_elem(pids->fd, &tgid, &value) && value == SONDE_PID_IN;
}

static const struct sonde_process *find(const struct process_list *list, uint32_t tgid)
{
	for (unsigned int i = 0; i < list->n; i++)
		if (list->at[i].tgid == tgid)
			return &list->at[i];
	return NULL;
}

/* Those whose parent is in and who are not: added, and noted in *added. How many, or -errno. */
static int add_children(const struct scope_pids *pids, const struct process_list *list,
			struct process_list *added)
{
	int n = 0;

	for (unsigned int i = 0; i < list->n; i++) {
		struct sonde_process *more, *p = &list->at[i];
		uint32_t value;
		int err;

		if (!bpf_map_lookup_elem(pids->fd, &p->tgid, &value) ||
		    !scope__has_pid(pids, p->parent))
			continue;
		more = reallocarray(added->at, added->n + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		added->at = more;
		err = scope__add_pid(pids, p->tgid, SONDE_PID_IN);
		if (err)
			return err;
		added->at[added->n++] = *p;
		n++;
	}
	return n;
}

/* Ended between the listing and being added: the hook did not see them, and their numbers are free again. */
static void remove_ended(const struct scope_pids *pids, const struct process_list *added,
			 const struct process_list *now)
{
	for (unsigned int i = 0; i < added->n; i++) {
		const struct sonde_process *p = find(now, added->at[i].tgid);

		if (!p || p->start_ns != added->at[i].start_ns)
			remove_pid(pids, added->at[i].tgid);
	}
}

int scope__seed_trees(const struct scope_pids *pids, const struct processes *processes)
{
	struct process_list added = { 0 };
	int n = 1;

	for (int i = 0; i < PASSES_MAX && n > 0; i++) {
		struct process_list list;

		n = processes__list(processes, &list);
		if (n)
			break;
		n = add_children(pids, &list, &added);
		remove_ended(pids, &added, &list);
		free(list.at);
	}
	free(added.at);
	return n < 0 ? n : 0;
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
