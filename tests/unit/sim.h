/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel side in miniature: calls on connections become the records that bpf/ would write, slots
 * are answered, watermarks are honoured. Included by one test program each.
 *
 * Every message lies at the end of a page that is followed by one that cannot be read.
 */
#ifndef SONDE_TESTS_SIM_H
#define SONDE_TESTS_SIM_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/buf.h"
#include "core/engine.h"

/* No test uses all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

enum { RX = 0, TX = 1 };

#define SIM_CONNS 8
#define SIM_PAGE 4096
#define SIM_AREA (32 * SIM_PAGE)

struct sim_conn {
	struct sim *sim;
	uint64_t id, off[2], ns[2], watermark[2];
	uint64_t slot_off[2];		  /* as of the last call that was seen in that direction */
	uint64_t told_off[2], told_ns[2]; /* the end of the call that the last record was about */
	uint32_t slot, turn;
	int last; /* direction of the last byte, -1 */
	bool head[2], maybe[2], lost, silent;
	bool gap[2], unseen[2]; /* calls were missed: not told yet; since the last one seen */
	char tail[2][4];
	char first[2][16];
	uint8_t first_len[2];
	uint64_t wish;
	bool shed; /* as the kernel side has latched it at the last request */
	uint32_t tgid, tid;
	struct sonde_evidence evidence;
	bool adrift; /* bytes passed that no hook saw */
	bool early;  /* what was not seen in the other direction may still be told */
};

struct sim {
	struct engine *engine;
	struct account account;
	struct engine_config config;
	uint64_t now, step; /* ns; every call takes step */
	struct sim_conn conns[SIM_CONNS];
	uint32_t n_conns;
	uint64_t turns_begun, starts_begun, begun_lost; /* as the kernel counts */
	uint64_t records;
	uint64_t shed_exchanges;
	uint64_t want[64];
	uint32_t n_want;
	bool unsure, lose;		 /* calls say what is asked for; records are lost */
	bool miss;			 /* no hook sees the call */
	uint64_t missed;		 /* calls that were */
	uint32_t capture;		 /* bytes of a call that are captured at most; 0: all */
	uint32_t tx_base, rx_base, tgid; /* of the next connection; 0: 1000, 2000, 100 */
	uint16_t remote_port;		 /* the same; 0: 5000 */
	bool carried;			 /* the same: inside TLS, and their sockets not known */
	struct buf *frames;		 /* where what comes out is kept, or NULL */
	char *area;
};

/* ---- messages ---- */

static struct sim_conn *sim_by_id(struct sim *sim, uint64_t id)
{
	for (uint32_t i = 0; i < sim->n_conns; i++)
		if (sim->conns[i].id == id)
			return &sim->conns[i];
	return NULL;
}

static int sim_feed_raw(struct sim *sim, enum message_type type, const void *bytes, size_t len)
{
	char *at = sim->area + SIM_AREA - len;

	assert_true(len <= SIM_AREA);
	if (len)
		memcpy(at, bytes, len);
	return engine__feed(sim->engine, type, at, len);
}

static void sim_answer_slots(struct sim *sim)
{
	while (sim->n_want) {
		struct sim_conn *c = sim_by_id(sim, sim->want[--sim->n_want]);
		struct message_slot m = { 0 };

		if (!c)
			continue;
		m.index = c->slot;
		m.slot = (struct sonde_slot){ .conn = c->id,
					      .tx_offset = c->slot_off[TX],
					      .rx_offset = c->slot_off[RX],
					      .tx_ns = c->ns[TX],
					      .rx_ns = c->ns[RX] };
		assert_int_equal(sim_feed_raw(sim, MSG_SLOT, &m, sizeof(m)), 0);
	}
}

static void sim_feed(struct sim *sim, enum message_type type, const void *bytes, size_t len)
{
	assert_int_equal(sim_feed_raw(sim, type, bytes, len), 0);
	sim_answer_slots(sim);
}

static void sim_record(struct sim *sim, void *rec, size_t len)
{
	((struct sonde_rec *)rec)->bytes = (uint32_t)len;
	sim->records++;
	sim_feed(sim, MSG_RECORD, rec, len);
}

/* Time goes on, and timers run as they become due. */
static void sim_wait(struct sim *sim, uint64_t ns)
{
	uint64_t until = sim->now + ns, next;
	struct message_clock clock = { 0 };

	while ((next = engine__next_timer(sim->engine)) && next <= until) {
		sim->now = clock.now_ns = next > sim->now ? next : sim->now + 1;
		sim_feed(sim, MSG_CLOCK, &clock, sizeof(clock));
	}
	sim->now = clock.now_ns = until;
	sim_feed(sim, MSG_CLOCK, &clock, sizeof(clock));
}

/* ---- what the core asks for ---- */

static int sim_on_frame(void *arg, const void *bytes, size_t len)
{
	struct sim *sim = arg;

	if (sim->frames)
		buf__add(sim->frames, bytes, len);
	return 0;
}

static void sim_on_watermark(void *arg, uint32_t slot, uint64_t id, bool tx, uint64_t offset)
{
	struct sim_conn *c = sim_by_id(arg, id);

	if (c && c->slot == slot)
		c->watermark[tx] = offset;
}

static void sim_on_wish(void *arg, uint32_t slot, uint64_t id, uint64_t wish)
{
	struct sim_conn *c = sim_by_id(arg, id);

	if (c && c->slot == slot)
		c->wish = wish;
}

static void sim_on_want_slot(void *arg, uint32_t slot, uint64_t id)
{
	struct sim *sim = arg;

	if (sim->n_want < 64)
		sim->want[sim->n_want++] = id;
}

static void sim_on_want_process(void *arg, uint32_t tgid, uint64_t start_ns)
{
}

static void sim_open(struct sim *sim)
{
	static char *area;
	struct engine_out out = { sim,	       sim_on_frame,	 sim_on_watermark,
				  sim_on_wish, sim_on_want_slot, sim_on_want_process };

	sim->engine = engine__new(&sim->config, &out, &sim->account);
	assert_non_null(sim->engine);
	if (!area) {
		area = mmap(NULL, SIM_AREA + SIM_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(area != MAP_FAILED);
		assert_int_equal(mprotect(area + SIM_AREA, SIM_PAGE, PROT_NONE), 0);
	}
	sim->area = area;
	sim->now = 1000000;
	sim->step = 1000;
}

/* The exchanges' line of the account balances. */
static void sim_check_account(struct sim *sim)
{
	const struct account_trace *a = &sim->account.trace;
	uint64_t begun = sim->turns_begun + sim->starts_begun - sim->begun_lost + a->ex_inside;
	uint64_t went = a->ex_open + a->ex_held + a->ex_spans + a->filtered_continuation +
			a->filtered_telemetry + a->filtered_duplicate + a->filtered_opt_out +
			a->dropped_ring + a->dropped_response_lost + a->dropped_bound +
			a->dropped_bad_head + a->dropped_trace_cap + a->dropped_unjoined;

	if (begun != went)
		fail_msg("begun %lu (turns %lu starts %lu lost %lu inside %lu) but open %lu spans "
			 "%lu "
			 "continuation %lu ring %lu response_lost %lu bound %lu bad %lu unjoined "
			 "%lu",
			 begun, sim->turns_begun, sim->starts_begun, sim->begun_lost, a->ex_inside,
			 a->ex_open, a->ex_spans, a->filtered_continuation, a->dropped_ring,
			 a->dropped_response_lost, a->dropped_bound, a->dropped_bad_head,
			 a->dropped_unjoined);
}

static void sim_close(struct sim *sim)
{
	sim_check_account(sim);
	engine__free(sim->engine);
}

/* ---- connections ---- */

/* carrier: inside TLS, the id of the socket's connection; 0: it is not known yet. */
static void sim_tell_conn(struct sim_conn *c, uint8_t role, bool from_start, bool carried,
			  uint64_t carrier)
{
	struct sim *sim = c->sim;
	struct sonde_rec_conn rec = { .h = { .type = SONDE_REC_CONN, .ns = sim->now } };

	rec.h.conn = c->id;
	rec.slot = c->slot;
	rec.tgid = c->tgid;
	rec.tgid_start_ns = 7;
	rec.verdict = SONDE_VERDICT_HTTP1;
	rec.from_start = from_start;
	rec.tx_offset = c->off[TX];
	rec.rx_offset = c->off[RX];
	rec.carried = carried;
	rec.pair[0] = carrier;
	if (!carried || carrier) {
		rec.family = SONDE_AF_INET;
		rec.role = role;
		rec.local_port = 80;
		rec.remote_port = sim->remote_port ?: 5000;
		memcpy(rec.local, "\x7f\0\0\1", 4);
		memcpy(rec.remote, "\x0a\0\0\7", 4);
		rec.tx_base = sim->tx_base ?: 1000;
		rec.rx_base = sim->rx_base ?: 2000;
	}
	sim_record(sim, &rec, sizeof(rec));
}

static struct sim_conn *sim_connect(struct sim *sim, uint8_t role, bool from_start)
{
	struct sim_conn *c = &sim->conns[sim->n_conns++];

	assert_true(sim->n_conns <= SIM_CONNS);
	*c = (struct sim_conn){ .sim = sim, .id = 0x1000 + sim->n_conns, .last = -1 };
	c->slot = sim->n_conns;
	c->tgid = sim->tgid ?: 100;
	c->tid = c->tgid + 1;
	if (!from_start)
		c->off[RX] = c->slot_off[RX] = 5000, c->off[TX] = c->slot_off[TX] = 7000;
	sim_tell_conn(c, role, from_start, sim->carried, 0);
	return c;
}

/* 0 nothing, 1 perhaps, 2 request, 3 response: a simple twin of the kernel's kind_of(). */
static int sim_kind(const char *at, size_t len)
{
	static const char response[] = "HTTP/1.";
	size_t n;

	if (len > 16)
		len = 16;
	if (len >= 2 && !memcmp(at, "\r\n", 2))
		at += 2, len -= 2;
	if (!len)
		return 1;
	if (!memcmp(at, response, len < 7 ? len : 7))
		return len >= 7 ? 3 : 1;
	for (n = 0; n < len && ((at[n] >= 'A' && at[n] <= 'Z') || at[n] == '-'); n++)
		;
	if (n == len)
		return len < 16;
	if (!n || at[n] != ' ')
		return 0;
	if (n + 1 == len)
		return len < 16;
	if (n == 7 && !memcmp(at, "CONNECT", 7))
		return at[8] == '{' ? 0 : 2;
	return at[n + 1] == '/' || at[n + 1] == '*' || at[n + 1] == 'h' || at[n + 1] == 'H' ? 2 : 0;
}

static void sim_data(struct sim_conn *c, int dir, uint16_t flags, const char *at, size_t copied,
		     size_t call_bytes, uint64_t offset)
{
	struct sim *sim = c->sim;
	char bytes[sizeof(struct sonde_rec_data) + 20000 + sizeof(struct sonde_rec_more)];
	static const struct sonde_evidence none;
	struct sonde_rec_data *rec = (void *)bytes;
	struct sonde_rec_more more = { .other_ns = c->ns[!dir],
				       .other_offset = c->off[!dir],
				       .evidence = c->evidence };

	/* as the usual record of the kernel leaves it out */
	bool has_more = sim->unsure || c->told_off[!dir] != c->off[!dir] ||
			c->told_ns[!dir] != c->ns[!dir] ||
			memcmp(&c->evidence, &none, sizeof(none));

	assert_true(copied <= 20000);
	memset(rec, 0, sizeof(*rec));
	rec->h.type = SONDE_REC_DATA;
	rec->h.flags =
		(uint16_t)(flags | (has_more ? SONDE_F_MORE : 0) | (dir == TX ? SONDE_F_TX : 0) |
			   (sim->unsure && dir == TX ? SONDE_F_UNSURE : 0) |
			   (c->lost ? SONDE_F_LOST_BEFORE : 0) |
			   (c->adrift ? SONDE_F_GAP_BEFORE : 0));
	rec->h.ns = sim->now;
	rec->h.conn = c->id;
	rec->tgid = c->tgid;
	rec->tid = c->tid;
	rec->tgid_start_ns = 7;
	rec->turn = c->turn;
	rec->call_bytes = (uint32_t)call_bytes;
	rec->offset = offset;
	rec->copied = (uint16_t)copied;
	rec->other_low = (uint32_t)more.other_offset;
	if (sim->lose) {
		c->lost = true;
		if (flags & SONDE_F_BEGUN)
			sim->begun_lost++;
		return;
	}
	c->lost = c->gap[dir] = false;
	memcpy(rec->payload, at, copied);
	memcpy(rec->payload + copied, &more, sizeof(more));
	c->told_off[dir] = offset + call_bytes;
	c->told_ns[dir] = sim->now;
	sim_record(sim, rec, sizeof(*rec) + copied + (has_more ? sizeof(more) : 0));
}

static void sim_end(struct sim_conn *c, int dir, uint16_t flags)
{
	struct sonde_rec_end rec = { .h = { .type = SONDE_REC_END, .ns = c->sim->now } };

	rec.h.flags = (uint16_t)(flags | (dir == TX ? SONDE_F_TX : 0));
	rec.h.conn = c->id;
	rec.turn = c->turn;
	rec.offset = c->off[dir];
	if (!c->sim->lose)
		sim_record(c->sim, &rec, sizeof(rec));
}

static bool sim_tail_ends(const char *tail)
{
	return tail[3] == '\n' && (tail[2] == '\n' || (tail[2] == '\r' && tail[1] == '\n'));
}

/* Where the head ends in these bytes (offset after it); 0: not in them. */
static size_t sim_head_end(struct sim_conn *c, int dir, const char *at, size_t len)
{
	char *tail = c->tail[dir];

	for (size_t i = 0; i < len; i++) {
		tail[0] = tail[1];
		tail[1] = tail[2];
		tail[2] = tail[3];
		tail[3] = at[i];
		if (tail[3] == '\n' && sim_tail_ends(tail))
			return i + 1;
	}
	return 0;
}

/* One call of len bytes; what the kernel side would make of it. */
static void sim_call(struct sim_conn *c, int dir, const char *at, size_t len)
{
	struct sim *sim = c->sim;
	bool begins = c->last != dir || c->unseen[!dir], captured = false;
	uint64_t offset = c->off[dir];
	uint16_t flags = 0;
	size_t copied = sim->capture && len > sim->capture ? sim->capture : len, end;
	int kind;

	sim->now += sim->step;
	if (sim->miss) {
		sim->missed++;
		c->off[dir] += len;
		c->gap[dir] = c->unseen[dir] = true;
		return;
	}
	if (begins) {
		c->turn += c->unseen[0] || c->unseen[1] ? 2 : 1;
		c->last = dir;
		flags |= c->unseen[dir] ? 0 : SONDE_F_TURN_START;
		flags |= c->early && c->unseen[!dir] ? SONDE_F_EARLY : 0;
	}
	if (c->gap[dir])
		flags |= SONDE_F_GAP_BEFORE;
	if (c->unseen[dir])
		c->head[dir] = false;
	c->unseen[0] = c->unseen[1] = false;
	if (begins && dir == (c->wish & SONDE_WISH_SENDS ? TX : RX)) {
		c->shed = c->wish & SONDE_WISH_SHED;
		sim->shed_exchanges += c->shed;
	}
	if (c->shed || c->wish & SONDE_WISH_IGNORE) {
		copied = 0;
	} else if (begins || !c->head[dir]) {
		kind = sim_kind(at, len);
		c->first_len[dir] = (uint8_t)(len < 16 ? len : 16);
		memcpy(c->first[dir], at, c->first_len[dir]);
		c->maybe[dir] = kind == 1;
		c->head[dir] = kind;
		captured = kind || begins;
		if (kind) {
			flags |= SONDE_F_START;
			memset(c->tail[dir], 0, 4);
		}
		if (kind == 2) {
			flags |= SONDE_F_BEGUN;
			(*(begins ? &sim->turns_begun : &sim->starts_begun))++;
		}
		if (!kind && copied > 128)
			copied = 128;
	} else {
		captured = true;
		if (c->maybe[dir]) {
			size_t n = len < 16u - c->first_len[dir] ? len : 16u - c->first_len[dir];

			memcpy(c->first[dir] + c->first_len[dir], at, n);
			c->first_len[dir] = (uint8_t)(c->first_len[dir] + n);
			kind = sim_kind(c->first[dir], c->first_len[dir]);
			c->maybe[dir] = kind == 1;
			if (kind == 0)
				c->head[dir] = captured = false;
			if (kind == 2) {
				flags |= SONDE_F_BEGUN;
				sim->turns_begun++;
			}
		}
	}
	if (captured && c->head[dir]) {
		/* Heads that follow each other are captured to the call's end. */
		size_t i = 0;

		while ((end = sim_head_end(c, dir, at + i, len - i))) {
			i += end;
			if (i == len || !sim_kind(at + i, len - i)) {
				c->head[dir] = false;
				break;
			}
		}
		/* A head is captured as a whole, whatever else is not. */
		if (c->head[dir])
			copied = len;
		else if (copied < i)
			copied = i;
	}
	if (copied > SONDE_HEAD_MAX_BYTES)
		copied = SONDE_HEAD_MAX_BYTES;
	if (captured)
		sim_data(c, dir, flags, at, copied, len, offset);
	c->off[dir] += len;
	c->slot_off[dir] = c->off[dir];
	c->ns[dir] = sim->now;
	if (c->watermark[dir]) {
		if (offset < c->watermark[dir] && c->watermark[dir] <= c->off[dir])
			sim_end(c, dir, 0);
	} else if ((!captured || copied < len) && len >= 5 &&
		   !memcmp(at + len - 5, "0\r\n\r\n", 5) &&
		   (len == 5 || (len >= 7 && !memcmp(at + len - 7, "\r\n", 2)))) {
		sim_end(c, dir, SONDE_F_LAST_CHUNK);
	}
}

/* A thread's write of a request is told after another thread's read of what answers it. */
static void sim_overtaken(struct sim_conn *c, const char *request, const char *response)
{
	const char *texts[2] = { [TX] = request, [RX] = response };
	uint64_t from[2] = { c->off[0], c->off[1] };

	c->turn++;
	for (int dir = 0; dir < 2; dir++)
		c->off[dir] += strlen(texts[dir]);
	for (int dir = RX; dir <= TX; dir++) {
		size_t len = strlen(texts[dir]);
		uint16_t flags = SONDE_F_START | SONDE_F_TURN_START;

		flags |= dir == TX ? SONDE_F_BEGUN : SONDE_F_EARLY;
		c->sim->now += c->sim->step;
		c->turn += dir == TX ? -1 : 1;
		c->sim->turns_begun += dir == TX;
		sim_data(c, dir, flags, texts[dir], len, len, from[dir]);
		c->ns[dir] = c->sim->now;
		c->slot_off[dir] = c->off[dir];
	}
	c->turn++;
	c->last = RX;
	c->head[RX] = c->head[TX] = false;
}

static void sim_say(struct sim_conn *c, int dir, const char *text)
{
	sim_call(c, dir, text, strlen(text));
}

/* Bytes of a body, in one call. */
static void sim_body(struct sim_conn *c, int dir, size_t n)
{
	char *bytes = malloc(n);

	assert_non_null(bytes);
	memset(bytes, 'x', n);
	sim_call(c, dir, bytes, n);
	free(bytes);
}

static void sim_over(struct sim_conn *c, uint16_t type, uint16_t flags)
{
	struct sonde_rec_gone rec = { .h = { .type = type, .flags = flags } };

	c->sim->now += c->sim->step;
	rec.h.ns = c->sim->now;
	rec.h.conn = c->id;
	rec.tx_offset = c->off[TX];
	rec.rx_offset = c->off[RX];
	rec.tx_ns = c->ns[TX];
	rec.rx_ns = c->ns[RX];
	sim_record(c->sim, &rec, sizeof(rec));
}

static void sim_gone(struct sim_conn *c)
{
	sim_over(c, SONDE_REC_GONE, 0);
}

static void sim_process_end(struct sim *sim, uint16_t type, uint32_t tgid)
{
	struct sonde_rec_proc rec = { .h = { .type = type, .ns = sim->now += sim->step },
				      .tgid = tgid,
				      .tgid_start_ns = 7 };

	sim_record(sim, &rec, sizeof(rec));
}

#endif
