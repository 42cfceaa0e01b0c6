// SPDX-License-Identifier: Apache-2.0
#include "supervise/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervise/syscalls.h"

#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#define CAP_BPF 39
#define CAP_CHECKPOINT_RESTORE 40
#endif
#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

/* Its libraries and 2 MiB of tables are 24 MiB; it allocates nothing. */
#define INSPECT_MAX_BYTES (128ull << 20)

/* Everything that Landlock's first version knows: bits 0 to 12. */
#define LANDLOCK_FS_V1 ((1ULL << 13) - 1)
#define LANDLOCK_FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LANDLOCK_FS_WRITE                                                                          \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE |                          \
	 LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_MAKE_DIR |                             \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_TRUNCATE)

/*
 * A root with nothing in it: a child that shares our file system context changes root to its own
 * fdinfo folder and dies; what is left is a folder of a process that does not exist any more.
 * Needs no writable folder anywhere.
 */
static int enter_empty_root(void)
{
	int status;
	long pid = syscall(SYS_clone, (unsigned long)(CLONE_FS | SIGCHLD), 0, 0, 0, 0);

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(chroot("/proc/self/fdinfo") || chdir("/") ? 1 : 0);
	if (waitpid((pid_t)pid, &status, 0) < 0)
		return -errno;
	return WIFEXITED(status) && !WEXITSTATUS(status) ? 0 : -EPERM;
}

/* handled: what this kernel's Landlock knows. */
static int landlock_add(int ruleset, const struct sandbox_path *path, uint64_t handled)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_FS_READ };
	struct stat st;
	int ret = 0;

	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (path->write)
		rule.allowed_access |= LANDLOCK_FS_WRITE & handled;
	if (fstat(rule.parent_fd, &st))
		ret = -errno;
	else if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE;
	if (!ret && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		ret = -errno;
	close(rule.parent_fd);
	return ret;
}

/* 0 also where the kernel has no Landlock: the empty root or the uid stand in for it then. */
static int enter_landlock(const struct sandbox *sandbox)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = LANDLOCK_FS_V1 };
	int abi =
		(int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset, ret = 0;

	if (abi < 0)
		return 0;
	if (abi >= 2)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		attr.handled_access_fs |= LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return -errno;
	for (unsigned int i = 0; i < sandbox->n_paths && !ret; i++)
		ret = landlock_add(ruleset, &sandbox->paths[i], attr.handled_access_fs);
	if (!ret && syscall(SYS_landlock_restrict_self, ruleset, 0))
		ret = -errno;
	close(ruleset);
	return ret;
}

static int drop_ids(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
		return -errno;
	return 0;
}

/*
 * Loading and attaching (SYS_ADMIN: where perf_event_paranoid asks for it), looking at any process,
 * starting the other roles as other users, ending a command of another user.
 */
static bool probe_keeps(int cap)
{
	static const int kept[] = { CAP_BPF,	      CAP_PERFMON,    CAP_SYS_ADMIN,
				    CAP_SYS_PTRACE,   CAP_SYS_CHROOT, CAP_DAC_READ_SEARCH,
				    CAP_SETUID,	      CAP_SETGID,     CAP_SETPCAP,
				    CAP_SYS_RESOURCE, CAP_KILL,	      CAP_CHECKPOINT_RESTORE };

	for (unsigned int i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (kept[i] == cap)
			return true;
	return false;
}

/*
 * Where we may not lower it (no CAP_SETPCAP) nothing is lost: a sandboxed role has no_new_privs, and
 * probe has no more than it was given.
 */
static int drop_bounding_set(bool (*keeps)(int cap))
{
	for (int cap = 0; cap_valid(cap); cap++)
		if (!(keeps && keeps(cap)) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) &&
		    errno != EINVAL && errno != EPERM)
			return -errno;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return 0;
}

static int drop_all_capabilities(void)
{
	cap_t none = cap_init();
	int ret = 0;

	if (!none)
		return -ENOMEM;
	if (cap_set_proc(none))
		ret = -errno;
	cap_free(none);
	return ret;
}

int sandbox__limit_probe(void)
{
	cap_t caps = cap_get_proc();
	int ret = caps ? drop_bounding_set(probe_keeps) : -ENOMEM;

	for (int cap = 0; cap_valid(cap) && !ret; cap++) {
		cap_value_t value = cap;

		if (probe_keeps(cap))
			continue;
		if (cap_set_flag(caps, CAP_EFFECTIVE, 1, &value, CAP_CLEAR) ||
		    cap_set_flag(caps, CAP_PERMITTED, 1, &value, CAP_CLEAR) ||
		    cap_set_flag(caps, CAP_INHERITABLE, 1, &value, CAP_CLEAR))
			ret = -EINVAL;
	}
	if (!ret && cap_set_proc(caps))
		ret = -errno;
	if (caps)
		cap_free(caps);
	return ret;
}

/* No memory of a role ever goes to a file. And what a hostile executable makes of inspect stays small. */
static int set_limits(enum role role)
{
	struct rlimit none = { 0, 0 }, small = { INSPECT_MAX_BYTES, INSPECT_MAX_BYTES };

	if (setrlimit(RLIMIT_CORE, &none) || (role == ROLE_INSPECT && setrlimit(RLIMIT_AS, &small)))
		return -errno;
	return 0;
}

/* Landlock shows them which; the others see an empty root. */
static bool sees_files(enum role role)
{
	return role == ROLE_SHIP || role == ROLE_READ || role == ROLE_SERVE;
}

int sandbox__enter(const struct sandbox *sandbox, struct err *err)
{
	bool root = geteuid() == 0;
	int ret;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return err__set(err, -errno, "cannot forbid tracing of the %s role",
				roles__name(sandbox->role));
	ret = set_limits(sandbox->role);
	if (ret)
		return err__set(err, ret, "cannot limit the memory of the %s role: %s",
				roles__name(sandbox->role), strerror(-ret));
	/* NO_NEW_PRIVS first: Landlock and seccomp ask for it where there is no CAP_SYS_ADMIN. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return err__set(err, -errno, "cannot set no_new_privs: %s", strerror(errno));
	ret = enter_landlock(sandbox);
	if (ret)
		return err__set(err, ret, "Landlock refused the rules of the %s role: %s",
				roles__name(sandbox->role), strerror(-ret));
	if (root && !sees_files(sandbox->role)) {
		ret = enter_empty_root();
		if (ret)
			return err__set(err, ret,
					"cannot give the %s role an empty root: %s; it needs "
					"CAP_SYS_CHROOT",
					roles__name(sandbox->role), strerror(-ret));
	}
	ret = drop_bounding_set(NULL);
	if (!ret && root && sandbox->uid)
		ret = drop_ids(sandbox->uid, sandbox->gid ? sandbox->gid : sandbox->uid);
	if (!ret)
		ret = drop_all_capabilities();
	if (ret)
		return err__set(err, ret,
				"cannot drop privileges of the %s role: %s; it needs CAP_SETUID "
				"and CAP_SETGID",
				roles__name(sandbox->role), strerror(-ret));
	/* A change of uid clears it; the parent may have died in between, which the control socket tells. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	ret = syscalls__restrict(sandbox->role);
	if (ret)
		return err__set(err, ret, "cannot restrict the system calls of the %s role: %s",
				roles__name(sandbox->role), strerror(-ret));
	return 0;
}
