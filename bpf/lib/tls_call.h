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
	stream->flags &= ~TLS_AGAIN;
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

/* What a call that is over has moved. */
static __always_inline __u32 tls_moved(struct pt_regs *ctx, const struct tls_call *call)
{
	int result = PT_REGS_RC(ctx);
	__u64 n = 0;

	if (call->kind == TLS_INT)
		return result > 0 ? result : 0;
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
	found->captures = true;
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
	count(k, tls_calls, 1);
	if (!stream->conn.turn) {
		count(k, tls_streams, 1);
		if (stream->flags & TLS_HELLO)
			stream->conn.flags |= CONN_FROM_START;
	}
	/* told without its ends before: it is told once more */
	if (stream->carrier && !(stream->flags & TLS_TOLD)) {
		stream->flags |= TLS_TOLD;
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
	hit.w->source.kind = SOURCE_USER;
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
	__u64 below = 0;

	if (HELPER_EXISTS(get_attach_cookie))
		below = bpf_get_attach_cookie(ctx) >> SONDE_TLS_BELOW_SHIFT;
	return PT_REGS_SP(ctx) + below;
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
	call->told = 0;
	call->first = is_new;
	call->kind = kind;
	if (tx)
		tls_writes(found, stream, call);
}

/* A call is over. */
static __always_inline void tls_over(struct tls_found *found, struct tls_stream *stream,
				     const struct tls_call *call, __u32 moved)
{
	if (call->told)
		tls_written(stream, moved);
	else if (moved)
		tls_find(found, call, 0, moved);
}

/* A return instruction of a function that moves bytes. */
static __always_inline void tls_leave(struct tls_found *found, struct pt_regs *ctx)
{
	struct tls_stream *stream;
	struct tls_call *call;
	bool is_new = false;

	found->k = counters();
	found->thread = found->k ? thread_get(found->k, false) : NULL;
	if (!found->thread)
		return;
	call = &found->thread->tls;
	if (call->kind == TLS_NONE || call->kind == TLS_HANDSHAKE || call->frame != tls_frame(ctx))
		return;
	stream = tls_stream_get(found->k, found->thread, call->ssl, &is_new);
	if (stream)
		tls_over(found, stream, call, tls_moved(ctx, call));
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
