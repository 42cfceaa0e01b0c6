/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signals that probe takes, as a descriptor; and what they were before, which is what a traced
 * command gets.
 */
#ifndef SONDE_PROBE_SIGNALS_H
#define SONDE_PROBE_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

struct signals_before {
	sigset_t mask;
	struct sigaction pipe, child;
};

/*
 * Takes SIGCHLD, SIGTERM, and of SIGINT, SIGQUIT and SIGHUP those that whoever started us did not have
 * ignored (a background job, nohup); always_hup: SIGHUP in any case, as it means something else to
 * a daemon. Returns a signalfd (non-blocking, the caller's to close) or a negative errno.
 */
int signals__take(bool always_hup, struct signals_before *ret_before);

/* For a process of ours that is about to execute a command. */
void signals__give_back(const struct signals_before *before);

#endif
