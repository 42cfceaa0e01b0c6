/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All drift between kernels, by CO-RE existence checks. An object is compiled with SONDE_DIRECT
 * where its programs receive typed pointers (tp_btf, fentry) and load fields directly; without, it
 * reads them by bpf_probe_read_kernel (kprobe).
 */
#ifndef SONDE_BPF_COMPAT_H
#define SONDE_BPF_COMPAT_H

#include "maps.h"
#include "pid.h"

#ifdef SONDE_DIRECT
#define FIELD(pointer, field) ((pointer)->field)
#else
#define FIELD(pointer, field) BPF_CORE_READ(pointer, field)
#endif

static __always_inline struct task_struct *this_task(void)
{
	return (struct task_struct *)bpf_get_current_task();
}

static __always_inline __u32 task_flags(void)
{
	return BPF_CORE_READ(this_task(), flags);
}

/* Start of the thread group, CLOCK_BOOTTIME ns. */
static __always_inline __u64 process_start_ns(struct task_struct *task)
{
	return BPF_CORE_READ(task, group_leader, start_boottime);
}

/* The tgid as the process itself sees it: in its innermost pid namespace. */
static __always_inline __u32 process_ns_tgid(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);

	return pid_number(pid, BPF_CORE_READ(pid, level));
}

/* True where the system call in progress came in by the 32-bit table. */
static __always_inline bool task_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return BPF_CORE_READ(task, thread_info.status) & 0x2; /* TS_COMPAT */
#else
	return BPF_CORE_READ(task, thread_info.flags) & (1ul << 22); /* TIF_32BIT */
#endif
}

/* What a kernel iterator points at. */
enum iter_kind { ITER_KIND_OTHER = 0, ITER_KIND_UBUF = 1, ITER_KIND_IOVEC = 2 };

static __always_inline __u32 iter_kind(const void *iter)
{
	if (bpf_core_field_exists(struct iov_iter, iter_type)) {
		__u8 type = BPF_CORE_READ((const struct iov_iter *)iter, iter_type);

		if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
		    type == bpf_core_enum_value(enum iter_type, ITER_UBUF))
			return ITER_KIND_UBUF;
		if (type == bpf_core_enum_value(enum iter_type, ITER_IOVEC))
			return ITER_KIND_IOVEC;
		return ITER_KIND_OTHER;
	}
	/* 5.10: bit 0 is the direction */
	__u32 type = BPF_CORE_READ((const struct iov_iter___type *)iter, type) & ~1u;

	return type == bpf_core_enum_value(enum iter_type, ITER_IOVEC) ? ITER_KIND_IOVEC :
									 ITER_KIND_OTHER;
}

static __always_inline __u64 iter_segments(const void *iter)
{
	if (bpf_core_field_exists(struct iov_iter___new, __iov))
		return (__u64)BPF_CORE_READ((const struct iov_iter___new *)iter, __iov);
	return (__u64)BPF_CORE_READ((const struct iov_iter___iov *)iter, iov);
}

static __always_inline __u64 iter_ubuf(const void *iter)
{
	if (bpf_core_field_exists(struct iov_iter___ubuf, ubuf))
		return (__u64)BPF_CORE_READ((const struct iov_iter___ubuf *)iter, ubuf);
	return 0;
}

#endif
