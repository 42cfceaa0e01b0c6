// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/1 in both directions, through a kernel side in miniature: calls with any bytes, whole, partly
 * captured or lost; time, ends and resets in between. Whatever comes, the account balances and
 * times are in order. The tracer is one that only notes what it is told.
 *
 * Input: a byte of circumstances, then steps: a byte that says what, a byte of length, bytes.
 */
#include "sim_tracer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void call(struct sim *sim, struct sim_conn *c, uint8_t what, struct input *in)
{
	size_t n = take(in), left = (size_t)(in->end - in->at);
	const char *at = (const char *)in->at;

	if (n > left)
		n = left;
	in->at += n;
	if (!n)
		return;
	sim->lose = (what & 6) == 6;
	sim->capture = (what & 6) == 2 ? 1 + (what >> 4) * 8u : 0;
	sim_call(c, what & 1, at, n);
	sim->lose = false;
	sim->capture = 0;
}

static void event(struct sim *sim, struct sim_conn *c, uint8_t what, struct input *in)
{
	uint8_t n = take(in);

	switch (what >> 4) {
	case 0:
		sim_wait(sim, n * 20000000ull);
		break;
	case 1: /* bytes that no hook saw */
		c->off[n & 1] += 1u + (n >> 1);
		c->ns[n & 1] = sim->now;
		break;
	case 2:
		sim_over(c, SONDE_REC_SHUT, n & 1 ? SONDE_F_TX : 0);
		break;
	case 3:
		sim_over(c, SONDE_REC_SHUT, SONDE_F_RESET);
		break;
	case 4:
		sim_process_end(sim, n & 1 ? SONDE_REC_EXIT : SONDE_REC_EXEC, c->tgid);
		break;
	case 5: /* less was taken than was asked for */
		c->off[n & 1] -= c->off[n & 1] > (n >> 1) ? n >> 1 : 0;
		break;
	case 6:
		sim->unsure = n & 1;
		break;
	case 7: /* a long body */
		sim_body(c, n & 1, 1 + n * 100u);
		break;
	case 8:
		sim_end(c, n & 1, n & 2 ? SONDE_F_LAST_CHUNK : 0);
		break;
	case 9:
		if (sim->n_conns < SIM_CONNS)
			sim_connect(sim, n % 3, n & 4);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct sim sim;
	struct input in = { bytes, bytes + len };
	uint8_t how = take(&in);

	memset(&sim, 0, sizeof(sim));
	sim.config.exchanges_max = 16;
	sim.config.conns_max = 4;
	sim.unsure = how & 1;
	sim_open(&sim);
	sim_connect(&sim, how >> 1 & 3, how & 8);
	while (in.at < in.end) {
		uint8_t what = take(&in);
		struct sim_conn *c = &sim.conns[(what >> 6) % sim.n_conns];

		if (what & 8)
			event(&sim, c, what, &in);
		else
			call(&sim, c, what, &in);
		sim_check_account(&sim);
		for (uint32_t i = 0; i < sim_n_ended && i < SIM_ENDED; i++)
			if (sim_ended[i].end_ns < sim_ended[i].start_ns)
				abort();
		sim_n_ended = 0;
	}
	if (how & 16)
		sim_feed(&sim, MSG_END, NULL, 0);
	for (uint32_t i = 0; i < sim.n_conns; i++)
		sim_gone(&sim.conns[i]);
	if (sim.account.trace.ex_open)
		abort();
	sim_close(&sim);
	return 0;
}
