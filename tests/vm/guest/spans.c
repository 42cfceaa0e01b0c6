// SPDX-License-Identifier: Apache-2.0
/*
 * spans - judges what sonde wrote, inside the guest, where there is no Python.
 *
 *   spans expect EXPECTED OUT.jsonl LEDGER.json        every line of `peer script`, on both sides
 *   spans includes EXPECTED OUT.jsonl LEDGER.json      the same, and other spans do not matter
 *   spans bypassed EXPECTED OUT.jsonl LEDGER.json      the same, and hooks may meet a connection late
 *   spans missed EXPECTED OUT.jsonl LEDGER.json        the same where a tier misses hits: spans + counted misses
 *   spans busy PAIRS COUNT OUT.jsonl LEDGER.json       nothing torn, nothing foreign, all accounted for
 *   spans balance LEDGER.json                          every residual is 0
 *
 * Prints one line of detail; exit status 0: holds.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "peer.h"

enum mode { MODE_EXACT, MODE_INCLUDES, MODE_BYPASSED, MODE_MISSED };
enum { KIND_SERVER = 2, KIND_CLIENT = 3 };

/* Not more than one side of so many may be missing where hits are missed. */
#define MISSED_MOST 8
/*
 * The fewest bytes of one side of an exchange of `peer busy`, and how many of them hooks must see
 * begin. How many of these become spans is a matter of the processors left for sonde.
 */
#define BUSY_BYTES 120
#define BUSY_LEAST(expected) ((expected) / 4 * 3)

struct seen {
	int kind;
	const char *method, *path;
	long long status, pid;
	char id[17], parent[17], trace[33];
};

typedef void (*span_fn)(const struct seen *span, void *arg);

static void die(const char *what, const char *on)
{
	printf("%s: %s\n", what, on);
	exit(1);
}

/* The value of one attribute of a resource or a span, NULL: absent. */
static json_t *attribute(json_t *of, const char *name)
{
	size_t i;
	json_t *entry;

	json_array_foreach(json_object_get(of, "attributes"), i,
			   entry) if (!strcmp(json_string_value(json_object_get(entry, "key")),
					      name)) return json_object_get(entry, "value");
	return NULL;
}

static const char *text_of(json_t *of, const char *name)
{
	const char *text = json_string_value(json_object_get(attribute(of, name), "stringValue"));

	return text ? text : "";
}

/* 64-bit integers are strings in OTLP's JSON. */
static long long number_of(json_t *of, const char *name)
{
	const char *text = json_string_value(json_object_get(attribute(of, name), "intValue"));

	return text ? atoll(text) : -1;
}

/* The path part of a URL, or of what is a path already. */
static const char *path_of(json_t *span, int kind)
{
	const char *text = text_of(span, kind == KIND_CLIENT ? "url.full" : "url.path");
	const char *host = strstr(text, "://"), *path = host ? strchr(host + 3, '/') : text;

	return path ? path : "";
}

static void copy_id(char *to, size_t len, json_t *value)
{
	const char *text = json_string_value(value);

	snprintf(to, len, "%s", text ? text : "");
}

static void read_span(json_t *json, long long pid, span_fn each, void *arg)
{
	struct seen span = { .pid = pid };

	span.kind = (int)json_integer_value(json_object_get(json, "kind"));
	span.method = text_of(json, "http.request.method");
	span.path = path_of(json, span.kind);
	span.status = number_of(json, "http.response.status_code");
	copy_id(span.id, sizeof(span.id), json_object_get(json, "spanId"));
	copy_id(span.parent, sizeof(span.parent), json_object_get(json, "parentSpanId"));
	copy_id(span.trace, sizeof(span.trace), json_object_get(json, "traceId"));
	each(&span, arg);
}

static void read_line(json_t *line, span_fn each, void *arg)
{
	size_t i, j, k;
	json_t *resource_spans, *scope_spans, *span;

	json_array_foreach(json_object_get(line, "resourceSpans"), i, resource_spans)
	{
		json_t *resource = json_object_get(resource_spans, "resource");
		long long pid = number_of(resource, "process.pid");

		json_array_foreach(json_object_get(resource_spans, "scopeSpans"), j, scope_spans)
			json_array_foreach(json_object_get(scope_spans, "spans"), k, span)
				read_span(span, pid, each, arg);
	}
}

static void read_spans(const char *file, span_fn each, void *arg)
{
	FILE *in = fopen(file, "r");
	json_error_t error;
	json_t *line;

	if (!in)
		die("no spans", file);
	while ((line = json_loadf(in, JSON_DISABLE_EOF_CHECK, &error))) {
		read_line(line, each, arg);
		json_decref(line);
	}
	if (!feof(in) && strcmp(error.text, "'[' or '{' expected near end of file"))
		die("invalid JSON", error.text);
	fclose(in);
}

static json_t *load(const char *file)
{
	json_error_t error;
	json_t *json = json_load_file(file, 0, &error);

	if (!json)
		die(file, error.text);
	return json;
}

/* Adds a group of reasons up, naming those that are not 0. */
static long long reasons(json_t *ledger, const char *line, const char *group, char *text,
			 size_t len)
{
	const char *name;
	json_t *value;
	long long sum = 0;
	json_t *of = json_object_get(ledger, line);

	if (group)
		of = json_object_get(of, group);
	json_object_foreach(of, name, value)
	{
		size_t at = strlen(text);

		if (!json_is_integer(value) || !json_integer_value(value))
			continue;
		sum += json_integer_value(value);
		snprintf(text + at, len - at, " %s.%s=%" JSON_INTEGER_FORMAT, line, name,
			 json_integer_value(value));
	}
	return sum;
}

/* What sinks were handed and did not get out. */
static long long sink_losses(json_t *ledger)
{
	static const char *const groups[] = { "rejected", "dropped" };
	const char *name, *reason;
	json_t *sink, *value;
	long long sum = 0;

	json_object_foreach(json_object_get(ledger, "sinks"), name, sink) for (int i = 0; i < 2;
									       i++)
		json_object_foreach(json_object_get(sink, groups[i]), reason, value) sum +=
		json_integer_value(value);
	return sum;
}

static long long residual(json_t *ledger, const char *line)
{
	json_t *value = json_object_get(json_object_get(ledger, line), "residual");

	return value ? json_integer_value(value) : -999999;
}

static int balance(const char *file)
{
	static const char *const lines[] = { "records", "bytes", "exchanges" };
	json_t *ledger = load(file);
	char text[1024] = "";
	int bad = 0;

	for (unsigned int i = 0; i < 3; i++) {
		if (residual(ledger, lines[i])) {
			printf("%s residual %lld; ", lines[i], residual(ledger, lines[i]));
			bad = 1;
		}
	}
	reasons(ledger, "records", "lost", text, sizeof(text));
	reasons(ledger, "bytes", "gap", text, sizeof(text));
	reasons(ledger, "exchanges", "dropped", text, sizeof(text));
	reasons(ledger, "unseen", NULL, text, sizeof(text));
	reasons(ledger, "blind", NULL, text, sizeof(text));
	printf("%s%s\n", bad ? "account does not balance" : "account balances", text);
	return bad;
}

/*
 * Connections that were not seen from their first byte on: nothing else says what passed before. Whoever is
 * traced from the beginning has none.
 */
static long long met_late(json_t *ledger, char *text, size_t len)
{
	json_t *connections = json_object_get(ledger, "connections");
	long long joined = json_integer_value(json_object_get(connections, "joined"));
	size_t at;

	reasons(ledger, "state", NULL, text, len);
	at = strlen(text);
	if (joined)
		snprintf(text + at, len - at, " connections.joined=%lld", joined);
	return joined;
}

/* One expected exchange, and how often each side of it was seen. */
struct expected {
	char method[16], path[128], reason[64];
	long long status;
	unsigned int seen[2];
	char client[17], parent[17]; /* the client's span, and the server span's parent */
	char trace[2][33];
};

struct expectation {
	struct expected *list;
	unsigned int n, extra;
	char first_extra[256];
};

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct expected *)a)->path, ((const struct expected *)b)->path);
}

/* The first of those that are expected on a path; n: none. */
static unsigned int first_of(const struct expectation *all, const char *path)
{
	unsigned int low = 0, high = all->n;

	while (low < high) {
		unsigned int middle = low + (high - low) / 2;

		if (strcmp(all->list[middle].path, path) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void match(const struct seen *span, void *arg)
{
	struct expectation *all = arg;

	for (unsigned int i = first_of(all, span->path); i < all->n; i++) {
		struct expected *one = &all->list[i];

		if (strcmp(one->path, span->path))
			break;
		if (strcmp(one->method, span->method))
			continue;
		if (one->status == span->status) {
			one->seen[span->kind == KIND_CLIENT]++;
			memcpy(span->kind == KIND_CLIENT ? one->client : one->parent,
			       span->kind == KIND_CLIENT ? span->id : span->parent,
			       sizeof(one->client));
			memcpy(one->trace[span->kind == KIND_CLIENT], span->trace,
			       sizeof(span->trace));
			return;
		}
		/* Where a tier is blind to the answer, the request alone is known: that side stays missing. */
		if (span->status < 0 && (*one->reason || strstr(one->path, "/unix/")))
			return;
	}
	if (!all->extra++)
		snprintf(all->first_extra, sizeof(all->first_extra), "kind %d %s %s %lld",
			 span->kind, span->method, span->path, span->status);
}

static void read_expected(const char *file, struct expectation *all)
{
	FILE *in = fopen(file, "r");
	char line[256];

	if (!in)
		die("no list", file);
	while (fgets(line, sizeof(line), in)) {
		struct expected one = { 0 };

		if (sscanf(line, "%15s %127s %lld %63s", one.method, one.path, &one.status,
			   one.reason) < 3)
			continue;
		if (!(all->n & (all->n - 1))) {
			all->list = realloc(all->list, (2 * all->n + 1) * sizeof(one));
			if (!all->list)
				die("memory", file);
		}
		all->list[all->n++] = one;
	}
	fclose(in);
	if (all->n)
		qsort(all->list, all->n, sizeof(*all->list), by_path);
}

/* Does the account say that this tier could not look there? By one of several names, with commas. */
static bool admitted(json_t *ledger, const char *reason)
{
	json_t *of[] = { json_object_get(ledger, "unseen"),
			 json_object_get(json_object_get(ledger, "bytes"), "gap") };

	for (size_t n; *reason; reason += n + (reason[n] == ',')) {
		const char *name;
		json_t *value;

		n = strcspn(reason, ",");
		for (int i = 0; i < 2; i++)
			json_object_foreach(of[i], name,
					    value) if (strlen(name) == n &&
						       !strncmp(name, reason, n) &&
						       json_integer_value(value) > 0) return true;
	}
	return false;
}

/* Both ends of one connection were seen: are they one trace, the server's span below the client's? */
static bool is_split(const struct expected *one)
{
	return one->seen[0] && one->seen[1] &&
	       (strcmp(one->client, one->parent) || strcmp(one->trace[0], one->trace[1]));
}

static int expect(enum mode mode, const char *list, const char *out, const char *ledger_file)
{
	struct expectation all = { 0 };
	unsigned int missing = 0, missing_unix = 0, doubled = 0, unseen = 0, split = 0;
	json_t *ledger = load(ledger_file);
	char why[1024] = "";
	long long counted, late;

	read_expected(list, &all);
	read_spans(out, match, &all);
	for (unsigned int i = 0; i < all.n; i++) {
		if (is_split(&all.list[i]) && split++ < 3)
			printf("two traces %s; ", all.list[i].path);
		for (int side = 0; side < 2; side++) {
			const struct expected *one = &all.list[i];

			if (one->seen[side] > 1)
				doubled++;
			if (one->seen[side])
				continue;
			if (admitted(ledger, one->reason)) {
				unseen++;
			} else if (strstr(one->path, "/unix/")) {
				missing_unix++;
			} else {
				if (missing++ < 3)
					printf("missing %s %s %s; ", side ? "CLIENT" : "SERVER",
					       one->method, one->path);
			}
		}
	}
	counted = reasons(ledger, "blind", NULL, why, sizeof(why));
	/* A tier is looked at once a second: a short run has missed hits and ended before it is left. */
	if (counted > 0 && mode != MODE_INCLUDES &&
	    strcmp(json_string_value(json_object_get(ledger, "tier")) ?: "", "kprobe"))
		mode = MODE_MISSED;
	/* On Unix sockets, which have no sequence numbers: spans + what is counted. */
	counted += reasons(ledger, "bytes", "gap", why, sizeof(why)) +
		   reasons(ledger, "exchanges", "dropped", why, sizeof(why)) +
		   reasons(ledger, "unseen", NULL, why, sizeof(why));
	if (mode == MODE_INCLUDES || (mode == MODE_MISSED && all.extra <= missing + missing_unix))
		all.extra = 0;
	if (all.extra)
		printf("%u extra, first: %s; ", all.extra, all.first_extra);
	late = met_late(ledger, why, sizeof(why));
	printf("%u exchanges, %u sides missing on TCP, %u on Unix sockets, %u doubled, %u "
	       "in two traces, %u unseen%s\n",
	       all.n, missing, missing_unix, doubled, split, unseen, why);
	/* A missed hit costs what it belonged to, not what comes after it. */
	if (mode == MODE_MISSED)
		return missing + missing_unix > counted ||
		       MISSED_MOST * (missing + missing_unix) > 2 * all.n || doubled || all.extra;
	return (mode == MODE_EXACT && late) || missing || missing_unix > counted || doubled ||
	       all.extra || split > counted;
}

struct busy {
	unsigned int pairs, count, spans, torn, foreign, doubled, cut;
	uint8_t *seen;
	char first[300];
};

static void note(struct busy *busy, unsigned int *counter, const char *what,
		 const struct seen *span)
{
	if (!(*counter)++ && !*busy->first)
		snprintf(busy->first, sizeof(busy->first),
			 "%s: kind %d pid %lld status %lld %.150s", what, span->kind, span->pid,
			 span->status, span->path);
}

static void judge(const struct seen *span, void *arg)
{
	struct busy *busy = arg;
	unsigned int pair, client, server, n, check;
	char letter;
	int at = 0;
	uint8_t bit = span->kind == KIND_CLIENT ? 1 : 2;

	busy->spans++;
	if (sscanf(span->path, "/busy/%u/%u/%u/%u/%x/%n", &pair, &client, &server, &n, &check,
		   &at) != 5 ||
	    !at || pair >= busy->pairs || n >= busy->count ||
	    check != busy__check(pair, client, server, n)) {
		note(busy, &busy->torn, "torn", span);
		return;
	}
	letter = (char)('a' + pair % 26);
	if (strlen(span->path + at) != 20 + (n * 37u) % 560 ||
	    strspn(span->path + at, (char[]){ letter, '\0' }) != strlen(span->path + at)) {
		note(busy, &busy->torn, "torn", span);
		return;
	}
	if (span->pid != (span->kind == KIND_CLIENT ? client : server) ||
	    (span->status >= 0 && span->status != (long long)(210 + pair)))
		note(busy, &busy->foreign, "foreign", span);
	busy->cut += span->status < 0;
	if (busy->seen[pair * busy->count + n] & bit)
		note(busy, &busy->doubled, "twice", span);
	busy->seen[pair * busy->count + n] |= bit;
}

static int busy(unsigned int pairs, unsigned int count, const char *out, const char *ledger_file)
{
	struct busy all = { .pairs = pairs, .count = count };
	json_t *ledger = load(ledger_file), *exchanges = json_object_get(ledger, "exchanges");
	long long dropped, filtered, refused, counted, missed, begun,
		expected = 2LL * pairs * count;
	char why[1024] = "";

	all.seen = calloc(pairs, count);
	if (!all.seen)
		die("memory", out);
	read_spans(out, judge, &all);
	begun = json_integer_value(json_object_get(exchanges, "begun"));
	dropped = reasons(ledger, "exchanges", "dropped", why, sizeof(why));
	filtered = reasons(ledger, "exchanges", "filtered", why, sizeof(why)) +
		   json_integer_value(json_object_get(exchanges, "open"));
	/* Made into spans, but the pipe to ship, or its queue, had no room for them. */
	refused = json_integer_value(json_object_get(exchanges, "spans")) - all.spans;
	counted =
		json_integer_value(json_object_get(exchanges, "frames_lost")) + sink_losses(ledger);
	missed = reasons(ledger, "bytes", "gap", why, sizeof(why));
	/* A span without its answer is the last one of a connection, or its answer's record is lost. */
	if (all.cut > 2 * pairs + reasons(ledger, "records", "lost", why, sizeof(why)) + missed)
		all.foreign++;
	reasons(ledger, "blind", NULL, why, sizeof(why));
	if (*all.first)
		printf("%s; ", all.first);
	printf("%u of %lld spans, torn %u, foreign %u, twice %u, cut %u, dropped %lld, refused "
	       "%lld%s\n",
	       all.spans, expected, all.torn, all.foreign, all.doubled, all.cut, dropped, refused,
	       why);
	/* What was never begun must show as bytes that no hook saw, and be the exception. */
	return all.torn || all.foreign || all.doubled || refused != counted ||
	       all.spans + dropped + filtered + refused != begun ||
	       (expected - begun) * BUSY_BYTES > missed || begun > expected ||
	       begun < BUSY_LEAST(expected);
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "expect"))
		return expect(MODE_EXACT, argv[2], argv[3], argv[4]);
	if (argc == 5 && !strcmp(argv[1], "includes"))
		return expect(MODE_INCLUDES, argv[2], argv[3], argv[4]);
	if (argc == 5 && !strcmp(argv[1], "bypassed"))
		return expect(MODE_BYPASSED, argv[2], argv[3], argv[4]);
	if (argc == 5 && !strcmp(argv[1], "missed"))
		return expect(MODE_MISSED, argv[2], argv[3], argv[4]);
	if (argc == 6 && !strcmp(argv[1], "busy"))
		return busy((unsigned int)atoi(argv[2]), (unsigned int)atoi(argv[3]), argv[4],
			    argv[5]);
	if (argc == 3 && !strcmp(argv[1], "balance"))
		return balance(argv[2]);
	fprintf(stderr,
		"usage: spans expect|includes|bypassed|missed LIST OUT LEDGER | busy PAIRS COUNT "
		"OUT LEDGER | balance LEDGER\n");
	return 2;
}
