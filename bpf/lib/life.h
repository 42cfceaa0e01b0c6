/* SPDX-License-Identifier: GPL-2.0-only */
/* The lives of connections and processes: programs that every tier has. */
#ifndef SONDE_BPF_LIFE_H
#define SONDE_BPF_LIFE_H

#include "scope.h"
#include "settle.h"

#define __VMLINUX_H__ /* the kernel's names of registers, as in kernel.h */
#include <bpf/bpf_tracing.h>

#ifdef SONDE_TRACING
#define TRACEPOINT(name) SEC("tp_btf/" name)
#else
#define TRACEPOINT(name) SEC("raw_tp/" name)
#endif

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = FIELD(sk, __sk_common.skc_family);

	return (family == SONDE_AF_INET || family == SONDE_AF_INET6) &&
	       FIELD(sk, sk_protocol) == KIPPROTO_TCP;
}

/* What is kept at this address is a former connection's: its end was missed. */
static __always_inline void conn_outlived(struct sonde_kcounters *k, const struct sock *sk,
					  struct conn *conn)
{
	count(k, state_conn_stale, 1);
	if (conn->verdict == SONDE_VERDICT_OTHER || (conn->flags & (CONN_SENT | CONN_OTHER_SENT)))
		gone_emit(k, conn, SONDE_REC_GONE, conn->flags & CONN_RESET ? SONDE_F_RESET : 0);
	slot_free(conn);
	conn_remove(sk);
}

/*
 * The connection's state at a call that has moved rx or tx bytes already; what is new is learned,
 * what is another connection's is dropped. NULL: no room (counted).
 */
static __always_inline struct conn *conn_enter(struct sonde_kcounters *k, const struct sock *sk,
					       const struct tcp_now *now, __u32 rx, __u32 tx)
{
	struct conn *conn = conn_make(k, sk);

	if (conn && !settings.conn_in_storage && (conn->flags & CONN_KNOWN) &&
	    !conn_matches(conn, sk, now)) {
		conn_outlived(k, sk, conn);
		conn = conn_make(k, sk);
	}
	if (conn && !(conn->flags & CONN_KNOWN)) {
		conn_learn(conn, sk, now, rx, tx);
		if (!(conn->flags & CONN_FROM_START))
			count(k, conns_joined, 1);
	}
	return conn;
}

/* connect(2), in the context of the thread that calls it. */
static __always_inline void conn_opens(struct sonde_kcounters *k, const struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct thread *thread;
	struct conn *conn;

	if (!scope_has(sk, id >> 32))
		return;
	conn = conn_find(sk);
	if (conn && conn->id) {
		/* the socket was disconnected and is used again: another connection */
		if (conn->flags & (CONN_SENT | CONN_OTHER_SENT))
			gone_emit(k, conn, SONDE_REC_GONE, SONDE_F_RESET);
		slot_free(conn);
		conn_remove(sk);
	}
	conn = conn_make(k, sk);
	if (!conn)
		return;
	conn->role = SONDE_ROLE_ACTIVE;
	thread = thread_get(k, false);
	if (thread)
		conn->connect = thread->turn;
}

/* This end sends its FIN, or the connection is over. */
static __always_inline void conn_shuts(struct sonde_kcounters *k, const struct sock *sk,
				       struct conn *conn, int from, int to)
{
	bool fin = to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK, reset = false;
#ifndef SONDE_FIRES_AFTERWARDS
	struct tcp_now now;

	if ((conn->flags & CONN_KNOWN) && !(conn->flags & CONN_TX_DONE) && tcp_now_read(sk, &now))
		settle_last(k, conn, &conn->tx, tx_seq_of(conn, &now), &now);
	/* from here on a disconnect may set the numbers to anything */
	if (to == TCP_CLOSE)
		conn->flags |= CONN_TX_DONE;
#endif
	if (fin)
		conn->flags |= CONN_FIN_SENT;
	if (to == TCP_CLOSE) {
		reset = FIELD(sk, sk_err) || from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT ||
			from == TCP_SYN_SENT || from == TCP_FIN_WAIT1;
		if (reset)
			conn->flags |= CONN_RESET;
	}
	if (!(conn->flags & CONN_SENT) || (conn->tx.flags & DIR_SHUT))
		return;
	if (reset) {
		conn->tx.flags |= DIR_SHUT;
		gone_emit(k, conn, SONDE_REC_SHUT, SONDE_F_RESET);
	} else if (fin && conn->last == LAST_TX) {
		conn->tx.flags |= DIR_SHUT;
		gone_emit(k, conn, SONDE_REC_SHUT, SONDE_F_TX);
	}
}

static __always_inline void life_set_state(const struct sock *sk, int from, int to)
{
	struct sonde_kcounters *k;
	struct conn *conn;

	if (to != TCP_CLOSE && to != TCP_FIN_WAIT1 && to != TCP_LAST_ACK &&
	    !(from == TCP_CLOSE && to == TCP_SYN_SENT))
		return;
	if (!is_tcp(sk))
		return;
	k = counters();
	if (!k)
		return;
	if (to == TCP_SYN_SENT) {
		conn_opens(k, sk);
		return;
	}
	conn = conn_find(sk);
	if (conn && conn->id)
		conn_shuts(k, sk, conn, from, to);
}

TRACEPOINT("inet_sock_set_state")
int BPF_PROG(on_set_state, const struct sock *sk, int from, int to)
{
	life_set_state(TYPED(struct sock, sk), from, to);
	return 0;
}

/* The end of a socket: final offsets, from the kernel's own numbers where they still stand. */
static __always_inline void conn_ends(struct sonde_kcounters *k, const struct sock *sk,
				      struct conn *conn)
{
	struct tcp_now now;

	if ((conn->flags & CONN_KNOWN) && tcp_now_read(sk, &now)) {
		/* after a disconnect these numbers were cleared */
		if (!(conn->flags & CONN_TX_DONE) &&
		    (__u32)(now.snd_una - (__u32)now.acked) + (conn->role == SONDE_ROLE_ACTIVE) ==
			    conn->tx_base)
			settle_last(k, conn, &conn->tx, tx_seq_of(conn, &now), &now);
		if ((__u32)(now.rcv_nxt - (__u32)now.received) == conn->rx_base)
			settle_last(k, conn, &conn->rx, rx_seq_of(&now), &now);
	}
	if (conn->verdict == SONDE_VERDICT_OTHER || (conn->flags & (CONN_SENT | CONN_OTHER_SENT)))
		gone_emit(k, conn, SONDE_REC_GONE,
			  (conn->flags & CONN_RESET ? SONDE_F_RESET : 0) |
				  (conn->flags & CONN_UNSEEN ? SONDE_F_UNSEEN : 0));
	if (conn->verdict == SONDE_VERDICT_TLS)
		tls_carrier_gone(k, conn, sk);
	slot_free(conn);
}

static __always_inline void life_destroy_sock(const struct sock *sk)
{
	struct conn *conn = conn_find(sk);
	struct sonde_kcounters *k;

	if (!conn || !conn->id)
		return;
	k = counters();
	if (k)
		conn_ends(k, sk, conn);
	conn_remove(sk);
}

TRACEPOINT("tcp_destroy_sock")
int BPF_PROG(on_destroy_sock, const struct sock *sk)
{
	life_destroy_sock(TYPED(struct sock, sk));
	return 0;
}

/* Fires before the child can run: a command tree has no gaps. */
static __always_inline void life_fork(struct task_struct *parent, struct task_struct *child)
{
	__u32 from = FIELD(parent, tgid), to = FIELD(child, tgid);
	struct sonde_kcounters *k;

	if (from == to || !(settings.scope & SONDE_SCOPE_PIDS))
		return;
	if (scope_pid(from) != SONDE_PID_IN)
		return;
	if (!scope_put(to)) {
		k = counters();
		if (k)
			count(k, state_proc_full, 1);
	}
}

TRACEPOINT("sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	life_fork(TYPED(struct task_struct, parent), TYPED(struct task_struct, child));
	return 0;
}

#ifndef SONDE_FIRES_AFTERWARDS
static __always_inline void unix_thread_ends(void);
#endif

static __always_inline void life_exit(struct task_struct *task)
{
	__u32 tgid = FIELD(task, tgid);
	struct sonde_kcounters *k;

#ifndef SONDE_FIRES_AFTERWARDS
	unix_thread_ends();
#endif
	thread_forget();
	if (FIELD(task, signal, live.counter) > 0)
		return; /* other threads of the process go on */
	scope_drop(tgid);
	if (bpf_map_delete_elem(&seen_procs, &tgid))
		return;
	k = counters();
	if (k)
		proc_life(k, SONDE_REC_EXIT, task);
}

TRACEPOINT("sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	life_exit(TYPED(struct task_struct, task));
	return 0;
}

static __always_inline void life_exec(struct task_struct *task)
{
	__u32 tgid = FIELD(task, tgid);
	__u64 *seen = bpf_map_lookup_elem(&seen_procs, &tgid);
	struct sonde_kcounters *k;

	/* Of a traced tree probe learns at once: a short-lived process is gone when it is asked for. */
	if (!seen && !settings.exec_events && scope_pid(tgid) != SONDE_PID_IN)
		return;
	k = counters();
	if (!k)
		return;
	if (seen)
		proc_life(k, SONDE_REC_EXEC, task);
	proc_ring_write(k, SONDE_REC_EXEC, seen ? SONDE_F_SEEN : 0, task);
}

TRACEPOINT("sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	life_exec(TYPED(struct task_struct, task));
	return 0;
}

#endif
