// SPDX-License-Identifier: Apache-2.0
/*
 * What a connection says again is not read again, nor described again: its spans must be the same,
 * byte for byte, as where something else was read in between, so that nothing was at hand.
 */
#include "sim.h"

#include "core/frame.h"
#include "core/otlp.h"

#define ROUNDS 6
#define BETWEEN "GET /between HTTP/1.1\r\nHost: other\r\nUser-Agent: other\r\n\r\n"
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
#define MISSING "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
#define BROKEN "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
#define INTERIM "HTTP/1.1 100 Continue\r\n\r\n"

struct said {
	const char *request;
	const char *responses[3]; /* in turn; NULL: from the first on again */
};

static const struct said cases[] = {
	{ "GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n", { OK } },
	{ "GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: a/1\r\n\r\n", { OK, MISSING, BROKEN } },
	{ "GET /a?x=1&sig=2 HTTP/1.1\r\nHost: h:81\r\n\r\n", { MISSING, OK } },
	{ "GET /\xff\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", { OK } },
	{ "GET http://u:p@host:82/b#c HTTP/1.1\r\nHost: h\r\n\r\n", { OK } },
	{ "OPTIONS * HTTP/1.0\r\n\r\n", { OK, BROKEN } },
	{ "HEAD /h HTTP/1.1\r\nHost: h\r\n\r\n",
	  { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n" } },
	{ "BREW /pot HTTP/1.1\r\nHost: h\r\n\r\n", { OK, CHUNKED } },
	{ "GET /lf HTTP/1.1\nHost: h\n\n", { OK } },
	{ "GET /folded HTTP/1.1\r\nHost: h\r\nUser-Agent: a\r\n  b \r\n\r\n", { OK } },
	{ "GET /folded HTTP/1.1\r\nHost: h\r\n\r\n",
	  { "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n" } },
	{ "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", { OK, MISSING } },
	{ "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
	  { OK } },
	{ "POST /two HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: "
	  "chunked\r\n\r\n",
	  { OK } },
	{ "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
	  { INTERIM OK, OK } },
	{ "GET /f HTTP/1.1\r\nHost: h\r\nForwarded: for=1.2.3.4;host=f;proto=https\r\n\r\n",
	  { OK } },
	{ "GET /x HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 9.9.9.9, 1.1.1.1\r\n\r\n",
	  { OK, BROKEN } },
	{ "GET /t HTTP/1.1\r\nHost: h\r\n"
	  "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
	  "tracestate: a=1\r\n\r\n",
	  { OK } },
	{ "GET /close HTTP/1.1\r\nHost: h\r\n\r\n", { "HTTP/1.1 200 OK\r\n\r\nall of it" } },
	{ "GET /bad HTTP/1.1\r\nHost: h\r\n\r\n", { "HTTP/1.1 2x0 OK\r\n\r\n" } },
	{ "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: w\r\n\r\n",
	  { "HTTP/1.1 101 Switching\r\nUpgrade: w\r\n\r\n" } },
};

struct circumstances {
	bool server, from_start, headers;
	unsigned int shed; /* step of the governor */
	size_t split; /* the request comes in two calls, the first of so many bytes; 0: in one */
};

static void ask(struct sim_conn *c, bool server, const char *request, const char *response,
		size_t split)
{
	int dir = server ? RX : TX;

	if (split) {
		sim_call(c, dir, request, split);
		request += split;
	}
	sim_say(c, dir, request);
	sim_say(c, !dir, response);
}

/* The frames of a connection that says the same again; between: those of another one are left out. */
static void record(const struct said *said, const struct circumstances *how, bool between,
		   struct buf *ret)
{
	struct buf frames = { 0 };
	struct sim sim = { .frames = &frames, .config.headers = how->headers };
	struct sim_conn *c, *other;
	struct frame_header header;
	const uint8_t *body;
	unsigned int n = 0;
	long len;

	sim_open(&sim);
	engine__shed(sim.engine, how->shed);
	c = sim_connect(&sim, how->server ? SONDE_ROLE_PASSIVE : SONDE_ROLE_ACTIVE,
			how->from_start);
	other = sim_connect(&sim, SONDE_ROLE_PASSIVE, true);
	for (int i = 0; i < ROUNDS; i++) {
		const char *response = said->responses[n];

		n = n < 2 && said->responses[n + 1] ? n + 1 : 0;
		ask(c, how->server, said->request, response, how->split);
		if (between)
			ask(other, true, BETWEEN, OK, 0);
		else
			sim.now += 2 * sim.step;
	}
	sim_gone(c);
	assert_int_equal(sim_feed_raw(&sim, MSG_END, NULL, 0), 0);
	for (size_t at = 0; at < frames.len; at += (size_t)len) {
		len = frame__next(frames.at + at, frames.len - at, &header, &body);
		assert_true(len > 0);
		if (header.type != FRAME_SPAN || !memmem(body, header.length, "/between", 8))
			buf__add(ret, frames.at + at, (size_t)len);
	}
	sim_close(&sim);
	buf__free(&frames);
}

static void same_in(const struct circumstances *how)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf again = { 0 }, anew = { 0 };

		record(&cases[i], how, false, &again);
		record(&cases[i], how, true, &anew);
		if (again.len != anew.len || memcmp(again.at, anew.at, anew.len))
			fail_msg("other spans (%zu and %zu bytes) of: %s", again.len, anew.len,
				 cases[i].request);
		assert_true(anew.len > 0);
		buf__free(&again);
		buf__free(&anew);
	}
}

static void test_server(void **state)
{
	same_in(&(struct circumstances){ .server = true, .from_start = true });
}

static void test_client(void **state)
{
	same_in(&(struct circumstances){ .from_start = true });
}

static void test_joined(void **state)
{
	same_in(&(struct circumstances){ .server = true });
}

static void test_headers(void **state)
{
	same_in(&(struct circumstances){ .server = true, .from_start = true, .headers = true });
}

static void test_shed_attributes(void **state)
{
	same_in(&(struct circumstances){ .server = true, .from_start = true, .shed = 1 });
}

static void test_in_two_calls(void **state)
{
	same_in(&(struct circumstances){ .server = true, .from_start = true, .split = 9 });
}

/* Who is asked differs, and so does what is told of it, though the heads are the same. */
static void test_other_ends(void **state)
{
	struct buf frames = { 0 };
	struct sim sim = { .frames = &frames };
	struct sim_conn *c[2];
	unsigned int parts[2] = { 0 };

	sim_open(&sim);
	for (int i = 0; i < 2; i++)
		c[i] = sim_connect(&sim, i ? SONDE_ROLE_ACTIVE : SONDE_ROLE_PASSIVE, true);
	for (int i = 0; i < ROUNDS; i++) {
		ask(c[0], true, cases[0].request, OK, 0);
		ask(c[1], false, cases[0].request, OK, 0);
	}
	assert_int_equal(sim_feed_raw(&sim, MSG_END, NULL, 0), 0);
	for (size_t at = 0; at + 12 < frames.len; at++) {
		parts[0] += !memcmp(frames.at + at, "\x0a\x08url.path", 10);
		parts[1] += !memcmp(frames.at + at, "\x0a\x08url.full", 10);
	}
	assert_int_equal(parts[0], ROUNDS);
	assert_int_equal(parts[1], ROUNDS);
	sim_close(&sim);
	buf__free(&frames);
}

/* So do connections of one client in its port alone, which takes more bytes or fewer. */
static void test_other_ports(void **state)
{
	static const uint16_t ports[] = { 40000, 80, 40001, 5001, 65535, 5002 };
	enum { PORTS = sizeof(ports) / sizeof(ports[0]) };
	struct buf frames = { 0 };
	struct sim sim = { .frames = &frames };
	struct sim_conn *c[PORTS];

	sim_open(&sim);
	for (int i = 0; i < PORTS; i++) {
		sim.remote_port = ports[i];
		c[i] = sim_connect(&sim, SONDE_ROLE_PASSIVE, true);
	}
	for (int i = 0; i < ROUNDS * PORTS; i++)
		ask(c[i % PORTS], true, cases[1].request, i % 3 ? OK : BROKEN, 0);
	assert_int_equal(sim_feed_raw(&sim, MSG_END, NULL, 0), 0);
	for (int i = 0; i < PORTS; i++) {
		struct attribute a = { .key = ATTR_NETWORK_PEER_PORT, .type = VALUE_INT };
		unsigned int found = 0;
		uint8_t said[256];
		size_t n;

		a.number = ports[i];
		n = otlp__attribute(said, sizeof(said), &a);
		assert_true(n > 0);
		for (size_t at = 0; at + n <= frames.len; at++)
			found += !memcmp(frames.at + at, said, n);
		assert_int_equal(found, ROUNDS);
	}
	sim_close(&sim);
	buf__free(&frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server),		cmocka_unit_test(test_client),
		cmocka_unit_test(test_joined),		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_shed_attributes), cmocka_unit_test(test_in_two_calls),
		cmocka_unit_test(test_other_ends),	cmocka_unit_test(test_other_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
