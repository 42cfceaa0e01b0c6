// SPDX-License-Identifier: Apache-2.0
#include "supervise/control.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

int control__send(int fd, enum control_type type, const void *bytes, size_t len)
{
	struct control_header header = { .type = type };
	struct iovec iov[2] = { { &header, sizeof(header) }, { (void *)bytes, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

long control__receive(int fd, enum control_type *ret_type, void *body, size_t size)
{
	struct control_header header;
	struct iovec iov[2] = { { &header, sizeof(header) }, { body, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	if (n == 0)
		return -EPIPE;
	if ((size_t)n < sizeof(header) || (msg.msg_flags & MSG_TRUNC))
		return -EPROTO;
	*ret_type = header.type;
	return n - (ssize_t)sizeof(header);
}
