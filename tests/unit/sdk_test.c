// SPDX-License-Identifier: Apache-2.0
/* Protects: what programs export is read, hostile or cut; and held against what was seen of them. */
#include "tracer_rig.h"

#include "core/sdk.h"
#include "core/sdk_cover.h"

/* Made by the official Python library (opentelemetry-proto): two spans with attributes, events, links. */
static const uint8_t official_protobuf[] = {
	0x0a, 0xaa, 0x02, 0x0a, 0x16, 0x0a, 0x14, 0x0a, 0x0c, 0x73, 0x65, 0x72, 0x76, 0x69, 0x63,
	0x65, 0x2e, 0x6e, 0x61, 0x6d, 0x65, 0x12, 0x04, 0x0a, 0x02, 0x70, 0x79, 0x12, 0x8f, 0x02,
	0x0a, 0x03, 0x0a, 0x01, 0x78, 0x12, 0x83, 0x01, 0x0a, 0x10, 0x0a, 0xf7, 0x65, 0x19, 0x16,
	0xcd, 0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c, 0x12, 0x08, 0x00, 0xf0,
	0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7, 0x22, 0x08, 0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33,
	0x31, 0x2a, 0x05, 0x47, 0x45, 0x54, 0x20, 0x2f, 0x30, 0x02, 0x39, 0x00, 0x00, 0x2a, 0x36,
	0xfe, 0x9c, 0x97, 0x17, 0x41, 0x40, 0x4b, 0x76, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x4a, 0x14,
	0x0a, 0x0b, 0x68, 0x74, 0x74, 0x70, 0x2e, 0x6d, 0x65, 0x74, 0x68, 0x6f, 0x64, 0x12, 0x05,
	0x0a, 0x03, 0x47, 0x45, 0x54, 0x5a, 0x0c, 0x09, 0x00, 0x00, 0x2a, 0x36, 0xfe, 0x9c, 0x97,
	0x17, 0x12, 0x01, 0x65, 0x6a, 0x1c, 0x0a, 0x10, 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43,
	0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c, 0x12, 0x08, 0x11, 0x11, 0x11, 0x11,
	0x11, 0x11, 0x11, 0x11, 0x12, 0x81, 0x01, 0x0a, 0x10, 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd,
	0x43, 0xdd, 0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c, 0x12, 0x08, 0x00, 0xf0, 0x67,
	0xaa, 0x0b, 0xa9, 0x02, 0xb8, 0x22, 0x08, 0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7,
	0x2a, 0x03, 0x47, 0x45, 0x54, 0x30, 0x03, 0x39, 0x40, 0x42, 0x39, 0x36, 0xfe, 0x9c, 0x97,
	0x17, 0x41, 0x80, 0x84, 0x48, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x4a, 0x14, 0x0a, 0x0b, 0x68,
	0x74, 0x74, 0x70, 0x2e, 0x6d, 0x65, 0x74, 0x68, 0x6f, 0x64, 0x12, 0x05, 0x0a, 0x03, 0x47,
	0x45, 0x54, 0x5a, 0x0c, 0x09, 0x40, 0x42, 0x39, 0x36, 0xfe, 0x9c, 0x97, 0x17, 0x12, 0x01,
	0x65, 0x6a, 0x1c, 0x0a, 0x10, 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd, 0x84, 0x48,
	0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c, 0x12, 0x08, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
	0x11,
};

static const uint8_t official_gzip[] = {
	0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xe3, 0x5a, 0xc5, 0xc4, 0x25,
	0xc6, 0x25, 0xc2, 0xc5, 0x53, 0x9c, 0x5a, 0x54, 0x96, 0x99, 0x9c, 0xaa, 0x97, 0x97, 0x98,
	0x9b, 0x2a, 0xc4, 0xc2, 0xc5, 0x54, 0x50, 0x29, 0xd4, 0xcf, 0xc4, 0xc5, 0xcc, 0xc5, 0x58,
	0x21, 0xd4, 0xcc, 0xc8, 0x25, 0xc0, 0xf5, 0x3d, 0x55, 0x52, 0xec, 0xac, 0xf3, 0xdd, 0x16,
	0x8f, 0xd7, 0x8a, 0x32, 0x0d, 0x86, 0x73, 0x84, 0x38, 0x18, 0x3e, 0xa4, 0xaf, 0xe2, 0x5e,
	0xc9, 0xb4, 0x5d, 0x89, 0x63, 0xfb, 0xda, 0xec, 0xc2, 0x4c, 0x05, 0x63, 0x43, 0x2d, 0x56,
	0x77, 0xd7, 0x10, 0x05, 0x7d, 0x03, 0x26, 0x4b, 0x06, 0x06, 0x2d, 0xb3, 0x7f, 0x73, 0xa6,
	0x8b, 0x3b, 0x3a, 0x78, 0x97, 0x81, 0x19, 0x5e, 0x22, 0x5c, 0xdc, 0x19, 0x25, 0x25, 0x05,
	0x7a, 0xb9, 0xa9, 0x25, 0x19, 0xf9, 0x29, 0x42, 0xac, 0x5c, 0xcc, 0x40, 0xb5, 0x51, 0x3c,
	0x9c, 0x30, 0x95, 0x42, 0x8c, 0xa9, 0x59, 0x32, 0xd8, 0xac, 0x11, 0x84, 0x02, 0xa1, 0x46,
	0x7c, 0xae, 0xd8, 0xa1, 0x04, 0x77, 0x8f, 0x16, 0xc8, 0x64, 0x03, 0x66, 0x4b, 0x07, 0x27,
	0x4b, 0x88, 0x1b, 0x1a, 0x5a, 0x3c, 0xf0, 0xbb, 0x01, 0xa6, 0x92, 0xa0, 0x1b, 0x00, 0xec,
	0x53, 0x54, 0xed, 0x2d, 0x01, 0x00, 0x00,
};

static const char otlp_json[] =
	"{\"resourceSpans\": [{\"resource\": {\"attributes\": [{\"key\": \"a\\\"}]\", \"value\": "
	"{\"stringValue\": \"py\\\\\"}}]}, \"scopeSpans\": [{\"scope\": {\"name\": \"x\"}, "
	"\"spans\": "
	"[{\"traceId\": \"0AF7651916cd43dd8448eb211c80319c\", \"spanId\": \"00f067aa0ba902b7\", "
	"\"parentSpanId\":\"b7ad6b7169203331\",\"name\": \"GET /\", \"kind\": "
	"\"SPAN_KIND_SERVER\", "
	"\"startTimeUnixNano\": \"1700000000000000000\", \"endTimeUnixNano\": 1700000000005000000, "
	"\"events\": [{\"timeUnixNano\": \"1\", \"name\": \"e\"}], \"links\": [{\"traceId\": "
	"\"0af7651916cd43dd8448eb211c80319c\", \"spanId\": \"1111111111111111\"}], "
	"\"status\":{}},\n"
	"\t{\"traceId\": \"0af7651916cd43dd8448eb211c80319c\", \"spanId\": \"00f067aa0ba902b8\", "
	"\"parentSpanId\": \"00f067aa0ba902b7\", \"kind\": 3, \"startTimeUnixNano\": "
	"\"1700000000001000000\", \"endTimeUnixNano\": \"1700000000002000000\", "
	"\"flags\":257}]}]}]}";

static const char zipkin_json[] =
	"[{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"id\":\"f067aa0ba902b7\",\"parentId\":"
	"\"b7ad6b7169203331\",\"kind\":\"SERVER\",\"name\":\"get\",\"timestamp\":1700000000000000,"
	"\"duration\":5000,\"localEndpoint\":{\"serviceName\":\"py\"},\"tags\":{\"id\":\"7\"}},"
	"{\"traceId\":\"0af7651916cd43dd8448eb211c80319c\",\"id\":\"00f067aa0ba902b8\","
	"\"parentId\":"
	"\"00f067aa0ba902b7\",\"kind\":\"CLIENT\",\"timestamp\":1700000000001000.0,\"duration\":"
	"1000}]";

static const uint8_t trace_id[16] = { 0x0a, 0xf7, 0x65, 0x19, 0x16, 0xcd, 0x43, 0xdd,
				      0x84, 0x48, 0xeb, 0x21, 0x1c, 0x80, 0x31, 0x9c };

struct found {
	struct sdk_span spans[8];
	unsigned int n;
};

static void on_span(void *arg, const struct sdk_span *span)
{
	struct found *found = arg;

	assert_true(found->n < 8);
	found->spans[found->n++] = *span;
}

static void check_two(const struct found *found)
{
	assert_int_equal(found->n, 2);
	for (int i = 0; i < 2; i++)
		assert_memory_equal(found->spans[i].trace_id, trace_id, 16);
	assert_int_equal(found->spans[0].span_id, 0x00f067aa0ba902b7);
	assert_int_equal(found->spans[0].parent_id, 0xb7ad6b7169203331);
	assert_int_equal(found->spans[0].kind, 2);
	assert_int_equal(found->spans[0].start_ns, 1700000000000000000);
	assert_int_equal(found->spans[0].end_ns, 1700000000005000000);
	assert_int_equal(found->spans[1].span_id, 0x00f067aa0ba902b8);
	assert_int_equal(found->spans[1].parent_id, 0x00f067aa0ba902b7);
	assert_int_equal(found->spans[1].kind, 3);
	assert_int_equal(found->spans[1].start_ns, 1700000000001000000);
	assert_int_equal(found->spans[1].end_ns, 1700000000002000000);
}

static struct view bytes_of(const void *at, size_t n)
{
	return (struct view){ at, n };
}

static void every_format_says_the_same(void **state)
{
	struct found p = { .n = 0 }, o = { .n = 0 }, z = { .n = 0 };

	sdk__decode_protobuf(bytes_of(official_protobuf, sizeof(official_protobuf)), on_span, &p);
	check_two(&p);
	sdk__decode_json(bytes_of(otlp_json, sizeof(otlp_json) - 1), on_span, &o);
	check_two(&o);
	sdk__decode_json(bytes_of(zipkin_json, sizeof(zipkin_json) - 1), on_span, &z);
	check_two(&z);
}

/* Any end, at the end of the memory: no over-read, and whole spans before the end are found. */
static void cut_anywhere(void **state)
{
	const struct view bodies[] = { bytes_of(official_protobuf, sizeof(official_protobuf)),
				       bytes_of(otlp_json, sizeof(otlp_json) - 1),
				       bytes_of(zipkin_json, sizeof(zipkin_json) - 1) };

	for (int b = 0; b < 3; b++)
		for (size_t n = 0; n < bodies[b].len; n++) {
			struct found found = { .n = 0 };
			char *copy = malloc(n + 1);
			unsigned int got;

			memcpy(copy + 1, bodies[b].at, n);
			got = b ? sdk__decode_json(bytes_of(copy + 1, n), on_span, &found) :
				  sdk__decode_protobuf(bytes_of(copy + 1, n), on_span, &found);
			assert_int_equal(got, found.n);
			assert_true(found.n <= 2);
			if (n > bodies[b].len - 3 && b)
				assert_true(found.n >= 1);
			free(copy);
		}
}

static void deep_nesting_ends_the_reading(void **state)
{
	struct found found = { .n = 0 };
	char deep[2000];

	memset(deep, '[', sizeof(deep));
	assert_int_equal(sdk__decode_json(bytes_of(deep, sizeof(deep)), on_span, &found), 0);
	memset(deep, '}', sizeof(deep));
	assert_int_equal(sdk__decode_json(bytes_of(deep, sizeof(deep)), on_span, &found), 0);
}

static struct rig rig;
enum { CURL = 10, APP = 20, NODE = 30, COLLECTOR = 40 };

#define T "0af7651916cd43dd8448eb211c80319c"
#define HEADER(id) "00-" T "-" id "-01"
#define P "b7ad6b7169203331"  /* curl's invention, or some other system's span */
#define X1 "00f067aa0ba90211" /* the SDK's server span */
#define X2 "00f067aa0ba90222" /* the SDK's client span */

static bool outside(const uint8_t id[8])
{
	char hex[17] = { 0 };

	ids__hex(hex, id, 8);
	return !strcmp(hex, P) || !strcmp(hex, X1) || !strcmp(hex, X2);
}

static int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	rig_start(&rig);
	rig_process(&rig, CURL, "curl", RUNTIME_NATIVE, 0);
	rig_process(&rig, APP, "app", RUNTIME_PYTHON, PROCESS_SDK);
	rig_process(&rig, NODE, "node", RUNTIME_NODE, 0);
	rig_process(&rig, COLLECTOR, "collector", RUNTIME_GO, 0);
	return 0;
}

/* The trace T has its root elsewhere: at the header's sender, or in the program's own span. */
static void check_trees(void)
{
	struct otlp_span_view view;
	char hex[33] = { 0 };

	for (unsigned int i = 0; i < rig.n_spans; i++) {
		assert_int_equal(otlp_span__read(rig.spans[i].message, &view), 0);
		ids__hex(hex, rig.spans[i].frame.trace_id, 16);
		if (rig_is_root(&rig.spans[i]))
			assert_string_not_equal(hex, T);
	}
}

/* Its only link names that span of T (id NULL: of ours); NULL and no span: it has none. */
static void check_link(const struct rig_span *span, const char *id, const struct rig_span *ours,
		       const char *method)
{
	struct pb pb = pb__of(span->message), link;
	struct otlp_value value;
	unsigned int n = 0;
	struct pb_field f;

	while (pb__next(&pb, &f) > 0) {
		char trace[33] = { 0 }, hex[17] = { 0 };
		struct view bytes = f.bytes;

		if (f.number != 13)
			continue;
		n++;
		link = pb__of(bytes);
		assert_int_equal(pb__next(&link, &f), 1);
		assert_int_equal(f.bytes.len, 16);
		ids__hex(trace, (const uint8_t *)f.bytes.at, 16);
		if (ours)
			assert_memory_equal(f.bytes.at, ours->frame.trace_id, 16);
		else
			assert_string_equal(trace, T);
		assert_int_equal(pb__next(&link, &f), 1);
		assert_int_equal(f.bytes.len, 8);
		ids__hex(hex, (const uint8_t *)f.bytes.at, 8);
		if (ours)
			assert_memory_equal(f.bytes.at, ours->frame.span_id, 8);
		else
			assert_string_equal(hex, id);
		assert_true(otlp_attributes__find(bytes, 4, VIEW("sonde.link.method"), &value));
		assert_int_equal(value.bytes.len, strlen(method));
		assert_memory_equal(value.bytes.at, method, strlen(method));
	}
	assert_int_equal(n, id || ours ? 1 : 0);
}

static int teardown(void **state)
{
	tracer__flush(rig.tracer);
	rig_check_whole(&rig, outside);
	check_trees();
	rig_stop(&rig);
	return 0;
}

static void check_parent(const struct rig_span *span, const char *id)
{
	char hex[17] = { 0 };

	ids__hex(hex, span->frame.parent_id, 8);
	assert_string_equal(hex, id);
	ids__hex(hex, span->frame.trace_id, 8);
	assert_memory_equal(hex, T, 16);
}

/* The app's own spans of the last 10 ms; parent "": the server span is a root. */
static void export_spans(uint32_t from, const char *x1_parent, bool server, bool client)
{
	char body[2048];
	unsigned long long now = (unsigned long long)RIG_EPOCH + rig.now;
	struct rig_call e = { .client = from,
			      .server = COLLECTOR,
			      .flags = EX_EXPORT,
			      .method = "POST",
			      .target = "/v1/traces",
			      .content_type = "application/json" };
	int n = snprintf(body, sizeof(body), "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[");

	if (server)
		n += snprintf(
			body + n, sizeof(body) - (size_t)n,
			"{\"traceId\":\"" T "\",\"spanId\":\"" X1 "\",\"parentSpanId\":\"%s\","
			"\"kind\":2,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":\"%llu\"},",
			x1_parent, now - 10 * RIG_MS, now);
	if (client)
		n += snprintf(body + n, sizeof(body) - (size_t)n,
			      "{\"traceId\":\"" T "\",\"spanId\":\"" X2 "\",\"parentSpanId\":\"" X1
			      "\",\"kind\":3,\"startTimeUnixNano\":\"%llu\",\"endTimeUnixNano\":"
			      "\"%llu\"},",
			      now - 10 * RIG_MS, now);
	n += snprintf(body + n, sizeof(body) - (size_t)n, "]}]}]}");
	e.body = body;
	e.body_len = (size_t)n;
	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
}

static void a_program_that_exports_has_its_spans_held_back(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};
	struct rig_call plain = { .client = APP, .server = NODE, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_clock(&rig, 2);
	rig_tell(&rig, &b);
	rig_ask(&rig, &plain);
	rig_tell(&rig, &plain);
	rig_clock(&rig, 1);
	rig_tell(&rig, &a);
	/* Beyond doubt: curl's, and what the call without a header led to. */
	assert_int_equal(rig.n_spans, 2);
	export_spans(APP, P, true, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 2);
	assert_int_equal(rig.account.trace.filtered_telemetry, 2);
	assert_int_equal(rig.n_spans, 4);
	check_parent(rig_span(&rig, "curl", 3, 0), P);
	/* The node's server span of the instrumented call, then of the plain one. */
	for (unsigned int i = 0; i < 2; i++) {
		struct rig_span *s = rig_span(&rig, "node", 2, i);

		if (rig_find(&rig, s->frame.parent_id))
			rig_check_child(s, rig_span(&rig, "app", 3, 0));
		else
			check_parent(s, X2);
	}
	/* The request's own span is the program's: what hung on it hangs there. */
	check_parent(rig_span(&rig, "app", 3, 0), X1);
	check_link(rig_span(&rig, "curl", 3, 0), NULL, NULL, NULL);
	assert_int_equal(rig.account.trace.ex_held, 0);
}

static void exports_may_come_before_our_own_end(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	export_spans(APP, P, true, true);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	assert_int_equal(rig.account.trace.filtered_duplicate, 2);
	assert_int_equal(rig.n_spans, 2);
	check_parent(rig_span(&rig, "node", 2, 0), X2);
}

static void without_a_header_the_callers_span_links_to_the_programs(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	/* The caller's waits for the proof: it is to name the program's span. */
	assert_int_equal(rig.n_spans, 0);
	export_spans(APP, "", true, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 2);
	assert_int_equal(rig.n_spans, 2);
	assert_true(rig_is_root(rig_span(&rig, "curl", 3, 0)));
	check_link(rig_span(&rig, "curl", 3, 0), X1, NULL, "export");
	check_parent(rig_span(&rig, "node", 2, 0), X2);
	check_link(rig_span(&rig, "node", 2, 0), NULL, NULL, NULL);
	assert_int_equal(rig.account.trace.ex_held, 0);
	assert_int_equal(rig.account.trace.links_unproven, 0);
}

static void even_where_the_program_is_not_known_yet(void **state)
{
	struct rig_call a = { .client = CURL, .server = 77 };
	struct rig_call b = {
		.client = 77, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};

	rig_read(&rig, &a); /* and the caller's record comes after the call's */
	rig_ask(&rig, &b);
	rig_write(&rig, &a);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	rig_clock(&rig, 20);
	rig_process(&rig, 77, "late", RUNTIME_PYTHON, PROCESS_SDK);
	rig.now -= 20 * RIG_MS;
	export_spans(77, "", true, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 2);
	assert_int_equal(rig.n_spans, 2);
	assert_true(rig_is_root(rig_span(&rig, "curl", 3, 0)));
	check_parent(rig_span(&rig, "node", 2, 0), X2);
}

/* One root server span, in a trace that nothing else was seen of. */
static void export_root(unsigned int port, const char *key)
{
	char body[1024];
	unsigned long long now = (unsigned long long)RIG_EPOCH + rig.now;
	struct rig_call e = { .client = APP,
			      .server = COLLECTOR,
			      .flags = EX_EXPORT,
			      .method = "POST",
			      .target = "/v1/traces",
			      .content_type = "application/json",
			      .body = body };

	e.body_len = (size_t)snprintf(
		body, sizeof(body),
		"{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"traceId\":\"" T
		"\",\"spanId\":\"" X1 "\",\"kind\":2,\"startTimeUnixNano\":\"%llu\","
		"\"endTimeUnixNano\":\"%llu\",\"attributes\":[{\"key\":\"http.method\",\"value\":"
		"{\"stringValue\":\"1\"}},{\"key\":\"%s\",\"value\":{\"intValue\":\"%u\"}}]}]}]}]}",
		now - 10 * RIG_MS, now, key, port);
	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
}

static void a_request_that_calls_nobody_is_told_by_its_port(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP };

	rig_ask(&rig, &a);
	rig_clock(&rig, 5);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 0);
	export_root(8081, "net.peer.port"); /* somebody else's connection */
	export_root(8080, "server.port");
	assert_int_equal(rig.account.trace.filtered_duplicate, 0);
	export_root(8080, "network.peer.port");
	assert_int_equal(rig.account.trace.filtered_duplicate, 1);
	assert_int_equal(rig.n_spans, 1);
	check_link(rig_span(&rig, "curl", 3, 0), X1, NULL, "export");
}

static void uninstrumented_calls_hang_on_the_programs_span(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP };
	struct rig_call plain = { .client = APP, .server = NODE, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &plain);
	rig_tell(&rig, &plain);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 0);
	export_root(8080, "net.peer.port");
	assert_int_equal(rig.n_spans, 3);
	check_parent(rig_span(&rig, "app", 3, 0), X1);
	rig_check_text(rig_span(&rig, "app", 3, 0), "sonde.link.method", "thread");
	rig_check_child(rig_span(&rig, "node", 2, 0), rig_span(&rig, "app", 3, 0));
	assert_memory_not_equal(rig_span(&rig, "curl", 3, 0)->frame.trace_id,
				rig_span(&rig, "app", 3, 0)->frame.trace_id, 16);
}

static void unread_exports_leave_two_trees_and_a_link(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	rig_clock(&rig, 10000);
	assert_int_equal(rig.account.trace.ex_held, 0);
	assert_int_equal(rig.account.trace.links_unproven, 2);
	assert_true(rig_is_root(rig_span(&rig, "curl", 3, 0)));
	check_link(rig_span(&rig, "curl", 3, 0), NULL, NULL, NULL);
	rig_check_child(rig_span(&rig, "app", 2, 0), rig_span(&rig, "curl", 3, 0));
	check_parent(rig_span(&rig, "app", 3, 0), X2);
	check_link(rig_span(&rig, "app", 3, 0), NULL, rig_span(&rig, "app", 2, 0), "thread");
	rig_check_child(rig_span(&rig, "node", 2, 0), rig_span(&rig, "app", 3, 0));
}

static void exports_that_cannot_be_read_are_counted(void **state)
{
	struct rig_call e = { .client = APP,
			      .server = COLLECTOR,
			      .flags = EX_EXPORT,
			      .method = "POST",
			      .target = "/v1/traces",
			      .content_type = "application/x-protobuf",
			      .body = (const char *)official_protobuf,
			      .body_len = sizeof(official_protobuf) };

	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
	assert_int_equal(rig.account.trace.exports_unread, 0);
	rig_ask(&rig, &e);
	e.c->flags |= EX_BODY_PARTIAL;
	rig_tell(&rig, &e);
	assert_int_equal(rig.account.trace.exports_unread, 1);
	e.content_type = "application/octet-stream";
	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
	assert_int_equal(rig.account.trace.exports_unread, 2);
	e.content_type = "application/x-protobuf";
	rig_ask(&rig, &e);
	rig_field(e.c, "Content-Encoding", "zstd");
	rig_tell(&rig, &e);
	assert_int_equal(rig.account.trace.exports_unread, 3);
}

static void only_what_is_exported_is_held_back(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(X2)
	};

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	export_spans(APP, P, false, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 1);
	rig_clock(&rig, 10000);
	assert_int_equal(rig.n_spans, 3);
	rig_check_child(rig_span(&rig, "app", 2, 0), rig_span(&rig, "curl", 3, 0));
}

static void a_program_that_exports_nothing_loses_nothing(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call b = {
		.client = APP, .server = NODE, .in_hand = &a, .traceparent = HEADER(P)
	};

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	rig_clock(&rig, 9999);
	assert_true(rig.n_spans < 4);
	rig_clock(&rig, 1);
	assert_int_equal(rig.n_spans, 4);
	assert_int_equal(rig.account.trace.filtered_duplicate, 0);
	check_parent(rig_span(&rig, "curl", 3, 0), P);
	rig_check_child(rig_span(&rig, "app", 2, 0), rig_span(&rig, "curl", 3, 0));
	rig_check_child(rig_span(&rig, "app", 3, 0), rig_span(&rig, "app", 2, 0));
	rig_check_child(rig_span(&rig, "node", 2, 0), rig_span(&rig, "app", 3, 0));
	rig_check_text(rig_span(&rig, "app", 3, 0), "sonde.link.method", "header");
	assert_int_equal(rig.account.trace.links_agree, 1);
	/* After long enough it is not waited for any more. */
	rig_clock(&rig, 21000);
	a.client_conn = a.server_conn = 0;
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 6);
}

static void a_relay_is_no_sdk(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call in = { .client = CURL,
			       .server = APP,
			       .flags = EX_EXPORT,
			       .method = "POST",
			       .target = "/v1/traces" };

	rig_ask(&rig, &in);
	rig_tell(&rig, &in);
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 2);
	export_spans(APP, P, true, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 0);
}

static void one_exported_span_covers_one_call(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) }, b = a;

	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	export_spans(APP, P, true, false);
	assert_int_equal(rig.account.trace.filtered_duplicate, 1);
	rig_clock(&rig, 10000);
	assert_int_equal(rig.n_spans, 3);
}

static void another_process_or_time_or_a_refusal_proves_nothing(void **state)
{
	struct rig_call a = { .client = CURL, .server = APP, .traceparent = HEADER(P) };
	struct rig_call e = { .client = APP,
			      .server = COLLECTOR,
			      .flags = EX_EXPORT,
			      .method = "POST",
			      .target = "/v1/traces",
			      .status = 503,
			      .content_type = "application/x-protobuf",
			      .body = (const char *)official_protobuf,
			      .body_len = sizeof(official_protobuf) };

	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
	export_spans(NODE, P, true, true);
	rig_clock(&rig, 5000);
	export_spans(APP, P, true, true);
	assert_int_equal(rig.account.trace.filtered_duplicate, 0);
	rig_clock(&rig, 5000);
	assert_int_equal(rig.n_spans, 2);
}

static void compressed_exports_are_read(void **state)
{
	struct rig_call e = { .client = APP,
			      .server = COLLECTOR,
			      .flags = EX_EXPORT,
			      .method = "POST",
			      .target = "/v1/traces?x=1",
			      .content_type = "application/x-protobuf",
			      .body = (const char *)official_gzip,
			      .body_len = sizeof(official_gzip) };
	struct found found = { .n = 0 };
	struct exchange *ex = rig_exchange(&rig, &e, SIDE_CLIENT);

	assert_int_equal(sdk__decode(ex, on_span, &found), 0); /* it does not say that it is */
	rig_field(ex, "Content-Encoding", "GZIP");
	assert_int_equal(sdk__decode(ex, on_span, &found), 2);
	check_two(&found);
	/* Cut off: the beginning is read. */
	found.n = 0;
	ex->body.len -= 30;
	sdk__decode(ex, on_span, &found);
	assert_true(found.n >= 1);
	ex->target = VIEW("/v1/metrics");
	assert_int_equal(sdk__format(ex), SDK_NONE);
	ex->target = VIEW("http://collector:4318/v1/traces");
	assert_int_equal(sdk__format(ex), SDK_OTLP_PROTOBUF);
	exchange__free(ex);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_format_says_the_same),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(deep_nesting_ends_the_reading),
		TEST(a_program_that_exports_has_its_spans_held_back),
		TEST(exports_may_come_before_our_own_end),
		TEST(without_a_header_the_callers_span_links_to_the_programs),
		TEST(a_request_that_calls_nobody_is_told_by_its_port),
		TEST(uninstrumented_calls_hang_on_the_programs_span),
		TEST(unread_exports_leave_two_trees_and_a_link),
		TEST(exports_that_cannot_be_read_are_counted),
		TEST(even_where_the_program_is_not_known_yet),
		TEST(only_what_is_exported_is_held_back),
		TEST(a_program_that_exports_nothing_loses_nothing),
		TEST(a_relay_is_no_sdk),
		TEST(one_exported_span_covers_one_call),
		TEST(another_process_or_time_or_a_refusal_proves_nothing),
		TEST(compressed_exports_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
