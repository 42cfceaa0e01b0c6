/* SPDX-License-Identifier: Apache-2.0 */
/*
 * calls: every way in which a program reads and writes a socket, one HTTP/1 exchange each, over
 * loopback in one process. Deterministic: for comparing what the tiers of the kernel side see.
 *
 *   calls [-u] [CASE…]     -u: Unix sockets instead of TCP; default: all cases
 *
 * Requests name their case (GET /CASE/N), responses carry it too, so foreign bytes show.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static bool use_unix;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void pair_tcp(int pair[2])
{
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(listener, (struct sockaddr *)&at, len) || listen(listener, 8) ||
	    getsockname(listener, (struct sockaddr *)&at, &len))
		die("listen");
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(pair[0], (struct sockaddr *)&at, len))
		die("connect");
	pair[1] = accept(listener, NULL, NULL);
	if (pair[1] < 0)
		die("accept");
	close(listener);
}

/* pair[0] is the client's end. */
static void pair_make(int pair[2])
{
	if (!use_unix)
		pair_tcp(pair);
	else if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
}

static void read_all(int fd, size_t n)
{
	char buf[65536];

	while (n) {
		ssize_t got = read(fd, buf, n < sizeof(buf) ? n : sizeof(buf));

		if (got <= 0)
			die("read");
		n -= got;
	}
}

static void write_all(int fd, const char *s, size_t n)
{
	while (n) {
		ssize_t put = write(fd, s, n);

		if (put <= 0)
			die("write");
		s += put;
		n -= put;
	}
}

static size_t request(char *to, const char *name, int n)
{
	return sprintf(to, "GET /%s/%d HTTP/1.1\r\nHost: calls\r\n\r\n", name, n);
}

static size_t response(char *to, const char *name, int n, size_t body)
{
	return sprintf(to, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nX-Case: %s-%d\r\n\r\n", body,
		       name, n);
}

/* The plain other side of a case. */
static void answer(int fd, const char *name, int n)
{
	char buf[512];
	size_t len = response(buf, name, n, 2);

	memcpy(buf + len, "ok", 2);
	write_all(fd, buf, len + 2);
}

static void case_plain(int p[2], const char *name)
{
	char req[512];

	for (int i = 0; i < 3; i++) {
		size_t n = request(req, name, i);

		write_all(p[0], req, n);
		read_all(p[1], n);
		answer(p[1], name, i);
		read(p[0], req, sizeof(req));
	}
}

static void case_writev(int p[2], const char *name)
{
	char req[512], got[3][200];
	size_t n = request(req, name, 0);
	struct iovec out[3] = { { req, 5 }, { req + 5, 11 }, { req + 16, n - 16 } };
	struct iovec in[3] = { { got[0], 4 }, { got[1], 20 }, { got[2], 200 } };

	if (writev(p[0], out, 3) != (ssize_t)n || readv(p[1], in, 3) != (ssize_t)n)
		die(name);
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
}

static void case_sendmsg(int p[2], const char *name)
{
	char req[512], got[512];
	size_t n = request(req, name, 0);
	struct iovec out = { req, n }, in[2] = { { got, 7 }, { got + 7, 500 } };
	struct msghdr mo = { .msg_iov = &out, .msg_iovlen = 1 };
	struct msghdr mi = { .msg_iov = in, .msg_iovlen = 2 };

	if (sendmsg(p[0], &mo, 0) != (ssize_t)n || recvmsg(p[1], &mi, 0) != (ssize_t)n)
		die(name);
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
}

static void case_sendmmsg(int p[2], const char *name)
{
	char req[3][512], got[512];
	struct mmsghdr m[3] = {};
	struct iovec v[3];
	size_t all = 0;

	for (int i = 0; i < 3; i++) {
		v[i] = (struct iovec){ req[i], request(req[i], name, i) };
		all += v[i].iov_len;
		m[i].msg_hdr.msg_iov = &v[i];
		m[i].msg_hdr.msg_iovlen = 1;
	}
	if (sendmmsg(p[0], m, 3, 0) != 3)
		die(name);
	read_all(p[1], all);
	for (int i = 0; i < 3; i++)
		answer(p[1], name, i);
	read(p[0], got, sizeof(got));
}

static void case_peek(int p[2], const char *name)
{
	char req[512], got[512];
	size_t n = request(req, name, 0);

	write_all(p[0], req, n);
	if (recv(p[1], got, sizeof(got), MSG_PEEK) != (ssize_t)n)
		die(name);
	read_all(p[1], n);
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
}

static void case_trunc(int p[2], const char *name)
{
	char req[512], got[512];
	size_t n = request(req, name, 0);

	write_all(p[0], req, n);
	read_all(p[1], n);
	answer(p[1], name, 0);
	memset(got, 'x', sizeof(got));
	if (recv(p[0], got, sizeof(got), use_unix ? 0 : MSG_TRUNC) <= 0)
		die(name);
}

static void case_bytes(int p[2], const char *name)
{
	char req[512];
	size_t n = request(req, name, 0);

	for (size_t i = 0; i < n; i++) {
		write_all(p[0], req + i, 1);
		read_all(p[1], 1);
	}
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
}

static void case_bighead(int p[2], const char *name)
{
	static char req[20000];
	size_t n = sprintf(req, "GET /%s/0 HTTP/1.1\r\nHost: calls\r\nX-Fill: ", name);

	memset(req + n, 'f', 15000);
	n += 15000;
	n += sprintf(req + n, "\r\nX-Last: yes\r\n\r\n");
	write_all(p[0], req, n);
	read_all(p[1], n);
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
}

static void case_sendfile(int p[2], const char *name)
{
	char req[512], path[] = "/tmp/calls.XXXXXX";
	size_t n = request(req, name, 0);
	int file = mkstemp(path), len;

	unlink(path);
	write_all(p[0], req, n);
	read_all(p[1], n);
	if (ftruncate(file, 100000))
		die("ftruncate");
	len = response(req, name, 0, 100000);
	write_all(p[1], req, len);
	for (off_t at = 0; at < 100000;) {
		ssize_t sent = sendfile(p[1], file, &at, 30000);

		if (sent <= 0)
			die("sendfile");
		read_all(p[0], sent + len);
		len = 0;
	}
	close(file);
}

static void case_splice(int p[2], const char *name)
{
	char req[512];
	size_t n = request(req, name, 0);
	int pipe_fds[2];

	if (pipe(pipe_fds))
		die("pipe");
	write_all(p[0], req, n);
	if (splice(p[1], NULL, pipe_fds[1], NULL, n, 0) != (ssize_t)n)
		die("splice");
	read_all(pipe_fds[0], n);
	answer(p[1], name, 0);
	read(p[0], req, sizeof(req));
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void case_chunked(int p[2], const char *name)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
	static char body[5000];
	char req[512];
	size_t n = request(req, name, 0);

	write_all(p[0], req, n);
	read_all(p[1], n);
	write_all(p[1], head, sizeof(head) - 1);
	n = sprintf(body, "fa0\r\n");
	memset(body + n, 'c', 4000);
	n += 4000;
	write_all(p[1], body, n);
	write_all(p[1], "\r\n0\r\n\r\n", 7);
	read_all(p[0], sizeof(head) - 1 + n + 7);
}

static void case_continue(int p[2], const char *name)
{
	char buf[512];
	int n = sprintf(buf,
			"POST /%s/0 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
			name);

	write_all(p[0], buf, n);
	read_all(p[1], n);
	write_all(p[1], "HTTP/1.1 100 Continue\r\n\r\n", 25);
	read_all(p[0], 25);
	write_all(p[0], "GET ", 4); /* a body that looks like a request */
	read_all(p[1], 4);
	answer(p[1], name, 0);
	read(p[0], buf, sizeof(buf));
}

static void case_pipeline(int p[2], const char *name)
{
	char req[2048], got[2048];
	size_t n = 0;

	for (int i = 0; i < 5; i++)
		n += request(req + n, name, i);
	write_all(p[0], req, n);
	read_all(p[1], n);
	for (int i = 0; i < 5; i++)
		answer(p[1], name, i);
	read(p[0], got, sizeof(got));
}

struct blocked {
	int fd, number;
};

static void *blocked_main(void *arg)
{
	struct blocked *b = arg;
	char buf[512];

	for (int i = 0; i < 10; i++) {
		ssize_t n = read(b->fd, buf, sizeof(buf));

		if (n <= 0)
			die("blocked read");
		answer(b->fd, "blocked", b->number * 100 + i);
	}
	return NULL;
}

static void case_blocked(int unused[2], const char *name)
{
	static struct blocked b[40];
	static int pairs[40][2];
	pthread_t threads[40];
	char req[512];

	(void)unused;
	for (int i = 0; i < 40; i++) {
		pair_make(pairs[i]);
		b[i] = (struct blocked){ pairs[i][1], i };
		if (pthread_create(&threads[i], NULL, blocked_main, &b[i]))
			die("pthread_create");
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 40; i++) {
			size_t n = request(req, name, i * 100 + round);

			write_all(pairs[i][0], req, n);
		}
		for (int i = 0; i < 40; i++)
			read(pairs[i][0], req, sizeof(req));
	}
	for (int i = 0; i < 40; i++) {
		pthread_join(threads[i], NULL);
		close(pairs[i][0]);
		close(pairs[i][1]);
	}
}

static const struct {
	const char *name;
	void (*run)(int pair[2], const char *name);
} cases[] = {
	{ "plain", case_plain },       { "writev", case_writev },   { "sendmsg", case_sendmsg },
	{ "sendmmsg", case_sendmmsg }, { "peek", case_peek },	    { "trunc", case_trunc },
	{ "bytes", case_bytes },       { "bighead", case_bighead }, { "sendfile", case_sendfile },
	{ "splice", case_splice },     { "chunked", case_chunked }, { "continue", case_continue },
	{ "pipeline", case_pipeline }, { "blocked", case_blocked },
};

int main(int argc, char **argv)
{
	int opt;

	signal(SIGPIPE, SIG_IGN);
	while ((opt = getopt(argc, argv, "u")) != -1) {
		if (opt != 'u')
			return 2;
		use_unix = true;
	}
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool wanted = optind == argc;
		int pair[2];

		for (int a = optind; a < argc; a++)
			wanted |= !strcmp(argv[a], cases[i].name);
		if (!wanted)
			continue;
		pair_make(pair);
		cases[i].run(pair, cases[i].name);
		close(pair[0]);
		close(pair[1]);
	}
	return 0;
}
