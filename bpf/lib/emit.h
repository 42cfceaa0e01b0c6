/* SPDX-License-Identifier: GPL-2.0-only */
/* Records about connections: CONN, END, SHUT, GONE. */
#ifndef SONDE_BPF_EMIT_H
#define SONDE_BPF_EMIT_H

#include "conn.h"
#include "hit.h"
#include "iov.h"

static __always_inline void address_read(__u8 *to, const struct sock *sk, bool remote)
{
	__u64 offset = remote ? bpf_core_field_offset(struct sock_common___v6, skc_v6_daddr) :
				bpf_core_field_offset(struct sock_common___v6, skc_v6_rcv_saddr);

	const char *at = (const char *)sk + offset;

#ifdef SONDE_DIRECT
	barrier_var(
		at); /* else the compiler makes of it loads of a field that it knows to be one byte */
	((__u64 *)to)[0] = ((const __u64 *)at)[0];
	((__u64 *)to)[1] = ((const __u64 *)at)[1];
#else
	bpf_probe_read_kernel(to, 16, at);
#endif
}

static __always_inline void conn_addresses(struct sonde_rec_conn *rec, const struct sock *sk,
					   __u16 family)
{
	__builtin_memset(rec->local, 0, sizeof(rec->local));
	__builtin_memset(rec->remote, 0, sizeof(rec->remote));
	rec->local_port = rec->remote_port = 0;
	if (family == SONDE_AF_UNIX)
		return;
	rec->local_port = FIELD(sk, __sk_common.skc_num);
	rec->remote_port = __builtin_bswap16(FIELD(sk, __sk_common.skc_dport));
	if (family == SONDE_AF_INET6 &&
	    bpf_core_field_exists(struct sock_common___v6, skc_v6_daddr)) {
		address_read(rec->local, sk, false);
		address_read(rec->remote, sk, true);
	} else {
		*(__u32 *)rec->local = FIELD(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)rec->remote = FIELD(sk, __sk_common.skc_daddr);
	}
}

static __always_inline __u64 mix(__u64 x, __u64 seed)
{
	x ^= seed;
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdull;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ull;
	x ^= x >> 33;
	return x;
}

static __always_inline const struct sock *unix_peer(const struct sock *sk)
{
#if defined(SONDE_KPROBE) && defined(SONDE_CAST)
	return CAST(struct unix_sock, sk)->peer;
#elif defined(SONDE_TRACING)
	if (HELPER_EXISTS(skc_to_unix_sock)) {
		struct unix_sock *socket = bpf_skc_to_unix_sock((void *)sk);

		return socket ? socket->peer : NULL;
	}
#endif
	return kernel_readable() ? BPF_CORE_READ((const struct unix_sock *)sk, peer) : NULL;
}

/*
 * The same on both ends of a Unix connection and on no other one, though sockets' addresses are
 * used again: it was born at conn->pair. No address is told.
 */
static __always_inline void unix_pair(struct sonde_rec_conn *rec, const struct sock *sk,
				      const struct conn *conn)
{
	__u64 a, b, low, high;

	/* through the record: the verifier does arithmetic on numbers, not on typed pointers */
	*(volatile __u64 *)&rec->pair[0] = (__u64)sk;
	a = *(volatile __u64 *)&rec->pair[0];
	*(volatile __u64 *)&rec->pair[1] = (__u64)unix_peer(sk);
	b = *(volatile __u64 *)&rec->pair[1];
	low = a < b ? a : b;
	high = a < b ? b : a;
	rec->pair[0] = mix(low, settings.seed[0] ^ conn->pair);
	rec->pair[1] = mix(high, settings.seed[1] ^ conn->pair);
}

/* Where the connection leads. */
static __always_inline void conn_ends_fill(struct sonde_rec_conn *rec, const struct hit *hit)
{
#ifdef SONDE_UPROBE
	const struct tls_stream *stream = (const struct tls_stream *)hit->conn;

	rec->carried = 1;
	rec->netns = stream->netns;
	rec->family = stream->family;
	rec->role = stream->role;
	rec->local_port = stream->local_port;
	rec->remote_port = stream->remote_port;
	__builtin_memcpy(rec->local, stream->local, sizeof(rec->local));
	__builtin_memcpy(rec->remote, stream->remote, sizeof(rec->remote));
	rec->tx_base = stream->tx_base;
	rec->rx_base = stream->rx_base;
	rec->pair[0] = stream->carrier;
	rec->pair[1] = 0;
#else
	const struct conn *conn = hit->conn;

	rec->carried = 0;
	rec->netns = sock_netns(hit->sk);
	rec->family = conn->family;
	rec->role = conn->role;
	conn_addresses(rec, hit->sk, conn->family);
	rec->tx_base = conn->tx_base;
	rec->rx_base = conn->rx_base;
	rec->pair[0] = rec->pair[1] = 0;
	if (conn->family == SONDE_AF_UNIX)
		unix_pair(rec, hit->sk, conn);
#endif
}

/* Says that this connection exists and what it is. False: there was no room, tried again later. */
static __noinline bool conn_emit(struct hit *hit)
{
	struct conn *conn = hit->conn;
	struct sonde_kcounters *k = hit->k;
	struct sonde_rec_conn *rec;

	count(k, records_attempted, 1);
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		conn->flags |= CONN_LOST;
		return false;
	}
	rec->h.type = SONDE_REC_CONN;
	rec->h.flags = conn->flags & CONN_LOST ? SONDE_F_LOST_BEFORE : 0;
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = hit->w->ns;
	rec->h.conn = conn->id;
	rec->tgid = hit->w->tgid;
	rec->slot = conn->slot;
	rec->tgid_start_ns = thread_process_start_ns(hit->thread);
	rec->verdict = conn->verdict;
	rec->from_start = !!(conn->flags & CONN_FROM_START);
	rec->first_bytes = hit->dir->first_bytes;
	rec->pad = 0;
	conn_ends_fill(rec, hit);
	rec->tx_offset = conn->tx_start;
	rec->rx_offset = conn->rx_start;
	((__u64 *)rec->first)[0] = hit->dir->first[0];
	((__u64 *)rec->first)[1] = hit->dir->first[1];
	conn->flags &= ~CONN_LOST;
	ring_submit(k, rec);
	return true;
}

static __always_inline __u8 consumer_generation(void)
{
	__u32 zero = 0;
	struct sonde_switches *sw = bpf_map_lookup_elem(&switches, &zero);

	return sw ? *(volatile __u32 *)&sw->generation : 0;
}

#ifdef SONDE_UPROBE
/* It is told again only for its ends: whoever knows it has seen it from where he saw it before. */
static __always_inline bool tls_told_late(struct conn *conn)
{
	struct tls_stream *stream = (struct tls_stream *)conn;

	if (!(stream->flags & TLS_LATE))
		return false;
	stream->flags &= ~TLS_LATE;
	if (stream->flags & TLS_HELLO)
		conn->flags |= CONN_FROM_START;
	return true;
}
#endif

/*
 * The connection is decoded: once, before its first DATA; and again where another consumer reads
 * the ring, who meets it in mid-life.
 */
static __always_inline bool conn_announce(struct hit *hit)
{
	struct conn *conn = hit->conn;
	__u8 generation = consumer_generation();

	if (conn->flags & CONN_SENT) {
		if (conn->generation == generation)
			return true;
#ifdef SONDE_UPROBE
		if (!tls_told_late(conn))
#endif
			conn->flags &= ~CONN_FROM_START;
		conn->rx_start = conn->rx.offset;
		conn->tx_start = conn->tx.offset;
		conn->rx.flags &= ~DIR_TOLD;
		conn->tx.flags &= ~DIR_TOLD;
	}
	conn->generation = generation;
#ifdef SONDE_UPROBE
	/* one whose end nobody sees would keep its slot */
	if (conn->slot == ~0u && ((const struct tls_stream *)conn)->carrier)
		slot_claim(hit->k, conn);
#else
	if (conn->slot == ~0u)
		slot_claim(hit->k, conn);
#endif
	proc_seen(hit->k, hit->w->tgid);
	if (!conn_emit(hit))
		return false;
	conn->flags |= CONN_SENT;
	return true;
}

/*
 * The same of a connection of which nothing but its hello is decoded: it needs no slot, as nobody follows
 * its bytes.
 */
static __always_inline bool hello_announce(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (conn->flags & CONN_SENT)
		return true;
	conn->generation = consumer_generation();
	if (!conn_emit(hit))
		return false;
	conn->flags |= CONN_SENT;
	return true;
}

static __always_inline void end_emit(struct sonde_kcounters *k, struct conn *conn, bool tx,
				     __u64 ns, __u64 offset, __u16 flags)
{
	struct sonde_rec_end *rec;

	count(k, records_attempted, 1);
	if (!ring_has_room(k, sizeof(*rec))) {
		conn->flags |= CONN_LOST;
		return;
	}
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		conn->flags |= CONN_LOST;
		return;
	}
	rec->h.type = SONDE_REC_END;
	rec->h.flags =
		flags | (tx ? SONDE_F_TX : 0) | (conn->flags & CONN_LOST ? SONDE_F_LOST_BEFORE : 0);
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = ns;
	rec->h.conn = conn->id;
	rec->turn = conn->turn;
	rec->pad = 0;
	rec->offset = offset;
	conn->flags &= ~CONN_LOST;
	ring_submit(k, rec);
}

/* SHUT or GONE, at final offsets tx and rx. */
static __always_inline void gone_emit(struct sonde_kcounters *k, struct conn *conn, __u16 type,
				      __u16 flags)
{
	struct sonde_rec_gone *rec;

	count(k, records_attempted, 1);
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		conn->flags |= CONN_LOST;
		return;
	}
	rec->h.type = type;
	rec->h.flags = flags | (conn->flags & CONN_LOST ? SONDE_F_LOST_BEFORE : 0);
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = bpf_ktime_get_boot_ns();
	rec->h.conn = conn->id;
	rec->tx_offset = conn->tx.offset;
	rec->rx_offset = conn->rx.offset;
	rec->tx_ns = conn->tx.ns;
	rec->rx_ns = conn->rx.ns;
	conn->flags &= ~CONN_LOST;
	ring_submit(k, rec);
}

#endif
