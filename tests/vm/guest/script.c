// SPDX-License-Identifier: Apache-2.0
/*
 * The deterministic script: both ends walk through the same list in step, two processes. Each line
 * on standard output is what a tracer should have seen, twice (client and server):
 *
 *   METHOD PATH STATUS [REASON]     REASON: a tier may be blind here; then the account says why
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

/* Messages beyond the plain one: what is sent as it stands, and what is to be expected. */
struct shape {
	const char *name, *method;
	unsigned int status;
	const char *request_rest;  /* after the request line */
	const char *response_rest; /* after the status line's number */
};

static const struct shape shapes[] = {
	{ "get", "GET", 200, "\r\n", " OK\r\nContent-Length: 2\r\n\r\nok" },
	{ "post", "POST", 201, "Content-Length: 5\r\n\r\nhello",
	  " Created\r\nContent-Length: 0\r\n\r\n" },
	{ "request-in-body", "POST", 200,
	  "Content-Length: 31\r\n\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n",
	  " OK\r\nContent-Length: 0\r\n\r\n" },
	{ "response-in-body", "GET", 404, "\r\n",
	  " Not Found\r\nContent-Length: 38\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" },
	{ "no-content", "DELETE", 204, "\r\n", " No Content\r\n\r\n" },
	{ "error", "PUT", 503, "Content-Length: 1\r\n\r\nx",
	  " Busy\r\nContent-Length: 1\r\n\r\n-" },
};

static void end_of(struct reader *reader)
{
	close(reader->fd);
	free(reader);
}

static struct reader *reader_of(int fd)
{
	struct reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		fail("memory");
	reader->fd = fd;
	return reader;
}

static void make_request(char *text, size_t len, const char *path, const struct shape *shape)
{
	snprintf(text, len, "%s %s HTTP/1.1\r\nHost: peer\r\nUser-Agent: peer\r\n%s", shape->method,
		 path, shape->request_rest);
}

static void make_response(char *text, size_t len, const struct shape *shape)
{
	snprintf(text, len, "HTTP/1.1 %u%s", shape->status, shape->response_rest);
}

/* One end of one exchange: the client writes, then reads; the server the other way round. */
static void exchange(bool server, struct reader *reader, const struct call *call, const char *path,
		     const struct shape *shape)
{
	/* Own memory for each direction: bytes that are still on their way must not change. */
	static char out[4096];
	char line[512], want[512];

	if (server) {
		if (!peer__read(reader, call, line, sizeof(line)))
			fail("request cut off");
		snprintf(want, sizeof(want), "%s %s HTTP/1.1", shape->method, path);
		if (strcmp(line, want))
			fail("unexpected request");
		make_response(out, sizeof(out), shape);
		peer__put(reader->fd, call, out, strlen(out));
	} else {
		make_request(out, sizeof(out), path, shape);
		peer__put(reader->fd, call, out, strlen(out));
		if (!peer__read(reader, call, line, sizeof(line)))
			fail("response cut off");
		printf("%s %s %u%s%s\n", shape->method, path, shape->status,
		       call->unseen ? " " : "", call->unseen ? call->unseen : "");
	}
}

/* Two requests in one write, answered in one. */
static void pipelined(bool server, enum family family, struct reader *reader)
{
	char text[2048], line[512];
	int len = 0;

	for (int i = 0; i < 2; i++) {
		if (server)
			len += snprintf(text + len, sizeof(text) - (size_t)len,
					"HTTP/1.1 %d OK\r\nContent-Length: 1\r\n\r\n%d", 200 + i,
					i);
		else
			len += snprintf(text + len, sizeof(text) - (size_t)len,
					"GET /%s/pipelined/%d HTTP/1.1\r\nHost: peer\r\n\r\n",
					family_name[family], i);
	}
	if (!server)
		peer__put(reader->fd, &plain_call, text, (size_t)len);
	for (int i = 0; i < 2; i++)
		if (!peer__read(reader, &plain_call, line, sizeof(line)))
			fail("pipelining");
	if (server)
		peer__put(reader->fd, &plain_call, text, (size_t)len);
	else
		for (int i = 0; i < 2; i++)
			printf("GET /%s/pipelined/%d %d\n", family_name[family], i, 200 + i);
}

static void walk(bool server, enum family family, int listener, const char *where)
{
	char path[256];
	struct reader *reader;

	/* One kept connection for all shapes and for all calls; then a connection a call. */
	reader = reader_of(server ? peer__accept(listener) : peer__connect(family, where));
	for (unsigned int i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		snprintf(path, sizeof(path), "/%s/shape/%s", family_name[family], shapes[i].name);
		exchange(server, reader, &plain_call, path, &shapes[i]);
	}
	pipelined(server, family, reader);
	for (unsigned int i = 0; i < n_calls; i++) {
		if (calls[i].unseen || (calls[i].tcp_only && family == FAMILY_UNIX))
			continue;
		snprintf(path, sizeof(path), "/%s/kept/%s", family_name[family], calls[i].name);
		exchange(server, reader, &calls[i], path, &shapes[0]);
	}
	end_of(reader);
	for (unsigned int i = 0; i < n_calls; i++) {
		if ((calls[i].works && !calls[i].works()) ||
		    (calls[i].tcp_only && family == FAMILY_UNIX))
			continue;
		reader = reader_of(server ? peer__accept(listener) : peer__connect(family, where));
		snprintf(path, sizeof(path), "/%s/own/%s", family_name[family], calls[i].name);
		exchange(server, reader, &calls[i], path, &shapes[0]);
		end_of(reader);
	}
}

/*
 * The ways that have most to race for: a request in pieces, or one that is looked at before it is
 * read; an answer in two calls of different kinds.
 */
static const char *const stress_calls[] = { "lines", "write-read", "sendfile",
					    "peek",  "splice",	   "nonblocking" };

static const struct call *call_named(const char *name)
{
	for (unsigned int i = 0; i < n_calls; i++)
		if (!strcmp(calls[i].name, name))
			return &calls[i];
	return NULL;
}

/* A connection an exchange: the first bytes arrive while the server is about to read, or not yet. */
static void stress(bool server, enum family family, int listener, const char *where,
		   unsigned int count)
{
	const unsigned int n_ways = sizeof(stress_calls) / sizeof(stress_calls[0]);
	struct reader *reader = reader_of(-1);

	for (unsigned int i = 0; i < count; i++) {
		const char *way = stress_calls[i % n_ways];
		char path[256];

		reader->len = 0;
		reader->fd = server ? peer__accept(listener) : peer__connect(family, where);
		snprintf(path, sizeof(path), "/%s/stress/%s/%u", family_name[family], way, i);
		if (!server)
			for (volatile unsigned int wait = i * 37 % 64 * 50; wait; wait--)
				;
		exchange(server, reader, call_named(way), path, &shapes[0]);
		close(reader->fd);
	}
	free(reader);
}

int stress__run(int argc, char **argv)
{
	unsigned int count = argc > 0 ? (unsigned int)atoi(argv[0]) : 0;
	int status = 0, ret = 0;

	for (enum family family = FAMILY_TCP4; family <= FAMILY_TCP6; family++) {
		char where[128];
		int listener = peer__listen(family, where, sizeof(where));
		pid_t child = fork();

		if (child == 0) {
			stress(true, family, listener, where, count);
			exit(0);
		}
		stress(false, family, -1, where, count);
		if (waitpid(child, &status, 0) != child || status)
			ret = 1;
		close(listener);
	}
	return ret;
}

int script__run(int argc, char **argv)
{
	bool only_tcp = argc > 0 && !strcmp(argv[0], "tcp");
	int status = 0, ret = 0;

	for (enum family family = 0; family < FAMILIES; family++) {
		char where[128];
		int listener;
		pid_t child;

		if (only_tcp && family == FAMILY_UNIX)
			continue;
		listener = peer__listen(family, where, sizeof(where));
		child = fork();
		if (child == 0) {
			walk(true, family, listener, where);
			exit(0);
		}
		walk(false, family, -1, where);
		if (waitpid(child, &status, 0) != child || status)
			ret = 1;
		close(listener);
		if (family == FAMILY_UNIX)
			unlink(where);
	}
	return ret;
}
