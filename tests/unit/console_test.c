// SPDX-License-Identifier: Apache-2.0
/* Protects: what a terminal gets: no byte of a stranger can steer it, columns align, trees are whole. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "pbmake.h"
#include "ship/console/escape.h"
#include "ship/console/line.h"
#include "ship/console/summary.h"
#include "ship/console/tree.h"
#include "ship/console/waterfall.h"

static void assert_escaped(struct view in, unsigned int columns, bool unicode, const char *want,
			   unsigned int used)
{
	struct buf out = { 0 };
	unsigned int got = escape__add(&out, in, columns, unicode);

	buf__add(&out, "", 1);
	assert_string_equal(out.at, want);
	assert_int_equal(got, used);
	buf__free(&out);
}
#define ESCAPED(in, want) assert_escaped(VIEW(in), 0, true, want, (unsigned int)strlen(want))

static void hostile_bytes(void **state)
{
	ESCAPED("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07");
	ESCAPED("a\rb\nc\td\be", "a\\x0db\\x0ac\\x09d\\x08e");
	ESCAPED("\x7f\x00\x1f", "\\x7f\\x00\\x1f");
	ESCAPED("\x9b"
		"31m",
		"\\x9b31m"); /* C1 as a byte */
	ESCAPED("\xc2\x9b"
		"31m",
		"\\u{9b}31m"); /* C1 in UTF-8 */
	ESCAPED("\xe2\x80\xae"
		"txt.exe",
		"\\u{202e}txt.exe"); /* right-to-left override */
	ESCAPED("\xe2\x81\xa6\xe2\x80\x8b\xef\xbb\xbf", "\\u{2066}\\u{200b}\\u{feff}");
	ESCAPED("e\xcc\x81", "e\\u{301}"); /* combining: would pile up */
	ESCAPED("\xff\xc3(\xed\xa0\x80", "\\xff\\xc3(\\xed\\xa0\\x80");
	ESCAPED("\xf3\xa0\x81\x81", "\\u{e0041}"); /* tags */
}

/* Whatever goes in: printable ASCII or whole UTF-8 sequences come out, never wider than asked. */
static void any_bytes(void **state)
{
	srand(7);
	for (int i = 0; i < 20000; i++) {
		struct buf out = { 0 };
		char in[24];
		unsigned int columns = (unsigned int)rand() % 12, used;

		for (size_t j = 0; j < sizeof(in); j++)
			in[j] = (char)rand();
		used = escape__add(&out, (struct view){ in, (size_t)rand() % sizeof(in) }, columns,
				   i % 2);
		assert_true(!columns || used <= columns);
		for (size_t j = 0; j < out.len; j++)
			assert_true(out.at[j] >= 0x20 && out.at[j] != 0x7f &&
				    (i % 2 || out.at[j] < 0x80));
		buf__free(&out);
	}
}

static void cut_to_width(void **state)
{
	assert_escaped(VIEW("abcdef"), 6, true, "abcdef", 6);
	assert_escaped(VIEW("abcdefg"), 6, true, "abcde\xe2\x80\xa6", 6);
	assert_escaped(VIEW("abcdefg"), 6, false, "abcde~", 6);
	assert_escaped(VIEW("ab\x1b"
			    "cd"),
		       5, false, "ab~", 3);
	assert_escaped(VIEW("\xe6\x9c\x8d\xe5\x8a\xa1"), 4, true, "\xe6\x9c\x8d\xe5\x8a\xa1",
		       4); /* wide */
	assert_escaped(VIEW("\xe6\x9c\x8d\xe5\x8a\xa1"), 3, true, "\xe6\x9c\x8d\xe2\x80\xa6", 3);
	assert_escaped(VIEW("\xc3\xa9"), 0, false, "\\u{e9}", 6);
	assert_escaped(VIEW("ab"), 1, false, "~", 1);
}

static void durations(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = { { 0, "0ns" },
		      { 999, "999ns" },
		      { 1000, "1.00us" },
		      { 45600, "45.6us" },
		      { 999499, "999us" },
		      { 1234567, "1.23ms" },
		      { 123456789, "123ms" },
		      { 12300000000, "12.3s" },
		      { 123000000000, "123s" },
		      { UINT64_MAX, "18446744074s" } };

	for (size_t i = 0; i + 1 < sizeof(cases) / sizeof(*cases); i++) {
		char text[16];

		duration__text(text, cases[i].ns, false);
		assert_string_equal(text, cases[i].text);
	}
}

static void read_row(struct row *row, struct buf *span, struct buf *resource, struct pb_span s,
		     const char *service)
{
	pb_span(span, s);
	pb_resource(resource, service);
	assert_int_equal(row__read(row, buf_view(span), buf_view(resource)), 0);
}

static void a_line(void **state)
{
	struct buf span = { 0 }, resource = { 0 }, out = { 0 };
	struct line_style style = { .utc_offset_s = 3600 };
	struct row row;

	read_row(&row, &span, &resource,
		 (struct pb_span){ .trace = 0xab,
				   .id = 1,
				   .path = "/a b\x1b",
				   .kind = 2,
				   .http_status = 200,
				   .start_ns = 86399ull * 1000000000 + 5000000,
				   .end_ns = 86399ull * 1000000000 + 6500000 },
		 "web");
	line__heading(&out, &style);
	line__add(&out, &style, &row);
	buf__add(&out, "", 1);
	assert_string_equal(out.at, "TIME          SERVICE       KIND      REQUEST                 "
				    "                  STATUS     TOOK  "
				    "PEER                    TRACE\n"
				    "00:59:59.005  web           server    GET /a b\\x1b           "
				    "                      200   1.50ms  "
				    "                        abababab\n");
	buf__free(&span);
	buf__free(&resource);
	buf__free(&out);
}

static void lines_fit_the_terminal(void **state)
{
	struct buf span = { 0 }, resource = { 0 };
	struct row row;
	char path[300];

	memset(path, 'x', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 1] = 0;
	read_row(&row, &span, &resource,
		 (struct pb_span){
			 .trace = 1, .id = 1, .path = path, .kind = 3, .http_status = 404 },
		 "a-service-with-a-name-that-is-rather-long");
	for (unsigned int width = 120; width < 300; width += 7) {
		struct line_style style = { .width = width };
		struct buf out = { 0 };

		line__add(&out, &style, &row);
		assert_int_equal(out.len, width + 1);
		buf__free(&out);
	}
	buf__free(&span);
	buf__free(&resource);
}

static void captured_headers(void **state)
{
	struct buf span = { 0 }, resource = { 0 }, out = { 0 }, any = { 0 }, list = { 0 },
		   element = { 0 }, pair = { 0 };
	struct line_style style = { .headers = true };
	struct row row;

	pb_text(&element, 1,
		"a\x1b"
		"b");
	pb_message(&list, 1, &element);
	pb_message(&any, 5, &list);
	pb_text(&pair, 1, "http.request.header.x-key");
	pb_message(&pair, 2, &any);
	pb_span(&span, (struct pb_span){ .trace = 1, .id = 1, .path = "/", .kind = 2 });
	pb_message(&span, 9, &pair);
	assert_int_equal(row__read(&row, buf_view(&span), buf_view(&resource)), 0);
	line__add(&out, &style, &row);
	buf__add(&out, "", 1);
	assert_non_null(strstr((char *)out.at, "\n              > x-key: a\\x1bb\n"));
	buf__free(&span);
	buf__free(&out);
}

static void client_rows(void **state)
{
	struct buf span = { 0 }, out = { 0 }, resource = { 0 };
	struct row row;

	pb_span(&span, (struct pb_span){ .trace = 1, .id = 1, .kind = 3, .name = "GET" });
	pb_attribute_text(&span, 9, "http.request.method", "GET");
	pb_attribute_text(&span, 9, "url.full", "http://host:8080/path?k=v#f");
	pb_attribute_text(&span, 9, "server.address", "host");
	pb_attribute_int(&span, 9, "server.port", 8080);
	pb_attribute_text(&span, 9, "network.peer.address", "10.0.0.1");
	assert_int_equal(row__read(&row, buf_view(&span), VIEW("")), 0);
	row__title(&out, &row, 0, false);
	assert_true(view_eq(buf_view(&out), VIEW("GET /path?k=v#f")));
	assert_true(view_eq(row.peer, VIEW("host")) && row.peer_port == 8080);
	assert_true(view_eq(row.service, VIEW("?")));
	pb_resource(&resource, "unknown_service:curl");
	assert_int_equal(row__read(&row, buf_view(&span), buf_view(&resource)), 0);
	assert_true(view_eq(row.service, VIEW("curl")));
	buf__clear(&resource);
	pb_resource(&resource, "unknown_service:");
	assert_int_equal(row__read(&row, buf_view(&span), buf_view(&resource)), 0);
	assert_true(view_eq(row.service, VIEW("unknown_service:")));
	buf__free(&resource);
	buf__clear(&out);
	buf__free(&span);
	buf__free(&out);
}

static struct blob *service_blob(const char *service)
{
	struct buf b = { 0 };
	struct blob *blob;

	pb_resource(&b, service);
	blob = blob__new(buf_view(&b));
	buf__free(&b);
	return blob;
}

static void keep(struct buf *spans, struct pb_span s, const char *service)
{
	struct blob *blob = service_blob(service);
	struct buf b = { 0 };

	pb_span(&b, s);
	assert_int_equal(waterfall__keep(spans, buf_view(&b), blob), 0);
	blob__put(blob);
	buf__free(&b);
}

#define MS 1000000ull

static void a_waterfall(void **state)
{
	struct line_style style = { .width = 0 };
	struct buf spans = { 0 }, out = { 0 };

	/* in the order in which spans end: the root comes last */
	keep(&spans,
	     (struct pb_span){ .trace = 0xab,
			       .id = 4,
			       .parent = 3,
			       .path = "/db",
			       .kind = 2,
			       .http_status = 500,
			       .status = 2,
			       .error_type = "connection_reset",
			       .start_ns = 6 * MS,
			       .end_ns = 8 * MS },
	     "python");
	keep(&spans,
	     (struct pb_span){ .trace = 0xab,
			       .id = 3,
			       .parent = 2,
			       .path = "/x",
			       .kind = 3,
			       .http_status = 500,
			       .start_ns = 5 * MS,
			       .end_ns = 9 * MS },
	     "node");
	keep(&spans,
	     (struct pb_span){ .trace = 0xab,
			       .id = 5,
			       .parent = 2,
			       .path = "/y",
			       .kind = 3,
			       .http_status = 200,
			       .start_ns = 9 * MS,
			       .end_ns = 9 * MS + 1 },
	     "node");
	keep(&spans,
	     (struct pb_span){ .trace = 0xab,
			       .id = 2,
			       .parent = 1,
			       .path = "/x",
			       .kind = 2,
			       .http_status = 200,
			       .start_ns = 2 * MS,
			       .end_ns = 10 * MS },
	     "node");
	keep(&spans,
	     (struct pb_span){ .trace = 0xab,
			       .id = 1,
			       .path = "/x",
			       .kind = 3,
			       .http_status = 200,
			       .start_ns = 1 * MS,
			       .end_ns = 11 * MS },
	     "nginx");
	waterfall__draw(&out, &spans, &style);
	buf__add(&out, "", 1);
	assert_string_equal(
		out.at,
		"trace abababababababababababababababab  00:00:00.001  10.0ms  5 spans  3 services "
		" 1 error\n"
		"  nginx client GET /x            200   10.0ms  ================================\n"
		"  `-node server GET /x           200   8.00ms     ==========================\n"
		"    |-node client GET /x         500   4.00ms              ==============\n"
		"    | `-python server GET /db    500   2.00ms                  ======= "
		"connection_reset\n"
		"    `-node client GET /y         200      1ns                           =\n"
		"\n");
	waterfall__release(&spans);
	buf__free(&spans);
	buf__free(&out);
}

static unsigned int lines_in(const struct buf *b)
{
	unsigned int n = 0;

	for (size_t i = 0; i < b->len; i++)
		n += b->at[i] == '\n';
	return n;
}

/* Circles, orphans, the same id twice, a parent that is the span itself: each span is drawn once. */
static void hostile_parents(void **state)
{
	srand(3);
	for (int round = 0; round < 300; round++) {
		struct line_style style = { .width = 100,
					    .color = round % 2,
					    .unicode = round % 3 };
		struct buf spans = { 0 }, out = { 0 };
		unsigned int n = 1 + (unsigned int)rand() % 60;

		for (unsigned int i = 0; i < n; i++)
			keep(&spans,
			     (struct pb_span){ .trace = 1,
					       .id = (uint8_t)(1 + rand() % 40),
					       .parent = (uint8_t)(rand() % 45),
					       .kind = rand() % 9,
					       .status = rand() % 4,
					       .start_ns = (uint64_t)(rand() % 50),
					       .end_ns = (uint64_t)(rand() % 50) },
			     "s");
		waterfall__draw(&out, &spans, &style);
		assert_int_equal(lines_in(&out), n + 2);
		waterfall__release(&spans);
		buf__free(&spans);
		buf__free(&out);
	}
}

static void a_deep_trace(void **state)
{
	struct line_style style = { .width = 80 };
	struct buf spans = { 0 }, out = { 0 };

	for (unsigned int i = 1; i <= 250; i++)
		keep(&spans,
		     (struct pb_span){ .trace = 1,
				       .id = (uint8_t)i,
				       .parent = (uint8_t)(i - 1),
				       .kind = 2,
				       .start_ns = i,
				       .end_ns = 1000 - i },
		     "s");
	waterfall__draw(&out, &spans, &style);
	assert_int_equal(lines_in(&out), 252);
	waterfall__release(&spans);
	buf__free(&spans);
	buf__free(&out);
}

struct told {
	unsigned int traces, forgotten;
	uint64_t spans;
};

static void on_trace(void *arg, struct view text, uint64_t spans)
{
	((struct told *)arg)->traces++;
	((struct told *)arg)->spans += spans;
}

static void on_forgotten(void *arg, uint64_t spans)
{
	((struct told *)arg)->forgotten++;
	((struct told *)arg)->spans += spans;
}

static void tree_add(struct tree *tree, uint32_t trace, uint64_t now)
{
	struct buf span = { 0 }, resource = { 0 };
	struct frame_span head = { .kind = 2 };
	struct blob *blob = service_blob("s");
	struct row row;

	read_row(&row, &span, &resource, (struct pb_span){ .trace = 1, .id = 1, .kind = 2 }, "s");
	memcpy(head.trace_id, &trace, sizeof(trace));
	assert_int_equal(tree__add(tree, &head, &row, blob, now), 0);
	blob__put(blob);
	buf__free(&span);
	buf__free(&resource);
}

static void traces_wait_until_they_are_quiet(void **state)
{
	struct line_style style = { .width = 0 };
	struct told told = { 0 };
	struct tree_config config = {
		.style = &style, .trace = on_trace, .forgotten = on_forgotten, .arg = &told
	};
	struct tree *tree = tree__new(&config);

	assert_int_equal(tree__timer(tree), 0);
	tree_add(tree, 1, 1000);
	tree_add(tree, 2, 2000);
	tree_add(tree, 1, 3000);
	assert_int_equal(tree__timer(tree), 2000 + TREE_QUIET_NS);
	tree__work(tree, 2000 + TREE_QUIET_NS - 1);
	assert_int_equal(told.traces, 0);
	tree__work(tree, 2000 + TREE_QUIET_NS);
	assert_int_equal(told.traces, 1);
	assert_int_equal(told.spans, 1);
	tree__flush(tree);
	assert_int_equal(told.traces, 2);
	assert_int_equal(told.spans, 3);
	tree__free(tree);
	tree__free(NULL);
}

static void tree_add_child(struct tree *tree, uint8_t id, uint8_t parent, uint64_t now)
{
	struct buf span = { 0 }, resource = { 0 };
	struct frame_span head = { .kind = 2, .trace_id = { 1 } };
	struct row row;

	read_row(&row, &span, &resource,
		 (struct pb_span){ .trace = 1, .id = id, .parent = parent, .kind = 2 }, "s");
	assert_int_equal(tree__add(tree, &head, &row, NULL, now), 0);
	buf__free(&span);
	buf__free(&resource);
}

/* A child ends before its parent does, perhaps long before: it is not shown without it at once. */
static void traces_wait_for_parents(void **state)
{
	struct line_style style = { .width = 0 };
	struct told told = { 0 };
	struct tree_config config = {
		.style = &style, .trace = on_trace, .forgotten = on_forgotten, .arg = &told
	};
	struct tree *tree = tree__new(&config);

	tree_add_child(tree, 2, 1, 1000);
	tree__work(tree, 1000 + TREE_QUIET_NS);
	assert_int_equal(told.traces, 0);
	assert_int_equal(tree__timer(tree), 1000 + TREE_INCOMPLETE_NS);
	tree_add_child(tree, 1, 0, 5 * TREE_QUIET_NS); /* the parent */
	assert_int_equal(tree__timer(tree), 6 * TREE_QUIET_NS);
	tree__work(tree, 6 * TREE_QUIET_NS);
	assert_true(told.traces == 1 && told.spans == 2);
	/* one that never comes is not waited for for ever */
	tree_add_child(tree, 3, 9, 1000);
	tree__work(tree, 1000 + TREE_INCOMPLETE_NS - 1);
	assert_int_equal(told.traces, 1);
	tree__work(tree, 1000 + TREE_INCOMPLETE_NS);
	assert_int_equal(told.traces, 2);
	tree_add_child(tree, 4, 9, 1000);
	tree__work(tree, 1000 + TREE_QUIET_NS);
	tree__flush(tree);
	assert_int_equal(told.traces, 3);
	tree__free(tree);
}

static void the_tree_is_bounded(void **state)
{
	struct line_style style = { .width = 0 };
	struct told told = { 0 };
	struct tree_config config = {
		.style = &style, .trace = on_trace, .forgotten = on_forgotten, .arg = &told
	};
	struct tree *tree = tree__new(&config);

	for (uint32_t i = 0; i < TREE_TRACES_MAX + 500; i++)
		tree_add(tree, i, 1);
	assert_int_equal(told.traces, 500);
	tree__free(tree);
}

static void only_traces_with_a_match(void **state)
{
	struct line_style style = { .width = 0 };
	struct told told = { 0 };
	struct tree_config config = {
		.style = &style, .trace = on_trace, .forgotten = on_forgotten, .arg = &told
	};
	struct where *where;
	struct tree *tree;

	assert_int_equal(where__parse("service=other", &where, NULL), 0);
	config.where = where;
	tree = tree__new(&config);
	tree_add(tree, 1, 1);
	tree__flush(tree);
	assert_true(!told.traces && told.forgotten == 1 && told.spans == 1);
	tree__free(tree);
	where__free(where);
}

static void a_summary(void **state)
{
	struct line_style style = { .width = 0 };
	struct summary *s = summary__new();
	struct buf span = { 0 }, resource = { 0 }, out = { 0 };
	struct row row;

	read_row(&row, &span, &resource,
		 (struct pb_span){ .trace = 1, .id = 1, .kind = 2, .name = "GET /x" }, "web");
	for (uint64_t i = 1; i <= 1000; i++) {
		struct frame_span head = {
			.operation = 7, .kind = 2, .duration_ns = i * MS, .status = i > 990 ? 2 : 0
		};

		summary__count(s, &head);
		if (i == 500)
			summary__name(s, &head, &row);
	}
	for (uint64_t i = 0; i < 3; i++) {
		struct frame_span head = { .operation = 0xbeef, .kind = 3, .duration_ns = i };

		summary__count(s, &head);
	}
	summary__print(s, &out, &style);
	buf__add(&out, "", 1);
	assert_string_equal(out.at,
			    "     SPANS    ERRORS      P50      P95      P99      MAX  SERVICE     "
			    " KIND      OPERATION\n"
			    "      1000        10    495ms    956ms    990ms    1.00s  web         "
			    " server    GET /x\n"
			    "         3         0      1ns      2ns      2ns      2ns  (unsampled) "
			    " client    000000000000beef\n"
			    "      1003        10                                     total\n");
	buf__free(&out);
	buf__free(&span);
	buf__free(&resource);
	summary__free(s);
	summary__free(NULL);
}

/* Percentiles are within a bucket's width of the truth, for any duration. */
static void percentiles(void **state)
{
	for (uint64_t ns = 1; ns < UINT64_MAX / 3; ns += ns / 3 + 1) {
		struct line_style style = { .width = 0 };
		struct summary *s = summary__new();
		struct frame_span head = { .operation = 1, .duration_ns = ns };
		struct buf out = { 0 };

		summary__count(s, &head);
		head.duration_ns = ns * 2;
		summary__count(s, &head);
		summary__print(s, &out, &style);
		assert_int_equal(lines_in(&out), 3);
		buf__free(&out);
		summary__free(s);
	}
}

static void more_operations_than_fit(void **state)
{
	struct line_style style = { .width = 0 };
	struct summary *s = summary__new();
	struct buf out = { 0 };

	for (uint64_t i = 0; i < 3 * SUMMARY_OPERATIONS_MAX; i++) {
		struct frame_span head = { .operation = i * 0x9e3779b97f4a7c15ull,
					   .duration_ns = i };

		summary__count(s, &head);
	}
	summary__print(s, &out, &style);
	buf__add(&out, "", 1);
	assert_int_equal(lines_in(&out), SUMMARY_OPERATIONS_MAX + 3);
	assert_non_null(strstr((char *)out.at, "      2048         0"));
	assert_non_null(strstr((char *)out.at, "(all other operations)"));
	assert_non_null(strstr((char *)out.at,
			       "      3072         0                                     total"));
	buf__free(&out);
	summary__free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hostile_bytes),
		cmocka_unit_test(any_bytes),
		cmocka_unit_test(cut_to_width),
		cmocka_unit_test(durations),
		cmocka_unit_test(a_line),
		cmocka_unit_test(lines_fit_the_terminal),
		cmocka_unit_test(captured_headers),
		cmocka_unit_test(client_rows),
		cmocka_unit_test(a_waterfall),
		cmocka_unit_test(hostile_parents),
		cmocka_unit_test(a_deep_trace),
		cmocka_unit_test(traces_wait_until_they_are_quiet),
		cmocka_unit_test(traces_wait_for_parents),
		cmocka_unit_test(the_tree_is_bounded),
		cmocka_unit_test(only_traces_with_a_match),
		cmocka_unit_test(a_summary),
		cmocka_unit_test(percentiles),
		cmocka_unit_test(more_operations_than_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
