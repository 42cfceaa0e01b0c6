/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What became of bytes, by the kernel's sequence numbers: taken, missed, or passed where a tier cannot
 * look (kernel TLS, sockmap, MPTCP).
 */
#ifndef SONDE_BPF_SETTLE_H
#define SONDE_BPF_SETTLE_H

#include "turn.h"

/*
 * What became of the bytes since the last call: `real` is the sequence number where the direction
 * now stands. Bytes that no hook saw are a gap, which the direction remembers.
 */
static __always_inline void settle(struct sonde_kcounters *k, struct direction *dir, __u32 real)
{
	__s32 moved = real - (dir->seq - dir->asked);
	__u32 taken, captured, lost, gap = 0;

	if (moved <= 0 && !dir->asked)
		return; /* another thread's call was accounted as a gap already */
	if (moved < 0)
		moved = 0;
	taken = moved;
	if (taken > dir->asked) {
		gap = taken - dir->asked;
		taken = dir->asked;
	}
	captured = dir->copied < taken ? dir->copied : taken;
	lost = dir->lost < taken - captured ? dir->lost : taken - captured;
	count(k, bytes_sequence, taken + gap);
	if (captured)
		count(k, bytes_captured, captured);
	if (lost)
		count(k, gap_lost, lost);
	if (taken > captured + lost)
		count(k, bytes_counted, taken - captured - lost);
	if (gap) {
		count(k, gap_missed, gap);
		dir->flags |= DIR_GAP | DIR_UNSEEN;
	}
	dir->offset += (__s64)(__s32)(real - dir->seq);
	dir->seq = real;
	dir->asked = dir->copied = dir->lost = 0;
}

/* What passed since is counted, whatever it was: its numbers are not those of the program's bytes. */
static __always_inline void settle_counted(struct sonde_kcounters *k, struct direction *dir,
					   __u32 real)
{
	__s32 more = real - dir->seq;

	if (more > 0) {
		dir->asked += more;
		dir->seq += more;
		dir->offset += more;
	}
	settle(k, dir, real);
}

/* The name of what sits on top of TCP begins with these letters. */
static __always_inline bool layer_is(const struct tcp_sock *tp, char a, char b, char c)
{
	return FIELD(tp, inet_conn.icsk_ulp_ops, name[0]) == a &&
	       FIELD(tp, inet_conn.icsk_ulp_ops, name[1]) == b &&
	       FIELD(tp, inet_conn.icsk_ulp_ops, name[2]) == c;
}

/* A call on a connection that cannot be looked at, by its reason. */
static __always_inline void bypass_reason(struct sonde_kcounters *k, const struct sock *sk,
					  bool layered)
{
	const struct tcp_sock *tp = tcp_of(sk);

	if (!tp)
		return;
	if (!layered)
		count(k, unseen_sockmap, 1);
	else if (layer_is(tp, 't', 'l', 's'))
		count(k, unseen_ktls, 1);
	else if (layer_is(tp, 'm', 'p', 't'))
		count(k, unseen_mptcp, 1);
	else
		count(k, unseen_ulp, 1);
}

/* What is open on this connection will not be seen to end: that is said at once. */
static __always_inline void conn_give_up(struct sonde_kcounters *k, struct conn *conn)
{
	if (conn->flags & CONN_UNSEEN)
		return;
	conn->flags |= CONN_UNSEEN;
	if (conn->flags & CONN_SENT)
		gone_emit(k, conn, SONDE_REC_GONE, SONDE_F_UNSEEN);
}

/*
 * Bytes that are not the program's (kernel TLS, multipath TCP), or not all of them (a sockmap that
 * redirects). moved: the call carries some. True where it is dealt with.
 */
static __always_inline bool bypass_counted(struct hit *hit, const struct tcp_now *now, bool moved)
{
	struct conn *conn = hit->conn;

	if (!now->layered && !(conn->flags & CONN_UNSEEN))
		return false;
	if (moved)
		bypass_reason(hit->k, hit->sk, now->layered);
	if (!(conn->flags & CONN_TX_DONE))
		settle_counted(hit->k, &conn->tx, tx_seq_of(conn, now));
	settle_counted(hit->k, &conn->rx, rx_seq_of(now));
	conn_unseen(hit);
	conn_give_up(hit->k, conn);
	return true;
}

/* The same at the end, where no call is. */
static __always_inline void settle_last(struct sonde_kcounters *k, const struct conn *conn,
					struct direction *dir, __u32 real,
					const struct tcp_now *now)
{
	if (now->layered || (conn->flags & CONN_UNSEEN))
		settle_counted(k, dir, real);
	else
		settle(k, dir, real);
}

#endif
