/* SPDX-License-Identifier: Apache-2.0 */
/* The scope that a person asked for, as the kernel side can filter it; and its processes, found. */
#ifndef SONDE_PROBE_SCOPE_LIST_H
#define SONDE_PROBE_SCOPE_LIST_H

#include "cmd/options.h"
#include "probe/capture.h"

/* Fills the scope part of ret, which borrows from scope. with_command: a command's tree is in scope too. */
void scope_list__options(const struct scope_options *scope, bool with_command,
			 struct capture_options *ret);

/*
 * Puts the processes that --exe matches, with all that they have started already, into the scope.
 * To be called when hooks are attached: what they start from then on the kernel adds itself.
 */
int scope_list__seed(const struct scope_options *scope, struct capture *capture, struct err *err);

/* A process has replaced its program: in scope if --exe asks for the new one. True: it does. */
bool scope_list__exec(const struct scope_options *scope, struct capture *capture, pid_t pid);

#endif
