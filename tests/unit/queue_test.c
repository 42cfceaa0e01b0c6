// SPDX-License-Identifier: Apache-2.0
/* Protects: queues keep their bounds and their order; requests hold each span once, grouped, as it was encoded. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "core/otlp_view.h"
#include "pbmake.h"
#include "registry.h"
#include "ship/export/batch.h"
#include "ship/export/queue.h"

static void push_number(struct queue *q, struct blob *resource, uint32_t n, size_t len)
{
	char *bytes = calloc(1, len);

	memcpy(bytes, &n, sizeof(n));
	assert_int_equal(queue__push(q, resource, NULL, (struct view){ bytes, len }), 0);
	free(bytes);
}

static uint32_t number_of(const struct queue_entry *entry)
{
	uint32_t n;

	memcpy(&n, entry->bytes, sizeof(n));
	return n;
}

static void first_in_first_out(void **state)
{
	struct queue q = { .bytes_max = 64 << 20 };
	uint32_t in = 0, out = 0;

	srand(1);
	while (out < 50000) {
		unsigned int push = (unsigned int)rand() % 300, drop = (unsigned int)rand() % 300;
		struct queue_cursor cursor;
		const struct queue_entry *entry;
		uint32_t n;

		for (unsigned int i = 0; i < push; i++)
			push_number(&q, NULL, in++,
				    rand() % 1000 ? 4 + (size_t)(rand() % 900) : 200000);
		cursor = queue__begin(&q);
		n = out;
		while ((entry = queue__next(&cursor)))
			assert_int_equal(number_of(entry), n++);
		assert_int_equal(n, in);
		assert_int_equal(q.spans, in - out);
		queue__drop(&q, drop);
		out = out + drop > in ? in : out + drop;
	}
	queue__free(&q);
	assert_true(!q.bytes && !q.spans && !q.head && !q.tail);
}

static void bounded_in_bytes(void **state)
{
	struct queue q = { .bytes_max = 1000 };
	char bytes[4096] = "";

	for (int i = 0; i < 3; i++)
		assert_int_equal(queue__push(&q, NULL, NULL, (struct view){ bytes, 300 }), 0);
	assert_int_equal(queue__push(&q, NULL, NULL, (struct view){ bytes, 300 }), -ENOBUFS);
	assert_true(q.bytes <= 1000 && q.spans == 3);
	queue__drop(&q, 1);
	assert_int_equal(queue__push(&q, NULL, NULL, (struct view){ bytes, 300 }), 0);
	assert_int_equal(queue__push(&q, NULL, NULL, (struct view){ bytes, 4096 }), -ENOBUFS);
	queue__free(&q);
}

static void bounded_in_spans(void **state)
{
	struct queue q = { .bytes_max = 1 << 20, .spans_max = 2 };

	push_number(&q, NULL, 1, 4);
	push_number(&q, NULL, 2, 4);
	assert_int_equal(queue__push(&q, NULL, NULL, VIEW("x")), -ENOBUFS);
	queue__drop(&q, 5);
	assert_int_equal(q.spans, 0);
	push_number(&q, NULL, 3, 4);
	queue__free(&q);
}

static void an_empty_queue_holds_what_a_batch_takes(void **state)
{
	struct queue q = { .bytes_max = 64 << 20 };

	for (uint32_t i = 0; i < 10000; i++)
		push_number(&q, NULL, i, 500);
	queue__drop(&q, 10000);
	assert_null(q.head);
	assert_int_equal(q.n_spare, QUEUE_SPARE_MAX);
	/* and goes on with that */
	for (uint32_t i = 0; i < 1000; i++)
		push_number(&q, NULL, i, 500);
	assert_true(q.n_spare < QUEUE_SPARE_MAX);
	queue__free(&q);
	assert_null(q.spare);
	assert_int_equal(q.n_spare, 0);
}

static void resources_live_as_long_as_their_spans(void **state)
{
	struct blob *blob = blob__new(VIEW("resource"));
	struct queue q = { .bytes_max = 1 << 20 };

	push_number(&q, blob, 1, 10);
	push_number(&q, blob, 2, 10);
	assert_int_equal(blob->refs, 3);
	blob__put(blob);
	queue__drop(&q, 1);
	assert_int_equal(blob->refs, 1);
	assert_true(view_eq(blob__view(blob), VIEW("resource")));
	queue__free(&q);
	blob__put(NULL);
	assert_int_equal(blob__view(NULL).len, 0);
}

static void prefixes(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };

	assert_int_equal(queue__prefix(&q, 10, 1000), 0);
	for (uint32_t i = 0; i < 10; i++)
		push_number(&q, NULL, i, 100);
	assert_int_equal(queue__prefix(&q, 4, 100000), 4);
	assert_int_equal(queue__prefix(&q, 100, 100000), 10);
	assert_int_equal(queue__prefix(&q, 100, 350), 3);
	assert_int_equal(queue__prefix(&q, 100, 300), 3);
	assert_int_equal(queue__prefix(&q, 100, 1), 1); /* one that is too long goes alone */
	assert_int_equal(queue__prefix(&q, 0, 1000), 0);
	queue__free(&q);
}

#define RESOURCES 5
#define SPANS 200

static struct blob *resource_blob(const char *service)
{
	struct buf b = { 0 };
	struct blob *blob;

	pb_resource(&b, service);
	blob = blob__new(buf_view(&b));
	buf__free(&b);
	return blob;
}

static void push_span(struct queue *q, struct blob *resource, struct blob *scope, uint8_t id)
{
	struct buf b = { 0 };

	pb_span(&b, (struct pb_span){
			    .trace = 1, .id = id, .kind = 2, .path = "/", .http_status = 200 });
	assert_int_equal(queue__push(q, resource, scope, buf_view(&b)), 0);
	buf__free(&b);
}

static void fill(struct queue *q, struct blob **resources, struct blob *scope)
{
	for (int i = 0; i < RESOURCES; i++) {
		char service[8] = { 's', (char)('0' + i) };

		resources[i] = resource_blob(service);
	}
	for (int i = 0; i < SPANS; i++)
		push_span(q, resources[i * 7 % RESOURCES], scope, (uint8_t)(i + 1));
}

/* Reads one message field by number; the field must be there. */
static struct view field(struct view message, uint32_t number, struct pb *rest)
{
	struct pb pb = rest && rest->at ? *rest : pb__of(message);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0) {
		if (f.number != number)
			continue;
		if (rest)
			*rest = pb;
		return f.bytes;
	}
	return (struct view){ NULL, 0 };
}

static void protobuf_requests(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct blob *resources[RESOURCES], *scope = blob__new(VIEW("\x0a\x05sonde"));
	bool seen[256] = { false };
	struct batch batch = { 0 };
	struct buf out = { 0 };
	struct view group;
	struct pb groups = { 0 };
	uint64_t bad;
	int n = 0, n_groups = 0;

	fill(&q, resources, scope);
	assert_int_equal(batch__encode(&batch, &q, SPANS, BATCH_PROTOBUF, &out, &bad), 0);
	assert_int_equal(bad, 0);
	while ((group = field(buf_view(&out), 1, &groups)).at) {
		struct view scope_spans = field(group, 2, NULL), bytes;
		struct pb spans = { 0 };
		uint8_t last = 0;

		n_groups++;
		assert_true(view_eq(field(group, 3, NULL), VIEW(SEMCONV_SCHEMA_URL)));
		assert_true(view_eq(field(scope_spans, 3, NULL), VIEW(SEMCONV_SCHEMA_URL)));
		assert_true(view_eq(field(scope_spans, 1, NULL), blob__view(scope)));
		while ((bytes = field(scope_spans, 2, &spans)).at) {
			struct otlp_span_view span;
			uint8_t id;

			assert_int_equal(otlp_span__read(bytes, &span), 0);
			id = (uint8_t)*span.span_id.at;
			assert_true(id > last && !seen[id]); /* each once, in order */
			assert_true(view_eq(field(group, 1, NULL),
					    blob__view(resources[(id - 1) * 7 % RESOURCES])));
			seen[id] = true;
			last = id;
			n++;
		}
	}
	assert_int_equal(n, SPANS);
	assert_int_equal(n_groups, RESOURCES);
	for (int i = 0; i < RESOURCES; i++)
		blob__put(resources[i]);
	blob__put(scope);
	queue__free(&q);
	batch__free(&batch);
	buf__free(&out);
}

/* However it is cut, and begun once more: the same bytes, as many as were said. */
static void protobuf_in_pieces(void **state)
{
	static const size_t rooms[] = { 1, 2, 3, 7, 64, 1000, 1 << 20 };
	struct queue q = { .bytes_max = 1 << 20 };
	struct blob *resources[RESOURCES], *scope = blob__new(VIEW("\x0a\x05sonde"));
	struct batch batch = { 0 };
	struct buf whole = { 0 };
	size_t bytes, n, done;
	uint8_t *to;
	uint64_t bad;

	fill(&q, resources, scope);
	assert_int_equal(batch__encode(&batch, &q, SPANS, BATCH_PROTOBUF, &whole, &bad), 0);
	assert_int_equal(batch__begin(&batch, &q, SPANS, &bytes), 0);
	assert_int_equal(bytes, whole.len);
	to = malloc(bytes);
	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		batch__read(&batch, to, bytes / 3);
		batch__rewind(&batch);
		for (done = 0;; done += n) {
			size_t room = rooms[i] < bytes - done ? rooms[i] : bytes - done;

			n = batch__read(&batch, to + done, room);
			assert_int_equal(n, room);
			if (!n)
				break;
		}
		assert_int_equal(done, bytes);
		assert_memory_equal(to, whole.at, bytes);
	}
	assert_int_equal(batch__begin(&batch, &q, 0, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(batch__read(&batch, to, 1), 0);
	free(to);
	for (int i = 0; i < RESOURCES; i++)
		blob__put(resources[i]);
	blob__put(scope);
	queue__free(&q);
	batch__free(&batch);
	buf__free(&whole);
}

static void json_requests(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct blob *resources[RESOURCES], *scope = blob__new(VIEW("\x0a\x05sonde"));
	struct batch batch = { 0 };
	struct buf out = { 0 };
	uint64_t bad;
	json_t *root;

	fill(&q, resources, scope);
	assert_int_equal(queue__push(&q, resources[0], scope, VIEW("\xff\xff")), 0);
	for (uint64_t n = 1; n <= SPANS + 1; n += 50) {
		size_t spans = 0, i;
		json_t *group;

		buf__clear(&out);
		assert_int_equal(batch__encode(&batch, &q, n, BATCH_JSON, &out, &bad), 0);
		assert_int_equal(bad, n > SPANS);
		root = json_loadb((char *)out.at, out.len, JSON_REJECT_DUPLICATES, NULL);
		assert_non_null(root);
		json_array_foreach(json_object_get(root, "resourceSpans"), i, group)
		{
			json_t *list =
				json_object_get(json_array_get(json_object_get(group, "scopeSpans"),
							       0),
						"spans");

			assert_true(json_array_size(list) > 0);
			spans += json_array_size(list);
		}
		assert_int_equal(spans, n - bad);
		json_decref(root);
	}
	for (int i = 0; i < RESOURCES; i++)
		blob__put(resources[i]);
	blob__put(scope);
	queue__free(&q);
	batch__free(&batch);
	buf__free(&out);
}

static void no_empty_request(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct batch batch = { 0 };
	struct buf out = { 0 };
	uint64_t bad;

	assert_int_equal(batch__encode(&batch, &q, 10, BATCH_PROTOBUF, &out, &bad), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(batch__encode(&batch, &q, 10, BATCH_JSON, &out, &bad), 0);
	assert_int_equal(out.len, 0);
	assert_int_equal(queue__push(&q, NULL, NULL, VIEW("\xff")), 0);
	assert_int_equal(batch__encode(&batch, &q, 1, BATCH_JSON, &out, &bad), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(out.len, 0);
	queue__free(&q);
	batch__free(&batch);
	buf__free(&out);
}

static void spans_without_a_resource(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct batch batch = { 0 };
	struct buf out = { 0 };
	uint64_t bad;

	push_span(&q, NULL, NULL, 1);
	assert_int_equal(batch__encode(&batch, &q, 1, BATCH_JSON, &out, &bad), 0);
	buf__add(&out, "", 1);
	assert_non_null(strstr((char *)out.at, "{\"resource\":{\"attributes\":[]}"));
	queue__free(&q);
	batch__free(&batch);
	buf__free(&out);
}

static void requests_have_a_limit(void **state)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct batch batch = { 0 };
	struct buf out = { .max = 100 };
	uint64_t bad;

	push_span(&q, NULL, NULL, 1);
	push_span(&q, NULL, NULL, 2);
	assert_int_equal(batch__encode(&batch, &q, 2, BATCH_PROTOBUF, &out, &bad), -EMSGSIZE);
	buf__clear(&out);
	assert_int_equal(batch__encode(&batch, &q, 2, BATCH_JSON, &out, &bad), -EMSGSIZE);
	queue__free(&q);
	batch__free(&batch);
	buf__free(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_in_first_out),
		cmocka_unit_test(bounded_in_bytes),
		cmocka_unit_test(bounded_in_spans),
		cmocka_unit_test(an_empty_queue_holds_what_a_batch_takes),
		cmocka_unit_test(resources_live_as_long_as_their_spans),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(protobuf_requests),
		cmocka_unit_test(protobuf_in_pieces),
		cmocka_unit_test(json_requests),
		cmocka_unit_test(no_empty_request),
		cmocka_unit_test(spans_without_a_resource),
		cmocka_unit_test(requests_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
