/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a program itself carries what its TLS library has encrypted (memory BIOs, rustls), its calls on
 * sockets are none of the library's. What tells which socket belongs to which connection of the library is
 * how many bytes went where on one thread: what goes into the library comes out as records, each a known
 * number of bytes longer, and is what the thread sends next; what it has received last is what comes out of
 * the library next. Numbers may agree by chance: one time is enough only where both have just begun, else
 * it takes two, and what agrees with two sockets is on none.
 */
#ifndef SONDE_BPF_TLS_CARRY_H
#define SONDE_BPF_TLS_CARRY_H

#include "emit.h"

#define TLS_RECORD_BYTES 16384 /* of plaintext, at most: RFC 8446 section 5.1 */
/*
 * By how much a record is longer than its plaintext: header (5), tag (16), and in TLS 1.3 the type
 * (RFC 8446 section 5.2), in TLS 1.2 with AES-GCM an explicit nonce (RFC 5288), with ChaCha20 nothing
 * (RFC 7905). CBC pads: it never agrees.
 */
#define TLS_13_BYTES 22
#define TLS_12_GCM_BYTES 29
#define TLS_12_CHACHA_BYTES 21
/* The client's last flight in TLS 1.3, which its first request may follow at once: Finished by SHA-256, by SHA-384. */
#define TLS_FINISHED_256_BYTES (TLS_13_BYTES + 4 + 32)
#define TLS_FINISHED_384_BYTES (TLS_13_BYTES + 4 + 48)
#define TLS_CHANGE_BYTES 6 /* and a change_cipher_spec before it */

/* How often numbers have to agree. */
#define TLS_AGREE 2

static __always_inline bool tls_records_agree(__u32 more, __u32 records)
{
	return more == TLS_13_BYTES * records || more == TLS_12_GCM_BYTES * records ||
	       more == TLS_12_CHACHA_BYTES * records;
}

/* Whether `moved` bytes of a socket are `plain` bytes in so many records, or in the fewest that hold them. */
static __always_inline bool tls_agrees(__u32 moved, __u32 plain, __u32 records)
{
	__u32 fewest = (plain + TLS_RECORD_BYTES - 1) / TLS_RECORD_BYTES, more = moved - plain;

	return moved > plain &&
	       (tls_records_agree(more, records) || tls_records_agree(more, fewest));
}

/* The same of the first bytes that a server is sent, which may have come with the end of the handshake. */
static __always_inline bool tls_agrees_first(__u32 moved, __u32 plain)
{
	__u32 more = moved - plain - TLS_13_BYTES;

	return more == TLS_FINISHED_256_BYTES || more == TLS_FINISHED_384_BYTES ||
	       more == TLS_FINISHED_256_BYTES + TLS_CHANGE_BYTES ||
	       more == TLS_FINISHED_384_BYTES + TLS_CHANGE_BYTES;
}

/* Bytes that only end the handshake, whoever of the two ends it. */
static __always_inline bool tls_finishes(__u32 moved)
{
	return tls_agrees_first(moved + TLS_13_BYTES, 0);
}

/* `first`: of this direction, which is a hello. */
static __always_inline void tls_in_note(struct thread *thread, const struct conn *conn,
					const struct sock *sk, __u32 bytes, bool first)
{
	struct tls_in *in = &thread->tls_in;

	if (in->ssl)
		in->mixed = 0;
	else if (in->conn != conn->id)
		in->mixed = in->conn && in->data;
	in->conn = conn->id;
	in->sk = (__u64)sk;
	in->ssl = 0;
	in->bytes = bytes;
	in->taken = in->records = 0;
	in->data = !first && !tls_finishes(bytes);
}

/*
 * A library's connection is asked for plaintext, or to go on with its handshake. Who received on a socket asks
 * its connection next; the plaintext may come out much later, when others have been received on (Python's
 * asyncio puts a connection's first plaintext off to the end of its loop's round).
 */
static __always_inline void tls_in_given(struct thread *thread, __u64 ssl)
{
	if (!thread->tls_in.ssl)
		thread->tls_in.ssl = ssl;
}

/* What the thread gave to the library has not been sent yet. */
static __always_inline void tls_out_note(struct thread *thread, __u64 ssl, __u64 carrier,
					 __u32 bytes)
{
	struct tls_out *out = &thread->tls_out;

	if (!out->ssl) {
		out->ssl = ssl;
		out->bytes = out->records = out->mixed = 0;
	} else if (out->ssl != ssl) {
		out->mixed = 1;
	}
	out->carrier = carrier;
	out->bytes += bytes;
	out->records += (bytes + TLS_RECORD_BYTES - 1) / TLS_RECORD_BYTES;
}

/* Whether this connection's hello came after libraries were hooked: then no plaintext was before. */
static __always_inline bool tls_from_start(const struct tls_carrier *carrier)
{
	struct sonde_switches *sw = ring_switches();

	return sw && carrier->hello_ns > *(volatile __u64 *)&sw->tls_ns;
}

/* On which socket it is nobody knows: from now on it is a connection without one. */
static __always_inline void tls_cross(struct sonde_kcounters *k, struct tls_stream *stream)
{
	stream->flags |= TLS_CROSSED | TLS_AGAIN;
	stream->carrier = stream->carrier_sk = 0;
	stream->family = stream->role = 0;
	count(k, tls_crossed, 1);
}

/*
 * The numbers of this socket agree with the library's connection; `before`: plaintext that it had moved
 * before these. True: that is where it is.
 */
static __always_inline bool tls_believe(struct sonde_kcounters *k, struct tls_stream *stream,
					const struct tls_carrier *carrier, __u64 before)
{
	bool young = tls_from_start(carrier);

	if (!stream->carrier && !carrier->tied && young && !before) {
		stream->flags |= TLS_HELLO;
		return true;
	}
	if (stream->candidate != carrier->id) {
		stream->candidate = carrier->id;
		stream->agreed = 0;
	}
	if (++stream->agreed < TLS_AGREE)
		return false;
	if (!stream->carrier && !carrier->tied)
		return true;
	tls_cross(k, stream);
	return false;
}

#endif
