/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_SUPERVISE_UID_H
#define SONDE_SUPERVISE_UID_H

#include <sys/types.h>

/*
 * A uid (and gid of the same number) that nobody has: no passwd or group entry and no running
 * process, from the range that systemd keeps for dynamic users (61184–65519). `taken` lists n
 * that were handed out already. Returns -ENOENT when all are in use.
 */
int uid__unused(const uid_t *taken, unsigned int n, uid_t *ret);

#endif
