// SPDX-License-Identifier: Apache-2.0
/* Protects: one tree a request, right parents, no parent that does not exist, identities, times. */
#include "tracer_rig.h"

enum { CURL = 10, NGINX = 20, NODE = 30, PYTHON = 40 };

static struct rig rig;

static int setup(void **state)
{
	memset(&rig, 0, sizeof(rig));
	rig_start(&rig);
	rig_process(&rig, CURL, "curl", RUNTIME_NATIVE, 0);
	rig_process(&rig, NGINX, "nginx", RUNTIME_NATIVE, 0);
	rig_process(&rig, NODE, "node", RUNTIME_NODE, 0);
	rig_process(&rig, PYTHON, "python", RUNTIME_PYTHON, 0);
	return 0;
}

static int teardown(void **state)
{
	rig_stop(&rig);
	return 0;
}

static void both_ends_make_one_trace(void **state)
{
	struct rig_call call = { .client = CURL, .server = NGINX };
	struct rig_span *c, *s;

	rig_write(&rig, &call);
	rig_clock(&rig, 1);
	rig_read(&rig, &call);
	rig_clock(&rig, 5);
	rig_answer(&rig, &call);
	rig_clock(&rig, 1);
	rig_done(&rig, &call);
	assert_int_equal(rig.n_spans, 2);
	c = rig_span(&rig, "curl", SIDE_CLIENT, 0);
	s = rig_span(&rig, "nginx", SIDE_SERVER, 0);
	assert_true(rig_is_root(c));
	rig_check_child(s, c);
	rig_check_text(s, "sonde.link.method", "edge");
	rig_check_text(s, "network.peer.address", "127.0.0.1");
	assert_false(rig_has(c, "sonde.link.method"));
	assert_false(rig_has(s, "sonde.edge.id"));
	assert_int_equal(s->frame.start_ns, (uint64_t)RIG_EPOCH + 1000 * RIG_S + RIG_MS);
	assert_int_equal(s->frame.duration_ns, 5 * RIG_MS);
	assert_int_equal(c->frame.duration_ns, 7 * RIG_MS);
	assert_int_equal(rig.account.trace.ex_spans, 2);
	assert_int_equal(rig.account.trace.links_edge, 1);
	assert_int_equal(rig.account.trace.links_none, 1);
	assert_int_equal(rig.account.trace.ex_held, 0);
	rig_check_whole(&rig, NULL);
}

static void servers_record_may_come_first(void **state)
{
	struct rig_call call = { .client = CURL, .server = NGINX };

	rig_read(&rig, &call);
	rig_write(&rig, &call);
	rig_tell(&rig, &call);
	rig_check_child(rig_span(&rig, "nginx", SIDE_SERVER, 0),
			rig_span(&rig, "curl", SIDE_CLIENT, 0));
}

/* A hook that fires after the write may fire after the read of what was written. */
static void no_caller_begins_after_its_callee(void **state)
{
	struct rig_call call = { .client = CURL, .server = NGINX };
	struct rig_span *c, *s;

	(void)state;
	rig_read(&rig, &call);
	rig_clock(&rig, 1);
	rig_write(&rig, &call);
	rig_clock(&rig, 5);
	rig_answer(&rig, &call);
	rig_done(&rig, &call);
	c = rig_span(&rig, "curl", SIDE_CLIENT, 0);
	s = rig_span(&rig, "nginx", SIDE_SERVER, 0);
	rig_check_child(s, c);
	assert_int_equal(c->frame.start_ns, s->frame.start_ns);
	assert_int_equal(c->frame.duration_ns, 6 * RIG_MS);
}

static void even_after_the_servers_end(void **state)
{
	struct rig_call call = { .client = CURL, .server = NGINX };

	rig_read(&rig, &call);
	rig_answer(&rig, &call);
	assert_int_equal(rig.n_spans, 0);
	assert_int_equal(rig.account.trace.ex_held, 1);
	rig_clock(&rig, 50);
	rig_write(&rig, &call);
	rig_done(&rig, &call);
	assert_int_equal(rig.n_spans, 2);
	rig_check_whole(&rig, NULL);
	rig_check_child(rig_span(&rig, "nginx", SIDE_SERVER, 0),
			rig_span(&rig, "curl", SIDE_CLIENT, 0));
}

static void a_client_that_nobody_sees_is_not_waited_for_long(void **state)
{
	struct rig_call call = { .client = CURL, .server = NGINX };
	struct rig_span *s;

	rig_read(&rig, &call);
	rig_answer(&rig, &call);
	assert_int_equal(tracer__next_timer(rig.tracer), rig.now + LINK_EDGE_WAIT_NS);
	rig_clock(&rig, 99);
	assert_int_equal(rig.n_spans, 0);
	rig_clock(&rig, 1);
	assert_int_equal(tracer__next_timer(rig.tracer), 0);
	s = rig_span(&rig, "nginx", SIDE_SERVER, 0);
	assert_true(rig_is_root(s));
	assert_true(rig_has(s, "sonde.edge.id"));
	assert_false(rig_has(s, "sonde.link.ambiguous"));
}

/* Where nobody's client is traced, a hundred milliseconds of held spans would be for nothing. */
static void clients_that_are_never_seen_are_not_waited_for_at_all(void **state)
{
	struct rig_call call;

	for (unsigned int i = 0; i < LINK_ALONE_ENOUGH; i++) {
		call = (struct rig_call){ .client = CURL, .server = NGINX };
		rig_read(&rig, &call);
		rig_answer(&rig, &call);
		assert_int_equal(rig.n_spans, i);
		rig_clock(&rig, 100);
		assert_int_equal(rig.n_spans, i + 1);
	}
	call = (struct rig_call){ .client = CURL, .server = NGINX };
	rig_read(&rig, &call);
	rig_clock(&rig, 1);
	assert_int_equal(rig.n_spans, LINK_ALONE_ENOUGH);
	rig_answer(&rig, &call);
	assert_int_equal(rig.n_spans, LINK_ALONE_ENOUGH + 1);
	/* Of another process that is not known. */
	call = (struct rig_call){ .client = CURL, .server = NODE };
	rig_read(&rig, &call);
	rig_answer(&rig, &call);
	assert_int_equal(rig.n_spans, LINK_ALONE_ENOUGH + 1);
}

/* One that is seen after all, even if it is told of late, is linked, and waited for from then on. */
static void a_client_that_is_seen_at_last_is_waited_for_again(void **state)
{
	struct rig_call call;
	unsigned int n;

	clients_that_are_never_seen_are_not_waited_for_at_all(state);
	rig_clock(&rig, 200);
	n = rig.n_spans;
	call = (struct rig_call){ .client = CURL, .server = NGINX };
	rig_read(&rig, &call);
	rig_write(&rig, &call);
	rig_tell(&rig, &call);
	rig_check_child(rig_span(&rig, "nginx", SIDE_SERVER, LINK_ALONE_ENOUGH + 1),
			rig_span(&rig, "curl", SIDE_CLIENT, 0));
	call = (struct rig_call){ .client = CURL, .server = NGINX };
	rig_read(&rig, &call);
	rig_answer(&rig, &call);
	assert_int_equal(rig.n_spans, n + 2);
	rig_write(&rig, &call);
	rig_done(&rig, &call);
	rig_check_child(rig_span(&rig, "nginx", SIDE_SERVER, LINK_ALONE_ENOUGH + 2),
			rig_span(&rig, "curl", SIDE_CLIENT, 1));
}

/* Those that waited when it was seen say nothing of who comes after. */
static void a_client_that_is_seen_is_waited_for_whoever_waited_before(void **state)
{
	struct rig_call before[LINK_ALONE_ENOUGH];
	struct rig_call call = { .client = CURL, .server = NGINX };

	for (unsigned int i = 0; i < LINK_ALONE_ENOUGH; i++) {
		before[i] = call;
		rig_read(&rig, &before[i]);
		rig_answer(&rig, &before[i]);
	}
	rig_clock(&rig, 50);
	rig_ask(&rig, &call);
	rig_tell(&rig, &call);
	rig_clock(&rig, 60);
	assert_int_equal(rig.n_spans, LINK_ALONE_ENOUGH + 2);
	call = (struct rig_call){ .client = CURL, .server = NGINX };
	rig_read(&rig, &call);
	rig_answer(&rig, &call);
	assert_int_equal(rig.n_spans, LINK_ALONE_ENOUGH + 2);
	rig_write(&rig, &call);
	rig_done(&rig, &call);
	rig_check_child(rig_span(&rig, "nginx", SIDE_SERVER, LINK_ALONE_ENOUGH + 1),
			rig_span(&rig, "curl", SIDE_CLIENT, 1));
}

static void three_services_are_one_trace(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };
	struct rig_call b = { .client = NGINX, .server = NODE, .in_hand = &a };
	struct rig_call c = { .client = NODE, .server = PYTHON, .in_hand = &b };

	for (int turn = 0; turn < 3; turn++) {
		unsigned int n = (unsigned int)turn;

		rig_ask(&rig, &a);
		rig_clock(&rig, 1);
		rig_ask(&rig, &b);
		rig_clock(&rig, 1);
		rig_ask(&rig, &c);
		rig_clock(&rig, 1);
		rig_tell(&rig, &c);
		rig_clock(&rig, 1);
		rig_tell(&rig, &b);
		rig_clock(&rig, 1);
		rig_tell(&rig, &a);
		assert_int_equal(rig.n_spans, 6 * (n + 1));
		assert_true(rig_is_root(rig_span(&rig, "curl", 3, n)));
		rig_check_child(rig_span(&rig, "nginx", 2, n), rig_span(&rig, "curl", 3, n));
		rig_check_child(rig_span(&rig, "nginx", 3, n), rig_span(&rig, "nginx", 2, n));
		rig_check_child(rig_span(&rig, "node", 2, n), rig_span(&rig, "nginx", 3, n));
		rig_check_child(rig_span(&rig, "node", 3, n), rig_span(&rig, "node", 2, n));
		rig_check_child(rig_span(&rig, "python", 2, n), rig_span(&rig, "node", 3, n));
		rig_check_text(rig_span(&rig, "node", 3, n), "sonde.link.method", "thread");
		a.reused = b.reused = c.reused = true;
		a.client_conn = a.server_conn = b.client_conn = c.client_conn = 0;
	}
	assert_memory_not_equal(rig.spans[0].frame.trace_id, rig.spans[6].frame.trace_id, 16);
	rig_check_whole(&rig, NULL);
}

static void identity_is_waited_for(void **state)
{
	struct rig_call call = { .client = 77, .server = NGINX };

	rig_ask(&rig, &call);
	assert_int_equal(rig.asked, 1);
	assert_int_equal(rig.asked_tgid, 77);
	rig_tell(&rig, &call);
	assert_int_equal(rig.n_spans, 0);
	rig_clock(&rig, 100);
	rig_process(&rig, 77, "late", RUNTIME_NATIVE, 0);
	assert_int_equal(rig.n_spans, 2);
	rig_check_child(rig_span(&rig, "nginx", 2, 0), rig_span(&rig, "late", 3, 0));
	assert_int_equal(rig.asked, 1);
}

static void but_not_for_ever(void **state)
{
	struct rig_call call = { .client = 77, .server = NGINX };

	rig_ask(&rig, &call);
	rig_tell(&rig, &call);
	rig_clock(&rig, PROCESS_WAIT_NS / RIG_MS - 1);
	assert_int_equal(rig.n_spans, 0);
	rig_clock(&rig, 1);
	assert_int_equal(rig.n_spans, 2);
	rig_span(&rig, "unknown_service", 3, 0);
	/* The answer comes after all: the same resource, revised. */
	rig_process(&rig, 77, "late", RUNTIME_NATIVE, 0);
	call.client_conn = 0;
	rig_ask(&rig, &call);
	rig_tell(&rig, &call);
	assert_int_equal(rig_span(&rig, "late", 3, 0)->frame.resource,
			 rig_span(&rig, "late", 3, 1)->frame.resource);
}

static void identity_may_come_after_the_end_of_the_process(void **state)
{
	struct rig_call call = { .client = 77, .server = NGINX };

	rig_ask(&rig, &call);
	rig_tell(&rig, &call);
	tracer__process_gone(rig.tracer, (struct process_key){ 77, 77 });
	rig_process(&rig, 77, "gone", RUNTIME_NATIVE, PROCESS_GONE);
	rig_span(&rig, "gone", 3, 0);
}

static void a_new_program_is_a_new_resource(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX }, b = a;

	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	tracer__process_gone(rig.tracer, (struct process_key){ CURL, CURL });
	rig_ask(&rig, &b);
	assert_int_equal(rig.asked, 1);
	rig_process(&rig, CURL, "wget", RUNTIME_NATIVE, 0);
	rig_tell(&rig, &b);
	assert_int_not_equal(rig_span(&rig, "curl", 3, 0)->frame.resource,
			     rig_span(&rig, "wget", 3, 0)->frame.resource);
}

static void opted_out_processes_are_passed_over(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };
	struct rig_call b = { .client = NGINX, .server = PYTHON, .in_hand = &a };

	rig_process(&rig, NGINX, "secret", RUNTIME_NATIVE, PROCESS_OPT_OUT);
	rig_ask(&rig, &a);
	rig_ask(&rig, &b);
	rig_tell(&rig, &b);
	rig_tell(&rig, &a);
	rig_clock(&rig, 20000);
	assert_int_equal(rig.n_spans, 2);
	assert_int_equal(rig.account.trace.filtered_opt_out, 2);
	rig_check_child(rig_span(&rig, "python", 2, 0), rig_span(&rig, "curl", 3, 0));
}

static void a_named_parent_becomes_a_span_whatever_happens(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };
	struct rig_span *c;

	rig_ask(&rig, &a);
	rig_answer(&rig, &a);
	assert_int_equal(rig.n_spans, 1);
	assert_true(tracer__abandon(rig.tracer, a.c));
	exchange__free(a.c);
	c = rig_span(&rig, "curl", 3, 0);
	rig_check_child(rig_span(&rig, "nginx", 2, 0), c);
	assert_true(rig_has(c, "sonde.incomplete"));
	assert_int_equal(c->frame.status, 2);
}

static void one_that_nobody_named_is_forgotten(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };

	rig_ask(&rig, &a);
	assert_false(tracer__abandon(rig.tracer, a.c));
	exchange__free(a.c);
	rig_answer(&rig, &a);
	assert_int_equal(rig.n_spans, 1);
	assert_true(rig_is_root(rig_span(&rig, "nginx", 2, 0)));
}

static void exports_are_filtered_and_passed_over(void **state)
{
	struct rig_call a = { .client = CURL, .server = PYTHON };
	struct rig_call e = { .client = PYTHON,
			      .server = NODE,
			      .in_hand = &a,
			      .flags = EX_EXPORT,
			      .target = "/v1/traces" };

	rig_ask(&rig, &a);
	rig_ask(&rig, &e);
	rig_tell(&rig, &e);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 2);
	assert_int_equal(rig.account.trace.filtered_telemetry, 2);
}

static void a_full_pipe_is_counted_and_definitions_come_again(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };

	rig.refuse = true;
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_clock(&rig, 10000);
	assert_int_equal(rig.account.trace.ex_spans, 2);
	assert_int_equal(rig.account.trace.frames_refused, 2);
	rig.refuse = false;
	a.client_conn = 0;
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_spans, 2);
	assert_int_equal(rig.n_resources, 2);
	tracer__resend_definitions(rig.tracer);
	a.client_conn = 0;
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	assert_int_equal(rig.n_resources, 4);
	assert_int_equal(rig.n_scopes, 2);
}

/* Its child is out already: it is offered until the pipe takes it. */
static void a_named_parent_is_offered_again(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };

	rig_ask(&rig, &a);
	rig_answer(&rig, &a);
	assert_int_equal(rig.n_spans, 1);
	rig.refuse = true;
	rig_done(&rig, &a);
	rig_clock(&rig, 100);
	rig_clock(&rig, 100);
	assert_int_equal(rig.account.trace.frames_refused, 0);
	assert_int_equal(rig.account.trace.ex_held, 1);
	rig.refuse = false;
	rig_clock(&rig, 100);
	assert_int_equal(rig.n_spans, 2);
	rig_check_whole(&rig, NULL);
	/* But not for ever. */
	a.client_conn = 0;
	rig_ask(&rig, &a);
	rig_answer(&rig, &a);
	rig.refuse = true;
	rig_done(&rig, &a);
	rig_clock(&rig, 10000);
	assert_int_equal(rig.account.trace.frames_refused, 1);
	assert_int_equal(rig.account.trace.ex_held, 0);
}

static void what_is_held_is_bounded(void **state)
{
	rig_stop(&rig);
	rig.config.held_max = 100;
	rig_start(&rig);
	for (int i = 0; i < 1000; i++) {
		struct rig_call call = { .client = 50 + (uint32_t)i % 7, .server = 60 };

		rig_ask(&rig, &call);
		rig_tell(&rig, &call);
		assert_true(rig.account.trace.ex_held <= 100);
	}
	assert_true(rig.account.trace.held_early >= 900);
	tracer__flush(rig.tracer);
	assert_int_equal(rig.n_spans, 2000);
	assert_int_equal(rig.account.trace.ex_held, 0);
	rig_check_whole(&rig, NULL);
}

static void times_survive_a_step_of_the_clock(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX };
	struct message_clock stepped;
	struct rig_span *s;

	rig_ask(&rig, &a);
	rig_clock(&rig, 10);
	stepped = (struct message_clock){ rig.now, RIG_EPOCH - 3600 * (int64_t)RIG_S };
	tracer__clock(rig.tracer, &stepped);
	rig.now += 5 * RIG_MS;
	rig_tell(&rig, &a);
	s = rig_span(&rig, "nginx", 2, 0);
	assert_int_equal(s->frame.start_ns, (uint64_t)RIG_EPOCH + 1000 * RIG_S);
	assert_int_equal(s->frame.duration_ns, 15 * RIG_MS);
	a.client_conn = 0;
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	assert_int_equal(rig_span(&rig, "nginx", 2, 1)->frame.start_ns,
			 (uint64_t)RIG_EPOCH - 3600 * RIG_S + 1000 * RIG_S + 15 * RIG_MS);
}

static void a_trace_has_a_bounded_number_of_spans(void **state)
{
	struct rig_call a = { .client = CURL, .server = PYTHON };

	rig_ask(&rig, &a);
	for (int i = 0; i < 6000; i++) {
		struct rig_call b = { .client = PYTHON, .server = NODE, .in_hand = &a };

		rig_ask(&rig, &b);
		rig_tell(&rig, &b);
	}
	rig_tell(&rig, &a);
	tracer__flush(rig.tracer);
	assert_true(rig.account.trace.dropped_trace_cap > 1990);
	assert_int_equal(rig.n_spans + rig.account.trace.dropped_trace_cap, 12002);
	assert_int_equal(rig.n_spans, rig.account.trace.ex_spans);
	rig_check_whole(&rig, NULL);
}

static void unix_pairs_link_and_have_no_edge_id(void **state)
{
	struct rig_call a = { .client = CURL, .server = NGINX, .unix_pair = true };
	struct rig_call b = { .server = NGINX, .unix_pair = true };
	struct rig_call c = { .server = NGINX, .no_edge = true };

	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_check_child(rig_span(&rig, "nginx", 2, 0), rig_span(&rig, "curl", 3, 0));
	rig_read(&rig, &b);
	rig_answer(&rig, &b);
	rig_read(&rig, &c);
	rig_answer(&rig, &c);
	rig_clock(&rig, 100);
	assert_int_equal(rig.n_spans, 4);
	assert_false(rig_has(&rig.spans[2], "sonde.edge.id"));
	assert_false(rig_has(&rig.spans[3], "sonde.edge.id"));
}

static void malformed_identities_change_nothing(void **state)
{
	struct message_process m = { .tgid = CURL, .tgid_start_ns = CURL, .attributes = 3 };
	struct rig_call a = { .client = CURL, .server = NGINX };
	uint8_t bytes[32];

	memset(bytes, 0xff, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n++)
		tracer__process(rig.tracer, &m, bytes, n);
	memset(bytes, 0, sizeof(bytes));
	tracer__process(rig.tracer, &m, bytes, sizeof(bytes));
	m.attributes = 100000;
	tracer__process(rig.tracer, &m, bytes, sizeof(bytes));
	rig_ask(&rig, &a);
	rig_tell(&rig, &a);
	rig_span(&rig, "curl", 3, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(both_ends_make_one_trace),
		TEST(servers_record_may_come_first),
		TEST(no_caller_begins_after_its_callee),
		TEST(even_after_the_servers_end),
		TEST(a_client_that_nobody_sees_is_not_waited_for_long),
		TEST(clients_that_are_never_seen_are_not_waited_for_at_all),
		TEST(a_client_that_is_seen_at_last_is_waited_for_again),
		TEST(a_client_that_is_seen_is_waited_for_whoever_waited_before),
		TEST(three_services_are_one_trace),
		TEST(identity_is_waited_for),
		TEST(but_not_for_ever),
		TEST(identity_may_come_after_the_end_of_the_process),
		TEST(a_new_program_is_a_new_resource),
		TEST(opted_out_processes_are_passed_over),
		TEST(a_named_parent_becomes_a_span_whatever_happens),
		TEST(one_that_nobody_named_is_forgotten),
		TEST(exports_are_filtered_and_passed_over),
		TEST(a_full_pipe_is_counted_and_definitions_come_again),
		TEST(a_named_parent_is_offered_again),
		TEST(what_is_held_is_bounded),
		TEST(times_survive_a_step_of_the_clock),
		TEST(a_trace_has_a_bounded_number_of_spans),
		TEST(unix_pairs_link_and_have_no_edge_id),
		TEST(malformed_identities_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
