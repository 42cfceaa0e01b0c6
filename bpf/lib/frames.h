/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTP/2 (RFC 9113): each direction is followed frame by frame, however its bytes are cut into calls, and
 * what carries meaning is told (struct sonde_rec_frames); DATA is counted.
 *
 * Where a direction stands is kept in fields of struct direction that only HTTP/1 has another use for:
 *
 *   state       DIR_FRAMES: in step; DIR_ASTRAY: not known where a frame begins
 *   first       the header of the frame that is open (9 bytes); above them the offset that all this is true at
 *   first_bytes how many bytes of that header have come; FRAME_BEGUN: and it was looked at
 *   tail        bytes of the open frame that are still to come
 *   head        frames with header blocks so far, mod 65536
 *   body_kib    bytes that were told of the open header block
 *   flags       DIR_MAYBE: follow.short_data, DIR_CLOSER: follow.counts
 *
 * A call is followed in steps, one a frame. A step is a function that a verifier walks by itself, once: it takes
 * nothing, finds its work by its thread, and so the loop around it costs as little for a thousand
 * steps as for one. What is told are runs of bytes that follow each other; a run is written when
 * it ends, so that a hundred requests in one call are one record.
 */
#ifndef SONDE_BPF_FRAMES_H
#define SONDE_BPF_FRAMES_H

#include "frames_data.h"

/* have: the header is whole, and what it begins was looked at. */
#define FRAME_BEGUN (SONDE_FRAME_HEAD_BYTES + 1)
/* DATA of no more bytes is told with its frame, where that joins what lies before and behind it. */
#define FRAME_DATA_SHORT_BYTES 64
/* Of DATA that ends a stream: enough for the prefix of a gRPC message. */
#define FRAME_DATA_TOLD_BYTES 5
/* Frames that are neither header blocks nor DATA: more of one is not told. */
#define FRAME_OTHER_MAX_BYTES 1024

/* Steps of one call. */
#define FRAMES_ROUNDS 256
#define FRAMES_STEPS 64
/* Frames in a row by which a place proves itself to be where one begins. */
#define FRAMES_PROOF 3

#define FRAMES_PLACE_BITS 56

/* How much of a frame is told, its header aside. ~0: not even that. */
static __always_inline __u32 frame_told(const __u64 *head)
{
	__u32 length = frame_length(head);

	if (is_preface(head))
		return ~0u;
	switch (frame_type(head)) {
	case FRAME_HEADERS:
	case FRAME_PUSH_PROMISE:
	case FRAME_CONTINUATION:
		return length;
	case FRAME_RST_STREAM:
	case FRAME_SETTINGS:
	case FRAME_GOAWAY:
		return length < FRAME_OTHER_MAX_BYTES ? length : FRAME_OTHER_MAX_BYTES;
	case FRAME_DATA:
		if (length <= FRAME_DATA_SHORT_BYTES)
			return length;
		return frame_flags(head) & FRAME_END_STREAM ? FRAME_DATA_TOLD_BYTES : ~0u;
	default:
		return ~0u;
	}
}

/* ---- runs ---- */

static __always_inline void follow_record(struct sonde_rec_frames *rec, struct thread *thread,
					  __u32 n, __u32 bytes)
{
	struct work *w = &thread->work;
	struct follow *f = &w->follow;

	rec->h.type = SONDE_REC_FRAMES;
	rec->h.flags = (f->tx ? SONDE_F_TX : 0) | (f->begun ? SONDE_F_START : 0) |
		       (f->lost ? SONDE_F_LOST_BEFORE : 0) | (w->flags & SONDE_F_EARLY);
	rec->h.bytes = bytes;
	rec->h.ns = w->ns;
	rec->h.conn = f->conn;
	rec->tgid = w->tgid;
	rec->tid = w->tid;
	rec->tgid_start_ns = thread->process_start_ns;
	rec->offset = w->offset + f->run;
	rec->turn = w->turn;
	rec->copied = n;
	rec->begun = f->begun;
	rec->blocks = f->run_blocks;
	rec->in_frame = f->run_in | (f->run_counts ? SONDE_FRAMES_COUNTED : 0);
	rec->left = f->run_left;
	*(__u64 *)rec->head = f->run_head[0];
	rec->head[8] = f->run_head[1];
	__builtin_memset(&rec->evidence, 0, sizeof(rec->evidence));
	if (f->begun && f->tx) {
		rec->evidence.at[SONDE_EV_WRITE] = thread->turn;
		rec->evidence.at[SONDE_EV_CONNECT] = f->connect;
	}
}

/* n bytes of the run are done with; those behind them go on where these have ended. */
static __always_inline void run_advance(struct follow *f, __u32 n)
{
	f->run += n;
	f->run_in = SONDE_FRAMES_GO_ON;
	f->begun = f->bare = 0;
}

/* What is left of the run cannot be told. */
static __always_inline void run_lose(struct sonde_kcounters *k, struct work *w)
{
	struct follow *f = &w->follow;

	w->lost += f->run_end - f->run;
	if (f->begun)
		count(k, begun_lost, f->begun);
	f->lost = 1;
	run_advance(f, f->run_end - f->run);
}

static __always_inline bool run_has_room(struct sonde_kcounters *k, struct work *w, __u64 bytes)
{
	count(k, records_attempted, 1);
	if (ring_has_room(k, bytes))
		return true;
	run_lose(k, w);
	return false;
}

/* The ring refused what it had room for. */
static __always_inline void run_refused(struct sonde_kcounters *k, struct work *w, __u64 bytes)
{
	ring_refused(k, bytes);
	run_lose(k, w);
}

/* What was read makes a record; n 0 though there was something to be read: it could not be. */
static __always_inline void run_submit(struct sonde_kcounters *k, struct thread *thread,
				       struct sonde_rec_frames *rec, __u32 want, __u32 n,
				       __u32 bytes)
{
	struct work *w = &thread->work;

	if (want && !n) {
		bpf_ringbuf_discard(rec, BPF_RB_NO_WAKEUP);
		count(k, lost_fault, 1);
		run_lose(k, w);
		return;
	}
	follow_record(rec, thread, n, bytes);
	ring_submit(k, rec);
	w->captured += n;
	w->follow.lost = 0;
	run_advance(&w->follow, n);
}

/* The smallest area for n bytes: a constant on each way that leads from here, as in quick_room(). */
static __always_inline __u64 run_room(__u64 n)
{
#pragma unroll
	for (__u64 room = 64; room < SONDE_CLASS_4_BYTES; room *= 2) {
		if (n <= room) {
			__u64 is = room;

			barrier_var(is);
			return is;
		}
	}
	return SONDE_CLASS_4_BYTES;
}

static __always_inline void run_write(struct sonde_kcounters *k, struct thread *thread, __u64 base,
				      __u64 want)
{
	struct sonde_rec_frames *rec;
	__u64 room, n = want;

	if (n > SONDE_CLASS_4_BYTES)
		n = SONDE_CLASS_4_BYTES;
	room = run_room(n);
	if (!run_has_room(k, &thread->work, sizeof(*rec) + room))
		return;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec) + room, 0);
	if (!rec) {
		run_refused(k, &thread->work, sizeof(*rec) + room);
		return;
	}
	if (n && user_read(rec->payload, n, base, room))
		n = 0;
	run_submit(k, thread, rec, want, n, sizeof(*rec) + room);
}

/* The same, gathered from segments: less than `room` bytes, in an area twice as large. */
static __always_inline void run_gather(struct sonde_kcounters *k, struct thread *thread, __u64 want,
				       __u32 room)
{
	struct work *w = &thread->work;
	const __u64 bytes = sizeof(struct sonde_rec_frames) + 2 * room;
	struct sonde_rec_frames *rec;
	__u64 n;

	if (!run_has_room(k, w, bytes))
		return;
	rec = bpf_ringbuf_reserve(&ring, bytes, 0);
	if (!rec) {
		run_refused(k, w, bytes);
		return;
	}
	n = smaller(gather(w->segments, w->n_segments, rec->payload, room), want);
	run_submit(k, thread, rec, want, n, bytes);
}

/* Writes one record of the run that is open. */
WALKED_ONCE int run_emit(void)
{
	struct thread *thread = thread_here(false);
	struct sonde_kcounters *k = counters();
	struct area area = { 0, 0 };
	struct work *w;
	__u64 want;

	if (!thread || !k)
		return 0;
	w = &thread->work;
	want = w->follow.run_end - w->follow.run;
	if (w->source.kind == SOURCE_USER) {
		area.base = w->source.at + w->source.skip + w->follow.run;
		area.len = want;
	} else if (want) {
		area = segments_locate(w, w->follow.run);
		if (area.len == 0) {
			count(k, records_attempted, 1);
			count(k, lost_fault, 1);
			run_lose(k, w);
			return 0;
		}
	}
	if (area.len >= want || area.len >= SONDE_CLASS_4_BYTES) {
		run_write(k, thread, area.base, smaller(want, area.len));
	} else if (!segments_load(w, w->follow.run)) {
		run_lose(k, w);
	} else if (want < SONDE_CLASS_0_BYTES) {
		run_gather(k, thread, want, SONDE_CLASS_0_BYTES);
	} else if (want < SONDE_CLASS_2_BYTES) {
		run_gather(k, thread, want, SONDE_CLASS_2_BYTES);
	} else {
		run_gather(k, thread, want, SONDE_CLASS_3_BYTES);
	}
	return 0;
}

/* A run begins at byte `at` of the call, inside the open frame or with its header. */
static __always_inline void run_open(struct follow *f, __u32 at, __u32 in, __u32 blocks)
{
	f->open = f->bare = 1;
	f->run = f->run_end = at;
	f->run_in = in;
	f->run_left = in ? f->left : 0;
	f->run_head[0] = f->head[0];
	f->run_head[1] = f->head[1];
	f->run_blocks = blocks;
	f->run_counts = f->counts;
}

/* Whether DATA is told: its header, or all of it. What is short and ends nothing only where that saves a record. */
static __always_inline bool data_is_told(const struct follow *f, __u32 told, bool joins)
{
	if (told == ~0u)
		return false;
	return (frame_flags(f->head) & FRAME_END_STREAM) || (joins && !f->counts);
}

/* A client opens a stream; whoever reads that has it in hand from now on. */
static __always_inline void stream_begins(struct thread *thread, __u32 stream)
{
	struct work *w = &thread->work;
	struct follow *f = &w->follow;

	f->high = stream;
	f->begun++;
	f->all_begun++;
	if (f->tx)
		return;
	thread->turn.conn = f->conn;
	thread->turn.turn = w->turn;
	thread->turn.tid = w->tid;
}

/* The header of the open frame is whole: what begins here. */
static __always_inline void frame_begins(struct thread *thread)
{
	struct work *w = &thread->work;
	struct follow *f = &w->follow;
	__u8 type = frame_type(f->head);
	__u32 told = f->again ? ~0u : frame_told(f->head), stream = frame_stream(f->head);
	__u32 blocks = f->blocks;
	bool here = f->head_at != ~0u, joins = here && f->open && f->run_end == f->head_at;

	f->counts = 0;
	f->short_data = 1;
	if (type == FRAME_DATA) {
		f->counts = f->left && !(told != ~0u && is_one_message(w));
		joins = joins && f->run_counts == f->counts;
		f->short_data = data_is_told(f, told, joins);
	}
	if (told == ~0u || !f->short_data) {
		f->counts = f->left > 0;
		f->have = FRAME_BEGUN;
		return;
	}
	if (!joins && f->open) {
		f->flush = 1;
		return;
	}
	f->have = FRAME_BEGUN;
	if (frame_has_block(type))
		f->blocks++;
	if (type != FRAME_CONTINUATION)
		f->block = 0;
	if (!joins)
		run_open(f, here ? f->head_at : f->at,
			 here ? SONDE_FRAMES_BEGIN : SONDE_FRAMES_INSIDE, blocks);
	f->run_end = f->at;
	if (f->requests && type == FRAME_HEADERS && (stream & 1) && stream > f->high)
		stream_begins(thread, stream);
}

/* The bytes of this call up to the end of the open frame. */
static __always_inline void frame_goes_on(struct work *w)
{
	struct follow *f = &w->follow;
	__u32 told = frame_told(f->head), passed = frame_length(f->head) - f->left;
	__u64 n = smaller(f->left, w->bytes - f->at), tell;

	if (told == ~0u || f->again || (frame_type(f->head) == FRAME_DATA && !f->short_data))
		told = 0;
	if (told > passed && f->open && f->run_end != f->at) {
		f->flush = 1;
		return;
	}
	if (frame_type(f->head) == FRAME_DATA && (f->counts || !f->short_data)) {
		if (!stream_of(f)) {
			/* the stream's begin is told before its counting's */
			if (f->open && !(frame_flags(f->head) & FRAME_END_STREAM)) {
				f->flush = 1;
				return;
			}
			stream_counts();
		}
		n = data_count(w, n);
	}
	tell = told > passed ? smaller(n, told - passed) : 0;
	if (frame_has_block(frame_type(f->head)))
		tell = smaller(tell,
			       SONDE_HEAD_MAX_BYTES - smaller(f->block, SONDE_HEAD_MAX_BYTES));
	if (tell) {
		if (!f->open)
			run_open(f, f->at, SONDE_FRAMES_INSIDE,
				 f->blocks - frame_has_block(frame_type(f->head)));
		f->run_end += tell;
		f->block += tell;
	}
	f->at += n;
	f->left -= n;
}

/* What a step comes to. */
enum step { STEP_DONE = 0, STEP_ON, STEP_EMIT };

/* The next piece of the open frame's header. */
static __always_inline enum step frame_head(struct work *w)
{
	struct follow *f = &w->follow;
	__u32 n = peek_at(w, f->at);

	if (!n) {
		f->stuck = 1;
		return STEP_DONE;
	}
	n = smaller(n, SONDE_FRAME_HEAD_BYTES - f->have);
	f->head_at = n == SONDE_FRAME_HEAD_BYTES ? f->at : ~0u;
	f->again = n == SONDE_FRAME_HEAD_BYTES && frame_type(f->head) == FRAME_RST_STREAM &&
		   f->head[0] == w->first[0] && f->head[1] == (w->first[1] & 0xff);
	extend(f->head, f->have, w->first[0], w->first[1], n);
	f->have += n;
	f->at += n;
	words_cut(f->head, f->have);
	if (f->have == SONDE_FRAME_HEAD_BYTES)
		f->left = is_preface(f->head) ? PREFACE_LEFT_BYTES : frame_length(f->head);
	return STEP_ON;
}

/* One frame, or the rest of one, or the piece of one that lies in this call. */
WALKED_ONCE int frames_step(void)
{
	struct thread *thread = thread_here(false);
	struct follow *f;

	if (!thread)
		return STEP_DONE;
	f = &thread->work.follow;
	if (f->flush) {
		if (f->bare || f->run < f->run_end)
			return STEP_EMIT;
		f->flush = f->open = 0;
	}
	/* a header at the end of a call is told with what it heads */
	if (f->at >= thread->work.bytes && (f->have != SONDE_FRAME_HEAD_BYTES || f->left)) {
		f->flush = f->open && !f->stuck;
		return f->flush ? STEP_ON : STEP_DONE;
	}
	if (f->have < SONDE_FRAME_HEAD_BYTES)
		return frame_head(&thread->work);
	if (f->have == SONDE_FRAME_HEAD_BYTES) {
		frame_begins(thread);
		/* of DATA the first bytes are told, and they are the end: whatever follows in calls to come */
		if (f->have == FRAME_BEGUN && frame_type(f->head) == FRAME_DATA &&
		    ends_stream(f->head))
			stream_ends();
	}
	if (f->have == FRAME_BEGUN && f->left)
		frame_goes_on(&thread->work);
	if (f->have == FRAME_BEGUN && !f->left) {
		if (!f->again && frame_type(f->head) != FRAME_DATA && ends_stream(f->head))
			stream_ends();
		f->have = 0;
	}
	return STEP_ON;
}

/* Not the end of the call: 1. */
WALKED_ONCE int frames_steps(void)
{
#pragma clang loop unroll(disable)
	for (int i = 0; i < FRAMES_STEPS; i++) {
		int step = frames_step();

		if (step == STEP_DONE)
			return 0;
		if (step == STEP_EMIT)
			run_emit();
	}
	return 1;
}

/* Whether a frame may begin at byte `at` of the call: then how many bytes it has; 0: not, ~0: it cannot be said. */
WALKED_ONCE __u32 frame_probe(__u32 at)
{
	struct thread *thread = thread_here(false);
	struct work *w;
	__u64 head[2];

	if (!thread)
		return 0;
	w = &thread->work;
	if (peek_at(w, at) < SONDE_FRAME_HEAD_BYTES)
		return ~0u;
	head[0] = w->first[0];
	head[1] = w->first[1];
	if (is_preface(head)) {
		w->kind = KIND_FRAMES;
		return SONDE_FRAME_HEAD_BYTES + PREFACE_LEFT_BYTES;
	}
	return frame_plausible(head) ? SONDE_FRAME_HEAD_BYTES + frame_length(head) : 0;
}

/*
 * Whether the call begins with a frame, as it proves by its bytes: frames that follow each other, or end with
 * the call. A header alone, as it is read by those who read it by itself, is proof enough of 9 bytes, and what a
 * client says first of all that follows: then w->kind is KIND_FRAMES.
 */
static __noinline int frames_proven(struct hit *hit)
{
	struct work *w = hit->w;
	__u32 at = 0;

	w->kind = KIND_NO;
#pragma clang loop unroll(disable)
	for (int i = 0; i < FRAMES_PROOF; i++) {
		__u32 n = frame_probe(at);

		if (!i && w->kind == KIND_FRAMES)
			return true;
		if (!n)
			return false;
		if (n == ~0u)
			return i > 1;
		at += n;
		if (at == w->bytes || w->bytes == SONDE_FRAME_HEAD_BYTES)
			return true;
		if (at > w->bytes)
			return i > 0;
	}
	return true;
}

/* In step: a frame begins at this offset. */
static __always_inline void frames_found(struct direction *dir, __u64 offset)
{
	dir->state = DIR_FRAMES;
	dir->first[0] = 0;
	dir->first[1] = offset << 8;
	dir->first_bytes = 0;
	dir->tail = 0;
	dir->body_kib = 0;
}

/* Where frames begin is not known any more, and so what has passed since may have been of any number. */
static __always_inline void frames_astray(struct hit *hit)
{
	if (hit->dir->state != DIR_ASTRAY)
		count(hit->k, frames_sync_lost, 1);
	hit->dir->state = DIR_ASTRAY;
	hit->dir->first[0] = 0;
	hit->dir->head++;
}

/*
 * A direction of which nothing was looked at yet: it is in step if nothing has passed, or with what its end says
 * first. Else what has passed may have been frames, too.
 */
static __always_inline void frames_start(struct direction *dir, __u64 offset, bool begins)
{
	dir->head = 0;
	if (!offset || begins) {
		frames_found(dir, offset);
		return;
	}
	dir->state = DIR_ASTRAY;
	dir->head = 1;
}

/*
 * What was seen last in this direction is the head of 101 (RFC 9110 section 15.2.2), and what follows is of another
 * protocol.
 */
static __always_inline bool has_switched(const struct direction *dir)
{
	return is_response(dir) && !(dir->flags & DIR_GAP) &&
	       (dir->first[1] & 0xffffffffull) == WORD(' ', '1', '0', '1', 0, 0, 0, 0);
}

/* Whether the bytes that were looked at last are what a server of HTTP/2 says first (RFC 9113 section 3.4). */
static __always_inline bool settings_begin(const struct work *w)
{
	return w->n_first >= SONDE_FRAME_HEAD_BYTES && frame_type(w->first) == FRAME_SETTINGS &&
	       !frame_flags(w->first) && frame_plausible(w->first);
}

/*
 * Whether what begins with this call, on a connection that is none of ours so far, is HTTP/2: a server may speak
 * first, with SETTINGS; and of one that was met in mid-life the bytes prove it.
 */
static __always_inline int frames_begin(struct hit *hit)
{
	if (hit->conn->flags & CONN_FROM_START)
		return !hit->w->offset && settings_begin(hit->w);
	return frames_proven(hit);
}

/* From where on the call is to be followed: ~0: it is not. */
static __always_inline __u32 frames_enter(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct work *w = hit->w;
	__s64 ahead = (__s64)((w->offset << 8) - (dir->first[1] & ~0xffull)) >> 8;

	if (dir->state == DIR_FRAMES && ahead > 0) {
		/* what no hook saw lay inside the open frame, or it may have been anything */
		if (dir->first_bytes == FRAME_BEGUN && ahead <= dir->tail) {
			dir->tail -= ahead;
			if (!dir->tail)
				dir->first_bytes = 0;
		} else {
			frames_astray(hit);
		}
	}
	if (dir->state != DIR_FRAMES && has_switched(dir) && peek(hit, 0) && settings_begin(w)) {
		frames_found(dir, w->offset);
		dir->head = 0;
		return 0;
	}
	if (dir->state != DIR_FRAMES) {
		if (!frames_proven(hit)) {
			frames_astray(hit);
			return ~0u;
		}
		frames_found(dir, w->offset);
		if (w->kind == KIND_FRAMES)
			dir->head = 0;
		else
			count(hit->k, frames_sync_found, 1);
		return 0;
	}
	/* less was taken of the call before than it offered: these bytes are offered again */
	if (ahead < 0)
		return -ahead < w->bytes ? -ahead : ~0u;
	return 0;
}

static __always_inline void follow_load(struct hit *hit, __u32 at)
{
	struct direction *dir = hit->dir;
	struct conn *conn = hit->conn;
	struct follow *f = &hit->w->follow;

	f->conn = conn->id;
	f->connect = conn->connect;
	f->head[0] = dir->first[0];
	f->head[1] = dir->first[1] & 0xff;
	f->have = dir->first_bytes;
	f->left = dir->tail;
	f->blocks = dir->head;
	f->block = dir->body_kib;
	f->short_data = !!(dir->flags & DIR_MAYBE);
	f->high = conn->behind;
	f->lost = !!(conn->flags & CONN_LOST);
	f->at = at;
	f->counts = !!(dir->flags & DIR_CLOSER);
	f->run = f->run_end = f->open = f->begun = f->all_begun = f->stuck = 0;
	f->flush = f->bare = f->messages = f->again = 0;
	f->head_at = ~0u;
	f->tx = hit->tx;
	/* of a connection that was met in mid-life nobody knows yet: user space finds it out */
	f->requests = conn->role == (hit->tx ? SONDE_ROLE_ACTIVE : SONDE_ROLE_PASSIVE);
}

static __always_inline void follow_save(struct hit *hit)
{
	struct direction *dir = hit->dir;
	struct conn *conn = hit->conn;
	const struct follow *f = &hit->w->follow;

	dir->first[0] = f->head[0];
	dir->first[1] = (hit->w->offset + f->at) << 8 | (f->head[1] & 0xff);
	dir->first_bytes = f->have;
	dir->tail = f->left;
	dir->head = f->blocks;
	dir->body_kib = f->block;
	dir->flags &= ~(DIR_MAYBE | DIR_CLOSER);
	if (f->short_data)
		dir->flags |= DIR_MAYBE;
	if (f->counts)
		dir->flags |= DIR_CLOSER;
	/* the other direction may be followed at this moment */
	if (f->requests)
		conn->behind = f->high;
	conn->flags &= ~CONN_LOST;
	if (f->lost)
		conn->flags |= CONN_LOST;
	if (f->all_begun)
		count(hit->k, starts_begun, f->all_begun);
}

/* A call on an HTTP/2 connection. */
static __noinline int frames_capture(struct hit *hit)
{
	struct work *w = hit->w;
	int goes_on = 1;
	__u32 at;

	if (!conn_announce(hit)) {
		w->lost = w->bytes;
		frames_astray(hit);
		return 0;
	}
	at = frames_enter(hit);
	if (at == ~0u)
		return 0;
	thread_process_start_ns(hit->thread);
	follow_load(hit, at);
#pragma clang loop unroll(disable)
	for (int i = 0; i < FRAMES_ROUNDS && goes_on; i++)
		goes_on = frames_steps();
	/* more steps than are taken, or memory that cannot be read */
	if (w->follow.open)
		run_lose(hit->k, w);
	follow_save(hit);
	if (w->follow.stuck) {
		count(hit->k, records_attempted, 1);
		count(hit->k, lost_fault, 1);
		hit->conn->flags |= CONN_LOST;
	}
	if (goes_on || w->follow.stuck)
		frames_astray(hit);
	hit->dir->flags &= ~DIR_GAP;
	return 0;
}

#endif
