/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of a run, as JSON and as a line. Each line balances by itself; residuals are
 * computed from counters of different origin, never forced.
 */
#ifndef SONDE_SUPERVISE_LEDGER_H
#define SONDE_SUPERVISE_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "../headers/counters.h"
#include "base/buf.h"
#include "core/account.h"

/* What no counter can see: each source with a number, or unknown where the kernel cannot say. */
#define LEDGER_BLIND_MAX 64
struct ledger_blind {
	const char *name; /* static string */
	bool known;
	uint64_t value;
};

/* What a role has cost so far. */
#define LEDGER_ROLES_MAX 8
struct ledger_cost {
	const char *role;	       /* static string */
	uint64_t cpu_ns, memory_bytes; /* memory: proportional */
};

/* Files with functions of TLS libraries, and what could not be done about them. */
struct ledger_libraries {
	uint64_t looked_at, hooked, let_go, hooked_now;
	uint64_t refused;	 /* inspect or the kernel could not */
	uint64_t broken;	 /* no whole programs or libraries */
	uint64_t gone;		 /* mapped by processes that had ended before it was looked at */
	uint64_t functions_left; /* whose ends are not known */
	uint64_t full,
		mappings_lost; /* files not looked at: no room to know them; the kernel had none to tell */
};

struct ledger {
	bool running;	     /* it goes on: what is on its way stands in the residuals */
	uint64_t at_unix_ns; /* when, of one that is running; 0: not said */
	const char *tier;    /* "kprobe", …; "" for a replay */
	struct sonde_kcounters kernel;
	uint64_t drain_lost; /* records that probe took from the kernel and could not pass on */
	struct account account;
	const struct account_received *received; /* NULL: there is no receiver */
	bool untraced;				 /* there is nothing but that */
	struct ledger_blind blind[LEDGER_BLIND_MAX];
	unsigned int n_blind;
	struct ledger_libraries libraries;
	struct ledger_cost cost[LEDGER_ROLES_MAX];
	unsigned int n_cost; /* 0: not measured, and not told */
	uint64_t map_bytes;  /* of the kernel's maps */
	bool programs_known;
	uint64_t programs_ns; /* what the hooks have added to others, as calibrated */
};

/* One JSON document, newline included; shape: DESIGN of the account in docs/. */
void ledger__json(const struct ledger *ledger, struct buf *out);
/* One line for people, newline included; then a line for connections that were not decoded, if any. */
void ledger__line(const struct ledger *ledger, struct buf *out);
/* Everything that was lost, in any line: for the exit message and for tests. */
uint64_t ledger__lost(const struct ledger *ledger);

#endif
