/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of `sonde record` and `sonde replay`: a header, then messages as frames (core/message.h).
 * Native byte order; another version, ABI or byte order is refused by name.
 */
#ifndef SONDE_TRACE_RECORD_FILE_H
#define SONDE_TRACE_RECORD_FILE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "core/engine.h"

#define RECORD_FILE_MAGIC "SONDEREC"
#define RECORD_FILE_VERSION 1
#define RECORD_FILE_BYTE_ORDER 0x01020304u

struct record_file_header {
	char magic[8];
	uint32_t byte_order;
	uint32_t version;
	uint32_t abi;		 /* SONDE_ABI */
	uint32_t settings_bytes; /* struct trace_settings that follows, then host attributes */
	uint8_t fleet_key[16];
	uint8_t boot_id[16];
	uint8_t host_key[8];
};

/* What trace is told before it begins: the engine's configuration in a form that can be written. */
struct trace_settings {
	uint8_t fleet_key[16], boot_id[16], host_key[8];
	uint32_t sampler; /* enum sampler_kind */
	uint32_t headers, query_values;
	uint32_t conns_max, exchanges_max, processes_max, held_max;
	uint32_t n_host_attributes, host_attributes_bytes;
	uint64_t held_bytes_max;
	double sampler_ratio;
	char known_methods[256];
	/* outside of the engine */
	uint64_t ring_bytes;
	uint32_t slots;
	uint32_t source;    /* enum trace_source */
	uint32_t recording; /* 1: write messages to FD_RECORD */
	uint32_t verbose;
	/* host_attributes_bytes follow */
};
enum trace_source { SOURCE_RING = 0, SOURCE_DRAIN = 1, SOURCE_FILE = 2 };

void trace_settings__to_engine(const struct trace_settings *settings,
			       const uint8_t *host_attributes, struct engine_config *ret);

/* Appends the file's header, settings and host attributes to out. */
void record_file__begin(struct buf *out, const struct trace_settings *settings,
			const uint8_t *host_attributes);

/*
 * Reads header, settings and host attributes from fd (positioned behind them on success). Errors
 * say what the file is instead.
 */
int record_file__open(int fd, struct trace_settings *ret_settings, struct buf *ret_host_attributes,
		      struct err *err);

#endif
