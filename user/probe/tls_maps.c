/* SPDX-License-Identifier: Apache-2.0 */
/*
 * By perf's records of mappings (perf_event_open(2): PERF_RECORD_MMAP2 of a software event that never
 * counts anything), one event and one ring a processor: the only way to learn of dlopen(3) that every
 * kernel has and that costs nothing where nothing is mapped.
 */
#include "probe/tls_maps.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe/procfs.h"

#define RING_PAGES 8
#define RINGS_MAX 1024

struct ring {
	int fd;
	struct perf_event_mmap_page *page;
};

struct tls_maps {
	int epoll;
	size_t page_bytes;
	unsigned int n;
	uint64_t lost;
	struct ring rings[RINGS_MAX];
};

/* What the kernel writes, behind its header. */
struct mmap2 {
	struct perf_event_header header;
	uint32_t pid, tid;
	uint64_t start, bytes, offset;
	uint32_t major, minor;
	uint64_t inode, generation;
	uint32_t prot, flags;
	char path[];
};
struct lost {
	struct perf_event_header header;
	uint64_t id, n;
};

int tls_maps__new(struct tls_maps **ret)
{
	struct tls_maps *maps = calloc(1, sizeof(*maps));

	if (!maps)
		return -ENOMEM;
	maps->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	maps->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (maps->epoll < 0) {
		free(maps);
		return -errno;
	}
	*ret = maps;
	return 0;
}

static void ring_close(struct tls_maps *maps, struct ring *ring)
{
	if (ring->page)
		munmap(ring->page, (RING_PAGES + 1) * maps->page_bytes);
	close(ring->fd); /* epoll forgets it */
}

void tls_maps__free(struct tls_maps *maps)
{
	if (!maps)
		return;
	while (maps->n)
		ring_close(maps, &maps->rings[--maps->n]);
	close(maps->epoll);
	free(maps);
}

static int follow_on(struct tls_maps *maps, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
		.mmap = 1, /* of what is to be executed */
		.mmap2 = 1,
		.watermark = 1, /* else nothing but samples wakes */
		.wakeup_watermark = 1,
	};
	struct ring ring = { 0 };
	struct epoll_event event = { .events = EPOLLIN };
	void *at;

	if (maps->n == RINGS_MAX)
		return -E2BIG;
	ring.fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	if (ring.fd < 0)
		return -errno;
	event.data.fd = ring.fd;
	at = mmap(NULL, (RING_PAGES + 1) * maps->page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		  ring.fd, 0);
	if (at != MAP_FAILED) {
		ring.page = at;
		if (!epoll_ctl(maps->epoll, EPOLL_CTL_ADD, ring.fd, &event)) {
			maps->rings[maps->n++] = ring;
			return 0;
		}
	}
	ring_close(maps, &ring);
	return -errno;
}

int tls_maps__follow(struct tls_maps *maps)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	unsigned int followed = 0;
	int err = -ENODEV;

	for (int cpu = 0; cpu < cpus; cpu++) {
		int one = follow_on(maps, cpu);

		followed += !one;
		/* a processor that is off says ENODEV */
		if (one && one != -ENODEV)
			err = one;
	}
	return followed ? 0 : err;
}

int tls_maps__fd(const struct tls_maps *maps)
{
	return maps->epoll;
}

uint64_t tls_maps__lost(const struct tls_maps *maps)
{
	return maps->lost;
}

static void on_record(struct tls_maps *maps, const void *record, size_t bytes, tls_mapping_fn fn,
		      void *arg)
{
	const struct perf_event_header *header = record;
	const struct mmap2 *m = record;
	const struct lost *l = record;
	struct tls_mapping mapping;

	if (header->type == PERF_RECORD_LOST && bytes >= sizeof(*l))
		maps->lost += l->n;
	if (header->type != PERF_RECORD_MMAP2 || bytes <= sizeof(*m) ||
	    !memchr(m->path, 0, bytes - sizeof(*m)))
		return;
	mapping = (struct tls_mapping){ (pid_t)m->pid, m->start, m->start + m->bytes,
					m->major,      m->minor, m->inode,
					m->path };
	fn(arg, &mapping);
}

static void ring_read(struct tls_maps *maps, struct ring *ring, tls_mapping_fn fn, void *arg)
{
	const size_t size = RING_PAGES * maps->page_bytes;
	const char *data = (const char *)ring->page + maps->page_bytes;
	uint64_t head = __atomic_load_n(&ring->page->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->page->data_tail;
	/* a record's size is 16 bits; it may lie across the end */
	static uint64_t whole[UINT16_MAX / 8 + 1];

	while (tail < head) {
		const struct perf_event_header *header = (const void *)(data + tail % size);
		size_t bytes = header->size, first = size - tail % size;

		if (bytes < sizeof(*header) || bytes > head - tail)
			break;
		if (first > bytes)
			first = bytes;
		memcpy(whole, header, first);
		memcpy((char *)whole + first, data, bytes - first);
		tail += bytes;
		__atomic_store_n(&ring->page->data_tail, tail, __ATOMIC_RELEASE);
		on_record(maps, whole, bytes, fn, arg);
	}
}

/* A processor has been taken off: its ring would poll so for ever. */
static void ring_ended(struct tls_maps *maps, int fd)
{
	for (unsigned int i = 0; i < maps->n; i++) {
		if (maps->rings[i].fd != fd)
			continue;
		ring_close(maps, &maps->rings[i]);
		maps->rings[i] = maps->rings[--maps->n];
		return;
	}
}

void tls_maps__read(struct tls_maps *maps, tls_mapping_fn fn, void *arg)
{
	struct epoll_event events[32];
	int n = epoll_wait(maps->epoll, events, 32, 0);

	for (unsigned int i = 0; i < maps->n; i++)
		ring_read(maps, &maps->rings[i], fn, arg);
	for (int i = 0; i < n; i++)
		if (events[i].events & (EPOLLHUP | EPOLLERR))
			ring_ended(maps, events[i].data.fd);
}

/* "start-end perms offset major:minor inode path": proc_pid_maps(5). */
static void line_read(pid_t pid, char *line, tls_mapping_fn fn, void *arg)
{
	struct tls_mapping m = { .pid = pid };
	unsigned long long start, end, inode;
	char perms[5];
	int path = 0;

	if (sscanf(line, "%llx-%llx %4s %*x %x:%x %llu %n", &start, &end, perms, &m.major, &m.minor,
		   &inode, &path) < 6 ||
	    !path || perms[2] != 'x' || !inode)
		return;
	m.start = start;
	m.end = end;
	m.inode = inode;
	m.path = line + path;
	fn(arg, &m);
}

void tls_maps__of_process(pid_t pid, tls_mapping_fn fn, void *arg)
{
	int proc = procfs__open(pid, 0, NULL);
	char *text = NULL, *line, *rest;
	ssize_t n;

	if (proc < 0)
		return;
	n = procfs__read_all(proc, "maps", &text, PROCFS_MAPS_MAX_BYTES);
	close(proc);
	if (n < 0)
		return;
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		line_read(pid, line, fn, arg);
	free(text);
}
