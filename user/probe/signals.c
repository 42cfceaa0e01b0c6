// SPDX-License-Identifier: Apache-2.0
#include "probe/signals.h"

#include <errno.h>
#include <stddef.h>
#include <sys/signalfd.h>

static bool is_ignored(int sig)
{
	struct sigaction action;

	return !sigaction(sig, NULL, &action) && action.sa_handler == SIG_IGN;
}

int signals__take(bool always_hup, struct signals_before *ret_before)
{
	static const int ends[] = { SIGINT, SIGQUIT, SIGHUP };
	struct sigaction ignore = { .sa_handler = SIG_IGN }, standard = { .sa_handler = SIG_DFL };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	for (unsigned int i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!is_ignored(ends[i]) || (ends[i] == SIGHUP && always_hup))
			sigaddset(&set, ends[i]);
	sigprocmask(SIG_BLOCK, &set, &ret_before->mask);
	sigaction(SIGPIPE, &ignore, &ret_before->pipe);
	/* Where it is ignored the kernel reaps children by itself, and nobody learns how they ended. */
	sigaction(SIGCHLD, &standard, &ret_before->child);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

void signals__give_back(const struct signals_before *before)
{
	sigaction(SIGPIPE, &before->pipe, NULL);
	sigaction(SIGCHLD, &before->child, NULL);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}
