// SPDX-License-Identifier: Apache-2.0
/*
 * peer - a deterministic client and server, for the kernel matrix.
 *
 *   peer script             every family and every way of reading and writing; prints what to expect
 *   peer stress COUNT       the same for COUNT connections over IPv4 and IPv6, by what races most
 *   peer blocked N COUNT    N threads blocked in recv, COUNT requests in turn
 *   peer short COUNT ...    see short.c
 *   peer bypass CASE...     see bypass.c
 *   peer busy PAIRS COUNT   PAIRS clients and as many servers at full speed, payloads that name themselves
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

const char *const family_name[FAMILIES] = { "tcp4", "tcp6", "unix" };

void fail(const char *what)
{
	fprintf(stderr, "peer %d: %s: %s\n", getpid(), what, strerror(errno));
	exit(1);
}

/* Fills an address; a port of 0 lets the kernel choose. */
static socklen_t address_of(enum family family, const char *where, struct sockaddr_storage *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (family == FAMILY_UNIX) {
		struct sockaddr_un *un = (struct sockaddr_un *)ret;

		un->sun_family = AF_UNIX;
		snprintf(un->sun_path, sizeof(un->sun_path), "%s", where);
		return sizeof(*un);
	}
	if (family == FAMILY_TCP6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

		in6->sin6_family = AF_INET6;
		in6->sin6_addr = in6addr_loopback;
		in6->sin6_port = htons((uint16_t)atoi(where));
		return sizeof(*in6);
	}
	*(struct sockaddr_in *)ret = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)atoi(where)),
	};
	return sizeof(struct sockaddr_in);
}

static int new_socket(enum family family)
{
	static const int domain[FAMILIES] = { AF_INET, AF_INET6, AF_UNIX };
	int fd = socket(domain[family], SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	return fd;
}

static void no_delay(enum family family, int fd)
{
	int on = 1;

	if (family != FAMILY_UNIX && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		fail("TCP_NODELAY");
}

int peer__listen(enum family family, char *ret_where, size_t len)
{
	static int number;
	struct sockaddr_storage address;
	socklen_t address_len;
	int fd = new_socket(family);

	snprintf(ret_where, len, "0");
	if (family == FAMILY_UNIX)
		snprintf(ret_where, len, "/tmp/peer.%d.%d", getpid(), number++);
	address_len = address_of(family, ret_where, &address);
	no_delay(family, fd);
	if (bind(fd, (struct sockaddr *)&address, address_len) || listen(fd, 128))
		fail("listen");
	if (family == FAMILY_UNIX)
		return fd;
	address_len = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &address_len))
		fail("getsockname");
	/* The port lies at the same place for both. */
	snprintf(ret_where, len, "%u", ntohs(((struct sockaddr_in *)&address)->sin_port));
	return fd;
}

int peer__connect(enum family family, const char *where)
{
	struct sockaddr_storage address;
	socklen_t len = address_of(family, where, &address);
	int fd = new_socket(family);

	no_delay(family, fd);
	if (connect(fd, (struct sockaddr *)&address, len))
		fail("connect");
	return fd;
}

int peer__accept(int listener)
{
	int fd = accept(listener, NULL, NULL);

	if (fd < 0)
		fail("accept");
	return fd;
}

void peer__put(int fd, const struct call *call, const void *text, size_t len)
{
	const char *at = text;

	while (len) {
		ssize_t n = call->put(fd, at, len);

		if (n <= 0)
			fail(call->name);
		at += n;
		len -= (size_t)n;
	}
}

/* Length of the message at the front of bytes, 0: not whole yet. */
static size_t whole(const char *bytes, size_t len)
{
	const char *end = memmem(bytes, len, "\r\n\r\n", 4), *field;
	size_t head, body = 0;

	if (!end)
		return 0;
	head = (size_t)(end - bytes) + 4;
	field = memmem(bytes, head, "Content-Length: ", 16);
	if (field)
		body = strtoul(field + 16, NULL, 10);
	return len >= head + body ? head + body : 0;
}

bool peer__read(struct reader *reader, const struct call *call, char *ret_line, size_t len)
{
	size_t message;
	const char *line;

	while (!(message = whole(reader->bytes, reader->len))) {
		ssize_t n;

		if (reader->len == sizeof(reader->bytes))
			fail("message too long");
		n = call->get(reader->fd, reader->bytes + reader->len,
			      sizeof(reader->bytes) - reader->len);
		/* of a socket with a timeout alone: asked again */
		if (n < 0 && errno == EAGAIN)
			continue;
		if (n < 0)
			fail(call->name);
		if (n == 0)
			return false;
		reader->len += (size_t)n;
	}
	line = memchr(reader->bytes, '\r', message);
	snprintf(ret_line, len, "%.*s", (int)(line - reader->bytes), reader->bytes);
	memmove(reader->bytes, reader->bytes + message, reader->len - message);
	reader->len -= message;
	return true;
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "script"))
		return script__run(argc - 2, argv + 2);
	if (argc > 2 && !strcmp(argv[1], "stress"))
		return stress__run(argc - 2, argv + 2);
	if (argc > 3 && !strcmp(argv[1], "blocked"))
		return blocked__run(argc - 2, argv + 2);
	if (argc > 2 && !strcmp(argv[1], "short"))
		return short__run(argc - 2, argv + 2);
	if (argc > 1 && !strcmp(argv[1], "bypass"))
		return bypass__run(argc - 2, argv + 2);
	if (argc > 3 && !strcmp(argv[1], "busy"))
		return busy__run(argc - 2, argv + 2);
	fprintf(stderr, "usage: peer script | stress COUNT | blocked THREADS COUNT | short COUNT | "
			"bypass CASE... | busy PAIRS COUNT\n");
	return 2;
}
