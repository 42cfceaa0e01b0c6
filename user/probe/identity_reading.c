// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_reading.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "probe/identity_mounts.h"
#include "probe/identity_runtime.h"
#include "probe/procfs.h"
#include "probe/sdk_detect.h"

#define NS_PER_S 1000000000LL

/* What identifies a file; nothing is fetched for it from a file system in user space. */
static void read_key(int at, const char *path, struct binary_key *ret, uint64_t *ret_mount_id)
{
	struct statx st;

	if (statx(at, path, AT_STATX_DONT_SYNC | AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID,
		  &st) < 0)
		return;
	*ret_mount_id = st.stx_mnt_id;
	*ret = (struct binary_key){
		.device = makedev(st.stx_dev_major, st.stx_dev_minor),
		.inode = st.stx_ino,
		.mtime_ns = st.stx_mtime.tv_sec * NS_PER_S + st.stx_mtime.tv_nsec,
		.size = st.stx_size,
	};
}

static struct view read_path(int proc, const char *link, char to[PATH_MAX])
{
	static const char deleted[] = " (deleted)";
	ssize_t n = procfs__link(proc, link, to, PATH_MAX);
	size_t gone = sizeof(deleted) - 1;

	if (n < 0)
		return (struct view){ NULL, 0 };
	if ((size_t)n > gone && !memcmp(to + n - gone, deleted, gone))
		to[n -= (ssize_t)gone] = '\0';
	return (struct view){ to, (size_t)n };
}

static struct view read_text(int proc, const char *name, char **bytes, size_t max)
{
	ssize_t n = procfs__read_all(proc, name, bytes, max);

	return n < 0 ? (struct view){ NULL, 0 } : (struct view){ *bytes, (size_t)n };
}

/*
 * The unit that sonde itself runs in says nothing of what else runs in it: traced commands of an
 * interactive session, of a continuous integration runner.
 */
static const char *own_unit(void)
{
	static char unit[UNIT_NAME_BYTES];
	static bool known;
	char text[PROCFS_CGROUP_MAX_BYTES];
	ssize_t n;

	if (__atomic_load_n(&known, __ATOMIC_ACQUIRE))
		return unit;
	n = procfs__read(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text), NULL);
	if (n < 0 || !container__unit((struct view){ text, (size_t)n }, unit))
		unit[0] = '\0';
	__atomic_store_n(&known, true, __ATOMIC_RELEASE);
	return unit;
}

static void read_groups(int proc, struct reading *r)
{
	char text[PROCFS_CGROUP_MAX_BYTES];
	ssize_t n = procfs__read(proc, "cgroup", text, sizeof(text), NULL);
	struct view groups = { text, n > 0 ? (size_t)n : 0 };

	if (container__unit(groups, r->unit) && strcmp(r->unit, own_unit()) != 0)
		r->facts.unit = view_of(r->unit);
	if (container__from_cgroup(groups, r->container))
		return;
	/* A cgroup namespace of its own shows only the root: the mounts may know more. */
	if (!memmem(groups.at, groups.len, "0::/\n", 5))
		return;
	container__from_mountinfo(r->mounts, r->container);
}

struct reading *reading__new(pid_t pid, uint64_t start_ns)
{
	struct reading *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->pid = pid;
	r->start_ns = start_ns;
	r->proc = r->subject = -1;
	return r;
}

void reading__free(void *reading)
{
	struct reading *r = reading;

	if (!r)
		return;
	if (r->proc >= 0)
		close(r->proc);
	if (r->subject >= 0)
		close(r->subject);
	free(r->environ_bytes);
	free(r->cmdline_bytes);
	free(r->maps_bytes);
	free(r->mounts_bytes);
	free(r);
}

static struct sdk_facts sdk_facts(const struct reading *r)
{
	return (struct sdk_facts){ .process = &r->facts,
				   .maps = r->maps,
				   .exe_path = r->exe,
				   .runtime = r->runtime,
				   .proc = r->proc,
				   .mounts = r->mounts };
}

static void read_runtime(struct reading *r)
{
	const struct interpreter *interpreter = interpreter__find(r->facts.exe_name);

	r->runtime = interpreter ? interpreter__runtime(interpreter) : RUNTIME_UNKNOWN;
	if (r->runtime == RUNTIME_UNKNOWN)
		r->runtime = runtime__from_maps(r->maps);
}

/*
 * Whether the executable lies where a read is answered. A mount of another namespace is not in the
 * list: then only devices of blocks, which have a major number, are trusted.
 */
static bool may_open(const struct reading *r)
{
	int waits = mounts__id_waits(r->mounts, r->mount_id);

	return waits < 0 ? major(r->key.device) != 0 : !waits;
}

/*
 * An executable that its name does not explain; or, as a Java virtual machine runs it, an archive.
 * Where an SDK is known to be loaded, an archive has nothing to add.
 */
static void open_subject(struct reading *r)
{
	struct sdk_facts facts = sdk_facts(r);
	uint64_t mount_id;

	if (r->runtime == RUNTIME_UNKNOWN) {
		if (!may_open(r))
			return;
		r->subject_key = r->key;
		r->subject = openat(r->proc, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	} else if (r->runtime == RUNTIME_JAVA && interpreter__find(r->facts.exe_name) && !r->sdk) {
		r->subject = sdk_detect__archive(&facts);
		if (r->subject >= 0)
			read_key(r->subject, "", &r->subject_key, &mount_id);
	}
}

void reading__look(void *reading)
{
	struct reading *r = reading;
	struct sdk_facts facts = sdk_facts(r);

	r->sdk = sdk_detect__loaded(&facts);
}

/* Looked at before it is opened: by that name there may lie a device now, or in our namespace. */
void reading__reopen(void *reading)
{
	struct reading *r = reading;
	struct binary_key now = { 0 };
	char link[32];
	uint64_t mount_id;
	int found = open(r->exe_path, O_PATH | O_CLOEXEC);

	if (found < 0)
		return;
	read_key(found, "", &now, &mount_id);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", found);
	if (!memcmp(&now, &r->subject_key, sizeof(now)))
		r->subject = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	close(found);
}

/* What goes with the process's memory, at once and first: it may be at its end already. */
static int read_memory(struct reading *r)
{
	char again[8];

	r->exe = read_path(r->proc, "exe", r->exe_path);
	if (!r->exe.len)
		return -ESRCH;
	r->facts.exe_name = path__base(r->exe);
	r->facts.environ =
		read_text(r->proc, "environ", &r->environ_bytes, PROCFS_ENVIRON_MAX_BYTES);
	r->facts.cmdline =
		read_text(r->proc, "cmdline", &r->cmdline_bytes, PROCFS_CMDLINE_MAX_BYTES);
	read_key(r->proc, "exe", &r->key, &r->mount_id);
	r->maps = read_text(r->proc, "maps", &r->maps_bytes, PROCFS_MAPS_MAX_BYTES);
	/* No environment, or no memory any more to read it from? */
	r->partial =
		!r->facts.environ.len && procfs__link(r->proc, "exe", again, sizeof(again)) < 0;
	return 0;
}

/* By what its child was called; a newline ends it. */
static bool is_named(const struct reading *r)
{
	char comm[sizeof(r->comm)];
	ssize_t n = procfs__read(r->proc, "comm", comm, sizeof(comm), NULL);
	size_t len = strlen(r->comm);

	return n == (ssize_t)len + 1 && !memcmp(comm, r->comm, len);
}

void reading__read(void *reading)
{
	struct reading *r = reading;

	r->proc = procfs__open(r->pid, r->start_ns, &r->start_ns);
	r->err = r->proc < 0 ? r->proc : 0;
	if (!r->err && r->parent && !is_named(r))
		r->err = -ESRCH;
	if (r->err)
		return;
	r->err = read_memory(r);
	if (r->err)
		return;
	r->facts.cwd = read_path(r->proc, "cwd", r->cwd);
	r->netns = procfs__namespace(r->proc, "net");
	r->mounts = read_text(r->proc, "mountinfo", &r->mounts_bytes, PROCFS_MOUNTINFO_MAX_BYTES);
	read_groups(r->proc, r);
	read_runtime(r);
	reading__look(r);
	open_subject(r);
}
