/* SPDX-License-Identifier: GPL-2.0-only */
/* DATA records: payload straight from the program's memory into the reserved record. */
#ifndef SONDE_BPF_DATA_H
#define SONDE_BPF_DATA_H

#include "detect.h"
#include "emit.h"

/* Of a record that has all there is to say beside its payload. */
#define DATA_BYTES(room) (sizeof(struct sonde_rec_data) + (room) + sizeof(struct sonde_rec_more))

static __always_inline void data_fill(struct sonde_rec_data *rec, struct sonde_rec_more *more,
				      struct hit *hit, const struct piece *piece, __u32 bytes)
{
	struct conn *conn = hit->conn;

	rec->h.type = SONDE_REC_DATA;
	rec->h.flags =
		hit->w->flags | SONDE_F_MORE | (conn->flags & CONN_LOST ? SONDE_F_LOST_BEFORE : 0);
	rec->h.bytes = bytes;
	rec->h.ns = hit->w->ns;
	rec->h.conn = conn->id;
	rec->tgid = hit->w->tgid;
	rec->tid = hit->w->tid;
	rec->tgid_start_ns = thread_process_start_ns(hit->thread);
	rec->turn = hit->w->turn;
	rec->call_bytes = hit->w->bytes - piece->at;
	rec->offset = hit->w->offset + piece->at;
	rec->piece = hit->w->piece;
	more->other_ns = hit->other->ns;
	more->other_offset = offset_now(hit->other);
	rec->other_low = more->other_offset;
	__builtin_memset(&more->evidence, 0, sizeof(more->evidence));
	if (hit->tx && (hit->w->flags & SONDE_F_START)) {
		more->evidence.at[SONDE_EV_WRITE] = hit->thread->turn;
		more->evidence.at[SONDE_EV_CONNECT] = conn->connect;
	}
}

#define SCAN_GROUP_BYTES 64

/*
 * The offset after the first end of head (LF LF, LF CR LF) in the bytes of a piece that were copied, of `room`;
 * 0: none. tail: the four bytes before. What looks like one but has another byte than CR between
 * its line feeds gives 0: then more is captured than is needed, never less.
 */
static __always_inline __u32 head_end(struct piece *piece, const __u8 *at, __u32 room, __u32 tail)
{
	volatile struct piece *kept = piece;
	__u32 copied = kept->copied;
	__u64 before = (__u64)((tail >> 16 & 0xff) == '\n') << 62 | (__u64)(tail >> 24 == '\n')
									    << 63;
	__u64 ends = 0, end, group;

#pragma clang loop unroll(disable)
	for (group = 0; group < room; group += SCAN_GROUP_BYTES) {
		__u64 feeds;

		if (group >= copied)
			break;
		feeds = line_feeds((const __u64 *)(at + group));
		ends = feeds & (feeds << 1 | before >> 63 | feeds << 2 | before >> 62);
		before = feeds;
		if (ends)
			break;
	}
	/* through memory, of which a verifier knows nothing: else it walks what follows once for each group */
	kept->group = group;
	end = kept->group + lowest_bit(ends) + 1;
	copied = kept->copied;
	/* bytes past `copied` are somebody else's: no end, and no other behind it */
	if (!ends || end > copied)
		return 0;
	if (end >= 2) {
		__u64 i = end - 2;

		barrier_var(i);
		return at[i & (room - 1)] == '\r' || at[i & (room - 1)] == '\n' ? end : 0;
	}
	return tail >> 24 == '\r' || tail >> 24 == '\n' ? end : 0;
}

/* The last four bytes, of which n are new and the others lay before. */
static __always_inline __u32 tail_of(const __u8 *at, __u32 room, __u64 n, __u32 tail)
{
	if (n >= 4) {
		n -= 4;
		barrier_var(n);
		if (n > room - 4)
			return 0;
		return at[n] | at[n + 1] << 8 | at[n + 2] << 16 | (__u32)at[n + 3] << 24;
	}
	tail = tail >> 8 | (__u32)at[0] << 24;
	if (n >= 2)
		tail = tail >> 8 | (__u32)at[1] << 24;
	if (n >= 3)
		tail = tail >> 8 | (__u32)at[2] << 24;
	return tail;
}

/*
 * Looks for the end of the head in a piece that was read. Most are a call's last one, or were chosen
 * to end with the head, and end in an empty line: then nothing behind it is left to be found.
 */
static __always_inline void piece_scan(struct hit *hit, struct piece *piece, const __u8 *at,
				       __u32 room)
{
	__u32 before = hit->dir->tail, tail = tail_of(at, room, piece->copied, before);

	hit->dir->tail = tail;
	if (tail == HEAD_ENDS && (piece->closes || piece->copied == hit->w->bytes - piece->at)) {
		piece->end = piece->copied;
		hit->dir->flags &= ~DIR_CLOSER;
	} else {
		piece->end = head_end(piece, at, room, before);
	}
}

/*
 * Reads, scans and submits one record whose payload area is `room` bytes (twice that where
 * segments are gathered: the oldest verifier bounds offset and length apart from each other).
 */
static __always_inline void data_write(struct hit *hit, struct piece *piece,
				       struct sonde_rec_data *rec, __u32 room,
				       const struct area *area, const struct segment *segments,
				       bool scan)
{
	const bool gathers = !area;
	const __u32 whole = gathers ? 2 * room : room;
	__u64 n = piece->want;

	if (gathers) {
		n = smaller(gather(segments, hit->w->n_segments, rec->payload, room), piece->want);
		barrier_var(n);
		n &= room - 1;
	} else {
		if (n > room)
			n = room;
		barrier_var(n);
		if (n > room || bpf_probe_read_user(rec->payload, n, (const void *)area->base))
			n = 0;
	}
	if (n == 0) {
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
		count(hit->k, lost_fault, 1);
		hit->conn->flags |= CONN_LOST;
		piece->lost = 1;
		return;
	}
	piece->copied = n;
	if (scan)
		piece_scan(hit, piece, rec->payload, room);
	data_fill(rec, (void *)rec->payload + whole, hit, piece, DATA_BYTES(whole));
	rec->copied = *(volatile __u32 *)&piece->copied;
	if (piece->end)
		rec->h.flags |= SONDE_F_HEAD_END;
	hit->conn->flags &= ~CONN_LOST;
	hit->dir->flags &= ~DIR_GAP;
	hit->w->piece++;
	ring_submit(hit->k, rec);
}

/*
 * Reserves and writes one record of one size class, from one area or (area NULL, a constant to
 * the compiler) gathered from segments.
 */
static __always_inline void data_one(struct hit *hit, struct piece *piece, __u32 room,
				     const struct area *area, const struct segment *segments,
				     bool scan)
{
	const __u64 bytes = DATA_BYTES(area ? room : 2 * room);
	struct sonde_rec_data *rec = NULL;

	count(hit->k, records_attempted, 1);
	if (ring_has_room(hit->k, bytes)) {
		rec = bpf_ringbuf_reserve(&ring, bytes, 0);
		if (!rec)
			ring_refused(hit->k, bytes);
	}
	if (!rec) {
		hit->conn->flags |= CONN_LOST;
		piece->lost = 1;
		return;
	}
	data_write(hit, piece, rec, room, area, segments, scan);
}

/* The first record of a head in a call, from one area of memory: at most 1 KiB. */
static __noinline int data_first(struct hit *hit)
{
	struct piece *piece = &hit->w->p;
	struct area area = piece->area;

	if (piece->want <= SONDE_CLASS_0_BYTES)
		data_one(hit, piece, SONDE_CLASS_0_BYTES, &area, NULL, true);
	else if (piece->want <= SONDE_CLASS_1_BYTES)
		data_one(hit, piece, SONDE_CLASS_1_BYTES, &area, NULL, true);
	else if (piece->want <= SONDE_CLASS_2_BYTES)
		data_one(hit, piece, SONDE_CLASS_2_BYTES, &area, NULL, true);
	else
		data_one(hit, piece, SONDE_CLASS_3_BYTES, &area, NULL, true);
	return 0;
}

/* The same for what follows in a call whose head did not end within 1 KiB. */
static __noinline int data_more(struct hit *hit)
{
	struct piece *piece = &hit->w->p;
	struct area area = piece->area;

	if (piece->want <= SONDE_CLASS_2_BYTES)
		data_one(hit, piece, SONDE_CLASS_2_BYTES, &area, NULL, true);
	else
		data_one(hit, piece, SONDE_CLASS_4_BYTES, &area, NULL, true);
	return 0;
}

/* One record gathered from several areas, of less than 1 KiB. */
static __noinline int data_gathered(struct hit *hit)
{
	struct piece *piece = &hit->w->p;
	const struct segment *segments = hit->w->segments;

	if (piece->want < SONDE_CLASS_2_BYTES)
		data_one(hit, piece, SONDE_CLASS_2_BYTES, NULL, segments, true);
	else
		data_one(hit, piece, SONDE_CLASS_3_BYTES, NULL, segments, true);
	return 0;
}

/* One record in which no end of a head is looked for. */
static __noinline int data_plain(struct hit *hit)
{
	struct piece *piece = &hit->w->p;
	struct area area = piece->area;

	if (piece->want <= SONDE_CLASS_2_BYTES)
		data_one(hit, piece, SONDE_CLASS_2_BYTES, &area, NULL, false);
	else
		data_one(hit, piece, SONDE_CLASS_4_BYTES, &area, NULL, false);
	return 0;
}

static __always_inline void data_unreadable(struct hit *hit, struct piece *piece)
{
	count(hit->k, records_attempted, 1);
	count(hit->k, lost_fault, 1);
	hit->conn->flags |= CONN_LOST;
	piece->lost = 1;
}

/* Where byte piece->at of the call lies. False: unreadable. */
static __always_inline bool piece_locate(struct hit *hit, struct piece *piece)
{
	piece->copied = piece->end = 0;
	piece->lost = 0;
	if (in_one_area(hit->w)) {
		piece->area.base = hit->w->source.at + hit->w->source.skip + piece->at;
		piece->area.len = piece->want;
		return true;
	}
	piece->area = segments_locate(hit->w, piece->at);
	if (piece->area.len == 0) {
		data_unreadable(hit, piece);
		return false;
	}
	return true;
}

static __always_inline bool is_response(const struct direction *dir)
{
	return (dir->first[0] & 0x00ffffffffffffffull) ==
	       WORD('H', 'T', 'T', 'P', '/', '1', '.', 0);
}

/*
 * After an end of head at byte `at` of the call: does another message begin right there? Behind
 * a request, that is pipelining; behind a response, one that has no body (1xx, 204, 304).
 */
static __noinline int another_follows(struct hit *hit, __u32 at)
{
	bool response = is_response(hit->dir);
	struct work *w = hit->w;
	enum kind kind;

	if (at >= w->bytes || !peek(hit, at) || !may_begin(w->first[0], response))
		return false;
	kind = kind_of(w->first[0], w->first[1], w->n_first);
	if (response)
		return kind == KIND_RESPONSE || (kind == KIND_MAYBE && (w->first[0] & 0xff) == 'H');
	return kind == KIND_REQUEST || kind == KIND_MAYBE;
}

/*
 * Whether the area is the rest of the head, and what lies in others is its body: then that need not
 * be gathered.
 */
static __noinline int area_closes(struct hit *hit)
{
	struct piece *piece = &hit->w->p;
	__u32 tail = 0;

	if (piece->area.len < 4 ||
	    bpf_probe_read_user(&tail, sizeof(tail),
				(const void *)(piece->area.base + piece->area.len - 4)) ||
	    tail != HEAD_ENDS)
		return false;
	return !another_follows(hit, piece->at + piece->area.len);
}

/* One piece of a head, from byte piece->at of the call on. */
static __always_inline void data_head(struct hit *hit, bool first)
{
	struct piece *piece = &hit->w->p;

	if (!piece_locate(hit, piece))
		return;
	piece->closes = 0;
	if (!in_one_area(hit->w) && piece->area.len < piece->want &&
	    piece->area.len < SONDE_CLASS_3_BYTES) {
		piece->closes = first && area_closes(hit);
		if (!piece->closes) {
			/* what was looked at meanwhile may have been further on */
			if (segments_load(hit->w, piece->at))
				data_gathered(hit);
			else
				data_unreadable(hit, piece);
			return;
		}
	}
	piece->want = smaller(piece->want, piece->area.len);
	if (first)
		data_first(hit);
	else
		data_more(hit);
}

/* One piece of something else: of a body, or the first bytes of a turn that are no head. */
static __noinline int data_body(struct hit *hit)
{
	struct piece *piece = &hit->w->p;

	if (!piece_locate(hit, piece))
		return 0;
	piece->want = smaller(piece->want, piece->area.len);
	data_plain(hit);
	return 0;
}

#endif
