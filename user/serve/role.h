/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_SERVE_ROLE_H
#define SONDE_SERVE_ROLE_H

#include <sys/types.h>

#include "serve/config.h"

/*
 * The process of the role that serves: reads its configuration from FD_CONFIG, loads the web server's library,
 * enters the sandbox as uid, in the group of the store's folder, and answers who connects to FD_LISTEN. Exit status.
 */
int serve__main(uid_t uid);

/* The same for a command's own process: until SIGINT or SIGTERM, as the folder's owner. Exit status, after a message. */
int serve__alone(const struct serve_config *config, int listening, const char *url);

#endif
