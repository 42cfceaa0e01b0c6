/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that answer when they like: file systems in user space and of the network. A request that
 * such a one has taken and does not answer keeps even a killed thread in the kernel, so nothing
 * below them is looked up or opened. Pure: the text of /proc/PID/mountinfo.
 */
#ifndef SONDE_PROBE_IDENTITY_MOUNTS_H
#define SONDE_PROBE_IDENTITY_MOUNTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

/* Whether there is such a mount at all. */
bool mounts__any_waits(struct view mountinfo);
/* Whether `path` (absolute, without "..", "." and empty components) lies below one. */
bool mounts__path_waits(struct view mountinfo, struct view path);
/* The mount with this id (statx, STATX_MNT_ID). 1: it is such a one; 0: it is not; -1: unknown. */
int mounts__id_waits(struct view mountinfo, uint64_t id);

#endif
