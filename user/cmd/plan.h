/* SPDX-License-Identifier: Apache-2.0 */
/* From options and environment to what the probe role runs. */
#ifndef SONDE_CMD_PLAN_H
#define SONDE_CMD_PLAN_H

#include "probe/run.h"

/* The configuration says that there is nothing to do: no error. */
#define PLAN_NOTHING (-1)

/*
 * Keys, sampler, host attributes, sinks (console, -o, --otlp; for an agent what OTEL_* or the
 * configuration file say), the ledger's descriptor. Warnings are logged. Returns 0, PLAN_NOTHING, or an
 * exit status after a message on standard error.
 */
int plan__make(struct run_plan *plan, const struct run_options *options, bool agent);
/*
 * For `sonde serve`: what is received goes to a store, and on to --otlp; nothing is traced. The store is of the options.
 * Returns as plan__make().
 */
int plan__make_untraced(struct run_plan *plan, const struct run_options *options);
/*
 * Runs it, where status (of what made it) is 0, and frees it in either case. Returns the command's exit
 * status.
 */
int plan__run(struct run_plan *plan, int status);

/* Opens a file for writing, created with mode; -1 after a message that names the option. */
int plan__open_output(const char *command, const char *option, const char *path, unsigned int mode);

#endif
