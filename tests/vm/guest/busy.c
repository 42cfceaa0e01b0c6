// SPDX-License-Identifier: Apache-2.0
/* Many readers blocked at once, and many processes at full speed whose payloads name themselves. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer.h"

/* Answers every request of one connection with one status until its end. */
static void serve(int fd, unsigned int status)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	char line[1024], text[128];

	if (!reader)
		fail("memory");
	reader->fd = fd;
	snprintf(text, sizeof(text), "HTTP/1.1 %u OK\r\nContent-Length: 2\r\n\r\nok", status);
	while (peer__read(reader, &plain_call, line, sizeof(line)))
		peer__put(fd, &plain_call, text, strlen(text));
	close(fd);
	free(reader);
}

static void ask(struct reader *reader, const char *text)
{
	char line[256];

	peer__put(reader->fd, &plain_call, text, strlen(text));
	if (!peer__read(reader, &plain_call, line, sizeof(line)))
		fail("response cut off");
}

static void *serve_thread(void *arg)
{
	serve((int)(intptr_t)arg, 200);
	return NULL;
}

static void serve_threads(int listener, unsigned int threads)
{
	pthread_t *thread = calloc(threads, sizeof(*thread));

	for (unsigned int i = 0; thread && i < threads; i++)
		if (pthread_create(&thread[i], NULL, serve_thread,
				   (void *)(intptr_t)peer__accept(listener)))
			fail("pthread_create");
	for (unsigned int i = 0; thread && i < threads; i++)
		pthread_join(thread[i], NULL);
	free(thread);
}

/*
 * peer blocked THREADS COUNT [unix]: each thread of the server waits in read; one client asks
 * them in turn, so that all the others are asleep inside the kernel meanwhile.
 */
int blocked__run(int argc, char **argv)
{
	unsigned int threads = (unsigned int)atoi(argv[0]), count = (unsigned int)atoi(argv[1]);
	enum family family = argc > 2 && !strcmp(argv[2], "unix") ? FAMILY_UNIX : FAMILY_TCP4;
	struct reader *readers = calloc(threads, sizeof(*readers));
	char where[128], text[256];
	int listener = peer__listen(family, where, sizeof(where)), status = 1;
	pid_t child = fork();

	if (child == 0) {
		serve_threads(listener, threads);
		exit(0);
	}
	if (!readers)
		fail("memory");
	for (unsigned int i = 0; i < threads; i++)
		readers[i].fd = peer__connect(family, where);
	for (unsigned int n = 0; n < count; n++) {
		snprintf(text, sizeof(text), "GET /blocked/%s/%u HTTP/1.1\r\nHost: peer\r\n\r\n",
			 family_name[family], n);
		ask(&readers[n % threads], text);
		printf("GET /blocked/%s/%u 200\n", family_name[family], n);
	}
	for (unsigned int i = 0; i < threads; i++)
		close(readers[i].fd);
	waitpid(child, &status, 0);
	if (family == FAMILY_UNIX)
		unlink(where);
	free(readers);
	return status ? 1 : 0;
}

static void busy_client(const char *where, unsigned int pair, unsigned int server,
			unsigned int count)
{
	struct reader *reader = calloc(1, sizeof(*reader));
	unsigned int client = (unsigned int)getpid();
	char text[1024], fill[600];

	if (!reader)
		fail("memory");
	reader->fd = peer__connect(FAMILY_TCP4, where);
	for (unsigned int n = 0; n < count; n++) {
		/* From the smallest size class to past the third, each filled with the pair's own letter. */
		size_t len = 20 + (n * 37u) % 560;

		memset(fill, 'a' + (int)(pair % 26), len);
		fill[len] = '\0';
		snprintf(text, sizeof(text),
			 "GET /busy/%u/%u/%u/%u/%08x/%s HTTP/1.1\r\nHost: peer\r\n\r\n", pair,
			 client, server, n, busy__check(pair, client, server, n), fill);
		ask(reader, text);
	}
	close(reader->fd);
	free(reader);
}

/* peer busy PAIRS COUNT: prints nothing; the paths and statuses say what belongs together. */
int busy__run(int argc, char **argv)
{
	unsigned int pairs = (unsigned int)atoi(argv[0]), count = (unsigned int)atoi(argv[1]);
	int ret = 0, status;

	(void)argc;
	for (unsigned int pair = 0; pair < pairs; pair++) {
		char where[128];
		int listener = peer__listen(FAMILY_TCP4, where, sizeof(where));
		pid_t server = fork();

		if (server == 0) {
			serve(peer__accept(listener), 210 + pair);
			exit(0);
		}
		close(listener);
		if (fork() == 0) {
			busy_client(where, pair, (unsigned int)server, count);
			exit(0);
		}
	}
	while (wait(&status) > 0)
		if (status)
			ret = 1;
	return ret;
}
