/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection: its state, what the kernel's own sequence numbers say, its slot. */
#ifndef SONDE_BPF_CONN_H
#define SONDE_BPF_CONN_H

#include "task.h"

/* What TCP knows, read once a hit. Of one moment only where the socket's lock is held. */
struct tcp_now {
	__u32 write_seq, copied_seq, snd_una, rcv_nxt;
	__u64 acked, received;
	bool fin_received;
	bool layered; /* another protocol sits on top: kernel TLS, multipath TCP */
};

/* NULL: it is none. */
static __always_inline const struct tcp_sock *tcp_of(const struct sock *sk)
{
#if defined(SONDE_TRACING)
	return bpf_skc_to_tcp_sock((void *)sk);
#elif defined(SONDE_CAST)
	return CAST(struct tcp_sock, sk);
#else
	return (const void *)sk;
#endif
}

/* All but `layered`: for a verifier that is the dearest of the loads. */
static __always_inline bool tcp_numbers_read(const struct sock *sk, struct tcp_now *now)
{
	const struct tcp_sock *tp = tcp_of(sk);

	if (!tp)
		return false;
	/* before rcv_nxt, which then counts the FIN whoever holds the lock */
	now->fin_received = FIELD(sk, __sk_common.skc_flags) & (1ul << SOCK_FLAG_DONE);
	barrier();
	now->write_seq = FIELD(tp, write_seq);
	now->copied_seq = FIELD(tp, copied_seq);
	now->snd_una = FIELD(tp, snd_una);
	now->acked = FIELD(tp, bytes_acked);
	now->rcv_nxt = FIELD(tp, rcv_nxt);
	now->received = FIELD(tp, bytes_received);
	return true;
}

static __always_inline bool tcp_layered_read(const struct sock *sk, struct tcp_now *now)
{
	const struct tcp_sock *tp = tcp_of(sk);

	if (!tp)
		return false;
	now->layered = FIELD(tp, inet_conn.icsk_ulp_ops) != NULL;
	return true;
}

static __always_inline bool tcp_now_read(const struct sock *sk, struct tcp_now *now)
{
	return tcp_numbers_read(sk, now) && tcp_layered_read(sk, now);
}

/* Of that, how far its streams have got. */
static __always_inline bool tcp_seqs_read(const struct sock *sk, struct tcp_now *now)
{
	const struct tcp_sock *tp = tcp_of(sk);

	if (!tp)
		return false;
	now->write_seq = FIELD(tp, write_seq);
	now->copied_seq = FIELD(tp, copied_seq);
	return true;
}

/* A process holds it, or a softirq, or a process that works off what came meanwhile. */
static __always_inline bool sock_is_locked(const struct sock *sk)
{
	return FIELD(sk, sk_lock.owned) || FIELD(sk, sk_lock.slock.rlock.raw_lock.val.counter);
}

#define TCP_NOW_TRIES 8

/*
 * The same where the caller does not hold the lock. Numbers only grow, and by their holder: two
 * readings that agree, around a moment at which nobody held it, are what they were at that moment.
 */
static __noinline int tcp_now_settled(struct sonde_kcounters *k, const struct sock *sk,
				      struct tcp_now *now)
{
	struct tcp_now before = {};

	if (!tcp_layered_read(sk, now))
		return false;
#pragma clang loop unroll(disable)
	for (int i = 0; i < TCP_NOW_TRIES; i++) {
		__u64 differs;

		if (!tcp_numbers_read(sk, &before))
			return false;
		barrier();
		differs = sock_is_locked(sk);
		barrier();
		if (!tcp_numbers_read(sk, now))
			return false;
		/* without a branch each: every one is another way for a verifier to walk */
		differs |= (before.rcv_nxt ^ now->rcv_nxt) | (before.received ^ now->received) |
			   (before.snd_una ^ now->snd_una) | (before.acked ^ now->acked) |
			   (before.write_seq ^ now->write_seq) |
			   (before.copied_seq ^ now->copied_seq);
		if (!differs)
			return true;
	}
	count(k, state_conn_unsettled, 1);
	return true;
}

static __always_inline __u32 copied_seq_of(const struct sock *sk)
{
	const struct tcp_sock *tp = tcp_of(sk);

	return tp ? FIELD(tp, copied_seq) : 0;
}

/* Sequence number of the next byte to be read: a FIN that was read counts as one and is no byte. */
static __always_inline __u32 rx_seq_of(const struct tcp_now *now)
{
	return now->copied_seq - (now->fin_received && now->copied_seq == now->rcv_nxt);
}

static __always_inline __u32 tx_seq_of(const struct conn *conn, const struct tcp_now *now)
{
	return now->write_seq - !!(conn->flags & CONN_FIN_SENT);
}

static __always_inline __u64 pair_of(__u16 here, __u16 there, __u32 peer)
{
	return (__u64)(here | (__u32)there << 16) << 32 | peer;
}

static __always_inline __u64 conn_pair(const struct sock *sk)
{
	return pair_of(FIELD(sk, __sk_common.skc_num), FIELD(sk, __sk_common.skc_dport),
		       FIELD(sk, __sk_common.skc_daddr));
}

/* What a socket begins with. */
struct sock_now {
	__u64 pair, prot;
	__u8 state;
};

static __always_inline bool sock_now_read(const struct sock *sk, struct sock_now *now)
{
#ifdef SONDE_DIRECT
	now->pair = conn_pair(sk);
	now->prot = (__u64)FIELD(PLAIN(struct sock, sk), __sk_common.skc_prot);
	now->state = FIELD(sk, __sk_common.skc_state);
#else
	__u64 span[6];
	__u16 here, there;

	if (bpf_probe_read_kernel(span, sizeof(span), sk))
		return false;
	here = SPAN_FIELD(span, 0, __u16, sk, struct sock, __sk_common.skc_num);
	there = SPAN_FIELD(span, 0, __u16, sk, struct sock, __sk_common.skc_dport);
	now->pair = pair_of(here, there,
			    SPAN_FIELD(span, 0, __u32, sk, struct sock, __sk_common.skc_daddr));
	now->prot = SPAN_FIELD(span, 0, __u64, sk, struct sock, __sk_common.skc_prot);
	now->state = SPAN_FIELD(span, 0, __u8, sk, struct sock, __sk_common.skc_state);
#endif
	return true;
}

/* How much the socket may hold of what is written before it waits. */
static __always_inline int send_room(const struct sock *sk)
{
#ifndef SONDE_TRACING
	__u64 begin = bpf_core_field_offset(struct sock, sk_sndbuf);

	/* neighbours in most kernels */
	if (bpf_core_field_offset(struct sock, sk_wmem_queued) == begin + sizeof(int)) {
#ifdef SONDE_CAST
		__u64 both = eight_bytes((__u64)sk + begin);

		return (int)both - (int)(both >> 32);
#else
		int span[2];

		if (bpf_probe_read_kernel(span, sizeof(span), (const char *)sk + begin))
			return 0;
		return span[0] - span[1];
#endif
	}
#endif
	return FIELD(sk, sk_sndbuf) - FIELD(sk, sk_wmem_queued);
}

/* A number that no other connection of this boot has. */
static __always_inline __u64 conn_number(const struct sock *sk)
{
#ifdef SONDE_TRACING
	/* The kernel's socket cookie: unique, and safe where programs may be preempted. */
	if (settings.conn_cookie)
		return bpf_get_socket_cookie((void *)sk);
#endif
	__u32 zero = 0;
	__u64 *n = bpf_map_lookup_elem(&conn_numbers, &zero);

	if (!n)
		return 0;
	*n += 1;
	return (__u64)(bpf_get_smp_processor_id() + 1) << 48 | *n;
}

static __always_inline struct conn *conn_find(const struct sock *sk)
{
#ifdef SONDE_TRACING
	if (settings.conn_in_storage)
		return bpf_sk_storage_get(&conn_storage, (void *)sk, 0, 0);
#endif
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&conn_hash, &key);
}

static __always_inline void conn_init(struct sonde_kcounters *k, struct conn *conn,
				      const struct sock *sk)
{
	conn->id = conn_number(sk);
	conn->slot = ~0u;
	conn->family = FIELD(sk, __sk_common.skc_family);
	count(k, conns_seen, 1);
}

/* What a new entry begins as: too large for the stack. */
const volatile __u64 conn_none[sizeof(struct conn) / sizeof(__u64)] SEC(".rodata.none") = {};

static __always_inline struct conn *conn_make(struct sonde_kcounters *k, const struct sock *sk)
{
	struct conn *conn;

#ifdef SONDE_TRACING
	if (settings.conn_in_storage) {
		conn = bpf_sk_storage_get(&conn_storage, (void *)sk, 0,
					  BPF_SK_STORAGE_GET_F_CREATE);
		if (conn && !conn->id)
			conn_init(k, conn, sk);
		if (!conn)
			count(k, state_conn_full, 1);
		return conn;
	}
#endif
	__u64 key = (__u64)sk;

	conn = bpf_map_lookup_elem(&conn_hash, &key);
	if (conn && conn->id)
		return conn;
	bpf_map_update_elem(&conn_hash, &key, (const void *)conn_none, BPF_NOEXIST);
	conn = bpf_map_lookup_elem(&conn_hash, &key);
	if (!conn) {
		count(k, state_conn_full, 1);
		return NULL;
	}
	conn_init(k, conn, sk);
	return conn;
}

static __always_inline void conn_remove(const struct sock *sk)
{
#ifdef SONDE_TRACING
	if (settings.conn_in_storage) {
		bpf_sk_storage_delete(&conn_storage, (void *)sk);
		return;
	}
#endif
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&conn_hash, &key);
}

static __always_inline bool state_sent_fin(__u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK || state == TCP_TIME_WAIT;
}

/*
 * First input or output: where the streams stand. rx and tx are the bytes that went by in sight
 * already. Offsets from bytes_acked and bytes_received: 64 bits, exact.
 */
static __always_inline void conn_learn(struct conn *conn, const struct sock *sk,
				       const struct tcp_now *now, __u64 rx, __u64 tx)
{
	__u64 rx_offset = now->received - (__u32)(now->rcv_nxt - rx_seq_of(now));
	__u64 tx_offset;

	if (state_sent_fin(FIELD(sk, __sk_common.skc_state)))
		conn->flags |= CONN_FIN_SENT;
	tx_offset = now->acked + (__u32)(tx_seq_of(conn, now) - now->snd_una);
	if (conn->role == SONDE_ROLE_ACTIVE) {
		/* its SYN; and its connect(2) was seen, so that all of it was in sight */
		tx_offset -= !!tx_offset;
		rx = rx_offset;
		tx = tx_offset;
	}
	if (rx > rx_offset)
		rx = rx_offset;
	if (tx > tx_offset)
		tx = tx_offset;
	rx_offset -= rx;
	tx_offset -= tx;
	if (tx_offset == 0 && conn->role != SONDE_ROLE_ACTIVE)
		conn->role = SONDE_ROLE_PASSIVE;

	conn->rx.seq = rx_seq_of(now) - rx;
	conn->tx.seq = tx_seq_of(conn, now) - tx;
	conn->rx.stood = conn->rx.seq;
	conn->tx.stood = conn->tx.seq;
	conn->rx.offset = conn->rx_start = rx_offset;
	conn->tx.offset = conn->tx_start = tx_offset;
	conn->rx_base = conn->rx.seq - (__u32)rx_offset;
	conn->tx_base = conn->tx.seq - (__u32)tx_offset;
	conn->pair = conn_pair(sk);
	conn->prot = now->layered ? 0 : (__u64)FIELD(PLAIN(struct sock, sk), __sk_common.skc_prot);
	if (rx_offset == 0 && tx_offset == 0)
		conn->flags |= CONN_FROM_START;
	conn->flags |= CONN_KNOWN;
}

/* How far a direction has got as the kernel says; what no hook saw need not be settled yet. */
static __always_inline __u64 offset_now(const struct direction *dir)
{
#ifdef SONDE_FIRES_AFTERWARDS
	return dir->offset + (__s64)(__s32)(dir->stood - dir->seq);
#else
	return dir->offset;
#endif
}

/* The connection's slot, or NULL: none, or it was taken over. */
static __always_inline struct sonde_slot *slot_of(const struct conn *conn)
{
	__u32 index = conn->slot;
	struct sonde_slot *slot;

	if (index == ~0u)
		return NULL;
	slot = bpf_map_lookup_elem(&slots, &index);
	return slot && slot->conn == conn->id ? slot : NULL;
}

#ifdef SONDE_SWEEPS
/* Every so many slots given to Unix connections (a power of two), dead ones are looked for. */
#define SWEEP_EVERY_SLOTS (SONDE_SLOTS_DEFAULT / 64)

static __always_inline void slot_alive(__u32 index)
{
	__u32 word = index / 64;
	__u64 *bits = bpf_map_lookup_elem(&slots_alive, &word);

	if (bits)
		__sync_fetch_and_or(bits, 1ull << (index & 63));
}

/* Nothing tells when a Unix socket goes. After many have come, probe is asked to look. */
static __always_inline void slot_given(struct sonde_kcounters *k, const struct conn *conn)
{
	struct sonde_rec_told *rec;

	if (conn->family != SONDE_AF_UNIX)
		return;
	count(k, unix_slots_given, 1);
	if (k->unix_slots_given % SWEEP_EVERY_SLOTS)
		return;
	rec = bpf_ringbuf_reserve(&proc_ring, sizeof(*rec), 0);
	if (!rec) {
		count(k, state_proc_ring_full, 1);
		return;
	}
	__builtin_memset(rec, 0, sizeof(*rec));
	rec->proc.h.type = SONDE_REC_SWEEP;
	rec->proc.h.bytes = sizeof(*rec);
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}
#endif

static __always_inline void slot_claim(struct sonde_kcounters *k, struct conn *conn)
{
	__u32 first = conn->id * 0x9e3779b97f4a7c15ull >> 40;

#pragma unroll
	for (int i = 0; i < SONDE_SLOT_TRIES; i++) {
		__u32 index = (first + i) & settings.slot_mask;
		struct sonde_slot *slot = bpf_map_lookup_elem(&slots, &index);

		if (slot && !slot->conn) {
			slot->watermark_rx = slot->watermark_tx = slot->wish = 0;
			slot->rx_offset = conn->rx.offset;
			slot->tx_offset = conn->tx.offset;
			slot->rx_ns = conn->rx.ns;
			slot->tx_ns = conn->tx.ns;
			conn->slot = index;
#ifdef SONDE_SWEEPS
			slot_alive(index); /* before it can be found: see sweep.h */
			slot_given(k, conn);
#endif
			slot->conn = conn->id;
			return;
		}
	}
	count(k, state_no_slot, 1);
}

static __always_inline void slot_free(struct conn *conn)
{
	struct sonde_slot *slot = slot_of(conn);

	if (slot) {
		slot->watermark_rx = slot->watermark_tx = slot->wish = 0;
		slot->conn = 0;
	}
	conn->slot = ~0u;
}

/* Whether the state belongs to this very connection (socket addresses are used again). */
static __always_inline bool conn_matches(const struct conn *conn, const struct sock *sk,
					 const struct tcp_now *now)
{
	__u32 tx_base = now->snd_una - (__u32)now->acked + (conn->role == SONDE_ROLE_ACTIVE);

	return conn->pair == conn_pair(sk) &&
	       conn->rx_base == now->rcv_nxt - (__u32)now->received && conn->tx_base == tx_base;
}

#endif
