/* SPDX-License-Identifier: Apache-2.0 */
/* Filling the kernel's scope maps. All return 0 or -errno. */
#ifndef SONDE_PROBE_SCOPE_H
#define SONDE_PROBE_SCOPE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "probe/capture.h"
#include "probe/processes.h"

/* SONDE_SCOPE_* bits that the options ask for. */
uint32_t scope__bits(const struct capture_options *options);

/* Map scope_pids, and scope_cells as it is mapped: see headers/settings.h. */
struct scope_pids {
	int fd;
	uint64_t *cells; /* NULL: not mapped */
};

int scope__map_cells(struct scope_pids *pids, int fd);
void scope__unmap_cells(struct scope_pids *pids);
/* tgid: the kernel's own number. */
int scope__add_pid(const struct scope_pids *pids, uint32_t tgid, uint32_t how);
/* Whether it is in. */
bool scope__has_pid(const struct scope_pids *pids, uint32_t tgid);
/*
 * Every process that exists below those of the map. The fork hook must be attached: listings are
 * repeated until one has nothing new, so that no child slips through between.
 */
int scope__seed_trees(const struct scope_pids *pids, const struct processes *processes);
int scope__add_cgroups(int map_fd, const struct capture_options *options, struct err *err);
int scope__add_netns(int map_fd, const struct capture_options *options, struct err *err);
int scope__add_ports(int map_fd, const struct capture_options *options, struct err *err);

#endif
