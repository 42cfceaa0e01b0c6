// SPDX-License-Identifier: Apache-2.0
#include "supervise/syscalls.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

/* Memory, time, waiting, and the descriptors that were handed over: all that parsing needs. */
static const int sealed[] = {
	SCMP_SYS(read),		 SCMP_SYS(write),
	SCMP_SYS(readv),	 SCMP_SYS(writev),
	SCMP_SYS(pread64),	 SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),	 SCMP_SYS(recvfrom),
	SCMP_SYS(sendto),	 SCMP_SYS(close),
	SCMP_SYS(fstat),	 SCMP_SYS(lseek),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),	 SCMP_SYS(epoll_pwait),
	SCMP_SYS(poll),		 SCMP_SYS(ppoll),
	SCMP_SYS(brk),		 SCMP_SYS(munmap),
	SCMP_SYS(mremap),	 SCMP_SYS(madvise),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),	 SCMP_SYS(gettimeofday),
	SCMP_SYS(time),		 SCMP_SYS(clock_getres),
	SCMP_SYS(futex),	 SCMP_SYS(sched_yield),
	SCMP_SYS(getrandom),	 SCMP_SYS(getpid),
	SCMP_SYS(gettid),	 SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigaction),	 SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),	 SCMP_SYS(restart_syscall),
	SCMP_SYS(exit),		 SCMP_SYS(exit_group),
	SCMP_SYS(setitimer),	 SCMP_SYS(getuid),
	SCMP_SYS(geteuid),	 SCMP_SYS(getgid),
	SCMP_SYS(getegid),
};

/* What sending over the network adds: sockets, files that Landlock allows, resolver threads. */
static const int network[] = {
	SCMP_SYS(socket),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(shutdown),
	SCMP_SYS(socketpair),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(accept4),
	SCMP_SYS(openat),
	SCMP_SYS(open),
	SCMP_SYS(newfstatat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(statx),
	SCMP_SYS(statfs),
	SCMP_SYS(fstatfs),
	SCMP_SYS(access),
	SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2),
	SCMP_SYS(getdents64),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),
	SCMP_SYS(pipe2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(dup),
	SCMP_SYS(select),
	SCMP_SYS(pselect6),
	SCMP_SYS(fsync),
	SCMP_SYS(fdatasync),
	SCMP_SYS(pwrite64),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrusage),
	SCMP_SYS(prlimit64),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(mprotect),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(membarrier),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(getppid),
	SCMP_SYS(umask),
	SCMP_SYS(getcwd),
	/* a store: Landlock and the uid say where */
	SCMP_SYS(unlink),
	SCMP_SYS(unlinkat),
	SCMP_SYS(rename),
	SCMP_SYS(renameat),
	SCMP_SYS(renameat2),
	SCMP_SYS(fchmod),
};

/* Looking for files and at them. */
static const int looking[] = {
	SCMP_SYS(newfstatat), SCMP_SYS(stat),	    SCMP_SYS(lstat),	  SCMP_SYS(statx),
	SCMP_SYS(access),     SCMP_SYS(faccessat),  SCMP_SYS(faccessat2), SCMP_SYS(getdents64),
	SCMP_SYS(readlink),   SCMP_SYS(readlinkat), SCMP_SYS(fcntl),	  SCMP_SYS(getcwd),
	SCMP_SYS(ioctl),      SCMP_SYS(mprotect),
};

/* Connections from a socket that listens already; none is made, and none leads out. */
static const int accepting[] = {
	SCMP_SYS(accept4),    SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),  SCMP_SYS(shutdown),
};

static int allow(scmp_filter_ctx ctx, const int *calls, size_t n)
{
	int ret;

	for (size_t i = 0; i < n; i++) {
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
		/* Not every call exists on every architecture: libseccomp says so with -EDOM. */
		if (ret && ret != -EDOM && ret != -EEXIST)
			return ret;
	}
	return 0;
}

/* No page may be made executable, whoever asks. */
static int allow_plain_mmap(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
				SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
}

/*
 * ship resolves names: libc loads resolver modules (executable mappings of files that Landlock
 * shows) and libcurl starts a thread. clone3 hides its flags behind a pointer: libc falls back to
 * clone on ENOSYS, and there a thread can be told from a process.
 */
static int allow_ship(scmp_filter_ctx ctx)
{
	int ret = allow(ctx, network, sizeof(network) / sizeof(network[0]));

	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 0);
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
				       SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return ret;
}

/* Files are opened for reading, and none is made: whatever the folder's owner may do. */
static int allow_read(scmp_filter_ctx ctx)
{
	int ret = allow(ctx, looking, sizeof(looking) / sizeof(looking[0]));

	if (!ret)
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
				       SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT | O_TRUNC,
					       O_RDONLY));
	return ret ? ret : allow_plain_mmap(ctx);
}

static int allow_serve(scmp_filter_ctx ctx)
{
	int ret = allow(ctx, accepting, sizeof(accepting) / sizeof(accepting[0]));

	return ret ? ret : allow_read(ctx);
}

static int allow_receive(scmp_filter_ctx ctx)
{
	int ret = allow(ctx, accepting, sizeof(accepting) / sizeof(accepting[0]));

	if (!ret) /* of sockets: not to wait */
		ret = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 0);
	return ret ? ret : allow_plain_mmap(ctx);
}

int syscalls__restrict(enum role role)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int ret;

	if (!ctx)
		return -ENOMEM;
	ret = allow(ctx, sealed, sizeof(sealed) / sizeof(sealed[0]));
	if (!ret)
		ret = role == ROLE_SHIP	   ? allow_ship(ctx) :
		      role == ROLE_READ	   ? allow_read(ctx) :
		      role == ROLE_SERVE   ? allow_serve(ctx) :
		      role == ROLE_RECEIVE ? allow_receive(ctx) :
					     allow_plain_mmap(ctx);
	if (!ret)
		ret = seccomp_load(ctx);
	seccomp_release(ctx);
	return ret;
}
