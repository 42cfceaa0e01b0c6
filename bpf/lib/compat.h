/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All drift between kernels, by CO-RE existence checks. An object is compiled with SONDE_DIRECT
 * where its programs load fields directly: they receive typed pointers (SONDE_TRACING: tp_btf, fentry),
 * or make some (SONDE_CAST). Without, fields are read by bpf_probe_read_kernel, which lockdown
 * "confidentiality" forbids.
 */
#ifndef SONDE_BPF_COMPAT_H
#define SONDE_BPF_COMPAT_H

#if defined(SONDE_DIRECT) && !defined(SONDE_KPROBE)
#define SONDE_TRACING 1
#endif

#include "maps.h"
#include "pid.h"

#define LOAD1(pointer, a) ((pointer)->a)
#define LOAD2(pointer, a, b) ((pointer)->a->b)
#define LOAD3(pointer, a, b, c) ((pointer)->a->b->c)
#define LOAD_OF(_1, _2, _3, n, ...) n
#define LOAD(pointer, ...) LOAD_OF(__VA_ARGS__, LOAD3, LOAD2, LOAD1)(pointer, __VA_ARGS__)

#ifdef SONDE_CAST
/* 6.2: makes any address a typed pointer; a load that faults gives 0. */
extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym;
#define CAST(type, address)                                                                        \
	((type *)bpf_rdonly_cast((const void *)(address), bpf_core_type_id_kernel(type)))

/* From any address at once: of two fields that lie side by side. A load costs eight instructions. */
static __always_inline __u64 eight_bytes(__u64 address)
{
	return (__u64)CAST(struct iovec, address - sizeof(void *))->iov_len;
}

/*
 * The same pointer, which a verifier does not trust: for each pointer that is loaded from a trusted
 * one, some search the names of all types of the kernel, which takes as long as a thousand
 * instructions of the program.
 */
#define PLAIN(type, pointer) CAST(type, pointer)
#else
#define PLAIN(type, pointer) (pointer)
#endif

/* FIELD(pointer, a, b) is pointer->a->b. */
#ifdef SONDE_DIRECT
#define FIELD(pointer, ...) LOAD(pointer, __VA_ARGS__)
#else
#define FIELD(pointer, ...) BPF_CORE_READ(pointer, __VA_ARGS__)
#endif

/*
 * A field of what was read at once, from offset `begin` of `pointer` on, into `span`: one call of the
 * helper costs as much as copying a dozen words. Offsets are constants to the verifier, so that of
 * the two ways one is left; the other is for a kernel that puts the field elsewhere.
 */
#define SPAN_FIELD(span, begin, value, pointer, type, ...)                                         \
	({                                                                                         \
		__u64 at_ = bpf_core_field_offset(type, __VA_ARGS__) - (begin);                    \
                                                                                                   \
		at_ <= sizeof(span) - sizeof(value) ?                                              \
			*(value *)((char *)(span) + at_) :                                         \
			(value)BPF_CORE_READ((const type *)(pointer), __VA_ARGS__);                \
	})

#define HELPER_EXISTS(name) bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_##name)

/* Whether tasks come as typed pointers, the current one too (5.11). */
static __always_inline bool task_typed(void)
{
#ifdef SONDE_DIRECT
	return HELPER_EXISTS(get_current_task_btf);
#else
	return false;
#endif
}

static __always_inline struct task_struct *this_task(void)
{
	return task_typed() ? bpf_get_current_task_btf() :
			      (struct task_struct *)bpf_get_current_task();
}

#define TASK_FIELD(task, ...)                                                                      \
	(task_typed() ? LOAD(task, __VA_ARGS__) : BPF_CORE_READ(task, __VA_ARGS__))

static __always_inline __u32 task_flags(void)
{
	return TASK_FIELD(this_task(), flags);
}

/* Start of the thread group, CLOCK_BOOTTIME ns. */
static __always_inline __u64 process_start_ns(struct task_struct *task)
{
	return TASK_FIELD(PLAIN(struct task_struct, task), group_leader, start_boottime);
}

/*
 * The parent whose program the process still runs: it was forked and has begun none of its own; 0: it
 * has. Every thread but the first has the flag, of the others nothing is learnt from it.
 */
static __always_inline __u32 process_forked_from(struct task_struct *task)
{
	if (!(TASK_FIELD(task, group_leader, flags) & PF_FORKNOEXEC))
		return 0;
	return TASK_FIELD(task, group_leader, real_parent, tgid);
}

/* Whether bpf_probe_read_kernel may be called: typed pointers lead to most places without. */
static __always_inline bool kernel_readable(void)
{
	return !settings.lockdown;
}

/* A kprobe's arguments, and a raw tracepoint's, come without a type. */
#if defined(SONDE_CAST) && defined(SONDE_KPROBE)
#define TYPED(type, pointer) CAST(type, pointer)
#else
#define TYPED(type, pointer) ((type *)(pointer))
#endif

/* The tgid as the process itself sees it: in its innermost pid namespace. 0: not to be found out. */
static __always_inline __u32 process_ns_tgid(struct task_struct *task)
{
	struct pid *pid = TASK_FIELD(task, group_leader, thread_pid);
	__u32 level = TASK_FIELD(pid, level);

	if (task_typed() && level == 0)
		return pid->numbers[0].nr;
#ifdef SONDE_CAST
	return level > PID_LEVELS_MAX ? 0 : CAST(struct upid, pid_place(pid, level))->nr;
#else
	return kernel_readable() ? pid_number(pid, level) : 0;
#endif
}

/* True where the system call in progress came in by the 32-bit table. */
static __always_inline bool task_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return TASK_FIELD(task, thread_info.status) & 0x2; /* TS_COMPAT */
#else
	return TASK_FIELD(task, thread_info.flags) & (1ul << 22); /* TIF_32BIT */
#endif
}

/*
 * Whether the socket is in a sockmap: its functions are a copy of TCP's that knows of a second queue.
 * Kernel TLS has one, too: it is told by its ULP.
 */
static __always_inline bool sock_is_mapped(const struct sock *sk)
{
	const struct proto *proto = FIELD(PLAIN(struct sock, sk), __sk_common.skc_prot);

	if (bpf_core_field_exists(struct proto, sock_is_readable))
		return FIELD(proto, sock_is_readable) != NULL;
	if (bpf_core_field_exists(struct proto___before, stream_memory_read))
		return FIELD((const struct proto___before *)proto, stream_memory_read) != NULL;
	return false;
}

#ifdef SONDE_CAST
/* Of one that is: whether programs decide over what it receives. */
static __always_inline bool sock_is_diverted(const struct sock *sk)
{
	const struct sk_psock *psock =
		CAST(struct sk_psock,
		     (__u64)PLAIN(struct sock, sk)->sk_user_data & ~(__u64)SK_USER_DATA_FLAGS);

	return psock->progs.stream_verdict || psock->progs.skb_verdict;
}
#endif

/* What a message's iterator points at. */
enum iter_kind { ITER_KIND_OTHER = 0, ITER_KIND_UBUF = 1, ITER_KIND_IOVEC = 2 };

static __always_inline __u32 iter_kind_of(__u8 type)
{
	if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF) &&
	    type == bpf_core_enum_value(enum iter_type, ITER_UBUF))
		return ITER_KIND_UBUF;
	return type == bpf_core_enum_value(enum iter_type, ITER_IOVEC) ? ITER_KIND_IOVEC :
									 ITER_KIND_OTHER;
}

/* A message's iterator, and its flags. */
struct msg_now {
	__u64 count, skip, segments;
	__u64 at; /* the one area, or the kernel's segments; what else there is: nothing of ours */
	__u32 kind, flags;
};

#ifdef SONDE_DIRECT
#define MSG_FIELD(value, type, ...) ((value)FIELD((const type *)msg, __VA_ARGS__))
#else
#define MSG_FIELD(value, type, ...) SPAN_FIELD(span, begin, value, msg, type, __VA_ARGS__)
#endif

#ifdef SONDE_DIRECT
/* As a typed pointer. */
static __always_inline const struct iovec *iter_segments(const struct msghdr *msg)
{
	if (bpf_core_field_exists(struct iov_iter___new, __iov))
		return FIELD((const struct msghdr___new *)msg, msg_iter.__iov);
	return FIELD((const struct msghdr___iov *)msg, msg_iter.iov);
}
#endif

static __always_inline bool msg_now_read(const struct msghdr *msg, struct msg_now *now)
{
#ifndef SONDE_DIRECT
	__u64 begin = bpf_core_field_offset(struct msghdr, msg_iter);
	__u64 bytes = bpf_core_field_offset(struct msghdr, msg_flags) + sizeof(__u32) - begin;
	__u64 span[9];

	if (bytes > sizeof(span))
		bytes = sizeof(span);
	if (bpf_probe_read_kernel(span, bytes, (const char *)msg + begin))
		return false;
#endif
	now->count = MSG_FIELD(__u64, struct msghdr, msg_iter.count);
	now->skip = MSG_FIELD(__u64, struct msghdr, msg_iter.iov_offset);
	now->flags = MSG_FIELD(__u32, struct msghdr, msg_flags);
	/* 5.10: bit 0 is the direction, and there is no single area */
	if (bpf_core_field_exists(struct iov_iter, iter_type))
		now->kind = iter_kind_of(MSG_FIELD(__u8, struct msghdr, msg_iter.iter_type));
	else
		now->kind = (MSG_FIELD(__u32, struct msghdr___type, msg_iter.type) & ~1u) ==
					    bpf_core_enum_value(enum iter_type, ITER_IOVEC) ?
				    ITER_KIND_IOVEC :
				    ITER_KIND_OTHER;
	now->segments =
		now->kind == ITER_KIND_UBUF ? 0 : MSG_FIELD(__u64, struct msghdr, msg_iter.nr_segs);
	/* from 6.0 on one area, too; and then it lies where the segments else are */
	if (now->kind == ITER_KIND_UBUF)
		now->at = bpf_core_field_exists(struct iov_iter___ubuf, ubuf) ?
				  MSG_FIELD(__u64, struct msghdr___ubuf, msg_iter.ubuf) :
				  0;
	else if (bpf_core_field_exists(struct iov_iter___new, __iov))
		now->at = MSG_FIELD(__u64, struct msghdr___new, msg_iter.__iov);
	else
		now->at = MSG_FIELD(__u64, struct msghdr___iov, msg_iter.iov);
	return true;
}

#endif
