/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls on Unix stream sockets, for the tiers that hook functions. There are no sequence numbers
 * to say what a call came to, so it is remembered at its entry and captured at its return:
 *
 *   unix_stream_sendmsg       entry and return; it rarely sleeps
 *   unix_stream_read_actor    kprobe: copies to the program. Its return is hooked and not that of
 *                             unix_stream_recvmsg, as it does not wait for bytes: however many
 *                             threads do, none of them holds a return probe's instance
 *   unix_stream_recvmsg       fentry: entry and return
 *   unix_stream_sendpage      entry and return; sendfile and splice up to 6.4: counted
 *
 * A return that was not seen shows at the thread's next entry, or at its exit, and is counted.
 */
#ifndef SONDE_BPF_UNIX_CALL_H
#define SONDE_BPF_UNIX_CALL_H

#include "entry.h"
#include "unix_life.h"

/*
 * The return of the thread's last call was not seen. What it was to move most likely moved: that
 * many bytes are missing, but from now on the offset may be wrong. `sk`: of the call that begins.
 */
static __noinline int unix_missed(struct unix_call *call, const struct sock *sk)
{
	struct sonde_kcounters *k = counters();
	__u8 side = call->tx ? LAST_TX : LAST_RX;
	struct conn *conn = NULL;
	struct direction *dir;

	if (!k)
		return 0;
	if (call->tx)
		count(k, unix_missed_sent, 1);
	else
		count(k, unix_missed_received, 1);
#ifdef SONDE_TRACING
	if (sk && call->call.sk == address_of(sk))
		conn = conn_find(sk);
#else
	conn = conn_find((const struct sock *)call->call.sk);
#endif
	call->call.sk = 0;
	if (!conn)
		return 0;
	dir = call->tx ? &conn->tx : &conn->rx;
	if (conn->last != side) {
		conn->last = side;
		conn->turn++;
	}
	dir->offset += call->bytes;
	dir->ns = call->ns;
	dir->state = DIR_BODY;
	dir->flags |= DIR_ADRIFT;
	return 0;
}

/* A call on sk begins that is to move so many bytes. NULL: it is not to be remembered. */
static __always_inline struct unix_call *unix_begin(const struct sock *sk, __u32 bytes, __u32 flags,
						    bool tx)
{
	bool in = scope_has(sk, bpf_get_current_pid_tgid() >> 32);
	struct sonde_kcounters *k;
	struct thread *thread;

	/* A process is in scope or not; a socket of one that is may be out of it. */
	if (!in && !(settings.scope & ~SONDE_SCOPE_PIDS))
		return NULL;
	k = counters();
	if (!k)
		return NULL;
	thread = thread_get(k, in);
	if (!thread)
		return NULL;
	if (thread->unix_call.call.sk)
		unix_missed(&thread->unix_call, sk);
	if (!in || (flags & (KMSG_PEEK | KMSG_ERRQUEUE | KMSG_OOB)))
		return NULL;
	thread->unix_call.ns = bpf_ktime_get_boot_ns();
	thread->unix_call.bytes = bytes;
	thread->unix_call.tx = tx;
	return &thread->unix_call;
}

/* The call is remembered: it is to move so many bytes between the message's memory and sk. */
static __always_inline void unix_enter(const struct sock *sk, struct msghdr *msg, __u32 bytes,
				       __u32 flags, bool tx)
{
	struct unix_call *call = unix_begin(sk, bytes, flags, tx);
	struct msg_now now;

	if (call && msg_now_read(msg, &now))
		call_save(&call->call, sk, msg, &now);
}

/* The same for a page of the kernel's, which is no memory of the program. */
static __always_inline void unix_page(const struct sock *sk, __u32 bytes)
{
	struct unix_call *call = unix_begin(sk, bytes, 0, true);

	if (!call)
		return;
	call->call.sk = address_of(sk);
	call->call.kind = ITER_KIND_OTHER;
}

static __always_inline void unix_capture(struct sonde_kcounters *k, const struct sock *sk,
					 struct thread *thread, int ret, bool tx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct hit hit;

	hit.k = k;
	hit.thread = thread;
	hit.w = &thread->work;
	if (tx)
		count(hit.k, hits_send, 1);
	else
		count(hit.k, hits_recv, 1);
	hit.conn = unix_conn(hit.k, sk);
	if (!hit.conn)
		return;
	hit.dir = tx ? &hit.conn->tx : &hit.conn->rx;
	hit.other = tx ? &hit.conn->rx : &hit.conn->tx;
	hit.sk = sk;
	/* the other end may have read, and answered, before a sender is back */
	hit.w->ns = tx ? thread->unix_call.ns : bpf_ktime_get_boot_ns();
	work_begin(hit.w);
	hit.w->tgid = id >> 32;
	hit.w->tid = id;
	hit.tx = tx;
	hit.w->unsure = hit.w->rx_end = 0;
	hit.w->rx_seq = 0;
	hit.w->flags = hit.dir->flags & DIR_ADRIFT ? SONDE_F_GAP_BEFORE : 0;
	if (!is_kernel_thread(hit.k, thread)) {
		source_of_call(&hit.w->source, &thread->unix_call.call, 0);
		if (hit.w->source.kind == SOURCE_NONE)
			count(hit.k, unseen_no_user_buffer, 1);
	}
	hit.w->bytes = ret;
	turn_advance(&hit);
	capture(&hit);
}

/* The thread's call in progress on sk is over. */
static __always_inline void unix_leave_on(const struct sock *sk, int ret, bool tx)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread;

	if (!k)
		return;
	thread = thread_get(k, false);
	if (!thread || thread->unix_call.call.sk != address_of(sk))
		return;
	thread->unix_call.call.sk = 0;
	if (ret > 0)
		unix_capture(k, sk, thread, ret, tx);
	else if (ret == 0 && !tx && thread->unix_call.call.count)
		unix_end(k, sk);
}

#ifdef SONDE_KPROBE
/* The same where the return does not say on which socket: it was remembered at the entry. */
static __always_inline void unix_leave(int ret, bool tx)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread;

	if (!k)
		return;
	thread = thread_get(k, false);
	if (thread && thread->unix_call.call.sk)
		unix_leave_on(TYPED(struct sock, thread->unix_call.call.sk), ret, tx);
}

/* So many bytes are about to be copied to the program. */
static __always_inline void unix_copy(struct unix_stream_read_state *state, __u32 bytes)
{
	unix_enter(FIELD(state, socket, sk), FIELD(state, msg), bytes, FIELD(state, flags), false);
}

/* Nothing is left to be read, and nothing will come: then this call reads the end of file. */
static __always_inline void unix_receive(const struct sock *sk, __u32 flags)
{
	struct sonde_kcounters *k;

	if (FIELD(sk, sk_receive_queue.qlen) || !(FIELD(sk, sk_shutdown) & RCV_SHUTDOWN) ||
	    (flags & (KMSG_PEEK | KMSG_ERRQUEUE | KMSG_OOB)) ||
	    !scope_has(sk, bpf_get_current_pid_tgid() >> 32))
		return;
	k = counters();
	if (k)
		unix_end(k, sk);
}

/*
 * This end will write no more. Where its peer has read everything it may be asleep in its last
 * read, of which only the entry is seen: so its end is told now.
 */
static __always_inline void unix_shuts(const struct sock *sk)
{
	const struct sock *peer = unix_peer(sk);
	struct sonde_kcounters *k;

	if (!peer || FIELD(peer, sk_receive_queue.qlen))
		return;
	k = counters();
	if (k)
		unix_end(k, peer);
}
#endif

/* connect(2) on a Unix socket, in the context of the thread that calls it. */
static __always_inline void unix_connects(const struct sock *sk)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread = k ? thread_get(k, false) : NULL;

	/* one that is connected, perhaps since before our time, is not connected again */
	if (FIELD(sk, __sk_common.skc_state) != TCP_CLOSE)
		return;
	unix_born(address_of(sk), bpf_ktime_get_boot_ns(), thread ? &thread->turn : NULL);
}

static __always_inline void unix_pairs(const struct sock *a, const struct sock *b)
{
	__u64 ns = bpf_ktime_get_boot_ns();

	unix_born(address_of(a), ns, NULL);
	unix_born(address_of(b), ns, NULL);
}

/* The thread ends: a return that has not come by now was missed. */
static __always_inline void unix_thread_ends(void)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread = k ? thread_get(k, false) : NULL;

	if (thread && thread->unix_call.call.sk)
		unix_missed(&thread->unix_call, NULL);
}

#endif
