/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rustls 0.23: plaintext goes in at ConnectionCommon<_> (its PlaintextSink), and comes out, record by record, at
 * CommonState::take_received_plaintext(). The latter is the first of what the former holds, so that both
 * have one address, by which the connection is known. rustls never calls on a socket: see tls_carry.h. Its
 * connections are dropped, which no function of a name tells; another one may be at the same address then.
 */
#ifndef SONDE_BPF_TLS_RUST_H
#define SONDE_BPF_TLS_RUST_H

#include "tls_call.h"

/* The program has closed the socket that carried it. */
static __always_inline bool rust_is_over(const struct tls_stream *stream)
{
	const struct sock *sk = (const struct sock *)stream->carrier_sk;
	__u64 key = stream->carrier_sk;
	struct tls_carrier *carrier;

	if (!stream->carrier || !key)
		return false;
	carrier = bpf_map_lookup_elem(&tls_carriers, &key);
	if (!carrier || carrier->id != stream->carrier)
		return true;
	/* its address may be another one's */
	return !BPF_CORE_READ(sk, sk_socket) || carrier->pair != conn_pair(sk);
}

static __always_inline void rust_renew(struct tls_stream *stream)
{
	if (rust_is_over(stream)) {
		stream->flags = TLS_AGAIN;
		stream->carrier = stream->carrier_sk = 0;
		stream->family = stream->role = 0;
	}
}

/* Nothing of this function's is sent before it is over: what it took is captured then. */
static __always_inline void rust_write(struct tls_found *found, struct pt_regs *ctx, bool vector)
{
	__u64 ssl = PT_REGS_PARM1(ctx), n = PT_REGS_PARM3(ctx);
	struct tls_key key = { .ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct tls_stream *stream;

	if (!ssl || !tls_in_scope(key.tgid))
		return;
	key.process_start_ns = own_process_start_ns();
	stream = bpf_map_lookup_elem(&tls_streams, &key);
	if (stream)
		rust_renew(stream);
	tls_enter(found, ctx, ssl, PT_REGS_PARM2(ctx), n, 0, TLS_RESULT, true);
	if (vector && found->thread)
		found->thread->tls.areas = n > TLS_AREAS_MAX ? TLS_AREAS_MAX : n;
}

/* A record has been decrypted. */
static __always_inline void rust_take(struct tls_found *found, struct pt_regs *ctx)
{
	struct tls_call call = { .ssl = PT_REGS_PARM1(ctx) };
	struct tls_stream *stream;
	bool is_new = false;
	__u64 words[3];

	if (!call.ssl || !tls_in_scope(bpf_get_current_pid_tgid() >> 32) ||
	    bpf_probe_read_user(words, sizeof(words), (const void *)PT_REGS_PARM2(ctx)) ||
	    !words[2] || words[2] > TLS_RECORD_BYTES)
		return;
	found->k = counters();
	found->thread = found->k ? thread_get(found->k, true) : NULL;
	stream = found->thread ? tls_stream_get(found->k, found->thread, call.ssl, &is_new) : NULL;
	if (!stream)
		return;
	call.at = words[1];
	/* nothing shows what was received without data in it; what has any is decrypted at once */
	found->thread->tls_in.mixed = 0;
	if (!(stream->flags & TLS_CROSSED))
		tls_passed(found->thread, stream, call.ssl, false, words[2]);
	tls_find(found, &call, 0, words[2]);
}

#endif
