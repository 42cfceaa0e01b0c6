// SPDX-License-Identifier: Apache-2.0
/* When an exchange has ended, by whatever tells it; and what is ambiguous is never guessed. */
#include "core/conn.h"
#include "engine_fixture.h"

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
			uint64_t at;

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
			at = sim->now;
			if (ways[i].type == SONDE_REC_EXIT)
				sim_wait(sim, 2 * ENDED_WAIT_NS);
			e = sim_ended_at(0);
			assert_string_equal(e->error_type, ways[i].error_type);
			assert_true(e->flags & EX_CUT);
			assert_int_equal(e->status, k >= 2 ? 200 : 0);
			assert_int_equal(!(e->flags & EX_RESPONSE), k < 2);
			assert_int_equal(e->end_ns, at);
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
			if (ways[i] == SONDE_REC_EXIT)
				sim_wait(sim, 2 * ENDED_WAIT_NS);
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
	sim_wait(sim, 2 * ENDED_WAIT_NS);
	assert_int_equal(sim_ended_at(0)->tgid, 200);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim_n_gone, 1);
	sim_say(a, TX, OK5);
	assert_int_equal(sim_ended_at(1)->flags, EX_RESPONSE);
}

/* The kernel closes what an ended process leaves open: then it shows that the last exchange was whole. */
static void closed_after_its_end(void **state)
{
	static const uint16_t ways[] = { SONDE_REC_GONE, SONDE_REC_SHUT };

	for (int i = 0; i < 2; i++)
		for (int whole = 0; whole < 2; whole++) {
			struct sim *sim = calloc(1, sizeof(*sim));
			struct sim_conn *c;
			uint64_t last, ended;

			assert_non_null(sim);
			sim_open(sim);
			c = sim_connect(sim, SONDE_ROLE_ACTIVE, true);
			sim_say(c, TX, GET);
			sim_say(c, RX, HEAD("50"));
			c->watermark[RX] = 0; /* too late for the kernel side */
			sim_body(c, RX, whole ? 50 : 49);
			last = sim->now;
			sim_process_end(sim, SONDE_REC_EXIT, c->tgid);
			ended = sim->now;
			assert_int_equal(sim_n_ended, 0);
			sim_over(c, ways[i], 0);
			assert_int_equal(sim_n_ended, 1);
			if (whole)
				assert_null(sim_ended_at(0)->error_type);
			else
				assert_string_equal(sim_ended_at(0)->error_type, "process_exit");
			assert_int_equal(sim_ended_at(0)->end_ns, whole ? last : ended);
			sim_wait(sim, 2 * ENDED_WAIT_NS);
			assert_int_equal(sim_n_ended, 1);
			sim_close(sim);
			free(sim);
		}
}

/* More processes end at once than are waited for: each is told of all the same. */
static void many_end(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	for (uint32_t i = 0; i <= CORE_ENDED_MAX; i++) {
		c->tgid = 200 + i;
		sim_say(c, RX, GET);
		sim_process_end(sim, SONDE_REC_EXIT, c->tgid);
	}
	assert_int_equal(sim_n_gone, 1);
	sim_wait(sim, 2 * ENDED_WAIT_NS);
	assert_int_equal(sim_n_gone, CORE_ENDED_MAX + 1);
	assert_int_equal(sim_n_ended, CORE_ENDED_MAX + 1);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
		cmocka_unit_test(closed_after_its_end),
		cmocka_unit_test_setup_teardown(many_end, setup, teardown),
		cmocka_unit_test(until_close),
		cmocka_unit_test(ambiguous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
