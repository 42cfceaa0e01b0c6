/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting a role: the same binary, executed afresh, with its descriptors at fixed places. Only
 * probe calls this.
 */
#ifndef SONDE_SUPERVISE_SPAWN_H
#define SONDE_SUPERVISE_SPAWN_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "supervise/roles.h"

struct role_process {
	enum role role;
	pid_t pid;   /* 0: not running */
	int pidfd;   /* readable when it has ended; -1 before 5.3 */
	int control; /* our end */
	uid_t uid;
	uint64_t started_ns; /* CLOCK_BOOTTIME */
	unsigned int deaths; /* in a row, for back-off */
	uint64_t restart_ns; /* when to start it again; 0: not waiting */
};

/* A descriptor of ours and the place where the role expects it. */
struct spawn_fd {
	int ours, place;
};

/*
 * Starts the role. fds (n of them, without the control socket) are passed; everything else is
 * closed in the child. role->uid must be set (0: keep ours). On success pid, pidfd, control and
 * started_ns are set. The caller learns by CONTROL_READY that the role is in its sandbox.
 */
int spawn__role(struct role_process *role, const struct spawn_fd *fds, unsigned int n,
		struct err *err);

/* It has ended and was waited for: its descriptors are closed, its place is free. */
void spawn__forget(struct role_process *role);

/* Sends sig, by pidfd where there is one. */
void spawn__signal(const struct role_process *role, int sig);

/* A sealed-size shared memory of `bytes` zero bytes, mapped; *ret_fd is for spawn. NULL: errno. */
void *spawn__shared(const char *name, size_t bytes, int *ret_fd);

/* A memfd that holds these bytes, at offset 0. Negative errno. */
int spawn__document(const char *name, const void *bytes, size_t len);

#endif
