// SPDX-License-Identifier: Apache-2.0
/* Protects: a process is one resource, with everything that is known and nothing twice. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "core/otlp_view.h"
#include "core/process.h"

static void add_pair(struct buf *to, const char *key, const char *text, const int64_t *number)
{
	uint16_t key_len = (uint16_t)strlen(key);
	uint16_t value_len = number ? 8 : (uint16_t)strlen(text);
	uint8_t head[8] = { 0 };

	memcpy(head, &key_len, 2);
	memcpy(head + 2, &value_len, 2);
	head[4] = number != NULL;
	buf__add(to, head, sizeof(head));
	buf__add_str(to, key);
	buf__add(to, number ? (const void *)number : text, value_len);
}

static unsigned int count(const struct process *p, const char *key, struct otlp_value *last)
{
	struct view message = { (const char *)p->encoded.at, p->encoded.len }, name;
	struct otlp_attributes it = otlp_attributes__of(message, OTLP_RESOURCE_ATTRIBUTES);
	struct otlp_value value;
	unsigned int n = 0;

	while (otlp_attributes__next(&it, &name, &value) == 1)
		if (view_eq(name, view_of(key))) {
			*last = value;
			n++;
		}
	return n;
}

static void check_text(const struct process *p, const char *key, const char *text)
{
	struct otlp_value value;

	assert_int_equal(count(p, key, &value), 1);
	assert_true(view_eq(value.bytes, view_of(text)));
}

static void own_attributes_come_before_the_hosts(void **state)
{
	struct message_process m = {
		.tgid = 7, .tgid_start_ns = 9, .runtime = RUNTIME_PYTHON, .attributes = 4
	};
	struct engine_config config = { .n_host_attributes = 3 };
	struct buf host = { 0 }, own = { 0 };
	struct process_table table;
	struct otlp_value value;
	struct process *p;
	int64_t pid = 4242;

	add_pair(&host, "host.name", "box", NULL);
	add_pair(&host, "telemetry.sdk.language", "unknown", NULL);
	add_pair(&host, "service.name", "everything here", NULL);
	config.host_attributes = host.at;
	config.host_attributes_bytes = host.len;
	assert_int_equal(process_table__init(&table, &config), 0);
	add_pair(&own, "process.pid", NULL, &pid);
	add_pair(&own, "telemetry.sdk.language", "python", NULL);
	add_pair(&own, "container.id", "abc", NULL);
	add_pair(&own, "container.id", "twice", NULL);
	assert_int_equal(process_table__learn(&table, &m, own.at, own.len, &p), 0);
	check_text(p, "host.name", "box");
	check_text(p, "telemetry.sdk.language", "python");
	check_text(p, "container.id", "abc");
	check_text(p, "service.name", "everything here");
	assert_true(view_eq(process__service(p), VIEW("everything here")));
	assert_int_equal(count(p, "process.pid", &value), 1);
	assert_int_equal(value.number, pid);
	assert_int_equal(p->revision, 1);
	assert_int_equal(p->runtime, RUNTIME_PYTHON);
	/* Its own name beats the host's; a later answer replaces the one before. */
	buf__clear(&own);
	add_pair(&own, "service.name", "shop", NULL);
	m.attributes = 1;
	m.runtime = 999;
	assert_int_equal(process_table__learn(&table, &m, own.at, own.len, &p), 0);
	check_text(p, "service.name", "shop");
	assert_int_equal(count(p, "container.id", &value), 0);
	assert_int_equal(p->revision, 2);
	assert_int_equal(p->runtime, RUNTIME_UNKNOWN);
	process_table__release(&table);
	buf__free(&host);
	buf__free(&own);
}

static void a_resource_is_bounded(void **state)
{
	struct message_process m = { .tgid = 7, .tgid_start_ns = 9, .attributes = 101 };
	struct engine_config config = { 0 };
	struct process_table table;
	struct buf own = { 0 };
	struct process *p;
	char value[60001], key[8];

	memset(value, 'v', sizeof(value));
	value[60000] = 0;
	assert_int_equal(process_table__init(&table, &config), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		add_pair(&own, key, i == 50 ? "short" : value, NULL);
	}
	add_pair(&own, "service.name", value, NULL);
	assert_int_equal(process_table__learn(&table, &m, own.at, own.len, &p), 0);
	assert_true(p->encoded.len < 70000);
	check_text(p, "k50", "short");
	assert_int_equal(process__service(p).len, PROCESS_SERVICE_MAX_BYTES);
	process_table__release(&table);
	buf__free(&own);
}

static void the_unknown_say_so(void **state)
{
	struct engine_config config = { .processes_max = 1 };
	struct process_table table;
	struct otlp_value value;
	struct process *p;
	bool is_new;

	assert_int_equal(process_table__init(&table, &config), 0);
	p = process_table__get(&table, (struct process_key){ 77, 1 }, &is_new);
	assert_true(is_new);
	process__encode_unknown(&table, p);
	check_text(p, "service.name", "unknown_service");
	assert_int_equal(count(p, "process.pid", &value), 1);
	assert_int_equal(value.number, 77);
	/* One that is in use makes no room; one that is not does. */
	p->refs++;
	assert_null(process_table__get(&table, (struct process_key){ 78, 1 }, &is_new));
	process__put(&table, p);
	p = process_table__get(&table, (struct process_key){ 78, 1 }, &is_new);
	assert_non_null(p);
	assert_null(process_table__find(&table, (struct process_key){ 77, 1 }));
	assert_int_not_equal(p->resource, 1);
	/* A pid that is used again is another process. */
	p = process_table__get(&table, (struct process_key){ 78, 2 }, &is_new);
	assert_true(is_new);
	process__mark_gone(&table, p);
	assert_null(process_table__find(&table, (struct process_key){ 78, 2 }));
	process_table__release(&table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(own_attributes_come_before_the_hosts),
		cmocka_unit_test(a_resource_is_bounded),
		cmocka_unit_test(the_unknown_say_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
