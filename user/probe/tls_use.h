/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which process has a file mapped: one is enough, and its end is told by a pidfd, so that nothing is asked
 * while nothing happens. When it has ended, another is looked for; where there is none for a while, the
 * file is not in use.
 */
#ifndef SONDE_PROBE_TLS_USE_H
#define SONDE_PROBE_TLS_USE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* So long a file is kept when nobody has it mapped; twice that each time it turned out to be too short. */
#define TLS_GRACE_NS 10000000000ull
#define TLS_GRACE_MAX_NS (64 * TLS_GRACE_NS)
/* Processes fork while they are listed: nobody is there only where two listings say so, this far apart. */
#define TLS_LISTINGS 2
#define TLS_LISTING_NS 1000000000ull

struct tls_use {
	pid_t pid; /* 0: nobody is known, since left_ns */
	int pidfd; /* -1 */
	uint64_t left_ns, grace_ns;
	unsigned int listings; /* that did not show anybody, since then */
};

void tls_use__init(struct tls_use *use);
/*
 * A process has it mapped. Its end makes `epoll` readable, with `arg`. -errno: that cannot be told (it has
 * ended), and the file is as it was.
 */
int tls_use__by(struct tls_use *use, pid_t pid, int epoll, void *arg);
/* That process has ended, or runs another program, or is not to be watched any more. */
void tls_use__end(struct tls_use *use, uint64_t now_ns);
/* When to look who else has it mapped (CLOCK_BOOTTIME); 0: somebody is known. */
uint64_t tls_use__due(const struct tls_use *use);
/* A listing of all processes did not show anybody. True: it is not in use. */
bool tls_use__nobody(struct tls_use *use, uint64_t now_ns);

#endif
