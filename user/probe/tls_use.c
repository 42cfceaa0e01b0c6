// SPDX-License-Identifier: Apache-2.0
#include "probe/tls_use.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

void tls_use__init(struct tls_use *use)
{
	*use = (struct tls_use){ .pidfd = -1, .grace_ns = TLS_GRACE_NS };
}

int tls_use__by(struct tls_use *use, pid_t pid, int epoll, void *arg)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = arg };
	int fd, err;

	if (use->pid)
		return 0;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
		err = -errno;
		close(fd);
		return err;
	}
	use->pid = pid;
	use->pidfd = fd;
	use->left_ns = 0;
	use->listings = 0;
	return 0;
}

void tls_use__end(struct tls_use *use, uint64_t now_ns)
{
	if (use->pidfd >= 0)
		close(use->pidfd);
	use->pidfd = -1;
	use->pid = 0;
	use->listings = 0;
	use->left_ns = now_ns;
}

uint64_t tls_use__due(const struct tls_use *use)
{
	if (use->pid || !use->left_ns)
		return 0;
	return use->left_ns + use->grace_ns + use->listings * TLS_LISTING_NS;
}

bool tls_use__nobody(struct tls_use *use, uint64_t now_ns)
{
	uint64_t due = tls_use__due(use);

	return due && now_ns >= due && ++use->listings == TLS_LISTINGS;
}
