// SPDX-License-Identifier: Apache-2.0
/*
 * Any messages into the whole core: the input is a stream of frames as in a record file. What comes
 * out must be frames, and no exchange may get lost from the account.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/engine.h"
#include "core/frame.h"
#include "core/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int on_frame(void *arg, const void *bytes, size_t len)
{
	struct frame_header header;
	const uint8_t *body;

	if (frame__next(bytes, len, &header, &body) != (long)len)
		abort();
	if (header.type < FRAME_RESOURCE || header.type > FRAME_SPAN)
		abort();
	if (header.type == FRAME_SPAN && header.length < sizeof(struct frame_span))
		abort();
	return header.length % 13 == 12; /* a pipe that is full at times */
}

static void on_watermark(void *arg, uint32_t slot, uint64_t conn, bool tx, uint64_t offset)
{
}

static void on_wish(void *arg, uint32_t slot, uint64_t conn, uint64_t wish)
{
}

static void on_want_slot(void *arg, uint32_t slot, uint64_t conn)
{
}

static void on_want_process(void *arg, uint32_t tgid, uint64_t start_ns)
{
}

/* Every exchange that was opened is somewhere. */
static void check(const struct account_trace *a)
{
	uint64_t inside = a->ex_open + a->ex_held + a->ex_spans + a->filtered_telemetry +
			  a->filtered_duplicate + a->filtered_opt_out + a->dropped_response_lost +
			  a->dropped_trace_cap;
	/* these also count starts of which no exchange was made */
	uint64_t more = a->filtered_continuation + a->dropped_ring + a->dropped_bound +
			a->dropped_bad_head + a->dropped_unjoined;

	if (a->ex_user_begun < inside || a->ex_user_begun > inside + more)
		abort();
}

/* The length that a record states is mended, or next to none would get past the first check. */
static int feed(struct engine *engine, uint8_t type, const uint8_t *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1); /* its own, so that reading past it is found */
	int err;

	if (!copy)
		return 0;
	if (len)
		memcpy(copy, bytes, len);
	if (type == MSG_RECORD && len >= 8 && copy[7] < 128) {
		copy[7] = 0;
		memcpy(copy + 4, &len, 4);
	}
	err = engine__feed(engine, type, copy, len);
	free(copy);
	return err;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static struct account account;
	struct engine_config config = {
		.conns_max = 8, .exchanges_max = 16, .held_max = 8, .processes_max = 8
	};
	struct engine_out out = { NULL,	   on_frame,	 on_watermark,
				  on_wish, on_want_slot, on_want_process };
	struct engine *engine;
	struct frame_header header;
	const uint8_t *body;
	long n;

	if (len) {
		config.headers = bytes[0] & 1;
		config.query_values = bytes[0] & 2;
		config.sampler = bytes[0] >> 2 & 7;
		config.sampler_ratio = 0.5;
		bytes++;
		len--;
	}
	memset(&account, 0, sizeof(account));
	engine = engine__new(&config, &out, &account);
	if (!engine)
		return 0;
	while ((n = frame__next(bytes, len, &header, &body)) > 0) {
		feed(engine, header.type, body, header.length);
		engine__next_timer(engine);
		check(&account.trace);
		bytes += n;
		len -= (size_t)n;
	}
	feed(engine, MSG_END, NULL, 0);
	check(&account.trace);
	engine__free(engine);
	return 0;
}
