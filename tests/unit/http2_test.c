// SPDX-License-Identifier: Apache-2.0
/* HTTP/2: from the kernel side's frames to exchanges, whatever stands in them, is missing, or is meant to hurt. */
#include "sim_http2.h"

static struct h2 h2;

#define H (&h2)

static void serve(void **state)
{
	h2_open(H, *state, SONDE_ROLE_PASSIVE, true);
}

static void request(uint32_t stream, const char *text)
{
	h2_headers(H, h2.request_dir, HTTP2_END_STREAM, stream, text);
	h2_say(H, h2.request_dir);
}

static void respond(uint32_t stream, const char *text)
{
	h2_headers(H, !h2.request_dir, HTTP2_END_STREAM, stream, text);
	h2_say(H, !h2.request_dir);
}

static struct sim_ended *last_ended(void)
{
	assert_true(sim_n_ended > 0);
	return &sim_ended[(sim_n_ended - 1) % SIM_ENDED];
}

static void check_ended(uint32_t n, uint32_t stream, const char *target, uint16_t status)
{
	assert_int_equal(sim_n_ended, n);
	assert_int_equal(last_ended()->edge.stream, stream);
	assert_string_equal(last_ended()->target, target);
	assert_int_equal(last_ended()->status, status);
}

/* ---- what is usual ---- */

static void converse(size_t by)
{
	h2_headers(H, h2.request_dir, 0, 1,
		   ":method: POST\n:scheme: http\n:authority: h\n:path: /1\n"
		   "traceparent: " TP "\n");
	h2_frame(H, HTTP2_DATA, HTTP2_END_STREAM, 1, "abc", 3);
	h2_headers(H, h2.request_dir, HTTP2_END_STREAM, 3, H2_GET("/3"));
	h2_say_by(H, h2.request_dir, by);
	/* in the other order, with a 1xx, and trailers */
	h2_headers(H, !h2.request_dir, 0, 3, ":status: 103\nlink: a\n");
	h2_headers(H, !h2.request_dir, 0, 3, ":status: 404\nserver: s\n");
	h2_headers(H, !h2.request_dir, 0, 1, ":status: 200\nserver: s\n");
	h2_frame(H, HTTP2_DATA, HTTP2_END_STREAM, 3, "hello", 5);
	h2_frame(H, HTTP2_DATA, 0, 1, "12", 2);
	h2_headers(H, !h2.request_dir, HTTP2_END_STREAM, 1, "x-sum: 1\n");
	h2_say_by(H, !h2.request_dir, by);
}

/* The defect: streams were not found any more once it was known which socket carries them. */
static void socket_is_found_late(void **state)
{
	struct sim *sim = *state;

	sim->carried = true;
	serve(state);
	request(1, H2_GET("/1"));
	request(3, H2_GET("/3"));
	sim_tell_conn(h2.c, SONDE_ROLE_PASSIVE, true, true, 77);
	respond(1, ":status: 200\n");
	check_ended(1, 1, "http://h:80/1", 200);
	assert_true(last_ended()->edge.known);
	respond(3, ":status: 404\n");
	check_ended(2, 3, "http://h:80/3", 404);
	h2_close(H);
}

/* Protects: the same is seen wherever the calls' boundaries lie, at both ends. */
static void conversation(void **state)
{
	for (size_t by = 1; by < 120; by += by < 40 ? 1 : 20) {
		struct sim *sim = *state;
		uint32_t n = sim_n_ended;
		struct sim_ended *e;

		h2_open(H, sim, by & 1 ? SONDE_ROLE_PASSIVE : SONDE_ROLE_ACTIVE, true);
		converse(by);
		assert_int_equal(sim_n_ended, n + 2);
		e = &sim_ended[n];
		assert_int_equal(e->edge.stream, 3);
		assert_string_equal(e->method, "GET");
		assert_string_equal(e->target, "http://h:80/3");
		assert_int_equal(e->status, 404);
		assert_int_equal(e->response_bytes, 5);
		assert_int_equal(e->flags & ~EX_NOT_ALONE, EX_RESPONSE);
		e = &sim_ended[n + 1];
		assert_int_equal(e->edge.stream, 1);
		assert_string_equal(e->method, "POST");
		assert_string_equal(e->target, "http://h/1");
		assert_string_equal(e->traceparent, TP);
		assert_int_equal(e->status, 200);
		assert_int_equal(e->request_bytes, 3);
		assert_int_equal(e->response_bytes, 2);
		assert_int_equal(e->flags & ~EX_NOT_ALONE, EX_RESPONSE);
		assert_int_equal(e->side, by & 1 ? SIDE_SERVER : SIDE_CLIENT);
		assert_true(e->start_ns <= e->request_end_ns &&
			    e->request_end_ns < e->response_ns && e->response_ns <= e->end_ns);
		h2_close(H);
		sim->n_conns = 0;
	}
}

/* Protects: a block in pieces is one block, with what is padded and of priorities taken out (RFC 9113 section 6.2). */
static void pieces_padding_priority(void **state)
{
	uint8_t block[512], frame[600];
	size_t n;

	serve(state);
	n = h2_block(H, RX, H2_GET("/pieces"), block, sizeof(block));
	frame[0] = 7;
	memset(frame + 1, 0xff, 5);
	memcpy(frame + 6, block, 3);
	memset(frame + 9, 0, 7);
	h2_frame(H, HTTP2_HEADERS, HTTP2_PADDED | HTTP2_PRIORITY | HTTP2_END_STREAM, 1, frame, 16);
	for (size_t i = 3; i < n; i++)
		h2_frame(H, HTTP2_CONTINUATION, i + 1 == n ? HTTP2_END_HEADERS : 0, 1, block + i,
			 1);
	h2_frame(H, H2_PRIORITY_FRAME, 0, 1, "\0\0\0\0\5", 5);
	h2_frame(H, HTTP2_DATA, HTTP2_PADDED, 5, "\1ab", 3);
	h2_say(H, RX);
	respond(1, ":status: 204\n");
	check_ended(1, 1, "http://h:80/pieces", 204);
	assert_int_equal(last_ended()->flags, EX_RESPONSE);
	/* more padding than there is: the block says nothing, and the table of what follows is not known */
	frame[0] = 200;
	h2_frame(H, HTTP2_HEADERS, HTTP2_PADDED | HTTP2_END_HEADERS | HTTP2_END_STREAM, 3, frame,
		 16);
	h2_say(H, RX);
	respond(3, ":status: 400\n");
	check_ended(2, 3, "", 400);
	assert_int_equal(last_ended()->flags, EX_RESPONSE | EX_FIELDS_PARTIAL | EX_HEAD_PARTIAL);
	h2_close(H);
}

/* Protects: what is promised is no span, and the table of header fields goes on with it. */
static void promises(void **state)
{
	uint8_t promise[300] = { 0, 0, 0, 2 };
	size_t n;

	serve(state);
	request(1, H2_GET("/1"));
	n = h2_block(H, TX, H2_GET("/pushed") "x-new: kept\n", promise + 4, sizeof(promise) - 4);
	h2_frame(H, HTTP2_PUSH_PROMISE, HTTP2_END_HEADERS, 1, promise, n + 4);
	h2_headers(H, TX, HTTP2_END_STREAM, 2, ":status: 200\nx-new: kept\n");
	h2_headers(H, TX, HTTP2_END_STREAM, 1, ":status: 201\nx-new: kept\n");
	h2_say(H, TX);
	check_ended(1, 1, "http://h:80/1", 201);
	assert_int_equal(last_ended()->flags, EX_RESPONSE);
	h2_close(H);
}

/* Protects: how a stream that has no answer ended. */
static void resets(void **state)
{
	static const struct {
		int by_client;
		uint32_t code;
		const char *error;
	} cases[] = {
		{ 1, 8, "stream_cancelled" },	   { 0, 8, "stream_reset" },
		{ 0, 7, "stream_refused" },	   { 1, 2, "stream_reset" },
		{ 0, 0xffffffff, "stream_reset" },
	};

	serve(state);
	for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request(2 * i + 1, H2_GET("/r"));
		h2_word(H, HTTP2_RST_STREAM, 2 * i + 1, cases[i].code);
		h2_say(H, cases[i].by_client ? RX : TX);
		assert_int_equal(sim_n_ended, i + 1);
		assert_string_equal(last_ended()->error_type, cases[i].error);
		assert_true(last_ended()->flags & EX_CUT);
		/* of a stream that is gone nothing more is heard */
		respond(2 * i + 1, ":status: 200\n");
		assert_int_equal(sim_n_ended, i + 1);
	}
	h2_close(H);
}

static void goes_away(void **state)
{
	serve(state);
	for (uint32_t i = 0; i < 3; i++)
		request(2 * i + 1, H2_GET("/g"));
	/* a client's says nothing of its own streams */
	h2_go_away(H, 0);
	h2_say(H, RX);
	assert_int_equal(sim_n_ended, 0);
	h2_go_away(H, 3);
	h2_say(H, TX);
	check_ended(1, 5, "http://h:80/g", 0);
	assert_string_equal(last_ended()->error_type, "stream_refused");
	respond(3, ":status: 200\n");
	respond(1, ":status: 200\n");
	check_ended(3, 1, "http://h:80/g", 200);
	h2_close(H);
}

/* More fields than a table of the default size holds, then all of them again: by index, if it is larger. */
static void many_fields(int dir, uint32_t stream, const char *first)
{
	static char text[65536];
	size_t n = (size_t)sprintf(text, "%s", first);

	for (int i = 0; i < 60; i++)
		n += (size_t)sprintf(text + n, "x-field-%d: %0100d\n", i, i);
	h2_headers(H, dir, HTTP2_END_STREAM, stream, text);
	h2_say(H, dir);
}

/* Protects: each end says how large a table the other one may use (RFC 7541 section 4.2), larger and smaller. */
static void table_sizes(void **state)
{
	static const uint32_t sizes[] = { 4096, 65536, 16384, 0, 100, 65536 };

	h2_open(H, *state, SONDE_ROLE_ACTIVE, true);
	for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (int dir = 0; dir < 2; dir++) {
			h2_table_size(H, sizes[i]);
			h2_say(H, !dir);
			assert_int_equal(nghttp2_hd_deflate_change_table_size(h2.dirs[dir].deflater,
									      sizes[i]),
					 0);
		}
		for (uint32_t again = 0; again < 3; again++) {
			uint32_t n = 3 * i + again, stream = 2 * n + 1;

			many_fields(TX, stream, H2_GET("/many"));
			many_fields(RX, stream, ":status: 200\n");
			check_ended(n + 1, stream, "http://h:80/many", 200);
			assert_int_equal(last_ended()->flags, EX_RESPONSE);
			assert_int_equal(last_ended()->n_fields, 60);
		}
	}
	h2_close(H);
}

/* ---- what is missing ---- */

/* Protects: of a connection that is older nothing is guessed, and what is said anew is known by its index later. */
static void met_in_mid_life(void **state)
{
	uint8_t block[65536];

	for (int role = 0; role < 2; role++) {
		uint32_t n = sim_n_ended;

		h2_open(H, *state, role ? SONDE_ROLE_PASSIVE : SONDE_ROLE_UNKNOWN, false);
		/* before: what is in the tables of both ends */
		h2_block(H, RX, H2_GET("/old") "x-old: 1\n", block, sizeof(block));
		h2_block(H, TX, ":status: 299\nserver: s\n", block, sizeof(block));
		request(101, H2_GET("/old") "x-old: 1\n");
		respond(101, ":status: 299\nserver: s\n");
		assert_int_equal(sim_n_ended, n + 1);
		assert_true(last_ended()->flags & EX_FIELDS_PARTIAL);
		/* the path was said, the authority and the field were not */
		assert_string_equal(last_ended()->target, "/old");
		assert_int_equal(last_ended()->n_fields, 0);
		/* `:status: 299` is in the dynamic table only */
		assert_int_equal(last_ended()->status, 0);
		/* the tables are refilled */
		many_fields(RX, 103, H2_GET("/new"));
		many_fields(TX, 103, ":status: 298\n");
		for (int again = 0; again < 2; again++) {
			request(105 + 2 * again, H2_GET("/new") "x-new: 1\n");
			respond(105 + 2 * again, ":status: 298\nx-new: 1\n");
			check_ended(n + 3 + again, 105 + 2 * again, "http://h:80/new", 298);
			assert_int_equal(last_ended()->flags, EX_RESPONSE | EX_MID);
			assert_int_equal(last_ended()->n_fields, 1);
		}
		h2_close(H);
	}
}

/* Protects: a record that was lost costs what was in it, and a guess never. */
static void lost_records(void **state)
{
	struct sim *sim = *state;

	serve(state);
	request(1, H2_GET("/1"));
	sim->lose = true;
	request(3, H2_GET("/3") "x-a: 1\n");
	respond(1, ":status: 277\n");
	sim->lose = false;
	request(5, H2_GET("/3") "x-a: 1\n");
	/* that both were in the table was not seen */
	respond(5, ":status: 277\n");
	check_ended(1, 5, "/3", 0);
	assert_int_equal(last_ended()->n_fields, 0);
	assert_true(last_ended()->flags & EX_FIELDS_PARTIAL);
	/* stream 1 has ended, nobody knows when */
	assert_int_equal(sim->account.trace.ex_open, 1);
	h2_close(H);
	assert_int_equal(sim_n_ended, 1);
	assert_int_equal(sim->account.trace.dropped_response_lost, 1);
	assert_int_equal(sim->begun_lost, 1);
}

/* Protects: bytes that passed unseen inside a frame cut its block, and the frame behind it is in step. */
static void a_gap_and_in_step_again(void **state)
{
	uint8_t block[200];
	size_t n;

	serve(state);
	n = h2_block(H, RX, H2_GET("/cut"), block, sizeof(block));
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 1, block, n);
	h2_bytes(H, RX, h2.out.at, 12);
	buf__clear(&h2.out);
	/* the rest of it: no hook */
	h2.c->off[RX] += n - 3;
	h2.dirs[RX].have = 0;
	h2.dirs[RX].left = 0;
	nghttp2_hd_deflate_change_table_size(h2.dirs[RX].deflater, 0);
	request(3, H2_GET("/after"));
	respond(1, ":status: 200\n");
	check_ended(1, 1, "", 200);
	assert_true(last_ended()->flags & EX_HEAD_PARTIAL);
	respond(3, ":status: 200\n");
	check_ended(2, 3, "http://h:80/after", 200);
	assert_false(last_ended()->flags & EX_FIELDS_PARTIAL);
	h2_close(H);
}

/* Protects: an answer that is told before its request, by another thread, waits for it. */
static void answers_told_first(void **state)
{
	struct h2_dir before;
	uint64_t off;

	h2_open(H, *state, SONDE_ROLE_ACTIVE, true);
	off = h2.c->off[TX];
	before = h2.dirs[TX];
	respond(1, ":status: 200\n");
	respond(3, ":status: 404\n");
	assert_int_equal(sim_n_ended, 0);
	h2.dirs[TX] = before;
	h2.c->off[TX] = off;
	request(1, H2_GET("/1"));
	check_ended(1, 1, "http://h:80/1", 200);
	request(3, H2_GET("/3"));
	check_ended(2, 3, "http://h:80/3", 404);
	/* for a request that never comes: not for ever */
	for (uint32_t i = 0; i < 3000; i++)
		respond(2 * i + 1001,
			":status: 200\nx-long: 0123456789012345678901234567890123456789\n");
	request(5, H2_GET("/5"));
	respond(5, ":status: 200\n");
	h2_close(H);
	check_ended(3, 5, "http://h:80/5", 200);
}

/* ---- what is meant to hurt ---- */

/* Protects: a block of 16 KiB that unpacks to 60 MiB is unpacked to a bound, and said to be cut. */
static void hpack_bomb(void **state)
{
	uint8_t block[16000];
	size_t n = 0;

	serve(state);
	block[n++] = 0x82; /* :method: GET */
	block[n++] = 0x40; /* literal, to be indexed: x: 4000 bytes */
	block[n++] = 1;
	block[n++] = 'x';
	block[n++] = 0x7f;
	block[n++] = 0xa1; /* 127 + 33 + 30 * 128 = 4000 */
	block[n++] = 0x1e;
	memset(block + n, 'b', 4000);
	n += 4000;
	memset(block + n, 0xbe, sizeof(block) - n); /* the newest entry, each time */
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 1, block, sizeof(block));
	h2_say(H, RX);
	respond(1, ":status: 200\n");
	check_ended(1, 1, "", 200);
	assert_string_equal(last_ended()->method, "GET");
	assert_true(last_ended()->flags & EX_HEAD_PARTIAL);
	assert_false(last_ended()->flags & EX_FIELDS_PARTIAL);
	assert_true(last_ended()->head_bytes <= 32768 + 1024);
	assert_in_range(last_ended()->n_fields, 1, 8);
	h2_close(H);
}

/* Protects: header fields without end, of no bytes almost. */
static void endless_fields(void **state)
{
	uint8_t block[16000];

	serve(state);
	block[0] = 0x82;
	block[1] = 0x84;			    /* :path: / */
	memset(block + 2, 0x90, sizeof(block) - 2); /* accept-encoding: gzip, deflate */
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_HEADERS | HTTP2_END_STREAM, 1, block, sizeof(block));
	h2_say(H, RX);
	respond(1, ":status: 200\n");
	check_ended(1, 1, "/", 200);
	assert_int_equal(last_ended()->n_fields, EXCHANGE_FIELDS_ORDINARY_MAX);
	assert_true(last_ended()->flags & EX_HEAD_PARTIAL);
	h2_close(H);
}

/* Protects: CONTINUATION for ever keeps no more than a block's bound; the connection's next request is seen. */
static void continuation_flood(void **state)
{
	struct sim *sim = *state;
	static uint8_t fill[4000];

	serve(state);
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_STREAM, 1, "\x82\x84", 2);
	h2_say(H, RX);
	memset(fill, 0x90, sizeof(fill));
	for (int i = 0; i < 2000; i++) {
		h2_frame(H, HTTP2_CONTINUATION, 0, 1, fill, i & 1 ? 0 : sizeof(fill));
		h2_say(H, RX);
	}
	assert_int_equal(sim->account.trace.ex_open, 1);
	h2_frame(H, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 1, NULL, 0);
	h2_say(H, RX);
	respond(1, ":status: 431\n");
	check_ended(1, 1, "", 431);
	assert_true(last_ended()->flags & EX_HEAD_PARTIAL);
	/* one that is never ended, by another frame */
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_STREAM, 3, "\x82\x84", 2);
	h2_frame(H, HTTP2_CONTINUATION, HTTP2_END_HEADERS, 9, "\x82\x84", 2);
	h2_frame(H, HTTP2_HEADERS, HTTP2_END_STREAM | HTTP2_END_HEADERS, 5, "\x82\x84", 2);
	h2_say(H, RX);
	respond(5, ":status: 200\n");
	check_ended(2, 5, "/", 200);
	h2_close(H);
}

/* Protects: 100,000 streams begun and reset at once (CVE-2023-44487) are as many spans, and nothing stays. */
static void rapid_reset(void **state)
{
	struct sim *sim = *state;
	const uint32_t n = 100000;

	serve(state);
	for (uint32_t i = 0; i < n; i++) {
		h2_headers(H, RX, HTTP2_END_STREAM, 2 * i + 1, H2_GET("/rapid"));
		h2_word(H, HTTP2_RST_STREAM, 2 * i + 1, 8);
		if (i % 50 == 49)
			h2_say(H, RX);
		assert_true(sim->account.trace.ex_open <= 1);
	}
	h2_say(H, RX);
	assert_int_equal(sim->account.trace.ex_spans, n);
	assert_int_equal(sim->account.trace.ex_open, 0);
	assert_string_equal(last_ended()->error_type, "stream_cancelled");
	h2_close(H);
}

/* Protects: any number is a stream's; what is open at once is bounded, and what is beyond is counted. */
static void stream_numbers(void **state)
{
	struct sim *sim = *state;

	serve(state);
	for (uint32_t i = 0; i < CONN_EXCHANGES_MAX + 500; i++)
		h2_headers(H, RX, HTTP2_END_STREAM, 0x70000001 + i * 2048, H2_GET("/many"));
	h2_say(H, RX);
	assert_int_equal(sim->account.trace.ex_open, CONN_EXCHANGES_MAX);
	assert_int_equal(sim->account.trace.dropped_bound, 500);
	h2_headers(H, RX, HTTP2_END_STREAM, 0x7fffffff, H2_GET("/last"));
	h2_say(H, RX);
	assert_int_equal(sim->account.trace.dropped_bound, 501);
	for (uint32_t i = 0; i < CONN_EXCHANGES_MAX; i++)
		respond(0x70000001 + i * 2048, ":status: 200\n");
	assert_int_equal(sim->account.trace.ex_spans, CONN_EXCHANGES_MAX);
	assert_int_equal(sim->account.trace.ex_open, 0);
	/* numbers go up (RFC 9113 section 5.1.1): none comes behind the last, and none is 0 or even */
	request(0x7fffffff, H2_GET("/again"));
	request(0, H2_GET("/none"));
	request(2, H2_GET("/even"));
	assert_int_equal(sim->account.trace.ex_open, 0);
	h2_word(H, HTTP2_RST_STREAM, 0, 8);
	h2_word(H, HTTP2_RST_STREAM, 0x7ffffffd, 8);
	h2_go_away(H, 0x7fffffff);
	h2_go_away(H, 0);
	h2_say(H, TX);
	h2_close(H);
}

/* ---- messages that the kernel side counts ---- */

static void open_call(uint32_t stream)
{
	h2_headers(H, RX, 0, stream,
		   ":method: POST\n:scheme: http\n:path: /s.S/M\ncontent-type: application/grpc\n");
	h2_say(H, RX);
}

static void end_call(uint32_t stream)
{
	h2_headers(H, TX, 0, stream, ":status: 200\ncontent-type: application/grpc\n");
	h2_headers(H, TX, HTTP2_END_STREAM, stream, "grpc-status: 0\n");
	h2_say(H, TX);
}

#define UNKNOWN (EX_REQUESTS_UNKNOWN | EX_RESPONSES_UNKNOWN | EX_SIZES_UNKNOWN)
#define COUNTED(dir, stream, begins, ends, q, r)                                                   \
	h2_counted(H, dir, stream, begins, ends, (const uint32_t[]){ q, r },                       \
		   (const uint64_t[]){ 10 * (q), 10 * (r) })

/* Protects: what was counted is added to what was told, once. */
static void counted(void **state)
{
	serve(state);
	open_call(1);
	h2_frame(H, HTTP2_DATA, 0, 1, "\0\0\0\0\1x", 6);
	h2_say(H, RX);
	COUNTED(RX, 1, true, false, 0, 0);
	h2_pass(H, RX, 500);
	COUNTED(RX, 1, false, true, 7, 2);
	h2_frame(H, HTTP2_DATA, HTTP2_END_STREAM, 1, NULL, 0);
	h2_say(H, RX);
	COUNTED(TX, 1, false, true, 7, 5);
	end_call(1);
	check_ended(1, 1, "/s.S/M", 200);
	assert_int_equal(last_ended()->request_messages, 8);
	assert_int_equal(last_ended()->response_messages, 5);
	assert_int_equal(last_ended()->request_bytes, 76);
	assert_int_equal(last_ended()->response_bytes, 50);
	assert_false(last_ended()->flags & UNKNOWN);
	/* and up to a reset, in the same call */
	open_call(3);
	COUNTED(RX, 3, true, false, 0, 0);
	h2_pass(H, RX, 500);
	COUNTED(RX, 3, false, true, 4, 0);
	h2_word(H, HTTP2_RST_STREAM, 3, 8);
	h2_say(H, RX);
	assert_int_equal(last_ended()->request_messages, 4);
	assert_false(last_ended()->flags & UNKNOWN);
	h2_close(H);
}

/* Protects: counts that the kernel side has forgotten in between are left out, not wrong. */
static void counts_forgotten(void **state)
{
	serve(state);
	/* began again */
	open_call(1);
	COUNTED(RX, 1, true, false, 0, 0);
	COUNTED(TX, 1, true, false, 0, 0);
	COUNTED(TX, 1, false, true, 0, 3);
	end_call(1);
	assert_int_equal(last_ended()->flags & UNKNOWN, UNKNOWN);
	/* did not begin again */
	open_call(3);
	COUNTED(RX, 3, true, false, 0, 0);
	end_call(3);
	assert_int_equal(last_ended()->flags & UNKNOWN, UNKNOWN);
	/* at a reset */
	open_call(5);
	COUNTED(RX, 5, true, false, 0, 0);
	h2_word(H, HTTP2_RST_STREAM, 5, 8);
	h2_pass(H, RX, 0);
	h2_say(H, RX);
	assert_int_equal(last_ended()->flags & UNKNOWN, UNKNOWN);
	/* told before its request */
	COUNTED(TX, 7, true, true, 0, 3);
	open_call(7);
	end_call(7);
	assert_int_equal(last_ended()->flags & UNKNOWN, UNKNOWN);
	/* nothing was counted */
	open_call(9);
	end_call(9);
	assert_int_equal(last_ended()->flags & UNKNOWN, 0);
	/* the connection ends */
	open_call(11);
	COUNTED(RX, 11, true, false, 0, 0);
	h2_close(H);
	assert_int_equal(sim_n_ended, 6);
	assert_int_equal(last_ended()->flags & UNKNOWN, UNKNOWN);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(conversation),
		TEST(pieces_padding_priority),
		TEST(promises),
		TEST(resets),
		TEST(goes_away),
		TEST(table_sizes),
		TEST(met_in_mid_life),
		TEST(lost_records),
		TEST(a_gap_and_in_step_again),
		TEST(answers_told_first),
		TEST(hpack_bomb),
		TEST(endless_fields),
		TEST(socket_is_found_late),
		TEST(continuation_flood),
		TEST(rapid_reset),
		TEST(stream_numbers),
		TEST(counted),
		TEST(counts_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
