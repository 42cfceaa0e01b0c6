/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which socket carries what goes through a TLS library: while a thread is inside one of the library's
 * functions, what it sends or receives on a connection that speaks TLS is that function's doing. Hooks
 * on sockets note it in the library's connection; hooks in the library (tls_call.h) take it from there.
 */
#ifndef SONDE_BPF_TLS_TIE_H
#define SONDE_BPF_TLS_TIE_H

#include "scope.h"
#include "tls_carry.h"

static __always_inline void tls_key_of(struct tls_key *key, struct thread *thread, __u64 ssl)
{
	key->ssl = ssl;
	key->process_start_ns = thread_process_start_ns(thread);
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->pad = 0;
}

#ifndef SONDE_UPROBE
static __always_inline void tls_carrier_put(const struct conn *conn, const struct sock *sk,
					    __u64 hello_ns)
{
	volatile __u64 key = (__u64)sk;
	struct tls_carrier carrier = {
		.id = conn->id,
		.pair = conn->pair,
		.hello_ns = hello_ns,
		.tx_base = conn->tx_base,
		.rx_base = conn->rx_base,
		.role = conn->role,
	};

	if (conn->family == SONDE_AF_UNIX)
		return;
	bpf_map_update_elem(&tls_carriers, (const void *)&key, &carrier, BPF_ANY);
}

/*
 * The socket is gone, and what it carried with it, whatever the library still has of it: programs that end
 * give nothing back.
 */
static __always_inline void tls_carrier_gone(struct sonde_kcounters *k, const struct conn *conn,
					     const struct sock *sk)
{
	volatile __u64 key = (__u64)sk;
	struct tls_carrier *carrier = bpf_map_lookup_elem(&tls_carriers, (const void *)&key);
	struct tls_stream *stream;

	if (!carrier || carrier->id != conn->id)
		return;
	stream = carrier->tied ? bpf_map_lookup_elem(&tls_streams, &carrier->key) : NULL;
	if (stream && stream->carrier == conn->id) {
		if (stream->conn.flags & (CONN_SENT | CONN_OTHER_SENT))
			gone_emit(k, &stream->conn, SONDE_REC_GONE,
				  conn->flags & CONN_RESET ? SONDE_F_RESET : 0);
		slot_free(&stream->conn);
		bpf_map_delete_elem(&tls_streams, &carrier->key);
	}
	bpf_map_delete_elem(&tls_carriers, (const void *)&key);
}

static __always_inline void tls_tie_fill(struct tls_stream *stream, const struct conn *conn,
					 const struct sock *sk)
{
	__builtin_memset(stream->local, 0, sizeof(stream->local));
	__builtin_memset(stream->remote, 0, sizeof(stream->remote));
	stream->family = conn->family;
	stream->role = conn->role;
	stream->tx_base = conn->tx_base;
	stream->rx_base = conn->rx_base;
	if (conn->family == SONDE_AF_UNIX)
		return;
	stream->netns = sock_netns(sk);
	stream->local_port = FIELD(sk, __sk_common.skc_num);
	stream->remote_port = __builtin_bswap16(FIELD(sk, __sk_common.skc_dport));
	if (conn->family == SONDE_AF_INET6 &&
	    bpf_core_field_exists(struct sock_common___v6, skc_v6_daddr)) {
		address_read(stream->local, sk, false);
		address_read(stream->remote, sk, true);
	} else {
		*(__u32 *)stream->local = FIELD(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)stream->remote = FIELD(sk, __sk_common.skc_daddr);
	}
}

static __always_inline struct tls_stream *tls_stream_of(struct thread *thread, __u64 ssl)
{
	struct tls_key key;

	tls_key_of(&key, thread, ssl);
	return bpf_map_lookup_elem(&tls_streams, &key);
}

static __always_inline void tls_carrier_tie(struct thread *thread, __u64 ssl,
					    struct tls_stream *stream, const struct sock *sk)
{
	volatile __u64 key = (__u64)sk;
	struct tls_carrier *carrier = bpf_map_lookup_elem(&tls_carriers, (const void *)&key);

	if (!carrier)
		return;
	/* its first byte was seen, and nothing of what it carries was before */
	if (!stream->conn.turn && tls_from_start(carrier))
		stream->flags |= TLS_HELLO;
	carrier->tied = 1;
	tls_key_of(&carrier->key, thread, ssl);
}

static __always_inline void tls_tied_to(struct sonde_kcounters *k, struct thread *thread, __u64 ssl,
					struct tls_stream *stream, struct conn *conn,
					const struct sock *sk)
{
	tls_tie_fill(stream, conn, sk);
	stream->carrier = conn->id;
	stream->carrier_sk = (__u64)sk;
	stream->tied_ns = bpf_ktime_get_boot_ns();
	if (thread->tls.ssl == ssl)
		thread->tls.carrier = conn->id;
	if (!(conn->flags & CONN_TIED))
		count(k, conns_tls_tied, 1);
	conn->flags |= CONN_TIED;
	tls_carrier_tie(thread, ssl, stream, sk);
	count(k, tls_tied, 1);
}

/* The thread is inside of a call that moves bytes of another connection than those it is known by. */
static __noinline int tls_tie_new(struct thread *thread, struct conn *conn, const struct sock *sk)
{
	__u64 ssl = thread->tls.ssl;
	struct tls_stream *stream = tls_stream_of(thread, ssl);
	struct sonde_kcounters *k = counters();

	if (!k || !stream || (stream->flags & TLS_CROSSED))
		return 0;
	stream->flags |= TLS_NESTED;
	if (!stream->carrier)
		tls_tied_to(k, thread, ssl, stream, conn, sk);
	else
		tls_cross(k, stream);
	return 0;
}

/*
 * The first bytes of a handshake, each way. What the library's functions do is seen where they move bytes
 * themselves. A handshake's return is not seen, and the program may carry them itself (memory BIOs): what
 * the thread sends first on a socket is then what the last call has left to be sent, unless calls on
 * other connections have left something since anything was sent.
 */
static __noinline int tls_tie_first(struct thread *thread, struct conn *conn, const struct sock *sk,
				    int tx)
{
	const struct tls_call *call = &thread->tls;
	struct tls_stream *stream = tls_stream_of(thread, call->ssl);
	struct sonde_kcounters *k = counters();
	bool inside = call->kind == TLS_INT || call->kind == TLS_COUNT;

	if (!k || !stream || (stream->flags & TLS_CROSSED) || stream->carrier == conn->id)
		return 0;
	if (!inside && (stream->carrier || stream->conn.turn || (conn->flags & CONN_TIED) || !tx ||
			thread->tls_out.ssl != call->ssl || thread->tls_out.mixed))
		return 0;
	/* the library's object was another connection's before */
	if (stream->carrier)
		stream->flags |= TLS_AGAIN;
	stream->flags |= TLS_HELLO | (inside ? TLS_NESTED : 0);
	tls_tied_to(k, thread, call->ssl, stream, conn, sk);
	return 0;
}

/* What the thread sends may be what it has given to the library since it sent last. */
static __noinline int tls_tie_sent(struct thread *thread, struct conn *conn, const struct sock *sk,
				   __u32 bytes)
{
	const struct tls_out *out = &thread->tls_out;
	struct sonde_kcounters *k = counters();
	struct tls_carrier *carrier;
	struct tls_stream *stream;
	__u64 key = (__u64)sk;

	if (!k || !tls_agrees(bytes, out->bytes, out->records))
		return 0;
	stream = tls_stream_of(thread, out->ssl);
	carrier = bpf_map_lookup_elem(&tls_carriers, &key);
	if (!stream || !carrier || carrier->id != conn->id ||
	    (stream->flags & (TLS_CROSSED | TLS_NESTED)) || stream->carrier == conn->id)
		return 0;
	if (tls_believe(k, stream, carrier,
			stream->conn.rx.offset + stream->conn.tx.offset - out->bytes))
		tls_tied_to(k, thread, out->ssl, stream, conn, sk);
	return 0;
}

/* Of a call that is not the library's: what it means to the next one that is, or meant to the last. */
static __always_inline void tls_carry(struct thread *thread, struct conn *conn,
				      const struct sock *sk, bool tx, __u32 bytes, bool first)
{
	struct tls_out *out = &thread->tls_out;

	if (!tx) {
		tls_in_note(thread, conn, sk, bytes, first);
		return;
	}
	if (out->ssl && out->records && !out->mixed && out->carrier != conn->id)
		tls_tie_sent(thread, conn, sk, bytes);
	out->ssl = 0;
	out->mixed = 0;
}

/* A call on a connection that speaks TLS. */
static __always_inline void tls_tie(struct sonde_kcounters *k, struct thread *thread,
				    struct conn *conn, const struct sock *sk, bool tx, __u32 bytes,
				    bool first)
{
	struct tls_call *call = &thread->tls;

	if (call->kind != TLS_INT && call->kind != TLS_COUNT) {
		tls_carry(thread, conn, sk, tx, bytes, first);
		return;
	}
	call->carried = 1;
	if (call->carrier != conn->id)
		tls_tie_new(thread, conn, sk);
}

/* The same of one that moves the first bytes of a direction. */
static __always_inline void tls_tie_hello(struct sonde_kcounters *k, struct thread *thread,
					  struct conn *conn, const struct sock *sk, bool tx,
					  __u32 bytes)
{
	if (thread->tls.ssl)
		tls_tie_first(thread, conn, sk, tx);
	tls_tie(k, thread, conn, sk, tx, bytes, true);
}

/* The same where the thread's state was not needed otherwise. */
static __always_inline void tls_tie_here(struct sonde_kcounters *k, struct conn *conn,
					 const struct sock *sk, bool tx, __u32 bytes)
{
	struct thread *thread = thread_here(false);

	if (thread)
		tls_tie(k, thread, conn, sk, tx, bytes, false);
}
#endif

#endif
