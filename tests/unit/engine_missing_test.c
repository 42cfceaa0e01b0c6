// SPDX-License-Identifier: Apache-2.0
/* What was missed or lost, and connections older than the agent: less is said, never something else. */
#include "engine_fixture.h"

/* ---- what is missing ---- */

static void response_record_lost(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, GET);
	sim->lose = true;
	sim_say(c, TX, OK5);
	sim->lose = false;
	sim_say(c, RX, "GET /2 HTTP/1.1\r\n\r\n");
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
	assert_int_equal(sim_n_abandoned, 1);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	assert_string_equal(sim_ended_at(0)->target, "/2");

	/* where others refer to it, it is a span all the same, and not dropped */
	sim_promise = true;
	sim_say(c, RX, GET);
	sim->lose = true;
	sim_say(c, TX, OK5);
	sim->lose = false;
	sim_say(c, RX, "GET /3 HTTP/1.1\r\n\r\n");
	sim_promise = false;
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
	sim_say(c, TX, OK5);
	assert_string_equal(sim_ended_at(1)->target, "/3");
}

/* A client that waits for each answer is followed on, whatever was lost in between. */
static void losses_in_a_row(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	unsigned int whole = 0;

	for (int i = 0; i < 8; i++) {
		sim_say(c, RX, GET);
		sim->lose = i & 1;
		sim_say(c, TX, OK5);
		sim->lose = i & 2;
		sim_say(c, RX, GET);
		sim->lose = i & 4;
		sim_say(c, TX, OK5);
		sim->lose = false;
		whole += !(i & 1) + !(i & 6);
	}
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, whole + 1);
}

/* The kernel side can see no more of a connection that goes on: what is open has no end that is known. */
static void given_up(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);

	sim_say(c, TX, GET);
	sim_say(c, RX, OK5);
	sim_say(c, TX, "GET /2 HTTP/1.1\r\n\r\n");
	sim_over(c, SONDE_REC_GONE, SONDE_F_UNSEEN);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
	/* what may come of it later belongs to nobody */
	sim_over(c, SONDE_REC_GONE, SONDE_F_UNSEEN);
	assert_int_equal(sim_n_ended, 1);
}

/* Not one answer is seen: none of the requests was cut off, nor is the last. */
static void answers_never_seen(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);

	for (int i = 0; i < 3; i++) {
		sim_say(c, TX, GET);
		c->off[RX] += strlen(OK5);
		c->turn++;
	}
	sim_gone(c);
	assert_int_equal(sim_n_ended, 0);
	assert_int_equal(sim->account.trace.dropped_response_lost, 3);
}

static void request_record_lost(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim->lose = true;
	sim_say(c, RX, GET);
	sim->lose = false;
	sim_say(c, TX, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, RX, "GET /2 HTTP/1.1\r\n\r\n");
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	assert_string_equal(sim_ended_at(0)->target, "/2");
	assert_int_equal(sim_ended_at(0)->status, 200);
}

/* The piece of a head in the middle is lost: no half of a span. */
static void head_piece_lost(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	for (int response = 0; response < 2; response++) {
		sim_say(c, RX, "GET /1 HTTP/1.1\r\nA: b\r\n");
		sim->lose = !response;
		sim_say(c, RX, "traceparent: " TP "\r\n");
		sim->lose = false;
		sim_say(c, RX, "\r\n");
		sim_say(c, TX, "HTTP/1.1 200 OK\r\nA: b\r\n");
		sim->lose = response;
		sim_say(c, TX, "Content-Length: 5\r\n");
		sim->lose = false;
		sim_say(c, TX, "\r\nhello");
		assert_int_equal(sim_n_ended, (uint32_t)response);
		sim_say(c, RX, "GET /2 HTTP/1.1\r\n\r\n");
		sim_say(c, TX, OK5);
		assert_int_equal(sim_n_ended, response + 1u);
		assert_string_equal(sim_ended_at((uint32_t)response)->target, "/2");
	}
	assert_int_equal(sim->account.trace.dropped_ring, 1);
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
}

/* Requests without waiting, one of them unseen: nothing that follows can be matched. */
static void pipelined_and_lost(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "GET /1 HTTP/1.1\r\n\r\n");
	sim->lose = true;
	sim_say(c, RX, "GET /2 HTTP/1.1\r\n\r\n");
	sim->lose = false;
	sim_say(c, RX, "GET /3 HTTP/1.1\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 201 A\r\nContent-Length: 0\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 202 A\r\nContent-Length: 0\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 203 A\r\nContent-Length: 0\r\n\r\n");
	for (uint32_t i = 0; i < sim_n_ended; i++) {
		assert_string_equal(sim_ended[i].target, "/1");
		assert_int_equal(sim_ended[i].status, 201);
	}
}

/* Bytes of responses that were sent together went by uncaptured. */
static void pipelined_uncaptured(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n");
	sim_say(c, TX, OK5 OK5);
	assert_int_equal(sim_n_ended, 2);
	sim_say(c, RX, "GET /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\n");
	sim->capture = sizeof(OK5) - 1 + 10;
	sim_say(c, TX, OK5 OK5);
	sim->capture = 0;
	assert_string_equal(sim_ended_at(2)->target, "/3");
	sim_say(c, RX, "GET /5 HTTP/1.1\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	for (uint32_t i = 3; i < sim_n_ended; i++)
		assert_true(!strcmp(sim_ended[i].target, "/5") == (sim_ended[i].status == 404));
}

static void conn_record_lost(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	c->id = 0x9999; /* a connection that the core has not heard of */
	sim_say(c, TX, "not a message");
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	assert_false(sim_ended_at(0)->edge.known);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_MID);
	sim_over(c, SONDE_REC_GONE, 0);
	/* and nothing is made of its end coming again */
	sim_gone(c);
	sim_end(c, TX, 0);
}

/* ---- connections older than the agent ---- */

static void joins(void **state)
{
	for (int client = 0; client < 2; client++)
		for (int first = 0; first < 5; first++) {
			struct sim *sim = calloc(1, sizeof(*sim));
			int req = client ? TX : RX, res = !req;
			struct sim_conn *c;
			uint64_t tx0;

			assert_non_null(sim);
			sim_open(sim);
			c = sim_connect(sim, SONDE_ROLE_UNKNOWN, false);
			tx0 = c->off[req];
			switch (first) {
			case 1: /* in the middle of a response's body */
				sim_body(c, res, 300);
				break;
			case 2: /* at a response whose request was not seen */
				sim_say(c, res, OK5);
				break;
			case 3: /* in the middle of a request */
				sim_say(c, req, "If-None-Match: a\r\n\r\n");
				sim_say(c, res, OK5);
				break;
			case 4: /* in the middle of an upload that has what looks like a start */
				sim_say(c, req, "PUT /me\n");
				sim_body(c, req, 100);
				sim_say(c, res, OK5);
				break;
			}
			assert_int_equal(sim_n_ended, 0);
			tx0 = c->off[req];
			sim_say(c, req, GET);
			sim_say(c, res, OK5);
			assert_int_equal(sim_n_ended, 1);
			assert_int_equal(sim_ended_at(0)->side, client ? SIDE_CLIENT : SIDE_SERVER);
			assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_MID);
			/* both ends agree on the key: see struct sonde_rec_conn */
			assert_true(sim_ended_at(0)->edge.known);
			assert_int_equal(sim_ended_at(0)->edge.client_base, client ? 1001 : 2000);
			assert_int_equal(sim_ended_at(0)->edge.server_base, client ? 2000 : 1000);
			assert_int_equal(sim_ended_at(0)->edge.offset, tx0 - (client ? 1 : 0));
			assert_true(sim->account.trace.dropped_unjoined <= 1);
			sim_say(c, req, GET);
			sim_say(c, res, OK5);
			assert_int_equal(sim_n_ended, 2);
			sim_gone(c);
			sim_close(sim);
			free(sim);
		}
}

/* ---- bounds ---- */

static void large_head(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	static char head[20000];
	size_t n = (size_t)sprintf(head, "GET /big HTTP/1.1\r\n");

	for (int i = 0; n < 15900; i++)
		n += (size_t)sprintf(head + n, "X-%d: y\r\n", i);
	n += (size_t)sprintf(head + n, "traceparent: " TP "\r\nContent-Length: 3\r\n\r\nabc");
	assert_true(n < SONDE_HEAD_MAX_BYTES);
	sim_call(c, RX, head, n);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE);
	assert_string_equal(sim_ended_at(0)->traceparent, TP);
	assert_int_equal(sim_ended_at(0)->request_bytes, 3);
	assert_int_equal(sim_ended_at(0)->n_fields, EXCHANGE_FIELDS_ORDINARY_MAX + 2);

	/* longer than is captured: what there is of it, and the turn's end is its end */
	n = (size_t)sprintf(head, "GET /bigger HTTP/1.1\r\ntraceparent: " TP "\r\nX: ");
	memset(head + n, 'y', sizeof(head) - n);
	memcpy(head + sizeof(head) - 4, "\r\n\r\n", 4);
	sim_call(c, RX, head, 10000);
	sim_call(c, RX, head + 10000, sizeof(head) - 10000);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(1)->flags, EX_RESPONSE | EX_HEAD_PARTIAL);
	assert_string_equal(sim_ended_at(1)->traceparent, TP);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(2)->flags, EX_RESPONSE);

	/* a response likewise */
	sim_say(c, RX, GET);
	memcpy(head, "HTTP/1.1 503 No, no!\r\n", 22);
	sim_call(c, TX, head, sizeof(head));
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(3)->flags, EX_RESPONSE | EX_HEAD_PARTIAL);
	assert_int_equal(sim_ended_at(3)->status, 503);
	assert_int_equal(sim_n_ended, 5);
}

static void fault_in_head(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	c->turn = 1;
	c->last = RX;
	sim->turns_begun++;
	sim_data(c, RX, SONDE_F_TURN_START | SONDE_F_START | SONDE_F_BEGUN | SONDE_F_FAULT,
		 "GET /f HTTP/1.1\r\nHo", 19, 400, 0);
	c->off[RX] = 400;
	c->ns[RX] = sim->now;
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_HEAD_PARTIAL);
}

static void exchanges_bound(void **state)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	struct sim_conn *a, *b, *c;

	assert_non_null(sim);
	sim->config.exchanges_max = 2;
	sim->config.conns_max = 3;
	sim_open(sim);
	a = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	b = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	sim_say(a, RX, GET);
	sim_say(b, RX, GET);
	sim_say(c, RX, GET);
	assert_int_equal(sim->account.trace.dropped_bound, 1);
	sim_say(c, TX, OK5);
	sim_say(a, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 2);
	/* a fourth connection: the one that is idle for the longest time goes, not the busy one */
	sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	assert_int_equal(sim->account.trace.conns_open, 3);
	sim_say(b, TX, OK5);
	assert_int_equal(sim_n_ended, 3);
	assert_int_equal(sim->account.trace.dropped_bound, 1);
	sim_close(sim);
	free(sim);
}

/* So many requests that nobody answers cost no more than their bound. */
static void pipelined_without_end(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	for (int i = 0; i < 3000; i++)
		sim_say(c, RX, "GET / HTTP/1.1\r\n\r\n");
	assert_int_equal(sim->account.trace.ex_open, 0);
	assert_true(sim->account.trace.dropped_bound > 0);
	sim_check_account(sim);
	sim_gone(c);
}

/* ---- telemetry exports ---- */

#define EXPORT "POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\n"

static void exports(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);
	struct sim_ended *e;

	sim_say(c, TX, EXPORT "Content-Length: 8\r\n\r\nabcd");
	/* the rest of the body, as the kernel side captures it for such a path */
	sim_data(c, TX, SONDE_F_BODY, "efgh", 4, 4, c->off[TX]);
	c->off[TX] += 4;
	sim_say(c, RX, OK5);
	e = sim_ended_at(0);
	assert_int_equal(e->flags, EX_RESPONSE | EX_EXPORT);
	assert_int_equal(e->body_len, 8);
	assert_memory_equal(e->body, "abcdefgh", 8);

	sim_say(c, TX, EXPORT "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n");
	sim_data(c, TX, SONDE_F_BODY, "4\r\nefgh\r\n0\r\n\r\n", 14, 14, c->off[TX]);
	c->off[TX] += 14;
	sim_say(c, RX, OK5);
	e = sim_ended_at(1);
	assert_int_equal(e->flags, EX_RESPONSE | EX_EXPORT);
	assert_memory_equal(e->body, "abcdefgh", 8);

	/* bytes are missing: it says so */
	sim_say(c, TX, EXPORT "Content-Length: 8\r\n\r\nab");
	c->off[TX] += 4;
	sim_data(c, TX, SONDE_F_BODY, "gh", 2, 2, c->off[TX]);
	c->off[TX] += 2;
	sim_say(c, RX, OK5);
	e = sim_ended_at(2);
	assert_int_equal(e->flags, EX_RESPONSE | EX_EXPORT | EX_BODY_PARTIAL);

	/* reading traces is no export */
	sim_say(c, TX, "GET /api/traces?service=a HTTP/1.1\r\n\r\n");
	sim_say(c, RX, OK5);
	assert_int_equal(sim_ended_at(3)->flags, EX_RESPONSE);
}

static void export_too_long(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);
	static char body[16384];

	sim_say(c, TX, EXPORT "Content-Length: 81920\r\n\r\n");
	for (int i = 0; i < 5; i++) {
		sim_data(c, TX, SONDE_F_BODY, body, sizeof(body), sizeof(body), c->off[TX]);
		c->off[TX] += sizeof(body);
	}
	sim_say(c, RX, OK5);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_EXPORT | EX_BODY_PARTIAL);
	assert_int_equal(sim_ended_at(0)->body_len, SONDE_EXPORT_BODY_MAX_BYTES);
}

/* ---- odds and ends ---- */

static void other_protocols(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	struct sonde_rec_conn rec = { .h = { .type = SONDE_REC_CONN, .conn = 77 },
				      .verdict = SONDE_VERDICT_OTHER };

	sim_say(c, RX, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
	sim_say(c, TX, "\x01\x02\x03");
	assert_int_equal(sim_n_ended, 0);
	assert_int_equal(sim->account.trace.dropped_bad_head, 1);
	sim_record(sim, &rec, sizeof(rec));
	assert_int_equal(sim->account.trace.conns_other, 1);
	rec.verdict = SONDE_VERDICT_NONE;
	sim_record(sim, &rec, sizeof(rec));
	assert_int_equal(sim->account.trace.conns_other, 1);
	assert_int_equal(sim->account.trace.conns_decoded, 1);
}

static void upgrade_is_left_alone(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\nGET /more HTTP/1.1\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 101 Yes\r\n\r\n");
	assert_int_equal(c->wish, SONDE_WISH_IGNORE);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim->account.trace.filtered_continuation, 1);
}

static void unix_pairs(void **state)
{
	struct sim *sim = *state;
	struct sonde_rec_conn rec = { .h = { .type = SONDE_REC_CONN, .conn = 55 },
				      .family = SONDE_AF_UNIX,
				      .verdict = SONDE_VERDICT_HTTP1,
				      .from_start = 1,
				      .pair = { 3, 4 },
				      .slot = ~0u };
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_record(sim, &rec, sizeof(rec));
	c->id = 55;
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_true(sim_ended_at(0)->edge.known);
	assert_true(sim_ended_at(0)->edge.unix_pair);
	assert_int_equal(sim_ended_at(0)->edge.pair[1], 4);

	/* after an exchange that was missed offsets are not sure: no edge from there on */
	c->adrift = true;
	c->off[RX] += 100;
	c->off[TX] += 100;
	sim_say(c, RX, GET);
	c->adrift = false;
	sim_say(c, TX, OK5);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 3);
	assert_false(sim_ended_at(1)->edge.known);
	assert_false(sim_ended_at(2)->edge.known);
}

static void refused_messages(void **state)
{
	struct sim *sim = *state;
	static const uint16_t types[] = { 1, 2, 3, 4, 5, 6, 7, 8, 0, 99 };
	struct {
		struct sonde_rec h;
		uint8_t rest[200];
	} rec;
	struct message_slot slot = { .slot = { .tx_offset = ~0ull } };
	struct message_clock clock = { .now_ns = ~0ull };
	uint64_t bad;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		for (uint32_t len = 0; len <= 64; len++) {
			memset(&rec, 0, sizeof(rec));
			rec.h = (struct sonde_rec){ types[i], 0, len, 1, types[i] >= 6 ? 0 : 1 };
			assert_int_equal(
				sim_feed_raw(sim, MSG_RECORD, &rec, len),
				types[i] == 6 || types[i] == 7 ?
					(len >= sizeof(struct sonde_rec_proc) ? 0 : -EPROTO) :
				types[i] == 3 ?
					(len >= sizeof(struct sonde_rec_end) ? 0 : -EPROTO) :
				types[i] == 2 ?
					(len >= sizeof(struct sonde_rec_data) ? 0 : -EPROTO) :
				types[i] == 4 || types[i] == 5 ?
					(len >= sizeof(struct sonde_rec_gone) ? 0 : -EPROTO) :
					-EPROTO);
		}
	bad = sim->account.trace.records_bad;
	/* it says more than it is, less than it is, and copies more than it holds */
	memset(&rec, 0xff, sizeof(rec));
	rec.h = (struct sonde_rec){ SONDE_REC_END, 0, 41, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 40), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 60), -EPROTO);
	rec.h = (struct sonde_rec){ SONDE_REC_END, 0, 40, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 40), -EPROTO); /* offset ~0 */
	rec.h = (struct sonde_rec){ SONDE_REC_DATA, 0, 200, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 200), -EPROTO);
	/* what is behind the payload has no room, or says an offset that none is */
	memset(rec.rest, 0, sizeof(rec.rest));
	rec.h = (struct sonde_rec){ SONDE_REC_DATA, SONDE_F_MORE, 104, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 104), -EPROTO);
	rec.h.bytes = 112;
	memset(rec.rest + 64 + 8 - sizeof(rec.h), 0xff, 8);
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 112), -EPROTO);
	memset(rec.rest, 0xff, sizeof(rec.rest));
	rec.h = (struct sonde_rec){ SONDE_REC_GONE, 0, 56, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 56), -EPROTO);
	rec.h = (struct sonde_rec){ SONDE_REC_CONN, 0, 200, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 200), -EPROTO);
	memset(&rec, 0, sizeof(rec));
	rec.h = (struct sonde_rec){ SONDE_REC_END, 0, 40, ~0ull, 1 }; /* no time after it */
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 40), -EPROTO);
	assert_int_equal(sim->account.trace.records_bad, bad + 9);
	assert_int_equal(sim_feed_raw(sim, MSG_CLOCK, &clock, sizeof(clock)), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, MSG_CLOCK, &rec, 15), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, MSG_PROCESS, &rec, 15), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, MSG_SLOT, &rec, 15), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, MSG_SLOT, &slot, sizeof(slot)), -EPROTO);
	assert_int_equal(sim_feed_raw(sim, (enum message_type)1, &rec, 15), -EPROTO);
	engine__resend_definitions(sim->engine);
	assert_int_equal(sim_n_resent, 1);
	assert_int_equal(sim_n_ended, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(response_record_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(losses_in_a_row, setup, teardown),
		cmocka_unit_test_setup_teardown(given_up, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_never_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(request_record_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(head_piece_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(pipelined_and_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(pipelined_uncaptured, setup, teardown),
		cmocka_unit_test_setup_teardown(conn_record_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(large_head, setup, teardown),
		cmocka_unit_test_setup_teardown(fault_in_head, setup, teardown),
		cmocka_unit_test_setup_teardown(pipelined_without_end, setup, teardown),
		cmocka_unit_test_setup_teardown(exports, setup, teardown),
		cmocka_unit_test_setup_teardown(export_too_long, setup, teardown),
		cmocka_unit_test_setup_teardown(other_protocols, setup, teardown),
		cmocka_unit_test_setup_teardown(upgrade_is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(unix_pairs, setup, teardown),
		cmocka_unit_test_setup_teardown(refused_messages, setup, teardown),
		cmocka_unit_test(joins),
		cmocka_unit_test(exchanges_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
