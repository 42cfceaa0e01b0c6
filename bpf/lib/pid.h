/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers of processes in pid namespaces. */
#ifndef SONDE_BPF_PID_H
#define SONDE_BPF_PID_H

#include "kernel.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define PID_LEVELS_MAX 32

static __always_inline const void *pid_place(const struct pid *pid, __u32 level)
{
	return (const char *)pid + bpf_core_field_offset(struct pid, numbers) +
	       level * bpf_core_type_size(struct upid);
}

/* A pid's number in the namespace of this depth (0: the initial one); 0: it has none there. */
static __always_inline __u32 pid_number(struct pid *pid, __u32 level)
{
	__u32 nr = 0;

	if (level > PID_LEVELS_MAX)
		return 0;
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (const char *)pid_place(pid, level) +
				      bpf_core_field_offset(struct upid, nr));
	return nr;
}

#endif
