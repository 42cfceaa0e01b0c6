// SPDX-License-Identifier: Apache-2.0
/* The sandbox tried from inside: what a hostile payload would attempt once it had taken a role over. */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "supervise/sandbox.h"

static int try_open(void)
{
	return open("/etc/passwd", O_RDONLY);
}

static int try_write_file(void)
{
	return open("/tmp/sonde-escape", O_WRONLY | O_CREAT, 0600);
}

static int try_open_shadow(void)
{
	return open("/etc/shadow", O_RDONLY);
}

static int try_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int try_bpf(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1
	};

	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int try_ptrace(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int try_exec(void)
{
	char *const argv[] = { "true", NULL };

	return execv("/bin/true", argv);
}

static int try_exec_self(void)
{
	char *const argv[] = { "sonde", "version", NULL };

	return execv("/proc/self/exe", argv);
}

static int try_fork(void)
{
	int pid = (int)syscall(SYS_clone, (unsigned long)SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid;
}

static int try_setuid(void)
{
	return setuid(0);
}

static int try_kill_parent(void)
{
	return kill(getppid(), 0);
}

static int try_chroot(void)
{
	return chroot(".");
}

static int try_unshare(void)
{
	return unshare(CLONE_NEWUSER);
}

static int try_perf(void)
{
	return (int)syscall(SYS_perf_event_open, NULL, 0, 0, -1, 0);
}

static int try_exec_memory(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? -1 : 0;
}

static int try_process_memory(void)
{
	char byte;
	struct iovec local = { &byte, 1 }, remote = { (void *)0x400000, 1 };

	return (int)syscall(SYS_process_vm_readv, getppid(), &local, 1, &remote, 1, 0);
}

static const struct {
	const char *what;
	int (*try_it)(void);
	bool ship_may; /* part of ship's work */
} attempts[] = {
	{ "open /etc/passwd", try_open, true },
	{ "open /etc/shadow", try_open_shadow, false },
	{ "write a file", try_write_file, false },
	{ "socket", try_socket, true },
	{ "bpf", try_bpf, false },
	{ "ptrace", try_ptrace, false },
	{ "exec", try_exec, false },
	{ "exec itself", try_exec_self, false },
	{ "fork", try_fork, false },
	{ "setuid 0", try_setuid, false },
	{ "signal the parent", try_kill_parent, false },
	{ "chroot", try_chroot, false },
	{ "unshare", try_unshare, false },
	{ "perf_event_open", try_perf, false },
	{ "executable memory", try_exec_memory, true },
	{ "read the parent's memory", try_process_memory, false },
};

static int count_capabilities(void)
{
	cap_t caps = cap_get_proc();
	cap_flag_value_t value;
	int n = 0;

	for (int cap = 0; caps && cap_valid(cap); cap++) {
		if (!cap_get_flag(caps, cap, CAP_EFFECTIVE, &value) && value == CAP_SET)
			n++;
		if (!cap_get_flag(caps, cap, CAP_PERMITTED, &value) && value == CAP_SET)
			n++;
	}
	if (caps)
		cap_free(caps);
	return n;
}

int sandbox__try_to_escape(enum role role)
{
	int escaped = 0;

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		int ret, code;

		if (role == ROLE_SHIP && attempts[i].ship_may)
			continue;
		errno = 0;
		ret = attempts[i].try_it();
		code = errno;
		printf("%-26s %s%s%s\n", attempts[i].what, ret < 0 ? "refused" : "NOT REFUSED",
		       ret < 0 ? ": " : "", ret < 0 ? strerror(code) : "");
		escaped += ret >= 0;
	}
	printf("%-26s %d\n", "capabilities", count_capabilities());
	printf("%-26s %d\n", "uid", (int)getuid());
	fflush(stdout);
	return escaped + (count_capabilities() > 0);
}
