// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/command.h"
#include "cmd/look.h"
#include "ship/console/count_json.h"
#include "ship/console/escape.h"
#include "ship/store/folder.h"
#include "ship/store/reader.h"

#define NAME_COLUMNS_MAX 32

static const char help[] =
	"usage: sonde map [--store DIR] [--since TIME] [--errors] [--json]\n"
	"\n"
	"Who calls whom, from the store of an agent that runs or has run: a line for each caller "
	"and "
	"what it\n"
	"calls, with errors and durations as the caller saw them. Edges follow the spans' own ids, "
	"not\n"
	"addresses; what is not traced itself is named by its address.\n"
	"\n"
	"  sonde map                          the agent's store\n"
	"  sonde map --since 15m --errors     calls that failed in the last 15 minutes\n"
	"  sonde map --json | jq '.edges[]'\n"
	"\n"
	"  --store DIR      the store (default " STORE_FOLDER_DEFAULT ")\n"
	"  --since TIME     spans that began in the last 30s, 15m, 6h or 7d (default: all)\n"
	"  --errors         only edges that failing calls went over\n"
	"  --json           one JSON document, as GET /api/v1/map has it\n"
	"\n"
	"Exit status: 0 also where there is nothing, 1 where the store cannot be read, 2 for wrong "
	"usage.\n";

struct map_options {
	struct look_options look;
	uint64_t since_ns; /* 0: all */
	bool errors;
};

enum { OPT_STORE = 256, OPT_SINCE, OPT_ERRORS, OPT_JSON };

static const struct option longs[] = { { "store", required_argument, NULL, OPT_STORE },
				       { "since", required_argument, NULL, OPT_SINCE },
				       { "errors", no_argument, NULL, OPT_ERRORS },
				       { "json", no_argument, NULL, OPT_JSON },
				       { "help", no_argument, NULL, 'h' },
				       { 0 } };

/* 30s, 15m, 6h, 7d in ns. */
static bool parse_since(const char *text, uint64_t *ret_ns)
{
	static const struct {
		char unit;
		double seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
	char *end;
	double n = strtod(text, &end);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (end > text && *end == units[i].unit && !end[1] && n > 0 &&
		    n * units[i].seconds < 1e9) {
			*ret_ns = (uint64_t)(n * units[i].seconds * 1e9);
			return true;
		}
	return false;
}

static int wrong(const char *what, const char *argument)
{
	fprintf(stderr, "sonde map: %s '%s'; `sonde map --help` shows how it is used\n", what,
		argument);
	return EXIT_USAGE;
}

/* True: go on. */
static bool read_options(int argc, char **argv, struct map_options *ret, int *ret_status)
{
	int code;

	*ret = (struct map_options){ .look = { .command_name = "map",
					       .store = STORE_FOLDER_DEFAULT } };
	*ret_status = EXIT_DONE;
	optind = 1;
	opterr = 0;
	while (!*ret_status && (code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (code == 'h') {
			fputs(help, stdout);
			return false;
		}
		if (code == OPT_STORE)
			ret->look.store = optarg;
		else if (code == OPT_ERRORS)
			ret->errors = true;
		else if (code == OPT_JSON)
			ret->look.json = true;
		else if (code != OPT_SINCE)
			*ret_status =
				wrong(code == ':' ? "a value is missing behind" : "unknown option",
				      argv[optind - 1]);
		else if (!parse_since(optarg, &ret->since_ns))
			*ret_status = wrong("--since: write 30s, 15m, 6h or 7d, not", optarg);
	}
	if (!*ret_status && optind < argc)
		*ret_status = wrong("one argument too many:", argv[optind]);
	return !*ret_status;
}

struct reading {
	struct callmap map;
	uint64_t first_ns, last_ns;
};

static bool full(void *arg)
{
	const struct reading *r = arg;

	return r->map.left_out > 0;
}

static bool match(void *arg, const struct row *row)
{
	const struct reading *r = arg;

	return callmap__wants(&r->map, row);
}

static void print_note(void *arg, const char *text)
{
	fprintf(stderr, "sonde map: %s\n", text);
}

/* What is not traced stands in brackets. */
static void add_name(struct buf *out, const struct callmap_node *n, unsigned int columns,
		     bool unicode)
{
	unsigned int used;

	if (n->traced) {
		escape__pad(out, n->name, columns, unicode);
		return;
	}
	buf__add_str(out, "(");
	used = escape__add(out, n->name, columns - 2, unicode);
	buf__add_str(out, ")");
	pad__add(out, columns - 2 - used);
}

static unsigned int columns_of(const struct callmap *map, bool to)
{
	unsigned int columns = 8;

	for (uint32_t i = 0; i < map->n_edges; i++) {
		const struct callmap_node *n =
			&map->nodes[to ? map->edges[i].to : map->edges[i].from];
		size_t len = n->name.len + (n->traced ? 0 : 2);

		if (len > columns)
			columns = len < NAME_COLUMNS_MAX ? (unsigned int)len : NAME_COLUMNS_MAX;
	}
	return columns;
}

static void print_edge(const struct callmap *map, const struct callmap_edge *e,
		       const struct line_style *style, unsigned int from, unsigned int to,
		       double seconds)
{
	struct buf out = { 0 };
	char times[3][16];

	for (int i = 0; i < 3; i++)
		duration__text(times[i],
			       histogram__percentile(&e->durations, i == 0 ? 50 :
								    i == 1 ? 95 :
									     99),
			       false);
	add_name(&out, &map->nodes[e->from], from, style->unicode);
	buf__add_str(&out, "  ");
	add_name(&out, &map->nodes[e->to], to, style->unicode);
	buf__printf(&out, "  %9llu  %9.2f  ", (unsigned long long)e->count,
		    (double)e->count / seconds);
	color__on(&out, style->color && e->errors, COLOR_RED);
	buf__printf(&out, "%8llu", (unsigned long long)e->errors);
	color__off(&out, style->color && e->errors);
	buf__printf(&out, "  %7s  %7s  %7s\n", times[0], times[1], times[2]);
	fwrite(out.at, 1, out.len, stdout);
	buf__free(&out);
}

/* From the first to the last span that was counted, of which the rates are. */
static double seconds_of(uint64_t first_ns, uint64_t last_ns)
{
	double seconds = last_ns > first_ns ? (double)(last_ns - first_ns) / 1e9 : 0;

	return seconds > 0.001 ? seconds : 0.001;
}

static void read_span(void *arg, const struct row *row, struct view scope)
{
	struct reading *r = arg;
	uint64_t start = row->span.start_ns, end = start + row->duration_ns;

	if (start >= r->map.start_ns) {
		r->first_ns = !r->first_ns || start < r->first_ns ? start : r->first_ns;
		r->last_ns = end > r->last_ns ? end : r->last_ns;
	}
	callmap__add(&r->map, row);
}

static void print_table(const struct reading *r, const struct line_style *style)
{
	const struct callmap *map = &r->map;
	unsigned int from = columns_of(map, false), to = columns_of(map, true);
	double seconds = seconds_of(r->first_ns, r->last_ns);

	if (map->n_edges)
		printf("%-*s  %-*s  %9s  %9s  %8s  %7s  %7s  %7s\n", (int)from, "CALLER", (int)to,
		       "CALLED", "CALLS", "RATE/S", "ERRORS", "P50", "P95", "P99");
	for (uint32_t i = 0; i < map->n_edges; i++)
		print_edge(map, &map->edges[i], style, from, to, seconds);
}

static void keep_failed(struct callmap *map)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < map->n_edges; i++) {
		if (map->edges[i].errors)
			map->edges[kept++] = map->edges[i];
		else
			histogram__free(&map->edges[i].durations);
	}
	map->n_edges = kept;
}

static int draw(const struct map_options *options, struct reading *r,
		const struct line_style *style)
{
	struct callmap *map = &r->map;
	struct buf out = { 0 };

	callmap__finish(map);
	if (map->failed) {
		fprintf(stderr, "sonde map: out of memory\n");
		return EXIT_FAILED;
	}
	if (options->errors)
		keep_failed(map);
	if (!map->start_ns)
		map->start_ns = r->first_ns;
	if (options->look.json) {
		count_json__map(&out, map, !map->left_out);
		fwrite(out.at, 1, out.len, stdout);
		buf__free(&out);
	} else {
		print_table(r, style);
		if (!map->n_edges)
			fprintf(stderr, "sonde map: no %scall among %llu spans of %s\n",
				options->errors ? "failed " : "", (unsigned long long)map->counted,
				options->look.store);
	}
	if (map->left_out)
		fprintf(stderr,
			"sonde map: there are more spans than can be looked at: these are the "
			"newest "
			"%llu\n",
			(unsigned long long)(map->counted - map->left_out));
	return fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
}

int cmd_map(int argc, char **argv)
{
	uint64_t now = clock__epoch_ns();
	struct map_options options;
	struct line_style style = look__style();
	struct store_answer answer;
	struct reading r = { 0 };
	struct store_query query = {
		.stop = full, .match = match, .found = read_span, .note = print_note, .arg = &r
	};
	struct err err = { "" };
	int status;

	if (!read_options(argc, argv, &options, &status))
		return status;
	callmap__init(&r.map,
		      options.since_ns && options.since_ns < now ? now - options.since_ns : 0, now,
		      now);
	status = look__enter(&options.look);
	if (!status && store__search(".", &query, &answer, &err)) {
		fprintf(stderr, "sonde map: %s\n", err.text);
		status = EXIT_FAILED;
	}
	if (!status)
		status = draw(&options, &r, &style);
	callmap__free(&r.map);
	return status;
}
