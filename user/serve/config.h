/* SPDX-License-Identifier: Apache-2.0 */
/* What the role that serves is told by its parent, as one JSON document. */
#ifndef SONDE_SERVE_CONFIG_H
#define SONDE_SERVE_CONFIG_H

#include <stddef.h>

#include "base/err.h"

#define SERVE_HOSTS_MAX 16

struct serve_config {
	char *folder;		      /* of the store, absolute */
	char *token;		      /* to be shown for the API; NULL: none */
	char *hosts[SERVE_HOSTS_MAX]; /* names that it answers to, beside loopback's */
	unsigned int n_hosts;
};

/* *ret_json is the caller's to free(). 0, -ENOMEM; -EINVAL: a name is no UTF-8. */
int serve_config__to_json(const struct serve_config *config, char **ret_json);
/* 0; -EINVAL with err. */
int serve_config__from_json(struct serve_config *ret, const char *json, size_t len,
			    struct err *err);
/* The same from a file, which is read to its end and closed. 0, or a negative errno with err. */
int serve_config__take(struct serve_config *ret, int fd, struct err *err);
/* Adds a copy. 0, -ENOSPC, -ENOMEM. */
int serve_config__add_host(struct serve_config *config, const char *host, size_t len);
/*
 * A token's first line, from a file, or from the environment's variable where path is NULL. 0 (*ret is NULL where there
 * is none), or a negative errno with err: it cannot be read, or is too short to be one.
 */
int serve_config__read_token(const char *path, const char *variable, char **ret, struct err *err);
void serve_config__free(struct serve_config *config);

#endif
