// SPDX-License-Identifier: Apache-2.0
/* HTTP/1 by itself: heads, chunks, targets, and spans by the semantic conventions. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "core/exchange_pool.h"
#include "core/proto/http1.h"
#include "core/tracer.h"

/* Tables leave out what is zero. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static struct exchange_pool *pool;

static int setup(void **state)
{
	pool = exchange_pool__new(4);
	return pool ? 0 : -1;
}

static int teardown(void **state)
{
	exchange_pool__free(pool);
	return 0;
}

/* The same bytes at the end of a page, with nothing readable after them. */
static char *guarded(const char *text, size_t len)
{
	static char *area;
	const size_t size = 32 * 4096;

	if (!area) {
		area = mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		assert_true(area != MAP_FAILED);
		assert_int_equal(mprotect(area + size, 4096, PROT_NONE), 0);
	}
	if (len)
		memcpy(area + size - len, text, len);
	return area + size - len;
}

static struct exchange *request(const char *text, struct http1_head *head)
{
	struct exchange *ex = exchange_pool__get(pool);

	assert_non_null(ex);
	ex->side = SIDE_SERVER;
	buf__add_str(&ex->text, text);
	assert_int_equal(http1__parse_request_head(ex, head), 0);
	return ex;
}

/* ---- start lines ---- */

static void request_lines(void **state)
{
	static const struct {
		const char *text, *method, *target;
		uint8_t minor;
		bool ambiguous;
	} good[] = {
		{ "GET / HTTP/1.1\r\n\r\n", "GET", "/", 1 },
		{ "M-SEARCH * HTTP/1.0\n\n", "M-SEARCH", "*", 0 },
		{ "get   /x   HTTP/1.9\r\n\r\n", "get", "/x", 9 },
		{ "GET /a b HTTP/1.1\r\n\r\n", "GET", "/a b", 1, true },
	};
	static const char *const bad[] = {
		"",
		"\r\n",
		"GET\r\n\r\n",
		"GET /\r\n\r\n",
		"GET / HTTP/2.0\r\n\r\n",
		"GET / HTTP/1.\r\n\r\n",
		"GET / HTTP/1.10\r\n\r\n",
		"GET  HTTP/1.1\r\n\r\n",
		" / HTTP/1.1\r\n\r\n",
		"G(T / HTTP/1.1\r\n\r\n",
		"GET / HTTP/1.1",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGH / HTTP/1.1\r\n\r\n",
		"GET / http/1.1\r\n\r\n",
	};
	struct http1_head head;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct exchange *ex = request(good[i].text, &head);

		assert_true(view_eq(ex->method, view_of(good[i].method)));
		assert_true(view_eq(ex->target, view_of(good[i].target)));
		assert_int_equal(head.minor, good[i].minor);
		assert_int_equal(head.ambiguous, good[i].ambiguous);
		exchange__free(ex);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct exchange *ex = exchange_pool__get(pool);

		buf__add_str(&ex->text, bad[i]);
		if (http1__parse_request_head(ex, &head) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
		exchange__free(ex);
	}
}

static void status_lines(void **state)
{
	static const char *const bad[] = {
		"HTTP/1.1 20\r\n\r\n",	   "HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 x00 OK\r\n\r\n", "HTTP/1.1 099 No\r\n\r\n",
		"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n",
		"HTTP/1.1 20x OK\r\n\r\n", "",
	};
	struct http1_head head;
	struct exchange *ex = exchange_pool__get(pool);

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf__clear(&ex->response_text);
		buf__add_str(&ex->response_text, bad[i]);
		if (http1__parse_response_head(ex, &head) != -EPROTO)
			fail_msg("accepted: %s", bad[i]);
	}
	buf__clear(&ex->response_text);
	buf__add_str(&ex->response_text, "HTTP/1.0 404\r\nA: b\r\n\r\n");
	assert_int_equal(http1__parse_response_head(ex, &head), 0);
	assert_int_equal(head.status, 404);
	assert_int_equal(head.minor, 0);
	assert_int_equal(ex->response_fields.n, 1);
	exchange__free(ex);
}

static void detection(void **state)
{
	static const struct {
		const char *text;
		int kind;
		bool sure;
	} cases[] = {
		{ "", 0, true },
		{ "G", 1, true },
		{ "GET", 1, true },
		{ "GET ", 1, true },
		{ "GET /", 1, true },
		{ "OPTIONS *", 1, true },
		{ "GET http://a", 1, true },
		{ "FOO bar", 0, true },
		{ "CONNECT h:1", 1, true },
		{ "CONNECT {\"v", 0, true },
		{ "H", 2, false },
		{ "HT", 2, true },
		{ "HTTP/1.1 2", 2, true },
		{ "HEAD /", 1, true },
		{ "HTTP/2", 0, true },
		{ "PRI * HTTP/2.0", 0, true },
		{ "PRI * HT", 0, true },
		{ "\r\nGET /", 1, true },
		{ "\x16\x03\x01", 0, true },
		{ " GET /", 0, true },
		{ "{\"a\":1}", 0, true },
		{ "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ", 0, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);
		bool sure = false;
		int kind = http1__detect((struct view){ guarded(cases[i].text, len), len }, &sure);

		if (kind != cases[i].kind || sure != cases[i].sure)
			fail_msg("'%s': %d %d", cases[i].text, kind, sure);
	}
}

static void start_lines(void **state)
{
	assert_true(http1__has_start_line(VIEW("GET / HTTP/1.1\r\nA")));
	assert_true(http1__has_start_line(VIEW("\r\nHTTP/1.1 200 OK\r\n")));
	assert_false(http1__has_start_line(VIEW("GET / HTTP/1.1")));
	assert_false(http1__has_start_line(VIEW("PUT /me\r\n")));
	assert_false(http1__has_start_line(VIEW("")));
}

/* ---- where a head ends ---- */

static void head_ends(void **state)
{
	static const struct {
		const char *text;
		size_t end;
	} cases[] = {
		{ "a\r\n\r\nb", 5 },  { "a\n\nb", 3 },	   { "a\n\r\nb", 4 },	 { "a\r\n\nb", 4 },
		{ "a\r\r\n\r\n", 6 }, { "a\n\rb\n\n", 6 }, { "a\r\n\r\r\n", 0 }, { "abc", 0 },
		{ "\n\n", 2 },	      { "a\r\n", 0 },	   { "a\r\n\r", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t cut = 0; cut <= len; cut++) {
			uint8_t carry = 0;
			size_t at = http1__find_head_end((struct view){ guarded(cases[i].text, cut),
									cut },
							 &carry);

			if (!at && cut < len) {
				at = http1__find_head_end((struct view){ guarded(cases[i].text +
											 cut,
										 len - cut),
									 len - cut },
							  &carry);
				at += at ? cut : 0;
			}
			if (at != cases[i].end)
				fail_msg("case %zu cut at %zu: %zu", i, cut, at);
		}
	}
}

/* ---- fields ---- */

static void fields(void **state)
{
	struct http1_head head;
	struct exchange *ex =
		request("GET / HTTP/1.1\r\nA: 1\r\nb:2 \r\nC:\r\nD:\t x \t y\t\r\nA: 3\r\n"
			"F: 1\r\n 2\r\n\t3\r\nlast: x\r\n\r\n",
			&head);

	assert_int_equal(ex->fields.n, 7);
	assert_false(head.ambiguous);
	assert_true(view_eq(http1__header(ex, VIEW("a"), 0), VIEW("1")));
	assert_true(view_eq(http1__header(ex, VIEW("a"), 1), VIEW("3")));
	assert_int_equal(http1__header(ex, VIEW("a"), 2).len, 0);
	assert_true(view_eq(http1__header(ex, VIEW("B"), 0), VIEW("2")));
	assert_int_equal(http1__header(ex, VIEW("c"), 0).len, 0);
	assert_true(view_eq(http1__header(ex, VIEW("d"), 0), VIEW("x \t y")));
	assert_true(view_eq(http1__header(ex, VIEW("f"), 0), VIEW("1   2   3")));
	assert_true(view_eq(http1__header(ex, VIEW("last"), 0), VIEW("x")));
	exchange__free(ex);
}

/* No number of other fields hides those that matter, nor do they hide each other. */
static void many_fields(void **state)
{
	static char text[SONDE_HEAD_MAX_BYTES];
	size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
	struct http1_head head;
	struct exchange *ex;

	for (int i = 0; i < 150; i++)
		n += (size_t)sprintf(text + n, "X%d: y\r\n", i);
	for (int i = 0; i < 150; i++)
		n += (size_t)sprintf(text + n, "Host: h%d\r\nb3: %d\r\nX-B3-Flags: 0\r\n", i, i);
	for (int i = 0; i < 40; i++)
		n += (size_t)sprintf(text + n, "tracestate: a%d=b\r\n", i);
	n += (size_t)sprintf(text + n, "TraceParent: tp\r\nContent-Length: 5\r\n\r\n");
	ex = request(text, &head);
	assert_true(view_eq(http1__header(ex, VIEW("traceparent"), 0), VIEW("tp")));
	assert_true(view_eq(http1__header(ex, VIEW("host"), 0), VIEW("h0")));
	assert_true(view_eq(http1__header(ex, VIEW("tracestate"), 31), VIEW("a31=b")));
	assert_int_equal(head.length, 5);
	assert_true(ex->fields.n <= EXCHANGE_FIELDS_MAX);
	exchange__free(ex);
	/* its memory is not kept for ever */
	ex = exchange_pool__get(pool);
	assert_int_equal(ex->fields.cap, 0);
	assert_int_equal(ex->text.cap, 0);
	exchange__free(ex);
}

/* ---- framing ---- */

static void request_framing(void **state)
{
	static const struct {
		const char *fields;
		enum http1_framing framing;
		uint64_t length;
	} cases[] = {
		{ "", FRAMING_NONE },
		{ "Content-Length: 0\r\n", FRAMING_NONE },
		{ "Content-Length: 12\r\n", FRAMING_LENGTH, 12 },
		{ "Content-Length: 1152921504606846976\r\n", FRAMING_LENGTH, 1ull << 60 },
		{ "Content-Length: 1152921504606846977\r\n", FRAMING_UNKNOWN },
		{ "Content-Length: 5,\r\n", FRAMING_UNKNOWN },
		{ "Content-Length: 5 5\r\n", FRAMING_UNKNOWN },
		{ "Content-Length: -5\r\n", FRAMING_UNKNOWN },
		{ "Content-Length: 0x5\r\n", FRAMING_UNKNOWN },
		{ "Content-Length: 5 , 5\r\n", FRAMING_LENGTH, 5 },
		{ "Transfer-Encoding: CHUNKED\r\n", FRAMING_CHUNKED },
		{ "Transfer-Encoding: gzip,, chunked ,\r\n", FRAMING_CHUNKED },
		{ "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", FRAMING_CHUNKED },
		{ "Transfer-Encoding: chunked;q=1\r\n", FRAMING_UNKNOWN },
		{ "Transfer-Encoding: xchunked\r\n", FRAMING_UNKNOWN },
		{ "Transfer-Encoding:\r\n", FRAMING_UNKNOWN },
		{ "Transfer-Encoding\t: chunked\r\n", FRAMING_UNKNOWN },
		{ ": x\r\n", FRAMING_UNKNOWN },
		{ ": x\r\nContent-Type: of another kind\r\n", FRAMING_UNKNOWN },
		{ "Content-Length : 5\r\nContent-Type: of another kind\r\n", FRAMING_UNKNOWN },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[256];
		struct http1_head head;
		struct exchange *ex;

		snprintf(text, sizeof(text), "POST / HTTP/1.1\r\n%s\r\n", cases[i].fields);
		ex = request(text, &head);
		if (http1__request_framing(&head) != cases[i].framing ||
		    (cases[i].length && head.length != cases[i].length))
			fail_msg("%s: %d %lu", cases[i].fields, http1__request_framing(&head),
				 head.length);
		exchange__free(ex);
	}
}

static void response_framing(void **state)
{
	static const struct {
		const char *method, *head;
		enum http1_framing framing;
	} cases[] = {
		{ "GET", "HTTP/1.1 200 OK\r\n", FRAMING_CLOSE },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", FRAMING_LENGTH },
		{ "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", FRAMING_NONE },
		{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", FRAMING_CHUNKED },
		{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n", FRAMING_CLOSE },
		{ "GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", FRAMING_UNKNOWN },
		{ "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n",
		  FRAMING_UNKNOWN },
		{ "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", FRAMING_NONE },
		{ "head", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", FRAMING_LENGTH },
		{ "CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", FRAMING_NONE },
		{ "CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 3\r\n", FRAMING_LENGTH },
		{ "GET", "HTTP/1.1 204 No\r\nContent-Length: 3\r\n", FRAMING_NONE },
		{ "GET", "HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n", FRAMING_NONE },
		{ "GET", "HTTP/1.1 103 No\r\n", FRAMING_NONE },
		{ "GET", "HTTP/1.1 205 No\r\n", FRAMING_CLOSE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct exchange *ex = exchange_pool__get(pool);
		struct http1_head head;

		buf__printf(&ex->response_text, "%s\r\n", cases[i].head);
		assert_int_equal(http1__parse_response_head(ex, &head), 0);
		if (http1__response_framing(&head, view_of(cases[i].method)) != cases[i].framing)
			fail_msg("%s %s", cases[i].method, cases[i].head);
		exchange__free(ex);
	}
}

static void chunks(void **state)
{
	static const struct {
		const char *text, *body; /* body NULL: bad */
		size_t rest;
	} cases[] = {
		{ "0\r\n\r\n", "" },
		{ "5\r\nhello\r\n0\r\n\r\n", "hello" },
		{ "5\nhello\n0\n\n", "hello" },
		{ "05;a=b;c=\"d\"\r\nhello\r\n000\r\nA: b\r\nC: d\r\n\r\nGET", "hello", 3 },
		{ "1 \r\na\r\nA\r\n0123456789\r\n0\r\n\r\n", "a0123456789" },
		{ "f\r\n0123456789abcde\r\n0\r\n\rx\r\n\r\n", "0123456789abcde" },
		{ "\r\n", NULL },
		{ "x\r\n", NULL },
		{ ";a\r\n", NULL },
		{ "5\rhello", NULL },
		{ "5\r\nhello!", NULL },
		{ "5\r\nhello\r!", NULL },
		{ "1234567890123456\r\n", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);

		for (size_t step = 1; step <= len; step++) {
			struct http1_chunk chunk = { 0 };
			struct buf body = { 0 };
			size_t at = 0;

			while (at < len && chunk.state != CHUNK_DONE && chunk.state != CHUNK_BAD) {
				size_t n = len - at < step ? len - at : step;

				at += http1__chunk(&chunk,
						   (struct view){ guarded(cases[i].text + at, n),
								  n },
						   &body);
			}
			if (!cases[i].body) {
				assert_int_equal(chunk.state, CHUNK_BAD);
			} else {
				assert_int_equal(chunk.state, CHUNK_DONE);
				assert_int_equal(chunk.total, strlen(cases[i].body));
				assert_int_equal(body.len, chunk.total);
				assert_memory_equal(body.len ? (char *)body.at : "", cases[i].body,
						    body.len);
				assert_int_equal(len - at, cases[i].rest);
			}
			buf__free(&body);
		}
	}
}

/* ---- targets ---- */

static void check_view(const char *what, struct view got, const char *want)
{
	if (!view_eq(got, view_of(want ?: "")))
		fail_msg("%s: '%.*s', not '%s'", what, (int)got.len, got.at, want ?: "");
}

static void targets(void **state)
{
	static const struct {
		const char *method, *target, *scheme, *userinfo, *host, *port, *path, *query;
	} cases[] = {
		{ "GET", "/", .path = "/" },
		{ "GET", "/a/b?c=d&e", .path = "/a/b", .query = "c=d&e" },
		{ "GET", "/a?b?c#d", .path = "/a", .query = "b?c" },
		{ "GET", "/a#b?c", .path = "/a" },
		{ "GET", "/r?u=http://x/y", .path = "/r", .query = "u=http://x/y" },
		{ "OPTIONS", "*", .path = "*" },
		{ "GET", "http://h/p", "http", NULL, "h", NULL, "/p" },
		{ "GET", "https://u:p@h:8443/p?q", "https", "u:p", "h", "8443", "/p", "q" },
		{ "GET", "http://h", "http", NULL, "h" },
		{ "GET", "http://h?q", "http", NULL, "h", NULL, NULL, "q" },
		{ "GET", "http://[::1]:80/p", "http", NULL, "::1", "80", "/p" },
		{ "GET", "http://a@b@c/p", "http", "a@b", "c", NULL, "/p" },
		{ "GET", "http://", "http" },
		{ "CONNECT", "h:443", .host = "h", .port = "443" },
		{ "CONNECT", "[fe80::1]:443", .host = "fe80::1", .port = "443" },
		{ "CONNECT", "h", .host = "h" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].target);
		struct http1_url url;

		http1__split_target(view_of(cases[i].method),
				    (struct view){ guarded(cases[i].target, len), len }, &url);
		check_view(cases[i].target, url.scheme, cases[i].scheme);
		check_view(cases[i].target, url.userinfo, cases[i].userinfo);
		check_view(cases[i].target, url.host, cases[i].host);
		check_view(cases[i].target, url.port, cases[i].port);
		check_view(cases[i].target, url.path, cases[i].path);
		check_view(cases[i].target, url.query, cases[i].query);
	}
}

static void hosts(void **state)
{
	static const struct {
		const char *value, *host, *port;
	} cases[] = {
		{ "h", "h" },	     { "h:80", "h", "80" },
		{ "", "" },	     { "h:", "h", "" },
		{ "h:x", "h" },	     { "h:123456", "h" },
		{ "[::1]", "::1" },  { "[::1]:9", "::1", "9" },
		{ "::1", "::1" },    { "[::1", "[::1" },
		{ "[::1]x", "::1" }, { "1.2.3.4:5", "1.2.3.4", "5" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].value);
		struct view host, port;

		http1__split_host((struct view){ guarded(cases[i].value, len), len }, &host, &port);
		check_view(cases[i].value, host, cases[i].host);
		check_view(cases[i].value, port, cases[i].port);
	}
}

static void forwarded(void **state)
{
	static const struct {
		const char *value, *parameter, *want;
	} cases[] = {
		{ "for=1.2.3.4;proto=https;host=h", "host", "h" },
		{ "For=\"[2001:db8::1]:4711\"", "for", "[2001:db8::1]:4711" },
		{ "for=a, for=b;proto=http", "proto", "" },
		{ "proto=https , for=b", "proto", "https" },
		{ " for = a;host=\"x;y\"; proto=http", "proto", "http" },
		{ "by=\"a\\\"b,c\";for=d", "for", "d" },
		{ "for", "for", "" },
		{ "", "for", "" },
		{ "for=\"", "for", "\"" },
		{ "by=\"\\", "for", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].value);

		check_view(cases[i].value,
			   http1__forwarded((struct view){ guarded(cases[i].value, len), len },
					    view_of(cases[i].parameter)),
			   cases[i].want);
	}
}

/* ---- spans ---- */

static const struct attribute *find(const struct span *span, const char *name)
{
	for (unsigned int i = 0; i < span->n_attributes; i++) {
		const struct attribute *a = &span->attributes[i];
		struct view key = a->key == ATTR_CUSTOM ? a->name : view_of(attribute_name[a->key]);

		if (view_eq(key, view_of(name)))
			return a;
	}
	return NULL;
}

static struct span span;

/* The span of a request and its response; want: "key=value" each, "!key" must be missing. */
static void check_span(enum exchange_side side, const char *head, const char *response,
		       const struct describe_options *options, const char *const *want)
{
	struct exchange *ex = exchange_pool__get(pool);
	struct http1_head parsed;

	ex->side = side;
	ex->endpoints.family = SONDE_AF_INET;
	memcpy(ex->endpoints.remote, "\x0a\x00\x00\x07", 4);
	buf__add_str(&ex->text, head);
	assert_int_equal(http1__parse_request_head(ex, &parsed), 0);
	if (response) {
		buf__add_str(&ex->response_text, response);
		assert_int_equal(http1__parse_response_head(ex, &parsed), 0);
		ex->status = parsed.status;
		ex->flags |= EX_RESPONSE;
	}
	memset(&span, 0, sizeof(span));
	http1__describe(ex, options, &span);
	assert_int_equal(span.kind, side);
	for (; *want; want++) {
		const char *equals = strchr(*want, '=');
		char key[128] = "", value[256];
		const struct attribute *a;

		if (**want == '!') {
			if (find(&span, *want + 1))
				fail_msg("%s: has %s", head, *want + 1);
			continue;
		}
		if (**want == '#') { /* name and status of the span */
			snprintf(value, sizeof(value), "%.*s %u", (int)span.name.len, span.name.at,
				 span.status);
			if (strcmp(value, *want + 1))
				fail_msg("%s: is '%s'", head, value);
			continue;
		}
		memcpy(key, *want, (size_t)(equals - *want));
		a = find(&span, key);
		if (!a)
			fail_msg("%s: has no %s", head, key);
		if (a->type == VALUE_INT)
			snprintf(value, sizeof(value), "%ld", a->number);
		else
			snprintf(value, sizeof(value), "%.*s", (int)a->text.len, a->text.at);
		if (strcmp(value, equals + 1))
			fail_msg("%s: %s is '%s', not '%s'", head, key, value, equals + 1);
	}
	exchange__free(ex);
}

#define WANT(...)                                                                                  \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static const struct describe_options plain = { .known_methods = "" };
static const struct describe_options values = { .query_values = true };
static const struct describe_options with_headers = { .headers = true };

static void server_spans(void **state)
{
	check_span(SIDE_SERVER,
		   "GET /p?a=1&b=two&c HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: "
		   "curl/8\r\n\r\n",
		   "HTTP/1.1 200 OK\r\n\r\n", &plain,
		   WANT("#GET 0", "http.request.method=GET", "url.path=/p",
			"url.query=a=REDACTED&b=REDACTED&c", "url.scheme=http",
			"server.address=shop.example", "server.port=8080",
			"client.address=10.0.0.7", "user_agent.original=curl/8",
			"http.response.status_code=200", "network.protocol.version=1.1",
			"!error.type", "!url.full", "!http.request.method_original",
			"!network.protocol.name", "!http.request.body.size"));
	check_span(SIDE_SERVER, "GET /p HTTP/1.0\r\n\r\n", "HTTP/1.0 404 No\r\n\r\n", &plain,
		   WANT("#GET 0", "http.response.status_code=404", "!error.type", "!server.address",
			"!server.port", "!url.query", "network.protocol.version=1.0",
			"!user_agent.original"));
	check_span(SIDE_SERVER, "GET /p HTTP/1.1\r\n\r\n", "HTTP/1.1 503 No\r\n\r\n", &plain,
		   WANT("#GET 2", "error.type=503"));
	check_span(SIDE_SERVER, "FOO /p HTTP/1.1\r\n\r\n", NULL, &plain,
		   WANT("#HTTP 0", "http.request.method=_OTHER", "http.request.method_original=FOO",
			"!http.response.status_code"));
	check_span(SIDE_SERVER, "QUERY /p HTTP/1.1\r\n\r\n", NULL, &plain,
		   WANT("#QUERY 0", "http.request.method=QUERY"));
	check_span(SIDE_SERVER, "get /p HTTP/1.1\r\n\r\n", NULL, &plain,
		   WANT("#HTTP 0", "http.request.method_original=get"));
	check_span(SIDE_SERVER, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", NULL, &plain,
		   WANT("url.path=*"));
	check_span(SIDE_SERVER, "GET /p? HTTP/1.1\r\nHost: h\r\n\r\n", NULL, &plain,
		   WANT("url.path=/p", "!url.query"));
}

static void known_methods(void **state)
{
	const struct describe_options options = { .known_methods = "GET, FOO ,BAR" };

	check_span(SIDE_SERVER, "FOO /p HTTP/1.1\r\n\r\n", NULL, &options, WANT("#FOO 0"));
	check_span(SIDE_SERVER, "POST /p HTTP/1.1\r\n\r\n", NULL, &options, WANT("#HTTP 0"));
}

static void behind_proxies(void **state)
{
	check_span(SIDE_SERVER,
		   "GET /p HTTP/1.1\r\nHost: inner:81\r\nForwarded: "
		   "for=\"[2001:db8::7]:99\";proto=https;host=outer.example\r\n"
		   "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Host: other\r\nX-Forwarded-Proto: "
		   "http\r\n\r\n",
		   NULL, &plain,
		   WANT("url.scheme=https", "server.address=outer.example", "server.port=443",
			"client.address=2001:db8::7"));
	check_span(SIDE_SERVER,
		   "GET /p HTTP/1.1\r\nHost: inner:81\r\nX-Forwarded-For: 9.9.9.9, 8.8.8.8\r\n"
		   "X-Forwarded-Host: outer:444 , b\r\nX-Forwarded-Proto: https\r\n\r\n",
		   NULL, &plain,
		   WANT("url.scheme=https", "server.address=outer", "server.port=444",
			"client.address=9.9.9.9"));
	check_span(SIDE_SERVER, "GET http://abs:82/p HTTP/1.1\r\nHost: inner\r\n\r\n", NULL, &plain,
		   WANT("server.address=abs", "server.port=82", "url.path=/p", "url.scheme=http"));
	check_span(SIDE_SERVER, "GET http://abs HTTP/1.1\r\nHost: inner\r\n\r\n", NULL, &plain,
		   WANT("url.path=/"));
	/* a client's headers are its own: they say nothing of where it called */
	check_span(SIDE_CLIENT,
		   "GET /p HTTP/1.1\r\nHost: inner:81\r\nX-Forwarded-Host: outer\r\nForwarded: "
		   "host=x\r\n\r\n",
		   NULL, &plain, WANT("server.address=inner", "url.full=http://inner:81/p"));
}

static void client_spans(void **state)
{
	check_span(SIDE_CLIENT, "GET /p?a=1 HTTP/1.1\r\nHost: h:8080\r\nUser-Agent: curl\r\n\r\n",
		   "HTTP/1.1 404 No\r\n\r\n", &plain,
		   WANT("#GET 2", "error.type=404", "server.address=h", "server.port=8080",
			"url.full=http://h:8080/p?a=REDACTED", "!url.path", "!url.query",
			"!url.scheme", "!client.address", "!user_agent.original"));
	check_span(SIDE_CLIENT,
		   "GET /p?a=1&Signature=s&sig=&X-Amz-Signature=q HTTP/1.1\r\nHost: h\r\n\r\n",
		   NULL, &values,
		   WANT("url.full=http://h/p?a=1&Signature=REDACTED&sig=&X-Amz-Signature=REDACTED",
			"server.port=80"));
	check_span(SIDE_CLIENT, "GET https://u:p@far/x HTTP/1.1\r\nHost: proxy\r\n\r\n", NULL,
		   &plain,
		   WANT("url.full=https://REDACTED:REDACTED@far/x", "server.address=far",
			"server.port=443"));
	check_span(SIDE_CLIENT, "GET http://u@far HTTP/1.1\r\n\r\n", NULL, &plain,
		   WANT("url.full=http://REDACTED@far/"));
	check_span(SIDE_CLIENT, "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n", NULL, &plain,
		   WANT("url.full=http://[::1]:81/", "server.address=::1"));
	check_span(SIDE_CLIENT, "GET / HTTP/1.0\r\n\r\n", NULL, &plain,
		   WANT("!url.full", "!server.address"));
	check_span(SIDE_CLIENT, "CONNECT far:443 HTTP/1.1\r\nHost: far:443\r\n\r\n",
		   "HTTP/1.1 200 OK\r\n\r\n", &plain,
		   WANT("#CONNECT 0", "server.address=far", "server.port=443", "!url.full"));
}

static void errors(void **state)
{
	struct exchange *ex;
	struct http1_head head;

	ex = request("GET / HTTP/1.1\r\n\r\n", &head);
	ex->error_type = "connection_reset";
	ex->status = 200;
	memset(&span, 0, sizeof(span));
	http1__describe(ex, &plain, &span);
	assert_int_equal(span.status, 2);
	assert_true(view_eq(find(&span, "error.type")->text, VIEW("connection_reset")));
	ex->error_type = "tracing_ended";
	memset(&span, 0, sizeof(span));
	http1__describe(ex, &plain, &span);
	assert_int_equal(span.status, 0);
	/* an address family that has no text */
	ex->endpoints.family = SONDE_AF_UNIX;
	memset(&span, 0, sizeof(span));
	http1__describe(ex, &plain, &span);
	assert_null(find(&span, "client.address"));
	exchange__free(ex);
}

static void header_attributes(void **state)
{
	char head[6000];
	size_t n;

	check_span(SIDE_SERVER,
		   "GET / HTTP/1.1\r\nX-A: 1\r\nx-a: 2\r\nAuthorization: Basic abc\r\nCookie: "
		   "a=b\r\nx-A: 3\r\n\r\n",
		   "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX-R: r\r\n\r\n",
		   &with_headers,
		   WANT("http.request.header.x-a=1, 2, 3",
			"http.request.header.authorization=REDACTED",
			"http.request.header.cookie=REDACTED",
			"http.response.header.set-cookie=REDACTED", "http.response.header.x-r=r",
			"http.request.body.size=0", "http.response.body.size=0"));
	/* more than there is room for: left out, and counted */
	n = (size_t)sprintf(head, "GET / HTTP/1.1\r\n");
	for (int i = 0; i < 40; i++)
		n += (size_t)sprintf(head + n, "X-Long-Field-Name-%d: %0120d\r\n", i, i);
	sprintf(head + n, "\r\n");
	check_span(SIDE_SERVER, head, NULL, &with_headers, WANT("http.request.method=GET"));
	assert_true(n < sizeof(head));
}

/* Where scratch is used up, attributes are left out and nothing else happens. */
static void no_scratch(void **state)
{
	struct http1_head head;
	struct exchange *ex = request("GET /p?a=b HTTP/1.1\r\nHost: h\r\n\r\n", &head);

	for (int client = 0; client < 2; client++) {
		ex->side = client ? SIDE_CLIENT : SIDE_SERVER;
		ex->status = 500;
		ex->endpoints.family = SONDE_AF_INET;
		memset(&span, 0, sizeof(span));
		span.scratch_used = sizeof(span.scratch);
		http1__describe(ex, &plain, &span);
		assert_null(find(&span, "url.query"));
		assert_null(find(&span, "url.full"));
		assert_non_null(find(&span, "http.request.method"));
	}
	exchange__free(ex);
}

static void export_paths(void **state)
{
	assert_true(http1__is_export(VIEW("POST"), VIEW("/v1/traces")));
	assert_true(http1__is_export(VIEW("POST"), VIEW("http://c:4318/v1/traces?x=y")));
	assert_true(http1__is_export(VIEW("POST"), VIEW("/otlp/v1/traces")));
	assert_true(http1__is_export(VIEW("POST"), VIEW("/api/v2/spans")));
	assert_true(http1__is_export(VIEW("PUT"), VIEW("/v0.4/traces")));
	assert_false(http1__is_export(VIEW("GET"), VIEW("/v1/traces")));
	assert_false(http1__is_export(VIEW("POST"), VIEW("/v1/traces/1")));
	assert_false(http1__is_export(VIEW("POST"), VIEW("/v1/metrics")));
	assert_false(http1__is_export(VIEW("POST"), VIEW("/")));
}

static void pool_bound(void **state)
{
	struct exchange *ex[4];
	struct header_fields fields = { 0 };

	for (int i = 0; i < 4; i++)
		assert_non_null(ex[i] = exchange_pool__get(pool));
	assert_null(exchange_pool__get(pool));
	assert_int_equal(exchange_pool__used(pool), 4);
	exchange__free(NULL);
	exchange__free(ex[1]);
	assert_ptr_equal(exchange_pool__get(pool), ex[1]);
	for (int i = 0; i < EXCHANGE_FIELDS_MAX; i++)
		assert_int_equal(header_fields__add(&fields,
						    (struct header_field){ VIEW("a"), VIEW("b") }),
				 0);
	assert_int_equal(header_fields__add(&fields, (struct header_field){ VIEW("a"), VIEW("b") }),
			 -ENOSPC);
	free(fields.at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(request_lines),    T(status_lines), T(detection),	    T(start_lines),
		T(head_ends),	     T(fields),	      T(many_fields),	    T(request_framing),
		T(response_framing), T(chunks),	      T(targets),	    T(hosts),
		T(forwarded),	     T(server_spans), T(known_methods),	    T(behind_proxies),
		T(client_spans),     T(errors),	      T(header_attributes), T(no_scratch),
		T(export_paths),     T(pool_bound),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
