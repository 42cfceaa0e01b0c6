/* SPDX-License-Identifier: GPL-2.0-only */
/* The lives of Unix stream sockets: whose birth was seen, their end of file, their end. */
#ifndef SONDE_BPF_UNIX_LIFE_H
#define SONDE_BPF_UNIX_LIFE_H

#include "life.h"

/* An address as a number: the verifier does no arithmetic on typed pointers, and hashes none. */
static __always_inline __u64 address_of(const void *pointer)
{
	volatile __u64 address = (__u64)pointer;

	return address;
}

static __always_inline void unix_born(__u64 sk, __u64 ns, const struct sonde_turn_ref *connect)
{
	struct unix_birth birth = { .ns = ns };

	if (connect)
		birth.connect = *connect;
	bpf_map_update_elem(&unix_births, &sk, &birth, BPF_ANY);
}

/*
 * Who opened the connection, and whether that was seen: then so was every byte since. The newer
 * birth is this connection's, another one that of a socket which had the address before; the two
 * sockets of a pair are born at once.
 */
static __always_inline void unix_learn(struct conn *conn, const struct sock *sk)
{
	__u64 own = address_of(sk), other = address_of(unix_peer(sk));
	struct unix_birth *mine, *peers;

	conn->flags |= CONN_UNIX_KNOWN;
	mine = bpf_map_lookup_elem(&unix_births, &own);
	peers = other ? bpf_map_lookup_elem(&unix_births, &other) : NULL;
	if (!mine && !peers)
		return;
	conn->flags |= CONN_FROM_START;
	conn->pair = !peers || (mine && mine->ns > peers->ns) ? mine->ns : peers->ns;
	if (mine && peers && mine->ns == peers->ns)
		return;
	if (!peers || (mine && mine->ns > peers->ns)) {
		conn->role = SONDE_ROLE_ACTIVE;
		conn->connect = mine->connect;
	} else {
		conn->role = SONDE_ROLE_PASSIVE;
	}
}

/* The connection's state at input or output; NULL: no room (counted). */
static __always_inline struct conn *unix_conn(struct sonde_kcounters *k, const struct sock *sk)
{
	struct conn *conn = conn_make(k, sk);

#ifdef SONDE_TRACING
	/* Where no hook sees a socket's end its address may be another one's by now. */
	if (conn && settings.conn_cookie && !settings.conn_in_storage &&
	    conn->id != bpf_get_socket_cookie((void *)sk)) {
		count(k, state_conn_stale, 1);
		if (conn->flags & (CONN_SENT | CONN_OTHER_SENT))
			gone_emit(k, conn, SONDE_REC_GONE, 0);
		slot_free(conn);
		conn_remove(sk);
		conn = conn_make(k, sk);
	}
#endif
	if (conn && !(conn->flags & CONN_UNIX_KNOWN))
		unix_learn(conn, sk);
	return conn;
}

/* This end has read, or will read, the end of file. */
static __always_inline void unix_end(struct sonde_kcounters *k, const struct sock *sk)
{
	struct conn *conn = conn_find(sk);

	if (!conn || !(conn->flags & CONN_SENT) || (conn->rx.flags & DIR_SHUT))
		return;
	conn->rx.flags |= DIR_SHUT;
	gone_emit(k, conn, SONDE_REC_SHUT, 0);
}

static __always_inline void unix_gone(const struct sock *sk)
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

#endif
