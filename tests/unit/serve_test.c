// SPDX-License-Identifier: Apache-2.0
/* What the role that serves makes of a stranger's bytes: targets, hosts, parameters, other systems' queries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "pbmake.h"
#include "serve/body.h"
#include "serve/config.h"
#include "serve/filter.h"
#include "serve/listen.h"
#include "serve/target.h"
#include "serve/traceql.h"
#include "serve/value.h"

static void assert_view(struct view v, const char *text)
{
	assert_int_equal(v.len, strlen(text));
	assert_memory_equal(v.at, text, v.len);
	assert_int_equal(v.at[v.len], 0);
}

static int parse(const char *text, struct target *ret)
{
	static char copy[8192];
	struct err err;

	snprintf(copy, sizeof(copy), "%s", text);
	return target__parse(copy, ret, &err);
}

static void target_is_cut(void **state)
{
	struct target t;

	assert_int_equal(parse("/api/v1/search?service=a%20b+c&attr=k%3Dv%26w&x&=y&&status=", &t),
			 0);
	assert_int_equal(t.n_segments, 3);
	assert_view(t.segments[0], "api");
	assert_view(t.segments[2], "search");
	assert_int_equal(t.n_params, 4);
	assert_view(t.params[0].key, "service");
	assert_view(t.params[0].value, "a b c");
	assert_view(t.params[1].value, "k=v&w");
	assert_view(t.params[2].key, "x");
	assert_int_equal(t.params[2].value.len, 0);
	assert_string_equal(target__param(&t, "status"), "");
	assert_null(target__param(&t, "none"));
	assert_int_equal(parse("/", &t), 0);
	assert_int_equal(t.n_segments, 1);
	assert_view(t.segments[0], "");
	/* A slash that is written as %2F is part of a name, and leads nowhere. */
	assert_int_equal(parse("/jaeger/api/services/a%2F..%2Fb/operations", &t), 0);
	assert_view(t.segments[3], "a/../b");
}

static void target_is_refused(void **state)
{
	static const char *const bad[] = {
		"",	 "index.html", "http://h/",	    "*", "/%", "/%4", "/%zz", "/a%00b",
		"/?a=%", "/?%00",      "/a/b/c/d/e/f/g/h/i"
	};
	char many[4096] = "/?";
	struct target t;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse(bad[i], &t), -EINVAL);
	for (int i = 0; i <= TARGET_PARAMS_MAX; i++)
		strcat(many, "a=b&");
	assert_int_equal(parse(many, &t), -EINVAL);
}

static void hosts(void **state)
{
	static const struct {
		const char *text, *host;
		bool loopback;
	} good[] = { { "localhost", "localhost", true },
		     { "LOCALHOST:4380", "LOCALHOST", true },
		     { "a.localhost:1", "a.localhost", true },
		     { "127.0.0.1:4380", "127.0.0.1", true },
		     { "127.9.9.9", "127.9.9.9", true },
		     { "[::1]:4380", "::1", true },
		     { "[fe80::1]", "fe80::1", false },
		     { "10.0.0.1", "10.0.0.1", false },
		     { "evil.example", "evil.example", false },
		     { "127.0.0.1.evil.example", "127.0.0.1.evil.example", false },
		     { "localhost.evil.example:80", "localhost.evil.example", false },
		     { "xlocalhost", "xlocalhost", false },
		     { "127.1", "127.1", false } };
	static const char *const bad[] = { "",		":80",	       "a b", "a:b",	"a:123456",
					   "[::1",	"[::1]x",      "::1", "[host]", "a/b",
					   "user@host", "localhost\t", "a,b", "[]",	"h:1:2" };
	struct view host;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(host__parse(view_of(good[i].text), &host));
		assert_int_equal(host.len, strlen(good[i].host));
		assert_memory_equal(host.at, good[i].host, host.len);
		assert_int_equal(host__is_loopback(host), good[i].loopback);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(host__parse(view_of(bad[i]), &host));
}

static void addresses(void **state)
{
	static const struct {
		const char *text, *url;
		bool loopback;
	} good[] = { { "127.0.0.1:4380", "http://127.0.0.1:4380/", true },
		     { "4390", "http://127.0.0.1:4390/", true },
		     { ":4390", "http://127.0.0.1:4390/", true },
		     { "localhost:1", "http://127.0.0.1:1/", true },
		     { "localhost", "http://127.0.0.1:4380/", true },
		     { "[::1]:5", "http://[::1]:5/", true },
		     { "::1", "http://[::1]:4380/", true },
		     { "0.0.0.0:80", "http://127.0.0.1:80/", false },
		     { "[::]:80", "http://[::1]:80/", false },
		     { "10.1.2.3", "http://10.1.2.3:4380/", false } };
	static const char *const bad[] = { "curl", "127.0.0.1:",   "127.0.0.1:65536", "a:80",
					   "[::1", "[::1]5",	   "1.2.3",	      "--",
					   "-p",   "127.0.0.1:80x" };
	struct listen_address a;
	struct err err;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(listen_address__parse(good[i].text, &a, &err), 0);
		assert_string_equal(a.url, good[i].url);
		assert_int_equal(a.loopback, good[i].loopback);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(listen_address__parse(bad[i], &a, &err), -EINVAL);
}

/* A span of service shop, GET /a, of 5 ms from 1000 on, HTTP 500, cart.size 3. */
static struct row make_row(void)
{
	static struct buf span, resource;
	struct row row;

	buf__clear(&span);
	buf__clear(&resource);
	pb_bytes(&span, 1, "0123456789abcdef", 16);
	pb_bytes(&span, 2, "01234567", 8);
	pb_bytes(&span, 5, "GET /a", 6);
	pb_number(&span, 6, 2);
	pb_fixed64(&span, 7, 1000);
	pb_fixed64(&span, 8, 5001000);
	pb_attribute_int(&span, 9, "http.response.status_code", 500);
	pb_attribute_int(&span, 9, "cart.size", 3);
	pb_attribute_text(&resource, 1, "service.name", "shop");
	assert_int_equal(row__read(&row, (struct view){ (const char *)span.at, span.len },
				   (struct view){ (const char *)resource.at, resource.len }),
			 0);
	return row;
}

static bool matches(const char *query)
{
	struct row row = make_row();
	struct complaint why;
	struct filter f;
	struct target t;
	char text[1024];
	bool ret;

	snprintf(text, sizeof(text), "/x?%s", query);
	assert_int_equal(parse(text, &t), 0);
	assert_int_equal(filter__read(&t, &f, &why), 0);
	ret = filter__matches(&f, &row);
	filter__free(&f);
	return ret;
}

static void filter_matches(void **state)
{
	static const char *const yes[] = { "",
					   "service=shop",
					   "service=shop&operation=GET+/a&kind=server",
					   "status=500",
					   "status=unset",
					   "min_duration_nano=5000000&max_duration_nano=5000000",
					   "attr=cart.size%3D3",
					   "attr=service.name%3Dshop&attr=cart.size%3D3",
					   "start_unix_nano=1000&end_unix_nano=1000",
					   "q=status>%3D500+and+not+service%3Dcart",
					   "service=&kind=&limit=&attr=&q=&start_unix_nano=" };
	static const char *const no[] = { "service=cart",
					  "operation=GET",
					  "kind=client",
					  "status=error",
					  "status=404",
					  "min_duration_nano=5000001",
					  "max_duration_nano=4999999",
					  "attr=cart.size%3D4",
					  "attr=service.name%3Dshop&attr=cart.size%3D4",
					  "start_unix_nano=1001",
					  "end_unix_nano=999",
					  "q=duration>1s" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		assert_true(matches(yes[i]));
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		assert_false(matches(no[i]));
}

static void filter_complains(void **state)
{
	static const char *const bad[] = { "servce=a",
					   "kind=srv",
					   "status=wrong",
					   "status=99",
					   "min_duration_nano=-1",
					   "min_duration_nano=1ms",
					   "max_duration_nano=18446744073709551616",
					   "attr=a",
					   "attr=%3Dv",
					   "limit=0",
					   "limit=201",
					   "limit=x",
					   "start_unix_nano=2&end_unix_nano=1",
					   "q=status>",
					   "q=path~(.)%5C1",
					   "q=path~(" };
	struct complaint why;
	struct filter f;
	struct target t;
	char text[1024];

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "/x?%s", bad[i]);
		assert_int_equal(parse(text, &t), 0);
		assert_int_equal(filter__read(&t, &f, &why), -EINVAL);
		assert_true(*why.what && *why.why && *why.todo);
	}
}

static void trace_ids(void **state)
{
	static const uint8_t small[16] = { [14] = 1, [15] = 0xab };
	uint8_t id[16];

	assert_true(filter__trace_id(VIEW("000000000000000000000000000001AB"), false, id));
	assert_memory_equal(id, small, 16);
	assert_true(filter__trace_id(VIEW("1ab"), true, id));
	assert_memory_equal(id, small, 16);
	assert_false(filter__trace_id(VIEW("1ab"), false, id));
	assert_false(filter__trace_id(VIEW(""), true, id));
	assert_false(filter__trace_id(VIEW("1ag"), true, id));
	assert_false(filter__trace_id(VIEW("0000000000000000000000000000001AB"), true, id));
}

static int traceql(const char *text, bool tags, bool *ret_matches)
{
	struct filter f = { .end_ns = UINT64_MAX };
	struct row row = make_row();
	struct err err = { "" };
	struct traceql query = { 0 };
	int ret = tags ? traceql__tags(&f, text, &err) : traceql__parse(&query, text, &err);

	for (unsigned int i = 0; i < query.n_sets; i++) {
		assert_int_equal(filter__add_where(&f, query.sets[i]), 0);
		query.sets[i] = NULL;
	}
	if (!ret)
		*ret_matches = filter__matches(&f, &row);
	else
		assert_true(*err.text);
	traceql__free(&query);
	filter__free(&f);
	return ret;
}

static void tempo_queries(void **state)
{
	static const struct {
		const char *text;
		int tags, ret;
		bool matches;
	} cases[] = {
		{ "{}", 0, 0, true },
		{ " { resource.service.name = \"shop\" } ", 0, 0, true },
		{ "{ .service.name=\"cart\" }", 0, 0, false },
		{ "{name=\"GET /a\" && duration>1ms}", 0, 0, true },
		{ "{name=\"GET /a\" && duration>1s}", 0, 0, false },
		{ "{(name=`x` || span.cart.size=3) && kind=server}", 0, 0, true },
		{ "{span.http.status_code>=500}", 0, 0, true },
		{ "{span.cart.size!=3}", 0, 0, false },
		{ "{name=~\"GET.*\"}", 0, 0, true },
		{ "{name=~\"GET\"}", 0, 0, false }, /* all of it, not a part */
		{ "{name=~\"POST /a|(?:GET) /[a-c]\"}", 0, 0, true },
		{ "{name!~\"GET .*\"}", 0, 0, false },
		{ "{name=~\"(?i)get\"}", 0, -EINVAL, false },
		{ "{span:name=~`GET /\\D`}", 0, 0, true },
		{ "{span:name=~`GET /\\d`}", 0, 0, false },
		{ "{nestedSetParent<0 && true}", 0, 0, true },
		{ "{nestedSetParent>0}", 0, -EINVAL, false },
		{ "{false}", 0, 0, false },
		{ "{span.cart.size != nil && .nothing = nil && kind != nil}", 0, 0, true },
		{ "{span.nothing != nil}", 0, 0, false },
		{ "{resource.service.name=nil}", 0, 0, false },
		{ "{!(span.cart.size=4) && span:kind=server}", 0, 0, true },
		{ "{name=\"GET /a\"} && {kind=server}", 0, 0, true },
		{ "{name=\"b\"} || {kind=server}", 0, 0, true },
		{ "{name=\"b\"} || {kind=server} && {}", 0, -EINVAL, false },
		{ "{kind=server} | select(name, resource.region, .b) with (most_recent=true)", 0, 0,
		  true },
		{ "{rootName=\"GET /a\" && trace:duration>=1ms}", 0, 0, true },
		{ "{rootName=\"GET /a\" || kind=server}", 0, -EINVAL, false },
		{ "{rootName=\"GET /a\"} || {kind=server}", 0, -EINVAL, false },
		{ "{rootName!=\"GET /a\"}", 0, -EINVAL, false },
		{ "{traceDuration=1ms}", 0, -EINVAL, false },
		{ "{event.name=\"x\"}", 0, -EINVAL, false },
		{ "{span.\"a b\"=1}", 0, -EINVAL, false },
		{ "{name=\"GET /a\"} >> {}", 0, -EINVAL, false },
		{ "{} | rate()", 0, -EINVAL, false },
		{ "{} | select(", 0, -EINVAL, false },
		{ "{status=error}", 0, 0, false },
		{ "", 0, -EINVAL, false },
		{ "{", 0, -EINVAL, false },
		{ "{name=\"a}", 0, -EINVAL, false },
		{ "{name}", 0, -EINVAL, false },
		{ "{name=\"a\"} | count() > 2", 0, -EINVAL, false },
		{ "{((((((((((((((((((name=\"a\"))))))))))))))))))}", 0, -EINVAL, false },
		{ "{duration>x}", 0, -EINVAL, false },
		{ "{nope=1}", 0, -EINVAL, false },
		{ "service.name=shop cart.size=3", 1, 0, true },
		{ "service.name=\"shop\" name=\"GET /a\"", 1, 0, true },
		{ "service.name=cart", 1, 0, false },
		{ "", 1, 0, true },
		{ "nothing", 1, 0, false },
		{ "no\"thing", 1, -EINVAL, false },
		{ "a=\"b", 1, -EINVAL, false },
		{ "=b", 1, -EINVAL, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool found = false;

		assert_int_equal(traceql(cases[i].text, cases[i].tags, &found), cases[i].ret);
		assert_int_equal(found, cases[i].matches);
	}
}

/* What a client shows beside each span, and what is said of the whole trace. */
static void tempo_names(void **state)
{
	struct traceql q;
	struct err err = { "" };

	assert_int_equal(
		traceql__parse(&q,
			       "{status=error && span.a.b=1 && .c=`x` && rootServiceName=\"s\" "
			       "&& traceDuration>2ms && trace:duration<=1s} "
			       "| select(resource.d, span.a.b, span:kind)",
			       &err),
		0);
	assert_int_equal(q.n_sets, 1);
	assert_int_equal(q.n_names, 5);
	assert_int_equal(q.names[0].scope, TRACEQL_INTRINSIC);
	assert_true(view_eq(q.names[0].text, VIEW("status")));
	assert_int_equal(q.names[1].scope, TRACEQL_SPAN);
	assert_true(view_eq(q.names[1].text, VIEW("a.b")));
	assert_int_equal(q.names[2].scope, TRACEQL_ANY);
	assert_true(view_eq(q.names[2].text, VIEW("c")));
	assert_int_equal(q.names[3].scope, TRACEQL_RESOURCE);
	assert_true(view_eq(q.names[3].text, VIEW("d")));
	assert_true(view_eq(q.names[4].text, VIEW("kind")));
	assert_string_equal((const char *)q.root_service.at, "s");
	assert_int_equal(q.root_name.len, 0);
	assert_int_equal(q.least_ns, 2000001);
	assert_int_equal(q.most_ns, 1000000000);
	traceql__free(&q);
	assert_int_equal(traceql__name(VIEW("service.name")).scope, TRACEQL_ANY);
}

static void durations(void **state)
{
	uint64_t ns;

	assert_true(traceql__duration("1.5s", &ns));
	assert_int_equal(ns, 1500000000);
	assert_true(traceql__duration("1m2s3ms", &ns));
	assert_int_equal(ns, 62003000000);
	assert_true(traceql__duration("7us", &ns));
	assert_int_equal(ns, 7000);
	assert_false(traceql__duration("", &ns));
	assert_false(traceql__duration("5", &ns));
	assert_false(traceql__duration("-5s", &ns));
	assert_false(traceql__duration("999999999999999h", &ns));
}

static void read_all(struct body *b, const struct buf *expected, size_t step)
{
	char part[5000];
	size_t at = 0;
	long n;

	assert_int_equal(body__length(b), expected->len);
	while ((n = body__read(b, part, step)) > 0) {
		assert_true(at + (size_t)n <= expected->len);
		assert_memory_equal(part, expected->at + at, (size_t)n);
		at += (size_t)n;
	}
	assert_int_equal(n, 0);
	assert_int_equal(at, expected->len);
}

static void bodies(void **state)
{
	struct buf expected = { 0 };
	struct body *b = body__new(), *inner;
	char line[64];

	buf__add_str(body__text(b), "short");
	buf__add_str(&expected, "short");
	body__spill(b);
	read_all(b, &expected, 2);
	body__free(b);
	b = body__new();
	buf__clear(&expected);
	for (int k = 0; k < 3; k++) {
		inner = body__new();
		buf__add_str(body__text(b), "<");
		buf__add_str(&expected, "<");
		for (int i = 0; i < (k == 1 ? 10 : 40000); i++) {
			snprintf(line, sizeof(line), "line %d of %d, and so on\n", i, k);
			buf__add_str(body__text(inner), line);
			buf__add_str(&expected, line);
			body__spill(inner);
		}
		body__append(b, inner);
		buf__add_str(body__text(b), ">");
		buf__add_str(&expected, ">");
	}
	assert_true(body__held() < expected.len / 4);
	read_all(b, &expected, sizeof(line));
	body__free(b);
	assert_int_equal(body__held(), 0);
	buf__free(&expected);
}

static void config_goes_over(void **state)
{
	struct serve_config c = { .folder = strdup("/var/lib/sonde"), .token = strdup("t\"k") },
			    back;
	struct err err;
	char *json;

	assert_int_equal(serve_config__add_host(&c, "myhost", 6), 0);
	assert_int_equal(serve_config__to_json(&c, &json), 0);
	assert_int_equal(serve_config__from_json(&back, json, strlen(json), &err), 0);
	assert_string_equal(back.folder, c.folder);
	assert_string_equal(back.token, "t\"k");
	assert_int_equal(back.n_hosts, 1);
	assert_string_equal(back.hosts[0], "myhost");
	free(json);
	serve_config__free(&back);
	free(c.token);
	c.token = NULL;
	assert_int_equal(serve_config__to_json(&c, &json), 0);
	assert_int_equal(serve_config__from_json(&back, json, strlen(json), &err), 0);
	assert_null(back.token);
	free(json);
	serve_config__free(&back);
	serve_config__free(&c);
	assert_int_equal(serve_config__from_json(&back, "{", 1, &err), -EINVAL);
}

static void assert_text_of(const struct otlp_value *value, const char *text)
{
	struct buf out = { 0 };

	json__value_text(&out, value);
	buf__add(&out, "", 1);
	assert_int_equal(out.err, 0);
	assert_string_equal((const char *)out.at, text);
	buf__free(&out);
}

static void values_as_text(void **state)
{
	static const struct {
		double real;
		const char *text;
	} cases[] = { { 0, "0" },
		      { 5, "5" },
		      { -0.1, "-0.1" },
		      { 1.0 / 3, "0.3333333333333333" },
		      { 1e-6, "0.000001" },
		      { 1e-7, "1e-7" },
		      { 1.5e-10, "1.5e-10" },
		      { 1e20, "100000000000000000000" },
		      { 1e21, "1e+21" },
		      { 123456789.125, "123456789.125" },
		      { 5e-324, "5e-324" },
		      { 1.7976931348623157e308, "1.7976931348623157e+308" } };
	struct otlp_value value = { .type = OTLP_DOUBLE }, list = { .type = OTLP_KVLIST };
	static const char *const keys[] = { "z", "a", "z" };
	struct buf message = { 0 };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		value.real = cases[i].real;
		assert_text_of(&value, cases[i].text);
	}
	for (size_t i = 0; i < 3; i++)
		pb_attribute_text(&message, 1, keys[i], i ? "<&>\xe2\x80\xa8" : "first");
	list.bytes = (struct view){ (const char *)message.at, message.len };
	assert_text_of(&list, "{\"a\":\"\\u003c\\u0026\\u003e\\u2028\","
			      "\"z\":\"\\u003c\\u0026\\u003e\\u2028\"}");
	buf__free(&message);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(target_is_cut),  cmocka_unit_test(target_is_refused),
		cmocka_unit_test(hosts),	  cmocka_unit_test(addresses),
		cmocka_unit_test(filter_matches), cmocka_unit_test(filter_complains),
		cmocka_unit_test(trace_ids),	  cmocka_unit_test(tempo_queries),
		cmocka_unit_test(tempo_names),	  cmocka_unit_test(durations),
		cmocka_unit_test(bodies),	  cmocka_unit_test(config_goes_over),
		cmocka_unit_test(values_as_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
