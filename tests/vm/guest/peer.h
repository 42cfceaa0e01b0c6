/* SPDX-License-Identifier: Apache-2.0 */
/* The client and server pair of the kernel matrix: what its parts share. */
#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum family { FAMILY_TCP4, FAMILY_TCP6, FAMILY_UNIX, FAMILIES };
extern const char *const family_name[FAMILIES];

/* A way of writing (put) or reading (get); each moves what it can, as write(2) and read(2) do. */
struct call {
	const char *name;
	ssize_t (*put)(int fd, const void *bytes, size_t len);
	ssize_t (*get)(int fd, void *bytes, size_t len);
	/* Can this machine do it at all? NULL: always. */
	bool (*works)(void);
	bool tcp_only;
	/* A tier may be unable to see it; then the account must hold this reason. NULL: every tier sees it. */
	const char *unseen;
};
extern const struct call calls[];
extern const unsigned int n_calls;
extern const struct call plain_call;

/* Prints what went wrong and ends the process with 1. */
void fail(const char *what) __attribute__((noreturn));

/* A listening socket and a connection to it. Unix sockets get a path under /tmp. */
int peer__listen(enum family family, char *ret_where, size_t len);
int peer__connect(enum family family, const char *where);
int peer__accept(int listener);

/* Writes all of text by one way. */
void peer__put(int fd, const struct call *call, const void *text, size_t len);

/* A reader of one connection; what was read past a message stays for the next one. */
struct reader {
	int fd;
	size_t len;
	char bytes[65536];
};

/*
 * Reads one message: head and as much body as its Content-Length says, nothing of what follows.
 * Copies the first line to ret_line (NUL-terminated). Returns false at the end of file.
 */
bool peer__read(struct reader *reader, const struct call *call, char *ret_line, size_t len);

/* The parts of the program; each returns an exit status. */
int script__run(int argc, char **argv);
int stress__run(int argc, char **argv);
int blocked__run(int argc, char **argv);
int busy__run(int argc, char **argv);
int short__run(int argc, char **argv);
int bypass__run(int argc, char **argv);

/* What a busy path carries, so that a torn or foreign one is told. */
uint32_t busy__check(unsigned int pair, unsigned int client, unsigned int server, unsigned int n);

#endif
