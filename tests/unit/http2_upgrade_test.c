// SPDX-License-Identifier: Apache-2.0
/* HTTP/2 by upgrade from HTTP/1.1 (RFC 7540 section 3.2): the request that asks for it is stream 1. */
#include "sim_http2.h"

static struct h2 h2;

#define H (&h2)
#define ASKS                                                                                       \
	"Host: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: "       \
	"AAMAAABk\r\n"
#define SWITCHES "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

static struct sim_ended *last_ended(void)
{
	assert_true(sim_n_ended > 0);
	return &sim_ended[(sim_n_ended - 1) % SIM_ENDED];
}

static void check_ended(uint32_t n, uint32_t stream, const char *method, uint16_t status,
			uint32_t flags)
{
	assert_int_equal(sim_n_ended, n);
	assert_int_equal(last_ended()->edge.stream, stream);
	assert_string_equal(last_ended()->method, method);
	assert_int_equal(last_ended()->status, status);
	assert_int_equal(last_ended()->flags & ~EX_NOT_ALONE, flags);
}

static void open_conn(void **state, uint8_t role)
{
	h2_open(H, *state, role, true);
	h2.c->off[h2.request_dir] = 0;
}

/* What follows on both sides is frames; the client's preface is not told. */
static void goes_over(void)
{
	h2.c->off[h2.request_dir] += 24;
	h2.high = 1;
	h2_frame(H, HTTP2_SETTINGS, 0, 0, NULL, 0);
	h2_say(H, !h2.request_dir);
	h2_frame(H, HTTP2_SETTINGS, 0, 0, NULL, 0);
	h2_say(H, h2.request_dir);
}

static void respond(uint32_t stream, const char *text)
{
	h2_headers(H, !h2.request_dir, 0, stream, text);
	h2_frame(H, HTTP2_DATA, HTTP2_END_STREAM, stream, "hello", 5);
	h2_say(H, !h2.request_dir);
}

/* Protects: it ends with its response on stream 1, beside the streams that follow. */
static void is_stream_one(void **state)
{
	for (uint8_t role = SONDE_ROLE_ACTIVE; role <= SONDE_ROLE_PASSIVE; role++) {
		struct sim *sim = *state;
		uint32_t n = sim_n_ended;

		open_conn(state, role);
		sim_say(h2.c, h2.request_dir, "GET /1 HTTP/1.1\r\n" ASKS "\r\n");
		sim_say(h2.c, !h2.request_dir, SWITCHES);
		assert_int_equal(sim_n_ended, n);
		goes_over();
		h2_headers(H, h2.request_dir, HTTP2_END_STREAM, 3, H2_GET("/3"));
		h2_say(H, h2.request_dir);
		respond(3, ":status: 404\n");
		check_ended(n + 1, 3, "GET", 404, EX_RESPONSE);
		respond(1, ":status: 200\nserver: s\n");
		check_ended(n + 2, 0, "GET", 200, EX_RESPONSE);
		assert_string_equal(last_ended()->target, "/1");
		assert_int_equal(last_ended()->response_bytes, 5);
		assert_int_equal(last_ended()->n_fields, 4);
		assert_true(last_ended()->response_ns > last_ended()->request_end_ns);
		/* it is over */
		respond(1, ":status: 500\n");
		assert_int_equal(sim_n_ended, n + 2);
		h2_close(H);
		sim->n_conns = 0;
	}
}

/* Protects: a body that is still coming when the answer says 101 is the request's. */
static void with_a_body(void **state)
{
	open_conn(state, SONDE_ROLE_PASSIVE);
	sim_say(h2.c, RX, "POST /1 HTTP/1.1\r\n" ASKS "Content-Length: 500\r\n\r\n");
	sim_say(h2.c, TX, SWITCHES);
	h2_pass(H, RX, 500);
	goes_over();
	respond(1, ":status: 201\n");
	check_ended(1, 0, "POST", 201, EX_RESPONSE);
	assert_int_equal(last_ended()->request_bytes, 500);
	h2_close(H);
}

/* Protects: where the record of the 101 was lost, frames say the same. */
static void answer_lost(void **state)
{
	struct sim *sim = *state;

	open_conn(state, SONDE_ROLE_PASSIVE);
	sim_say(h2.c, RX, "GET /1 HTTP/1.1\r\n" ASKS "\r\n");
	sim->lose = true;
	sim_say(h2.c, TX, SWITCHES);
	sim->lose = false;
	goes_over();
	respond(1, ":status: 200\n");
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(last_ended()->status, 200);
	h2_close(H);
}

/* Protects: of a request that did not ask for it nobody says how it ended. */
static void request_lost(void **state)
{
	struct sim *sim = *state;

	open_conn(state, SONDE_ROLE_PASSIVE);
	sim_say(h2.c, RX, "GET /0 HTTP/1.1\r\nHost: h\r\n\r\n");
	goes_over();
	h2_headers(H, RX, HTTP2_END_STREAM, 3, H2_GET("/3"));
	h2_say(H, RX);
	respond(1, ":status: 200\n");
	assert_int_equal(sim_n_ended, 0);
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
	respond(3, ":status: 200\n");
	check_ended(1, 3, "GET", 200, EX_RESPONSE);
	h2_close(H);
}

/* Protects: how it ends where it is not answered. */
static void unanswered(void **state)
{
	static const char *const errors[] = { "stream_refused", "stream_cancelled",
					      "connection_closed" };

	for (uint32_t i = 0; i < 3; i++) {
		open_conn(state, SONDE_ROLE_PASSIVE);
		sim_say(h2.c, RX, "GET /1 HTTP/1.1\r\n" ASKS "\r\n");
		sim_say(h2.c, TX, SWITCHES);
		goes_over();
		if (i == 0)
			h2_go_away(H, 0);
		else if (i == 1)
			h2_word(H, HTTP2_RST_STREAM, 1, 8);
		h2_say(H, i ? RX : TX);
		assert_int_equal(sim_n_ended, i == 2 ? 2 : i + 1);
		h2_close(H);
		assert_int_equal(sim_n_ended, i + 1);
		assert_string_equal(last_ended()->error_type, errors[i]);
		assert_string_equal(last_ended()->target, "/1");
	}
}

/* Protects: 101 to a request that leaves a choice, or asks for something else, is the end of what is seen. */
static void other_protocols(void **state)
{
	static const char *const upgrades[] = { "websocket", "h2c, websocket",
						"h2c\r\nUpgrade: x" };

	for (uint32_t i = 0; i < 3; i++) {
		char text[200];

		open_conn(state, SONDE_ROLE_PASSIVE);
		snprintf(text, sizeof(text), "GET /1 HTTP/1.1\r\nUpgrade: %s\r\n\r\n", upgrades[i]);
		sim_say(h2.c, RX, text);
		sim_say(h2.c, TX, "HTTP/1.1 101 Switching Protocols\r\n\r\n");
		check_ended(i + 1, 0, "GET", 101, EX_RESPONSE | EX_UPGRADED);
		h2_close(H);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(is_stream_one), TEST(with_a_body), TEST(answer_lost),
		TEST(request_lost),  TEST(unanswered),	TEST(other_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
