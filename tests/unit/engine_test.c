// SPDX-License-Identifier: Apache-2.0
/* From kernel records to exchanges: what every exchange must say, and that the account balances. */
#include "engine_fixture.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(keep_alive_server, setup, teardown),
		cmocka_unit_test_setup_teardown(keep_alive_client, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_told_first, setup, teardown),
		cmocka_unit_test_setup_teardown(answers_of_nothing, setup, teardown),
		cmocka_unit_test(conversations_whole),
		cmocka_unit_test(conversations_in_pieces),
		cmocka_unit_test(conversations_cut_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
