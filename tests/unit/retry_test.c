// SPDX-License-Identifier: Apache-2.0
/* Protects: what is sent again, what is not, and when: every status, every form of Retry-After. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <time.h>
#include <string.h>

#include "pbmake.h"
#include "ship/export/retry.h"

static void every_http_status(void **state)
{
	for (int status = 100; status < 600; status++) {
		struct answer a = { .received = true,
				    .http_status = status,
				    .grpc_status = GRPC_NONE };
		enum verdict want = status >= 200 && status < 300 ? VERDICT_DONE :
				    status == 429 || (status >= 502 && status <= 504) ?
								    VERDICT_RETRY :
				    status == 413 ? VERDICT_SPLIT :
						    VERDICT_REJECT;

		assert_int_equal(retry__judge(&a), want);
	}
}

static void every_grpc_status(void **state)
{
	static const int retryable[] = {
		GRPC_CANCELLED,	   GRPC_DEADLINE_EXCEEDED, GRPC_ABORTED,
		GRPC_OUT_OF_RANGE, GRPC_UNAVAILABLE,	   GRPC_DATA_LOSS
	};

	for (int info = 0; info < 2; info++) {
		for (int status = 0; status < 40; status++) {
			struct answer a = { .received = true,
					    .grpc = true,
					    .http_status = 200,
					    .grpc_status = status,
					    .retry_info = info };
			enum verdict want = status == GRPC_OK ? VERDICT_DONE : VERDICT_REJECT;

			for (size_t i = 0; i < sizeof(retryable) / sizeof(*retryable); i++)
				if (status == retryable[i])
					want = VERDICT_RETRY;
			if (status == GRPC_RESOURCE_EXHAUSTED && info)
				want = VERDICT_RETRY;
			assert_int_equal(retry__judge(&a), want);
		}
	}
}

static void grpc_behind_a_proxy(void **state)
{
	static const struct {
		int http;
		enum verdict verdict;
	} cases[] = { { 400, VERDICT_REJECT }, { 401, VERDICT_REJECT }, { 403, VERDICT_REJECT },
		      { 404, VERDICT_REJECT }, { 429, VERDICT_RETRY },	{ 502, VERDICT_RETRY },
		      { 503, VERDICT_RETRY },  { 504, VERDICT_RETRY },	{ 500, VERDICT_REJECT },
		      { 200, VERDICT_REJECT }, { 413, VERDICT_SPLIT } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct answer a = { .received = true,
				    .grpc = true,
				    .http_status = cases[i].http,
				    .grpc_status = GRPC_NONE };

		assert_int_equal(retry__judge(&a), cases[i].verdict);
	}
}

static void no_answer_is_tried_again(void **state)
{
	struct answer a = { .received = false, .http_status = 200, .grpc_status = GRPC_NONE };

	assert_int_equal(retry__judge(&a), VERDICT_RETRY);
	a.grpc = true;
	assert_int_equal(retry__judge(&a), VERDICT_RETRY);
}

static void waits_grow_and_end(void **state)
{
	uint64_t most[] = { 500, 1000, 2000, 4000, 8000, 10000, 10000 };

	for (unsigned int i = 0; i < 7; i++) {
		assert_true(retry__wait_ms(i + 1, 0, -1) == most[i] / 2);
		assert_true(retry__wait_ms(i + 1, UINT32_MAX, -1) <= most[i]);
		assert_true(retry__wait_ms(i + 1, UINT32_MAX, -1) >= most[i] - 1);
		assert_true(retry__wait_ms(i + 1, UINT32_MAX / 2, -1) > most[i] / 2);
	}
	assert_true(retry__wait_ms(UINT32_MAX, UINT32_MAX, -1) <= 10000);
	assert_true(retry__wait_ms(0, 0, -1) == 250);
	/* never less than what was asked for, never less than the backoff */
	assert_true(retry__wait_ms(1, 0, 60000) == 60000);
	assert_true(retry__wait_ms(5, 0, 1) == 4000);
	assert_true(retry__wait_ms(1, 0, 0) == 250);
}

/* 1994-11-06 08:49:37 UTC, the example of RFC 9110. */
#define EXAMPLE 784111777

static void retry_after(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} cases[] = {
		{ "0", 0 },
		{ "120", 120000 },
		{ " 3 ", 3000 },
		{ "3\r\n", 3000 },
		{ "99999999999999999999999999", 604800000 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT", 10000 },
		{ "Sunday, 06-Nov-94 08:49:37 GMT", 10000 },
		{ "Sun Nov  6 08:49:37 1994", 10000 },
		{ "Sun, 06 Nov 1994 08:49:26 GMT", 0 },
		{ "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
		{ "Tue, 29 Feb 2000 00:00:00 GMT", 604800000 },
		{ "Fri, 31 Dec 9999 23:59:59 GMT", 604800000 },
		{ "", -1 },
		{ " ", -1 },
		{ "-1", -1 },
		{ "1.5", -1 },
		{ "soon", -1 },
		{ "1 2", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 UTC", -1 },
		{ "Sun, 06 Nov 1994 08:49:37 GMT ?", -1 },
		{ "Sun, 6 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 24:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:60:37 GMT", -1 },
		{ "Sun, 00 Nov 1994 08:49:37 GMT", -1 },
		{ "Sun, 06 Nov 1994 08:49", -1 },
		{ "Sun Nov 66 08:49:37 1994", -1 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int64_t ms = retry__after_ms(view_of(cases[i].text), EXAMPLE - 10);

		if (ms != cases[i].ms)
			fail_msg("%s: %lld", cases[i].text, (long long)ms);
	}
	/* each day of 400 years, against the calendar of the day before */
	for (int64_t day = 0; day < 146097; day += 1) {
		time_t at = day * 86400;
		struct tm tm;
		char text[64];

		gmtime_r(&at, &tm);
		strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
		assert_true(retry__after_ms(view_of(text), at - 5) == 5000);
	}
}

static struct view base64(const struct buf *in, char *out)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t n = 0;

	for (size_t i = 0; i < in->len; i += 3) {
		uint32_t v = (uint32_t)in->at[i] << 16 |
			     (i + 1 < in->len ? (uint32_t)in->at[i + 1] << 8 : 0) |
			     (i + 2 < in->len ? in->at[i + 2] : 0);

		out[n++] = set[v >> 18];
		out[n++] = set[v >> 12 & 63];
		if (i + 1 < in->len)
			out[n++] = set[v >> 6 & 63];
		if (i + 2 < in->len)
			out[n++] = set[v & 63];
	}
	return (struct view){ out, n };
}

static bool details(const char *type, int64_t seconds, int64_t nanos, bool delay, int64_t *wait)
{
	struct buf status = { 0 }, any = { 0 }, info = { 0 }, duration = { 0 }, other = { 0 };
	char text[1024];
	bool found;

	if (seconds)
		pb_number(&duration, 1, (uint64_t)seconds);
	if (nanos)
		pb_number(&duration, 2, (uint64_t)nanos);
	if (delay)
		pb_message(&info, 1, &duration);
	pb_text(&other, 1, "type.googleapis.com/google.rpc.DebugInfo");
	pb_text(&any, 1, type);
	pb_message(&any, 2, &info);
	pb_number(&status, 1, 8);
	pb_text(&status, 2, "slow down");
	pb_message(&status, 3, &other);
	pb_message(&status, 3, &any);
	*wait = -2;
	found = retry__grpc_details(base64(&status, text), wait);
	buf__free(&status);
	buf__free(&duration);
	return found;
}

static void grpc_details(void **state)
{
	int64_t wait;

	assert_true(details("type.googleapis.com/google.rpc.RetryInfo", 2, 500000000, true, &wait));
	assert_int_equal(wait, 2500);
	assert_true(details("type.googleapis.com/google.rpc.RetryInfo", 0, 1, true, &wait));
	assert_int_equal(wait, 1);
	assert_true(details("type.googleapis.com/google.rpc.RetryInfo", 0, 0, true, &wait));
	assert_int_equal(wait, -1);
	assert_true(details("type.googleapis.com/google.rpc.RetryInfo", 0, 0, false, &wait));
	assert_int_equal(wait, -1);
	assert_true(details("type.googleapis.com/google.rpc.RetryInfo", -5, 0, true, &wait));
	assert_int_equal(wait, -1);
	assert_false(details("type.googleapis.com/google.rpc.QuotaFailure", 2, 0, true, &wait));
	assert_false(retry__grpc_details(VIEW(""), &wait));
	assert_false(retry__grpc_details(VIEW("!!!"), &wait));
	assert_false(retry__grpc_details(VIEW("AAAAAAAAAAAA"), &wait));
}

static void answers_in_protobuf(void **state)
{
	struct answer a = { .received = true };
	struct buf b = { 0 }, partial = { 0 };

	retry__read_protobuf(&a, VIEW(""));
	assert_int_equal(a.rejected_spans, 0);
	pb_number(&partial, 1, 5);
	pb_text(&partial, 2, "too old");
	pb_message(&b, 1, &partial);
	retry__read_protobuf(&a, buf_view(&b));
	assert_int_equal(a.rejected_spans, 5);
	assert_string_equal(a.message, "too old");
	a = (struct answer){ 0 };
	buf__clear(&b);
	pb_number(&partial, 1, (uint64_t)-5);
	pb_message(&b, 1, &partial);
	retry__read_protobuf(&a, buf_view(&b));
	assert_int_equal(a.rejected_spans, 0);
	retry__read_protobuf(&a, VIEW("\x0a\x7f"));
	assert_int_equal(a.rejected_spans, 0);
	buf__clear(&b);
	pb_number(&b, 1, 3);
	pb_text(&b, 2, "no such tenant");
	retry__read_status(&a, buf_view(&b), false);
	assert_string_equal(a.message, "no such tenant");
	buf__free(&b);
}

static void assert_json(const char *body, uint64_t rejected, const char *message)
{
	struct answer a = { .received = true };

	retry__read_json(&a, view_of(body));
	assert_int_equal(a.rejected_spans, rejected);
	assert_string_equal(a.message, message);
}

static void answers_in_json(void **state)
{
	struct answer a = { 0 };

	assert_json("{}", 0, "");
	assert_json("{\"partialSuccess\":{\"rejectedSpans\":\"7\",\"errorMessage\":\"why\"}}", 7,
		    "why");
	assert_json("{\"partialSuccess\":{\"rejectedSpans\":7}}", 7, "");
	assert_json("{\"partialSuccess\":{\"rejectedSpans\":-7}}", 0, "");
	assert_json("{\"partialSuccess\":{\"rejectedSpans\":\"-7\"}}", 0, "");
	assert_json("{\"partialSuccess\":{\"rejectedSpans\":[7]}}", 0, "");
	assert_json("{\"partialSuccess\":[]}", 0, "");
	assert_json("[]", 0, "");
	assert_json("<html>", 0, "");
	assert_json("", 0, "");
	retry__read_status(&a, VIEW("{\"code\":3,\"message\":\"no\"}"), true);
	assert_string_equal(a.message, "no");
	retry__read_status(&a, VIEW("{\"message\":3}"), true);
	assert_string_equal(a.message, "no");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_http_status),   cmocka_unit_test(every_grpc_status),
		cmocka_unit_test(grpc_behind_a_proxy), cmocka_unit_test(no_answer_is_tried_again),
		cmocka_unit_test(waits_grow_and_end),  cmocka_unit_test(retry_after),
		cmocka_unit_test(grpc_details),	       cmocka_unit_test(answers_in_protobuf),
		cmocka_unit_test(answers_in_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
