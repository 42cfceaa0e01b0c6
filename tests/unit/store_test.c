// SPDX-License-Identifier: Apache-2.0
/* Protects: what went into the store comes out of it unchanged, by every way of asking, and nothing else does. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pbmake.h"
#include "ship/store/block.h"
#include "ship/store/file.h"
#include "ship/store/folder.h"
#include "ship/store/query.h"
#include "ship/store/reader.h"
#include "ship/store/store.h"
#include "ship/store/digest.h"
#include "ship/store/terms.h"

static char folder[64];

static int set_up(void **state)
{
	/* In memory where that is: a disk's time says nothing here. */
	snprintf(folder, sizeof(folder), "%s/sonde-store-XXXXXX",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
	DIR *dir = opendir(folder);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
	return rmdir(folder);
}

/* Span n: service-(n%3), route, status 500 each tenth, its own number as attribute, five a trace. */
static void make_span(struct buf *b, uint64_t n)
{
	uint64_t trace[2] = { 7, n / 5 + 1 }, id = n + 1;
	struct buf status = { 0 };
	char text[64];

	buf__clear(b);
	pb_bytes(b, 1, trace, 16);
	pb_bytes(b, 2, &id, 8);
	pb_text(b, 5, "GET /x");
	pb_number(b, 6, 2 + n % 2);
	pb_fixed64(b, 7, 1000000000 * n);
	pb_fixed64(b, 8, 1000000000 * n + 1000000 * (n % 7));
	pb_attribute_text(b, 9, "http.request.method", "GET");
	snprintf(text, sizeof(text), "/x/%llu", (unsigned long long)n);
	pb_attribute_text(b, 9, "url.path", text);
	pb_attribute_int(b, 9, "http.response.status_code", n % 10 ? 200 : 500);
	pb_attribute_int(b, 9, "test.number", (int64_t)n);
	pb_attribute_text(b, 9, "tenant", n % 4 ? "blue" : "green");
	pb_number(&status, 3, n % 10 ? 0 : 2);
	pb_message(b, 15, &status);
}

static struct blob *resource_of(uint64_t n)
{
	static struct blob *resources[3];
	char name[16];

	if (!resources[n % 3]) {
		struct buf b = { 0 };

		snprintf(name, sizeof(name), "service-%u", (unsigned int)(n % 3));
		pb_resource(&b, name);
		pb_attribute_text(&b, 1, "k8s.pod.name", name + 8);
		resources[n % 3] = blob__new(buf_view(&b));
		buf__free(&b);
	}
	return resources[n % 3];
}

static struct store *open_store(uint64_t bytes_max)
{
	struct store_config config = {
		.folder = folder, .bytes_max = bytes_max, .age_max_s = 86400, .run = 42
	};

	return store__new(&config);
}

/* Spans first to first + n - 1, in one batch. */
static int write_spans(struct store *store, uint64_t first, uint64_t n)
{
	struct queue q = { .bytes_max = 64u << 20 };
	struct buf span = { 0 };
	struct err err = { "" };
	uint64_t large;
	int ret;

	for (uint64_t i = first; i < first + n; i++) {
		make_span(&span, i);
		assert_int_equal(queue__push(&q, resource_of(i), NULL, buf_view(&span)), 0);
	}
	ret = store__write(store, &q, n, &large, &err);
	queue__free(&q);
	buf__free(&span);
	return ret;
}

struct found {
	uint64_t n, last;
	bool wrong;
	unsigned int notes;
	char note[512];
};

/* Every eighth is compared byte for byte. */
static void on_found(void *arg, const struct row *row, struct view scope)
{
	struct found *f = arg;
	struct otlp_value number;
	struct buf span = { 0 };

	if (!otlp_attributes__find(row->span.message, OTLP_SPAN_ATTRIBUTES, VIEW("test.number"),
				   &number))
		fail();
	f->last = (uint64_t)number.number;
	if (f->n++ % 8)
		return;
	make_span(&span, f->last);
	f->wrong |= !view_eq(buf_view(&span), row->span.message);
	f->wrong |= !view_eq(blob__view(resource_of(f->last)), row->resource);
	buf__free(&span);
}

static void on_note(void *arg, const char *text)
{
	struct found *f = arg;

	f->notes++;
	snprintf(f->note, sizeof(f->note), "%s", text);
}

static struct found search_some(const char *text, uint64_t limit, struct store_answer *answer)
{
	struct found f = { 0 };
	struct where *where = NULL;
	struct err err = { "" };
	struct store_query query = {
		.limit = limit, .found = on_found, .note = on_note, .arg = &f
	};

	if (*text)
		assert_int_equal(where__parse(text, &where, &err), 0);
	query.where = where;
	assert_int_equal(store__search(folder, &query, answer, &err), 0);
	where__free(where);
	assert_false(f.wrong);
	return f;
}

static struct found search(const char *text)
{
	struct store_answer answer;

	return search_some(text, 0, &answer);
}

/* More than a segment, in pieces that are no multiple of a block, so that there is an open one as well. */
#define MANY 17000

static void fill(uint64_t n)
{
	struct store *store = open_store(1 << 30);

	for (uint64_t at = 0; at < n; at += 777)
		assert_int_equal(write_spans(store, at, n - at < 777 ? n - at : 777), 0);
	assert_int_equal(store__counters(store)->acked, n);
	store__free(store);
}

static void every_way_of_asking(void **state)
{
	struct store_answer answer;
	uint64_t errors = 0, both = 0, either = 0, negated = 0, slow = 0;

	fill(MANY);
	for (uint64_t n = 0; n < MANY; n++) {
		errors += n % 10 == 0;
		both += n % 3 == 1 && n % 10 == 0;
		either += n % 3 == 1 || n % 10 == 0;
		negated += n % 3 == 1 && n % 4 != 0;
		slow += n % 7 > 4;
	}
	assert_int_equal(search("").n, MANY);
	assert_int_equal(search("status=500").n, errors);
	assert_int_equal(search("error").n, errors);
	assert_int_equal(search("status=error").n, errors);
	assert_int_equal(search("service=service-1 status=500").n, both);
	assert_int_equal(search("service=service-1 or status=500").n, either);
	assert_int_equal(search("service=service-1 and not .tenant=green").n, negated);
	assert_int_equal(search("not (service!=service-1 or .tenant=green)").n, negated);
	assert_int_equal(search("not (not service=service-1 or .tenant=green)").n, negated);
	assert_int_equal(search("not status=500").n, MANY - errors);
	assert_int_equal(search("status!=500").n, MANY - errors);
	assert_int_equal(search("duration>4ms").n, slow);
	assert_int_equal(search("test.number=16999").n, 1);
	assert_int_equal(search("test.number=0").n, 1);
	assert_int_equal(search("test.number=-1").n, 0);
	assert_int_equal(search("test.number<100").n, 100);
	assert_int_equal(search("path=/x/16383 or path=/x/16384").n, 2);
	assert_int_equal(search("path~^/x/1699.$").n, 10);
	assert_int_equal(search("kind=server").n, MANY / 2);
	assert_int_equal(search("method=GET name='GET /x' k8s.pod.name=2").n, MANY / 3);
	assert_int_equal(search("trace=070000000000000002000000000000ff").n, 0);
	assert_int_equal(search("trace=07000000000000000200000000000000").n, 5);
	/* The newest first, and no more than wanted. */
	assert_int_equal(search_some("status=500", 3, &answer).last, MANY - 30);
	assert_true(answer.more);
	assert_int_equal(answer.found, 3);
}

static void a_rare_value_costs_few_blocks(void **state)
{
	struct store_answer answer;

	fill(2 * STORE_ORDINALS + 1);
	assert_int_equal(search_some("test.number=5", 0, &answer).n, 1);
	assert_int_equal(answer.segments, 2);
	/* One of the sealed ones, and what is not sealed. */
	assert_true(answer.blocks_read <= 2);
}

static void goes_on_where_it_ended(void **state)
{
	uint64_t n = 0;

	for (int run = 0; run < 12; run++) {
		struct store *store = open_store(1 << 30);

		/* Seen as soon as it is written, by somebody else, and after it was closed. */
		assert_int_equal(write_spans(store, n, 500 + (uint64_t)run), 0);
		n += 500 + (uint64_t)run;
		assert_int_equal(search("").n, n);
		store__free(store);
		assert_int_equal(search("").n, n);
	}
	assert_int_equal(search("test.number=17").n, 1);
}

static void counts_a_run_over_restarts(void **state)
{
	struct store *store = open_store(1 << 30);
	struct err err;

	assert_int_equal(write_spans(store, 0, 100), 0);
	store__free(store);
	store = open_store(1 << 30);
	assert_int_equal(store__open(store, &err), 0);
	assert_int_equal(store__counters(store)->acked, 100);
	store__free(store);
}

static struct store_files list(void)
{
	struct store_files files;
	struct err err;

	assert_int_equal(store_files__list(&files, folder, &err), 0);
	return files;
}

#define LITTLE (8u << 20)

static void old_partitions_are_given_up(void **state)
{
	struct store *store = open_store(LITTLE);
	struct store_files files;
	uint64_t n = 0, left;
	uint8_t id[16] = { 7 };
	char text[64];
	bool marked = false;

	while (store__counters(store)->evicted == 0 && n < 3000000) {
		/* A trace is cut where a batch is: some end up in two partitions. */
		assert_int_equal(write_spans(store, n, 1999), 0);
		n += 1999;
	}
	files = list();
	assert_true(files.bytes <= LITTLE + LITTLE / 4);
	assert_true(files.n > 2);
	store_files__free(&files);
	left = search("").n;
	assert_int_equal(left + store__counters(store)->evicted, n);
	assert_int_equal(store__counters(store)->acked, n);
	/* The first trace that is left and has not all of its five. */
	for (uint64_t trace = (n - left) / 5; trace <= (n - left) / 5 + 1; trace++) {
		uint64_t number = trace + 1;

		memcpy(id + 8, &number, 8);
		snprintf(text, sizeof(text), "test.number>=%llu test.number<%llu",
			 (unsigned long long)(5 * trace), (unsigned long long)(5 * trace + 5));
		if (search(text).n % 5) {
			marked = true;
			assert_true(store__has_lost(folder, (struct view){ (const char *)id, 16 }));
		} else {
			assert_false(
				store__has_lost(folder, (struct view){ (const char *)id, 16 }));
		}
	}
	assert_true(marked || (n - left) % 5 == 0);
	store__free(store);
}

static void damage(uint64_t number, off_t at)
{
	char path[STORE_PATH_MAX];
	uint8_t garbage[8192];
	int fd;

	store_file__path(path, folder, number, false);
	fd = open(path, O_RDWR);
	memset(garbage, 0xa5, sizeof(garbage));
	assert_int_equal(pwrite(fd, garbage, sizeof(garbage), at), sizeof(garbage));
	close(fd);
}

static void a_damaged_partition_is_put_aside_alone(void **state)
{
	struct store *store;
	struct err err = { "" };
	struct store_files files;

	fill(1000);
	damage(1, 0);
	store = open_store(1 << 30);
	assert_int_equal(store__open(store, &err), 0);
	assert_int_equal(store__counters(store)->damaged, 1);
	assert_true(store__note(store, &err));
	assert_non_null(strstr(err.text, "put aside as spans-00000001.db.damaged"));
	assert_int_equal(write_spans(store, 5000, 10), 0);
	store__free(store);
	assert_int_equal(search("").n, 10);
	files = list();
	assert_int_equal(files.n, 2);
	assert_true(files.at[0].damaged && !files.at[1].damaged);
	store_files__free(&files);
}

static void run_sql(uint64_t number, const char *sql)
{
	char path[STORE_PATH_MAX];
	sqlite3 *db;

	store_file__path(path, folder, number, false);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_damaged_page_costs_time_not_spans(void **state)
{
	struct found f;

	fill(MANY);
	run_sql(1, "UPDATE posting SET data=zeroblob(length(data))");
	f = search("status=500");
	assert_int_equal(f.n, MANY / 10);
	assert_int_equal(f.notes, 1);
	assert_non_null(strstr(f.note, "posting page"));
	run_sql(1, "UPDATE segment SET directory=x'00'");
	assert_int_equal(search("status=500").n, MANY / 10);
	/* A damaged block costs its spans, and is said. */
	run_sql(1, "UPDATE block SET data=zeroblob(100) WHERE id=3");
	f = search("");
	assert_int_equal(f.n, MANY - 128);
	assert_true(f.notes >= 1);
	/* A block under another's id is damage too. */
	run_sql(1, "DELETE FROM block WHERE id=5; UPDATE block SET id=5 WHERE id=6");
	assert_int_equal(search("").n, MANY - 3 * 128);
}

static void a_newer_version_is_refused(void **state)
{
	struct err err = { "" };
	struct store *store;
	struct found f;

	fill(100);
	run_sql(1, "PRAGMA user_version=3");
	f = search("");
	assert_int_equal(f.n, 0);
	assert_non_null(strstr(f.note, "written by a newer sonde (version 3; this one knows 2)"));
	store = open_store(1 << 30);
	assert_int_equal(write_spans(store, 0, 5), 0);
	assert_true(store__note(store, &err));
	assert_non_null(strstr(err.text, "written by a newer sonde"));
	store__free(store);
	assert_int_equal(search("").n, 5);
	/* And it was not touched. */
	run_sql(1, "PRAGMA user_version=2");
	assert_int_equal(search("").n, 105);
}

static void versions_are_migrated_a_step_each(void **state)
{
	static const char *const steps[] = { "CREATE TABLE first(a); INSERT INTO first VALUES(1)",
					     "INSERT INTO first VALUES(2)",
					     "INSERT INTO nowhere VALUES(3)" };
	char path[STORE_PATH_MAX];
	sqlite3 *db;
	int ret;

	fill(300);
	store_file__path(path, folder, 1, false);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=1", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_file__migrate(db, 1, 3, steps), 0);
	assert_int_equal(store_number(db, "PRAGMA user_version", &ret), 3);
	assert_int_equal(store_number(db, "SELECT sum(a) FROM first", &ret), 3);
	/* A step that fails leaves the version before it. */
	assert_int_equal(store_file__migrate(db, 3, 4, steps), -EPROTO);
	assert_int_equal(store_number(db, "PRAGMA user_version", &ret), 3);
	assert_int_equal(store_file__migrate(db, 3, 3, steps), 0);
	sqlite3_close(db);
}

/* What the first version made of a file: neither groups nor digests, and a shorter account. */
static void become_the_first_version(uint64_t number)
{
	run_sql(number, "DROP TABLE merged; DROP TABLE merged_posting; DROP TABLE digest; "
			"DROP TABLE given_up; ALTER TABLE account DROP COLUMN evicted; "
			"PRAGMA user_version=1");
}

struct walked {
	uint64_t spans, in_digests;
	struct digest digest;
};

static bool never(void *arg)
{
	return false;
}

static void count_span(void *arg, uint64_t segment, const struct row *row)
{
	struct walked *w = arg;

	w->spans++;
	assert_int_equal(digest__add(&w->digest, row), 0);
}

static bool count_digest(void *arg, uint64_t segment, struct view bytes)
{
	struct walked *w = arg;
	uint64_t before = w->digest.spans, first, last;

	assert_int_equal(digest__merge(&w->digest, bytes, &first, &last), 0);
	w->in_digests += w->digest.spans - before;
	return true;
}

/* All operations of the n spans that fill() wrote, whatever they were read from. */
static struct walked walk_from(struct store_place *place)
{
	struct walked w = { 0 };
	struct store_walk walk = {
		.stop = never, .span = count_span, .digest = count_digest, .arg = &w
	};
	struct err err = { "" };

	assert_int_equal(store__walk(folder, 1, place, &walk, &err), 0);
	assert_int_equal(w.spans + w.in_digests, w.digest.spans);
	return w;
}

static void check_digest_of(const struct digest *s, uint64_t n)
{
	uint64_t sum = 0;

	assert_int_equal(s->spans, n);
	assert_int_equal(s->n, 6); /* three services, two kinds */
	assert_int_equal(s->first_ns, 0);
	assert_int_equal(s->last_ns, 1000000000 * (n - 1));
	for (unsigned int i = 0; i < s->n; i++) {
		sum += s->operations[i].spans;
		assert_true(view_eq(digest__name(s, &s->operations[i]), VIEW("GET /x")));
		assert_int_equal(digest__service(s, &s->operations[i]).len, 9);
	}
	assert_int_equal(sum, n);
}

/* Of all but the last few blocks nobody has to read the spans. */
static void digests_stand_for_spans(void **state)
{
	struct store_place place = { 0 };
	struct walked w, more;

	fill(MANY);
	w = walk_from(&place);
	check_digest_of(&w.digest, MANY);
	assert_true(w.spans < 2 * 16 * STORE_BLOCK_SPANS);
	digest__free(&w.digest);
	/* From where it ended there is nothing; what is added later is read alone. */
	more = walk_from(&place);
	assert_int_equal(more.digest.spans, 0);
	{
		struct store *store = open_store(1 << 30);

		assert_int_equal(write_spans(store, MANY, 2 * STORE_ORDINALS), 0);
		store__free(store);
	}
	more = walk_from(&place);
	assert_int_equal(more.digest.spans, 2 * STORE_ORDINALS);
	assert_true(more.spans < 2 * STORE_ORDINALS);
	digest__free(&more.digest);
	/* A damaged one is none. */
	assert_int_equal(digest__merge(&w.digest, VIEW("nothing of the kind"), &w.spans, &w.spans),
			 -EPROTO);
}

/* Four segments' postings become one; every question is answered as before, by fewer looks. */
#define GROUPED (5 * STORE_ORDINALS + 1000)
static void segments_are_merged(void **state)
{
	struct store_answer answer;
	char path[STORE_PATH_MAX];
	sqlite3 *db;
	int ret;

	fill(GROUPED);
	store_file__path(path, folder, 1, false);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(store_number(db, "SELECT count(*) FROM merged", &ret), 1);
	assert_int_equal(store_number(db, "SELECT count(*) FROM posting WHERE id < 4 << 16", &ret),
			 0);
	assert_true(store_number(db, "SELECT count(*) FROM posting", &ret) > 0);
	assert_int_equal(store_number(db, "SELECT count(*) FROM segment", &ret), 5);
	sqlite3_close(db);
	assert_int_equal(search("").n, GROUPED);
	assert_int_equal(search("status=500").n, GROUPED / 10);
	assert_int_equal(search("service=service-1").n, (GROUPED + 1) / 3);
	assert_int_equal(search("not service=service-1").n, GROUPED - (GROUPED + 1) / 3);
	assert_int_equal(search_some("test.number=5", 0, &answer).n, 1);
	/* The group, the segment behind it; of the first one block, and what is not sealed. */
	assert_int_equal(answer.segments, 2);
	assert_true(answer.blocks_read <= 1 + 1000 / STORE_BLOCK_SPANS + 1);
	for (uint64_t n = 0; n < GROUPED; n += 4999) {
		char text[64];

		snprintf(text, sizeof(text), "test.number=%llu", (unsigned long long)n);
		assert_int_equal(search_some(text, 0, &answer).last, n);
		assert_int_equal(answer.found, 1);
	}
	assert_int_equal(search_some("kind=server", 3, &answer).last, GROUPED - 6);
	/* Damage of it costs time, not spans. */
	run_sql(1, "UPDATE merged_posting SET data=zeroblob(length(data))");
	assert_int_equal(search("status=500").n, GROUPED / 10);
	run_sql(1, "UPDATE merged SET directory=x'00', blocks=x'00'");
	assert_int_equal(search("status=500").n, GROUPED / 10);
}

/* What is damaged is not merged, and the writer goes on. */
static void damage_is_not_merged(void **state)
{
	struct store *store;

	fill(3 * STORE_ORDINALS);
	run_sql(1, "UPDATE posting SET data=zeroblob(length(data)) WHERE id=3");
	store = open_store(1 << 30);
	assert_int_equal(write_spans(store, 3 * STORE_ORDINALS, STORE_ORDINALS + 10), 0);
	assert_int_equal(write_spans(store, 4 * STORE_ORDINALS + 10, 10), 0);
	store__free(store);
	assert_int_equal(search("").n, 4 * STORE_ORDINALS + 20);
	assert_int_equal(search("test.number=7").n, 1);
}

static void the_first_version_is_gone_on_with(void **state)
{
	struct store *store;
	struct store_place place = { 0 };
	struct walked w;

	fill(MANY);
	become_the_first_version(1);
	/* To read it nothing has to be changed. */
	assert_int_equal(search("").n, MANY);
	assert_int_equal(search("status=500").n, MANY / 10);
	w = walk_from(&place);
	check_digest_of(&w.digest, MANY);
	assert_int_equal(w.spans, MANY);
	digest__free(&w.digest);
	store = open_store(1 << 30);
	assert_int_equal(write_spans(store, MANY, GROUPED - MANY), 0);
	store__free(store);
	assert_int_equal(search("").n, GROUPED);
	assert_int_equal(search("status=500").n, GROUPED / 10);
	place = (struct store_place){ 0 };
	w = walk_from(&place);
	check_digest_of(&w.digest, GROUPED);
	/* Of the old segment the spans. */
	assert_true(w.spans >= STORE_ORDINALS && w.spans < 2 * STORE_ORDINALS);
	digest__free(&w.digest);
}

static void one_writer_a_folder(void **state)
{
	struct store *store = open_store(1 << 30);
	struct err err = { "" };
	int status;
	pid_t pid;

	assert_int_equal(write_spans(store, 0, 5), 0);
	pid = fork();
	if (!pid) {
		struct store *other = open_store(1 << 30);

		_exit(store__open(other, &err) == -EBUSY && strstr(err.text, "another sonde") ? 0 :
												1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	store__free(store);
}

/* Writes until it is killed, says in shared memory what it was told to be in the store. */
static void write_until_killed(uint64_t *acked, uint64_t first, unsigned int batch)
{
	struct store *store = open_store(1 << 30);

	for (uint64_t n = first;; n += batch) {
		if (write_spans(store, n, batch))
			_exit(1);
		__atomic_store_n(acked, n + batch, __ATOMIC_SEQ_CST);
	}
}

static void check_after_kill(uint64_t acked, unsigned int batch, uint64_t *ret_n)
{
	struct store *store;
	struct err err = { "" };
	struct found f = search("");

	if (f.notes)
		print_error("%s\n", f.note);
	/* Whole batches, and every one that was said to be there. */
	assert_int_equal(f.notes, 0);
	assert_true(f.n == acked || f.n == acked + batch);
	store = open_store(1 << 30);
	assert_int_equal(store__open(store, &err), 0);
	assert_int_equal(store__counters(store)->acked, f.n);
	assert_int_equal(store__counters(store)->damaged, 0);
	store__free(store);
	if (f.n)
		assert_int_equal(search("test.number>=0").last, 0);
	*ret_n = f.n;
}

#define KILLS 200
#define KILLS_A_STORE 5

/* Killed at any moment, the store opens again, holds what was committed, whole, and counts it right. */
static void survives_kills(void **state)
{
	uint64_t *acked =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t n = 0;
	int status;

	srandom(4711);
	for (int round = 0; round < KILLS; round++) {
		unsigned int batch = 1 + (unsigned int)random() % 300;
		pid_t pid;

		if (round % KILLS_A_STORE == 0) {
			n = 0;
			tear_down(NULL);
			set_up(NULL);
		}
		*acked = n;
		pid = fork();
		if (!pid)
			write_until_killed(acked, n, batch);
		usleep((unsigned int)random() % 15000);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		check_after_kill(*acked, batch, &n);
	}
	munmap(acked, 4096);
}

/*
 * A writer that ends takes the memory of its log away, then the log: who looks in between, or finds what one left
 * that was killed in between, sees everything.
 */
static void a_log_without_its_memory(void **state)
{
	char path[STORE_PATH_MAX], memory[STORE_PATH_MAX + 8];
	int keep = 1;
	sqlite3 *db;

	fill(300);
	store_file__path(path, folder, 1, false);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_file_control(db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep),
			 SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "INSERT INTO lost VALUES(1)", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	snprintf(memory, sizeof(memory), "%s-wal", path);
	assert_int_equal(access(memory, F_OK), 0);
	snprintf(memory, sizeof(memory), "%s-shm", path);
	assert_int_equal(unlink(memory), 0);
	assert_int_equal(search("").n, 300);
}

/* Any bytes of the file changed: said, survived, and whatever comes out is as it went in. */
static void any_byte_may_be_wrong(void **state)
{
	char path[STORE_PATH_MAX];
	struct stat st;
	uint8_t *bytes;
	int fd;

	fill(STORE_ORDINALS + 500);
	store_file__path(path, folder, 1, false);
	assert_int_equal(stat(path, &st), 0);
	bytes = malloc((size_t)st.st_size);
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
	srandom(99);
	for (int round = 0; round < 20; round++) {
		off_t at[20];
		struct found f;

		for (int i = 0; i < 20; i++) {
			uint8_t other;

			at[i] = (off_t)((uint64_t)random() %
					(round % 3 ? (uint64_t)st.st_size : 16384));
			other = bytes[at[i]] ^ (uint8_t)(1 + random() % 255);
			assert_int_equal(pwrite(fd, &other, 1, at[i]), 1);
		}
		f = search("status=500 and not .tenant=blue");
		assert_true(f.n <= STORE_ORDINALS);
		search_some("test.number=7", 0, &(struct store_answer){ 0 });
		for (int i = 0; i < 20; i++)
			assert_int_equal(pwrite(fd, &bytes[at[i]], 1, at[i]), 1);
	}
	assert_int_equal(search("").n, STORE_ORDINALS + 500);
	close(fd);
	free(bytes);
}

/* Blocks by themselves. */
static void blocks_are_verbatim(void **state)
{
	ZSTD_CCtx *c = ZSTD_createCCtx();
	ZSTD_DCtx *d = ZSTD_createDCtx();
	static struct block in, out;
	struct buf packed = { 0 };
	char text[16];

	block__begin(&in, 77);
	for (unsigned int i = 0; !block__full(&in); i++) {
		snprintf(text, sizeof(text), "span %u", i);
		assert_int_equal(block__add(&in, i % 2 ? VIEW("one") : VIEW("two"), VIEW("scope"),
					    view_of(text)),
				 0);
	}
	assert_int_equal(in.n_spans, STORE_BLOCK_SPANS);
	assert_int_equal(in.n_contexts, 2);
	assert_int_equal(block__pack(&in, c, &packed), 0);
	assert_int_equal(block__unpack(&out, d, buf_view(&packed), 77), 0);
	assert_int_equal(out.n_spans, STORE_BLOCK_SPANS);
	for (unsigned int i = 0; i < out.n_spans; i++) {
		struct block_span span = block__span(&out, i);

		snprintf(text, sizeof(text), "span %u", i);
		assert_true(view_eq(span.span, view_of(text)));
		assert_true(view_eq(span.resource, i % 2 ? VIEW("one") : VIEW("two")));
		assert_true(view_eq(span.scope, VIEW("scope")));
	}
	assert_int_equal(block__unpack(&out, d, buf_view(&packed), 78), -EPROTO);
	for (size_t i = 0; i < packed.len; i++) {
		packed.at[i] ^= 0x10;
		/* Damage, or a bit that means nothing. */
		if (!block__unpack(&out, d, buf_view(&packed), 77))
			assert_true(view_eq(buf_view(&out.plain), buf_view(&in.plain)));
		packed.at[i] ^= 0x10;
	}
	/* Longer than a block can be. */
	block__begin(&in, 1);
	text[0] = 0;
	{
		char *long_one = calloc(1, STORE_BLOCK_MAX_BYTES);

		assert_int_equal(block__add(&in, VIEW("r"), VIEW("s"),
					    (struct view){ long_one, STORE_BLOCK_MAX_BYTES }),
				 -EMSGSIZE);
		free(long_one);
	}
	assert_int_equal(in.n_spans, 0);
	block__free(&in);
	block__free(&out);
	buf__free(&packed);
	ZSTD_freeCCtx(c);
	ZSTD_freeDCtx(d);
}

/* Postings by themselves: lists, bitmaps, many pages, each bit of damage noticed. */
static void postings_are_exact(void **state)
{
	struct pairs pairs = { 0 }, scratch = { 0 };
	struct buf pages = { 0 }, directory = { 0 };
	size_t starts[512], n_pages = 0, at = 0;
	struct ordinals set;

	assert_int_equal(pairs__reserve(&pairs, 400000), 0);
	for (unsigned int o = 0; o < STORE_ORDINALS; o++) {
		pairs__add(&pairs, 5, o);
		if (o % 2)
			pairs__add(&pairs, (1ull << TERM_BITS) - 1, o);
		if (o % 100 == 0)
			pairs__add(&pairs, 6, o);
		pairs__add(&pairs, 1000 + o, o);
		pairs__add(&pairs, 1000 + o, o); /* twice the same attribute */
	}
	assert_int_equal(pairs__sort(&pairs, &scratch), 0);
	while (at < pairs.n) {
		uint64_t first = pairs.at[at] >> POSTING_ORDINAL_BITS;

		buf__add(&directory, &first, 8);
		starts[n_pages++] = pages.len;
		assert_int_equal(posting__page(&pages, &pairs, &at), 0);
	}
	starts[n_pages] = pages.len;
	posting__seal(&directory, 0);
	for (uint64_t term = 0; term < 1000 + STORE_ORDINALS + 3; term++) {
		long page = posting__find_page(buf_view(&directory), term);
		unsigned int count = 0;

		memset(&set, 0, sizeof(set));
		if (page >= 0)
			assert_int_equal(posting__read((struct view){ (char *)pages.at +
									      starts[page],
								      starts[page + 1] -
									      starts[page] },
						       term, STORE_ORDINALS, &set),
					 0);
		for (unsigned int w = 0; w < STORE_ORDINALS / 64; w++)
			count += (unsigned int)__builtin_popcountll(set.bits[w]);
		assert_int_equal(count, term == 5 ? STORE_ORDINALS :
					term == 6 ? STORE_ORDINALS / 100 + 1 :
					term >= 1000 && term < 1000 + STORE_ORDINALS ? 1 :
										       0);
	}
	for (size_t i = 0; i < starts[1]; i += 7) {
		pages.at[i] ^= 1;
		assert_int_equal(posting__read((struct view){ (char *)pages.at, starts[1] }, 5,
					       STORE_ORDINALS, &set),
				 -EPROTO);
		pages.at[i] ^= 1;
	}
	buf__free(&pages);
	buf__free(&directory);
	pairs__free(&pairs);
	pairs__free(&scratch);
}

/* Every term has the same postings: what would be if all hashes collided. */
static int colliding(void *arg, uint64_t term, struct ordinals *ret)
{
	memset(ret, 0x55, sizeof(*ret));
	return 0;
}

static void collisions_leave_candidates(void **state)
{
	struct query_source source = { .postings = colliding };
	struct where *where;
	struct ordinals set;
	struct err err;

	/* What is asked for is among them; what is negated takes none away. */
	assert_int_equal(where__parse("service=a and not service=b", &where, &err), 0);
	query__candidates(where, &source, &set);
	assert_int_equal(set.bits[0], 0x5555555555555555ull);
	where__free(where);
	assert_int_equal(where__parse("not (service=a or service=b)", &where, &err), 0);
	query__candidates(where, &source, &set);
	assert_int_equal(set.bits[0], ~0ull);
	where__free(where);
	assert_int_equal(where__parse("service=a or duration>1ms", &where, &err), 0);
	query__candidates(where, &source, &set);
	assert_int_equal(set.bits[0], ~0ull);
	where__free(where);
}

static void a_folder_of_others_is_refused(void **state)
{
	char path[80], *whole = NULL;
	struct err err = { "" };

	assert_int_equal(store_folder__make(folder, &whole, &err), 0);
	free(whole);
	snprintf(path, sizeof(path), "%s/precious", folder);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	assert_int_equal(store_folder__make(folder, &whole, &err), -ENOTEMPTY);
	assert_non_null(strstr(err.text, "other things"));
	snprintf(path, sizeof(path), "%s/none/folder", folder);
	assert_int_equal(store_folder__make(path, &whole, &err), -ENOENT);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_verbatim),
		cmocka_unit_test(postings_are_exact),
		cmocka_unit_test(collisions_leave_candidates),
		T(every_way_of_asking),
		T(a_rare_value_costs_few_blocks),
		T(goes_on_where_it_ended),
		T(counts_a_run_over_restarts),
		T(old_partitions_are_given_up),
		T(a_damaged_partition_is_put_aside_alone),
		T(a_damaged_page_costs_time_not_spans),
		T(a_newer_version_is_refused),
		T(versions_are_migrated_a_step_each),
		T(digests_stand_for_spans),
		T(segments_are_merged),
		T(damage_is_not_merged),
		T(the_first_version_is_gone_on_with),
		T(one_writer_a_folder),
		T(survives_kills),
		T(a_log_without_its_memory),
		T(any_byte_may_be_wrong),
		T(a_folder_of_others_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
