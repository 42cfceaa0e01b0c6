/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that is read of one process, gathered before anything is made of it. */
#ifndef SONDE_PROBE_IDENTITY_READING_H
#define SONDE_PROBE_IDENTITY_READING_H

#include <limits.h>

#include "probe/container.h"
#include "core/message.h"
#include "probe/identity.h"

struct reading {
	/* in */
	pid_t pid;
	uint64_t start_ns; /* 0: taken from /proc */
	bool parent;	   /* it stands for a child of this name: read if it bears it, too */
	char comm[18];
	/* out; views point into the buffers below */
	int err;  /* -ESRCH: gone */
	int proc; /* /proc/PID */
	uint32_t netns;
	struct service_facts facts; /* all but `attribute` */
	struct view exe, maps, mounts;
	struct binary_key key; /* of the executable */
	uint64_t mount_id;     /* where it lies */
	enum runtime runtime;  /* by the executable's name and the mapped libraries */
	bool sdk;	       /* sdk_detect__loaded() */
	bool partial;	       /* it ended before its environment could be read */
	/*
	 * What inspect may be asked to look at, executable or archive, opened; -1: nothing, or it went
	 * before it was opened. Its key; all 0: nothing.
	 */
	int subject;
	struct binary_key subject_key;

	char exe_path[PATH_MAX], cwd[PATH_MAX];
	char unit[UNIT_NAME_BYTES], container[CONTAINER_ID_BYTES];
	char *environ_bytes, *cmdline_bytes, *maps_bytes, *mounts_bytes;
};

struct reading *reading__new(pid_t pid, uint64_t start_ns);
/* Accepts NULL; void * as worker__run() wants it. */
void reading__free(void *reading);

/* Fills all of it. */
void reading__read(void *reading);
/* Looks for an SDK again, as reading->runtime is known better than by name. */
void reading__look(void *reading);
/*
 * Of a process that has ended: opens what inspect was to look at once more, by exe_path, if the file
 * of subject_key (both given) still lies there. subject -1: it does not.
 */
void reading__reopen(void *reading);

#endif
