/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls that read and write sockets: number to shape, for the tier that finds the program's
 * buffer by the registers of the call in progress. A shape of CALL_OTHER is never looked into.
 */
#ifndef SONDE_BPF_CALLS_H
#define SONDE_BPF_CALLS_H

#include "compat.h"

enum call_shape {
	CALL_OTHER = 0,
	CALL_BUFFER,	/* (fd, buffer, length, …) */
	CALL_VECTOR,	/* (fd, struct iovec *, count, …) */
	CALL_MESSAGE,	/* (fd, struct msghdr *, flags) */
	CALL_MESSAGES,	/* (fd, struct mmsghdr *, count, flags, …) */
	CALL_NO_BUFFER, /* sendfile, splice: bytes that never were in the program's memory */
	CALL_IO_URING,
};

struct call_regs {
	__u64 number, fd, arg1, arg2, arg4;
};

#if defined(__TARGET_ARCH_x86)

#define CALL_NUMBER_CONNECT 42

static __always_inline enum call_shape call_shape_send(__u64 number)
{
	switch (number) {
	case 1:	 /* write */
	case 44: /* sendto */
		return CALL_BUFFER;
	case 20:  /* writev */
	case 328: /* pwritev2 */
		return CALL_VECTOR;
	case 46:
		return CALL_MESSAGE;
	case 307:
		return CALL_MESSAGES;
	case 40:  /* sendfile */
	case 275: /* splice */
	case 276: /* tee */
	case 278: /* vmsplice */
		return CALL_NO_BUFFER;
	case 426:
		return CALL_IO_URING;
	}
	return CALL_OTHER;
}

static __always_inline enum call_shape call_shape_recv(__u64 number)
{
	switch (number) {
	case 0:	 /* read */
	case 45: /* recvfrom */
		return CALL_BUFFER;
	case 19:  /* readv */
	case 327: /* preadv2 */
		return CALL_VECTOR;
	case 47:
		return CALL_MESSAGE;
	case 299:
		return CALL_MESSAGES;
	case 40:
	case 275:
		return CALL_NO_BUFFER;
	case 426:
		return CALL_IO_URING;
	}
	return CALL_OTHER;
}

/* False: these are not the registers of a system call in progress. */
static __always_inline bool call_regs_read(struct pt_regs *regs, struct call_regs *to)
{
	to->number = regs->orig_ax;
	to->fd = (__u32)regs->di;
	to->arg1 = regs->si;
	to->arg2 = regs->dx;
	to->arg4 = regs->r8;
	return regs->ax == (unsigned long)-38; /* -ENOSYS, until the call returns */
}

#elif defined(__TARGET_ARCH_arm64)

#define CALL_NUMBER_CONNECT 203

static __always_inline enum call_shape call_shape_send(__u64 number)
{
	switch (number) {
	case 64:  /* write */
	case 206: /* sendto */
		return CALL_BUFFER;
	case 66:  /* writev */
	case 287: /* pwritev2 */
		return CALL_VECTOR;
	case 211:
		return CALL_MESSAGE;
	case 269:
		return CALL_MESSAGES;
	case 71: /* sendfile */
	case 75: /* vmsplice */
	case 76: /* splice */
	case 77: /* tee */
		return CALL_NO_BUFFER;
	case 426:
		return CALL_IO_URING;
	}
	return CALL_OTHER;
}

static __always_inline enum call_shape call_shape_recv(__u64 number)
{
	switch (number) {
	case 63:  /* read */
	case 207: /* recvfrom */
		return CALL_BUFFER;
	case 65:  /* readv */
	case 286: /* preadv2 */
		return CALL_VECTOR;
	case 212:
		return CALL_MESSAGE;
	case 243:
		return CALL_MESSAGES;
	case 71:
	case 76:
		return CALL_NO_BUFFER;
	case 426:
		return CALL_IO_URING;
	}
	return CALL_OTHER;
}

static __always_inline bool call_regs_read(struct pt_regs *regs, struct call_regs *to)
{
	to->number = (__u32)regs->syscallno;
	to->fd = (__u32)regs->orig_x0;
	to->arg1 = regs->regs[1];
	to->arg2 = regs->regs[2];
	to->arg4 = regs->regs[4];
	return regs->syscallno >= 0;
}

#endif

/* Layouts in the memory of a 64-bit program. */
struct user_msghdr64 {
	__u64 name;
	__u32 name_len, pad;
	__u64 segments;
	__u64 n_segments;
	__u64 control, control_len;
	__u32 flags, pad2;
};

struct user_mmsghdr64 {
	struct user_msghdr64 header;
	__u32 len, pad;
};

/* Where the segments of the message at this address of the program's memory are. */
static __always_inline bool message_segments(__u64 message, __u64 *at, __u64 *n)
{
	struct user_msghdr64 header;

	if (bpf_probe_read_user(&header, sizeof(header), (const void *)message))
		return false;
	*at = header.segments;
	*n = header.n_segments;
	return true;
}

/*
 * The program's own array of n segments, of which the kernel's copy begins with `first`, for the
 * call in progress; 0 where the call's registers do not lead to it, and nowhere where it is not
 * this very one.
 */
static __always_inline __u64 call_segments(const struct segment *first, __u32 n)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_regs regs;
	struct segment same;
	enum call_shape shape;
	__u64 at, count;

	if (task_compat(task) || !call_regs_read((struct pt_regs *)bpf_task_pt_regs(task), &regs))
		return 0;
	shape = call_shape_send(regs.number);
	if (shape == CALL_OTHER)
		shape = call_shape_recv(regs.number);
	at = regs.arg1;
	count = regs.arg2;
	if (shape == CALL_MESSAGE ? !message_segments(regs.arg1, &at, &count) :
				    shape != CALL_VECTOR)
		return 0;
	if (count != n || bpf_probe_read_user(&same, sizeof(same), (const void *)at) ||
	    same.base != first->base || same.len != first->len)
		return 0;
	return at;
}

static __always_inline struct call_made call_registers(void)
{
	struct call_regs regs;

	call_regs_read((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf()), &regs);
	return (struct call_made){ regs.number, regs.fd, regs.arg1 };
}

#endif
