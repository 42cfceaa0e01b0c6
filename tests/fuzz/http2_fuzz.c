// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP/2 in both directions: records of frames, whole, in pieces, lost, of any bytes; what was counted of
 * streams; ends and resets. Whatever comes, the account balances, and what is kept is bounded.
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

/* A record as the kernel side would write it, but of any bytes. */
static void frames(struct sim *sim, struct sim_conn *c, uint8_t what, struct input *in)
{
	static uint16_t blocks;
	uint8_t record[sizeof(struct sonde_rec_frames) + 256] = { 0 };
	struct sonde_rec_frames *rec = (struct sonde_rec_frames *)record;
	uint8_t n_wanted = take(in), how = take(in);
	size_t left = (size_t)(in->end - in->at), n = n_wanted < left ? n_wanted : left;
	int dir = what & 1;

	sim->now += 1000;
	rec->h.type = SONDE_REC_FRAMES;
	rec->h.flags = (dir ? SONDE_F_TX : 0) | (what & 2 ? SONDE_F_LOST_BEFORE : 0);
	rec->h.bytes = (uint32_t)(sizeof(*rec) + n);
	rec->h.ns = sim->now;
	rec->h.conn = c->id;
	rec->tgid = c->tgid;
	rec->tid = c->tid;
	rec->offset = c->off[dir];
	rec->turn = ++c->turn;
	rec->copied = (uint16_t)n;
	rec->begun = what >> 4 & 1;
	rec->blocks = what & 4 ? blocks : c->head[dir];
	rec->in_frame = how % 8;
	memcpy(rec->payload, in->at, n);
	if ((rec->in_frame & SONDE_FRAMES_HOW) == SONDE_FRAMES_INSIDE && n >= 12) {
		memcpy(rec->head, in->at, sizeof(rec->head));
		rec->left = in->at[10];
	}
	in->at += n;
	c->off[dir] += n + (what & 0x20 ? 9 : 0);
	blocks += n > 9;
	sim->records++;
	/* what is refused is no record of the kernel side's */
	if (!engine__feed(sim->engine, MSG_RECORD, record, rec->h.bytes))
		sim->starts_begun += rec->begun;
}

static void stream(struct sim *sim, struct sim_conn *c, struct input *in)
{
	struct sonde_rec_stream rec = { .h = { .type = SONDE_REC_STREAM, .bytes = sizeof(rec) } };

	rec.h.ns = sim->now;
	rec.h.conn = c->id;
	rec.stream = take(in);
	rec.unknown = take(in);
	rec.ends = rec.unknown >> 3 & 1;
	rec.h.flags = (rec.unknown & 16 ? SONDE_F_TX : 0) | (rec.unknown & 32 ? SONDE_F_START : 0);
	rec.messages[0] = take(in);
	rec.bytes[1] = take(in);
	sim->records++;
	engine__feed(sim->engine, MSG_RECORD, &rec, sizeof(rec));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct sim sim;
	struct input in = { bytes, bytes + len };
	uint8_t how = take(&in);

	memset(&sim, 0, sizeof(sim));
	sim.config.exchanges_max = 16;
	sim.config.conns_max = 4;
	sim_open(&sim);
	sim_connect(&sim, how >> 1 & 3, how & 8);
	while (in.at < in.end) {
		uint8_t what = take(&in);
		struct sim_conn *c = &sim.conns[(what >> 6) % sim.n_conns];

		if (!(what & 8))
			frames(&sim, c, what, &in);
		else if (what & 0x10)
			stream(&sim, c, &in);
		else if (what & 0x20)
			sim_over(c, SONDE_REC_SHUT,
				 what & 1 ? SONDE_F_TX :
				 what & 2 ? SONDE_F_RESET :
					    0);
		else if (what & 4)
			sim_process_end(&sim, what & 1 ? SONDE_REC_EXIT : SONDE_REC_EXEC, c->tgid);
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
