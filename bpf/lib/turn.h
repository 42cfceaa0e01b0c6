/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The capture body that every tier shares: turns, and what is captured of a call. What becomes of the
 * bytes, by sequence numbers, is in settle.h.
 *
 * The caller has learned the connection, checked sequence numbers (hit->w->offset is dir->offset)
 * and filled in every field of the hit.
 */
#ifndef SONDE_BPF_TURN_H
#define SONDE_BPF_TURN_H

#include "data.h"
#include "frames.h"
#include "tls_tie.h"

/* How many calls of a connection that is none of ours are looked at again. */
#define CHECKS_EACH_CALL 8
#define CHECKS_EACH_TURN 64
/* Records of one call: with gathered segments, five times SONDE_SEGMENTS_MAX of them. */
#define PIECES_MAX 5
#define EXPORT_PIECES_MAX 16

/*
 * From the next call on none of its bytes is looked at, and what passes is counted some time later: see
 * quiet.h. A Unix connection has no sequence numbers to count it by.
 */
static __always_inline void quiet_begins(struct conn *conn)
{
	if (conn->family != SONDE_AF_UNIX)
		conn->flags |= CONN_QUIET;
}

/* A request's head was read: it is what this thread has in hand from now on. */
static __always_inline void thread_take(struct hit *hit)
{
	struct sonde_turn_ref *turn = &hit->thread->turn;

	turn->conn = hit->conn->id;
	turn->turn = hit->w->turn;
	turn->tid = hit->w->tid;
}

/* The first bytes are none of ours. Not for ever: see CHECKS_*. */
static __always_inline void verdict_other(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (conn->verdict != SONDE_VERDICT_OTHER) {
		conn->verdict = SONDE_VERDICT_OTHER;
		count(hit->k, conns_other, 1);
	}
	if (conn->checks < 255)
		conn->checks++;
	if (conn->flags & (CONN_OTHER_SENT | CONN_SENT))
		return;
	/* one that was met in mid-life may only be in the middle of a body */
	if (!(conn->flags & CONN_FROM_START) && conn->checks < CHECKS_EACH_CALL)
		return;
	if (conn_emit(hit))
		conn->flags |= CONN_OTHER_SENT;
}

/* Bytes pass on this connection where they cannot be looked at: said once, revocable too. */
static __always_inline void conn_unseen(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (conn->verdict != SONDE_VERDICT_NONE || (conn->flags & (CONN_OTHER_SENT | CONN_SENT)))
		return;
	conn->verdict = SONDE_VERDICT_UNSEEN;
	if (conn_emit(hit))
		conn->flags |= CONN_OTHER_SENT;
}

/*
 * Both ends say first what they can do and what they choose: the client in one record, however long (it
 * has the server's name), the server in the first bytes of what it sends.
 */
static __always_inline void hello_begins(struct hit *hit)
{
	__u64 low = hit->w->first[0];
	__u32 bytes = 5 + ((low >> 24 & 0xff) << 8 | (low >> 32 & 0xff));

	if (!hello_announce(hit))
		return;
	hit->dir->body_kib = bytes < SONDE_TLS_HELLO_BYTES ? bytes : SONDE_TLS_HELLO_BYTES;
	hit->other->body_kib = SONDE_TLS_HELLO_SERVER_BYTES;
	hit->dir->state = hit->other->state = DIR_HELLO;
	hit->dir->flags |= DIR_HELLO_NEXT;
	hit->other->flags |= DIR_HELLO_NEXT;
}

/*
 * It carries TLS: what is in it passes through a TLS library, where it is a connection of its own. Its
 * bytes are looked at no more.
 */
static __always_inline void verdict_tls(struct hit *hit)
{
	struct conn *conn = hit->conn;

	bool hello = tls_is_hello(hit->w->first[0]);

	if (conn->verdict != SONDE_VERDICT_TLS) {
		if (conn->verdict == SONDE_VERDICT_OTHER)
			count(hit->k, conns_other, -1ull);
		conn->verdict = SONDE_VERDICT_TLS;
		count(hit->k, conns_tls, 1);
		if (hello)
			hello_begins(hit);
#ifndef SONDE_UPROBE
		tls_carrier_put(conn, hit->sk, hello ? hit->w->ns : 0);
#endif
	}
#ifndef SONDE_UPROBE
	if (!hello)
		tls_tie(hit->k, hit->thread, conn, hit->sk, hit->tx, hit->w->bytes, false);
#endif
}

static __always_inline void verdict_http1(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (conn->verdict == SONDE_VERDICT_HTTP1)
		return;
	conn->verdict = SONDE_VERDICT_HTTP1;
	count(hit->k, conns_http1, 1);
}

/*
 * From byte `at` of the call on both directions are followed frame by frame. begins: here is what this end says
 * first. The request that has asked for it in HTTP/1 is stream 1 (RFC 7540 section 3.2).
 */
static __always_inline void verdict_http2(struct hit *hit, __u32 at, bool begins)
{
	struct conn *conn = hit->conn;

	conn->behind = conn->verdict == SONDE_VERDICT_HTTP1;
	conn->verdict = SONDE_VERDICT_HTTP2;
	frames_start(hit->dir, hit->w->offset + at, begins);
	frames_start(hit->other, offset_now(hit->other), false);
	count(hit->k, conns_http2, 1);
}

/* A head ends before byte `at` of the call: it may be HTTP/2 that follows. Of what was captured that is no part. */
static __noinline int head_switches(struct hit *hit, __u32 at)
{
	struct work *w = hit->w;

	if (!has_switched(hit->dir) || at >= w->bytes || !peek(hit, at) || !settings_begin(w))
		return 0;
	verdict_http2(hit, at, true);
	w->captured = at;
	return 0;
}

/* A request begins here: at the start of a turn, or inside one. */
static __always_inline void request_begun(struct hit *hit)
{
	struct direction *dir = hit->dir;

	if (dir->flags & DIR_IN_TURN)
		count(hit->k, starts_begun, 1);
	else
		count(hit->k, turns_begun, 1);
	if (dir->flags & DIR_START_LOST)
		count(hit->k, begun_lost, 1);
	else
		hit->w->flags |= SONDE_F_BEGUN;
}

static __always_inline void head_closed(struct direction *dir)
{
	dir->state = dir->flags & DIR_EXPORTS ? DIR_EXPORT : DIR_BODY;
	dir->flags &= ~DIR_EXPORTS;
}

/* Opens a head at the call's first byte, which looks like the start of a message. */
static __always_inline void head_open(struct hit *hit)
{
	struct direction *dir = hit->dir;

	dir->state = DIR_HEAD;
	dir->head = 0;
	hit->conn->behind = 0;
	dir->body_kib = 0;
	dir->flags &= ~(DIR_MAYBE | DIR_START_LOST | DIR_EXPORTS | DIR_IN_TURN);
	if (!hit->w->begins)
		dir->flags |= DIR_IN_TURN;
	dir->tail = 0;
	hit->w->flags |= SONDE_F_START;
}

/* What the first bytes begin, as far as they are known now. False: none of ours. */
static __always_inline bool head_resolve(struct hit *hit, enum kind kind)
{
	struct direction *dir = hit->dir;

	hit->w->kind = kind;
	if (kind == KIND_MAYBE) {
		dir->flags |= DIR_MAYBE;
		return true;
	}
	dir->flags &= ~DIR_MAYBE;
	if (kind == KIND_NO) {
		dir->state = DIR_BODY;
		if (hit->conn->turn <= 1)
			verdict_other(hit);
		return false;
	}
	if (kind == KIND_REQUEST) {
		request_begun(hit);
		if (is_export(dir->first[0], dir->first[1]))
			dir->flags |= DIR_EXPORTS;
	}
	return true;
}

static __always_inline void head_lost(struct hit *hit, __u32 at)
{
	struct direction *dir = hit->dir;

	hit->w->lost = hit->w->bytes - at;
	if (hit->w->flags & SONDE_F_BEGUN)
		count(hit->k, begun_lost, 1);
	if (!(hit->w->flags & SONDE_F_START))
		return;
	if (dir->flags & DIR_MAYBE)
		dir->flags |= DIR_START_LOST;
	/* without its start the rest of this head is of no use */
	if (!(dir->flags & DIR_MAYBE))
		dir->state = DIR_BODY;
}

/* What a piece has brought: true where the head that is open goes on in this call. */
static __noinline int head_piece_done(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;
	struct piece *p = &w->p;

	if (p->lost) {
		head_lost(hit, p->at);
		return 0;
	}
	w->flags &= ~(SONDE_F_START | SONDE_F_TURN_START | SONDE_F_GAP_BEFORE | SONDE_F_BEGUN);
	dir->head += p->copied;
	p->at += p->copied;
	w->captured += p->copied;
	if (p->end && !p->whole) {
		if ((p->closes && p->end == p->copied) ||
		    !another_follows(hit, p->at - p->copied + p->end)) {
			head_closed(dir);
			head_switches(hit, p->at - p->copied + p->end);
			return 0;
		}
		p->whole = 1;
	}
	if (p->at >= w->bytes) {
		if (p->whole && tail_ends(dir->tail))
			head_closed(dir);
		return 0;
	}
	return 1;
}

/* Of a long call in which a head begins, the first record alone, where the governor says so. */
static __always_inline bool head_is_shed(struct hit *hit)
{
	struct sonde_switches *sw;
	__u32 zero = 0;

	if (hit->w->bytes <= SONDE_CLASS_3_BYTES || hit->dir->head ||
	    (hit->dir->flags & DIR_EXPORTS))
		return false;
	sw = bpf_map_lookup_elem(&switches, &zero);
	return sw && *(volatile __u32 *)&sw->shed_heads;
}

/* Records the call's bytes until the open head ends, or a bound is reached. */
static __always_inline void head_pieces(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;
	struct piece *p = &w->p;

#pragma clang loop unroll(disable)
	for (int i = 0; i < PIECES_MAX; i++) {
		__u32 left = w->bytes - p->at, budget = SONDE_HEAD_MAX_BYTES - dir->head;
		__u32 room = i ? SONDE_CLASS_4_BYTES : SONDE_CLASS_3_BYTES;

		if (dir->head >= SONDE_HEAD_MAX_BYTES) {
			head_closed(dir);
			return;
		}
		if (left > budget)
			left = budget;
		p->want = left < room ? left : room;
		data_head(hit, i == 0);
		if (!head_piece_done(hit))
			return;
		if (w->flags & SONDE_F_FAULT) {
			head_closed(dir);
			count(hit->k, shed_heads, 1);
			return;
		}
	}
	/* in more segments than are gathered */
	data_unreadable(hit, p);
	head_lost(hit, p->at);
}

static __noinline int head_capture(struct hit *hit)
{
	struct work *w = hit->w;

	w->p.at = w->p.whole = 0;
	if (head_is_shed(hit))
		w->flags |= SONDE_F_FAULT;
	head_pieces(hit);
	w->flags &= ~SONDE_F_FAULT;
	return 0;
}

/* Captures the body of a telemetry export, from where the call's captured bytes end. */
static __noinline int export_capture(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;
	struct piece *p = &w->p;

	p->at = w->captured;
	w->flags |= SONDE_F_BODY;
#pragma clang loop unroll(disable)
	for (int i = 0; i < EXPORT_PIECES_MAX; i++) {
		if (p->at >= w->bytes || w->lost)
			break;
		if (dir->body_kib >= SONDE_EXPORT_BODY_MAX_BYTES / 1024) {
			dir->state = DIR_BODY;
			break;
		}
		p->want = w->bytes - p->at;
		if (p->want > SONDE_CLASS_4_BYTES)
			p->want = SONDE_CLASS_4_BYTES;
		data_body(hit);
		if (p->lost) {
			w->lost = w->bytes - p->at;
			dir->state = DIR_BODY;
			break;
		}
		w->flags &= ~(SONDE_F_TURN_START | SONDE_F_GAP_BEFORE);
		dir->body_kib += (p->copied + 1023) / 1024;
		p->at += p->copied;
		w->captured += p->copied;
	}
	w->flags &= ~SONDE_F_BODY;
	return 0;
}

/* Captures what this call has of a hello; behind it nothing of this direction is looked at. */
static __noinline int hello_capture(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;
	struct piece *p = &w->p;

#ifndef SONDE_UPROBE
	if (dir->flags & DIR_HELLO_NEXT)
		tls_tie_hello(hit->k, hit->thread, hit->conn, hit->sk, hit->tx, w->bytes);
	else
		tls_tie(hit->k, hit->thread, hit->conn, hit->sk, hit->tx, w->bytes, false);
#endif
	dir->flags &= ~DIR_HELLO_NEXT;
	p->at = 0;
	p->want = smaller(w->bytes, dir->body_kib);
	data_body(hit);
	if (p->lost)
		w->lost = w->bytes;
	else
		w->captured += p->copied;
	dir->body_kib -= p->copied;
	if (p->lost || !dir->body_kib)
		dir->state = DIR_BODY;
	return 0;
}

/* The first bytes of a turn that do not look like a message: one small record that says so. */
static __always_inline void turn_note(struct hit *hit)
{
	struct work *w = hit->w;
	struct piece *p = &w->p;

	p->at = 0;
	p->want = w->bytes < SONDE_CLASS_0_BYTES ? w->bytes : SONDE_CLASS_0_BYTES;
	data_body(hit);
	if (p->lost)
		w->lost = w->bytes;
	else
		w->captured += p->copied;
}

/*
 * A call whose first bytes may begin a message, at the start of a turn or inside one. True where
 * a head is to be captured.
 */
static __noinline int head_starts(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct conn *conn = hit->conn;
	struct work *w = hit->w;
	enum kind kind;
	bool switched;

	if (!peek(hit, 0)) {
		dir->state = DIR_BODY;
		if (conn->verdict == SONDE_VERDICT_OTHER)
			return 0;
		data_unreadable(hit, &w->p);
		w->lost = w->bytes;
		return 0;
	}
	kind = kind_of(w->first[0], w->first[1], w->n_first);
	/*
	 * One byte that may begin a method, on a connection that began with something else: a server's answer
	 * to whether it speaks TLS (PostgreSQL: 'S', 'N'), which begins behind it.
	 */
	if (kind == KIND_MAYBE && w->bytes == 1 && conn->verdict == SONDE_VERDICT_OTHER)
		kind = KIND_NO;
	switched = kind == KIND_NO && has_switched(dir) && settings_begin(w);
	if (w->begins || kind != KIND_NO) {
		dir->first[0] = w->first[0];
		dir->first[1] = w->first[1];
		dir->first_bytes = w->n_first;
	}
	if (w->begins && !w->unseen)
		w->flags |= SONDE_F_TURN_START;
	if (kind == KIND_FRAMES || switched || (kind == KIND_NO && frames_begin(hit))) {
		verdict_http2(hit, 0, kind == KIND_FRAMES || switched);
		return 0;
	}
	if (kind == KIND_NO) {
		dir->state = DIR_BODY;
		if (conn->verdict != SONDE_VERDICT_HTTP1 && tls_begins(w->first[0], w->n_first))
			verdict_tls(hit);
		else if (conn->verdict != SONDE_VERDICT_HTTP1)
			verdict_other(hit);
		else if (w->begins && conn_announce(hit))
			turn_note(hit);
		return 0;
	}
	verdict_http1(hit);
	head_open(hit);
	head_resolve(hit, kind);
	if (!hit->tx && w->kind != KIND_RESPONSE)
		thread_take(hit);
	if (!conn_announce(hit)) {
		head_lost(hit, 0);
		return 0;
	}
	return 1;
}

/* A call inside a head that is open. True where it goes on. */
static __noinline int head_continues(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;

	if (!(dir->flags & DIR_MAYBE))
		return 1;
	peek(hit, 0);
	dir->first_bytes =
		extend(dir->first, dir->first_bytes, w->first[0], w->first[1], w->n_first);
	if (!head_resolve(hit, kind_of(dir->first[0], dir->first[1], dir->first_bytes)))
		return 0;
	if (!(dir->flags & DIR_START_LOST))
		return 1;
	dir->state = DIR_BODY;
	return 0;
}

/* Whether the call ends in the last chunk of a chunked body that has no trailers. */
static __always_inline bool is_last_chunk(struct hit *hit)
{
	struct work *w = hit->w;
	__u32 n = w->bytes == 5 ? 5 : 7;

	if (w->bytes < n || !peek(hit, w->bytes - n))
		return false;
	return w->first[0] == (n == 5 ? WORD('0', '\r', '\n', '\r', '\n', 0, 0, 0) :
					WORD('\r', '\n', '0', '\r', '\n', '\r', '\n', 0));
}

/* The slot says how far the stream is; a watermark that was crossed, or a last chunk, is told. */
static __noinline int slot_advance(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct conn *conn = hit->conn;
	struct sonde_slot *slot = slot_of(conn);
	__u64 after = hit->w->offset + hit->w->bytes, watermark = 0;

	if (slot) {
		if (hit->tx) {
			slot->tx_ns = hit->w->ns;
			slot->tx_offset = after;
			watermark = *(volatile __u64 *)&slot->watermark_tx;
		} else {
			slot->rx_ns = hit->w->ns;
			slot->rx_offset = after;
			watermark = *(volatile __u64 *)&slot->watermark_rx;
		}
	}
	if (watermark) {
		if (hit->w->offset >= watermark || watermark > after)
			return 0;
		if (hit->w->unsure)
			dir->flags |= DIR_HOLD_END;
		else
			end_emit(hit->k, conn, hit->tx, hit->w->ns, after, 0);
		return 0;
	}
	if (conn->verdict != SONDE_VERDICT_HTTP2 && dir->state == DIR_BODY &&
	    hit->w->captured < hit->w->bytes && !hit->w->no_chunk && is_last_chunk(hit))
		end_emit(hit->k, conn, hit->tx, hit->w->ns, after, SONDE_F_LAST_CHUNK);
	return 0;
}

static __always_inline __u64 wish_of(const struct conn *conn)
{
	struct sonde_slot *slot = slot_of(conn);

	return slot ? *(volatile __u64 *)&slot->wish : 0;
}

/*
 * What the governor sheds of a connection begins and ends where a request does, so that no exchange
 * is seen by half. Once a turn.
 */
static __always_inline void shed_advance(struct hit *hit)
{
	struct conn *conn = hit->conn;
	__u64 wish = wish_of(conn);

	if ((!wish && !(conn->flags & CONN_SHED)) || hit->tx != !!(wish & SONDE_WISH_SENDS))
		return;
	conn->flags &= ~CONN_SHED;
	if (!(wish & SONDE_WISH_SHED))
		return;
	conn->flags |= CONN_SHED;
	count(hit->k, shed_exchanges, 1);
	quiet_begins(conn);
}

/* Whether the call's bytes may matter at all: most calls of connections that are not ours end here. */
static __always_inline bool worth_looking(struct hit *hit)
{
	struct conn *conn = hit->conn;

	if (conn->verdict == SONDE_VERDICT_OTHER) {
		/* whoever reads the ring knows of it, and it will not be looked at again */
		if (conn->checks >= CHECKS_EACH_TURN &&
		    (conn->flags & (CONN_OTHER_SENT | CONN_SENT)))
			quiet_begins(conn);
		return conn->checks < (hit->w->begins ? CHECKS_EACH_TURN : CHECKS_EACH_CALL);
	}
	if (conn->verdict == SONDE_VERDICT_TLS) {
		if (conn->rx.state != DIR_HELLO && conn->tx.state != DIR_HELLO)
			quiet_begins(conn);
#ifndef SONDE_UPROBE
		if (hit->dir->state != DIR_HELLO)
			tls_tie(hit->k, hit->thread, conn, hit->sk, hit->tx, hit->w->bytes, false);
#endif
		return hit->dir->state == DIR_HELLO;
	}
	if (wish_of(conn) & SONDE_WISH_IGNORE) {
		quiet_begins(conn); /* which is for good */
		return false;
	}
	return !(conn->flags & CONN_SHED);
}

/* What this thread has in hand of the connection has gone on where nobody saw it. */
static __always_inline void thread_drop(struct hit *hit)
{
	if (hit->thread->turn.conn == hit->conn->id)
		hit->thread->turn.conn = 0;
}

/*
 * Before capture(), and before the adapter looks for the call's bytes: whose turn it is. Bytes that
 * went the other way begin a turn whether a hook saw them or not. Turns that nobody saw take a
 * number, too: two that follow each other by number have nothing unseen between them.
 */
static __always_inline void turn_advance(struct hit *hit)
{
	struct direction *dir = hit->dir, *other = hit->other;
	struct conn *conn = hit->conn;
	__u8 side = hit->tx ? LAST_TX : LAST_RX;

	if (hit->w->late) {
		hit->w->begins = !!(conn->flags & CONN_EARLY);
		hit->w->turn = conn->turn - 1;
		hit->w->unseen = 0;
		conn->flags &= ~CONN_EARLY;
		if (hit->w->begins)
			shed_advance(hit);
		return;
	}
	hit->w->begins = conn->last != side || (other->flags & DIR_UNSEEN);
	hit->w->unseen = dir->flags & DIR_UNSEEN;
	if (hit->w->begins) {
		conn->last = side;
		conn->turn += (dir->flags | other->flags) & DIR_UNSEEN ? 2 : 1;
		conn->flags &= ~CONN_EARLY;
#ifdef SONDE_FIRES_AFTERWARDS
		if (other->flags & DIR_UNSEEN) {
			conn->flags |= CONN_EARLY;
			hit->w->flags |= SONDE_F_EARLY;
		}
#endif
	}
	hit->w->turn = conn->turn;
	if (hit->w->begins)
		shed_advance(hit);
	if (dir->flags & DIR_GAP)
		hit->w->flags |= SONDE_F_GAP_BEFORE;
	if (conn->rx.flags & DIR_UNSEEN)
		thread_drop(hit);
	/* what is open of a head lacks a piece: no other can be told from its first bytes */
	if (hit->w->unseen && dir->state == DIR_HEAD)
		dir->state = DIR_BODY;
	dir->flags &= ~DIR_UNSEEN;
	other->flags &= ~DIR_UNSEEN;
}

/*
 * Where the call's head lies if it is a usual one: in one area, behind which there is nothing, or a
 * body in one other. False: elsewhere.
 */
static __always_inline bool usual_area(struct hit *hit, struct area *area)
{
	struct work *w = hit->w;
	struct segment two[2];
	__u8 begins, ends;
	__u64 rest;

	if (in_one_area(w)) {
		area->base = w->source.at + w->source.skip;
		area->len = w->bytes;
		return true;
	}
	if (w->source.skip || w->source.segments < 2 ||
	    segments_read(two, sizeof(two), w->source.at))
		return false;
	area->base = two[0].base;
	area->len = two[0].len;
	rest = w->bytes - two[0].len;
	if (rest == 0)
		return true;
	if (two[0].len > w->bytes || rest > two[1].len)
		return false;
	if (bpf_probe_read_user(&begins, 1, (const void *)two[1].base) ||
	    bpf_probe_read_user(&ends, 1, (const void *)(two[1].base + rest - 1)) ||
	    begins == '\r' || begins == '-' || (__u8)(begins - 'A') <= 'Z' - 'A')
		return false;
	w->no_chunk = ends != '\n';
	return true;
}

/* What the n (16 to `room`) bytes are where they are a usual head, and no export's: KIND_NO, they are none. */
static __always_inline enum kind usual_head(const __u8 *at, __u64 n, __u32 room)
{
	__u64 low = ((const __u64 *)at)[0], end = n - 4;
	enum kind kind = KIND_REQUEST;

	if ((low & 0x00ffffffffffffffull) == WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		kind = KIND_RESPONSE;
	else if ((low & 0xffffffffffull) != WORD('G', 'E', 'T', ' ', '/', 0, 0, 0) &&
		 ((low & 0xffffffffffffull) != WORD('P', 'O', 'S', 'T', ' ', '/', 0, 0) ||
		  is_export(low, ((const __u64 *)at)[1])))
		return KIND_NO;
	barrier_var(end);
	return end > room - 4 || four_bytes(at + end) != HEAD_ENDS ? KIND_NO : kind;
}

/* Says what usual() has found, and is that record. */
static __always_inline void usual_tell(struct hit *hit, struct sonde_rec_data *rec, __u32 room,
				       __u32 copied, bool response)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;

	dir->first[0] = ((const __u64 *)rec->payload)[0];
	dir->first[1] = ((const __u64 *)rec->payload)[1];
	dir->first_bytes = 16;
	dir->head = copied;
	hit->conn->behind = 0;
	dir->flags &= ~(DIR_MAYBE | DIR_START_LOST | DIR_EXPORTS | DIR_IN_TURN | DIR_GAP);
	w->flags |= SONDE_F_TURN_START | SONDE_F_START | SONDE_F_HEAD_END;
	if (!response) {
		request_begun(hit);
		if (!hit->tx)
			thread_take(hit);
	}
	w->p.at = 0;
	data_fill(rec, (void *)rec->payload + room, hit, &w->p, DATA_BYTES(room));
	rec->copied = copied;
	hit->conn->flags &= ~CONN_LOST;
	w->captured = copied;
}

/* One record of one size class, taken back where its bytes are no usual head. */
static __always_inline bool usual_one(struct hit *hit, const struct area *area, __u32 room)
{
	const __u64 bytes = DATA_BYTES(room);
	struct sonde_rec_data *rec;
	__u64 n = area->len;
	enum kind kind;

	rec = ring_holds(hit->k, bytes) ? bpf_ringbuf_reserve(&ring, bytes, 0) : NULL;
	if (!rec)
		return false;
	if (n < 16 || user_read(rec->payload, n, area->base, room))
		goto closer;
	kind = usual_head(rec->payload, n, room);
	if (kind == KIND_NO)
		goto closer;
	usual_tell(hit, rec, room, n, kind == KIND_RESPONSE);
	count(hit->k, records_attempted, 1);
	ring_submit(hit->k, rec);
	return true;
closer:
	bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
	hit->dir->flags |= DIR_CLOSER;
	return false;
}

/*
 * The usual call on a connection that is known to speak HTTP/1: it begins a turn with a head that is
 * whole, in one area of memory. Its bytes are looked at once, in the record. False: it is none,
 * nothing was done, and it is to be looked at closer.
 */
static __noinline int usual(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct conn *conn = hit->conn;
	struct work *w = hit->w;
	struct area area;

	if (conn->verdict != SONDE_VERDICT_HTTP1 || !(conn->flags & CONN_SENT) || !w->begins ||
	    w->unseen || dir->state != DIR_BODY || (dir->flags & DIR_CLOSER) ||
	    conn->generation != consumer_generation() || !usual_area(hit, &area))
		return false;
	if (area.len <= SONDE_CLASS_0_BYTES)
		return usual_one(hit, &area, SONDE_CLASS_0_BYTES);
	if (area.len <= SONDE_CLASS_1_BYTES)
		return usual_one(hit, &area, SONDE_CLASS_1_BYTES);
	if (area.len <= SONDE_CLASS_2_BYTES)
		return usual_one(hit, &area, SONDE_CLASS_2_BYTES);
	return area.len <= SONDE_CLASS_3_BYTES && usual_one(hit, &area, SONDE_CLASS_3_BYTES);
}

/* A call on a connection that is not known to speak anything but HTTP/1. */
static __always_inline void messages_capture(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;

	if (dir->state == DIR_HELLO)
		;
	else if (usual(hit))
		return;
	else if (w->begins || dir->state == DIR_BODY)
		w->head = head_starts(hit);
	else if (dir->state == DIR_HEAD)
		w->head = head_continues(hit);
	if (w->head)
		head_capture(hit);
	if (dir->state == DIR_EXPORT)
		export_capture(hit);
	else if (dir->state == DIR_HELLO)
		hello_capture(hit);
}

/*
 * One call. Afterwards w->captured and w->lost say what became of its bytes; the rest is to be
 * counted. dir->offset has moved on by w->bytes.
 */
static __noinline int capture(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;

	w->offset = dir->offset;
	dir->flags &= ~DIR_TOLD;
	w->piece = w->head = 0;
	w->captured = w->lost = 0;
	w->no_chunk = 0;
	if (hit->tx)
		w->flags |= SONDE_F_TX;
	if (w->unsure)
		w->flags |= SONDE_F_UNSURE;

	if (!worth_looking(hit) || w->source.kind == SOURCE_NONE) {
		if (hit->conn->verdict != SONDE_VERDICT_HTTP2)
			dir->state = DIR_BODY;
		conn_unseen(hit);
	} else {
		if (hit->conn->verdict != SONDE_VERDICT_HTTP2)
			messages_capture(hit);
		if (hit->conn->verdict == SONDE_VERDICT_HTTP2)
			frames_capture(hit);
	}
	dir->offset += w->bytes;
	dir->ns = w->ns;
	if (hit->conn->flags & CONN_SENT)
		slot_advance(hit);
	return 0;
}

#endif
