// SPDX-License-Identifier: Apache-2.0
/* Protects: both ends of a connection compute the same ids, and nobody else does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/siphash.h"
#include "core/ids.h"

static const struct engine_config config = {
	.fleet_key = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 },
	.boot_id = { 0xb0, 0x01 },
	.host_key = { 0x40, 0x57 },
};

static struct exchange tcp(enum exchange_side side)
{
	struct exchange ex = { .side = side, .turn = { 7, side, 3 }, .index = side };

	ex.edge = (struct edge){ .known = true,
				 .client_base = 0x01020304,
				 .server_base = 0xa1a2a3a4,
				 .offset = 0x1112131415161718,
				 .stream = 5 };
	return ex;
}

static uint64_t id_of(const struct engine_config *with, const struct exchange *ex, char tag)
{
	struct span_key key;
	struct span_ids ids;

	ids__key(with, ex, &key);
	ids__of(with->fleet_key, tag, &key, &ids);
	return ids.span;
}

static void layout_is_what_the_design_says(void **state)
{
	/* Other programs (a kernel that writes headers, an agent of another version) compute it too. */
	static const uint8_t bytes[] = { 'c',  0x01, 0x02, 0x03, 0x04, 0xa1, 0xa2,
					 0xa3, 0xa4, 0x11, 0x12, 0x13, 0x14, 0x15,
					 0x16, 0x17, 0x18, 0,	 0,    0,    5 };
	struct exchange ex = tcp(SIDE_CLIENT);

	assert_int_equal(id_of(&config, &ex, 'c'),
			 siphash24(config.fleet_key, bytes, sizeof(bytes)));
}

static void both_ends_agree_whatever_machine(void **state)
{
	struct exchange c = tcp(SIDE_CLIENT), s = tcp(SIDE_SERVER);
	struct engine_config other = config;

	memset(other.boot_id, 9, sizeof(other.boot_id));
	memset(other.host_key, 9, sizeof(other.host_key));
	assert_int_equal(id_of(&config, &c, 'c'), id_of(&other, &s, 'c'));
	assert_int_equal(id_of(&config, &c, 's'), id_of(&other, &s, 's'));
	assert_int_not_equal(id_of(&config, &c, 'c'), id_of(&config, &c, 's'));
	other.fleet_key[0]++;
	assert_int_not_equal(id_of(&config, &c, 'c'), id_of(&other, &c, 'c'));
}

static void every_field_counts(void **state)
{
	struct exchange base = tcp(SIDE_CLIENT), other = base;
	uint64_t id = id_of(&config, &base, 'c');

	other.edge.client_base++;
	assert_int_not_equal(id_of(&config, &other, 'c'), id);
	other = base;
	other.edge.server_base++;
	assert_int_not_equal(id_of(&config, &other, 'c'), id);
	other = base;
	other.edge.offset++;
	assert_int_not_equal(id_of(&config, &other, 'c'), id);
	other = base;
	other.edge.stream++;
	assert_int_not_equal(id_of(&config, &other, 'c'), id);
}

static void unix_pairs_agree_within_a_boot(void **state)
{
	struct exchange c = tcp(SIDE_CLIENT), s = tcp(SIDE_SERVER);
	struct engine_config other = config;

	c.edge.unix_pair = s.edge.unix_pair = true;
	c.edge.pair[0] = s.edge.pair[0] = 77;
	assert_int_equal(id_of(&config, &c, 'c'), id_of(&config, &s, 'c'));
	s.edge.pair[1]++;
	assert_int_not_equal(id_of(&config, &c, 'c'), id_of(&config, &s, 'c'));
	other.boot_id[15]++;
	assert_int_not_equal(id_of(&config, &c, 'c'), id_of(&other, &c, 'c'));
}

static void without_an_edge_the_place_on_the_machine_counts(void **state)
{
	struct exchange ex = { .turn = { 7, 1, 3 } }, other = ex;
	struct engine_config elsewhere = config;
	struct span_key key;
	uint64_t id = id_of(&config, &ex, 's');

	ids__key(&config, &ex, &key);
	assert_false(ids__is_tcp(&key));
	other.turn.conn++;
	assert_int_not_equal(id_of(&config, &other, 's'), id);
	other = ex;
	other.turn.turn++;
	assert_int_not_equal(id_of(&config, &other, 's'), id);
	other = ex;
	other.index++;
	assert_int_not_equal(id_of(&config, &other, 's'), id);
	other = ex;
	other.turn.tid++; /* the same turn, read by another thread */
	assert_int_equal(id_of(&config, &other, 's'), id);
	elsewhere.host_key[7]++;
	assert_int_not_equal(id_of(&elsewhere, &ex, 's'), id);
}

static void trace_ids_are_uniform_and_stable(void **state)
{
	struct exchange ex = tcp(SIDE_CLIENT);
	struct span_ids ids, again;
	struct span_key key;
	unsigned int ones[56] = { 0 };

	for (int i = 0; i < 4096; i++) {
		ex.edge.offset = (uint64_t)i;
		ids__key(&config, &ex, &key);
		ids__of(config.fleet_key, 's', &key, &ids);
		ids__of(config.fleet_key, 'c', &key, &again);
		assert_memory_equal(ids.trace, again.trace, 16);
		for (int b = 0; b < 56; b++)
			ones[b] += ids__get64(ids.trace + 8) >> b & 1;
	}
	/* 4096 fair coins: 2048 +- 6 standard deviations (of 32). */
	for (int b = 0; b < 56; b++)
		assert_in_range(ones[b], 2048 - 192, 2048 + 192);
}

static void hex_and_bytes(void **state)
{
	uint8_t bytes[8];
	char hex[16];

	ids__put64(bytes, 0x0123456789abcdef);
	assert_int_equal(bytes[0], 1);
	assert_int_equal(ids__get64(bytes), 0x0123456789abcdef);
	ids__hex(hex, bytes, 8);
	assert_memory_equal(hex, "0123456789abcdef", 16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_is_what_the_design_says),
		cmocka_unit_test(both_ends_agree_whatever_machine),
		cmocka_unit_test(every_field_counts),
		cmocka_unit_test(unix_pairs_agree_within_a_boot),
		cmocka_unit_test(without_an_edge_the_place_on_the_machine_counts),
		cmocka_unit_test(trace_ids_are_uniform_and_stable),
		cmocka_unit_test(hex_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
