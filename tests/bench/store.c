// SPDX-License-Identifier: Apache-2.0
/*
 * What the store costs and how fast it answers: spans of 14 attributes and more than 500 bytes, in batches as
 * ship hands them over, then a fixed set of queries from a cold start of the reader each. Prints JSON.
 *
 *	store FOLDER SPANS [QUERIES]
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/pbmake.h"
#include "ship/store/reader.h"
#include "ship/store/store.h"

#define BATCH 2000
#define RESOURCES 24
#define RARE 250000 /* one span of so many has the rare value */

static struct blob *resources[RESOURCES], *scope;
static uint64_t random_state = 88172645463325252ull;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_resources(void)
{
	char text[64];

	for (int i = 0; i < RESOURCES; i++) {
		struct buf b = { 0 };

		snprintf(text, sizeof(text), "service-%d", i);
		pb_attribute_text(&b, 1, "service.name", text);
		snprintf(text, sizeof(text), "pod-%d-%08x", i, (unsigned int)next_random());
		pb_attribute_text(&b, 1, "k8s.pod.name", text);
		pb_attribute_text(&b, 1, "k8s.namespace.name", "shop");
		pb_attribute_text(&b, 1, "host.name", "node-17.example");
		pb_attribute_int(&b, 1, "process.pid", 1000 + i);
		resources[i] = blob__new((struct view){ (const char *)b.at, b.len });
		buf__free(&b);
	}
	scope = blob__new(VIEW("\x0a\x05sonde"));
}

static void attributes(struct buf *b, uint64_t n, uint64_t r)
{
	static const char *const methods[] = { "GET", "GET", "GET", "POST", "PUT" };
	char text[128];

	pb_attribute_text(b, 9, "http.request.method", methods[r % 5]);
	snprintf(text, sizeof(text), "/api/v1/customers/%" PRIu64 "/orders", r % 1000003);
	pb_attribute_text(b, 9, "url.path", text);
	pb_attribute_text(b, 9, "http.route", "/api/v1/customers/{id}/orders");
	pb_attribute_int(b, 9, "http.response.status_code", r % 50 == 0 ? 500 : 200);
	pb_attribute_text(b, 9, "url.scheme", "http");
	snprintf(text, sizeof(text), "10.1.%u.%u", (unsigned int)(r >> 8 & 15),
		 (unsigned int)(r & 255));
	pb_attribute_text(b, 9, "network.peer.address", text);
	pb_attribute_int(b, 9, "network.peer.port", (int64_t)(r % 28000 + 32768));
	pb_attribute_text(b, 9, "network.protocol.version", "1.1");
	pb_attribute_text(b, 9, "server.address", "shop.example");
	pb_attribute_int(b, 9, "server.port", 8080);
	pb_attribute_text(b, 9, "user_agent.original", "python-requests/2.31.0");
	pb_attribute_int(b, 9, "http.response.body.size", (int64_t)(r >> 20 & 0xffff));
	pb_attribute_text(b, 9, "sonde.link.method", r & 1 ? "header" : "thread");
	pb_attribute_text(b, 9, "tenant", n % RARE == 7 ? "rare-one" : r % 3 ? "blue" : "green");
}

/* Five spans a trace. */
static void make_span(struct buf *b, uint64_t n)
{
	uint64_t r = next_random(), trace[2] = { n / 5 * 0x9e3779b97f4a7c15ull, n / 5 + 1 };
	uint64_t start = 1700000000000000000ull + n * 100000;
	struct buf status = { 0 };

	buf__clear(b);
	pb_bytes(b, 1, trace, 16);
	pb_bytes(b, 2, &r, 8);
	pb_text(b, 5, "GET /api/v1/customers/{id}/orders");
	pb_number(b, 6, 2 + (n & 1));
	pb_fixed64(b, 7, start);
	pb_fixed64(b, 8, start + (r >> 40));
	attributes(b, n, r);
	pb_number(&status, 3, r % 50 == 0 ? 2 : 0);
	pb_message(b, 15, &status);
}

static long resident_kib(void)
{
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%ld %ld", &ignored, &pages) != 2)
		pages = 0;
	if (f)
		fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void fail(const char *what, const struct err *err)
{
	fprintf(stderr, "store: %s: %s\n", what, err->text);
	exit(1);
}

static struct store *write_all(const char *folder, uint64_t spans)
{
	struct store_config config = {
		.folder = folder, .bytes_max = 64ull << 30, .age_max_s = 86400 * 365, .run = 1
	};
	struct store *store = store__new(&config);
	struct queue q = { .bytes_max = 64u << 20 };
	double cpu = 0, wall = 0;
	uint64_t bytes = 0, large;
	struct err err = { "" };
	struct buf span = { 0 };
	long before = resident_kib(), most = 0;

	for (uint64_t n = 0; n < spans;) {
		double from;
		uint64_t in = 0;

		for (; in < BATCH && n < spans; in++, n++) {
			make_span(&span, n);
			bytes += span.len;
			if (queue__push(&q, resources[n % RESOURCES], scope,
					(struct view){ (const char *)span.at, span.len }))
				abort();
		}
		from = seconds(CLOCK_PROCESS_CPUTIME_ID);
		wall -= seconds(CLOCK_MONOTONIC);
		if (store__write(store, &q, in, &large, &err))
			fail("writing", &err);
		wall += seconds(CLOCK_MONOTONIC);
		cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - from;
		queue__drop(&q, in);
		if (resident_kib() > most)
			most = resident_kib();
	}
	printf("{\"spans\": %" PRIu64 ", \"span_bytes\": %.0f, \"spans_per_cpu_second\": %.0f, "
	       "\"spans_per_second\": %.0f, \"resident_added_kib\": %ld",
	       spans, (double)bytes / (double)spans, (double)spans / cpu, (double)spans / wall,
	       most - before);
	buf__free(&span);
	queue__free(&q);
	return store;
}

static void on_found(void *arg, const struct row *row, struct view ignored)
{
}

static void on_note(void *arg, const char *text)
{
	fprintf(stderr, "store: %s\n", text);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void ask(const char *folder, const char *name, const char *text, unsigned int times)
{
	double *ms = calloc(times, sizeof(*ms));
	struct store_answer answer = { 0 };
	struct where *where = NULL;
	struct err err = { "" };
	struct store_query query = { .limit = 100, .found = on_found, .note = on_note };

	if (where__parse(text, &where, &err))
		fail(text, &err);
	query.where = where;
	for (unsigned int i = 0; i < times; i++) {
		double from = seconds(CLOCK_MONOTONIC);

		if (store__search(folder, &query, &answer, &err))
			fail(text, &err);
		ms[i] = 1000 * (seconds(CLOCK_MONOTONIC) - from);
	}
	qsort(ms, times, sizeof(*ms), by_value);
	printf("%s{\"query\": \"%s\", \"found\": %" PRIu64 ", \"blocks\": %" PRIu64
	       ", \"p50_ms\": %.2f, \"p95_ms\": %.2f}",
	       *name == '-' ? "" : ", ", text, answer.found, answer.blocks_read, ms[times / 2],
	       ms[times * 95 / 100]);
	free(ms);
	where__free(where);
}

int main(int argc, char **argv)
{
	static const char *const queries[] = {
		"service=service-3",
		"service=service-3 status=500",
		"kind=server and not status=200",
		"status=500 and not .tenant=blue",
		".tenant=rare-one",
		".tenant=nobody",
		"service=service-3 k8s.pod.name=pod-4",
		".tenant=rare-one or (service=service-5 and status=500)",
		"trace=e92fd83f1e6fb1640000000000000002",
	};
	unsigned int times = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 20;
	struct store *store;

	if (argc < 3) {
		fputs("usage: store FOLDER SPANS [QUERIES]\n", stderr);
		return 2;
	}
	make_resources();
	malloc_trim(0);
	store = write_all(argv[1], strtoull(argv[2], NULL, 10));
	printf(", \"queries\": [");
	for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++)
		ask(argv[1], i ? "" : "-", queries[i], times);
	store__free(store);
	puts("]}");
	return 0;
}
