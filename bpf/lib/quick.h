/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The usual call: on a TCP connection that is known to speak HTTP/1
 * and goes on as it stood, one that begins a turn with a whole head in one area of memory, or one
 * inside a body whose length is known. Its bytes are looked at once, in the record. Everything else is
 * left to capture(), as if this had not been there: until a record is submitted nothing has changed
 * but that the direction's next head is looked at closer.
 */
#ifndef SONDE_BPF_QUICK_H
#define SONDE_BPF_QUICK_H

#include "quiet.h"

struct quick {
	struct sonde_kcounters *k;
	struct conn *conn;
	struct direction *dir, *other;
	struct sonde_slot *slot;
	struct thread *thread; /* NULL: not needed */
	struct area area;      /* the first of the call's memory */
	__u64 id;
	__u64 process_start_ns;
	__u64 watermark; /* of the slot; 0: none */
	__u32 bytes;	 /* of the call */
	__u32 copied;	 /* of them, in the record */
	__u32 more;	 /* bytes of what the record says beside the usual */
	__u32 behind;	 /* of the call, where its body lies in another area and was looked at */
	bool tx;
	__u32 alike; /* the call is as long as the one before, and so is its head: if that is alike, too … */
	struct sonde_switches *sw;
};

/* Of the connection's state: what leaves no question. */
static __always_inline bool quick_state(struct quick *q)
{
	const __u16 flags = CONN_KNOWN | CONN_SENT | CONN_LOST | CONN_FIN_SENT | CONN_RESET |
			    CONN_UNSEEN | CONN_TX_DONE | CONN_EARLY | CONN_SHED;
	const __u16 moved = DIR_GAP | DIR_UNSEEN | DIR_HOLD_END | DIR_ADRIFT;
	struct conn *conn = q->conn;

	if (settings.lockdown || (conn->flags & flags) != (CONN_KNOWN | CONN_SENT) ||
	    conn->verdict != SONDE_VERDICT_HTTP1)
		return false;
	q->dir = q->tx ? &conn->tx : &conn->rx;
	q->other = q->tx ? &conn->rx : &conn->tx;
	if (q->dir->state != DIR_BODY || ((q->dir->flags | q->other->flags) & moved))
		return false;
	q->slot = slot_of(conn);
	if (!q->slot || *(volatile __u64 *)&q->slot->wish)
		return false;
	q->watermark = q->tx ? *(volatile __u64 *)&q->slot->watermark_tx :
			       *(volatile __u64 *)&q->slot->watermark_rx;
	return true;
}

/*
 * Whether it is the same connection, and where it stood: all that was offered was taken, and `written`
 * and `copied` bytes have passed since. Two sequence numbers that are what they have to be tell it from
 * another one at the same address.
 */
static __always_inline bool quick_stands(const struct quick *q, const struct sock *sk,
					 __u32 written, __u32 copied)
{
	struct tcp_now now;
	struct sock_now is;

	return sock_now_read(sk, &is) && is.state == TCP_ESTABLISHED && is.prot == q->conn->prot &&
	       tcp_seqs_read(sk, &now) && now.write_seq - q->conn->tx.seq == written &&
	       now.copied_seq - q->conn->rx.seq == copied;
}

/* The call is done with: q->copied of its bytes are in a record, the others are to be counted. */
static __always_inline void quick_done(struct quick *q, __u64 ns)
{
	struct direction *dir = q->dir;

	settle_whole(q->k, &q->conn->tx);
	settle_whole(q->k, &q->conn->rx);
	dir->offset += q->bytes;
	dir->ns = ns;
	dir->seq += q->bytes;
	if (q->tx) {
		count(q->k, hits_send, 1);
		q->slot->tx_ns = ns;
		q->slot->tx_offset = dir->offset;
	} else {
		count(q->k, hits_recv, 1);
		q->slot->rx_ns = ns;
		q->slot->rx_offset = dir->offset;
	}
#ifdef SONDE_FIRES_AFTERWARDS
	dir->stood = dir->seq;
#else
	/* what the call comes to is not known before the next one */
	if (q->tx) {
		dir->asked = q->bytes;
		dir->copied = q->copied;
		return;
	}
#endif
	count(q->k, bytes_sequence, q->bytes);
	if (q->copied)
		count(q->k, bytes_captured, q->copied);
	if (q->copied < q->bytes)
		count(q->k, bytes_counted, q->bytes - q->copied);
}

/* Whether the call lies inside a body of which user space knows that it goes on behind it. */
static __always_inline bool quick_in_body(const struct quick *q)
{
	return q->conn->last == (q->tx ? LAST_TX : LAST_RX) &&
	       q->dir->offset + q->bytes < q->watermark;
}

/* Bytes that wait to be accounted, at most. */
#define QUICK_WAITS_MAX (1u << 20)

/*
 * Such a call: its bytes are accounted with what comes behind them. When it was matters only where
 * nothing more comes, so the clock is asked once a tick of the kernel.
 */
static __always_inline void quick_body(struct quick *q)
{
	__u32 tick = bpf_jiffies64();
	struct direction *dir = q->dir;

	if (dir->asked >= QUICK_WAITS_MAX)
		settle_whole(q->k, dir);
	if (dir->tail != tick) {
		dir->tail = tick;
		dir->ns = bpf_ktime_get_boot_ns();
	}
	dir->asked += q->bytes;
	dir->offset += q->bytes;
	dir->seq += q->bytes;
	dir->flags &= ~DIR_TOLD;
#ifdef SONDE_FIRES_AFTERWARDS
	dir->stood = dir->seq;
#endif
	if (q->tx) {
		count(q->k, hits_send, 1);
		q->slot->tx_ns = dir->ns;
		q->slot->tx_offset = dir->offset;
	} else {
		count(q->k, hits_recv, 1);
		q->slot->rx_ns = dir->ns;
		q->slot->rx_offset = dir->offset;
	}
}

static __always_inline void quick_fill(struct quick *q, struct sonde_rec_data *rec, __u64 ns,
				       __u32 room, bool response)
{
	const __u16 flags = SONDE_F_TURN_START | SONDE_F_START | SONDE_F_HEAD_END;
	struct conn *conn = q->conn;

	rec->h.type = SONDE_REC_DATA;
	rec->h.flags = flags | (q->tx ? SONDE_F_TX : 0) | (response ? 0 : (__u16)SONDE_F_BEGUN) |
		       (q->more ? (__u16)SONDE_F_MORE : 0);
	rec->h.bytes = sizeof(*rec) + room;
	rec->h.ns = ns;
	rec->h.conn = conn->id;
	rec->tgid = q->id >> 32;
	rec->tid = q->id;
	rec->tgid_start_ns = q->process_start_ns;
	rec->offset = q->dir->offset;
	rec->turn = conn->turn;
	rec->call_bytes = q->bytes;
	rec->copied = q->copied;
	rec->piece = 0;
	rec->other_low = q->other->offset;
}

static __always_inline void quick_fill_more(const struct quick *q, struct sonde_rec_more *more,
					    bool response)
{
	more->other_ns = q->other->ns;
	more->other_offset = q->other->offset;
	if (q->tx && !response && q->thread) {
		more->evidence.at[SONDE_EV_WRITE] = q->thread->turn;
		more->evidence.at[SONDE_EV_CONNECT] = q->conn->connect;
	} else {
		__builtin_memset(&more->evidence, 0, sizeof(more->evidence));
	}
}

/*
 * What goes for no more than it says: where the other direction stands was told with the last record,
 * and there is no evidence.
 */
static __always_inline bool quick_has_more(const struct quick *q)
{
	return !(q->other->flags & DIR_TOLD) ||
	       (q->tx && q->thread && (q->thread->turn.conn || q->conn->connect.conn));
}

/*
 * The smallest area that holds n bytes. A constant on each way that leads from here, as only so much
 * may be reserved as is known to the verifier: it walks what follows once for each size, and the code
 * is there once.
 */
static __always_inline __u64 quick_room(__u64 n)
{
#pragma unroll
	for (__u64 room = SONDE_CLASS_STEP_BYTES; room < SONDE_CLASS_3_BYTES;
	     room += SONDE_CLASS_STEP_BYTES) {
		if (n <= room) {
			__u64 is = room;

			barrier_var(is);
			return is;
		}
	}
	return SONDE_CLASS_3_BYTES;
}

/*
 * From here on a verifier knows no more of the call than that it is one: each way that led here would be
 * walked on from here by itself, once for each size of a record.
 */
static __always_inline void quick_forget(struct quick *q)
{
	__u64 nothing = *(volatile __u64 *)&q->conn->nothing;

	q->area.base += nothing;
	q->area.len += nothing;
	q->alike += nothing;
	q->behind += nothing;
	q->more += nothing;
}

/* The record, taken back where its bytes are no usual head. */
static __always_inline bool quick_record(struct quick *q)
{
	struct direction *dir = q->dir;
	struct conn *conn = q->conn;
	struct sonde_rec_data *rec;
	enum kind kind;
	__u64 n, room, ns;
	bool response;

	q->more = quick_has_more(q) ? sizeof(struct sonde_rec_more) : 0;
	quick_forget(q);
	room = quick_room(q->area.len + q->more);
	if (!ring_holds(q->k, sizeof(*rec) + room))
		return false;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec) + room, 0);
	if (!rec)
		return false;
	n = q->area.len;
	if (n < 16 || user_read(rec->payload, n, q->area.base, room))
		goto closer;
	kind = usual_head(rec->payload, n, room);
	response = kind == KIND_RESPONSE;
	/* what a request's writer has in hand is to be told with it */
	if (kind == KIND_NO || (!response && !q->thread))
		goto closer;
	if (q->alike) {
		if (((const __u64 *)rec->payload)[0] != dir->first[0] ||
		    ((const __u64 *)rec->payload)[1] != dir->first[1]) {
			bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
			return false;
		}
	} else {
		dir->first[0] = ((const __u64 *)rec->payload)[0];
		dir->first[1] = ((const __u64 *)rec->payload)[1];
		dir->first_bytes = 16;
		dir->head = n;
		if (q->tx)
			conn->behind = q->behind;
	}
	dir->flags &= ~(DIR_MAYBE | DIR_START_LOST | DIR_EXPORTS | DIR_IN_TURN);
	dir->flags |= DIR_TOLD;
	conn->last = q->tx ? LAST_TX : LAST_RX;
	conn->turn++;
	q->copied = n;
	ns = bpf_ktime_get_boot_ns();
	quick_fill(q, rec, ns, room, response);
	if (q->more)
		quick_fill_more(q, (void *)rec->payload + room - sizeof(struct sonde_rec_more),
				response);
	if (!response) {
		count(q->k, turns_begun, 1);
		if (!q->tx) {
			q->thread->turn.conn = conn->id;
			q->thread->turn.turn = conn->turn;
			q->thread->turn.tid = q->id;
			conn->reader = q->id;
			conn->reader_start_ns = q->process_start_ns;
		}
	}
	count(q->k, records_attempted, 1);
	ring_submit_by(q->k, rec, q->sw);
	quick_done(q, ns);
	return true;
closer:
	bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
	dir->flags |= DIR_CLOSER;
	return false;
}

/* A call that begins a turn. Its last byte is inside a known body, or no watermark is waited for. */
static __always_inline bool quick_head(struct quick *q)
{
	__u64 offset = q->dir->offset;

	q->sw = ring_switches();
	if (!q->sw || (q->dir->flags & DIR_CLOSER) ||
	    q->conn->generation != (__u8) * (volatile __u32 *)&q->sw->generation ||
	    (offset < q->watermark && q->watermark <= offset + q->bytes))
		return false;
	return q->area.len + sizeof(struct sonde_rec_more) <= SONDE_CLASS_3_BYTES &&
	       quick_record(q);
}

/* Whether 16 bytes may begin a chunked body (RFC 9112 section 7.1): a size, then one of these. */
static __always_inline bool may_be_chunk(__u64 low, __u64 high)
{
	__u8 byte = low;

	if ((__u8)(byte - '0') > 9 && (__u8)((byte | 0x20) - 'a') > 5)
		return false;
	/*
	 * Behind its digits CR, a blank or a semicolon; sixteen digits that do not begin with zeros are
	 * no size that anybody sends.
	 */
	return (low & 0xffff) == WORD('0', '0', 0, 0, 0, 0, 0, 0) ||
	       (((low - EVERY('0')) & ~low) | ((high - EVERY('0')) & ~high)) & EVERY(0x80) ||
	       bytes_equal(low, ';') || bytes_equal(high, ';');
}

/*
 * A head, and its body in one other area: in which no other message begins, and no chunked body
 * ends.
 */
static __always_inline bool quick_behind(struct quick *q, const struct segment *body)
{
	__u64 words[4] = {}, n = q->bytes - q->area.len;

	if (n == 0)
		return true;
	if (n > body->len)
		return false;
	n = smaller(n, 16);
	barrier_var(n);
	if (bpf_probe_read_user(words, n & 31, (const void *)body->base) ||
	    may_begin(words[0], false))
		return false;
	if (may_be_chunk(words[0], words[1]))
		return q->watermark;
	q->behind = q->bytes;
	return true;
}

/*
 * The same where that is known: head and body are as long as those that were written before them. That the
 * head begins alike, too, shows when it has been read.
 */
static __always_inline bool quick_alike(struct quick *q)
{
	q->alike = q->tx && q->conn->behind == q->bytes && q->dir->head == q->area.len &&
		   q->area.len < q->bytes;
	return q->alike;
}

/*
 * Who calls. The thread is needed where it says which request it has in hand; else the task says what
 * is to be known where its fields are loaded, which costs less than looking for its state.
 */
static __always_inline bool quick_caller(struct quick *q, bool thread)
{
	q->thread = NULL;
	if (!thread && q->conn->reader == q->id) {
		/* it has just read what it answers */
		q->process_start_ns = q->conn->reader_start_ns;
		return true;
	}
#ifdef SONDE_DIRECT
	if (!thread) {
#ifndef SONDE_FIRES_AFTERWARDS
		if (task_flags() & (PF_KTHREAD | PF_IO_WORKER))
			return false;
#endif
		q->process_start_ns = process_start_ns(this_task());
		return true;
	}
#endif
	q->thread = thread_get(q->k, false);
	if (!q->thread)
		return false;
#ifndef SONDE_FIRES_AFTERWARDS
	if (q->thread->kind != THREAD_OF_PROGRAM)
		return false;
#endif
	q->process_start_ns = q->thread->process_start_ns;
	if (!thread)
		q->thread = NULL;
	return q->process_start_ns;
}

#endif
