// SPDX-License-Identifier: Apache-2.0
#include "cmd/options.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cgroup_path.h"
#include "cmd/command.h"
#include "ship/store/store.h"

enum {
	OPT_CGROUP = 256,
	OPT_UNIT,
	OPT_CONTAINER,
	OPT_NETNS,
	OPT_PORT,
	OPT_EXE,
	OPT_OTLP,
	OPT_LEDGER,
	OPT_STORE,
	OPT_STORE_BYTES,
	OPT_STORE_AGE,
	OPT_UI,
	OPT_UI_TOKEN,
	OPT_UI_HOST,
	OPT_OTLP_HTTP,
	OPT_OTLP_GRPC,
	OPT_OTLP_TOKEN,
	OPT_TREE,
	OPT_WHERE,
	OPT_DURATION,
	OPT_HEADERS,
	OPT_TIER,
	OPT_RING_SIZE,
	OPT_CONFIG,
	OPT_JSON,
	OPT_REPLACE,
	OPT_LOCK,
	OPT_CPU_BUDGET,
	OPT_MEMORY_BUDGET,
	OPT_INTERVAL,
	OPT_COUNT,
};

struct option_rule {
	const char *name;
	int code;
	int has_argument; /* as getopt(3) has it */
	unsigned int takes;
};

/* An argument that may be left out: see take_address(). */
#define MAYBE optional_argument

static const struct option_rule rules[] = {
	{ "pid", 'p', true, TAKES_SCOPE },
	{ "cgroup", OPT_CGROUP, true, TAKES_SCOPE },
	{ "unit", OPT_UNIT, true, TAKES_SCOPE },
	{ "container", OPT_CONTAINER, true, TAKES_SCOPE },
	{ "netns", OPT_NETNS, true, TAKES_SCOPE },
	{ "port", OPT_PORT, true, TAKES_SCOPE },
	{ "exe", OPT_EXE, true, TAKES_SCOPE },
	{ "user", 'u', true, TAKES_COMMAND },
	{ "output", 'o', true, TAKES_OUTPUT },
	{ "otlp", OPT_OTLP, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "ledger", OPT_LEDGER, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "store", OPT_STORE, true, TAKES_OUTPUT | TAKES_SERVE | TAKES_TOP },
	{ "store-bytes", OPT_STORE_BYTES, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "store-age", OPT_STORE_AGE, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "ui", OPT_UI, MAYBE, TAKES_OUTPUT | TAKES_SERVE },
	{ "ui-token-file", OPT_UI_TOKEN, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "ui-host", OPT_UI_HOST, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "otlp-http", OPT_OTLP_HTTP, MAYBE, TAKES_OUTPUT | TAKES_SERVE },
	{ "otlp-grpc", OPT_OTLP_GRPC, MAYBE, TAKES_OUTPUT | TAKES_SERVE },
	{ "otlp-token-file", OPT_OTLP_TOKEN, true, TAKES_OUTPUT | TAKES_SERVE },
	{ "tree", OPT_TREE, false, TAKES_OUTPUT },
	{ "summary", 'c', false, TAKES_OUTPUT },
	{ "json", OPT_JSON, false, TAKES_OUTPUT | TAKES_TOP },
	{ "interval", OPT_INTERVAL, true, TAKES_TOP },
	{ "count", OPT_COUNT, true, TAKES_TOP },
	{ "where", OPT_WHERE, true, TAKES_OUTPUT },
	{ "limit", 'n', true, TAKES_OUTPUT },
	{ "duration", OPT_DURATION, true, TAKES_OUTPUT },
	{ "headers", OPT_HEADERS, false, TAKES_OUTPUT },
	{ "tier", OPT_TIER, true, TAKES_CAPTURE },
	{ "ring-size", OPT_RING_SIZE, true, TAKES_CAPTURE },
	{ "config", OPT_CONFIG, true, TAKES_OUTPUT },
	{ "replace", OPT_REPLACE, false, TAKES_AGENT },
	{ "lock", OPT_LOCK, true, TAKES_AGENT },
	{ "cpu-budget", OPT_CPU_BUDGET, true, TAKES_AGENT },
	{ "memory-budget", OPT_MEMORY_BUDGET, true, TAKES_AGENT },
	{ "verbose", 'v', false, ~0u },
	{ "quiet", 'q', false, ~0u },
	{ "help", 'h', false, ~0u },
};
#define RULES (sizeof(rules) / sizeof(rules[0]))

static int __attribute__((format(printf, 2, 3)))
bad(const struct run_options *o, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "sonde %s: ", o->command_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return EXIT_USAGE;
}

/* A whole number in [low, high], nothing behind it but an optional k, m or g (1024) where `units`. */
static bool parse_number(const char *s, uint64_t low, uint64_t high, bool units, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || end == s)
		return false;
	if (units && *end) {
		static const char letters[] = "kmg";
		const char *unit = strchr(letters, *end | 0x20);

		if (!unit)
			return false;
		for (long i = 0; i <= unit - letters && n <= high; i++)
			n *= 1024;
		end++;
	}
	if (*end || n < low || n > high)
		return false;
	*ret = n;
	return true;
}

static int add_pids(struct run_options *o, const char *list)
{
	char copy[1024], *save = NULL;
	uint64_t pid;

	if (strlen(list) >= sizeof(copy))
		return bad(o, "-p: the list is too long");
	strcpy(copy, list);
	for (char *s = strtok_r(copy, ",", &save); s; s = strtok_r(NULL, ",", &save)) {
		if (!parse_number(s, 1, 1u << 22, false, &pid))
			return bad(o, "-p: '%s' is not a process id; write -p 1234 or -p 1234,1235",
				   s);
		if (o->scope.n_pids == OPTION_LIST_MAX)
			return bad(o, "-p: more than %d processes; use --cgroup", OPTION_LIST_MAX);
		if (kill((pid_t)pid, 0) && errno == ESRCH)
			return bad(o, "-p: there is no process %s; `ps` lists those that run", s);
		o->scope.pids[o->scope.n_pids++] = (pid_t)pid;
	}
	return o->scope.n_pids ? 0 : bad(o, "-p: no process id in '%s'", list);
}

static int add_string(struct run_options *o, const char **list, unsigned int *n, const char *value,
		      const char *name)
{
	if (!*value)
		return bad(o, "%s: it needs a value", name);
	if (*n == OPTION_LIST_MAX)
		return bad(o, "%s: given more than %d times", name, OPTION_LIST_MAX);
	list[(*n)++] = value;
	return 0;
}

static int add_cgroup(struct run_options *o, int code, const char *value)
{
	const char *name = code == OPT_UNIT	 ? "--unit" :
			   code == OPT_CONTAINER ? "--container" :
						   "--cgroup";
	enum cgroup_kind kind = code == OPT_UNIT      ? CGROUP_UNIT :
				code == OPT_CONTAINER ? CGROUP_CONTAINER :
							CGROUP_PATH;
	struct err err = { "" };
	char *path;

	if (cgroup_path__find(kind, value, &path, &err))
		return bad(o, "%s: %s", name, err.text);
	return add_string(o, o->scope.cgroups, &o->scope.n_cgroups, path, name);
}

static int add_netns(struct run_options *o, const char *value)
{
	if (access(value, F_OK))
		return bad(
			o,
			"--netns: %s: %s; give a path such as /run/netns/NAME or /proc/PID/ns/net",
			value, strerror(errno));
	return add_string(o, o->scope.netns, &o->scope.n_netns, value, "--netns");
}

static int add_port(struct run_options *o, const char *value)
{
	uint64_t port;

	if (!parse_number(value, 1, 65535, false, &port))
		return bad(o, "--port: '%s' is not a port; write a number from 1 to 65535", value);
	if (o->scope.n_ports == OPTION_LIST_MAX)
		return bad(o, "--port: given more than %d times", OPTION_LIST_MAX);
	o->scope.ports[o->scope.n_ports++] = (uint16_t)port;
	return 0;
}

static int set_scope(struct run_options *o, int code, const char *value)
{
	switch (code) {
	case 'p':
		return add_pids(o, value);
	case OPT_NETNS:
		return add_netns(o, value);
	case OPT_PORT:
		return add_port(o, value);
	case OPT_EXE:
		return add_string(o, o->scope.exes, &o->scope.n_exes, value, "--exe");
	default:
		return add_cgroup(o, code, value);
	}
}

static int set_duration(struct run_options *o, const char *value)
{
	char *end;
	double n = strtod(value, &end);

	if (end == value || n <= 0 || n > 1e9)
		return bad(o, "--duration: '%s' is not a time; write 10, 10s, 5m or 2h", value);
	if (*end == 'm')
		n *= 60;
	else if (*end == 'h')
		n *= 3600;
	else if (*end && *end != 's')
		return bad(o, "--duration: '%s' is not a time; write 10, 10s, 5m or 2h", value);
	if (*end && end[1])
		return bad(o, "--duration: '%s' is not a time; write 10, 10s, 5m or 2h", value);
	o->duration_s = n;
	return 0;
}

static int set_store_bytes(struct run_options *o, const char *value)
{
	if (!parse_number(value, STORE_BYTES_MIN, 1ull << 50, true, &o->store_bytes))
		return bad(o, "--store-bytes: '%s' is not a size of at least 16m; write 512m or 4g",
			   value);
	return 0;
}

static int set_store_age(struct run_options *o, const char *value)
{
	static const struct {
		char unit;
		uint64_t seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char digits[24] = "";
	size_t n = strlen(value);

	for (size_t i = 0; n > 1 && n < sizeof(digits) && i < sizeof(units) / sizeof(*units); i++) {
		if (value[n - 1] != units[i].unit)
			continue;
		memcpy(digits, value, n - 1);
		digits[n - 1] = 0;
		if (!parse_number(digits, 1, 100000000, false, &o->store_age_s))
			break;
		o->store_age_s *= units[i].seconds;
		return 0;
	}
	return bad(o, "--store-age: '%s' is not a time; write 90m, 36h or 7d", value);
}

static int add_host(struct run_options *o, const char *value)
{
	if (o->ui.n_hosts == UI_HOSTS_MAX)
		return bad(o, "--ui-host: given more than %d times", UI_HOSTS_MAX);
	o->ui.hosts[o->ui.n_hosts++] = value;
	return 0;
}

/*
 * --ui ADDR: getopt takes an argument that may be left out only behind a '='. What could not be a command is meant as
 * an address, right or wrong.
 */
static const char *take_address(int code, unsigned int takes, int argc, char **argv)
{
	if (optind < argc && (listen_address__looks_like(argv[optind]) ||
			      (!(takes & TAKES_COMMAND) && *argv[optind] != '-')))
		return argv[optind++];
	return code == OPT_UI	     ? LISTEN_DEFAULT :
	       code == OPT_OTLP_HTTP ? RECEIVE_HTTP_DEFAULT :
				       RECEIVE_GRPC_DEFAULT;
}

static int set_tier(struct run_options *o, const char *value)
{
	if (strcmp(value, "fentry") && strcmp(value, "kprobe") && strcmp(value, "socktp"))
		return bad(o,
			   "--tier: there is no tier '%s'; there are fentry, kprobe and socktp; "
			   "`sonde doctor` says which work here",
			   value);
	o->tier = value;
	return 0;
}

static int set_ring(struct run_options *o, const char *value)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (!parse_number(value, page, 1u << 30, true, &o->ring_bytes) ||
	    (o->ring_bytes & (o->ring_bytes - 1)))
		return bad(o,
			   "--ring-size: '%s' is not a power of two from %llu bytes to 1g; write "
			   "262144 or 256k",
			   value, (unsigned long long)page);
	return 0;
}

static int set_cpu_budget(struct run_options *o, const char *value)
{
	char *end;
	double percent = strtod(value, &end);

	if (*end == '%')
		end++;
	if (end == value || *end || !(percent >= 0.01 && percent <= 100))
		return bad(o,
			   "--cpu-budget: '%s' is not a share of this machine; write a percentage "
			   "from "
			   "0.01 to 100, such as 3 or 0.5; 100 is no limit",
			   value);
	o->cpu_budget_percent = percent;
	return 0;
}

static int set_memory_budget(struct run_options *o, const char *value)
{
	if (!parse_number(value, 1u << 20, 1ull << 40, true, &o->memory_budget_bytes))
		return bad(o,
			   "--memory-budget: '%s' is not a size from 1m to 1024g; write 64m or "
			   "67108864",
			   value);
	return 0;
}

static int set_interval(struct run_options *o, const char *value)
{
	char *end;
	double n = strtod(value, &end);

	if (end == value || (*end && strcmp(end, "s")) || !(n >= 0.1 && n <= 3600))
		return bad(
			o,
			"--interval: '%s' is not a time from 0.1 to 3600 seconds; write 2 or 0.5s",
			value);
	o->interval_s = n;
	return 0;
}

static int set_count(struct run_options *o, const char *value)
{
	if (!parse_number(value, 1, 1u << 30, false, &o->count))
		return bad(o, "--count: '%s' is not a number of intervals; write 1 or 10", value);
	return 0;
}

static int set_option(struct run_options *o, int code, const char *value)
{
	switch (code) {
	case 'u':
		o->user = value;
		return 0;
	case 'o':
		o->file = value;
		return 0;
	case 'c':
		o->summary = true;
		return 0;
	case 'v':
		o->verbose++;
		return 0;
	case 'q':
		o->quiet = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	case OPT_OTLP:
		o->otlp = value;
		return 0;
	case OPT_LEDGER:
		o->ledger = value;
		return 0;
	case OPT_STORE:
		o->store = value;
		return 0;
	case OPT_STORE_BYTES:
		return set_store_bytes(o, value);
	case OPT_STORE_AGE:
		return set_store_age(o, value);
	case OPT_UI:
		o->ui.address = value;
		return 0;
	case OPT_UI_TOKEN:
		o->ui.token_file = value;
		return 0;
	case OPT_UI_HOST:
		return add_host(o, value);
	case OPT_OTLP_HTTP:
		o->receiving.http = value;
		return 0;
	case OPT_OTLP_GRPC:
		o->receiving.grpc = value;
		return 0;
	case OPT_OTLP_TOKEN:
		o->receiving.token_file = value;
		return 0;
	case OPT_TREE:
		o->tree = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_WHERE:
		o->where = value;
		return 0;
	case OPT_HEADERS:
		o->headers = true;
		return 0;
	case OPT_CONFIG:
		o->config = value;
		return 0;
	case OPT_INTERVAL:
		return set_interval(o, value);
	case OPT_COUNT:
		return set_count(o, value);
	case OPT_REPLACE:
		o->replace = true;
		return 0;
	case OPT_LOCK:
		o->lock = value;
		return 0;
	case OPT_CPU_BUDGET:
		return set_cpu_budget(o, value);
	case OPT_MEMORY_BUDGET:
		return set_memory_budget(o, value);
	case OPT_DURATION:
		return set_duration(o, value);
	case OPT_TIER:
		return set_tier(o, value);
	case OPT_RING_SIZE:
		return set_ring(o, value);
	case 'n':
		if (!parse_number(value, 1, UINT64_MAX / 2, false, &o->limit))
			return bad(o, "-n: '%s' is not a number of spans; write 1 or more", value);
		return 0;
	default:
		return set_scope(o, code, value);
	}
}

/* The tables of getopt, from the rules that this command takes. '+': stop at CMD. */
static void make_tables(unsigned int takes, struct option *longs, char *shorts)
{
	unsigned int n = 0;

	*shorts++ = '+';
	*shorts++ = ':';
	for (unsigned int i = 0; i < RULES; i++) {
		if (!(rules[i].takes & takes))
			continue;
		longs[n++] = (struct option){ rules[i].name, rules[i].has_argument, NULL,
					      rules[i].code };
		if (rules[i].code < 256) {
			*shorts++ = (char)rules[i].code;
			if (rules[i].has_argument == required_argument)
				*shorts++ = ':';
		}
	}
	longs[n] = (struct option){ 0 };
	*shorts = 0;
}

static int parse(int argc, char **argv, unsigned int takes, struct run_options *ret)
{
	struct option longs[RULES + 1];
	char shorts[2 * RULES + 3];
	int code, status;

	*ret = (struct run_options){ .command_name = argv[0],
				     .cpu_budget_percent = CPU_BUDGET_PERCENT,
				     .memory_budget_bytes = MEMORY_BUDGET_BYTES,
				     .store_bytes = STORE_BYTES_DEFAULT,
				     .store_age_s = STORE_AGE_DEFAULT_S,
				     .interval_s = TOP_INTERVAL_S };
	make_tables(takes, longs, shorts);
	optind = 1;
	opterr = 0;
	while ((code = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (code == '?')
			return bad(ret, "unknown option '%s'; `sonde %s --help` lists them",
				   argv[optind - 1], argv[0]);
		if (code == ':')
			return bad(ret, "%s: it needs a value", argv[optind - 1]);
		if ((code == OPT_UI || code == OPT_OTLP_HTTP || code == OPT_OTLP_GRPC) && !optarg)
			optarg = (char *)take_address(code, takes, argc, argv);
		status = set_option(ret, code, optarg);
		if (status)
			return status;
		if (ret->help)
			return 0;
	}
	if (optind < argc && !(takes & TAKES_COMMAND))
		return bad(ret,
			   "'%s' is one argument too many; `sonde %s --help` shows how it is used",
			   argv[optind], argv[0]);
	if (optind < argc)
		ret->command = argv + optind;
	if (ret->user && !ret->command)
		return bad(ret, "-u: it names the user to run a command as, but there is no "
				"command; add -- CMD ARG…");
	return 0;
}

/* For shell completion: each option that the command takes, on a line of its own. */
static void list_options(unsigned int takes)
{
	for (unsigned int i = 0; i < RULES; i++)
		if (rules[i].takes & takes)
			printf("--%s\n", rules[i].name);
}

bool options__parse(int argc, char **argv, unsigned int takes, const char *help,
		    struct run_options *ret, int *ret_status)
{
	if (argc == 2 && !strcmp(argv[1], "--options")) {
		list_options(takes);
		*ret_status = EXIT_DONE;
		return false;
	}
	*ret_status = parse(argc, argv, takes, ret);
	if (!*ret_status && ret->help)
		fputs(help, stdout);
	return !*ret_status && !ret->help;
}
