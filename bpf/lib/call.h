/* SPDX-License-Identifier: GPL-2.0-only */
/* A call in progress: where its message's memory is, saved at its entry and known again later. */
#ifndef SONDE_BPF_CALL_H
#define SONDE_BPF_CALL_H

#include "life.h"

#ifdef SONDE_TRACING
#include "calls.h"
#endif

/*
 * The first of the kernel's segments. By the helper where it may be called: some verifiers (6.12) take
 * what lies in the iterator's union for no typed pointer, and where lockdown forbids the helper, the
 * tier is none there.
 */
static __always_inline void segment_first(struct segment *first, struct msghdr *msg, __u64 at)
{
#if defined(SONDE_CAST)
	first->base = (__u64)CAST(struct iovec, at)->iov_base;
	first->len = CAST(struct iovec, at)->iov_len;
	return;
#elif defined(SONDE_TRACING)
	if (!kernel_readable()) {
		const struct iovec *segments = iter_segments(msg);

		first->base = (__u64)FIELD(segments, iov_base);
		first->len = FIELD(segments, iov_len);
		return;
	}
#endif
	bpf_probe_read_kernel(first, sizeof(*first), (const void *)at);
}

/* Where a message's iterator points, as it stands: `now`, as just read. */
static __always_inline void call_save(struct call *call, const struct sock *sk, struct msghdr *msg,
				      const struct msg_now *now)
{
	struct segment first = {};

	call->sk = (__u64)sk;
	call->msg = (__u64)msg;
	call->kind = now->kind;
	call->count = now->count;
	call->skip = now->skip;
	call->segments = 0;
	call->vector = 0;
	if (now->kind == ITER_KIND_UBUF) {
		call->at = call->first = now->at;
	} else if (now->kind == ITER_KIND_IOVEC) {
		call->segments = now->segments;
		segment_first(&first, msg, now->at);
		call->vector = now->at;
		call->first = first.base;
		if (call->segments == 1) {
			call->kind = ITER_KIND_UBUF;
			call->at = first.base;
		} else {
			call->at = now->at;
#ifdef SONDE_TRACING
			if (!kernel_readable())
				call->at = call_segments(&first, call->segments);
#endif
		}
	}
}

/*
 * A receiving call. Under lockdown its iterator cannot be read again in tcp_cleanup_rbuf(), where
 * no typed pointer leads to it: the registers it was made with tell it from another one.
 */
static __always_inline void call_begin(struct call *call, const struct sock *sk, struct msghdr *msg,
				       __u32 flags)
{
	struct msg_now now;

	call->sk = 0;
	if (!msg_now_read(msg, &now))
		return;
	call_save(call, sk, msg, &now);
#ifdef SONDE_TRACING
	if (!kernel_readable()) {
		call->made_with = call_registers();
		call->done = 0;
		call->flags = flags;
	}
#endif
}

enum call_state {
	CALL_GOES_ON,
	CALL_DISCARDS,	 /* MSG_TRUNC: throws its bytes away */
	CALL_IS_ANOTHER, /* splice, read_sock, zero copy: the saved one is over */
};

/*
 * How much is left to be filled of the message that the thread saved; *same: it still points where it did.
 * Where the entry of a call can be missed, the saved one may be the call before: as long, but into other
 * memory.
 */
static __always_inline __u64 call_left(const struct call *call, bool *same)
{
	const struct msghdr *msg = (const struct msghdr *)call->msg;

	*same = true;
#if defined(SONDE_CAST)
	return CAST(struct msghdr, msg)->msg_iter.count;
#elif defined(SONDE_TRACING)
	/* a value of its own: else its load is taken for one of the kernel's fields */
	const struct iovec *segments = (const struct iovec *)call->vector;
	__u64 begin = bpf_core_field_offset(struct msghdr, msg_iter);
	__u64 span[5];

	if (bpf_probe_read_kernel(span, sizeof(span), (const char *)msg + begin))
		return ~0ull;
	if (segments)
		*same = BPF_CORE_READ(segments, iov_base) == (void *)call->first;
	else if (bpf_core_field_exists(struct iov_iter___ubuf, ubuf))
		*same = SPAN_FIELD(span, begin, __u64, msg, struct msghdr___ubuf, msg_iter.ubuf) ==
			call->first;
	return SPAN_FIELD(span, begin, __u64, msg, struct msghdr, msg_iter.count);
#else
	return BPF_CORE_READ(msg, msg_iter.count);
#endif
}

/*
 * Of the call that the thread saved, now that `copied` bytes were moved, of which `bytes` are new.
 * Either what is left in its iterator and what was copied add up, or the registers are the same
 * and the new bytes follow those that were looked at.
 */
static __always_inline enum call_state call_state_of(struct call *call, __u32 copied, __u32 bytes)
{
	__u64 left;
	bool same;

#ifdef SONDE_TRACING
	if (!kernel_readable()) {
		struct call_made now = call_registers();

		if (call->made_with.number != now.number || call->made_with.fd != now.fd ||
		    call->made_with.arg1 != now.arg1 || call->done != copied - bytes)
			return CALL_IS_ANOTHER;
		call->done = copied;
		return call->flags & KMSG_TRUNC ? CALL_DISCARDS : CALL_GOES_ON;
	}
#endif
	left = call_left(call, &same);
	if (left + copied == call->count)
		return same ? CALL_GOES_ON : CALL_IS_ANOTHER;
	return left == call->count ? CALL_DISCARDS : CALL_IS_ANOTHER;
}

static __always_inline void source_of_call(struct source *source, const struct call *call, __u64 at)
{
	source->at = call->at;
	source->skip = call->skip + at;
	source->segments = call->segments;
	source->kind = call->kind == ITER_KIND_UBUF  ? SOURCE_USER :
		       call->kind == ITER_KIND_IOVEC ? SOURCE_SEGMENTS :
						       SOURCE_NONE;
}

#endif
