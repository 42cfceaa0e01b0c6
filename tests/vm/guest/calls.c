// SPDX-License-Identifier: Apache-2.0
/* Every way in which a program writes to a socket and reads from one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/io_uring.h>

#include "peer.h"

static ssize_t put_write(int fd, const void *bytes, size_t len)
{
	return write(fd, bytes, len);
}

static ssize_t get_read(int fd, void *bytes, size_t len)
{
	return read(fd, bytes, len);
}

/* Three segments, one of them empty, one of a single byte. */
static unsigned int segments(struct iovec iov[4], void *bytes, size_t len)
{
	size_t head = len > 7 ? 7 : 1, tail = len > head ? 1 : 0;
	char *at = bytes;

	iov[0] = (struct iovec){ at, head };
	iov[1] = (struct iovec){ at + head, 0 };
	iov[2] = (struct iovec){ at + head, len - head - tail };
	iov[3] = (struct iovec){ at + len - tail, tail };
	return 4;
}

static ssize_t put_writev(int fd, const void *bytes, size_t len)
{
	struct iovec iov[4];

	return writev(fd, iov, (int)segments(iov, (void *)bytes, len));
}

static ssize_t get_readv(int fd, void *bytes, size_t len)
{
	struct iovec iov[4];

	return readv(fd, iov, (int)segments(iov, bytes, len));
}

/* As many as a head of many fields makes where a program keeps them apart. */
#define MANY 100

static int many_segments(struct iovec iov[MANY], void *bytes, size_t len)
{
	for (size_t i = 0; i < MANY; i++)
		iov[i] = (struct iovec){ (char *)bytes + len * i / MANY,
					 len * (i + 1) / MANY - len * i / MANY };
	return MANY;
}

static ssize_t put_writev_many(int fd, const void *bytes, size_t len)
{
	struct iovec iov[MANY];

	return writev(fd, iov, many_segments(iov, (void *)bytes, len));
}

static ssize_t get_readv_many(int fd, void *bytes, size_t len)
{
	struct iovec iov[MANY];

	return readv(fd, iov, many_segments(iov, bytes, len));
}

static ssize_t put_send(int fd, const void *bytes, size_t len)
{
	return send(fd, bytes, len, MSG_NOSIGNAL);
}

static ssize_t get_recv(int fd, void *bytes, size_t len)
{
	return recv(fd, bytes, len, 0);
}

static ssize_t put_sendto(int fd, const void *bytes, size_t len)
{
	return sendto(fd, bytes, len, 0, NULL, 0);
}

static ssize_t get_recvfrom(int fd, void *bytes, size_t len)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);

	return recvfrom(fd, bytes, len, 0, (struct sockaddr *)&from, &from_len);
}

static ssize_t put_sendmsg(int fd, const void *bytes, size_t len)
{
	struct iovec iov[4];
	struct msghdr message = { .msg_iov = iov };

	message.msg_iovlen = segments(iov, (void *)bytes, len);
	return sendmsg(fd, &message, 0);
}

static ssize_t get_recvmsg(int fd, void *bytes, size_t len)
{
	struct iovec iov[4];
	struct msghdr message = { .msg_iov = iov };

	message.msg_iovlen = segments(iov, bytes, len);
	return recvmsg(fd, &message, 0);
}

/* Two messages in one call: the bytes in two halves. */
static void halves(struct mmsghdr two[2], struct iovec iov[2], void *bytes, size_t len)
{
	iov[0] = (struct iovec){ bytes, (len + 1) / 2 };
	iov[1] = (struct iovec){ (char *)bytes + (len + 1) / 2, len / 2 };
	memset(two, 0, 2 * sizeof(two[0]));
	for (int i = 0; i < 2; i++) {
		two[i].msg_hdr.msg_iov = &iov[i];
		two[i].msg_hdr.msg_iovlen = 1;
	}
}

static ssize_t put_sendmmsg(int fd, const void *bytes, size_t len)
{
	struct mmsghdr two[2];
	struct iovec iov[2];
	int sent;

	halves(two, iov, (void *)bytes, len);
	sent = sendmmsg(fd, two, 2, 0);
	return sent < 0 ? sent : (ssize_t)two[0].msg_len + (sent > 1 ? two[1].msg_len : 0);
}

static ssize_t get_recvmmsg(int fd, void *bytes, size_t len)
{
	struct mmsghdr two[2];
	struct iovec iov[2];
	int got;

	halves(two, iov, bytes, len);
	got = recvmmsg(fd, two, 2, MSG_WAITFORONE, NULL);
	return got < 0 ? got : (ssize_t)two[0].msg_len + (got > 1 ? two[1].msg_len : 0);
}

/* The head must be written from memory; then the rest comes from a file. */
static ssize_t put_sendfile(int fd, const void *bytes, size_t len)
{
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);
	size_t head = end ? (size_t)(end - (const char *)bytes) + 4 : len;
	ssize_t sent = 0;
	int file;

	if (write(fd, bytes, head) != (ssize_t)head)
		return -1;
	if (head == len)
		return (ssize_t)len;
	file = memfd_create("body", 0);
	if (file < 0 || write(file, (const char *)bytes + head, len - head) < 0)
		return -1;
	for (off_t at = 0; (size_t)at < len - head && sent >= 0;)
		sent = sendfile(fd, file, &at, len - head - (size_t)at);
	close(file);
	return sent < 0 ? sent : (ssize_t)len;
}

static ssize_t put_splice(int fd, const void *bytes, size_t len)
{
	const char *end = memmem(bytes, len, "\r\n\r\n", 4);
	size_t head = end ? (size_t)(end - (const char *)bytes) + 4 : len;
	size_t left = len - head;
	ssize_t moved = 0;
	int ends[2];

	if (write(fd, bytes, head) != (ssize_t)head)
		return -1;
	if (!left)
		return (ssize_t)len;
	if (pipe(ends) || write(ends[1], (const char *)bytes + head, left) < 0)
		return -1;
	while (left && (moved = splice(ends[0], NULL, fd, NULL, left, 0)) > 0)
		left -= (size_t)moved;
	close(ends[0]);
	close(ends[1]);
	return moved < 0 ? moved : (ssize_t)(len - left);
}

static ssize_t get_peek(int fd, void *bytes, size_t len)
{
	if (recv(fd, bytes, len, MSG_PEEK) < 0)
		return -1;
	memset(bytes, 'x', len > 64 ? 64 : len);
	return recv(fd, bytes, len, 0);
}

static ssize_t get_nonblocking(int fd, void *bytes, size_t len)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	ssize_t got;

	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	while ((got = read(fd, bytes, len)) < 0 && errno == EAGAIN)
		poll(&wait, 1, -1);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	return got;
}

/* Reading byte by byte, as the simplest programs do: a head in as many pieces as it has bytes. */
static ssize_t get_bytewise(int fd, void *bytes, size_t len)
{
	return read(fd, bytes, len ? 1 : 0);
}

static ssize_t put_lines(int fd, const void *bytes, size_t len)
{
	const char *at = bytes, *end = at + len;

	while (at < end) {
		const char *line = memchr(at, '\n', (size_t)(end - at));
		size_t n = (size_t)((line ? line + 1 : end) - at);

		if (write(fd, at, n) != (ssize_t)n)
			return -1;
		at += n;
	}
	return (ssize_t)len;
}

static ssize_t put_zerocopy(int fd, const void *bytes, size_t len)
{
	int on = 1;

	if (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)))
		return -1;
	/* The pages stay untouched until the peer has read: it answers before the next message. */
	return send(fd, bytes, len, MSG_ZEROCOPY);
}

/* A ring of one entry; setting up and tearing down for each call keeps it simple. */
static ssize_t uring(int fd, void *bytes, size_t len, int opcode)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(__NR_io_uring_setup, 1, &params);
	char *sq, *cq;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	size_t sq_len, cq_len;
	ssize_t result = -1;

	if (ring < 0)
		return -1;
	sq_len = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
	cq_len = params.cq_off.cqes + params.cq_entries * sizeof(*cqe);
	sq = mmap(NULL, sq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		  IORING_OFF_SQ_RING);
	cq = mmap(NULL, cq_len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		  IORING_OFF_CQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring,
		   IORING_OFF_SQES);
	if (sq != MAP_FAILED && cq != MAP_FAILED && sqe != MAP_FAILED) {
		*sqe = (struct io_uring_sqe){ .opcode = (uint8_t)opcode,
					      .fd = fd,
					      .addr = (uintptr_t)bytes,
					      .len = (uint32_t)len };
		*(uint32_t *)(sq + params.sq_off.array) = 0;
		__atomic_store_n((uint32_t *)(sq + params.sq_off.tail), 1, __ATOMIC_RELEASE);
		if (syscall(__NR_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) ==
		    1) {
			cqe = (struct io_uring_cqe *)(cq + params.cq_off.cqes);
			result = cqe->res;
		}
		munmap(sq, sq_len);
		munmap(cq, cq_len);
		munmap(sqe, sizeof(*sqe));
	}
	close(ring);
	return result;
}

static ssize_t put_uring(int fd, const void *bytes, size_t len)
{
	return uring(fd, (void *)bytes, len, IORING_OP_SEND);
}

static ssize_t get_uring(int fd, void *bytes, size_t len)
{
	return uring(fd, bytes, len, IORING_OP_RECV);
}

static bool uring_works(void)
{
	struct io_uring_params params = { 0 };
	int ring = (int)syscall(__NR_io_uring_setup, 1, &params);

	if (ring >= 0)
		close(ring);
	return ring >= 0;
}

#ifdef __x86_64__
/* A system call as a 32-bit program makes it, from a 64-bit one: its numbers, its registers. */
static long int80(long number, long a, long b, long c)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/* 32-bit calls reach the low 4 GiB only. */
static char *low_memory(void)
{
	static char *at;

	if (!at)
		at = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	return at;
}

static ssize_t put_compat(int fd, const void *bytes, size_t len)
{
	memcpy(low_memory(), bytes, len > 65536 ? 65536 : len);
	return (int)int80(4, fd, (long)low_memory(), len > 65536 ? 65536 : (long)len);
}

static ssize_t get_compat(int fd, void *bytes, size_t len)
{
	ssize_t got = (int)int80(3, fd, (long)low_memory(), len > 65536 ? 65536 : (long)len);

	if (got > 0)
		memcpy(bytes, low_memory(), (size_t)got);
	return got;
}

/* Without 32-bit emulation the call ends the process: a child tries. */
static bool compat_works(void)
{
	pid_t child = fork();
	int status = 1;

	if (child == 0)
		_exit((int)int80(20, 0, 0, 0) == getpid() ? 0 : 1);
	waitpid(child, &status, 0);
	return status == 0;
}
#endif

const struct call plain_call = { .name = "write-read", .put = put_write, .get = get_read };

const struct call calls[] = {
	{ .name = "write-read", .put = put_write, .get = get_read },
	{ .name = "writev", .put = put_writev, .get = get_read },
	{ .name = "readv", .put = put_write, .get = get_readv },
	{ .name = "writev-many", .put = put_writev_many, .get = get_read },
	{ .name = "readv-many", .put = put_write, .get = get_readv_many },
	{ .name = "send-recv", .put = put_send, .get = get_recv },
	{ .name = "sendto-recvfrom", .put = put_sendto, .get = get_recvfrom },
	{ .name = "sendmsg", .put = put_sendmsg, .get = get_read },
	{ .name = "recvmsg", .put = put_write, .get = get_recvmsg },
	{ .name = "sendmmsg", .put = put_sendmmsg, .get = get_read },
	{ .name = "recvmmsg", .put = put_write, .get = get_recvmmsg },
	{ .name = "sendfile", .put = put_sendfile, .get = get_read },
	{ .name = "splice", .put = put_splice, .get = get_read },
	{ .name = "peek", .put = put_write, .get = get_peek },
	{ .name = "nonblocking", .put = put_write, .get = get_nonblocking },
	{ .name = "bytewise", .put = put_write, .get = get_bytewise },
	{ .name = "lines", .put = put_lines, .get = get_read },
	{ .name = "zerocopy", .put = put_zerocopy, .get = get_read, .tcp_only = true },
	{ .name = "uring-send",
	  .put = put_uring,
	  .get = get_read,
	  .works = uring_works,
	  .unseen = "io_uring" },
	{ .name = "uring-recv",
	  .put = put_write,
	  .get = get_uring,
	  .works = uring_works,
	  .unseen = "io_uring" },
#ifdef __x86_64__
	{ .name = "compat-write",
	  .put = put_compat,
	  .get = get_read,
	  .works = compat_works,
	  .unseen = "compat" },
	{ .name = "compat-read",
	  .put = put_write,
	  .get = get_compat,
	  .works = compat_works,
	  .unseen = "compat" },
#endif
};
const unsigned int n_calls = sizeof(calls) / sizeof(calls[0]);
