// SPDX-License-Identifier: Apache-2.0
#include "supervise/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/terminal.h"

/* Room for a burst of identities one way and questions the other. */
#define CONTROL_BUFFER_BYTES (1 << 20)

static int close_between(unsigned int first, unsigned int last)
{
	if (!syscall(SYS_close_range, first, last, 0))
		return 0;
	/* before 5.9 */
	for (unsigned int fd = first; fd <= last && fd < 4096; fd++)
		close((int)fd);
	return 0;
}

/* What is not handed on is in the way: with a low limit there would be no room to move the rest. */
static void close_others(const struct spawn_fd *fds, unsigned int n, int control)
{
	unsigned int from = STDERR_FILENO + 1, next;

	do {
		next = (unsigned int)control >= from ? (unsigned int)control : ~0u;
		for (unsigned int i = 0; i < n; i++) {
			unsigned int ours = (unsigned int)fds[i].ours;

			if (ours >= from && ours < next)
				next = ours;
		}
		if (next > from)
			close_between(from, next == ~0u ? next : next - 1);
		from = next + 1;
	} while (next != ~0u);
}

/*
 * dup2 to the fixed places in two rounds, first out of the way: one role's place may be the number
 * of another descriptor that is still to be moved.
 */
static int place_fds(const struct spawn_fd *fds, unsigned int n, int control)
{
	int high[FD_MAX], high_control;
	bool kept[FD_MAX] = { 0 };

	if (n > FD_MAX)
		return -E2BIG;
	close_others(fds, n, control);
	high_control = fcntl(control, F_DUPFD, FD_MAX);
	if (high_control < 0)
		return -errno;
	for (unsigned int i = 0; i < n; i++) {
		high[i] = fcntl(fds[i].ours, F_DUPFD, FD_MAX);
		if (high[i] < 0)
			return -errno;
	}
	if (dup2(high_control, FD_CONTROL) < 0)
		return -errno;
	kept[FD_CONTROL] = true;
	for (unsigned int i = 0; i < n; i++) {
		if (fds[i].place >= FD_MAX || dup2(high[i], fds[i].place) < 0)
			return -EBADF;
		kept[fds[i].place] = true;
	}
	for (int fd = 3; fd < FD_MAX; fd++)
		if (!kept[fd])
			close(fd);
	return close_between(FD_MAX, ~0u);
}

/*
 * A terminal, a pipe from somebody: not for roles. Standard error is where they log, standard output
 * is where ship may have to print; what is closed here main() opens again, on nothing.
 */
static void forget_input_and_output(const struct role_process *role)
{
	int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0)
		close(STDIN_FILENO);
	if (role->role != ROLE_SHIP && (nothing < 0 || dup2(nothing, STDOUT_FILENO) < 0))
		close(STDOUT_FILENO);
}

/*
 * ship goes by some variables (proxies, time zone). The others parse what strangers write and are not
 * to hold an API key that was meant for a backend.
 */
static char **environment_of(const struct role_process *role)
{
	static char *libraries[2];
	static const char name[] = "LD_LIBRARY_PATH=";

	if (role->role == ROLE_SHIP)
		return environ;
	for (char **at = environ; *at; at++)
		if (!strncmp(*at, name, sizeof(name) - 1))
			libraries[0] = *at;
	return libraries;
}

/*
 * What the terminal says (Ctrl-C, its end) is for the traced command and for probe, which tells
 * the roles in its own time; and a terminal must not stop who logs to it from the background.
 * No session of its own for that: where the kernel groups tasks by session (sched_autogroup), one
 * that mostly sleeps may wait 10 ms and more for a processor that another one keeps busy.
 */
static void leave_terminal(void)
{
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	signal(SIGTTIN, SIG_IGN);
}

/* So that a terminal which is stopped, or slow, holds up nobody but whoever reads it. */
static void never_wait(int fd)
{
	int own = terminal__own(fd);

	if (own < 0)
		return;
	dup2(own, fd);
	close(own);
}

static void __attribute__((noreturn))
child(const struct role_process *role, const struct spawn_fd *fds, unsigned int n, int control)
{
	char name[32], uid[16];
	char *const argv[] = { (char *)"sonde", name, uid, NULL };
	int exe = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	sigset_t none;

	leave_terminal();
	forget_input_and_output(role);
	never_wait(STDOUT_FILENO);
	never_wait(STDERR_FILENO);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	snprintf(name, sizeof(name), "--role=%s", roles__name(role->role));
	snprintf(uid, sizeof(uid), "%u", (unsigned int)role->uid);
	if (exe >= 0) {
		struct spawn_fd with_exe[FD_MAX];

		memcpy(with_exe, fds, n * sizeof(*fds));
		with_exe[n] = (struct spawn_fd){ exe, FD_MAX - 1 };
		if (!place_fds(with_exe, n + 1, control)) {
			fcntl(FD_MAX - 1, F_SETFD, FD_CLOEXEC);
			fexecve(FD_MAX - 1, argv, environment_of(role));
		}
	}
	fprintf(stderr, "sonde: cannot start the %s role: %s\n", roles__name(role->role),
		strerror(errno));
	_exit(127);
}

int spawn__role(struct role_process *role, const struct spawn_fd *fds, unsigned int n,
		struct err *err)
{
	int pair[2], bytes = CONTROL_BUFFER_BYTES;
	pid_t pid;

	if (n >= FD_MAX)
		return err__set(err, -E2BIG, "too many descriptors for the %s role",
				roles__name(role->role));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return err__set(err, -errno, "cannot make a control socket: %s", strerror(errno));
	/* Without CAP_NET_ADMIN as much as anybody may have. */
	for (int i = 0; i < 2; i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)))
			setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	pid = fork();
	if (pid < 0) {
		int ret = -errno;

		close(pair[0]);
		close(pair[1]);
		return err__set(err, ret, "cannot start the %s role: %s", roles__name(role->role),
				strerror(-ret));
	}
	if (pid == 0)
		child(role, fds, n, pair[1]);
	close(pair[1]);
	role->pid = pid;
	role->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	role->control = pair[0];
	role->started_ns = clock__boot_ns();
	role->restart_ns = 0;
	return 0;
}

void spawn__forget(struct role_process *role)
{
	if (role->pidfd >= 0)
		close(role->pidfd);
	if (role->control >= 0)
		close(role->control);
	role->pid = 0;
	role->pidfd = role->control = -1;
}

void spawn__signal(const struct role_process *role, int sig)
{
	if (!role->pid)
		return;
	if (role->pidfd < 0 || syscall(SYS_pidfd_send_signal, role->pidfd, sig, NULL, 0))
		kill(role->pid, sig);
}

void *spawn__shared(const char *name, size_t bytes, int *ret_fd)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at;

	if (fd < 0)
		return NULL;
	/* The size is sealed: a role that shrank it could make the others fault. */
	if (ftruncate(fd, (off_t)bytes) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		close(fd);
		return NULL;
	}
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED) {
		close(fd);
		return NULL;
	}
	*ret_fd = fd;
	return at;
}

int spawn__document(const char *name, const void *bytes, size_t len)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET)) {
		close(fd);
		return -EIO;
	}
	return fd;
}
