/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of our pid namespace as the kernel lists them, with both of their numbers: its own,
 * which programs and records have, and ours, which people and /proc have. Outside of a container
 * they are the same, and nothing is listed for a translation.
 */
#ifndef SONDE_PROBE_PROCESSES_H
#define SONDE_PROBE_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../headers/processes.h"
#include "base/err.h"

struct processes;

struct process_list {
	struct sonde_process *at; /* malloc'ed */
	unsigned int n;
};

/*
 * Loads the program that lists. -EINVAL: /proc is that of another pid namespace, so that what people
 * read there would mean other processes; -ENOTSUP: lockdown "confidentiality" (as the caller says),
 * and not the first pid namespace; -errno. NULL is fine for the others: then there is no namespace
 * of our own, and listing fails.
 */
int processes__open(bool lockdown, struct processes **ret, struct err *err);
void processes__free(struct processes *processes);

/* *ret->at is the caller's to free. 0 or -errno. */
int processes__list(const struct processes *processes, struct process_list *ret);

/* The kernel's number of the process that is `pid` to us; 0: there is none. */
uint32_t processes__kernel_id(const struct processes *processes, pid_t pid);
/* And back; 0: it is outside of our pid namespace. */
pid_t processes__own_id(const struct processes *processes, uint32_t tgid);

/* Whether we run in a pid namespace below the initial one. */
bool processes__nested(void);

#endif
