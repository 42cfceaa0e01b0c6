/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls of TLS libraries, by breakpoints on a function's first instruction and on its returns. Between
 * the two the thread remembers the call; that a return is of this very call shows by the stack pointer,
 * which is at both what it is at no function in between. Whatever they moved is a hit on a connection
 * of its own, whose offsets count plaintext.
 */
#ifndef SONDE_BPF_TLS_CALL_H
#define SONDE_BPF_TLS_CALL_H

#define SONDE_UPROBE 1

#include "scope.h"
#include "turn.h"

#define __VMLINUX_H__ /* the kernel's names of registers, as in kernel.h */
#include <bpf/bpf_tracing.h>

/* Plaintext of this process may be looked at; where a socket decides, only what is tied to one in scope. */
static __always_inline bool tls_in_scope(__u32 tgid)
{
	enum scope is = scope_of(tgid);

	if (is != SCOPE_ASK)
		return is == SCOPE_IN;
	if (!settings.scope)
		return scope_begun();
	return (settings.scope & (SONDE_SCOPE_PORT | SONDE_SCOPE_NETNS)) ||
	       ((settings.scope & SONDE_SCOPE_CGROUP) && scope_cgroup());
}

/*
 * A number that no connection has: bit 63 is set in none of those that sockets have. These programs may
 * be preempted, so that no counter of a processor would do; two of one processor are never born within
 * 16 ns.
 */
static __always_inline __u64 tls_number(void)
{
	__u64 cpu = bpf_get_smp_processor_id() & (SONDE_CPUS_MAX - 1);

	return 1ull << 63 | cpu << 53 | (bpf_ktime_get_boot_ns() >> 4 & ((1ull << 53) - 1));
}

static __always_inline void tls_stream_begin(struct sonde_kcounters *k, struct tls_stream *stream)
{
	stream->conn.id = tls_number();
	stream->conn.slot = ~0u;
	stream->candidate = stream->agreed = 0;
}

const volatile __u64 tls_none[sizeof(struct tls_stream) / sizeof(__u64)] SEC(".rodata.none") = {};

static __always_inline void tls_stream_end(struct sonde_kcounters *k, struct tls_stream *stream)
{
	if (stream->conn.flags & (CONN_SENT | CONN_OTHER_SENT))
		gone_emit(k, &stream->conn, SONDE_REC_GONE, 0);
	slot_free(&stream->conn);
}

/* The object is another connection's from now on; what carries it is known already. */
static __always_inline void tls_stream_again(struct sonde_kcounters *k, struct tls_stream *stream)
{
	tls_stream_end(k, stream);
	__builtin_memset(&stream->conn, 0, sizeof(stream->conn));
	stream->flags &= ~(TLS_AGAIN | TLS_LATE | TLS_TOLD);
	tls_stream_begin(k, stream);
}

static __always_inline struct tls_stream *
tls_stream_get(struct sonde_kcounters *k, struct thread *thread, __u64 ssl, bool *is_new)
{
	struct tls_stream *stream;
	struct tls_key key;

	tls_key_of(&key, thread, ssl);
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	if (!stream) {
		bpf_map_update_elem(&tls_streams, &key, (const void *)tls_none, BPF_NOEXIST);
		stream = bpf_map_lookup_elem(&tls_streams, &key);
		if (!stream) {
			count(k, state_tls_full, 1);
			return NULL;
		}
		tls_stream_begin(k, stream);
		*is_new = true;
	}
	if (stream->flags & TLS_AGAIN)
		tls_stream_again(k, stream);
	return stream;
}

#if defined(__TARGET_ARCH_x86)
#define RESULT_SECOND(ctx) ((ctx)->dx)
#elif defined(__TARGET_ARCH_arm64)
#define RESULT_SECOND(ctx) ((ctx)->regs[1])
#endif

/* What was told of a place when its breakpoint was set. */
static __always_inline __u64 tls_cookie(struct pt_regs *ctx)
{
	return HELPER_EXISTS(get_attach_cookie) ? bpf_get_attach_cookie(ctx) : 0;
}

#if defined(__TARGET_ARCH_x86)
/* The bits of a processor's flags (Intel SDM 3.4.3), and what conditions ask of them (appendix B.1.4.7). */
#define FLAG(ctx, bit) ((__u32)((ctx)->flags >> (bit)) & 1)
#define CARRY(ctx) FLAG(ctx, 0)
#define PARITY(ctx) FLAG(ctx, 2)
#define ZERO(ctx) FLAG(ctx, 6)
#define SIGN(ctx) FLAG(ctx, 7)
#define OVERFLOW(ctx) FLAG(ctx, 11)

static __always_inline bool tls_holds(struct pt_regs *ctx, __u32 condition)
{
	__u32 less = SIGN(ctx) ^ OVERFLOW(ctx);
	/* bit n: whether the conditions 2n hold; 2n + 1 are their opposites */
	__u32 hold = OVERFLOW(ctx) | CARRY(ctx) << 1 | ZERO(ctx) << 2 |
		     (CARRY(ctx) | ZERO(ctx)) << 3 | SIGN(ctx) << 4 | PARITY(ctx) << 5 | less << 6 |
		     (less | ZERO(ctx)) << 7;

	return (hold >> (condition >> 1 & 7) & 1) != (condition & 1);
}

/* Only those that calls keep: inspect tells of no others. */
static __always_inline int tls_result(struct pt_regs *ctx, __u64 cookie)
{
	switch (cookie >> SONDE_TLS_RESULT_SHIFT & SONDE_TLS_RESULT_MASK) {
	case 3:
		return (ctx)->bx;
	case 5:
		return (ctx)->bp;
	case 12:
		return (ctx)->r12;
	case 13:
		return (ctx)->r13;
	case 14:
		return (ctx)->r14;
	case 15:
		return (ctx)->r15;
	case SONDE_TLS_RESULT_NONE:
		return 0;
	case SONDE_TLS_RESULT_ONE:
		return 1;
	default:
		return PT_REGS_RC(ctx);
	}
}
#else
static __always_inline bool tls_holds(struct pt_regs *ctx, __u32 condition)
{
	return true;
}

static __always_inline int tls_result(struct pt_regs *ctx, __u64 cookie)
{
	return PT_REGS_RC(ctx);
}
#endif

/* Whether this is a return: what stands for one may be on two ways. */
static __always_inline bool tls_returns(struct pt_regs *ctx)
{
	__u32 condition = tls_cookie(ctx) >> SONDE_TLS_CONDITION_SHIFT & SONDE_TLS_CONDITION_MASK;

	return condition == SONDE_TLS_ALWAYS || tls_holds(ctx, condition - 1);
}

/* What a call that is over has moved. */
static __always_inline __u32 tls_moved(struct pt_regs *ctx, const struct tls_call *call)
{
	int result = tls_result(ctx, tls_cookie(ctx));
	__u64 n = 0;

	if (call->kind == TLS_INT)
		return result > 0 ? result : 0;
	if (call->kind == TLS_RESULT) {
		n = PT_REGS_RC(ctx) ? 0 : RESULT_SECOND(ctx);
		return n > 0x7fffffff ? 0x7fffffff : n;
	}
	if (call->kind != TLS_COUNT || result != 1 ||
	    bpf_probe_read_user(&n, sizeof(n), (const void *)call->count))
		return 0;
	return n > 0x7fffffff ? 0x7fffffff : n;
}

/* A socket decides who is in scope: then what no socket is known of is not. */
static __always_inline bool tls_socket_decides(const struct tls_stream *stream, __u32 tgid)
{
	return (settings.scope & (SONDE_SCOPE_PORT | SONDE_SCOPE_NETNS)) && !stream->carrier &&
	       scope_of(tgid) == SCOPE_ASK;
}

/*
 * What a program at a place in a library has found out. What is to be captured is left in the thread for the
 * one program that captures (tls_capture()): a verifier walks through that once, not once for each way there.
 */
struct tls_found {
	struct sonde_kcounters *k;
	struct thread *thread;
	bool captures;
};

/* So many bytes from byte `skip` of the program's buffer on are to be captured. */
static __always_inline void tls_find(struct tls_found *found, const struct tls_call *call,
				     __u64 skip, __u64 bytes)
{
	struct tls_hit *hit = &found->thread->tls_hit;

	hit->ssl = call->ssl;
	hit->at = call->at;
	hit->ns = call->ns;
	hit->tx = call->tx;
	hit->skip = skip;
	hit->bytes = bytes;
	hit->more = hit->more_bytes = 0;
	found->captures = true;
}

/* More than this are counted, and not looked at. */
#define TLS_AREAS_MAX 24

/* The next area of those that are left; at its end: nothing of what is left may be looked at. */
static __always_inline void tls_next_area(struct tls_hit *hit)
{
	struct segment area = { 0 };

	if (hit->more && bpf_probe_read_user(&area, sizeof(area), (const void *)hit->more_at))
		hit->more = 0;
	hit->at = area.base;
	hit->bytes = hit->more ? smaller(area.len, hit->more_bytes) : hit->more_bytes;
	hit->more_bytes -= hit->bytes;
	hit->more_at += sizeof(area);
	if (hit->more)
		hit->more--;
	else
		hit->at = 0;
}

/* There is more of what a call has moved, elsewhere: that is found next. */
static __always_inline bool tls_more(void)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread = k ? thread_get(k, false) : NULL;

	if (!thread || !thread->tls_hit.more_bytes)
		return false;
	tls_next_area(&thread->tls_hit);
	return true;
}

/* What tls_find() has left in this thread. */
static __always_inline int tls_capture(void)
{
	struct sonde_kcounters *k = counters();
	struct thread *thread = k ? thread_get(k, false) : NULL;
	__u64 id = bpf_get_current_pid_tgid();
	const struct tls_hit *what;
	struct tls_stream *stream;
	struct tls_key key;
	struct hit hit;

	if (!thread)
		return 0;
	what = &thread->tls_hit;
	tls_key_of(&key, thread, what->ssl);
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	if (!stream || tls_socket_decides(stream, id >> 32))
		return 0;
	if (!what->bytes)
		return 0; /* an area of none */
	count(k, tls_calls, 1);
	if (!stream->conn.turn) {
		count(k, tls_streams, 1);
		if (stream->flags & TLS_HELLO)
			stream->conn.flags |= CONN_FROM_START;
	}
	/* told without its ends before: it is told once more */
	if (stream->carrier && !(stream->flags & TLS_TOLD)) {
		stream->flags |= TLS_TOLD;
		if (stream->conn.flags & CONN_SENT)
			stream->flags |= TLS_LATE;
		stream->conn.generation = consumer_generation() + 1;
	}
	hit.k = k;
	hit.conn = &stream->conn;
	hit.thread = thread;
	hit.w = &thread->work;
	hit.sk = NULL;
	hit.tx = what->tx;
	hit.dir = hit.tx ? &hit.conn->tx : &hit.conn->rx;
	hit.other = hit.tx ? &hit.conn->rx : &hit.conn->tx;
	/* the other end may have read, and answered, before a sender is back */
	hit.w->ns = hit.tx ? what->ns : bpf_ktime_get_boot_ns();
	work_begin(hit.w);
	hit.w->source.kind = what->at ? SOURCE_USER : SOURCE_NONE;
	hit.w->source.at = what->at;
	hit.w->source.skip = what->skip;
	hit.w->bytes = what->bytes;
	hit.w->tgid = id >> 32;
	hit.w->tid = id;
	hit.w->flags = hit.w->unsure = hit.w->rx_end = hit.w->rx_seq = 0;
	turn_advance(&hit);
	capture(&hit);
	return 0;
}

/*
 * What is to be written is captured before it is: else another thread, or the other end, might be seen
 * to answer it before. What was refused comes again, and is not told twice. Of a connection that is met
 * with this call it is left to the call's end, when its socket is known.
 */
static __always_inline void tls_writes(struct tls_found *found, struct tls_stream *stream,
				       struct tls_call *call)
{
	__u64 had = stream->flags & TLS_REFUSED ? stream->asked : 0, n = call->bytes;

	if (!stream->carrier && !stream->conn.turn)
		return;
	call->told = 1;
	stream->flags &= ~TLS_REFUSED;
	if (n > 0x7fffffff)
		n = 0x7fffffff;
	/* a call without a buffer only goes on with what was refused */
	if (!call->at || n <= had) {
		stream->asked = had;
		return;
	}
	stream->asked = n;
	tls_find(found, call, had, n - had);
}

/* The write is over and took so many bytes; 0: none yet. */
static __always_inline void tls_written(struct tls_stream *stream, __u32 moved)
{
	struct direction *dir = &stream->conn.tx;
	struct sonde_slot *slot;

	if (!moved) {
		stream->flags |= TLS_REFUSED;
		return;
	}
	if (moved >= stream->asked)
		return;
	/* the rest comes again, where it was */
	dir->offset -= stream->asked - moved;
	dir->flags &= ~DIR_TOLD;
	slot = slot_of(&stream->conn);
	if (slot)
		slot->tx_offset = dir->offset;
}

/* One function of a library that ends in another one, or calls it, to do the same: that is one call. */
static __always_inline bool tls_is_same(const struct tls_call *call, __u64 ssl, __u64 at, bool tx)
{
	return (call->kind == TLS_INT || call->kind == TLS_COUNT) && call->ssl == ssl &&
	       call->at == at && call->tx == tx;
}

/* The stack pointer as it was at the function's entry. */
static __always_inline __u64 tls_frame(struct pt_regs *ctx)
{
	return PT_REGS_SP(ctx) + (tls_cookie(ctx) >> SONDE_TLS_BELOW_SHIFT & SONDE_TLS_BELOW_MASK);
}

/* The thread enters a call that is to move bytes between `at` and the library's connection `ssl`. */
static __always_inline void tls_enter(struct tls_found *found, struct pt_regs *ctx, __u64 ssl,
				      __u64 at, __u64 bytes, __u64 count_at, enum tls_kind kind,
				      bool tx)
{
	struct tls_stream *stream;
	struct tls_call *call;
	bool is_new = false;

	if (!ssl || !tls_in_scope(bpf_get_current_pid_tgid() >> 32))
		return;
	found->k = counters();
	if (!found->k)
		return;
	found->thread = thread_get(found->k, true);
	if (!found->thread)
		return;
	call = &found->thread->tls;
	if (kind != TLS_HANDSHAKE && tls_is_same(call, ssl, at, tx))
		return;
	call->kind = TLS_NONE;
	stream = tls_stream_get(found->k, found->thread, ssl, &is_new);
	if (!stream)
		return;
	call->ssl = ssl;
	call->at = at;
	call->bytes = bytes;
	call->count = count_at;
	call->frame = tls_frame(ctx);
	call->ns = bpf_ktime_get_boot_ns();
	call->carrier = stream->carrier;
	call->tx = tx;
	call->told = call->carried = call->areas = 0;
	call->kind = kind;
	if (!tx)
		tls_in_given(found->thread, ssl);
	/* it may leave something of a handshake to be sent */
	if (!tx && !stream->carrier && !stream->conn.turn)
		tls_out_note(found->thread, ssl, 0, 0);
	if (tx && kind != TLS_RESULT)
		tls_writes(found, stream, call);
}

/* What a call has moved lies in several areas of memory. */
static __always_inline void tls_find_areas(struct tls_hit *hit, const struct tls_call *call,
					   __u32 moved)
{
	hit->more_at = call->at;
	hit->more = call->areas;
	hit->more_bytes = moved;
	tls_next_area(hit);
}

static __always_inline void tls_ends(struct tls_stream *stream, const struct sock *sk)
{
	__builtin_memset(stream->local, 0, sizeof(stream->local));
	__builtin_memset(stream->remote, 0, sizeof(stream->remote));
	stream->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	stream->netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	stream->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	stream->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	if (stream->family == SONDE_AF_INET6 &&
	    bpf_core_field_exists(struct sock_common___v6, skc_v6_daddr)) {
		address_read(stream->local, sk, false);
		address_read(stream->remote, sk, true);
	} else {
		*(__u32 *)stream->local = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)stream->remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	}
}

/* This socket carries the library's connection ssl. */
static __always_inline void tls_tie_to(struct sonde_kcounters *k, struct thread *thread,
				       struct tls_stream *stream, __u64 ssl,
				       struct tls_carrier *carrier, const struct sock *sk)
{
	carrier->tied = 1;
	tls_key_of(&carrier->key, thread, ssl);
	tls_ends(stream, sk);
	stream->role = carrier->role;
	stream->tx_base = carrier->tx_base;
	stream->rx_base = carrier->rx_base;
	stream->carrier = carrier->id;
	stream->carrier_sk = (__u64)sk;
	stream->tied_ns = bpf_ktime_get_boot_ns();
	count(k, tls_tied, 1);
	count(k, conns_tls_tied, 1);
}

/* So many bytes have come out of the library, of those that this thread has received last. */
static __noinline int tls_tie_taken(struct thread *thread, struct tls_stream *stream, __u64 ssl,
				    __u32 bytes)
{
	struct tls_in *in = &thread->tls_in;
	struct sonde_kcounters *k = counters();
	struct tls_carrier *carrier;
	const struct sock *sk;
	__u64 key, before;

	tls_in_given(thread, ssl);
	if (in->ssl != ssl)
		return 0; /* it was received before */
	if (in->mixed) {
		in->conn = 0; /* of which of the two it was is not known */
		return 0;
	}
	in->taken += bytes;
	in->records++;
	if (!k || in->conn == stream->carrier)
		return 0;
	before = stream->conn.rx.offset + stream->conn.tx.offset;
	if (!tls_agrees(in->bytes, in->taken, in->records) &&
	    (in->records > 1 || !tls_agrees_first(in->bytes, in->taken)))
		return 0;
	key = in->sk;
	sk = (const struct sock *)key;
	carrier = bpf_map_lookup_elem(&tls_carriers, &key);
	if (!carrier || carrier->id != in->conn || carrier->pair != conn_pair(sk))
		return 0;
	/* what was at this address is over: it is another connection's, which began later */
	if (stream->carrier && !carrier->tied && tls_from_start(carrier) &&
	    carrier->hello_ns > stream->tied_ns) {
		tls_stream_again(k, stream);
		stream->carrier = before = 0;
	}
	if (tls_believe(k, stream, carrier, before))
		tls_tie_to(k, thread, stream, ssl, carrier, sk);
	return 0;
}

/* Bytes have passed through a connection of a library that sends and receives nothing by itself. */
static __always_inline void tls_passed(struct thread *thread, struct tls_stream *stream, __u64 ssl,
				       bool tx, __u32 bytes)
{
	if (tx)
		tls_out_note(thread, ssl, stream->carrier, bytes);
	else if (thread->tls_in.conn)
		tls_tie_taken(thread, stream, ssl, bytes);
}

/* A call is over. */
static __always_inline void tls_over(struct tls_found *found, struct tls_stream *stream,
				     const struct tls_call *call, __u32 moved)
{
	if (call->told) {
		tls_written(stream, moved);
	} else if (moved && call->areas) {
		tls_find(found, call, 0, 0);
		tls_find_areas(&found->thread->tls_hit, call, moved);
	} else if (moved) {
		tls_find(found, call, 0, moved);
	}
}

/* The same where the thread itself was in it, and its calls on sockets tell whose bytes they are. */
static __always_inline void tls_over_here(struct tls_found *found, struct tls_stream *stream,
					  struct tls_call *call, __u32 moved)
{
	if (call->carried)
		found->thread->tls_out.ssl = 0;
	else if (moved && !(stream->flags & (TLS_NESTED | TLS_CROSSED)))
		tls_passed(found->thread, stream, call->ssl, call->tx, moved);
	tls_over(found, stream, call, moved);
}

/* A return of a function that moves bytes. */
static __always_inline void tls_leave(struct tls_found *found, struct pt_regs *ctx)
{
	struct tls_stream *stream;
	struct tls_call *call;
	bool is_new = false;

	if (!tls_returns(ctx))
		return;
	found->k = counters();
	found->thread = found->k ? thread_get(found->k, false) : NULL;
	if (!found->thread)
		return;
	call = &found->thread->tls;
	if (call->kind == TLS_NONE || call->kind == TLS_HANDSHAKE || call->frame != tls_frame(ctx))
		return;
	stream = tls_stream_get(found->k, found->thread, call->ssl, &is_new);
	if (stream)
		tls_over_here(found, stream, call, tls_moved(ctx, call));
	call->kind = TLS_NONE;
}

/* The library gives its connection back. */
static __always_inline int tls_free(__u64 ssl)
{
	struct tls_key key = { .ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct sonde_kcounters *k;
	struct tls_stream *stream;
	struct thread *thread;

	if (!ssl || !tls_in_scope(key.tgid))
		return 0;
	key.process_start_ns = own_process_start_ns();
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	k = counters();
	if (!stream || !k)
		return 0;
	thread = thread_get(k, false);
	if (thread && thread->tls.ssl == ssl) {
		thread->tls.kind = TLS_NONE;
		thread->tls.ssl = 0;
	}
	tls_stream_end(k, stream);
	bpf_map_delete_elem(&tls_streams, &key);
	return 0;
}

#endif
