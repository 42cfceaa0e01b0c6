// SPDX-License-Identifier: Apache-2.0
/* Protects: thread evidence is used where it is certain and refused everywhere else. */
#include "tracer_rig.h"

enum { WRK = 10, APP = 20, DB = 30 };

static struct rig rig;

static int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	rig_start(&rig);
	rig_process(&rig, WRK, "wrk", RUNTIME_NATIVE, 0);
	rig_process(&rig, APP, "app", RUNTIME_NATIVE, 0);
	rig_process(&rig, DB, "db", RUNTIME_NATIVE, 0);
	return 0;
}

static int teardown(void **state)
{
	rig_check_whole(&rig, NULL);
	assert_int_equal(rig.account.trace.ex_held, 0);
	rig_stop(&rig);
	return 0;
}

static void check_refused(unsigned int nth, int64_t candidates)
{
	struct rig_span *call = rig_span(&rig, "app", SIDE_CLIENT, nth);
	struct otlp_value value;

	assert_true(rig_is_root(call));
	assert_false(rig_has(call, "sonde.link.method"));
	assert_true(otlp_attributes__find(call->message, OTLP_SPAN_ATTRIBUTES,
					  VIEW("sonde.link.ambiguous"), &value));
	assert_int_equal(value.number, 1);
	assert_true(otlp_attributes__find(call->message, OTLP_SPAN_ATTRIBUTES,
					  VIEW("sonde.link.candidates"), &value));
	assert_int_equal(value.number, candidates);
}

static void check_linked(unsigned int nth, const char *method)
{
	struct rig_span *call = rig_span(&rig, "app", SIDE_CLIENT, nth);

	rig_check_child(call, rig_span(&rig, "app", SIDE_SERVER, nth));
	rig_check_text(call, "sonde.link.method", method);
	assert_false(rig_has(call, "sonde.link.ambiguous"));
}

static void the_only_open_request_is_the_parent(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_linked(0, "thread");
	assert_int_equal(rig.account.trace.links_thread, 1);
}

static void the_connect_alone_is_enough(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	b.c = rig_exchange(&rig, &b, SIDE_CLIENT);
	b.c->evidence.at[SONDE_EV_CONNECT] = (struct sonde_turn_ref){ a.server_conn, 1, APP };
	tracer__request(rig.tracer, b.c);
	rig_read(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_linked(0, "thread_connect");
}

static void who_opened_a_connection_does_not_own_its_later_calls(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a, .reused = true };

	rig_ask(&rig, &a);
	b.c = rig_exchange(&rig, &b, SIDE_CLIENT);
	b.c->evidence.at[SONDE_EV_WRITE] = (struct sonde_turn_ref){ a.server_conn, 1, APP };
	b.c->evidence.at[SONDE_EV_CONNECT] = (struct sonde_turn_ref){ 999, 1, APP };
	tracer__request(rig.tracer, b.c);
	rig_read(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_linked(0, "thread");
}

static void evidence_that_differs_is_refused(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB };

	rig_ask(&rig, &a);
	b.c = rig_exchange(&rig, &b, SIDE_CLIENT);
	b.c->evidence.at[SONDE_EV_WRITE] = (struct sonde_turn_ref){ a.server_conn, 1, APP };
	b.c->evidence.at[SONDE_EV_CONNECT] = (struct sonde_turn_ref){ 999, 1, APP };
	tracer__request(rig.tracer, b.c);
	rig_read(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_refused(0, 1);
}

static void two_open_on_the_thread_are_refused(void **state)
{
	struct rig_call a1 = { .client = WRK, .server = APP }, a2 = a1;
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a2 };

	rig_ask(&rig, &a1);
	rig_ask(&rig, &a2);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a2);
	rig_tell(&rig, &a1);
	check_refused(0, 2);
	assert_int_equal(rig.account.trace.links_ambiguous, 1);
}

static void open_on_other_threads_does_not_matter(void **state)
{
	struct rig_call a1 = { .client = WRK, .server = APP, .server_tid = 21 }, a2 = a1;
	struct rig_call b = { .client = APP, .client_tid = 22, .server = DB, .in_hand = &a2 };

	a2.server_tid = 22;
	rig_ask(&rig, &a1);
	rig_ask(&rig, &a2);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a2);
	check_linked(0, "thread");
	rig_tell(&rig, &a1);
}

static void event_loops_in_several_threads_are_refused(void **state)
{
	struct rig_call a1 = { .client = WRK, .server = APP, .server_tid = 21 }, a2 = a1, a3 = a1;
	struct rig_call b = { .client = APP, .client_tid = 22, .server = DB, .in_hand = &a3 };

	/* Two on one thread: it is a loop. Another thread serves too: work may change hands. */
	rig_ask(&rig, &a1);
	rig_ask(&rig, &a2);
	rig_tell(&rig, &a1);
	a3.server_tid = 22;
	rig_ask(&rig, &a3);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a3);
	rig_tell(&rig, &a2);
	check_refused(0, 2);
}

static void another_thread_than_the_reader_is_refused(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .client_tid = 25, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_refused(0, 1);
}

static void without_open_requests_there_is_no_candidate(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	assert_true(rig_is_root(rig_span(&rig, "app", 3, 0)));
	assert_false(rig_has(rig_span(&rig, "app", 3, 0), "sonde.link.ambiguous"));
}

static void a_call_that_outlives_the_response_is_refused(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_clock(&rig, 1);
	rig_tell(&rig, &a);
	rig_clock(&rig, 1);
	rig_tell(&rig, &b);
	check_refused(0, 1);
}

static void its_end_may_be_learned_late(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };
	uint64_t end;

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_clock(&rig, 1);
	end = rig.now;
	rig_clock(&rig, 1);
	rig_tell(&rig, &a);
	rig_clock(&rig, 1);
	b.s->end_ns = b.c->end_ns = end;
	b.s->response_tid = DB;
	b.c->response_tid = APP;
	tracer__end(rig.tracer, b.s);
	tracer__end(rig.tracer, b.c);
	check_linked(0, "thread");
}

static void a_response_from_another_thread_refuses_this_and_all_later(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	for (int i = 0; i < 2; i++) {
		a.client_conn = b.client_conn = 0;
		rig_ask(&rig, &a);
		rig_ask(&rig, &b);
		rig_tell(&rig, &b);
		a.s->response_tid = i ? APP : 29;
		rig_tell(&rig, &a);
		check_refused((unsigned int)i, 1);
	}
}

static void pipelined_requests_are_refused(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP, .flags = EX_NOT_ALONE };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	check_refused(0, 1);
}

/* The kernel says what was in hand when the turn began; a request further in is another's perhaps. */
static void calls_further_into_a_turn_are_refused(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB };

	rig_ask(&rig, &a);
	b.c = rig_exchange(&rig, &b, SIDE_CLIENT);
	b.c->evidence.at[SONDE_EV_WRITE] = (struct sonde_turn_ref){ a.server_conn, 1, APP };
	b.c->edge.offset = 90;
	b.c->index = 1;
	tracer__request(rig.tracer, b.c);
	rig_done(&rig, &b);
	rig_tell(&rig, &a);
	check_refused(0, 1);
}

static void runtimes_that_move_requests_are_refused(void **state)
{
	static const enum runtime moving[] = { RUNTIME_GO, RUNTIME_DOTNET, RUNTIME_BEAM,
					       RUNTIME_RUST, RUNTIME_UNKNOWN };

	for (unsigned int i = 0; i < sizeof(moving) / sizeof(moving[0]); i++) {
		struct rig_call a = { .client = WRK, .server = APP };
		struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

		rig_process(&rig, APP, "app", moving[i], 0);
		rig_ask(&rig, &a);
		rig_ask(&rig, &b);
		rig_tell(&rig, &b);
		rig_tell(&rig, &a);
		check_refused(i, 1);
	}
}

static void an_unknown_process_waits_for_its_runtime(void **state)
{
	struct rig_call a = { .client = WRK, .server = 77 };
	struct rig_call b = { .client = 77, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 1); /* wrk's: nothing above it */
	rig_process(&rig, 77, "app", RUNTIME_RUBY, 0);
	assert_int_equal(rig.n_spans, 4);
	check_linked(0, "thread");
}

static void and_is_refused_when_nobody_answers(void **state)
{
	struct rig_call a = { .client = WRK, .server = 77 };
	struct rig_call b = { .client = 77, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	rig_clock(&rig, PROCESS_WAIT_NS / RIG_MS);
	assert_int_equal(rig.n_spans, 4);
	assert_true(rig_is_root(rig_span(&rig, "unknown_service", 3, 0)));
	assert_true(rig_has(rig_span(&rig, "unknown_service", 3, 0), "sonde.link.ambiguous"));
}

/* A long request must not keep the calls below it for ever; nor may a new process guess. */
static void a_long_request_lets_its_calls_go(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	assert_int_equal(rig.n_spans, 0);
	rig_clock(&rig, 9999);
	assert_int_equal(rig.n_spans, 0);
	rig_clock(&rig, 1);
	assert_int_equal(rig.n_spans, 2);
	rig_tell(&rig, &a);
	check_linked(0, "thread");
}

static void a_proven_process_does_not_wait(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };
	struct rig_call b = { .client = APP, .server = DB, .in_hand = &a };

	for (int i = 0; i < LINK_STAYED_ENOUGH; i++) {
		a.client_conn = 0;
		rig_ask(&rig, &a);
		rig_tell(&rig, &a);
	}
	a.client_conn = 0;
	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	assert_int_equal(rig.n_spans, 2 * LINK_STAYED_ENOUGH + 2);
	rig_tell(&rig, &a);
	rig_check_child(rig_span(&rig, "app", 3, 0), rig_span(&rig, "app", 2, LINK_STAYED_ENOUGH));
}

static void a_client_that_gave_up_may_be_met_later(void **state)
{
	struct rig_call a = { .client = WRK, .server = APP };

	rig_write(&rig, &a);
	a.c->flags |= EX_CUT;
	rig_done(&rig, &a);
	rig_clock(&rig, 3000);
	rig_read(&rig, &a);
	rig_answer(&rig, &a);
	rig_check_child(rig_span(&rig, "app", 2, 0), rig_span(&rig, "wrk", 3, 0));
	assert_int_equal(rig_span(&rig, "wrk", 3, 0)->frame.status, 2);
}

static void many_that_gave_up_are_bounded(void **state)
{
	struct rig_call first = { .client = WRK, .server = APP };

	for (int i = 0; i < LINK_LATE_MAX + 10; i++) {
		struct rig_call a = { .client = WRK, .server = APP };

		rig_write(&rig, &a);
		a.c->flags |= EX_CUT;
		rig_done(&rig, &a);
		if (!i)
			first = a;
	}
	rig_read(&rig, &first);
	rig_answer(&rig, &first);
	rig_clock(&rig, 100);
	assert_true(rig_is_root(rig_span(&rig, "app", 2, 0)));
	rig_clock(&rig, 60000);
}

/* Random trees over a handful of thread-per-request services; the truth is known to the test. */
struct branch {
	struct rig_call call;
	unsigned int parent; /* index in the tree */
};

static unsigned int pick(uint64_t *seed, unsigned int n)
{
	*seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)(*seed >> 33) % n;
}

static void grow(struct branch *tree, unsigned int *n, unsigned int at, unsigned int depth,
		 uint64_t *seed)
{
	unsigned int calls = depth < 4 ? pick(seed, 4) : 0;

	rig_clock(&rig, pick(seed, 3));
	if (pick(seed, 2)) {
		rig_write(&rig, &tree[at].call);
		rig_read(&rig, &tree[at].call);
	} else {
		rig_read(&rig, &tree[at].call);
		rig_write(&rig, &tree[at].call);
	}
	while (calls--) {
		unsigned int child = (*n)++;
		uint32_t service = 100 + pick(seed, 6);

		tree[child] = (struct branch){
			.call = { .client = tree[at].call.server,
				  .client_tid = tree[at].call.server_tid,
				  .server = service,
				  .server_tid = service * 10000 + child,
				  .in_hand = &tree[at].call,
				  .unix_pair = pick(seed, 4) == 0 },
			.parent = at,
		};
		grow(tree, n, child, depth + 1, seed);
	}
	rig_clock(&rig, pick(seed, 3));
	rig_tell(&rig, &tree[at].call);
}

static void span_id_of(const struct rig_call *call, enum exchange_side side, uint8_t to[8])
{
	struct exchange ex = { .side = side };
	struct span_key key;
	struct span_ids ids;

	ex.edge = (struct edge){ .known = true,
				 .unix_pair = call->unix_pair,
				 .client_base = (uint32_t)call->client_conn * 77,
				 .server_base = (uint32_t)call->client_conn * 131,
				 .pair = { call->client_conn, 5 } };
	ids__key(&rig.config, &ex, &key);
	ids__of(rig.config.fleet_key, side == SIDE_SERVER ? 's' : 'c', &key, &ids);
	ids__put64(to, ids.span);
}

static void random_trees_come_out_as_they_are(void **state)
{
	static struct branch tree[400];
	uint64_t seed = 42;

	for (uint32_t i = 0; i < 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "s%u", i);
		rig_process(&rig, 100 + i, name, RUNTIME_PYTHON, 0);
	}
	for (int round = 0; round < 60; round++) {
		unsigned int n = 1;
		uint8_t id[8];

		tree[0] = (struct branch){
			.call = { .client = WRK, .server = 100, .server_tid = 1000000 }
		};
		grow(tree, &n, 0, 0, &seed);
		for (unsigned int i = 0; i < n; i++) {
			struct rig_span *c, *s;

			span_id_of(&tree[i].call, SIDE_CLIENT, id);
			c = rig_find(&rig, id);
			span_id_of(&tree[i].call, SIDE_SERVER, id);
			s = rig_find(&rig, id);
			assert_non_null(c);
			assert_non_null(s);
			rig_check_child(s, c);
			if (!i) {
				assert_true(rig_is_root(c));
				continue;
			}
			span_id_of(&tree[tree[i].parent].call, SIDE_SERVER, id);
			rig_check_child(c, rig_find(&rig, id));
		}
	}
	assert_true(rig.n_spans > 1000);
	assert_int_equal(rig.account.trace.links_ambiguous, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_only_open_request_is_the_parent),
		TEST(the_connect_alone_is_enough),
		TEST(who_opened_a_connection_does_not_own_its_later_calls),
		TEST(evidence_that_differs_is_refused),
		TEST(two_open_on_the_thread_are_refused),
		TEST(open_on_other_threads_does_not_matter),
		TEST(event_loops_in_several_threads_are_refused),
		TEST(another_thread_than_the_reader_is_refused),
		TEST(without_open_requests_there_is_no_candidate),
		TEST(a_call_that_outlives_the_response_is_refused),
		TEST(its_end_may_be_learned_late),
		TEST(a_response_from_another_thread_refuses_this_and_all_later),
		TEST(pipelined_requests_are_refused),
		TEST(calls_further_into_a_turn_are_refused),
		TEST(runtimes_that_move_requests_are_refused),
		TEST(an_unknown_process_waits_for_its_runtime),
		TEST(and_is_refused_when_nobody_answers),
		TEST(a_long_request_lets_its_calls_go),
		TEST(a_proven_process_does_not_wait),
		TEST(a_client_that_gave_up_may_be_met_later),
		TEST(many_that_gave_up_are_bounded),
		TEST(random_trees_come_out_as_they_are),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
