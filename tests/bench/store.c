// SPDX-License-Identifier: Apache-2.0
/*
 * What the store costs and how fast it answers: spans of 14 attributes and more than 500 bytes, in batches as
 * ship hands them over, then a fixed set of queries and the list of services, each from a cold start of the
 * reader: warm, and cold, with the store's own files dropped from the page cache before each. Prints JSON.
 *
 *	store FOLDER SPANS [QUERIES]
 */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/pbmake.h"
#include "serve/catalogue.h"
#include "ship/store/file.h"
#include "ship/store/reader.h"
#include "ship/store/store.h"

#define BATCH 2000
#define RESOURCES 24
#define RARE 250000 /* one span of so many has the rare value */
/* Room for ten million spans; an eighth of it is a partition. */
#define STORE_BYTES (4ull << 30)
#define CATALOGUE_NS 60000000000ull

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
		.folder = folder, .bytes_max = STORE_BYTES, .age_max_s = 86400 * 365, .run = 1
	};
	struct store *store = store__new(&config);
	struct queue q = { .bytes_max = 64u << 20 };
	double cpu = 0, wall = 0, longest = 0;
	uint64_t bytes = 0, large;
	struct err err = { "" };
	struct buf span = { 0 };
	long before = resident_kib(), most = 0;

	for (uint64_t n = 0; n < spans;) {
		double from, begin, took;
		uint64_t in = 0;

		for (; in < BATCH && n < spans; in++, n++) {
			make_span(&span, n);
			bytes += span.len;
			if (queue__push(&q, resources[n % RESOURCES], scope,
					(struct view){ (const char *)span.at, span.len }))
				abort();
		}
		from = seconds(CLOCK_PROCESS_CPUTIME_ID);
		begin = seconds(CLOCK_MONOTONIC);
		if (store__write(store, &q, in, &large, &err))
			fail("writing", &err);
		took = seconds(CLOCK_MONOTONIC) - begin;
		wall += took;
		longest = took > longest ? took : longest;
		cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - from;
		queue__drop(&q, in);
		if (resident_kib() > most)
			most = resident_kib();
	}
	printf("{\"spans\": %" PRIu64 ", \"span_bytes\": %.0f, \"spans_per_cpu_second\": %.0f, "
	       "\"spans_per_second\": %.0f, \"longest_write_ms\": %.1f, \"evicted\": %" PRIu64
	       ", \"resident_added_kib\": %ld",
	       spans, (double)bytes / (double)spans, (double)spans / cpu, (double)spans / wall,
	       1000 * longest, store__counters(store)->evicted, most - before);
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

/* The store's own files are read from the disk again. */
static void drop_cache(const char *folder)
{
	static const char *const ends[] = { "", "-wal" };
	char path[STORE_PATH_MAX], whole[STORE_PATH_MAX + 8];
	struct store_files files;
	struct err err;

	if (store_files__list(&files, folder, &err))
		fail("listing", &err);
	for (unsigned int i = 0; i < files.n; i++) {
		store_file__path(path, folder, files.at[i].number, false);
		for (int k = 0; k < 2; k++) {
			int fd;

			snprintf(whole, sizeof(whole), "%s%s", path, ends[k]);
			fd = open(whole, O_RDONLY);
			if (fd < 0)
				continue;
			fdatasync(fd);
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
			close(fd);
		}
	}
	store_files__free(&files);
}

struct asking {
	const char *folder;
	struct where *where;
	struct store_answer answer;
	uint64_t services;
};

static void do_search(struct asking *a)
{
	struct store_query query = {
		.where = a->where, .limit = 100, .found = on_found, .note = on_note
	};
	struct err err = { "" };

	if (store__search(a->folder, &query, &a->answer, &err))
		fail("searching", &err);
}

static void count_spans(void *arg, const struct catalogue_entry *entry)
{
	*(uint64_t *)arg += entry->spans;
}

static void do_list(struct asking *a)
{
	struct catalogue *c = catalogue__new();
	struct err err = { "" };

	if (catalogue__read(c, a->folder, CATALOGUE_NS, &err))
		fail("listing services", &err);
	a->services = 0;
	catalogue__each(c, count_spans, &a->services);
	catalogue__free(c);
}

static void time_it(struct asking *a, void (*what)(struct asking *), const char *how, bool cold,
		    unsigned int times)
{
	double *ms = calloc(times, sizeof(*ms));

	for (unsigned int i = 0; i < times; i++) {
		double from;

		if (cold)
			drop_cache(a->folder);
		from = seconds(CLOCK_MONOTONIC);
		what(a);
		ms[i] = 1000 * (seconds(CLOCK_MONOTONIC) - from);
	}
	qsort(ms, times, sizeof(*ms), by_value);
	printf(", \"%s_p50_ms\": %.2f, \"%s_p95_ms\": %.2f", how, ms[times / 2], how,
	       ms[times * 95 / 100]);
	free(ms);
}

static void ask(const char *folder, const char *text, unsigned int times)
{
	struct asking asking = { .folder = folder };
	struct err err = { "" };

	if (where__parse(text, &asking.where, &err))
		fail(text, &err);
	do_search(&asking);
	printf("{\"query\": \"%s\", \"found\": %" PRIu64 ", \"blocks\": %" PRIu64
	       ", \"looks\": %" PRIu64,
	       text, asking.answer.found, asking.answer.blocks_read, asking.answer.segments);
	time_it(&asking, do_search, "warm", false, times);
	time_it(&asking, do_search, "cold", true, times);
	putchar('}');
	where__free(asking.where);
}

/* A page that begins to look, and one that goes on to. */
static void list_services(const char *folder, unsigned int times)
{
	struct asking asking = { .folder = folder };

	do_list(&asking);
	printf(", \"services\": {\"spans\": %" PRIu64, asking.services);
	time_it(&asking, do_list, "warm", false, times);
	time_it(&asking, do_list, "cold", true, times);
	putchar('}');
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
		"trace=157c4a7fb979379e0200000000000000",
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
	for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
		fputs(i ? ", " : "", stdout);
		ask(argv[1], queries[i], times);
	}
	putchar(']');
	list_services(argv[1], times);
	store__free(store);
	puts("}");
	return 0;
}
