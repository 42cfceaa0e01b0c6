// SPDX-License-Identifier: Apache-2.0
#include "probe/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int become(const struct passwd *pw)
{
	if (initgroups(pw->pw_name, pw->pw_gid) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		return -errno;
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
	return 0;
}

static void __attribute__((noreturn))
run(char **argv, const struct passwd *pw, const struct signals_before *before, int go, int failed)
{
	char byte;
	int code;

	signals__give_back(before);
	/* End of file: the parent gave up. */
	if (read(go, &byte, 1) != 1)
		_exit(125);
	code = pw ? -become(pw) : 0;
	if (!code) {
		execvp(argv[0], argv);
		code = errno;
	}
	if (write(failed, &code, sizeof(code)) < 0)
		_exit(125);
	_exit(code == ENOENT ? 127 : 126);
}

int child__prepare(struct child *child, char **argv, const char *user,
		   const struct signals_before *before, struct err *err)
{
	const struct passwd *pw = NULL;
	int go[2], failed[2];
	pid_t pid;

	*child = (struct child){ .go = -1, .failed = -1 };
	if (user) {
		pw = getpwnam(user);
		if (!pw)
			return err__set(err, -ENOENT,
					"-u: there is no user '%s'; `getent passwd` lists them",
					user);
	}
	if (pipe2(go, O_CLOEXEC))
		return err__set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	if (pipe2(failed, O_CLOEXEC)) {
		close(go[0]);
		close(go[1]);
		return err__set(err, -errno, "cannot make a pipe: %s", strerror(errno));
	}
	pid = fork();
	if (pid == 0) {
		close(go[1]);
		run(argv, pw, before, go[0], failed[1]);
	}
	close(go[0]);
	close(failed[1]);
	child->go = go[1];
	child->failed = failed[0];
	if (pid < 0)
		return err__set(err, -errno, "cannot make a process for the command: %s",
				strerror(errno));
	child->pid = pid;
	return 0;
}

int child__go(struct child *child)
{
	int code = 0;
	ssize_t n;

	if (write(child->go, "", 1) != 1)
		return errno == EPIPE ? 0 : -errno;
	/* The descriptor closes at a successful exec. */
	do
		n = read(child->failed, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	return n == sizeof(code) ? -code : 0;
}

int child__exec_status(int exec_errno)
{
	return exec_errno == -ENOENT ? 127 : 126;
}

int child__exit_status(const struct child *child)
{
	if (WIFSIGNALED(child->status))
		return 128 + WTERMSIG(child->status);
	return WEXITSTATUS(child->status);
}

void child__free(struct child *child)
{
	if (child->go >= 0)
		close(child->go);
	if (child->failed >= 0)
		close(child->failed);
	child->go = child->failed = -1;
	/* Never let go: it ends by itself when its pipe closes. */
}
