// SPDX-License-Identifier: Apache-2.0
/*
 * Protects: whatever order, loss, identity, export or exec comes, the output is whole (no parent
 * that did not come out, one trace id a tree) and every exchange is accounted for.
 */
#include "tracer_rig.h"

#define CALLS 300
#define STEPS 6000

static struct rig rig;
static uint64_t seed;

static unsigned int pick(unsigned int n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned int)(seed >> 33) % n;
}

/* Ids that headers bring begin with 0xee; ours practically never do (they would be found anyway). */
static bool outside(const uint8_t id[8])
{
	return id[0] == 0xee;
}

struct chaos {
	struct rig_call calls[CALLS];
	char headers[CALLS][60];
	bool begun[CALLS];
	unsigned int n;
	uint64_t told, abandoned;
};

static void identify(uint32_t tgid)
{
	static const enum runtime runtimes[] = { RUNTIME_NATIVE, RUNTIME_PYTHON, RUNTIME_GO,
						 RUNTIME_UNKNOWN };
	static const uint16_t flags[] = { 0, 0, 0, PROCESS_SDK, PROCESS_SDK, PROCESS_OPT_OUT };
	char name[16];

	snprintf(name, sizeof(name), "p%u", tgid);
	rig_process(&rig, tgid, name, runtimes[pick(4)], flags[pick(6)]);
}

static void begin(struct chaos *chaos)
{
	unsigned int i = chaos->n++;
	struct rig_call *call = &chaos->calls[i];

	*call = (struct rig_call){
		.client = 10 + pick(8),
		.server = 10 + pick(8),
		.client_tid = 100 + pick(30),
		.server_tid = 100 + pick(30),
		.unix_pair = !pick(6),
		.no_edge = !pick(12),
		.reused = pick(2),
		.flags = pick(20) ? 0 : EX_NOT_ALONE,
	};
	/* Most calls are made by a request that is open; some claim one that is not. */
	for (int tries = 0; i && tries < 20; tries++) {
		call->in_hand = &chaos->calls[pick(i)];
		if (call->in_hand->s)
			break;
	}
	if (call->in_hand && pick(4)) {
		call->client = call->in_hand->server;
		if (pick(5))
			call->client_tid = call->in_hand->server_tid;
		if (!pick(3))
			call->traceparent = call->in_hand->traceparent;
	}
	if (!call->traceparent && !pick(3)) {
		snprintf(chaos->headers[i], sizeof(chaos->headers[i]), "00-%032x-ee%014x-0%u",
			 1 + pick(1 + i / 8), 1 + pick(50), pick(2));
		call->traceparent = chaos->headers[i];
	}
	if (!pick(25)) {
		call->flags |= EX_EXPORT;
		call->method = "POST";
		call->target = "/v1/traces";
	}
}

/* Spans that the program might have exported for calls of the last while. */
static void export_some(struct chaos *chaos, struct rig_call *e, char *body, size_t size)
{
	int n = snprintf(body, size, "[");

	for (int k = 0; k < 8 && chaos->n; k++) {
		unsigned int i = pick(chaos->n);
		const char *header = chaos->calls[i].traceparent;

		if (!header) {
			n += snprintf(body + n, size - (size_t)n,
				      "{\"traceId\":\"%032x\",\"id\":\"ee%014x\",\"kind\":2,"
				      "\"startTimeUnixNano\":1,\"endTimeUnixNano\":"
				      "9999999999999999999,\"remoteEndpoint\":{\"port\":%u}},",
				      1 + pick(1 + i / 8), 1 + pick(50), 8079 + pick(2));
			continue;
		}
		n += snprintf(
			body + n, size - (size_t)n,
			"{\"traceId\":\"%.32s\",\"spanId\":\"%.16s\",\"parentSpanId\":\"%.16s\","
			"\"kind\":%u,\"startTimeUnixNano\":1,\"endTimeUnixNano\":"
			"9999999999999999999},",
			header + 3, header + 36, header + 36, 2 + pick(2));
	}
	snprintf(body + n, size - (size_t)n, "]");
	*e = (struct rig_call){ .client = 10 + pick(8),
				.server = 30,
				.flags = EX_EXPORT,
				.method = "POST",
				.target = "/v1/traces",
				.content_type = "application/json",
				.body = body,
				.body_len = strlen(body) };
}

static void finish(struct chaos *chaos, struct exchange **ex, uint32_t other_tid)
{
	if (!*ex)
		return;
	if (!pick(12)) {
		if (!tracer__abandon(rig.tracer, *ex))
			chaos->abandoned++;
		exchange__free(*ex);
		*ex = NULL;
		return;
	}
	if (!pick(8))
		(*ex)->flags |= EX_CUT;
	(*ex)->response_tid = pick(2000) ? (*ex)->tid : other_tid;
	(*ex)->status = 200;
	(*ex)->end_ns = rig.now;
	tracer__end(rig.tracer, *ex);
	*ex = NULL;
}

static void step(struct chaos *chaos)
{
	struct rig_call *call = chaos->n ? &chaos->calls[pick(chaos->n)] : NULL;
	struct rig_call e;
	char body[4096];

	switch (pick(12)) {
	case 0:
		rig_clock(&rig, pick(8) ? pick(30) : pick(3000));
		return;
	case 1:
		if (!pick(10))
			identify(10 + pick(9));
		return;
	case 2:
		if (!pick(40))
			tracer__process_gone(rig.tracer,
					     (struct process_key){ 10 + pick(3), 10 + pick(3) });
		return;
	case 3:
		if (pick(6))
			return;
		export_some(chaos, &e, body, sizeof(body));
		rig_ask(&rig, &e);
		rig_tell(&rig, &e);
		chaos->told += 2;
		return;
	case 4:
	case 5:
		if (chaos->n < CALLS)
			begin(chaos);
		return;
	}
	if (!call)
		return;
	if (!chaos->begun[call - chaos->calls]) {
		chaos->begun[call - chaos->calls] = true;
		if (pick(10)) {
			rig_write(&rig, call);
			chaos->told++;
		}
		if (pick(10)) {
			rig_read(&rig, call);
			chaos->told++;
		}
	} else if (call->s && pick(3)) {
		finish(chaos, &call->s, 999);
	} else {
		finish(chaos, &call->c, 999);
	}
}

static void check_account(const struct chaos *chaos, unsigned int open)
{
	const struct account_trace *a = &rig.account.trace;

	assert_int_equal(a->ex_spans + a->filtered_telemetry + a->filtered_duplicate +
				 a->filtered_opt_out + a->dropped_bound + a->dropped_trace_cap +
				 a->ex_held + open + chaos->abandoned,
			 chaos->told);
}

static void run(uint64_t with_seed)
{
	static struct chaos chaos;
	unsigned int open = 0;

	memset(&rig, 0, sizeof(rig));
	memset(&chaos, 0, sizeof(chaos));
	seed = with_seed;
	rig.config.held_max = pick(3) ? 0 : 5 + pick(60);
	rig.config.processes_max = pick(4) ? 0 : 3;
	rig.config.sampler = SAMPLER_ALWAYS_ON;
	rig_start(&rig);
	for (int i = 0; i < STEPS; i++)
		step(&chaos);
	for (unsigned int i = 0; i < chaos.n; i++)
		open += (chaos.calls[i].c != NULL) + (chaos.calls[i].s != NULL);
	check_account(&chaos, open);
	/* As the engine does at the end of its input: everything open is cut. */
	for (unsigned int i = 0; i < chaos.n; i++) {
		finish(&chaos, &chaos.calls[i].s, 1);
		finish(&chaos, &chaos.calls[i].c, 1);
	}
	tracer__flush(rig.tracer);
	assert_int_equal(rig.account.trace.ex_held, 0);
	assert_int_equal(tracer__next_timer(rig.tracer), 0);
	check_account(&chaos, 0);
	rig_check_whole(&rig, outside);
	assert_int_equal(exchange_pool__used(rig.pool), 0);
	rig_stop(&rig);
}

static void whatever_happens(void **state)
{
	for (uint64_t i = 0; i < 300; i++)
		run(i * 7919 + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(whatever_happens) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
