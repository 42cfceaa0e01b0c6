/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The tiers that hook TCP's own functions (kprobe, fentry), under the socket's lock:
 *
 *   tcp_sendmsg_locked, entry     what is offered; what was taken shows in the next write_seq
 *   tcp_recvmsg, entry            where the program wants its bytes
 *   tcp_cleanup_rbuf, entry       how far copied_seq got; also before a reader sleeps, so by
 *                                 sequence number, never by call
 *   do_tcp_sendpages              sendfile and splice up to 6.4: counted
 *
 * No return is hooked: a reader that sleeps holds a return probe's instance, and with enough of
 * them receives are lost. Unix stream sockets have no sequence numbers: see unix_call.h.
 */
#ifndef SONDE_BPF_ENTRY_H
#define SONDE_BPF_ENTRY_H

#include "quick_entry.h"

/* A watermark inside a call of which less might have been taken: now it is known. */
static __always_inline void hold_resolve(struct sonde_kcounters *k, struct conn *conn)
{
	struct sonde_slot *slot;
	__u64 watermark;

	if (!(conn->tx.flags & DIR_HOLD_END))
		return;
	conn->tx.flags &= ~DIR_HOLD_END;
	slot = slot_of(conn);
	if (!slot)
		return;
	slot->tx_offset = conn->tx.offset;
	watermark = *(volatile __u64 *)&slot->watermark_tx;
	if (watermark && conn->tx.offset >= watermark)
		end_emit(k, conn, true, conn->tx.ns, conn->tx.offset, 0);
}

/*
 * How much was taken out of the stream since this thread's receive was entered: nothing by one that
 * only peeks; by one that is over, what its own hook has missed. copied: what the receive that is
 * in progress has moved, 0: none is. What has no entry (splice, read_sock, zero copy) always takes.
 */
static __always_inline __u32 recv_taken(const struct thread *thread, const struct sock *sk,
					const struct tcp_now *now, __u32 copied)
{
	__s32 moved = rx_seq_of(now) - thread->recv.seq;

	if (thread->recv.sk != (__u64)sk)
		return copied;
	return moved > 0 ? moved : 0;
}

/*
 * The connection, where it goes on as it stood: the usual case, of which little need be read. Its
 * numbers following each other in both directions tell it from another one at the same address as
 * surely as what they began with does. NULL: look closer.
 */
static __always_inline struct conn *conn_goes_on(const struct sock *sk, struct tcp_now *now,
						 __u32 copied)
{
	struct conn *conn = conn_find(sk);
	struct sock_now is;

	if (!conn || (conn->flags & (CONN_KNOWN | CONN_UNSEEN | CONN_QUIET)) != CONN_KNOWN ||
	    !sock_now_read(sk, &is))
		return NULL;
	if (is.state != TCP_ESTABLISHED || is.pair != conn->pair || is.prot != conn->prot)
		return NULL;
	if (!tcp_seqs_read(sk, now) ||
	    now->write_seq - (conn->tx.seq - conn->tx.asked) > conn->tx.asked ||
	    now->copied_seq - conn->rx.seq > copied)
		return NULL;
	/* in this state no FIN has come */
	now->fin_received = now->layered = false;
	now->rcv_nxt = now->copied_seq;
	return conn;
}

/*
 * Fills the hit but for its bytes and their source; its caller is in scope. copied: what this call has read so far. Under
 * the lock both directions stand still, so that what no hook saw in either of them shows at any
 * call. False: not ours.
 */
static __noinline bool hit_begin(struct hit *hit, const struct sock *sk, bool tx, __u32 copied)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct tcp_now now;

	hit->k = counters();
	if (!hit->k)
		return false;
	hit->thread = thread_get(hit->k, true);
	if (!hit->thread)
		return false;
	hit->w = &hit->thread->work;
	hit->conn = conn_goes_on(sk, &now, copied);
	hit->w->goes_on = !!hit->conn;
	if (!hit->conn) {
		if (!is_tcp(sk) || !tcp_now_read(sk, &now))
			return false;
		hit->conn =
			conn_enter(hit->k, sk, &now, recv_taken(hit->thread, sk, &now, copied), 0);
		if (!hit->conn)
			return false;
		quiet_ends(hit->k, hit->conn, &now, copied, 0);
	}
	hit->dir = tx ? &hit->conn->tx : &hit->conn->rx;
	hit->other = tx ? &hit->conn->rx : &hit->conn->tx;
	hit->sk = sk;
	hit->tx = tx;
	hit->w->ns = bpf_ktime_get_boot_ns();
	hit->w->tgid = id >> 32;
	hit->w->tid = id;
	hit->w->flags = 0;
	settle_whole(hit->k, &hit->conn->rx);
	if (bypass_counted(hit, &now, tx || copied))
		return false;
	if (!(hit->conn->flags & CONN_TX_DONE)) {
		settle(hit->k, &hit->conn->tx, tx_seq_of(hit->conn, &now));
		hold_resolve(hit->k, hit->conn);
	}
	work_begin(hit->w);
	hit->w->unsure = false;
	hit->w->rx_seq = rx_seq_of(&now);
	/* after a disconnect the numbers say nothing to a writer */
	if ((!tx || !(hit->conn->flags & CONN_TX_DONE)) &&
	    (__s32)(hit->w->rx_seq - copied - hit->conn->rx.seq) > 0)
		settle(hit->k, &hit->conn->rx, hit->w->rx_seq - copied);
	hit->w->rx_end = now.fin_received && now.copied_seq == now.rcv_nxt;
	return true;
}

/* What a thread is it is all its life, as far as it does input and output. */
static __always_inline bool is_kernel_thread(struct sonde_kcounters *k, struct thread *thread)
{
	if (thread->kind == THREAD_UNKNOWN)
		thread->kind = task_flags() & (PF_KTHREAD | PF_IO_WORKER) ? THREAD_OF_KERNEL :
									    THREAD_OF_PROGRAM;
	if (thread->kind == THREAD_OF_PROGRAM)
		return false;
	count(k, unseen_kernel_thread, 1);
	return true;
}

/* Afterwards, what the call came to waits to be settled by the next sequence number. */
static __always_inline void hit_capture(struct hit *hit, __u64 bytes)
{
	hit->w->bytes = bytes;
	turn_advance(hit);
	capture(hit);
	hit->dir->seq += hit->w->bytes;
	hit->dir->asked = hit->w->bytes;
	hit->dir->copied = hit->w->captured;
	hit->dir->lost = hit->w->lost;
}

/*
 * A send that will fail, or wait for its connection to fail, moves nothing. Whoever shuts down his
 * side of a connection leaves the state ESTABLISHED under the same lock.
 */
static __always_inline bool send_fails(const struct hit *hit)
{
	const struct sock *sk = hit->sk;
	__u8 state;

	if (FIELD(sk, sk_err))
		return true;
	if (hit->w->goes_on)
		return false;
	state = FIELD(sk, __sk_common.skc_state);
	return (FIELD(sk, sk_shutdown) & SEND_SHUTDOWN) ||
	       (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT && state != TCP_SYN_SENT &&
		state != TCP_SYN_RECV);
}

/* Not from the program's memory: pages of a file, or what a sockmap's program has taken first. */
static __always_inline void no_buffer_counted(struct hit *hit)
{
	if (sock_is_mapped(hit->sk))
		count(hit->k, unseen_sockmap, 1);
	else
		count(hit->k, unseen_no_user_buffer, 1);
}

/* Where the offered bytes lie. True: less than all of them may be taken. */
static __noinline bool send_source(struct hit *hit, struct msghdr *msg)
{
	struct source *source = &hit->w->source;
	struct segment first;
	struct msg_now now;

	if (is_kernel_thread(hit->k, hit->thread))
		return false;
	if (!msg_now_read(msg, &now)) {
		no_buffer_counted(hit);
		return false;
	}
	source->at = now.at;
	source->skip = now.skip;
	source->segments = now.segments;
	source->kind = now.kind == ITER_KIND_UBUF  ? SOURCE_USER :
		       now.kind == ITER_KIND_IOVEC ? SOURCE_SEGMENTS :
						     SOURCE_NONE;
	if (source->kind == SOURCE_NONE)
		no_buffer_counted(hit);
	if (source->kind == SOURCE_SEGMENTS && (now.segments == 1 || !kernel_readable())) {
		segment_first(&first, msg, now.at);
		if (now.segments == 1) {
			source->kind = SOURCE_USER;
			source->at = first.base;
		}
#ifdef SONDE_TRACING
		else
			source->at = call_segments(&first, now.segments);
#endif
	}
	/* overhead is charged to the same account, so half of what is free is surely enough */
	return (now.flags & KMSG_DONTWAIT) && (__s64)now.count * 2 > send_room(hit->sk);
}

/* By a thread in scope; so the two below. */
static __always_inline void entry_send_of(struct sock *sk, struct msghdr *msg, __u64 size, __u64 id)
{
	struct hit hit;

	if (!size || quick_send(sk, msg, size, id) || !hit_begin(&hit, sk, true, 0))
		return;
	count(hit.k, hits_send, 1);
	if (send_fails(&hit))
		return;
	hit.w->unsure = send_source(&hit, msg);
	hit_capture(&hit, size > 0x7fffffff ? 0x7fffffff : size);
}

static __always_inline void entry_send(struct sock *sk, struct msghdr *msg, __u64 size)
{
	__u64 id = bpf_get_current_pid_tgid();

	if (scope_has(sk, id >> 32))
		entry_send_of(sk, msg, size, id);
}

static __always_inline void entry_sendpage(struct sock *sk, __u64 size)
{
	struct hit hit;

	if (!size || !scope_has(sk, bpf_get_current_pid_tgid() >> 32) ||
	    !hit_begin(&hit, sk, true, 0))
		return;
	count(hit.k, hits_send, 1);
	if (send_fails(&hit))
		return;
	no_buffer_counted(&hit);
	hit.w->unsure = true;
	hit_capture(&hit, size > 0x7fffffff ? 0x7fffffff : size);
}

/*
 * The socket is not locked yet: softirqs may be changing its numbers, so nothing is learned of the
 * connection here. Where its stream stands is changed by readers alone.
 */
static __always_inline void entry_recv_of(struct sock *sk, struct msghdr *msg, __u32 flags)
{
	struct thread *thread = thread_here(true);
	struct sonde_kcounters *k;

	if (!thread) {
		k = counters();
		if (k)
			count(k, state_thread_full, 1);
		return;
	}
	call_begin(&thread->recv, sk, msg, flags);
	thread->recv.seq = copied_seq_of(sk);
}

static __always_inline void entry_recv(struct sock *sk, struct msghdr *msg, __u32 flags)
{
	if (scope_has(sk, bpf_get_current_pid_tgid() >> 32))
		entry_recv_of(sk, msg, flags);
}

/* Where the last `bytes` of the `copied` that this call has moved lie. */
static __noinline int recv_source(struct hit *hit, __u32 copied, __u32 bytes)
{
	struct call *call = &hit->thread->recv;
	enum call_state state;

	if (is_kernel_thread(hit->k, hit->thread))
		return 0;
	if (call->sk != (__u64)hit->sk) {
		no_buffer_counted(hit);
		return 0;
	}
	state = call_state_of(call, copied, bytes);
	if (state != CALL_GOES_ON) {
		if (state == CALL_DISCARDS)
			count(hit->k, unseen_trunc, 1);
		else
			no_buffer_counted(hit);
		return 0;
	}
	source_of_call(&hit->w->source, call, copied - bytes);
	if (hit->w->source.kind == SOURCE_NONE)
		count(hit->k, unseen_iter_type, 1);
	return 0;
}

static __always_inline void recv_end(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (!hit->w->rx_end || (conn->rx.flags & DIR_SHUT) || !(conn->flags & CONN_SENT))
		return;
	conn->rx.flags |= DIR_SHUT;
	gone_emit(hit->k, conn, SONDE_REC_SHUT, 0);
}

static __always_inline void entry_recv_done_of(struct sock *sk, int copied, __u64 id)
{
	struct hit hit;
	__s32 bytes;

	if (copied < 0)
		copied = 0;
	if (quick_recv(sk, copied, id) || !hit_begin(&hit, sk, false, copied))
		return;
	bytes = hit.w->rx_seq - hit.dir->seq;
	if (bytes > 0 && copied > 0) {
		count(hit.k, hits_recv, 1);
		recv_source(&hit, copied, bytes);
		hit_capture(&hit, bytes);
		settle(hit.k, hit.dir, hit.dir->seq);
	}
	recv_end(&hit);
}

static __always_inline void entry_recv_done(struct sock *sk, int copied)
{
	__u64 id = bpf_get_current_pid_tgid();

	if (scope_has(sk, id >> 32))
		entry_recv_done_of(sk, copied, id);
}

#endif
