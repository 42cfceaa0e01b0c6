/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sealed role: takes records from the ring (or messages from a file), runs the core on them and
 * sends frames to ship. Holds nothing but the descriptors of supervise/roles.h.
 */
#ifndef SONDE_TRACE_ROLE_H
#define SONDE_TRACE_ROLE_H

#include <sys/types.h>

/* Enters the sandbox as uid, runs until told to finish or until the file ends. Exit status. */
int trace__main(uid_t uid);

#endif
