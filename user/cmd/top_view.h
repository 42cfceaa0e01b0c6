/* SPDX-License-Identifier: Apache-2.0 */
/* The process of `sonde top` that reads the store and draws: in a sandbox, with the terminal that it was given. */
#ifndef SONDE_CMD_TOP_VIEW_H
#define SONDE_CMD_TOP_VIEW_H

#include <stdbool.h>
#include <stdint.h>

struct top_view {
	const char *store, *of; /* of: what is looked at, in words */
	bool screen;		/* else a line of JSON an interval */
	int parent;		/* hangs up when who started it is gone */
	bool keys;		/* standard input is a terminal */
	bool own; /* all that is in the store is of this run; else what was there before does not count */
	double interval_s;
	uint64_t count; /* intervals; 0: until told to end */
};

/* The exit status where the store has got another owner since: who starts it again becomes that one. */
#define TOP_VIEW_AGAIN 3

/* Until q, SIGINT or SIGTERM, count, or a closed output. Exit status, after a message. */
int top_view__run(const struct top_view *view);

#endif
