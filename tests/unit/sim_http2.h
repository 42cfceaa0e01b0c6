/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 for tests of the engine: frames are written as programs write them, header blocks by libnghttp2's
 * deflater, and calls become records as the kernel side would tell them. Beside sim_tracer.h.
 */
#ifndef SONDE_TESTS_SIM_HTTP2_H
#define SONDE_TESTS_SIM_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "core/conn.h"
#include "core/proto/http2.h"
#include "engine_fixture.h"

/* A record has no more. */
#define H2_RECORD_BYTES 4096
#define H2_DEFLATE_BYTES 65536

enum { H2_PRIORITY_FRAME = 2, H2_PING = 6, H2_WINDOW_UPDATE = 8 };

struct h2_dir {
	nghttp2_hd_deflater *deflater;
	uint8_t head[9];
	unsigned int have;
	uint32_t left;
	uint16_t blocks, begun; /* begun: not told yet */
};

static bool h2_has_block(const uint8_t *head)
{
	return head[3] == HTTP2_HEADERS || head[3] == HTTP2_PUSH_PROMISE ||
	       head[3] == HTTP2_CONTINUATION;
}

struct h2 {
	struct sim *sim;
	struct sim_conn *c;
	struct h2_dir dirs[2];
	int request_dir;
	uint32_t high;
	struct buf out; /* of the call that is being made */
};

static void h2_open(struct h2 *h, struct sim *sim, uint8_t role, bool from_start)
{
	*h = (struct h2){ .sim = sim, .request_dir = role == SONDE_ROLE_ACTIVE ? TX : RX };
	h->c = sim_connect(sim, role, from_start);
	for (int dir = 0; dir < 2; dir++)
		assert_int_equal(nghttp2_hd_deflate_new(&h->dirs[dir].deflater, H2_DEFLATE_BYTES),
				 0);
	if (from_start)
		h->c->off[h->request_dir] = 24; /* the preface is not told */
}

static void h2_close(struct h2 *h)
{
	for (int dir = 0; dir < 2; dir++)
		nghttp2_hd_deflate_del(h->dirs[dir].deflater);
	buf__free(&h->out);
	sim_gone(h->c);
	assert_int_equal(h->sim->account.trace.ex_open, 0);
}

/* ---- the program's side ---- */

static void h2_frame(struct h2 *h, uint8_t type, uint8_t flags, uint32_t stream, const void *at,
		     size_t len)
{
	const uint8_t head[9] = { (uint8_t)(len >> 16),
				  (uint8_t)(len >> 8),
				  (uint8_t)len,
				  type,
				  flags,
				  (uint8_t)(stream >> 24),
				  (uint8_t)(stream >> 16),
				  (uint8_t)(stream >> 8),
				  (uint8_t)stream };

	buf__add(&h->out, head, sizeof(head));
	if (len)
		buf__add(&h->out, at, len);
	assert_int_equal(h->out.err, 0);
}

/* "name: value\n" each, ":name: value" too, to a block. Returns its length. */
static size_t h2_block(struct h2 *h, int dir, const char *text, uint8_t *out, size_t size)
{
	nghttp2_nv nv[128];
	size_t n = 0;
	ssize_t len;

	while (*text) {
		const char *colon = strchr(text + 1, ':'), *end = strchr(text, '\n');

		assert_true(colon && end && n < 128);
		nv[n++] = (nghttp2_nv){ (uint8_t *)(uintptr_t)text,
					(uint8_t *)(uintptr_t)(colon + 2), (size_t)(colon - text),
					(size_t)(end - colon - 2), NGHTTP2_NV_FLAG_NONE };
		text = end + 1;
	}
	len = nghttp2_hd_deflate_hd(h->dirs[dir].deflater, out, size, nv, n);
	assert_true(len >= 0);
	return (size_t)len;
}

static void h2_headers(struct h2 *h, int dir, uint8_t flags, uint32_t stream, const char *text)
{
	static uint8_t block[65536];

	h2_frame(h, HTTP2_HEADERS, flags | HTTP2_END_HEADERS, stream, block,
		 h2_block(h, dir, text, block, sizeof(block)));
}

static void h2_word(struct h2 *h, uint8_t type, uint32_t stream, uint32_t value)
{
	const uint8_t bytes[4] = { (uint8_t)(value >> 24), (uint8_t)(value >> 16),
				   (uint8_t)(value >> 8), (uint8_t)value };

	h2_frame(h, type, 0, stream, bytes, 4);
}

static void h2_table_size(struct h2 *h, uint32_t size)
{
	const uint8_t bytes[6] = { 0,
				   1,
				   (uint8_t)(size >> 24),
				   (uint8_t)(size >> 16),
				   (uint8_t)(size >> 8),
				   (uint8_t)size };

	h2_frame(h, HTTP2_SETTINGS, 0, 0, bytes, 6);
}

static void h2_go_away(struct h2 *h, uint32_t last)
{
	const uint8_t bytes[8] = { (uint8_t)(last >> 24), (uint8_t)(last >> 16),
				   (uint8_t)(last >> 8), (uint8_t)last };

	h2_frame(h, HTTP2_GOAWAY, 0, 0, bytes, 8);
}

/* ---- the kernel's side ---- */

static uint32_t h2_stream_of(const uint8_t *head)
{
	return (uint32_t)(head[5] & 0x7f) << 24 | head[6] << 16 | head[7] << 8 | head[8];
}

/* Goes over the frames of these bytes: counts what begins. Returns how many bytes are told: not a piece of a header. */
static size_t h2_follow(struct h2 *h, int dir, const uint8_t *at, size_t len)
{
	struct h2_dir *d = &h->dirs[dir];
	size_t i = 0, whole = 0;

	while (i < len) {
		size_t n;

		if (d->have == 9) {
			n = len - i < d->left ? len - i : d->left;
			i += n;
			d->left -= (uint32_t)n;
		} else {
			n = len - i < 9 - d->have ? len - i : 9 - d->have;
			memcpy(d->head + d->have, at + i, n);
			d->have += (unsigned int)n;
			i += n;
			if (d->have < 9)
				break;
			d->left = (uint32_t)(d->head[0] << 16 | d->head[1] << 8 | d->head[2]);
			d->blocks += h2_has_block(d->head);
			if (dir == h->request_dir && d->head[3] == HTTP2_HEADERS &&
			    (h2_stream_of(d->head) & 1) && h2_stream_of(d->head) > h->high) {
				h->high = h2_stream_of(d->head);
				d->begun++;
			}
		}
		whole = i;
		if (!d->left)
			d->have = 0;
	}
	return whole;
}

static void h2_record(struct h2 *h, int dir, struct sonde_rec_frames *rec, const uint8_t *at,
		      size_t len, uint64_t offset)
{
	uint8_t bytes[sizeof(*rec) + H2_RECORD_BYTES];
	struct sim_conn *c = h->c;

	rec->h.type = SONDE_REC_FRAMES;
	rec->h.flags = (dir == TX ? SONDE_F_TX : 0) | (c->lost ? SONDE_F_LOST_BEFORE : 0);
	rec->h.ns = h->sim->now;
	rec->h.conn = c->id;
	rec->tgid = c->tgid;
	rec->tid = c->tid;
	rec->tgid_start_ns = 7;
	rec->offset = offset;
	rec->turn = c->turn;
	rec->copied = (uint16_t)len;
	h->sim->starts_begun += rec->begun;
	c->lost = h->sim->lose;
	if (h->sim->lose) {
		h->sim->begun_lost += rec->begun;
		return;
	}
	memcpy(bytes, rec, sizeof(*rec));
	memcpy(bytes + sizeof(*rec), at, len);
	sim_record(h->sim, bytes, sizeof(*rec) + len);
}

/* One call of these bytes, all of them told. */
static void h2_bytes(struct h2 *h, int dir, const uint8_t *at, size_t len)
{
	struct h2_dir *d = &h->dirs[dir];
	struct sonde_rec_frames rec = { .blocks = d->blocks };
	uint64_t offset = h->c->off[dir];
	size_t skip = 0, whole;

	h->sim->now += h->sim->step;
	h->c->turn++;
	h->c->off[dir] += len;
	if (d->have && d->have < 9) {
		/* a header in pieces: told with what it heads */
		skip = 9 - d->have < len ? 9 - d->have : len;
		h2_follow(h, dir, at, skip);
		if (d->have && d->have < 9)
			return;
		rec.in_frame = SONDE_FRAMES_INSIDE;
	} else if (d->have) {
		rec.in_frame = SONDE_FRAMES_INSIDE;
		rec.blocks -= h2_has_block(d->head);
	}
	memcpy(rec.head, d->head, 9);
	rec.left = d->left;
	whole = h2_follow(h, dir, at + skip, len - skip);
	/* nothing but a header, or its beginning */
	if (!whole && !(skip && rec.left == 0))
		return;
	rec.begun = d->begun;
	d->begun = 0;
	do {
		size_t n = whole < H2_RECORD_BYTES ? whole : H2_RECORD_BYTES;

		h2_record(h, dir, &rec, at + skip, n, offset + skip);
		rec.in_frame = SONDE_FRAMES_GO_ON;
		rec.begun = 0;
		skip += n;
		whole -= n;
	} while (whole);
}

/* What was written so far is one call, or calls of n bytes. */
static void h2_say_by(struct h2 *h, int dir, size_t n)
{
	for (size_t i = 0; i < h->out.len; i += n)
		h2_bytes(h, dir, h->out.at + i, n < h->out.len - i ? n : h->out.len - i);
	buf__clear(&h->out);
}

static void h2_say(struct h2 *h, int dir)
{
	h2_say_by(h, dir, h->out.len);
}

/* Bytes of frames that are counted, not told; they pass. */
static void h2_pass(struct h2 *h, int dir, size_t n)
{
	h->sim->now += h->sim->step;
	h->c->off[dir] += n;
}

/* What the kernel side has counted; requests and responses. */
static void h2_counted(struct h2 *h, int dir, uint32_t stream, bool begins, bool ends,
		       const uint32_t messages[2], const uint64_t bytes[2])
{
	struct sonde_rec_stream rec = { .h = { .type = SONDE_REC_STREAM },
					.stream = stream,
					.ends = ends };
	int q = h->request_dir;

	/* of the call that the next record is about */
	rec.h.ns = h->sim->now + h->sim->step;
	rec.h.conn = h->c->id;
	rec.h.flags = (dir == TX ? SONDE_F_TX : 0) | (begins ? SONDE_F_START : 0);
	rec.messages[q] = messages[0];
	rec.messages[!q] = messages[1];
	rec.bytes[q] = bytes[0];
	rec.bytes[!q] = bytes[1];
	sim_record(h->sim, &rec, sizeof(rec));
}

#define H2_GET(path) ":method: GET\n:scheme: http\n:authority: h:80\n:path: " path "\n"

#endif
