/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core as one object: messages in, frames out. Pure: no system calls, no clock but the one in
 * the messages, no logging. Same messages, same configuration: same frames.
 */
#ifndef SONDE_CORE_ENGINE_H
#define SONDE_CORE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/account.h"
#include "core/message.h"

struct engine;

enum sampler_kind {
	SAMPLER_PARENT_ALWAYS_ON = 0, /* OTEL_TRACES_SAMPLER=parentbased_always_on, the default */
	SAMPLER_ALWAYS_ON,
	SAMPLER_ALWAYS_OFF,
	SAMPLER_PARENT_ALWAYS_OFF,
	SAMPLER_RATIO,	      /* traceidratio */
	SAMPLER_PARENT_RATIO, /* parentbased_traceidratio */
};

struct engine_config {
	uint8_t fleet_key[16]; /* K */
	uint8_t boot_id[16];
	uint8_t host_key[8];
	enum sampler_kind sampler;
	double sampler_ratio; /* 0..1 */
	bool headers;	      /* --headers: http.request.header.* and http.response.header.* */
	bool query_values;    /* keep values in url.query; default false: REDACTED */
	struct shed shed;     /* what the governor sheds: engine__shed() sets it */
	/* bounds: 0 takes the default */
	uint32_t conns_max, exchanges_max, processes_max, held_max;
	size_t held_bytes_max;
	/* OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS, comma-separated; "" takes the default list. */
	char known_methods[256];
	/*
	 * Resource attributes that hold for every process of this host, encoded as in
	 * message_process (pairs): host.name, os.type, telemetry.*. Borrowed for the engine's life.
	 */
	const uint8_t *host_attributes;
	size_t host_attributes_bytes;
	uint32_t n_host_attributes;
};

/* What the core wants from outside. Called from within engine__feed(); none may call back into it. */
struct engine_out {
	void *arg;
	/* One whole frame. A non-zero return: it was not taken (the pipe is full); the core counts it. */
	int (*frame)(void *arg, const void *bytes, size_t len);
	/* Ask the kernel for an END record when this direction of that slot reaches offset (0: none). */
	void (*watermark)(void *arg, uint32_t slot, uint64_t conn, bool tx, uint64_t offset);
	void (*wish)(void *arg, uint32_t slot, uint64_t conn, uint64_t wish);
	/* Read a slot and feed it as MSG_SLOT, soon after this call of engine__feed() returns. */
	void (*want_slot)(void *arg, uint32_t slot, uint64_t conn);
	/* Who is this? Answered, some time or never, by MSG_PROCESS. */
	void (*want_process)(void *arg, uint32_t tgid, uint64_t tgid_start_ns);
};

/* account: shared counters that outlive this process; borrowed. NULL when there is no memory. */
struct engine *engine__new(const struct engine_config *config, const struct engine_out *out,
			   struct account *account);
void engine__free(struct engine *engine);

/*
 * One message. Hostile bytes are counted, never an error for the caller: -EPROTO says only that
 * this message was refused. No message may be kept by reference.
 */
int engine__feed(struct engine *engine, enum message_type type, const void *bytes, size_t len);

/*
 * The reader of the frames is new: RESOURCE and SCOPE frames go out again before the next span that
 * needs them. Not a message: it changes no span and is not recorded.
 */
void engine__resend_definitions(struct engine *engine);

/*
 * From now on this is shed: a step of governor.h, 0 is nothing. Not a message either: runs that are
 * recorded have no governor.
 */
void engine__shed(struct engine *engine, unsigned int step);

/* When the next timer wants a MSG_CLOCK (CLOCK_BOOTTIME ns), 0: none is waiting. */
uint64_t engine__next_timer(const struct engine *engine);

#endif
