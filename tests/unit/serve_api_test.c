// SPDX-License-Identifier: Apache-2.0
/* Protects: whatever a store holds, each answer of the API is JSON, and says what is there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/otlp_view.h"
#include "pbmake.h"
#include "serve/api.h"
#include "ship/store/store.h"

#define TRACE "61616161616161616161616161616161"
#define HUGE_BYTES 65536

static char folder[64];
static struct api *api;
static char huge[HUGE_BYTES + 1];

static const char *const hostile[] = {
	"<script>alert(1)</script>", "\xe2\x80\xae\"drow\\",	"\x01\x1f\x7f\n\r\t",
	"\xff\xfe\xc0\x80",	     "</title>'\"><img src=x>", huge,
};
#define HOSTILE (sizeof(hostile) / sizeof(hostile[0]))

static void add_span(struct queue *q, const char *name, uint8_t trace, uint8_t id, uint8_t parent)
{
	struct buf resource = { 0 }, scope = { 0 }, span = { 0 }, event = { 0 }, link = { 0 },
		   any = { 0 }, list = { 0 }, pair = { 0 };
	struct blob *blobs[2];

	pb_attribute_text(&resource, 1, "service.name", name);
	pb_attribute_text(&resource, 1, name, name);
	pb_text(&scope, 1, name);
	pb_text(&scope, 2, name);
	pb_text(&event, 2, name);
	pb_attribute_text(&event, 3, name, name);
	pb_bytes(&link, 1, "0123456789abcdef", 16);
	pb_bytes(&link, 2, "01234567", 8);
	pb_attribute_text(&link, 4, name, name);
	pb_span(&span, (struct pb_span){ .trace = trace,
					 .id = id,
					 .parent = parent,
					 .name = name,
					 .path = name,
					 .error_type = name,
					 .kind = 2 + id % 2,
					 .status = 2,
					 .http_status = 500,
					 .start_ns = 1700000000000000000 + id * 1000000ull,
					 .end_ns = 1700000000005000000 + id * 1000000ull });
	pb_text(&span, 3, name);
	pb_attribute_text(&span, 9, name, name);
	/* an array of one text */
	pb_text(&any, 1, name);
	pb_message(&list, 1, &any);
	pb_message(&any, 5, &list);
	pb_text(&pair, 1, "list");
	pb_message(&pair, 2, &any);
	pb_message(&span, 9, &pair);
	pb_message(&span, 11, &event);
	pb_message(&span, 13, &link);
	blobs[0] = blob__new(buf_view(&resource));
	blobs[1] = blob__new(buf_view(&scope));
	assert_int_equal(queue__push(q, blobs[0], blobs[1], buf_view(&span)), 0);
	blob__put(blobs[0]);
	blob__put(blobs[1]);
	buf__free(&resource);
	buf__free(&scope);
	buf__free(&span);
}

static int set_up(void **state)
{
	struct store_config config = {
		.folder = folder, .bytes_max = 64u << 20, .age_max_s = UINT32_MAX, .run = 1
	};
	struct queue q = { .bytes_max = 64u << 20 };
	struct err err = { "" };
	struct store *store;
	uint64_t large;

	memset(huge, 'x', HUGE_BYTES);
	snprintf(folder, sizeof(folder), "/tmp/sonde-serve-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	store = store__new(&config);
	for (unsigned int i = 0; i < HOSTILE; i++)
		add_span(&q, hostile[i], 'a', (uint8_t)(i + 1), (uint8_t)i);
	add_span(&q, "plain", 'b', 100, 0);
	assert_int_equal(store__write(store, &q, q.spans, &large, &err), 0);
	queue__free(&q);
	store__free(store);
	api = api__new(folder);
	return 0;
}

static int tear_down(void **state)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	api__free(api);
	while (dir && (e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	return rmdir(folder);
}

static char *ask_text(const char *path, bool protobuf, unsigned int *ret_status, size_t *ret_len)
{
	char copy[2048], *text;
	struct answer answer;
	struct target target;
	struct err err;
	size_t at = 0;
	long n;

	snprintf(copy, sizeof(copy), "%s", path);
	assert_int_equal(target__parse(copy, &target, &err), 0);
	api__ask(api, &target, protobuf, &answer);
	assert_non_null(answer.body);
	*ret_len = (size_t)body__length(answer.body);
	text = malloc(*ret_len + 1);
	while ((n = body__read(answer.body, text + at, *ret_len - at)) > 0)
		at += (size_t)n;
	assert_int_equal(at, *ret_len);
	text[at] = 0;
	*ret_status = answer.status;
	body__free(answer.body);
	return text;
}

/* No byte of a stranger's is markup or control in what is sent. */
static json_t *ask_json(const char *path, unsigned int status)
{
	unsigned int is;
	json_error_t why;
	json_t *root;
	size_t len;
	char *text = ask_text(path, false, &is, &len);

	if (is != status)
		fail_msg("%s: %u: %.300s", path, is, text);
	for (size_t i = 0; i + 1 < len; i++)
		assert_true((uint8_t)text[i] >= 0x20);
	root = json_loadb(text, len, JSON_ALLOW_NUL, &why);
	if (!root)
		fail_msg("%s: %s: %.*s", path, why.text, 100,
			 text + (why.position > 50 ? why.position - 50 : 0));
	free(text);
	return root;
}

static json_t *at(json_t *value, const char *path)
{
	char copy[128], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *key = strtok_r(copy, ".", &save); key; key = strtok_r(NULL, ".", &save))
		value = *key >= '0' && *key <= '9' ? json_array_get(value, (size_t)atoi(key)) :
						     json_object_get(value, key);
	return value;
}

static void every_path_is_json(void **state)
{
	static const char *const paths[] = {
		"/api/v1/health",
		"/api/v1/services",
		"/api/v1/operations?service=plain",
		"/api/v1/search",
		"/api/v1/traces/" TRACE,
		"/api/v1/statistics",
		"/api/v1/statistics?buckets=240&service=plain",
		"/api/v1/map",
		"/jaeger/api/services",
		"/jaeger/api/services/plain/operations",
		"/jaeger/api/operations?service=plain",
		"/jaeger/api/traces?service=plain",
		"/jaeger/api/traces?service=plain&traceID=" TRACE,
		"/jaeger/api/traces/" TRACE,
		"/jaeger/api/traces/" TRACE "?raw=true",
		"/jaeger/api/traces?service=plain&tag=otel.scope.name:x&tag=event:y&tag=list:[]",
		"/jaeger/api/dependencies",
		"/tempo/api/traces/" TRACE,
		"/tempo/api/v2/traces/" TRACE,
		"/tempo/api/search",
		"/tempo/api/search?tags=a+b%3D%22c%22+root.name%3Dd&minDuration=1ns&maxDuration=1h",
		"/tempo/api/search/tags",
		"/tempo/api/search/tag/service.name/values",
		"/tempo/api/search/tag/list/values",
		"/tempo/api/search/tag/name/values",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		json_decref(ask_json(paths[i], 200));
}

static void hostile_names_come_back_as_text(void **state)
{
	json_t *root = ask_json("/api/v1/services", 200);
	bool found = false;
	json_t *service;
	size_t i;

	assert_int_equal(json_array_size(at(root, "services")), HOSTILE + 1);
	json_array_foreach(at(root, "services"), i, service) found |=
		!strcmp(json_string_value(at(service, "name")), hostile[0]);
	assert_true(found);
	json_decref(root);
	root = ask_json("/api/v1/traces/" TRACE, 200);
	assert_int_equal(json_array_size(at(root, "resourceSpans")), HOSTILE);
	assert_true(json_is_false(at(root, "sonde.lost")));
	assert_true(json_is_false(at(root, "sonde.incomplete")));
	found = false;
	json_array_foreach(at(root, "resourceSpans"), i, service) found |=
		!strcmp(json_string_value(at(service, "scopeSpans.0.spans.0.name")), huge);
	assert_true(found);
	json_decref(root);
}

static void search_tells_of_traces(void **state)
{
	json_t *root = ask_json("/api/v1/search?service=plain&status=error&limit=5", 200);
	json_t *trace = at(root, "traces.0");

	assert_int_equal(json_array_size(at(root, "traces")), 1);
	assert_string_equal(json_string_value(at(trace, "trace_id")),
			    "62626262626262626262626262626262");
	assert_int_equal(json_integer_value(at(trace, "spans")), 1);
	assert_int_equal(json_integer_value(at(trace, "errors")), 1);
	assert_string_equal(json_string_value(at(trace, "start_unix_nano")), "1700000000100000000");
	assert_string_equal(json_string_value(at(trace, "duration_nano")), "5000000");
	assert_string_equal(json_string_value(at(trace, "root.service")), "plain");
	assert_string_equal(json_string_value(at(trace, "root.status")), "error");
	assert_string_equal(json_string_value(at(trace, "matched.0.span_id")), "6464646464646464");
	json_decref(root);
	root = ask_json("/api/v1/search?limit=1", 200);
	assert_int_equal(json_array_size(at(root, "traces")), 1);
	json_decref(root);
	root = ask_json("/api/v1/search?service=nobody", 200);
	assert_int_equal(json_array_size(at(root, "traces")), 0);
	assert_true(json_is_false(at(root, "incomplete")));
	json_decref(root);
	/* The first span of the trace, whose parent is not there. */
	root = ask_json(
		"/api/v1/"
		"search?attr=http.response.status_code%3D500&end_unix_nano=1700000000001000000",
		200);
	assert_int_equal(json_array_size(at(root, "traces")), 1);
	assert_int_equal(json_integer_value(at(root, "traces.0.spans")), HOSTILE);
	assert_int_equal(json_array_size(at(root, "traces.0.matched")), 1);
	json_decref(root);
}

static void health_counts(void **state)
{
	json_t *root = ask_json("/api/v1/health", 200);

	assert_int_equal(json_integer_value(at(root, "store.spans")), HOSTILE + 1);
	assert_int_equal(json_integer_value(at(root, "store.partitions")), 1);
	assert_int_equal(json_integer_value(at(root, "store.damaged")), 0);
	assert_true(json_integer_value(at(root, "store.bytes")) > 0);
	assert_string_equal(json_string_value(at(root, "store.oldest_unix_nano")),
			    "1700000000001000000");
	assert_string_equal(json_string_value(at(root, "store.newest_unix_nano")),
			    "1700000000105000000");
	json_decref(root);
}

static void errors_say_what_to_do(void **state)
{
	static const struct {
		const char *path;
		unsigned int status;
	} cases[] = {
		{ "/api", 404 },
		{ "/api/v1/none", 404 },
		{ "/api/v1/account", 404 },
		{ "/api/v1/health/more", 404 },
		{ "/api/v1/traces/xyz", 400 },
		{ "/api/v1/traces/00000000000000000000000000000001", 404 },
		{ "/api/v1/search?limit=0", 400 },
		{ "/api/v1/search?nope=1", 400 },
		{ "/api/v1/services?start_unix_nano=x", 400 },
		{ "/api/v1/operations?kind=server", 400 },
	};
	static const char *const parts[] = { "error.what", "error.why", "error.do" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *root = ask_json(cases[i].path, cases[i].status);

		for (size_t k = 0; k < 3; k++)
			assert_true(json_string_length(at(root, parts[k])) > 0);
		json_decref(root);
	}
}

static void jaeger_answers(void **state)
{
	json_t *root =
		ask_json("/jaeger/api/traces?service=plain&tags=%7B%22error%22%3A%22true%22%7D"
			 "&minDuration=5ms&start=1700000000000000&end=1700000001000000",
			 200);
	json_t *span = at(root, "data.0.spans.0");

	assert_string_equal(json_string_value(at(span, "spanID")), "6464646464646464");
	assert_int_equal(json_integer_value(at(span, "startTime")), 1700000000100000);
	assert_int_equal(json_integer_value(at(span, "duration")), 5000);
	assert_string_equal(json_string_value(at(span, "references.0.refType")), "FOLLOWS_FROM");
	assert_string_equal(json_string_value(at(span, "logs.0.fields.0.value")), "plain");
	assert_string_equal(json_string_value(at(span, "processID")), "p1");
	assert_string_equal(json_string_value(at(root, "data.0.processes.p1.serviceName")),
			    "plain");
	json_decref(root);
	json_decref(ask_json("/jaeger/api/traces", 400));
	json_decref(ask_json("/jaeger/api/traces?service=plain&tags=x", 400));
	json_decref(ask_json("/jaeger/api/traces?service=plain&minDuration=5", 400));
	root = ask_json("/jaeger/api/traces/1", 404);
	assert_string_equal(json_string_value(at(root, "errors.0.msg")), "trace not found");
	json_decref(root);
}

static void tempo_answers(void **state)
{
	json_t *root = ask_json("/tempo/api/search?tags=service.name%3Dplain&minDuration=1ms", 200);
	unsigned int status;
	struct pb_field f;
	uint64_t spans = 0;
	struct pb pb;
	size_t len;
	char *text;

	assert_string_equal(json_string_value(at(root, "traces.0.rootServiceName")), "plain");
	assert_int_equal(json_integer_value(at(root, "traces.0.durationMs")), 5);
	json_decref(root);
	root = ask_json("/tempo/api/traces/62626262626262626262626262626262", 200);
	assert_string_equal(json_string_value(at(root, "batches.0.scopeSpans.0.spans.0.kind")),
			    "SPAN_KIND_SERVER");
	assert_string_equal(json_string_value(
				    at(root, "batches.0.scopeSpans.0.spans.0.status.code")),
			    "STATUS_CODE_ERROR");
	assert_string_equal(json_string_value(at(root, "batches.0.scopeSpans.0.spans.0.traceId")),
			    "YmJiYmJiYmJiYmJiYmJiYg==");
	json_decref(root);
	/* ResourceSpans, one a group, each whole. */
	text = ask_text("/tempo/api/traces/" TRACE, true, &status, &len);
	pb = pb__of((struct view){ text, len });
	while (pb__next(&pb, &f) == 1) {
		assert_int_equal(f.number, 1);
		assert_int_equal(f.wire, PB_BYTES);
		spans++;
	}
	assert_int_equal(spans, HOSTILE);
	assert_ptr_equal(pb.at, pb.end);
	free(text);
	text = ask_text("/tempo/api/v2/traces/" TRACE, true, &status, &len);
	pb = pb__of((struct view){ text, len });
	assert_int_equal(pb__next(&pb, &f), 1);
	assert_int_equal(f.number, 1);
	assert_ptr_equal(pb.at, pb.end);
	free(text);
	text = ask_text("/tempo/api/search?q=nonsense", false, &status, &len);
	assert_int_equal(status, 400);
	free(text);
	text = ask_text("/tempo/api/echo", false, &status, &len);
	assert_string_equal(text, "echo\n");
	free(text);
}

static void a_folder_that_is_gone_is_said(void **state)
{
	struct api *other = api__new("/proc/none"), *ours = api;

	api = other;
	json_decref(ask_json("/api/v1/search", 503));
	json_decref(ask_json("/api/v1/services", 503));
	json_decref(ask_json("/api/v1/traces/" TRACE, 503));
	api = ours;
	api__free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_path_is_json),
		cmocka_unit_test(hostile_names_come_back_as_text),
		cmocka_unit_test(search_tells_of_traces),
		cmocka_unit_test(health_counts),
		cmocka_unit_test(errors_say_what_to_do),
		cmocka_unit_test(jaeger_answers),
		cmocka_unit_test(tempo_answers),
		cmocka_unit_test(a_folder_that_is_gone_is_said),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
