// SPDX-License-Identifier: Apache-2.0
/* Lives of connections at random, with losses: whatever is missing, no request gets another's answer. */
#include "sim_tracer.h"

static uint64_t seed;

static uint32_t dice(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % n;
}

static size_t write_request(char *to, uint32_t n)
{
	uint32_t len = dice(4) ? 0 : dice(50);
	size_t at = (size_t)sprintf(to, "GET /%u HTTP/1.1\r\nHost: h\r\n", n);

	if (!len)
		return at + (size_t)sprintf(to + at, "\r\n");
	if (dice(2)) {
		at += (size_t)sprintf(to + at, "Transfer-Encoding: chunked\r\n\r\n%x\r\n", len);
		memset(to + at, 'G', len);
		return at + len + (size_t)sprintf(to + at + len, "\r\n0\r\n\r\n");
	}
	at += (size_t)sprintf(to + at, "Content-Length: %u\r\n\r\n", len);
	memset(to + at, 'G', len);
	return at + len;
}

/* The answer to request n has n bytes and status 200 + n % 50. */
static size_t write_response(char *to, uint32_t n)
{
	static const char tail[] = "\r\n0\r\n\r\n";
	size_t at = 0;

	if (!dice(8))
		at += (size_t)sprintf(to, "HTTP/1.1 103 Hints\r\n\r\n");
	at += (size_t)sprintf(to + at, "HTTP/1.1 %u OK\r\nX-N: %u\r\n", 200 + n % 50, n);
	if (200 + n % 50 == 204)
		return at + (size_t)sprintf(to + at, "\r\n");
	if (dice(3)) {
		at += (size_t)sprintf(to + at, "Content-Length: %u\r\n\r\n", n);
		memset(to + at, 'H', n);
		return at + n;
	}
	at += (size_t)sprintf(to + at, "Transfer-Encoding: chunked\r\n\r\n");
	if (n) {
		at += (size_t)sprintf(to + at, "%x\r\n", n);
		memset(to + at, 'H', n);
		at += n;
		at += (size_t)sprintf(to + at, "%s", tail);
		return at;
	}
	return at + (size_t)sprintf(to + at, "%s", tail + 2);
}

/* One in `lose` records is lost, one in `miss` calls is missed; 0: none. */
static void say_in_calls(struct sim_conn *c, int dir, const char *text, size_t len, uint32_t lose,
			 uint32_t miss, bool cut)
{
	struct sim *sim = c->sim;

	for (size_t at = 0, n; at < len; at += n) {
		n = !cut || dice(3) ? len - at : 1 + dice((uint32_t)(len - at));
		sim->lose = lose && !dice(lose);
		sim->miss = miss && !dice(miss);
		sim->capture = !cut || dice(5) ? 0 : 1 + dice(300);
		sim_call(c, dir, text + at, n);
		sim->lose = sim->miss = false;
	}
	sim->capture = 0;
}

/* When the request was sent, and its answer: the first call and the last, and whether that was seen. */
struct said {
	uint64_t asked_ns, from_ns, to_ns;
	bool end_seen;
};

/* One request at a time: whatever was lost or missed, what is told of the others is true. */
static void check_times(uint32_t round, const struct said *said)
{
	for (uint32_t i = 0; i < sim_n_ended; i++) {
		const struct sim_ended *e = &sim_ended[i];
		const struct said *s = &said[atoi(e->target + 1)];

		if (e->start_ns != s->asked_ns)
			fail_msg("round %u: %s began at %lu, not %lu", round, e->target,
				 e->start_ns, s->asked_ns);
		if (e->end_ns < s->from_ns || e->end_ns > s->to_ns ||
		    (s->end_seen && e->end_ns != s->to_ns))
			fail_msg("round %u: %s ended at %lu, not in %lu..%lu", round, e->target,
				 e->end_ns, s->from_ns, s->to_ns);
	}
}

/* overlap: requests are sent while those of earlier turns wait for their answers. */
static void one_random_life(uint32_t round, uint32_t lose, uint32_t miss, uint32_t depth,
			    bool overlap)
{
	static struct said said[68];
	struct sim *sim = calloc(1, sizeof(*sim));
	static char requests[65536], responses[65536];
	struct sim_conn *c;
	bool pipelined = false, overlaps, lossy = lose || miss, records = lose;
	uint32_t sent = 0;
	int req;

	assert_non_null(sim);
	sim_open(sim);
	sim->unsure = dice(2);
	req = (int)dice(2);
	c = sim_connect(sim,
			dice(3) ? (req == TX ? SONDE_ROLE_ACTIVE : SONDE_ROLE_PASSIVE) :
				  SONDE_ROLE_UNKNOWN,
			true);
	if (!dice(8))
		c->slot = ~1u; /* requests about the slot go nowhere */
	for (uint32_t n = 1, answered = 1; n < 63 || answered < n;) {
		uint32_t batch = n < 63 ? 1 + dice(depth) : 0;
		size_t q = 0, r = 0;

		if (n >= 60)
			lose = miss = 0;
		/* of those that were sent before the last answer, one still waits */
		overlaps = batch && answered < sent;
		for (uint32_t i = 0; i < batch; i++, n++)
			q += write_request(requests + q, n);
		while (answered < n && !(overlap && n < 63 && !dice(3)))
			r += write_response(responses + r, answered++);
		/* A client that does not wait must have been seen as one: bytes do not say it. */
		said[n - 1].asked_ns = sim->now + sim->step;
		say_in_calls(c, req, requests, q, overlap && !pipelined ? 0 : lose,
			     overlap && !pipelined ? 0 : miss, !overlap || pipelined);
		pipelined |= overlaps;
		if (!dice(4))
			sim_wait(sim, dice(400) * 1000000ull);
		said[n - 1].from_ns = sim->now + sim->step;
		say_in_calls(c, !req, responses, r, overlap && !pipelined ? 0 : lose,
			     overlap && !pipelined ? 0 : miss, !overlap || pipelined);
		said[n - 1].to_ns = sim->now;
		said[n - 1].end_seen = !c->unseen[!req];
		if (r)
			sent = n;
		if (!dice(4))
			sim_wait(sim, dice(400) * 1000000ull);
		sim_check_account(sim);
	}
	sim_gone(c);
	assert_int_equal(sim->account.trace.ex_open, 0);
	for (uint32_t i = 0; i < sim_n_ended; i++) {
		const struct sim_ended *e = &sim_ended[i];
		uint32_t n = (uint32_t)atoi(e->target + 1);

		if (e->flags & EX_RESPONSE && e->status != 200 + n % 50)
			fail_msg("round %u: %s got %u", round, e->target, e->status);
		if (!lossy && depth == 1 && i &&
		    n != (uint32_t)atoi(sim_ended[i - 1].target + 1) + 1)
			fail_msg("round %u: %s after %s", round, e->target,
				 sim_ended[i - 1].target);
	}
	if (!lossy && depth == 1 && sim_n_ended != 62)
		fail_msg("round %u: %u of 62", round, sim_n_ended);
	/* one request at a time: whatever was lost, it is followed again soon after */
	if (depth == 1 && !overlap && !records)
		check_times(round, said);
	if (depth == 1 && !overlap && !records && sim_n_ended + 2 * sim->missed < 62)
		fail_msg("round %u: %u of 62 with %lu missed", round, sim_n_ended, sim->missed);
	if (depth == 1 && !overlap &&
	    (!sim_n_ended || strcmp(sim_ended[sim_n_ended - 1].target, "/62")))
		fail_msg("round %u: not followed again", round);
	sim_close(sim);
	free(sim);
}

static void random_lives(void **state)
{
	for (uint32_t round = 0; round < 1500; round++) {
		seed = 0x9e3779b97f4a7c15ull * (round + 1);
		one_random_life(round, round % 3 ? 2 + dice(30) : 0, 0, round % 2 ? 1 : 4,
				round % 10 == 4);
	}
}

/* The same where hooks miss calls; and both. */
static void random_lives_missed(void **state)
{
	for (uint32_t round = 0; round < 3000; round++) {
		seed = 0x9e3779b97f4a7c15ull * (round + 1) ^ 0x55;
		one_random_life(round, round % 5 ? 0 : 2 + dice(30), 2 + dice(30),
				round % 3 ? 1 : 4, round % 10 == 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_lives),
		cmocka_unit_test(random_lives_missed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
