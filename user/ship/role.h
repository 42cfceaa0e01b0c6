/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_SHIP_ROLE_H
#define SONDE_SHIP_ROLE_H

#include <sys/types.h>

/*
 * The process of the ship role: reads its configuration from FD_CONFIG, enters the sandbox as uid
 * (files: those that the configuration names, and what name resolution and TLS need, read-only; a store's folder),
 * runs ship__run(). Exit status.
 */
int ship__main(uid_t uid);

#endif
