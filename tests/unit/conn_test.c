// SPDX-License-Identifier: Apache-2.0
/* The table of connections and its timers. */
#include "sim_tracer.h"

#include "core/conn.h"

static struct core *core;
static struct account account;

static int setup(void **state)
{
	core = calloc(1, sizeof(*core));
	memset(&account, 0, sizeof(account));
	if (!core || conn_table__init(&core->conns, 5000))
		return -1;
	core->account = &account.trace;
	core->pool = exchange_pool__new(8);
	return 0;
}

static int teardown(void **state)
{
	conn_table__release(core);
	exchange_pool__free(core->pool);
	free(core);
	return 0;
}

/* Ids as the kernel makes them: processor << 48 | counter. */
static uint64_t id_of(uint32_t i)
{
	return (uint64_t)(i % 3) << 48 | (i / 3 + 1);
}

static void many(void **state)
{
	struct conn *conn;

	for (uint32_t i = 0; i < 5000; i++) {
		conn = conn__add(core, id_of(i));
		assert_non_null(conn);
		assert_int_equal(conn->slot, ~0u);
	}
	assert_int_equal(account.trace.conns_open, 5000);
	for (uint32_t i = 0; i < 5000; i++)
		assert_int_equal(conn__find(core, id_of(i))->id, id_of(i));
	/* out of the middle of every chain: the rest is still found */
	for (uint32_t i = 0; i < 5000; i += 2)
		conn__remove(conn__find(core, id_of(i)));
	for (uint32_t i = 0; i < 5000; i++) {
		conn = conn__find(core, id_of(i));
		assert_int_equal(conn != NULL, i % 2);
	}
	assert_int_equal(account.trace.conns_open, 2500);
}

static void random_life(void **state)
{
	static bool there[512];
	uint64_t seed = 88172645463325252ull;

	for (int step = 0; step < 100000; step++) {
		uint32_t i;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		i = (uint32_t)(seed >> 20) % 512;
		if (there[i])
			conn__remove(conn__find(core, id_of(i)));
		else
			assert_non_null(conn__add(core, id_of(i)));
		there[i] = !there[i];
		if (step % 1000 == 0)
			for (i = 0; i < 512; i++)
				assert_int_equal(conn__find(core, id_of(i)) != NULL, there[i]);
	}
}

static void longest_unused_goes(void **state)
{
	core->conns.max = 4;
	for (uint32_t i = 0; i < 4; i++)
		conn__add(core, id_of(i));
	conn__touch(conn__find(core, id_of(0)));
	conn__touch(conn__find(core, id_of(0)));
	conn__add(core, id_of(10));
	assert_null(conn__find(core, id_of(1)));
	assert_non_null(conn__find(core, id_of(0)));
	/* also when it is in the middle of the list */
	conn__touch(conn__find(core, id_of(3)));
	conn__add(core, id_of(11));
	assert_null(conn__find(core, id_of(2)));
	assert_int_equal(account.trace.conns_open, 4);
}

/* All are busy: then a busy one goes, and what was open on it is counted. */
static void busy_one_goes(void **state)
{
	static const struct sonde_evidence none;
	struct piece piece = { .dir = DIR_RX, .evidence = &none };

	core->conns.max = 2;
	for (uint32_t i = 0; i < 2; i++) {
		struct conn *conn = conn__add(core, id_of(i));

		assert_non_null(conn__open(conn, &piece, 0, &proto_http1));
	}
	conn__add(core, id_of(2));
	assert_null(conn__find(core, id_of(0)));
	assert_int_equal(account.trace.dropped_bound, 1);
	assert_int_equal(account.trace.ex_open, 1);
	conn__drop(conn__find(core, id_of(1)), conn__find(core, id_of(1))->first,
		   &account.trace.dropped_ring);
	assert_int_equal(account.trace.ex_open, 0);
	assert_int_equal(account.trace.ex_inside, 2);
}

/* ---- timers ---- */

#define MS 1000000ull

static void timers_in_order(void **state)
{
	struct wheel wheel = { 0 };
	struct wheel_timer t[4] = { 0 };

	assert_null(wheel__expired(&wheel, ~0ull));
	wheel__set(&wheel, &t[0], 1000 * MS, 300 * MS);
	wheel__set(&wheel, &t[1], 1000 * MS, 50 * MS);
	wheel__set(&wheel, &t[2], 1000 * MS, 3000 * MS);
	wheel__set(&wheel, &t[3], 1000 * MS, 100000 * MS); /* as far as it reaches */
	assert_true(wheel.next_ns > 1050 * MS && wheel.next_ns <= 1075 * MS);
	assert_null(wheel__expired(&wheel, 1049 * MS));
	assert_ptr_equal(wheel__expired(&wheel, 1080 * MS), &t[1]);
	assert_null(wheel__expired(&wheel, 1080 * MS));
	assert_true(wheel.next_ns > 1300 * MS && wheel.next_ns <= 1325 * MS);
	wheel__clear(&wheel, &t[0]);
	wheel__clear(&wheel, &t[0]);
	assert_null(wheel__expired(&wheel, 2000 * MS));
	assert_ptr_equal(wheel__expired(&wheel, 60000 * MS), &t[2]);
	assert_ptr_equal(wheel__expired(&wheel, 60000 * MS), &t[3]);
	assert_null(wheel__expired(&wheel, 60000 * MS));
	assert_int_equal(wheel.set, 0);
	assert_int_equal(wheel.next_ns, 0);
}

/* Connections that become due together cost one waking. */
static void timers_share(void **state)
{
	struct wheel wheel = { 0 };
	struct wheel_timer t[100] = { 0 };
	unsigned int n = 0;

	for (unsigned int i = 0; i < 100; i++)
		wheel__set(&wheel, &t[i], 1000 * MS + i * 1000, 200 * MS);
	wheel__set(&wheel, &t[50], 1000 * MS, 400 * MS); /* set again: once */
	wheel__clear(&wheel, &t[60]);
	while (wheel.set)
		n += wheel__expired(&wheel, wheel.next_ns) != NULL;
	assert_int_equal(n, 99);
	n = 0;
	for (uint64_t now = 1000 * MS; now < 2000 * MS; now += MS)
		while (wheel__expired(&wheel, now))
			n++;
	assert_int_equal(n, 0);
}

static void timers_at_random(void **state)
{
	static struct wheel wheel;
	static struct wheel_timer t[200];
	static uint64_t due[200];
	uint64_t seed = 42, now = 12345 * MS;

	for (int step = 0; step < 50000; step++) {
		struct wheel_timer *expired;
		uint32_t i, after;

		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		i = (uint32_t)(seed >> 20) % 200;
		after = (uint32_t)(seed >> 40) % 6000;
		if (after % 5) {
			wheel__set(&wheel, &t[i], now, after * MS);
			due[i] = now + after * MS;
		} else {
			wheel__clear(&wheel, &t[i]);
			due[i] = 0;
		}
		now += (seed >> 52) % 30 * MS;
		while ((expired = wheel__expired(&wheel, now))) {
			i = (uint32_t)(expired - t);
			assert_true(due[i] && due[i] <= now);
			due[i] = 0;
		}
		for (i = 0; i < 200; i++)
			assert_true(!due[i] || due[i] + WHEEL_TICK_NS > now);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(many),
		T(random_life),
		T(longest_unused_goes),
		T(busy_one_goes),
		T(timers_in_order),
		T(timers_share),
		T(timers_at_random),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
