// SPDX-License-Identifier: Apache-2.0
/* HTTP/2: what the kernel side tells of frames, put together to frames again. */
#include "core/proto/http2.h"

#include <stdlib.h>
#include <string.h>

#include "core/conn.h"

/* Of DATA so many bytes are looked at: the prefix of a gRPC message. */
#define DATA_PREFIX_BYTES 5
#define SETTING_BYTES 6
#define SETTING_HEADER_TABLE_SIZE 1

static uint32_t big_endian(const uint8_t *at, unsigned int n)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < n; i++)
		value = value << 8 | at[i];
	return value;
}

static uint32_t frame_length(const struct http2_dir *d)
{
	return big_endian(d->head, 3);
}

static uint8_t frame_type(const struct http2_dir *d)
{
	return d->head[3];
}

static uint32_t frame_stream(const struct http2_dir *d)
{
	return big_endian(d->head + 5, 4) & 0x7fffffff;
}

static bool has_block(uint8_t type)
{
	return type == HTTP2_HEADERS || type == HTTP2_PUSH_PROMISE || type == HTTP2_CONTINUATION;
}

static void met(struct conn *conn, uint64_t tx_offset, uint64_t rx_offset)
{
	struct http2 *h = calloc(1, sizeof(*h));

	conn->http2 = h;
	if (!h)
		return;
	h->dirs[DIR_TX].next = tx_offset;
	h->dirs[DIR_RX].next = rx_offset;
	for (int dir = 0; dir < 2; dir++) {
		h->dirs[dir].block.max = SONDE_HEAD_MAX_BYTES + 1024;
		h->dirs[dir].hpack.partial = !conn->from_start;
	}
	if (conn->known && conn->role != SONDE_ROLE_UNKNOWN) {
		h->role_known = true;
		h->request_dir = conn->role == SONDE_ROLE_ACTIVE ? DIR_TX : DIR_RX;
	}
}

void http2__upgraded(struct conn *conn, struct exchange *ex)
{
	struct http2 *h;

	conn->proto = &proto_http2;
	met(conn, 0, 0);
	h = conn->http2;
	if (!h) {
		conn__drop(conn, ex, &conn->core->account->dropped_bound);
		return;
	}
	h->role_known = true;
	h->request_dir = ex->side == SIDE_CLIENT ? DIR_TX : DIR_RX;
	h->high = 1;
	h->upgraded = ex;
	ex->proto = &proto_http2;
	ex->version = VIEW("2");
}

/* The kernel has counted streams that will not be met any more. */
static void settle_debt(struct conn *conn, struct http2_dir *d)
{
	struct account_trace *account = conn->core->account;

	account->ex_inside += d->debt;
	account->dropped_ring += d->debt;
	d->debt = 0;
}

static void forget_parked(struct conn *conn)
{
	struct http2 *h = conn->http2;

	while (h->parked) {
		struct http2_parked *parked = h->parked;

		conn->core->account->dropped_ring += parked->rec.begun;
		h->parked = parked->next;
		free(parked);
	}
	h->parked_last = NULL;
	h->parked_bytes = 0;
}

static void forget(struct conn *conn)
{
	struct http2 *h = conn->http2;

	if (!h)
		return;
	for (int dir = 0; dir < 2; dir++) {
		settle_debt(conn, &h->dirs[dir]);
		hpack__release(&h->dirs[dir].hpack);
		buf__free(&h->dirs[dir].block);
	}
	forget_parked(conn);
	free(h->streams);
	free(h);
	conn->http2 = NULL;
}

/* The open frame's part of a header block, without what stands around it (RFC 9113 sections 6.2 and 6.6). */
static void trim_fragment(struct http2_dir *d)
{
	uint8_t type = frame_type(d), flags = d->head[4];
	size_t len = d->block.len - d->fragment, front = 0, back = 0;
	uint8_t *at;

	if (type == HTTP2_CONTINUATION || !len)
		return;
	at = d->block.at + d->fragment;
	if (flags & HTTP2_PADDED) {
		back = at[0];
		front = 1;
	}
	if (type == HTTP2_PUSH_PROMISE)
		front += 4;
	else if (flags & HTTP2_PRIORITY)
		front += 5;
	if (front + back > len) {
		d->block_cut = true;
		d->block.len = d->fragment;
		return;
	}
	memmove(at, at + front, len - front - back);
	d->block.len -= front + back;
}

static void end_block(struct conn *conn, struct http2_dir *d, int dir, uint64_t ns)
{
	d->block_cut |= d->block.err != 0;
	http2__end_block(conn, dir, ns);
	d->block_stream = 0;
	d->opened = NULL;
	d->block_cut = false;
	if (d->block.cap > 4096)
		buf__free(&d->block);
	else
		buf__clear(&d->block);
	d->fragment = 0;
}

/* The open frame, or the header block that it belongs to, will not get any further. */
static void frame_cut(struct conn *conn, struct http2_dir *d, int dir, uint64_t ns)
{
	d->have = 0;
	if (!d->block_stream)
		return;
	d->block_cut = true;
	end_block(conn, d, dir, ns);
}

static void on_setting(struct conn *conn, int dir, const uint8_t *at)
{
	if (big_endian(at, 2) == SETTING_HEADER_TABLE_SIZE)
		hpack__allow(&conn->http2->dirs[!dir].hpack, big_endian(at + 2, 4));
}

/* The first bytes of a header block: whose it is. */
static void block_begins(struct conn *conn, struct http2_dir *d, struct http2_input *in)
{
	d->blocks++;
	if (frame_type(d) == HTTP2_CONTINUATION) {
		/* of a block whose beginning was not seen: the end of it, for the table, is not whole either */
		if (!d->block_stream || d->block_stream != frame_stream(d)) {
			frame_cut(conn, d, in->dir, in->rec->h.ns);
			d->have = sizeof(d->head);
			d->block_stream = frame_stream(d);
			d->block_type = HTTP2_CONTINUATION;
			d->block_flags = 0;
			d->block_cut = true;
		}
		d->fragment = d->block.len;
		return;
	}
	if (d->block_stream) {
		uint8_t have = d->have;

		frame_cut(conn, d, in->dir, in->rec->h.ns);
		d->have = have;
	}
	d->block_stream = frame_stream(d);
	d->block_type = frame_type(d);
	d->block_flags = d->head[4];
	d->fragment = 0;
	d->tid = in->rec->tid;
	http2__begin_block(conn, in);
}

/* A stream that this end's requests have not got to: its request is still about to be told. */
static bool is_early(const struct http2 *h, const uint8_t *head, const struct http2_input *in)
{
	uint32_t stream = big_endian(head + 5, 4) & 0x7fffffff;

	return !in->force && h->role_known && in->dir == HTTP2_RX && h->request_dir == DIR_TX &&
	       (stream & 1) && stream > h->high &&
	       (head[3] == HTTP2_HEADERS || head[3] == HTTP2_RST_STREAM);
}

/* The header of a frame is whole. */
static void frame_begins(struct conn *conn, struct http2_dir *d, struct http2_input *in)
{
	d->left = frame_length(d);
	d->n_small = 0;
	d->done = false;
	if (has_block(frame_type(d)))
		block_begins(conn, d, in);
}

/* As much of DATA has come as is looked at; what is left of it may be told, or not. */
static void data_done(struct conn *conn, struct http2_dir *d, int dir, uint64_t ns)
{
	if (d->done)
		return;
	d->done = true;
	http2__data(conn, dir, frame_stream(d), frame_length(d), d->head[4] & HTTP2_END_STREAM,
		    d->counted ? NULL : d->small, d->n_small, ns);
}

static void frame_ends(struct conn *conn, struct http2_dir *d, int dir, uint64_t ns)
{
	uint32_t stream = frame_stream(d);
	uint8_t flags = d->head[4];

	d->have = 0;
	switch (frame_type(d)) {
	case HTTP2_HEADERS:
	case HTTP2_PUSH_PROMISE:
	case HTTP2_CONTINUATION:
		if (d->block_stream != stream)
			return;
		trim_fragment(d);
		if (flags & HTTP2_END_HEADERS)
			end_block(conn, d, dir, ns);
		return;
	case HTTP2_DATA:
		data_done(conn, d, dir, ns);
		return;
	case HTTP2_RST_STREAM:
		if (d->n_small == 4)
			http2__reset(conn, dir, stream, big_endian(d->small, 4), ns);
		return;
	case HTTP2_GOAWAY:
		if (d->n_small == 8)
			http2__go_away(conn, dir, big_endian(d->small, 4) & 0x7fffffff, ns);
		return;
	}
}

/* Puts bytes of the open frame where they belong. Returns how many were taken: not 0. */
static size_t frame_bytes(struct conn *conn, struct http2_dir *d, int dir, const uint8_t *at,
			  size_t len)
{
	uint8_t type = frame_type(d);
	size_t want = type == HTTP2_DATA     ? DATA_PREFIX_BYTES :
		      type == HTTP2_SETTINGS ? SETTING_BYTES :
					       sizeof(d->small),
	       n;

	if (has_block(type)) {
		if (d->block_stream)
			buf__add(&d->block, at, len);
		return len;
	}
	n = want - d->n_small < len ? want - d->n_small : len;
	memcpy(d->small + d->n_small, at, n);
	d->n_small += n;
	if (type != HTTP2_SETTINGS || d->n_small < SETTING_BYTES)
		return n ?: len;
	on_setting(conn, dir, d->small);
	d->n_small = 0;
	return n;
}

/* All of DATA that is looked at has come; what is left of it the kernel side does not tell. */
static bool is_enough(const struct http2_dir *d)
{
	uint32_t length = frame_length(d);

	return frame_type(d) == HTTP2_DATA &&
	       d->n_small == (length < DATA_PREFIX_BYTES ? length : DATA_PREFIX_BYTES);
}

/* Returns how many bytes were read: less than len where a frame begins that is early. */
static size_t read_frames(struct conn *conn, struct http2_dir *d, struct http2_input *in,
			  const uint8_t *at, size_t len)
{
	const uint64_t ns = in->rec->h.ns;
	size_t done = 0;

	while (done < len || (d->have == sizeof(d->head) && !d->left)) {
		size_t n;

		if (d->have < sizeof(d->head)) {
			n = sizeof(d->head) - d->have;
			if (n > len - done)
				n = len - done;
			if (!d->have)
				d->at = in->rec->offset + done;
			memcpy(d->head + d->have, at + done, n);
			d->have += n;
			done += n;
			if (d->have < sizeof(d->head))
				break;
			if (n == sizeof(d->head) && is_early(conn->http2, d->head, in)) {
				d->have = 0;
				return done - n;
			}
			frame_begins(conn, d, in);
			if (d->left)
				continue;
		} else if (d->left) {
			n = len - done < d->left ? len - done : d->left;
			n = frame_bytes(conn, d, in->dir, at + done, n);
			done += n;
			d->left -= n;
		}
		if (!d->left)
			frame_ends(conn, d, in->dir, ns);
		else if (is_enough(d))
			data_done(conn, d, in->dir, ns);
	}
	return len;
}

/* Where the record begins: inside a frame, or with one. False: nobody can know what its bytes are. */
static bool enter(struct conn *conn, struct http2_dir *d, struct http2_input *in)
{
	const struct sonde_rec_frames *rec = in->rec;
	bool joins = d->met && rec->offset == d->next && d->have, again;
	uint64_t before = d->at;

	if ((rec->in_frame & SONDE_FRAMES_HOW) == SONDE_FRAMES_GO_ON)
		return d->met && rec->offset == d->next;
	if ((rec->in_frame & SONDE_FRAMES_HOW) == SONDE_FRAMES_INSIDE && joins &&
	    d->have == sizeof(d->head) && d->left == rec->left &&
	    !memcmp(d->head, rec->head, sizeof(d->head)))
		return true;
	if (d->have)
		frame_cut(conn, d, in->dir, rec->h.ns);
	if (rec->blocks != d->blocks) {
		/* the first record of a connection that was met in mid-life says where it stands */
		if (d->met || conn->from_start) {
			frame_cut(conn, d, in->dir, rec->h.ns);
			hpack__lost(&d->hpack);
			settle_debt(conn, d);
			http2__lost(conn);
		}
		d->blocks = rec->blocks;
	}
	if ((rec->in_frame & SONDE_FRAMES_HOW) == SONDE_FRAMES_BEGIN)
		return true;
	memcpy(d->head, rec->head, sizeof(d->head));
	d->have = sizeof(d->head);
	d->at = rec->offset - (frame_length(d) - rec->left) - sizeof(d->head);
	if (rec->left > frame_length(d))
		return false;
	/* the rest of DATA that was dealt with when its first bytes had come */
	again = d->done && d->at == before;
	frame_begins(conn, d, in);
	d->done = again;
	d->left = rec->left;
	if (d->left < frame_length(d) && d->block_stream)
		d->block_cut = true;
	return true;
}

/* Of a record that was read in part, the rest. */
static uint8_t go_on(const struct sonde_rec_frames *rec)
{
	return SONDE_FRAMES_GO_ON | (rec->in_frame & ~SONDE_FRAMES_HOW);
}

static bool park(struct http2 *h, const struct sonde_rec_frames *rec, const uint8_t *at,
		 size_t skip)
{
	size_t len = rec->copied - skip;
	struct http2_parked *parked;

	if (h->parked_bytes + sizeof(*parked) + len > HTTP2_PARKED_MAX_BYTES)
		return false;
	parked = malloc(sizeof(*parked) + len);
	if (!parked)
		return false;
	parked->next = NULL;
	parked->rec = *rec;
	parked->rec.copied = (uint16_t)len;
	if (skip) {
		parked->rec.offset += skip;
		parked->rec.in_frame = go_on(rec);
	}
	memcpy(parked->payload, at + skip, len);
	*(h->parked_last ? &h->parked_last->next : &h->parked) = parked;
	h->parked_last = parked;
	h->parked_bytes += sizeof(*parked) + len;
	return true;
}

/* Of these streams the frames come in records behind this one; until then they have not begun. */
static void owe(struct conn *conn, struct http2_dir *d, uint32_t begun)
{
	d->debt += begun;
	conn->core->account->ex_inside -= begun;
}

/* force: nothing will come any more that would explain it. Returns how many bytes were read. */
static size_t read_record(struct conn *conn, const struct sonde_rec_frames *rec, const uint8_t *at,
			  bool force)
{
	struct http2 *h = conn->http2;
	bool tx = rec->h.flags & SONDE_F_TX;
	struct http2_input in = {
		.rec = rec, .dir = tx ? HTTP2_TX : HTTP2_RX, .begun = rec->begun, .force = force
	};
	struct http2_dir *d = &h->dirs[in.dir];
	size_t n = rec->copied;

	if (rec->h.flags & SONDE_F_LOST_BEFORE)
		http2__lost(conn);
	/* a client that has asked for HTTP/2 speaks it once its request is whole (RFC 7540 section 3.2) */
	if (h->upgraded && !h->upgraded->request_end_ns && (int)in.dir == h->request_dir)
		h->upgraded->request_end_ns = rec->h.ns;
	if ((rec->in_frame & SONDE_FRAMES_HOW) == SONDE_FRAMES_INSIDE &&
	    is_early(h, rec->head, &in)) {
		owe(conn, d, in.begun);
		return 0;
	}
	d->counted = rec->in_frame & SONDE_FRAMES_COUNTED;
	if (enter(conn, d, &in)) {
		d->met = true;
		n = read_frames(conn, d, &in, at, rec->copied);
		d->next = rec->offset + n;
	}
	owe(conn, d, in.begun);
	return n;
}

/* Reads what is parked, as far as that goes now. */
static void read_parked(struct conn *conn, bool force)
{
	struct http2 *h = conn->http2;

	while (h->parked) {
		struct http2_parked *parked = h->parked;
		struct sonde_rec_frames rec = parked->rec;
		size_t n = read_record(conn, &rec, parked->payload, force);

		if (n < rec.copied) {
			memmove(parked->payload, parked->payload + n, rec.copied - n);
			parked->rec.copied -= n;
			parked->rec.offset += n;
			parked->rec.in_frame = n ? go_on(&rec) : rec.in_frame;
			parked->rec.h.flags &= ~SONDE_F_LOST_BEFORE;
			parked->rec.begun = 0;
			return;
		}
		h->parked = parked->next;
		if (!h->parked)
			h->parked_last = NULL;
		h->parked_bytes -= sizeof(*parked) + rec.copied;
		free(parked);
	}
	h->parked_bytes = 0;
}

static void frames(struct conn *conn, const struct sonde_rec_frames *rec, const uint8_t *at)
{
	struct http2 *h = conn->http2;
	bool rx = !(rec->h.flags & SONDE_F_TX);
	size_t n;

	if (!h) {
		conn->core->account->dropped_bound += rec->begun;
		return;
	}
	if (h->parked && rx) {
		if (park(h, rec, at, 0))
			return;
		read_parked(conn, true);
	}
	n = read_record(conn, rec, at, false);
	if (n < rec->copied) {
		struct sonde_rec_frames rest = *rec;

		rest.begun = 0;
		rest.h.flags &= ~SONDE_F_LOST_BEFORE;
		if (park(h, &rest, at, n))
			return;
		rest.in_frame = go_on(rec);
		rest.offset += n;
		rest.copied -= n;
		read_record(conn, &rest, at + n, true);
	}
	if (!rx)
		read_parked(conn, false);
}

static int detect(struct view first)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	return first.len >= 16 && !memcmp(first.at, preface, 16);
}

static void piece(struct conn *conn, struct piece *piece)
{
	(void)conn;
	(void)piece;
}

static void passed(struct conn *conn, int dir, uint64_t offset, uint64_t ns, bool exact)
{
	(void)conn;
	(void)dir;
	(void)offset;
	(void)ns;
	(void)exact;
}

static void last_chunk(struct conn *conn, int dir, uint32_t turn, uint64_t offset, uint64_t ns)
{
	(void)conn;
	(void)dir;
	(void)turn;
	(void)offset;
	(void)ns;
}

static void cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why)
{
	if (conn->http2)
		read_parked(conn, true);
	http2__cut(conn, process, ns, why);
}

static void slot(struct conn *conn, const struct sonde_slot *slot)
{
	(void)conn;
	(void)slot;
}

static void timer(struct conn *conn)
{
	(void)conn;
}

const struct proto proto_http2 = {
	.name = "http",
	.version = "2",
	.verdict = SONDE_VERDICT_HTTP2,
	.detect = detect,
	.met = met,
	.piece = piece,
	.frames = frames,
	.forget = forget,
	.passed = passed,
	.last_chunk = last_chunk,
	.shut = http2__shut,
	.cut = cut,
	.slot = slot,
	.timer = timer,
	.describe = http2__describe,
	.header = http1__header,
};
