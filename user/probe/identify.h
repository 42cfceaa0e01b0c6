/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service that answers "who is this process?": reads /proc at once, has unknown executables
 * looked at by the inspect role, and sends what it knows to trace, twice where the second answer
 * is better.
 */
#ifndef SONDE_PROBE_IDENTIFY_H
#define SONDE_PROBE_IDENTIFY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "probe/identity.h"
#include "supervise/spawn.h"

/* Executables that wait for inspect at once; beyond it a process is described without. */
#define IDENTIFY_WAITING_MAX 64

/* What inspect has found; NULL: it could not look. Valid during the call only. */
typedef void (*identify_tls_fn)(void *arg, const struct inspect_tls *answer);

struct identify_waiting {
	uint32_t request;    /* 0: free */
	identify_tls_fn tls; /* NULL: a process is to be described */
	void *tls_arg;
	struct identity_query query;
	struct binary_key key;
	char comm[17];
	int exe_fd;
	bool refused; /* inspect had died before it was asked, or over it */
};

struct identify {
	struct identity_cache *cache;
	struct role_process inspect;
	struct identify_waiting waiting[IDENTIFY_WAITING_MAX];
	uint32_t next_request, asked; /* asked: the one that inspect is at, 0: none */
	uint64_t deadline_ns;
	struct buf message;
	/* Where answers go: the body of a MSG_PROCESS message. */
	void (*answer)(void *arg, const void *message, size_t len);
	void *arg;
};

int identify__new(struct identify *identify, void (*answer)(void *, const void *, size_t),
		  void *arg, struct err *err);
void identify__free(struct identify *identify);

/*
 * Starts inspect before it is needed: short-lived processes do not wait for that. As a user of its
 * own, none of taken[n], the other roles'.
 */
int identify__start(struct identify *identify, const uid_t *taken, unsigned int n, struct err *err);

/* Answers at once with what /proc shows; asks inspect where that is not enough. */
void identify__process(struct identify *identify, const struct identity_query *query);

/* Reads what /proc shows and keeps it for later, in case the process is gone when it is asked for. */
void identify__remember(struct identify *identify, const struct identity_query *query);

/*
 * Has a file looked through for functions of TLS libraries, before the executables that wait; fd is
 * identify's from here on. -EAGAIN: too many wait, and fd is closed.
 */
int identify__tls(struct identify *identify, int fd, identify_tls_fn fn, void *arg);
/* Whoever asked is no more: nobody is answered any more. */
void identify__tls_forget(struct identify *identify);
/* True while a file of identify__tls() waits. */
bool identify__tls_busy(const struct identify *identify);

/* True while an executable is being looked at, and somebody waits for what comes of it. */
bool identify__busy(const struct identify *identify);

/* To be polled for input: -1 while inspect does not run. Changes when it is restarted. */
int identify__fd(const struct identify *identify);
void identify__on_readable(struct identify *identify);
/* When identify__tick() wants to be called (CLOCK_BOOTTIME ns), 0: not. */
uint64_t identify__deadline(const struct identify *identify);
/* Ends an inspect that took too long; its file counts as unknown. */
void identify__tick(struct identify *identify, uint64_t now_ns);
/* True if pid was the inspect role. */
bool identify__reap(struct identify *identify, pid_t pid);

#endif
