/* SPDX-License-Identifier: Apache-2.0 */
/* The traced command: made first, held still until it is in scope, then let go. */
#ifndef SONDE_PROBE_CHILD_H
#define SONDE_PROBE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "probe/signals.h"

struct child {
	pid_t pid;  /* 0: none, or ended */
	int go;	    /* write end: a byte lets it exec */
	int failed; /* read end: errno of an exec that failed, else end of file */
	bool ended;
	int status; /* of wait(2), once ended */
};

/*
 * Forks a process that will run argv as `user` (NULL: as we are), but waits before exec. The rest of the
 * process tree hangs below it. Signals are for it as they were `before` we took ours; all else it
 * inherits as we did. -ENOENT in err: there is no such user.
 */
int child__prepare(struct child *child, char **argv, const char *user,
		   const struct signals_before *before, struct err *err);

/*
 * Lets it exec. 0, or the negative errno of exec (the child has ended then); 0 too where a signal has
 * ended it before: then it was its own end, and wait(2) tells.
 */
int child__go(struct child *child);

/* 127 where the command was not found, 126 where it cannot be run (env(1)). */
int child__exec_status(int exec_errno);
/* Its exit status, 128+n if killed by signal n. */
int child__exit_status(const struct child *child);

void child__free(struct child *child);

#endif
