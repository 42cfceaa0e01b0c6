/* SPDX-License-Identifier: Apache-2.0 */
/*
 * otlp_sink: the cheapest backend that acknowledges, for measuring what exporting costs. Takes OTLP
 * over HTTP/1.1 with keep-alive, has the kernel throw away every body (a copy of it would be the backend's
 * cost, on another machine), and answers 200 with an empty ExportTraceServiceResponse: no bytes in
 * protobuf, "{}" in JSON (OTLP 1.x, "Full Success").
 *
 *   otlp_sink [PORT]     on loopback; without PORT (or with 0) the kernel chooses
 *
 * Says "listening PORT" when it listens and, at SIGINT or SIGTERM, one line of JSON:
 *   {"requests":N,"bytes":N,"connections":N,"bad":N}
 * "bytes" are of bodies as sent; "bad" counts connections that were closed because their request
 * could not be read (no Content-Length, a head of more than 16 KiB).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX 16384
#define EVENTS 64

struct peer {
	int fd;
	size_t len;	    /* bytes in head */
	uint64_t body_left; /* of the body that is being read */
	bool in_body, json;
	char head[HEAD_MAX];
};

static struct {
	uint64_t requests, bytes, connections, bad;
} count;

/* Of a body, taken at once. */
#define BODY_TAKEN_BYTES (256u << 10)

static void die(const char *what)
{
	fprintf(stderr, "otlp_sink: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The value of a field of the head, up to its end of line; NULL: not there. */
static const char *field(const struct peer *peer, size_t head_len, const char *name)
{
	size_t name_len = strlen(name);

	for (const char *at = peer->head, *end = at + head_len; at < end;) {
		const char *next = memchr(at, '\n', (size_t)(end - at));

		if (!next)
			return NULL;
		at = next + 1;
		if ((size_t)(end - at) > name_len && at[name_len] == ':' &&
		    !strncasecmp(at, name, name_len))
			return at + name_len + 1 + strspn(at + name_len + 1, " \t");
	}
	return NULL;
}

/* Short enough for the socket's buffer: a peer that does not read it is not waited for. */
static bool send_text(const struct peer *peer, const char *text)
{
	size_t len = strlen(text);

	return send(peer->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool answer(struct peer *peer)
{
	count.requests++;
	peer->in_body = false;
	if (peer->json)
		return send_text(peer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				       "Content-Length: 2\r\n\r\n{}");
	return send_text(peer, "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n"
			       "Content-Length: 0\r\n\r\n");
}

/* What of a body lies behind its head is counted and cut off. Returns false where it cannot go on. */
static bool take_head(struct peer *peer, size_t head_len)
{
	const char *length = field(peer, head_len, "content-length");
	const char *type = field(peer, head_len, "content-type");
	const char *expect = field(peer, head_len, "expect");
	size_t n;

	if (!length)
		return false;
	peer->body_left = strtoull(length, NULL, 10);
	peer->json = type && !strncasecmp(type, "application/json", 16);
	n = peer->len - head_len < peer->body_left ? peer->len - head_len : peer->body_left;
	if (expect && !strncasecmp(expect, "100-continue", 12) && n < peer->body_left &&
	    !send_text(peer, "HTTP/1.1 100 Continue\r\n\r\n"))
		return false;
	count.bytes += n;
	peer->body_left -= n;
	peer->len -= head_len + n;
	memmove(peer->head, peer->head + head_len + n, peer->len);
	peer->in_body = true;
	return peer->body_left || answer(peer);
}

/* Everything that is there. Returns false at the end of the connection. */
static bool serve(struct peer *peer)
{
	for (;;) {
		bool in_body = peer->in_body;
		size_t room = in_body ? BODY_TAKEN_BYTES : sizeof(peer->head) - 1 - peer->len;
		char *end;
		ssize_t n;

		if (in_body && room > peer->body_left)
			room = peer->body_left;
		/* tcp(7): MSG_TRUNC takes received bytes and throws them away. */
		n = recv(peer->fd, in_body ? NULL : peer->head + peer->len, room,
			 MSG_DONTWAIT | (in_body ? MSG_TRUNC : 0));
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		if (!n)
			return false;
		if (in_body) {
			count.bytes += (uint64_t)n;
			peer->body_left -= (uint64_t)n;
			if (!peer->body_left && !answer(peer))
				return false;
		} else {
			peer->len += (size_t)n;
		}
		while (!peer->in_body && peer->len) {
			peer->head[peer->len] = '\0';
			end = memmem(peer->head, peer->len, "\r\n\r\n", 4);
			if (end ? !take_head(peer, (size_t)(end - peer->head) + 4) :
				  peer->len == sizeof(peer->head) - 1) {
				count.bad++;
				return false;
			}
			if (!end)
				break;
		}
		if ((size_t)n < room)
			return true;
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(port) };
	socklen_t len = sizeof(at);
	int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&at, len) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&at, &len))
		die("listen");
	printf("listening %u\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static void add(int epoll, int fd, void *arg)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = arg };

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		die("epoll_ctl");
}

static void take(int epoll, int listener)
{
	int on = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct peer *peer = fd < 0 ? NULL : calloc(1, sizeof(*peer));

	if (!peer)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peer->fd = fd;
	count.connections++;
	add(epoll, fd, peer);
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), stop, listener;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	stop = signalfd(-1, &signals, SFD_CLOEXEC);
	if (epoll < 0 || stop < 0)
		die("epoll");
	listener = listen_on((uint16_t)(argc > 1 ? atoi(argv[1]) : 0));
	add(epoll, listener, &listener);
	add(epoll, stop, &stop);
	for (;;) {
		struct epoll_event events[EVENTS];
		int n = epoll_wait(epoll, events, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct peer *peer = events[i].data.ptr;

			if ((void *)peer == &stop) {
				printf("{\"requests\":%" PRIu64 ",\"bytes\":%" PRIu64
				       ",\"connections\":%" PRIu64 ",\"bad\":%" PRIu64 "}\n",
				       count.requests, count.bytes, count.connections, count.bad);
				return 0;
			}
			if ((void *)peer == &listener) {
				take(epoll, listener);
			} else if (!serve(peer)) {
				close(peer->fd);
				free(peer);
			}
		}
	}
}
