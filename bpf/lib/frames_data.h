/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DATA of HTTP/2: counted, not copied; with it the messages of gRPC that are in it, by the lengths before
 * them. What was counted of a stream is told where a direction of it ends.
 */
#ifndef SONDE_BPF_FRAMES_DATA_H
#define SONDE_BPF_FRAMES_DATA_H

#include "frame.h"

/* Messages of one call that are counted; no bytes are messages for ever. */
#define MESSAGES_MAX 2048
#define MESSAGES_EMPTY_MAX 64
/* A message's prefix: a byte that says whether it is compressed, and its length (gRPC over HTTP/2). */
#define MESSAGE_PREFIX_BYTES 5

static __always_inline __u32 message_length(__u64 prefix)
{
	return (prefix >> 8 & 0xff) << 24 | (prefix >> 16 & 0xff) << 16 |
	       (prefix >> 24 & 0xff) << 8 | (prefix >> 32 & 0xff);
}

/* What a new entry begins as: too large for the stack. */
const volatile __u64 stream_none[sizeof(struct stream) / sizeof(__u64)] SEC(".rodata.none") = {};

static __always_inline struct stream *stream_of(const struct follow *f)
{
	struct stream_key key = { .conn = f->conn, .stream = frame_stream(f->head) };

	return bpf_map_lookup_elem(&streams, &key);
}

/* Whether the open DATA frame, of which the first bytes are at hand, is one message and nothing else. */
static __always_inline bool is_one_message(struct work *w)
{
	__u32 length = frame_length(w->follow.head);

	return length >= MESSAGE_PREFIX_BYTES && peek_at(w, w->follow.at) >= MESSAGE_PREFIX_BYTES &&
	       (w->first[0] & 0xff) <= 1 &&
	       message_length(w->first[0]) == length - MESSAGE_PREFIX_BYTES;
}

/* The prefix of a message goes on, or begins, with up to n bytes. How many it takes; 0: unreadable. */
static __always_inline __u32 message_prefix(struct work *w, struct stream_side *side, __u32 n)
{
	__u32 have = side->n_prefix, take = MESSAGE_PREFIX_BYTES - have;
	__u32 got = peek_at(w, w->follow.at);
	__u64 bytes;

	take = smaller(take, smaller(n, got));
	bytes = w->first[0] & ((1ull << (take * 8 & 63)) - 1);
	side->prefix = (have ? side->prefix : 0) | bytes << (have * 8 & 63);
	side->n_prefix = have + take;
	if (side->n_prefix < MESSAGE_PREFIX_BYTES)
		return take;
	side->n_prefix = 0;
	side->left = message_length(side->prefix);
	side->empty = side->left ? 0 : side->empty + 1;
	side->messages++;
	w->follow.messages++;
	if ((side->prefix & 0xff) > 1 || side->empty > MESSAGES_EMPTY_MAX ||
	    w->follow.messages > MESSAGES_MAX)
		side->unknown = 1;
	return take;
}

/* Of the open DATA frame n bytes are in this call: up to where they are counted in one step. */
static __always_inline __u32 data_count(struct work *w, __u32 n)
{
	struct follow *f = &w->follow;
	struct stream *stream = stream_of(f);
	struct stream_side *side;
	__u32 took = 0;

	/* gone again */
	if (!stream)
		return n;
	side = &stream->sides[f->tx & 1];
	if (f->counts && !side->unknown) {
		if (!side->left)
			took = message_prefix(w, side, n);
		if (!took && !side->left)
			side->unknown = 1;
		if (!side->unknown) {
			__u32 more = smaller(side->left, n - took);

			side->left -= more;
			n = took + more;
		}
	}
	if (!f->short_data)
		side->bytes += n;
	return n;
}

/* What was counted of the open frame's stream. */
static __always_inline void stream_tell(struct sonde_kcounters *k, struct thread *thread,
					struct stream *stream, bool ends)
{
	struct follow *f = &thread->work.follow;
	struct sonde_rec_stream *rec;

	count(k, records_attempted, 1);
	if (!ring_has_room(k, sizeof(*rec))) {
		f->lost = 1;
		return;
	}
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		f->lost = 1;
		return;
	}
	rec->h.type = SONDE_REC_STREAM;
	rec->h.flags = (f->tx ? SONDE_F_TX : 0) | (stream->fresh ? SONDE_F_START : 0);
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = thread->work.ns;
	rec->h.conn = f->conn;
	rec->stream = frame_stream(f->head);
	rec->ends = ends;
	rec->unknown = stream->sides[0].unknown | stream->sides[1].unknown << 1;
	rec->messages[0] = stream->sides[0].messages;
	rec->messages[1] = stream->sides[1].messages;
	rec->bytes[0] = stream->sides[0].bytes;
	rec->bytes[1] = stream->sides[1].bytes;
	ring_submit(k, rec);
	stream->fresh = 0;
}

/*
 * Nothing is known of the open frame's stream: it begins to be counted, and that is told. Where the map was full
 * and what had been counted made room for others, this is how it shows. Of a frame that ends a direction
 * the record is proof enough that it was counted.
 */
WALKED_ONCE int stream_counts(void)
{
	struct thread *thread = thread_here(false);
	struct sonde_kcounters *k = counters();
	struct stream_key key = {};
	struct stream *stream;
	long there;

	if (!thread || !k)
		return 0;
	key.conn = thread->work.follow.conn;
	key.stream = frame_stream(thread->work.follow.head);
	there = bpf_map_update_elem(&streams, &key, (const void *)stream_none, BPF_NOEXIST);
	stream = bpf_map_lookup_elem(&streams, &key);
	if (!stream) {
		thread->work.follow.lost = 1;
		return 0;
	}
	/* the other direction, at the same moment */
	if (there)
		return 0;
	stream->fresh = 1;
	stream->ended = !!(frame_flags(thread->work.follow.head) & FRAME_END_STREAM);
	if (!stream->ended)
		stream_tell(k, thread, stream, false);
	return 0;
}

/* A direction of the open frame's stream ends: what was counted is told before the end of the stream is. */
WALKED_ONCE int stream_ends(void)
{
	struct thread *thread = thread_here(false);
	struct sonde_kcounters *k = counters();
	struct stream *stream;
	struct follow *f;
	bool reset;

	if (!thread || !k)
		return 0;
	f = &thread->work.follow;
	stream = stream_of(f);
	if (!stream)
		return 0;
	reset = frame_type(f->head) == FRAME_RST_STREAM;
	if (reset || stream->ended || !f->requests)
		stream_tell(k, thread, stream, true);
	if (stream->ended || reset) {
		struct stream_key key = { .conn = f->conn, .stream = frame_stream(f->head) };

		bpf_map_delete_elem(&streams, &key);
	} else {
		stream->ended = 1;
	}
	return 0;
}

#endif
