/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections none of whose bytes is looked at: those of no protocol of ours (once they were looked at
 * often enough), those that user space asked to be ignored, those that the governor sheds. A call on one
 * of them is over here, after one lookup: nothing of it is read but whose it is. Its bytes are counted
 * by the kernel's own numbers when it is looked at again, or ends (settle.h); of one that is shed also the
 * requests are counted, by the turns.
 */
#ifndef SONDE_BPF_QUIET_H
#define SONDE_BPF_QUIET_H

#include "life.h"

/* A call that moves bytes on a connection that is shed. False: it may not be any more. */
static __always_inline bool quiet_shed(struct sonde_kcounters *k, struct conn *conn, bool tx)
{
	__u8 side = tx ? LAST_TX : LAST_RX;
	struct sonde_slot *slot;
	__u64 wish;

	if (conn->last == side)
		return true;
	slot = slot_of(conn);
	wish = slot ? *(volatile __u64 *)&slot->wish : 0;
	if (!(wish & SONDE_WISH_SHED))
		return false;
	conn->last = side;
	conn->turn++;
	if (tx == !!(wish & SONDE_WISH_SENDS))
		count(k, shed_exchanges, 1);
	return true;
}

/*
 * bytes: that the call moves, 0: none. The socket is looked at as it may be another one at the same
 * address, and as the end of a stream is told of a connection that is shed. False: look closer.
 */
static __always_inline bool quiet_call(struct conn *conn, const struct sock *sk, bool tx,
				       __u64 bytes)
{
	struct sonde_kcounters *k;
	struct sock_now is;

	if ((conn->flags & CONN_UNSEEN) || !sock_now_read(sk, &is) || is.state != TCP_ESTABLISHED ||
	    is.pair != conn->pair || is.prot != conn->prot)
		return false;
	k = counters();
	if (!k)
		return false;
	k->hits_quiet++;
	if (bytes && conn->verdict == SONDE_VERDICT_TLS)
		tls_tie_here(k, conn, sk, tx, bytes);
	return !bytes || !(conn->flags & CONN_SHED) || quiet_shed(k, conn, tx);
}

#endif
