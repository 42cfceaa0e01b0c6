// SPDX-License-Identifier: Apache-2.0
/* Both ends of inspect's socket: SOCK_SEQPACKET, a request is one packet with one descriptor. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "../../headers/tls.h"
#include "core/message.h"
#include "inspect/inspect.h"

union descriptor_space {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int ask(int control_fd, uint32_t want, uint32_t request, int fd)
{
	struct inspect_request body = { .abi = INSPECT_ABI, .request = request, .want = want };
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

int inspect__ask(int control_fd, uint32_t request, int fd)
{
	return ask(control_fd, INSPECT_WANT_RUNTIME, request, fd);
}

int inspect__ask_tls(int control_fd, uint32_t request, int fd)
{
	return ask(control_fd, INSPECT_WANT_TLS, request, fd);
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

/* One packet of exactly n bytes. */
static int receive_answer(int control_fd, void *to, size_t n)
{
	ssize_t got = recv(control_fd, to, n, MSG_DONTWAIT | MSG_TRUNC);

	if (got < 0)
		return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	if (got == 0)
		return -ECONNRESET;
	return got == (ssize_t)n ? 0 : -EPROTO;
}

int inspect__answer(int control_fd, struct inspect_answer *ret)
{
	struct inspect_answer answer;
	int err = receive_answer(control_fd, &answer, sizeof(answer));

	if (!err && !is_sound(&answer))
		err = -EPROTO;
	if (!err)
		*ret = answer;
	return err;
}

static bool is_sound_function(const struct inspect_function *f)
{
	return f->function > TLS_FN_NONE && f->function < TLS_FN_COUNT;
}

/* Offsets may be anything: whoever puts a probe there asks the kernel, which looks at the file. */
static bool is_sound_tls(const struct inspect_tls *answer)
{
	if (answer->abi != INSPECT_ABI || answer->status > 0 ||
	    answer->library >= TLS_LIBRARY_COUNT || answer->libraries >> TLS_LIBRARY_COUNT ||
	    answer->hidden >> TLS_LIBRARY_COUNT || answer->n_functions > INSPECT_FUNCTIONS_MAX ||
	    answer->n_points > INSPECT_POINTS_MAX)
		return false;
	for (uint32_t i = 0; i < answer->n_functions; i++)
		if (!is_sound_function(&answer->functions[i]))
			return false;
	for (uint32_t i = 0; i < answer->n_points; i++) {
		const struct inspect_point *p = &answer->points[i];

		if (p->of >= answer->n_functions || p->is_return > INSPECT_INSIDE ||
		    p->result > SONDE_TLS_RESULT_ONE || p->condition > SONDE_TLS_CONDITIONS ||
		    !p->sets || p->sets > (INSPECT_PLAIN | INSPECT_CHEAP) ||
		    p->function != answer->functions[p->of].function)
			return false;
	}
	return true;
}

int inspect__answer_tls(int control_fd, struct inspect_tls *ret)
{
	struct inspect_tls answer;
	int err = receive_answer(control_fd, &answer, sizeof(answer));

	if (!err && !is_sound_tls(&answer))
		err = -EPROTO;
	if (!err)
		*ret = answer;
	return err;
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
	return n == (ssize_t)sizeof(*ret) && ret->abi == INSPECT_ABI &&
			       ret->want <= INSPECT_WANT_TLS ?
		       1 :
		       -EPROTO;
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

static int answer_runtime(int control_fd, const struct inspect_request *request, int fd)
{
	struct inspect_answer answer = { .abi = INSPECT_ABI, .request = request->request };

	set_deadline(INSPECT_DEADLINE_MS);
	inspect__parse(fd, &answer);
	set_deadline(0);
	return send(control_fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int answer_tls(int control_fd, const struct inspect_request *request, int fd)
{
	struct inspect_tls answer = { .abi = INSPECT_ABI, .request = request->request };

	set_deadline(INSPECT_DEADLINE_MS);
	inspect__parse_tls(fd, &answer);
	set_deadline(0);
	return send(control_fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int inspect__main(int control_fd)
{
	struct inspect_request request = { 0 };
	int fd, ret;

	allow_deadline();
	for (;;) {
		ret = receive(control_fd, &request, &fd);
		if (ret <= 0)
			return ret;
		ret = request.want == INSPECT_WANT_TLS ? answer_tls(control_fd, &request, fd) :
							 answer_runtime(control_fd, &request, fd);
		if (fd >= 0)
			close(fd);
		if (ret)
			return ret;
	}
}
