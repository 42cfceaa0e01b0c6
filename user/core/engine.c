// SPDX-License-Identifier: Apache-2.0
#include "core/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn.h"

#define EXCHANGES_MAX_DEFAULT 8192
/* No direction of a connection gets this far; below it, sums of offsets and lengths do not wrap. */
#define OFFSET_MAX (1ull << 62)
/* 146 years of nanoseconds since boot: what is due after a time below does not wrap to before it. */
#define NS_MAX (1ull << 62)

struct engine {
	struct core core;
	struct engine_config config;
	struct engine_out out;
	struct account spare; /* where the caller has none */
};

struct engine *engine__new(const struct engine_config *config, const struct engine_out *out,
			   struct account *account)
{
	struct engine *engine = calloc(1, sizeof(*engine));
	struct core *core;

	if (!engine)
		return NULL;
	core = &engine->core;
	engine->config = *config;
	engine->out = *out;
	core->out = &engine->out;
	if (!account)
		account = &engine->spare;
	core->account = &account->trace;
	core->pool = exchange_pool__new(config->exchanges_max ?: EXCHANGES_MAX_DEFAULT);
	core->tracer = tracer__new(&engine->config, &engine->out, account);
	if (!core->pool || !core->tracer ||
	    conn_table__init(&core->conns, config->conns_max ?: SONDE_CONNS_DEFAULT)) {
		engine__free(engine);
		return NULL;
	}
	if (!config->headers)
		exchange_pool__leave_out_response_fields(core->pool);
	return engine;
}

void engine__free(struct engine *engine)
{
	if (!engine)
		return;
	if (engine->core.conns.at)
		conn_table__release(&engine->core);
	if (engine->core.tracer)
		tracer__free(engine->core.tracer);
	exchange_pool__free(engine->core.pool);
	free(engine);
}

/* Copies a record's fixed part out of bytes that may lie anywhere. */
#define TAKE(rec, bytes, len) ((len) >= sizeof(rec) && (memcpy(&(rec), bytes, sizeof(rec)), true))

static int feed_data(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_data rec;
	struct sonde_rec_more more;

	if (!TAKE(rec, bytes, len) || rec.offset > OFFSET_MAX)
		return -EPROTO;
	bytes += sizeof(rec);
	len -= sizeof(rec);
	if (!(rec.h.flags & SONDE_F_MORE)) {
		if (rec.copied > len)
			return -EPROTO;
		conn__on_data(core, &rec, NULL, bytes);
		return 0;
	}
	if (len < sizeof(more) || rec.copied > len - sizeof(more))
		return -EPROTO;
	memcpy(&more, bytes + len - sizeof(more), sizeof(more));
	if (more.other_offset > OFFSET_MAX)
		return -EPROTO;
	conn__on_data(core, &rec, &more, bytes);
	return 0;
}

static int feed_frames(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_frames rec;

	if (!TAKE(rec, bytes, len) || rec.offset > OFFSET_MAX || rec.copied > len - sizeof(rec) ||
	    (rec.in_frame & SONDE_FRAMES_HOW) > SONDE_FRAMES_GO_ON)
		return -EPROTO;
	conn__on_frames(core, &rec, bytes + sizeof(rec));
	return 0;
}

static int feed_stream(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_stream rec;

	if (!TAKE(rec, bytes, len))
		return -EPROTO;
	conn__on_stream(core, &rec);
	return 0;
}

static int feed_conn(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_conn rec;

	if (!TAKE(rec, bytes, len) || rec.tx_offset > OFFSET_MAX || rec.rx_offset > OFFSET_MAX)
		return -EPROTO;
	conn__on_conn(core, &rec);
	return 0;
}

static int feed_end(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_end rec;

	if (!TAKE(rec, bytes, len) || rec.offset > OFFSET_MAX)
		return -EPROTO;
	conn__on_end(core, &rec);
	return 0;
}

static int feed_gone(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_gone rec;

	if (!TAKE(rec, bytes, len) || rec.tx_offset > OFFSET_MAX || rec.rx_offset > OFFSET_MAX)
		return -EPROTO;
	conn__on_gone(core, &rec);
	return 0;
}

static int feed_process_end(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec_proc rec;

	if (!TAKE(rec, bytes, len))
		return -EPROTO;
	conn__on_process_end(core, &rec);
	return 0;
}

static int feed_record(struct core *core, const uint8_t *bytes, size_t len)
{
	struct sonde_rec rec;
	bool of_conn;

	/* The ring rounds up to 8 bytes; what is longer than it says has another layout. */
	if (!TAKE(rec, bytes, len) || rec.bytes > len || len - rec.bytes >= 8)
		return -EPROTO;
	of_conn = (rec.type >= SONDE_REC_CONN && rec.type <= SONDE_REC_GONE) ||
		  rec.type == SONDE_REC_FRAMES || rec.type == SONDE_REC_STREAM;
	if (of_conn != (rec.conn != 0) || rec.ns > NS_MAX)
		return -EPROTO;
	if (rec.ns > core->last_ns)
		core->last_ns = rec.ns;
	len = rec.bytes;
	switch (rec.type) {
	case SONDE_REC_CONN:
		return feed_conn(core, bytes, len);
	case SONDE_REC_DATA:
		return feed_data(core, bytes, len);
	case SONDE_REC_FRAMES:
		return feed_frames(core, bytes, len);
	case SONDE_REC_STREAM:
		return feed_stream(core, bytes, len);
	case SONDE_REC_END:
		return feed_end(core, bytes, len);
	case SONDE_REC_SHUT:
	case SONDE_REC_GONE:
		return feed_gone(core, bytes, len);
	case SONDE_REC_EXIT:
	case SONDE_REC_EXEC:
		return feed_process_end(core, bytes, len);
	default:
		return -EPROTO;
	}
}

static int feed_clock(struct core *core, const void *bytes, size_t len)
{
	struct message_clock clock;

	if (len != sizeof(clock))
		return -EPROTO;
	memcpy(&clock, bytes, sizeof(clock));
	if (clock.now_ns > NS_MAX)
		return -EPROTO;
	if (clock.now_ns > core->now_ns)
		core->now_ns = clock.now_ns;
	tracer__clock(core->tracer, &clock);
	conn__on_timers(core);
	return 0;
}

static int feed_process(struct core *core, const uint8_t *bytes, size_t len)
{
	struct message_process process;

	if (!TAKE(process, bytes, len))
		return -EPROTO;
	tracer__process(core->tracer, &process, bytes + sizeof(process), len - sizeof(process));
	return 0;
}

static int feed_slot(struct core *core, const void *bytes, size_t len)
{
	struct message_slot slot;

	if (len != sizeof(slot))
		return -EPROTO;
	memcpy(&slot, bytes, sizeof(slot));
	if (slot.slot.tx_offset > OFFSET_MAX || slot.slot.rx_offset > OFFSET_MAX)
		return -EPROTO;
	conn__on_slot(core, &slot.slot);
	return 0;
}

int engine__feed(struct engine *engine, enum message_type type, const void *bytes, size_t len)
{
	struct core *core = &engine->core;
	int err;

	switch (type) {
	case MSG_RECORD:
		err = feed_record(core, bytes, len);
		core->account->records_read++;
		if (err)
			core->account->records_bad++;
		return err;
	case MSG_CLOCK:
		return feed_clock(core, bytes, len);
	case MSG_PROCESS:
		return feed_process(core, bytes, len);
	case MSG_SLOT:
		return feed_slot(core, bytes, len);
	case MSG_END:
		conn__on_input_end(core);
		tracer__flush(core->tracer);
		return 0;
	default:
		return -EPROTO;
	}
}

uint64_t engine__next_timer(const struct engine *engine)
{
	uint64_t conns = engine->core.wheel.next_ns;
	uint64_t tracer = tracer__next_timer(engine->core.tracer);
	uint64_t ended = engine->core.n_ended ? engine->core.ended[0].due_ns : 0;

	if (!conns || (ended && ended < conns))
		conns = ended;
	return !conns || (tracer && tracer < conns) ? tracer : conns;
}

void engine__shed(struct engine *engine, unsigned int step)
{
	struct shed shed = governor__shed(step);

	tracer__shed(engine->core.tracer, &shed);
	conn__shed(&engine->core, shed.share);
}

void engine__resend_definitions(struct engine *engine)
{
	tracer__resend_definitions(engine->core.tracer);
}
