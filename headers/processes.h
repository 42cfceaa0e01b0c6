/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* One process of a listing (bpf/processes.bpf.c): how the kernel's numbers and ours belong together. */
#ifndef SONDE_PROCESSES_H
#define SONDE_PROCESSES_H

#include <linux/types.h>

struct sonde_process {
	__u64 start_ns; /* CLOCK_BOOTTIME */
	__u32 tgid;	/* initial pid namespace */
	__u32 parent;	/* the same, of its parent */
	__u32 pid;	/* in the pid namespace of whoever lists */
	__u32 pad;
};

#endif
