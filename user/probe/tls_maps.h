/* SPDX-License-Identifier: Apache-2.0 */
/* Files that processes map to execute them: those they have mapped, and those they do from now on. */
#ifndef SONDE_PROBE_TLS_MAPS_H
#define SONDE_PROBE_TLS_MAPS_H

#include <stdint.h>
#include <sys/types.h>

struct tls_maps;

struct tls_mapping {
	pid_t pid; /* in our pid namespace */
	uint64_t start, end;
	uint32_t major, minor;
	uint64_t inode;
	const char *path; /* as the process sees it; valid during the call */
};
typedef void (*tls_mapping_fn)(void *arg, const struct tls_mapping *mapping);

/* -errno. */
int tls_maps__new(struct tls_maps **ret);
void tls_maps__free(struct tls_maps *maps);

/*
 * Follows all processes. Single ones are not followed: a task with events of its own makes each switch of it dearer
 * by a thousand instructions and more, and every other switch of the machine a little (perf_sched_events in kernel/events/core.c). -errno.
 */
int tls_maps__follow(struct tls_maps *maps);
/* A descriptor that polls readable when there is something to be read. */
int tls_maps__fd(const struct tls_maps *maps);
void tls_maps__read(struct tls_maps *maps, tls_mapping_fn fn, void *arg);
/* Mappings that the kernel had no room to tell of. */
uint64_t tls_maps__lost(const struct tls_maps *maps);

/* What a process has mapped now, by /proc. */
void tls_maps__of_process(pid_t pid, tls_mapping_fn fn, void *arg);

#endif
