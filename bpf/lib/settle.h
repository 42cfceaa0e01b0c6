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
	if (real != dir->seq)
		dir->flags &= ~DIR_TOLD;
	dir->offset += (__s64)(__s32)(real - dir->seq);
	dir->seq = real;
	dir->asked = dir->copied = dir->lost = 0;
}

/* All that the last call offered was taken: what settle() then does. */
static __always_inline void settle_whole(struct sonde_kcounters *k, struct direction *dir)
{
	__u32 asked = dir->asked, captured = dir->copied, lost = dir->lost;

	if (!asked)
		return;
	count(k, bytes_sequence, asked);
	if (captured)
		count(k, bytes_captured, captured);
	if (lost)
		count(k, gap_lost, lost);
	if (asked > captured + lost)
		count(k, bytes_counted, asked - captured - lost);
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
		dir->flags &= ~DIR_TOLD;
	}
	settle(k, dir, real);
}

/*
 * The same for what passed while the connection was quiet, however much: `total` are all bytes that
 * ever passed in this direction, which is where the direction now stands.
 */
static __always_inline void settle_quiet(struct sonde_kcounters *k, struct direction *dir,
					 __u32 real, __u64 total)
{
	__s64 more = total - dir->offset;

	if ((__u32)more != real - dir->seq)
		more = (__s32)(real - dir->seq);
	if (more <= 0)
		return;
	settle_whole(k, dir);
	count(k, bytes_sequence, more);
	count(k, bytes_counted, more);
	dir->offset += more;
	dir->seq = dir->stood = real;
	dir->flags &= ~(DIR_UNSEEN | DIR_TOLD);
}

static __always_inline void settle_quiet_tx(struct sonde_kcounters *k, struct conn *conn,
					    const struct tcp_now *now, __u32 real)
{
	settle_quiet(k, &conn->tx, real,
		     now->acked + (__s32)(real - now->snd_una) - (conn->role == SONDE_ROLE_ACTIVE));
}

static __always_inline void settle_quiet_rx(struct sonde_kcounters *k, struct conn *conn,
					    const struct tcp_now *now, __u32 real)
{
	settle_quiet(k, &conn->rx, real, now->received - (__s32)(now->rcv_nxt - real));
}

/* Its calls are looked at again. Of the one in progress rx or tx bytes have passed and are told by itself. */
static __always_inline void quiet_ends(struct sonde_kcounters *k, struct conn *conn,
				       const struct tcp_now *now, __u32 rx, __u32 tx)
{
	if (!(conn->flags & CONN_QUIET))
		return;
	conn->flags &= ~CONN_QUIET;
	if (!(conn->flags & CONN_TX_DONE))
		settle_quiet_tx(k, conn, now, tx_seq_of(conn, now) - tx);
	settle_quiet_rx(k, conn, now, rx_seq_of(now) - rx);
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
static __always_inline void settle_last(struct sonde_kcounters *k, struct conn *conn,
					struct direction *dir, __u32 real,
					const struct tcp_now *now)
{
	if ((conn->flags & CONN_QUIET) && dir == &conn->tx)
		settle_quiet_tx(k, conn, now, real);
	else if (conn->flags & CONN_QUIET)
		settle_quiet_rx(k, conn, now, real);
	if (now->layered || (conn->flags & CONN_UNSEEN))
		settle_counted(k, dir, real);
	else
		settle(k, dir, real);
}

#endif
