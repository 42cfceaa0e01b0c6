/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls that each role may make (seccomp); all others fail with EPERM. */
#ifndef SONDE_SUPERVISE_SYSCALLS_H
#define SONDE_SUPERVISE_SYSCALLS_H

#include "supervise/roles.h"

int syscalls__restrict(enum role role);

#endif
