/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run of the probe role: hooks attached, roles started, a command traced or a scope watched,
 * until it ends; then everything drained, flushed and accounted for. The one loop behind the commands trace,
 * record, agent and replay.
 */
#ifndef SONDE_PROBE_RUN_H
#define SONDE_PROBE_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "cmd/options.h"
#include "cmd/receiving.h"
#include "cmd/ui.h"
#include "ship/ship.h"
#include "trace/record_file.h"

struct run_plan {
	const struct run_options *options;
	struct trace_settings settings; /* sampler, keys, bounds; the rest is filled in here */
	struct buf host_attributes;
	struct ship_config ship;
	int file_fd;   /* -o: what ship knows as FD_SINKS; -1: none */
	int record_fd; /* record: messages are written to it; replay: read from it; -1: neither */
	struct ui ui;  /* --ui: what is served; listening -1: nothing */
	struct receiving receiving; /* --otlp-http, --otlp-grpc */
	char *own_store;	    /* a folder that ends with the run; NULL: none */
	bool replay;
	bool untraced; /* nothing is traced: spans come from others */
	bool agent;    /* says when it is ready, stays until told to end */
	int ledger_fd; /* the account as JSON, at the end; -1: none */
	/*
	 * SIGHUP: makes the sinks anew from file and environment. 0, or non-zero after a message; then
	 * the old ones stay. NULL: there is nothing to read again.
	 */
	int (*reload)(const struct run_plan *plan, struct ship_config *ret_ship);
};

/*
 * Runs the plan to its end. Returns the exit status of the command: the traced one's own, or as
 * cmd/command.h says.
 */
int run__plan(struct run_plan *plan);

#endif
