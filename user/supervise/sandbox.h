/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox of each role. Entered once, by the role itself, before it touches a byte from
 * outside and before it has a second thread (Landlock and capabilities are per thread).
 */
#ifndef SONDE_SUPERVISE_SANDBOX_H
#define SONDE_SUPERVISE_SANDBOX_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "supervise/roles.h"

/* Files that a role may still open. */
struct sandbox_path {
	const char *path;
	bool write; /* a folder of its own; else read only */
};

struct sandbox {
	enum role role;
	uid_t uid; /* 0: stay who we are (sonde itself was not started as root) */
	gid_t gid; /* 0: of the same number */
	const struct sandbox_path
		*paths; /* ship: certificates, tokens, resolver files, a store; read: a store */
	unsigned int n_paths;
};

/*
 * Gives up, in this order: descriptors that are not the role's, dumpability, the file system (an empty
 * root where the role needs no file, Landlock where the kernel has it), groups and uid, every
 * capability with the bounding set, new privileges, and all system calls but the role's own
 * (they fail with EPERM). Any step that fails is an error: the role must not go on.
 */
int sandbox__enter(const struct sandbox *sandbox, struct err *err);

/*
 * probe gives up every capability that it has no use for. Before it has a second thread, and after it
 * has made the process of a traced command, which keeps all. 0 or -errno.
 */
int sandbox__limit_probe(void);

/*
 * Tries what the role must not be able to do (open, socket, bpf, ptrace, exec, fork, setuid …) and
 * prints a line for each with what came of it. Returns how many were not refused.
 */
int sandbox__try_to_escape(enum role role);

#endif
