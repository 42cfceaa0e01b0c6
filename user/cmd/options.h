/* SPDX-License-Identifier: Apache-2.0 */
/* The options that trace, record and agent share, parsed and checked. */
#ifndef SONDE_CMD_OPTIONS_H
#define SONDE_CMD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cmd/receiving.h"
#include "cmd/ui.h"

#define OPTION_LIST_MAX 64
#define CPU_BUDGET_PERCENT 3
#define TOP_INTERVAL_S 2
#define MEMORY_BUDGET_BYTES (64ull << 20)

/* Which processes: a union. Strings are borrowed from argv. */
struct scope_options {
	pid_t pids[OPTION_LIST_MAX];
	unsigned int n_pids;
	const char *cgroups[OPTION_LIST_MAX]; /* --cgroup, --unit and --container, as paths */
	unsigned int n_cgroups;
	const char *netns[OPTION_LIST_MAX];
	unsigned int n_netns;
	uint16_t ports[OPTION_LIST_MAX];
	unsigned int n_ports;
	const char *exes[OPTION_LIST_MAX];
	unsigned int n_exes;
};

struct run_options {
	const char *command_name; /* "trace", …, for messages */
	struct scope_options scope;
	char **command; /* CMD ARG…, NULL: none */
	const char *user;
	/* output */
	const char *file;   /* -o */
	const char *otlp;   /* --otlp */
	const char *ledger; /* --ledger */
	const char *store;  /* --store */
	uint64_t store_bytes, store_age_s;
	struct ui_options ui;
	struct receiving_options receiving;
	bool tree, summary, json, headers;
	const char *where;
	uint64_t limit;	   /* -n */
	double duration_s; /* --duration, 0: none */
	/* capture */
	const char *tier;
	uint64_t ring_bytes;
	const char *config;
	const char *lock; /* agent: --lock */
	bool replace;
	double cpu_budget_percent;    /* agent: of all processors together */
	uint64_t memory_budget_bytes; /* agent: of all roles and maps */
	int verbose;
	bool quiet;
	bool help;
	/* top */
	double interval_s;
	uint64_t count; /* of intervals; 0: until it is ended */
};

/* Which options a command takes. */
enum {
	TAKES_SCOPE = 1 << 0,
	TAKES_COMMAND = 1 << 1,
	TAKES_OUTPUT = 1 << 2,
	TAKES_CAPTURE = 1 << 3,
	TAKES_AGENT = 1 << 4,
	TAKES_SERVE = 1 << 5,
	TAKES_TOP = 1 << 6,
};

/*
 * Fills options. True: go on. Else *ret_status is the exit status: EXIT_USAGE after a message on
 * standard error that says what is wrong and what to write instead, EXIT_DONE where --help asked for
 * `help`, which is then printed and nothing else is checked, or --options for the names of all options.
 */
bool options__parse(int argc, char **argv, unsigned int takes, const char *help,
		    struct run_options *ret, int *ret_status);

#endif
