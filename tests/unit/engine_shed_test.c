// SPDX-License-Identifier: Apache-2.0
/* Protects: busy connections are shed between exchanges, all that is begun is told, and they come back. */
#include "engine_fixture.h"

#define ALL GOVERNOR_STEPS

static void exchange(struct sim_conn *c, bool server)
{
	sim_say(c, server ? RX : TX, GET);
	sim_say(c, server ? TX : RX, OK5);
}

static void busy_is_shed(struct sim *sim, bool server)
{
	struct sim_conn *c =
		sim_connect(sim, server ? SONDE_ROLE_PASSIVE : SONDE_ROLE_ACTIVE, true);
	struct sim_conn *calm =
		sim_connect(sim, server ? SONDE_ROLE_PASSIVE : SONDE_ROLE_ACTIVE, true);
	uint32_t seen;

	engine__shed(sim->engine, ALL);
	for (uint32_t i = 0; i < 100; i++)
		exchange(c, server);
	exchange(calm, server);
	seen = sim_n_ended;
	assert_int_equal(seen, GOVERNOR_BUSY_HZ + 1 + 1);
	assert_int_equal(sim->shed_exchanges, 100 + 1 - seen);
	assert_int_equal(calm->wish, 0);
	/* Of those that are not looked at nothing is open, and nothing is lost. */
	assert_int_equal(sim->account.trace.ex_open, 0);
	engine__shed(sim->engine, ALL);
	assert_int_equal(c->wish & SONDE_WISH_SHED, SONDE_WISH_SHED);

	engine__shed(sim->engine, 0);
	assert_int_equal(c->wish & SONDE_WISH_SHED, 0);
	for (uint32_t i = 0; i < 5; i++)
		exchange(c, server);
	assert_int_equal(sim_n_ended, seen + 5);
	assert_int_equal(sim_ended_at(seen)->status, 200);
	assert_int_equal(sim->shed_exchanges, 100 + 1 - seen);
	sim_gone(c);
	sim_gone(calm);
}

static void servers(void **state)
{
	busy_is_shed(*state, true);
}

static void clients(void **state)
{
	busy_is_shed(*state, false);
}

/* Ten a second are not busy, however many they become. */
static void calm_stays(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	engine__shed(sim->engine, ALL);
	for (uint32_t i = 0; i < 50; i++) {
		exchange(c, true);
		sim->now += 1000000000 / GOVERNOR_BUSY_HZ;
	}
	assert_int_equal(sim_n_ended, 50);
	assert_int_equal(sim->shed_exchanges, 0);
	sim_gone(c);
}

/* The wish comes while a request is in the kernel's hands already: its answer is seen as well. */
static void wish_in_between(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, GET);
	c->wish = SONDE_WISH_SHED;
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	exchange(c, true);
	assert_int_equal(sim_n_ended, 1);
	sim_say(c, RX, GET);
	c->wish = 0;
	sim_say(c, TX, OK5);
	assert_int_equal(sim_n_ended, 1);
	exchange(c, true);
	assert_int_equal(sim_n_ended, 2);
	assert_int_equal(sim->shed_exchanges, 2);
	sim_gone(c);
}

/* Whoever has gone over to another protocol is ignored for good. */
static void upgraded_stays_ignored(void **state)
{
	struct sim *sim = *state;
	struct sim_conn *c = sim_connect(sim, SONDE_ROLE_PASSIVE, true);

	sim_say(c, RX, "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
	sim_say(c, TX, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	assert_int_equal(c->wish, SONDE_WISH_IGNORE);
	engine__shed(sim->engine, ALL);
	engine__shed(sim->engine, 0);
	assert_int_equal(c->wish, SONDE_WISH_IGNORE);
	sim_gone(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(servers, setup, teardown),
		cmocka_unit_test_setup_teardown(clients, setup, teardown),
		cmocka_unit_test_setup_teardown(calm_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(wish_in_between, setup, teardown),
		cmocka_unit_test_setup_teardown(upgraded_stays_ignored, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
