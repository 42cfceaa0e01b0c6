/* SPDX-License-Identifier: GPL-2.0-only */
/* The usual call, where TCP's own functions are hooked: under the socket's lock. See quick.h. */
#ifndef SONDE_BPF_QUICK_ENTRY_H
#define SONDE_BPF_QUICK_ENTRY_H

#include "call.h"
#include "quick.h"

/*
 * An address as a number: some verifiers (6.1) take what lies in the iterator's union for a typed pointer,
 * to which nothing may be added. They do not follow what has been in a map's memory.
 */
static __always_inline __u64 as_number(struct quick *q, __u64 address)
{
#ifdef SONDE_TRACING
	volatile __u64 *place = &q->dir->first[0];
	__u64 kept = *place;

	*place = address;
	address = *place;
	*place = kept;
#endif
	return address;
}

/* Where the offered bytes lie. False: elsewhere, or less than all of them may be taken. */
static __always_inline bool quick_offered(struct quick *q, const struct sock *sk,
					  struct msghdr *msg)
{
	struct segment two[2];
	struct msg_now now;

	if (!msg_now_read(msg, &now) ||
	    ((now.flags & KMSG_DONTWAIT) && (__s64)q->bytes * 2 > send_room(sk)))
		return false;
	q->area.len = q->bytes;
	if (now.kind == ITER_KIND_UBUF) {
		q->area.base = as_number(q, now.at) + now.skip;
		return true;
	}
	if (now.kind != ITER_KIND_IOVEC)
		return false;
	if (now.segments == 1) {
		segment_first(&two[0], msg, now.at);
		q->area.base = two[0].base + now.skip;
		return true;
	}
	if (now.skip || !now.segments)
		return false;
#ifdef SONDE_CAST
	segment_first(&two[0], msg, now.at);
	q->area.base = two[0].base;
	q->area.len = two[0].len;
	if (now.segments == 2 && quick_alike(q))
		return true;
	segment_first(&two[1], msg, now.at + sizeof(two[0]));
	return quick_behind(q, &two[1]);
#else
	if (bpf_probe_read_kernel(two, sizeof(two), (const void *)now.at))
		return false;
	q->area.base = two[0].base;
	q->area.len = two[0].len;
	return (now.segments == 2 && quick_alike(q)) || quick_behind(q, &two[1]);
#endif
}

/* Whether what is offered lies in memory of the program, which is who calls. */
static __always_inline bool quick_of_program(const struct quick *q, struct msghdr *msg)
{
	struct msg_now now;

	return (q->conn->reader == q->id || !(task_flags() & (PF_KTHREAD | PF_IO_WORKER))) &&
	       msg_now_read(msg, &now) && now.kind != ITER_KIND_OTHER;
}

/* What was offered to tcp_sendmsg_locked(); the caller is in scope. True: dealt with. */
static __noinline bool quick_send(struct sock *sk, struct msghdr *msg, __u64 size, __u64 id)
{
	struct quick q = { .tx = true, .bytes = size, .id = id };

	q.conn = conn_find(sk);
	if (!q.conn)
		return false;
	if (q.conn->flags & CONN_QUIET)
		return quiet_call(q.conn, sk, true, size);
	if (size > 0x7fffffff || !quick_state(&q) || !quick_stands(&q, sk, 0, 0) ||
	    FIELD(sk, sk_err))
		return false;
	q.k = counters();
	if (!q.k)
		return false;
	if (quick_in_body(&q)) {
		if (!quick_of_program(&q, msg))
			return false;
		quick_body(&q);
		return true;
	}
	return q.conn->last == LAST_RX && quick_caller(&q, q.conn->role != SONDE_ROLE_PASSIVE) &&
	       quick_offered(&q, sk, msg) && quick_head(&q);
}

/*
 * What a receive has copied, at tcp_cleanup_rbuf(); the caller is in scope. Before a reader sleeps
 * nothing may have been read, and then nothing is to be done.
 */
static __noinline bool quick_recv(struct sock *sk, __u32 copied, __u64 id)
{
	struct quick q = { .tx = false, .bytes = copied, .id = id };
	const struct call *call;

	q.conn = conn_find(sk);
	if (!q.conn)
		return false;
	if (q.conn->flags & CONN_QUIET)
		return quiet_call(q.conn, sk, false, copied);
	if (!quick_state(&q) || !quick_stands(&q, sk, 0, copied))
		return false;
	q.k = counters();
	if (!q.k)
		return false;
	if (!copied) {
		settle_whole(q.k, &q.conn->tx);
		return true;
	}
	if (!quick_caller(&q, true))
		return false;
	call = &q.thread->recv;
	if (call->sk != (__u64)sk || call->kind != ITER_KIND_UBUF ||
	    call_state_of(&q.thread->recv, copied, copied) != CALL_GOES_ON)
		return false;
	if (quick_in_body(&q)) {
		quick_body(&q);
		return true;
	}
	q.area.base = call->at + call->skip;
	q.area.len = copied;
	return q.conn->last == LAST_TX && quick_head(&q);
}

#endif
