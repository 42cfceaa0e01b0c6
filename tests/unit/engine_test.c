// SPDX-License-Identifier: Apache-2.0
/* From kernel records to exchanges: what every exchange must say, and that the account balances. */
#include <errno.h>

#include "sim_tracer.h"

/* Tables leave out what is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static int setup(void **state)
{
	struct sim *sim = calloc(1, sizeof(*sim));

	assert_non_null(sim);
	sim_open(sim);
	*state = sim;
	return 0;
}

static int teardown(void **state)
{
	struct sim *sim = *state;

	sim_close(sim);
	free(sim);
	return 0;
}

#define GET "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n"
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static void keep_alive_server(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	for (uint32_t i = 0; i < 3; i++) {
		uint64_t at = sim->now;
		struct sim_ended *e;

		sim_say(c, RX, GET);
		assert_int_equal(sim_n_request, i + 1);
		assert_int_equal(sim->account.trace.ex_open, 1);
		sim_say(c, TX, OK5);
		e = sim_ended_at(i);
		assert_string_equal(e->method, "GET");
		assert_string_equal(e->target, "/a?x=1");
		assert_int_equal(e->side, SIDE_SERVER);
		assert_int_equal(e->status, 200);
		assert_int_equal(e->flags, EX_RESPONSE);
		assert_int_equal(e->start_ns, at + 1000);
		assert_int_equal(e->request_end_ns, at + 1000);
		assert_int_equal(e->response_ns, at + 2000);
		assert_int_equal(e->end_ns, at + 2000);
		assert_int_equal(e->response_bytes, 5);
		assert_int_equal(e->turn, 2 * i + 1);
		assert_true(e->edge.known);
		assert_int_equal(e->edge.client_base, 2000);
		assert_int_equal(e->edge.server_base, 1000);
		assert_int_equal(e->edge.offset, i * (sizeof(GET) - 1));
	}
	assert_int_equal(sim->records, 1 + 6);
	assert_int_equal(engine__next_timer(sim->engine), 0);
	sim_gone(c);
	assert_int_equal(sim_n_ended, 3);
	assert_int_equal(sim->account.trace.conns_open, 0);
}

/* Where hooks fire after the call, a response may be told before its request. */
static void answers_told_first(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);

	for (uint32_t i = 0; i < 4; i++) {
		if (i == 1) {
			sim_say(c, TX, GET);
			sim_say(c, RX, OK5);
		} else {
			sim_overtaken(c, GET, "HTTP/1.1 404 Gone\r\nContent-Length: 9\r\n\r\n");
			sim_body(c, RX, 9);
		}
		assert_int_equal(sim_ended_at(i)->status, i == 1 ? 200 : 404);
		assert_int_equal(sim_ended_at(i)->side, SIDE_CLIENT);
	}
	sim_gone(c);
}

/* The request was missed: what answers it is no span, and the next exchange is one. */
static void answers_of_nothing(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);

	for (uint32_t i = 0; i < 3; i++) {
		sim->miss = true;
		sim_say(c, TX, GET);
		sim->miss = false;
		c->early = true;
		sim_say(c, RX, OK5);
		c->early = false;
		sim_say(c, TX, GET);
		sim_say(c, RX, OK5);
		assert_int_equal(sim_ended_at(i)->status, 200);
	}
	sim_gone(c);
}

static void keep_alive_client(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);

	c->evidence.at[SONDE_EV_WRITE].turn = 9;
	for (uint32_t i = 0; i < 3; i++) {
		struct sim_ended *e;

		sim_say(c, TX, GET);
		sim_say(c, RX, OK5);
		e = sim_ended_at(i);
		assert_int_equal(e->side, SIDE_CLIENT);
		assert_int_equal(e->status, 200);
		assert_int_equal(e->edge.client_base, 1000);
		assert_int_equal(e->edge.server_base, 2000);
		assert_true(e->start_ns < e->end_ns);
	}
	sim_gone(c);
}

/* ---- conversations, whole and cut at every byte ---- */

struct line {
	int dir; /* as the server sees it */
	const char *text;
};

struct expect {
	const char *method, *target;
	uint16_t status;
	uint32_t flags;
	uint64_t request_bytes, response_bytes;
	const char *traceparent;
};

struct conversation {
	const char *name;
	struct line lines[8];
	struct expect expect[4];
	bool by_close; /* the last response ends with the connection */
	size_t uncut; /* so many bytes must come together: the kernel side knows no message by less */
};

#define TP "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static const struct conversation conversations[] = {
	{ "content length",
	  { { RX, "GET / HTTP/1.1\r\nHost: h\r\ntraceparent: " TP "\r\n\r\n" }, { TX, OK5 } },
	  { { "GET", "/", 200, EX_RESPONSE, 0, 5, TP } } },
	{ "request body",
	  { { RX, "POST /p HTTP/1.1\r\nContent-Length: 7\r\n\r\na=1&b=2" }, { TX, OK5 } },
	  { { "POST", "/p", 200, EX_RESPONSE, 7, 5 } } },
	{ "chunked, trailers",
	  { { RX, GET },
	    { TX, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		  "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: 1\r\nY: 2\r\n\r\n" } },
	  { { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 11 } } },
	{ "chunked request",
	  { { RX, "PUT /c HTTP/1.1\r\ntransfer-encoding: gzip, "
		  "Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n" },
	    { TX, OK5 } },
	  { { "PUT", "/c", 200, EX_RESPONSE, 10, 5 } } },
	{ "HEAD has no body",
	  { { RX, "HEAD /h HTTP/1.1\r\n\r\n" },
	    { TX, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "HEAD", "/h", 200, EX_RESPONSE, 0, 0 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "204 and 304",
	  { { RX, GET },
	    { TX, "HTTP/1.1 204 No Content\r\n\r\n" },
	    { RX, GET },
	    { TX, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n" } },
	  { { "GET", "/a?x=1", 204, EX_RESPONSE, 0, 0 },
	    { "GET", "/a?x=1", 304, EX_RESPONSE, 0, 0 } } },
	{ "100 continue",
	  { { RX, "POST /e HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 16\r\n\r\n" },
	    { TX, "HTTP/1.1 100 Continue\r\n\r\n" },
	    { RX, "GET / HTTP/1.1\r\n" },
	    { TX, OK5 },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "POST", "/e", 200, EX_RESPONSE, 16, 5 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "early hints",
	  { { RX, GET }, { TX, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" OK5 } },
	  { { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "until close",
	  { { RX, "GET /0 HTTP/1.0\r\n\r\n" }, { TX, "HTTP/1.0 200 OK\r\n\r\nall of it" } },
	  { { "GET", "/0", 200, EX_RESPONSE, 0, 9 } },
	  true },
	{ "HTTP/1.0 keep-alive",
	  { { RX, "GET /0 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" },
	    { TX, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "GET", "/0", 200, EX_RESPONSE, 0, 1 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "bare LF",
	  { { RX, "GET /lf HTTP/1.1\nHost: h\ntraceparent: " TP "\n\n" },
	    { TX, "HTTP/1.1 200 OK\nContent-Length: 2\n\nab" } },
	  { { "GET", "/lf", 200, EX_RESPONSE, 0, 2, TP } } },
	{ "empty line first",
	  { { RX, "\r\nGET /e HTTP/1.1\r\n\r\n" }, { TX, OK5 } },
	  { { "GET", "/e", 200, EX_RESPONSE, 0, 5 } },
	  false,
	  2 },
	{ "folded line",
	  { { RX, "GET /f HTTP/1.1\r\ntraceparent:\r\n  " TP "\r\n\r\n" }, { TX, OK5 } },
	  { { "GET", "/f", 200, EX_RESPONSE, 0, 5, TP } } },
	{ "pipelined",
	  { { RX, "GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3 HTTP/1.1\r\n\r\n" },
	    { TX, "HTTP/1.1 204 A\r\n\r\nHTTP/1.1 404 B\r\nContent-Length: 0\r\n\r\nHTTP/1.1 204 "
		  "C\r\n\r\n" } },
	  { { "GET", "/1", 204, EX_RESPONSE | EX_NOT_ALONE, 0, 0 },
	    { "GET", "/2", 404, EX_RESPONSE | EX_NOT_ALONE, 0, 0 },
	    { "GET", "/3", 204, EX_RESPONSE | EX_NOT_ALONE, 0, 0 } } },
	{ "CONNECT",
	  { { RX, "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n" },
	    { TX, "HTTP/1.1 200 Connection established\r\n\r\n" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "CONNECT", "h:443", 200, EX_RESPONSE | EX_UPGRADED, 0, 0 } } },
	{ "CONNECT refused",
	  { { RX, "CONNECT h:443 HTTP/1.1\r\n\r\n" },
	    { TX, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "CONNECT", "h:443", 403, EX_RESPONSE, 0, 2 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "upgrade",
	  { { RX, "GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" },
	    { TX, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "GET", "/ws", 101, EX_RESPONSE | EX_UPGRADED, 0, 0 } } },
	{ "asterisk and absolute",
	  { { RX, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n" },
	    { TX, OK5 },
	    { RX, "GET http://o.example/x HTTP/1.1\r\nHost: h\r\n\r\n" },
	    { TX, OK5 } },
	  { { "OPTIONS", "*", 200, EX_RESPONSE, 0, 5 },
	    { "GET", "http://o.example/x", 200, EX_RESPONSE, 0, 5 } } },
	{ "a body that looks like a request",
	  { { RX, "POST /b HTTP/1.1\r\nContent-Length: 36\r\n\r\nGET /evil HTTP/1.1\r\nHost: "
		  "evil.com\r\n\r\n" },
	    { TX, OK5 },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "POST", "/b", 200, EX_RESPONSE, 36, 5 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "a chunk that looks like a response",
	  { { RX, GET },
	    { TX, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\nHTTP/1.1 500 "
		  "No\r\n\r\n\r\n0\r\n\r\n" },
	    { RX, GET },
	    { TX, OK5 } },
	  { { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 19 },
	    { "GET", "/a?x=1", 200, EX_RESPONSE, 0, 5 } } },
	{ "Content-Length twice, alike",
	  { { RX, "POST /l HTTP/1.1\r\nContent-Length: 3, 3\r\ncontent-length: 3\r\n\r\nabc" },
	    { TX, OK5 } },
	  { { "POST", "/l", 200, EX_RESPONSE, 3, 5 } } },
};

static void check_conversation(const struct conversation *v, enum exchange_side side,
			       const char *how, size_t at)
{
	for (uint32_t i = 0; i < 4; i++) {
		const struct expect *x = &v->expect[i];
		const struct sim_ended *e = &sim_ended[i];

		if (!x->method) {
			if (sim_n_ended != i)
				fail_msg("%s, %s %zu: %u exchanges, not %u", v->name, how, at,
					 sim_n_ended, i);
			return;
		}
		if (i >= sim_n_ended)
			fail_msg("%s, %s %zu: only %u exchanges", v->name, how, at, sim_n_ended);
		if (strcmp(e->method, x->method) || strcmp(e->target, x->target) ||
		    e->status != x->status || e->flags != x->flags || e->side != side ||
		    e->error_type || strcmp(e->traceparent, x->traceparent ?: ""))
			fail_msg("%s, %s %zu: exchange %u: %s %s %u flags %x side %d %s '%s'",
				 v->name, how, at, i, e->method, e->target, e->status, e->flags,
				 e->side, e->error_type ?: "", e->traceparent);
		if (!at && (e->request_bytes != x->request_bytes ||
			    e->response_bytes != x->response_bytes))
			fail_msg("%s, %s: exchange %u: bytes %lu %lu", v->name, how, i,
				 e->request_bytes, e->response_bytes);
		if (!(e->start_ns <= e->response_ns && e->response_ns <= e->end_ns))
			fail_msg("%s, %s %zu: exchange %u: times", v->name, how, at, i);
	}
}

/* The same conversation: in calls of at most `piece` bytes, or with one message cut in two. */
static void hold_conversation(const struct conversation *v, bool server, bool unsure,
			      const char *how, size_t piece, int cut_line, size_t cut_at)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	struct sim_conn *c;

	assert_non_null(sim);
	sim_open(sim);
	sim->unsure = unsure;
	c = sim_connect(sim, server ? SONDE_ROLE_PASSIVE : SONDE_ROLE_ACTIVE, true);
	for (int i = 0; i < 8 && v->lines[i].text; i++) {
		const char *text = v->lines[i].text;
		size_t len = strlen(text), n;

		for (size_t at = 0; at < len; at += n) {
			n = piece && len - at > piece ? piece : len - at;
			if (i == cut_line && at == 0 && cut_at)
				n = cut_at;
			sim_call(c, server ? v->lines[i].dir : !v->lines[i].dir, text + at, n);
		}
	}
	if (v->by_close)
		sim_over(c, SONDE_REC_SHUT, server ? SONDE_F_TX : 0);
	else
		sim_wait(sim, 1000000000);
	/* Cut, the end of a body with trailers is not seen: the connection's end is its end. */
	if (piece || cut_at)
		sim_gone(c);
	check_conversation(v, server ? SIDE_SERVER : SIDE_CLIENT, how, piece ?: cut_at);
	assert_int_equal(sim->account.trace.ex_open, 0);
	if (!piece && !cut_at)
		sim_gone(c);
	sim_close(sim);
	free(sim);
}

static void conversations_whole(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++) {
		hold_conversation(&conversations[i], true, false, "whole", 0, -1, 0);
		hold_conversation(&conversations[i], false, false, "whole, client", 0, -1, 0);
		hold_conversation(&conversations[i], true, true, "whole, unsure", 0, -1, 0);
	}
}

static void conversations_in_pieces(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++)
		for (size_t piece = conversations[i].uncut ?: 1; piece < 40; piece++) {
			hold_conversation(&conversations[i], true, false, "in pieces of", piece, -1,
					  0);
			hold_conversation(&conversations[i], false, true, "client, in pieces of",
					  piece, -1, 0);
		}
}

static void conversations_cut_once(void **state)
{
	for (size_t i = 0; i < sizeof(conversations) / sizeof(conversations[0]); i++)
		for (int l = 0; l < 8 && conversations[i].lines[l].text; l++)
			for (size_t at = conversations[i].uncut ?: 1;
			     at < strlen(conversations[i].lines[l].text); at++)
				hold_conversation(&conversations[i], true, false, "cut at", 0, l,
						  at);
}

/* ---- when a response has ended ---- */

#define HEAD(n) "HTTP/1.1 200 OK\r\nContent-Length: " n "\r\n\r\n"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Head in one call, body in later ones: the watermark's END record says when. */
static void end_by_watermark(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t records;

	sim_say(c, RX, GET);
	sim_say(c, TX, HEAD("3000"));
	assert_int_equal(c->watermark[TX], c->off[TX] + 3000);
	records = sim->records;
	sim_body(c, TX, 1000);
	sim_body(c, TX, 1999);
	assert_int_equal(sim_n_ended, 0);
	sim_body(c, TX, 1);
	assert_int_equal(sim->records, records + 1);
	assert_int_equal(sim_ended_at(0)->end_ns, sim->now);
	assert_int_equal(sim_ended_at(0)->response_bytes, 3000);
	assert_int_equal(c->watermark[TX], 0);
	assert_int_equal(engine__next_timer(sim->engine), 0);
}

/* The body had gone by before the watermark was set: the slot says so. */
static void end_by_slot(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	sim_say(c, RX, GET);
	/* the slot is read after the body passed, the record was written before */
	c->off[TX] = c->slot_off[TX] = sizeof(HEAD("3000")) - 1 + 3000;
	c->ns[TX] = sim->now + 777;
	c->turn++;
	c->last = TX;
	sim_data(c, TX, SONDE_F_TURN_START | SONDE_F_START, HEAD("3000"), sizeof(HEAD("3000")) - 1,
		 sizeof(HEAD("3000")) - 1, 0);
	assert_int_equal(sim_ended_at(0)->end_ns, c->ns[TX]);
	assert_int_equal(c->watermark[TX], 0);
}

/* The END record was lost: a timer looks at the slot, ever more seldom, and not once all is over. */
static void end_by_timer(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t first, ended;

	sim_wait(sim, 1);
	sim_say(c, RX, GET);
	assert_int_equal(engine__next_timer(sim->engine), 0); /* the program's answer wakes us */
	sim_say(c, TX, HEAD("3000"));
	first = engine__next_timer(sim->engine);
	assert_true(first > sim->now && first < sim->now + 300000000);
	sim_wait(sim, 2000000000);
	assert_int_equal(sim_n_ended, 0);
	sim->lose = true;
	sim_body(c, TX, 3000);
	sim->lose = false;
	ended = sim->now;
	sim_wait(sim, 6000000000);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	assert_int_equal(engine__next_timer(sim->engine), 0);
}

static void end_by_next_request(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	c->slot = ~0u; /* as far as the core's requests go: none is answered */
	sim_say(c, RX, GET);
	sim_say(c, TX, HEAD("3000"));
	sim->lose = true;
	sim_body(c, TX, 3000);
	sim->lose = false;
	ended = sim->now;
	sim_say(c, RX, GET);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 2);
}

/* The kernel side knows only what was asked for: the next request, time or the end confirm it. */
static void end_unsure(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim->unsure = true;
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	ended = sim->now;
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, RX, GET);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	sim_say(c, TX, OK5);
	ended = sim->now;
	assert_int_equal(sim_n_ended, 1);
	sim_wait(sim, 400000000);
	assert_int_equal(sim_ended_at(1)->end_ns, ended);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	ended = sim->now;
	sim_gone(c);
	assert_int_equal(sim_ended_at(2)->end_ns, ended);
	assert_int_equal(sim_ended_at(2)->flags, EX_RESPONSE);
}

/* Less was taken than was asked for: the same bytes come again, and count once. */
static void sent_again(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	static const char text[] = OK5;

	sim->unsure = true;
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	/* 10 bytes were taken; the rest is sent again, in two calls */
	c->off[TX] = 10;
	c->head[TX] = true;
	sim_call(c, TX, text + 10, 20);
	sim_call(c, TX, text + 30, sizeof(text) - 1 - 30);
	sim_say(c, RX, GET);
	assert_int_equal(sim_ended_at(0)->status, 200);
	assert_int_equal(sim_ended_at(0)->response_bytes, 5);
	sim_say(c, TX, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	sim_gone(c);
	assert_int_equal(sim_ended_at(1)->status, 404);
	assert_int_equal(sim_n_ended, 2);
}

static void end_by_last_chunk(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim_wait(sim, 1);
	sim_say(c, RX, GET);
	sim_say(c, TX, CHUNKED);
	sim_say(c, TX, "5\r\nhello\r\n");
	/* a chunk whose data ends like a last chunk: bytes follow */
	sim_say(c, TX, "9\r\nab\r\n0\r\n\r\n");
	sim_wait(sim, 10000000);
	sim_say(c, TX, "\r\n");
	sim_wait(sim, 1000000000);
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, TX, "0\r\n\r\n");
	ended = sim->now;
	assert_int_equal(sim_n_ended, 0);
	sim_wait(sim, 200000000);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	assert_int_equal(engine__next_timer(sim->engine), 0);

	/* and with the next request at once */
	sim_say(c, RX, GET);
	sim_say(c, TX, CHUNKED);
	sim_say(c, TX, "5\r\nhello\r\n");
	sim_say(c, TX, "0\r\n\r\n");
	ended = sim->now;
	sim_say(c, RX, GET);
	assert_int_equal(sim_ended_at(1)->end_ns, ended);
}

/* Chunks went by unseen, with trailers: the direction changed, and the next response confirms. */
static void end_by_next_response(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim_say(c, RX, GET);
	sim_say(c, TX, CHUNKED);
	sim_say(c, TX, "5\r\nhello\r\n");
	sim_say(c, TX, "0\r\nA: b\r\n\r\n");
	ended = sim->now;
	sim_say(c, RX, GET);
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, TX, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(sim_n_ended, 2);
	assert_int_equal(sim_ended_at(0)->status, 200);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	assert_int_equal(sim_ended_at(1)->status, 404);
}

/* A request that does not wait for the end of a stream does not end it. */
static void stream_goes_on(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim_say(c, RX, GET);
	sim_say(c, TX, CHUNKED);
	sim_say(c, TX, "5\r\nhello\r\n");
	sim_say(c, RX, "GET /2 HTTP/1.1\r\n\r\n");
	sim_say(c, TX, "5\r\nhello\r\n");
	sim_wait(sim, 1000000000);
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, TX, "0\r\n\r\n");
	ended = sim->now;
	sim_wait(sim, 1000000000);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);
	sim_say(c, TX, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	assert_string_equal(sim_ended_at(1)->target, "/2");
	assert_int_equal(sim_ended_at(1)->status, 404);
}

/* ---- ends before the end ---- */

static void cut_by(void **state)
{
	static const struct {
		uint16_t type, flags;
		const char *error_type;
	} ways[] = {
		{ SONDE_REC_GONE, SONDE_F_RESET, "connection_reset" },
		{ SONDE_REC_GONE, 0, "connection_closed" },
		{ SONDE_REC_SHUT, SONDE_F_RESET, "connection_reset" },
		{ SONDE_REC_SHUT, SONDE_F_TX, "connection_closed" },
		{ SONDE_REC_EXIT, 0, "process_exit" },
		{ SONDE_REC_EXEC, 0, "process_exec" },
	};
	static const char *const progress[] = { NULL, "HTTP/1.1 20", HEAD("50"),
						CHUNKED "5\r\nhel" };

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		for (size_t k = 0; k < 4; k++) {
			struct sim *sim = calloc(1, sizeof(*sim));
			struct sim_ended *e;
			struct sim_conn *c;

			assert_non_null(sim);
			sim_open(sim);
			c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
			sim_say(c, RX, GET);
			if (progress[k])
				sim_say(c, TX, progress[k]);
			if (ways[i].type >= SONDE_REC_EXIT)
				sim_process_end(sim, ways[i].type, c->tgid);
			else
				sim_over(c, ways[i].type, ways[i].flags);
			e = sim_ended_at(0);
			assert_string_equal(e->error_type, ways[i].error_type);
			assert_true(e->flags & EX_CUT);
			assert_int_equal(e->status, k >= 2 ? 200 : 0);
			assert_int_equal(!(e->flags & EX_RESPONSE), k < 2);
			assert_int_equal(e->end_ns, sim->now);
			assert_int_equal(engine__next_timer(sim->engine), 0);
			sim_gone(c);
			assert_int_equal(sim_n_ended, 1);
			sim_close(sim);
			free(sim);
		}
}

/* What ends with the connection is whole when a server closes, and when it exits. */
static void until_close(void **state)
{
	static const uint16_t ways[] = { SONDE_REC_GONE, SONDE_REC_SHUT, SONDE_REC_EXIT };

	for (int i = 0; i < 3; i++)
		for (int client = 0; client < 2; client++) {
			struct sim *sim = calloc(1, sizeof(*sim));
			struct sim_conn *c;
			uint64_t last;

			assert_non_null(sim);
			sim_open(sim);
			c = sim_connect(sim, client ? SONDE_ROLE_ACTIVE : SONDE_ROLE_PASSIVE, true);
			sim_say(c, client ? TX : RX, GET);
			sim_say(c, client ? RX : TX, "HTTP/1.1 200 OK\r\n\r\nsome");
			sim_body(c, client ? RX : TX, 100);
			last = sim->now;
			/* a stop of sending by the client ends nothing */
			sim_over(c, SONDE_REC_SHUT, client ? SONDE_F_TX : 0);
			assert_int_equal(sim_n_ended, 0);
			if (ways[i] == SONDE_REC_EXIT)
				sim_process_end(sim, ways[i], c->tgid);
			else
				sim_over(c, ways[i], client ? 0 : SONDE_F_TX);
			if (client && ways[i] == SONDE_REC_EXIT) {
				assert_string_equal(sim_ended_at(0)->error_type, "process_exit");
			} else {
				assert_null(sim_ended_at(0)->error_type);
				assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE);
				assert_int_equal(sim_ended_at(0)->end_ns, last);
				if (ways[i] != SONDE_REC_EXIT)
					assert_int_equal(sim_ended_at(0)->response_bytes, 104);
			}
			sim_close(sim);
			free(sim);
		}
}

static void cut_in_the_request(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "GET /half HTTP/1.1\r\nHost: h\r\nX");
	sim_over(c, SONDE_REC_GONE, SONDE_F_RESET);
	assert_string_equal(sim_ended_at(0)->target, "/half");
	assert_int_equal(sim_ended_at(0)->flags, EX_CUT | EX_HEAD_PARTIAL);
	assert_int_equal(sim_ended_at(0)->n_fields, 1);

	/* not even a request line */
	c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	sim_say(c, RX, "GET /ha");
	sim_gone(c);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim->account.trace.dropped_bad_head, 1);
}

static void only_its_own_process(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *a = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	struct sim_conn *b = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	b->tgid = 200;
	sim_say(a, RX, GET);
	sim_say(b, RX, GET);
	sim_process_end(sim, SONDE_REC_EXIT, 200);
	assert_int_equal(sim_ended_at(0)->tgid, 200);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim_n_gone, 1);
	sim_say(a, TX, OK5);
	assert_int_equal(sim_ended_at(1)->flags, EX_RESPONSE);
}

static void input_ends(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *a = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	struct sim_conn *b = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim->unsure = true;
	sim_say(a, RX, GET);
	sim_say(b, RX, GET);
	sim_say(b, TX, OK5);
	sim_feed(sim, MSG_END, NULL, 0);
	assert_int_equal(sim_n_ended, 2);
	assert_int_equal(sim_n_flush, 1);
	for (int i = 0; i < 2; i++)
		if (sim_ended[i].status)
			assert_null(sim_ended[i].error_type);
		else
			assert_string_equal(sim_ended[i].error_type, "tracing_ended");
}

static void early_response(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "POST /up HTTP/1.1\r\nContent-Length: 2000\r\n\r\n");
	sim_body(c, RX, 500);
	sim_say(c, TX, "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_EARLY);
	assert_int_equal(sim_ended_at(0)->status, 413);
	/* the rest of the body, one call of which looks like a request */
	sim_say(c, RX, GET);
	assert_int_equal(sim_n_request, 1);
	sim_body(c, RX, 1500 - (sizeof(GET) - 1));
	assert_int_equal(sim->account.trace.filtered_continuation, 1);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_string_equal(sim_ended_at(1)->method, "GET");

	/* the answer to half a head */
	sim_say(c, RX, "GET /x HTTP/1.1\r\nHos");
	sim_say(c, TX, "HTTP/1.1 408 Too slow\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(sim_ended_at(2)->flags, EX_RESPONSE | EX_EARLY | EX_HEAD_PARTIAL);
	assert_int_equal(sim_ended_at(2)->status, 408);
}

/* A chunked upload of which only the head was captured: its end is the turn's. */
static void upload_unseen(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim_say(c, RX, "POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
	sim_body(c, RX, 500);
	sim_say(c, RX, GET); /* within the body */
	sim_body(c, RX, 500);
	ended = sim->now;
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim_ended_at(0)->request_end_ns, ended);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE);
	assert_int_equal(sim->account.trace.filtered_continuation, 1);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_string_equal(sim_ended_at(1)->method, "GET");
}

static void nobody_asked(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	sim_say(c, TX, "HTTP/1.1 408 Idle\r\nContent-Length: 0\r\n\r\n");
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 2);
	assert_int_equal(sim_ended_at(1)->status, 200);
}

static void bad_response(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, GET);
	sim_say(c, TX, "hello there");
	assert_string_equal(sim_ended_at(0)->error_type, "bad_response");
	sim_say(c, RX, GET);
	sim_say(c, TX, "HTTP/1.1 2x0 OK\r\n\r\n");
	assert_string_equal(sim_ended_at(1)->error_type, "bad_response");
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(2)->status, 200);
}

/* ---- ambiguity ---- */

static void ambiguous(void **state)
{
	static const char *const requests[] = {
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: "
		"5\r\n\r\n0\r\n\r\n",
		"POST /a HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length: 5x\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length:\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
		"chunked\r\n\r\nhello",
		"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\n Content-Length: 5\r\n\r\nhello",
		"POST /a HTTP/1.1\r\nX: a\rb\r\n\r\n",
		"POST /a HTTP/1.1\r\nnonsense\r\n\r\n",
		"POST /a b HTTP/1.1\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		struct sim *sim = calloc(1, sizeof(*sim));
		struct sim_conn *c;

		assert_non_null(sim);
		sim_open(sim);
		c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
		sim_say(c, RX, requests[i]);
		/* what follows in this turn may be anything */
		sim_say(c, RX, "GET /smuggled HTTP/1.1\r\n\r\n");
		sim_say(c, TX, OK5);
		if (!(sim_ended_at(0)->flags & EX_AMBIGUOUS))
			fail_msg("not ambiguous: %s", requests[i]);
		assert_int_equal(sim->account.trace.filtered_continuation, 1);
		sim_say(c, RX, GET);
		sim_say(c, TX, OK5);
		assert_int_equal(sim_n_ended, 2);
		assert_string_equal(sim_ended_at(1)->target, "/a?x=1");
		assert_int_equal(sim_ended_at(1)->flags, EX_RESPONSE);
		sim_close(sim);
		free(sim);
	}
}

static void nul_in_head(void **state)
{
	static const char text[] = "GET /a HTTP/1.1\r\nX: a\0b\r\n\r\n";
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_call(c, RX, text, sizeof(text) - 1);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_AMBIGUOUS);
}

static void ambiguous_response(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);
	uint64_t ended;

	sim_say(c, RX, GET);
	sim_say(c, TX, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 4\r\n\r\nhello");
	ended = sim->now;
	assert_int_equal(sim_n_ended, 0);
	sim_say(c, RX, GET);
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 2);
	assert_int_equal(sim_ended_at(0)->flags, EX_RESPONSE | EX_AMBIGUOUS);
	assert_int_equal(sim_ended_at(0)->end_ns, ended);

	/* a chunk size that is none */
	sim_say(c, RX, GET);
	sim_say(c, TX, CHUNKED "zz\r\nhello");
	sim_gone(c);
	assert_int_equal(sim_ended_at(2)->flags, EX_RESPONSE | EX_AMBIGUOUS);
}

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
			assert_int_equal(sim_ended_at(0)->edge.client_base, client ? 999 : 2000);
			assert_int_equal(sim_ended_at(0)->edge.server_base, client ? 2000 : 1000);
			assert_int_equal(sim_ended_at(0)->edge.offset, tx0 + (client ? 1 : 0));
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
	uint64_t bad;

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		for (uint32_t len = 0; len <= 64; len++) {
			memset(&rec, 0, sizeof(rec));
			rec.h = (struct sonde_rec){ types[i], 0, len, 1, types[i] >= 6 ? 0 : 1 };
			assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, len),
					 types[i] == 6 || types[i] == 7 ?
						 (len >= sizeof(struct sonde_rec_proc) ? 0 :
											 -EPROTO) :
					 types[i] == 3 ?
						 (len >= sizeof(struct sonde_rec_end) ? 0 :
											-EPROTO) :
					 types[i] == 4 || types[i] == 5 ?
						 (len >= sizeof(struct sonde_rec_gone) ? 0 :
											 -EPROTO) :
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
	rec.h = (struct sonde_rec){ SONDE_REC_GONE, 0, 56, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 56), -EPROTO);
	rec.h = (struct sonde_rec){ SONDE_REC_CONN, 0, 200, 1, 1 };
	assert_int_equal(sim_feed_raw(sim, MSG_RECORD, &rec, 200), -EPROTO);
	assert_int_equal(sim->account.trace.records_bad, bad + 6);
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
		cmocka_unit_test_setup_teardown(keep_alive_server, setup, teardown),
		cmocka_unit_test_setup_teardown(keep_alive_client, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_told_first, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_of_nothing, setup, teardown),
		cmocka_unit_test(conversations_whole),
		cmocka_unit_test_setup_teardown(response_record_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(losses_in_a_row, setup, teardown),
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
		cmocka_unit_test_setup_teardown(end_by_watermark, setup, teardown),
		cmocka_unit_test_setup_teardown(end_by_slot, setup, teardown),
		cmocka_unit_test_setup_teardown(end_by_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(end_by_next_request, setup, teardown),
		cmocka_unit_test_setup_teardown(end_unsure, setup, teardown),
		cmocka_unit_test_setup_teardown(sent_again, setup, teardown),
		cmocka_unit_test_setup_teardown(end_by_last_chunk, setup, teardown),
		cmocka_unit_test_setup_teardown(end_by_next_response, setup, teardown),
		cmocka_unit_test_setup_teardown(stream_goes_on, setup, teardown),
		cmocka_unit_test_setup_teardown(cut_in_the_request, setup, teardown),
		cmocka_unit_test_setup_teardown(only_its_own_process, setup, teardown),
		cmocka_unit_test_setup_teardown(input_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(early_response, setup, teardown),
		cmocka_unit_test_setup_teardown(upload_unseen, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_asked, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_response, setup, teardown),
		cmocka_unit_test_setup_teardown(nul_in_head, setup, teardown),
		cmocka_unit_test_setup_teardown(ambiguous_response, setup, teardown),
		cmocka_unit_test(cut_by),
		cmocka_unit_test(until_close),
		cmocka_unit_test(ambiguous),
		cmocka_unit_test(conversations_in_pieces),
		cmocka_unit_test(conversations_cut_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
