/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load: what the bench puts on the wire, in exactly the calls and at exactly the rate that it asks for.
 *
 *   load pair KIND         two processes and one connection between them. Commands on standard input:
 *                          N, so many rounds over a new connection. KIND:
 *     pingpong               64 bytes there and back, of no protocol
 *     http                   a request of a head, a response of a head, one call each: four heads seen
 *     stream                 one response whose body is N calls of 1 KiB
 *   load paced PORTS CONNECTIONS [PATH]
 *                          asks HTTP servers on loopback (ports: 8080,8081,...). Commands:
 *     RATE MS                so many requests a second for so long, over the connections in turn
 *     once                   one request on each connection
 *   load servers N         N processes, each with an HTTP server of its own
 *
 * Says "ready" with the pids (pair), the connections (paced) or the ports and pids (servers), then one
 * line a command; ends with standard input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PING_BYTES 64
#define PIECE_BYTES 1024
#define EVENTS 256
#define PORTS_MAX 1024
/* Of one address of loopback: those that the kernel has for outgoing connections are 28,000. */
#define CONNECTIONS_AN_ADDRESS 20000
/* Not woken more often than this: what is due until then goes together. */
#define GRAIN_NS 200000

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static const char request[] = "GET /some/path HTTP/1.1\r\nHost: 127.0.0.1\r\n"
			      "User-Agent: load\r\nAccept: */*\r\n\r\n";
static const char response[] = "HTTP/1.1 200 OK\r\nServer: load\r\nContent-Type: text/plain\r\n"
			       "Content-Length: 0\r\n\r\n";

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int listen_on(uint16_t *ret_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) || listen(fd, 128) ||
	    getsockname(fd, (struct sockaddr *)&at, &len))
		die("listen");
	*ret_port = ntohs(at.sin_port);
	return fd;
}

/* Each process has 254 addresses of loopback to itself: the ports of one are 28,000. */
static int connect_to(uint16_t port, unsigned int nth)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	from.sin_addr.s_addr = htonl(127u << 24 | (1u + ((uint32_t)getpid() & 0xfffe)) << 8 |
				     (1u + nth / CONNECTIONS_AN_ADDRESS));
	if (fd < 0)
		die("socket");
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die("connect");
	no_delay(fd);
	return fd;
}

static void put(int fd, const void *bytes, size_t len)
{
	if (send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		die("send");
}

static bool get(int fd, char *to, size_t len)
{
	size_t had = 0;

	while (had < len) {
		ssize_t n = recv(fd, to + had, len - had, 0);

		if (n < 0)
			die("recv");
		if (!n)
			return false;
		had += (size_t)n;
	}
	return true;
}

/* Reads the head of a message that has come as a whole, and the length of its body. */
static bool get_head(int fd, char *to, size_t room, size_t *ret_had, uint64_t *ret_left)
{
	ssize_t n = recv(fd, to, room - 1, 0);
	char *end, *field;

	if (n <= 0)
		return false;
	to[n] = 0;
	end = strstr(to, "\r\n\r\n");
	if (!end) {
		errno = EPROTO;
		die("a head in pieces");
	}
	field = strcasestr(to, "\r\nContent-Length:");
	*ret_left = field && field < end ? strtoull(field + 17, NULL, 10) : 0;
	*ret_had = (size_t)(n - (end + 4 - to));
	return true;
}

/* The server's side of a pair: the rounds are the client's to count, but for the stream's. */
static void serve_pair(const char *kind, int listener)
{
	char bytes[4096], piece[PIECE_BYTES] = { 0 };
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		size_t had;
		uint64_t left;

		no_delay(fd);
		if (!strcmp(kind, "pingpong")) {
			while (get(fd, bytes, PING_BYTES))
				put(fd, bytes, PING_BYTES);
		} else if (!strcmp(kind, "http")) {
			while (get_head(fd, bytes, sizeof(bytes), &had, &left))
				put(fd, response, sizeof(response) - 1);
		} else if (get_head(fd, bytes, sizeof(bytes), &had, &left)) {
			uint64_t rounds = strtoull(bytes + strlen("GET /"), NULL, 10);
			int len = snprintf(bytes, sizeof(bytes),
					   "HTTP/1.1 200 OK\r\nContent-Length: %" PRIu64 "\r\n\r\n",
					   rounds * PIECE_BYTES);

			put(fd, bytes, (size_t)len);
			while (rounds--)
				put(fd, piece, PIECE_BYTES);
			/* Not closed before the other one has read it all. */
			while (recv(fd, bytes, sizeof(bytes), 0) > 0)
				;
		}
		close(fd);
	}
}

static void run_stream(int fd, uint64_t rounds)
{
	char bytes[PIECE_BYTES];
	uint64_t left;
	size_t had;
	int len = snprintf(bytes, sizeof(bytes), "GET /%" PRIu64 " HTTP/1.1\r\nHost: a\r\n\r\n",
			   rounds);

	put(fd, bytes, (size_t)len);
	if (!get_head(fd, bytes, sizeof(bytes), &had, &left))
		die("no head");
	for (left -= had; left;) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

		if (n <= 0)
			die("a body that ends too soon");
		left -= (uint64_t)n;
	}
}

static void run_pair(const char *kind, uint16_t port, uint64_t rounds)
{
	char bytes[4096] = { 0 };
	int fd = connect_to(port, 0);
	uint64_t begin = now_ns(), left;
	size_t had;

	if (!strcmp(kind, "stream"))
		run_stream(fd, rounds);
	else
		for (uint64_t i = 0; i < rounds; i++) {
			if (!strcmp(kind, "pingpong")) {
				put(fd, bytes, PING_BYTES);
				if (!get(fd, bytes, PING_BYTES))
					die("no pong");
			} else {
				put(fd, request, sizeof(request) - 1);
				if (!get_head(fd, bytes, sizeof(bytes), &had, &left))
					die("no response");
			}
		}
	printf("rounds %" PRIu64 " ns %" PRIu64 "\n", rounds, now_ns() - begin);
	fflush(stdout);
	close(fd);
}

static int pair(const char *kind)
{
	uint16_t port;
	int listener = listen_on(&port);
	pid_t server = fork();
	char line[64];

	if (server < 0)
		die("fork");
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_pair(kind, listener);
		_exit(0);
	}
	printf("ready %d %d\n", getpid(), server);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin))
		run_pair(kind, port, strtoull(line, NULL, 10));
	kill(server, SIGKILL);
	waitpid(server, NULL, 0);
	return 0;
}

struct peer {
	int fd;
	bool busy;
	uint64_t left; /* of the response's body */
};

static struct {
	struct peer *peers;
	unsigned int n, next, busy;
	int epoll;
	char ask[256];
	size_t ask_len;
	uint64_t answered;
} paced;

static bool ask_next(void)
{
	for (unsigned int tries = 0; tries < paced.n; tries++) {
		struct peer *peer = &paced.peers[paced.next++ % paced.n];

		if (peer->busy)
			continue;
		peer->busy = true;
		paced.busy++;
		put(peer->fd, paced.ask, paced.ask_len);
		return true;
	}
	return false;
}

static void take(struct peer *peer)
{
	static char bytes[1 << 20];
	ssize_t n;

	if (!peer->left) {
		size_t had;

		if (!get_head(peer->fd, bytes, sizeof(bytes), &had, &peer->left))
			die("a server that closes");
		peer->left -= had;
	} else {
		n = recv(peer->fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			die("a server that closes");
		peer->left -= (uint64_t)n;
	}
	if (!peer->left) {
		peer->busy = false;
		paced.busy--;
		paced.answered++;
	}
}

static void wait_and_take(uint64_t ns)
{
	struct timespec t = { (time_t)(ns / 1000000000), (long)(ns % 1000000000) };
	struct epoll_event events[EVENTS];
	int n = epoll_pwait2(paced.epoll, events, EVENTS, &t, NULL);

	for (int i = 0; i < n; i++)
		take(events[i].data.ptr);
}

static void finish_busy(void)
{
	uint64_t end = now_ns() + 30000000000;

	while (paced.busy && now_ns() < end)
		wait_and_take(100000000);
	if (paced.busy) {
		errno = ETIMEDOUT;
		die("no answer");
	}
}

static void run_paced(double rate, uint64_t ms)
{
	uint64_t begin = now_ns(), now = begin, end = begin + ms * 1000000, asked = 0, late = 0;

	paced.answered = 0;
	while (now < end) {
		uint64_t due = (uint64_t)((double)(now - begin) * rate / 1e9) + 1, next;

		for (; asked < due; asked++)
			if (!ask_next()) {
				/* All wait for an answer: these are not made up for. */
				late += due - asked;
				asked = due;
				break;
			}
		next = begin + (uint64_t)((double)asked / rate * 1e9);
		now = now_ns();
		if (next > end)
			next = end;
		wait_and_take(next > now + GRAIN_NS ? next - now : GRAIN_NS);
		now = now_ns();
	}
	finish_busy();
	printf("requests %" PRIu64 " ns %" PRIu64 " late %" PRIu64 "\n", paced.answered,
	       now_ns() - begin, late);
	fflush(stdout);
}

static void once(void)
{
	uint64_t begin = now_ns();

	paced.answered = 0;
	for (unsigned int i = 0; i < paced.n; i++) {
		ask_next();
		wait_and_take(paced.busy >= EVENTS ? 10000000 : 0);
	}
	finish_busy();
	printf("requests %" PRIu64 " ns %" PRIu64 " late 0\n", paced.answered, now_ns() - begin);
	fflush(stdout);
}

static unsigned int read_ports(char *text, uint16_t ports[PORTS_MAX])
{
	unsigned int n = 0;

	for (char *word = strtok(text, ","); word && n < PORTS_MAX; word = strtok(NULL, ","))
		ports[n++] = (uint16_t)atoi(word);
	return n;
}

static int pace(char *ports_text, unsigned int connections, const char *path)
{
	uint16_t ports[PORTS_MAX];
	unsigned int n_ports = read_ports(ports_text, ports);
	char line[64];

	paced.peers = calloc(connections, sizeof(*paced.peers));
	paced.n = connections;
	paced.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!paced.peers || !n_ports || paced.epoll < 0)
		die("paced");
	paced.ask_len =
		(size_t)snprintf(paced.ask, sizeof(paced.ask),
				 "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", path, ports[0]);
	for (unsigned int i = 0; i < connections; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &paced.peers[i] };

		paced.peers[i].fd = connect_to(ports[i % n_ports], i);
		if (epoll_ctl(paced.epoll, EPOLL_CTL_ADD, paced.peers[i].fd, &event))
			die("epoll_ctl");
	}
	printf("ready %u\n", connections);
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		double rate;
		uint64_t ms;

		if (!strcmp(line, "once\n"))
			once();
		else if (sscanf(line, "%lf %" SCNu64, &rate, &ms) == 2 && rate > 0)
			run_paced(rate, ms);
		else
			return 2;
	}
	return 0;
}

static void serve(int listener)
{
	char bytes[4096];
	int fd;

	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		size_t had;
		uint64_t left;

		no_delay(fd);
		while (get_head(fd, bytes, sizeof(bytes), &had, &left))
			put(fd, response, sizeof(response) - 1);
		close(fd);
	}
}

static int servers(unsigned int n)
{
	pid_t *pids = calloc(n, sizeof(*pids));
	char byte;

	if (!pids)
		die("servers");
	printf("ready");
	for (unsigned int i = 0; i < n; i++) {
		uint16_t port;
		int listener = listen_on(&port);

		fflush(stdout);
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			serve(listener);
			_exit(0);
		}
		close(listener);
		printf(" %u:%d", port, pids[i]);
	}
	printf("\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	for (unsigned int i = 0; i < n; i++)
		kill(pids[i], SIGKILL);
	while (wait(NULL) > 0)
		;
	free(pids);
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files = { 1 << 20, 1 << 20 };

	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 3 && !strcmp(argv[1], "pair") &&
	    (!strcmp(argv[2], "pingpong") || !strcmp(argv[2], "http") ||
	     !strcmp(argv[2], "stream")))
		return pair(argv[2]);
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "paced") && atoi(argv[3]) > 0)
		return pace(argv[2], (unsigned int)atoi(argv[3]), argc == 5 ? argv[4] : "/");
	if (argc == 3 && !strcmp(argv[1], "servers") && atoi(argv[2]) > 0)
		return servers((unsigned int)atoi(argv[2]));
	fprintf(stderr, "usage: load pair pingpong|http|stream\n"
			"       load paced PORT[,PORT...] CONNECTIONS [PATH]\n"
			"       load servers N\n");
	return 2;
}
