// SPDX-License-Identifier: Apache-2.0
/* Both ends of inspect's socket: SOCK_SEQPACKET, a request is one packet with one descriptor. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "core/message.h"
#include "inspect/inspect.h"

union descriptor_space {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

int inspect__ask(int control_fd, uint32_t request, int fd)
{
	struct inspect_request body = { .abi = INSPECT_ABI, .request = request };
	struct iovec iov = { &body, sizeof(body) };
	union descriptor_space space = { 0 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space.bytes,
			      .msg_controllen = sizeof(space.bytes) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(control_fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(body))
		return -errno;
	return 0;
}

/* What the sandbox gives away must not be believed to be a string, or a known number. */
static bool is_sound(const struct inspect_answer *answer)
{
	return answer->abi == INSPECT_ABI && answer->runtime <= RUNTIME_PERL &&
	       answer->status <= 0 && answer->build_id_bytes <= sizeof(answer->build_id) &&
	       !answer->runtime_version[sizeof(answer->runtime_version) - 1] &&
	       !answer->module[sizeof(answer->module) - 1] &&
	       !answer->module_version[sizeof(answer->module_version) - 1] &&
	       !answer->sdk[sizeof(answer->sdk) - 1];
}

int inspect__answer(int control_fd, struct inspect_answer *ret)
{
	struct inspect_answer answer;
	ssize_t n = recv(control_fd, &answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0)
		return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (n != (ssize_t)sizeof(answer) || !is_sound(&answer))
		return -EPROTO;
	*ret = answer;
	return 0;
}

/* 1: a request and its descriptor; 0: the other end closed. */
static int receive(int control_fd, struct inspect_request *ret, int *ret_fd)
{
	struct iovec iov = { ret, sizeof(*ret) };
	union descriptor_space space;
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = space.bytes,
			      .msg_controllen = sizeof(space.bytes) };
	struct cmsghdr *c;
	ssize_t n;

	*ret_fd = -1;
	do
		n = recvmsg(control_fd, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(ret_fd, CMSG_DATA(c), sizeof(int));
	return n == (ssize_t)sizeof(*ret) && ret->abi == INSPECT_ABI ? 1 : -EPROTO;
}

/*
 * The signal is not caught: its default, the end of the process, also ends a read that a file
 * system in user space does not answer.
 */
static void set_deadline(unsigned int ms)
{
	struct itimerval timer = { .it_value = { .tv_sec = ms / 1000,
						 .tv_usec = ms % 1000 * 1000 } };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Whoever started this may have left the signal ignored or blocked. */
static void allow_deadline(void)
{
	sigset_t set;

	signal(SIGALRM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int inspect__main(int control_fd)
{
	struct inspect_request request = { 0 };
	struct inspect_answer answer = { 0 };
	int fd, ret;

	allow_deadline();
	for (;;) {
		ret = receive(control_fd, &request, &fd);
		if (ret <= 0)
			return ret;
		answer.abi = INSPECT_ABI;
		answer.request = request.request;
		set_deadline(INSPECT_DEADLINE_MS);
		inspect__parse(fd, &answer);
		set_deadline(0);
		if (fd >= 0)
			close(fd);
		if (send(control_fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			return -errno;
	}
}
