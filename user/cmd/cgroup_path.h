/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_CMD_CGROUP_PATH_H
#define SONDE_CMD_CGROUP_PATH_H

#include "base/err.h"

enum cgroup_kind {
	CGROUP_PATH,	  /* a path, absolute or below the cgroup root */
	CGROUP_UNIT,	  /* a systemd unit: "nginx" or "nginx.service" */
	CGROUP_CONTAINER, /* a container id, or at least 6 characters of its beginning */
};

/* The absolute path of one cgroup v2 folder (caller frees). Errors say what was looked for and where. */
int cgroup_path__find(enum cgroup_kind kind, const char *name, char **ret_path, struct err *err);

#endif
