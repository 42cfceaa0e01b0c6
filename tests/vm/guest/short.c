// SPDX-License-Identifier: Apache-2.0
/*
 * Many short connections, one after the other, each with one exchange:
 *
 *   peer short COUNT [unix|tcp4] [plain|byte|close]    byte: both ends read a byte a call
 *                                                      close: a body that ends with the connection
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

static ssize_t read_byte(int fd, void *bytes, size_t len)
{
	return read(fd, bytes, len ? 1 : 0);
}

static ssize_t write_all(int fd, const void *bytes, size_t len)
{
	return write(fd, bytes, len);
}

static const struct call byte_call = { .name = "byte", .put = write_all, .get = read_byte };

static void serve(int listener, unsigned int count, const struct call *call, bool closes)
{
	static const char *const answer[] = { "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
					      "HTTP/1.0 200 OK\r\n\r\nok" };
	static struct reader reader;
	char line[512];

	for (unsigned int n = 0; n < count; n++) {
		reader.fd = peer__accept(listener);
		reader.len = 0;
		if (!peer__read(&reader, call, line, sizeof(line)))
			fail("request cut off");
		peer__put(reader.fd, call, answer[closes], strlen(answer[closes]));
		close(reader.fd);
	}
}

static void ask(enum family family, const char *where, unsigned int n, const struct call *call,
		bool closes)
{
	static struct reader reader;
	char text[256], line[512];

	reader.fd = peer__connect(family, where);
	reader.len = 0;
	snprintf(text, sizeof(text), "GET /short/%s/%u HTTP/1.%d\r\nHost: peer\r\n\r\n",
		 family_name[family], n, !closes);
	peer__put(reader.fd, call, text, strlen(text));
	if (!peer__read(&reader, call, line, sizeof(line)))
		fail("response cut off");
	while (closes && call->get(reader.fd, line, sizeof(line)) > 0)
		;
	close(reader.fd);
	printf("GET /short/%s/%u 200\n", family_name[family], n);
}

int short__run(int argc, char **argv)
{
	unsigned int count = (unsigned int)atoi(argv[0]);
	enum family family = argc > 1 && !strcmp(argv[1], "unix") ? FAMILY_UNIX : FAMILY_TCP4;
	const struct call *call = argc > 2 && !strcmp(argv[2], "byte") ? &byte_call : &plain_call;
	bool closes = argc > 2 && !strcmp(argv[2], "close");
	char where[128];
	int listener = peer__listen(family, where, sizeof(where)), status = 1;
	pid_t child = fork();

	if (child == 0) {
		serve(listener, count, call, closes);
		exit(0);
	}
	for (unsigned int n = 0; n < count; n++)
		ask(family, where, n, call, closes);
	waitpid(child, &status, 0);
	if (family == FAMILY_UNIX)
		unlink(where);
	return status ? 1 : 0;
}
