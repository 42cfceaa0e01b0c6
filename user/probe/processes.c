// SPDX-License-Identifier: Apache-2.0
#include "probe/processes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "processes.skel.h"

/* PROC_PID_INIT_INO (include/linux/proc_ns.h): the number of the first pid namespace, on every machine. */
#define INITIAL_NAMESPACE 0xeffffffcu
/* More than any machine has; a listing that does not end is none. */
#define PROCESSES_MAX (1u << 22)

struct processes {
	struct processes_bpf *object;
	bool nested;
};

bool processes__nested(void)
{
	struct stat st;

	return !stat("/proc/self/ns/pid", &st) && st.st_ino != INITIAL_NAMESPACE;
}

static bool proc_is_ours(void)
{
	char text[32];
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);

	if (n <= 0)
		return false;
	text[n] = '\0';
	return strtol(text, NULL, 10) == getpid();
}

int processes__open(bool lockdown, struct processes **ret, struct err *err)
{
	struct processes *p;
	int code;

	if (!proc_is_ours())
		return err__set(
			err, -EINVAL,
			"/proc is not that of this pid namespace: its numbers would mean other "
			"processes; mount it: mount -t proc proc /proc (unshare --mount-proc "
			"does)");
	if (lockdown && processes__nested())
		return err__set(err, -ENOTSUP,
				"under kernel lockdown (confidentiality) the numbers of processes "
				"inside a container cannot be found out: run sonde in the host's "
				"pid namespace (docker run --pid=host), or boot with "
				"lockdown=integrity");
	p = calloc(1, sizeof(*p));
	if (!p)
		return err__set(err, -ENOMEM, "out of memory");
	p->nested = processes__nested();
	p->object = processes_bpf__open();
	code = p->object ? 0 : -errno;
	if (p->object)
		p->object->rodata->lockdown = lockdown;
	code = code ?: processes_bpf__load(p->object);
	code = code ?: processes_bpf__attach(p->object);
	if (code) {
		processes__free(p);
		return err__set(err, code, "the kernel does not list its processes (iter/task): %s",
				strerror(-code));
	}
	*ret = p;
	return 0;
}

void processes__free(struct processes *p)
{
	if (!p)
		return;
	processes_bpf__destroy(p->object);
	free(p);
}

static int read_all(int fd, struct process_list *list)
{
	unsigned int room = 512;
	size_t bytes = 0;
	ssize_t n = 1;

	while (n > 0) {
		struct sonde_process *more = list->at;

		if (!more || bytes == room * sizeof(*more)) {
			room *= 2;
			if (room > PROCESSES_MAX)
				return -E2BIG;
			more = reallocarray(list->at, room, sizeof(*more));
			if (!more)
				return -ENOMEM;
			list->at = more;
		}
		n = read(fd, (char *)list->at + bytes, room * sizeof(*more) - bytes);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			n = 1; /* the kernel gives way in a long listing */
		else if (n < 0)
			return -errno;
		else
			bytes += (size_t)n;
	}
	list->n = (unsigned int)(bytes / sizeof(*list->at));
	return 0;
}

int processes__list(const struct processes *p, struct process_list *ret)
{
	int fd, code;

	*ret = (struct process_list){ 0 };
	if (!p)
		return -ENOTSUP;
	fd = bpf_iter_create(bpf_link__fd(p->object->links.list_process));
	if (fd < 0)
		return -errno;
	code = read_all(fd, ret);
	close(fd);
	if (code) {
		free(ret->at);
		*ret = (struct process_list){ 0 };
	}
	return code;
}

uint32_t processes__kernel_id(const struct processes *p, pid_t pid)
{
	struct process_list list;
	uint32_t found = 0;

	if (!p || !p->nested)
		return (uint32_t)pid;
	if (processes__list(p, &list))
		return 0;
	for (unsigned int i = 0; i < list.n && !found; i++)
		if (list.at[i].pid == (uint32_t)pid)
			found = list.at[i].tgid;
	free(list.at);
	return found;
}

pid_t processes__own_id(const struct processes *p, uint32_t tgid)
{
	struct process_list list;
	pid_t found = 0;

	if (!p || !p->nested)
		return (pid_t)tgid;
	if (processes__list(p, &list))
		return 0;
	for (unsigned int i = 0; i < list.n && !found; i++)
		if (list.at[i].tgid == tgid)
			found = (pid_t)list.at[i].pid;
	free(list.at);
	return found;
}
