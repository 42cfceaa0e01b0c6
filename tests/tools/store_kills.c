// SPDX-License-Identifier: Apache-2.0
/*
 * Kills the real ship code while it writes a store, at random moments, and checks after each what is there.
 *
 *	store_kills SHIP_FRAMES FOLDER KILLS SEED
 *
 * Spans are numbered as they are sent. A ship takes them in their order, so what may be in the store after it was
 * killed is: of each ship before, what was there when that one had died; of this one the first ones, at least as
 * many as it acknowledged; without the oldest, as many as were given up. Each is compared byte for byte. Now and
 * then a ship is left to end by itself, and then the account is that of the store, to the span. Before every third
 * death the store is searched while it is written: the newest that was acknowledged is found. Two stores: one
 * whose partitions are so small that they are turned over and given up all the time, and one that is long enough
 * for segments to be merged. Prints JSON: how many kills, and what the store was at when they came.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../unit/pbmake.h"
#include "core/account.h"
#include "core/frame.h"
#include "ship/store/reader.h"
#include "store_watch.h"

/* So many spans may be on their way: less than what ship's queues hold, so that it drops none. */
#define IN_FLIGHT 8000
#define PIECE 250
#define SMALL_BYTES (4u << 20)
#define LARGE_BYTES (1ull << 30)
/* A large store is begun anew past this. */
#define LARGE_SPANS 200000
#define SMALL_SPANS 150000
#define NUMBERS (1u << 20)
/* Each so manieth ship is left to end by itself. */
#define LIVES_TO_AN_END 9
#define PAD 64

static const char *const names[STORE_ATS] = { "start", "open",	"new",	 "block",
					      "seal",  "close", "evict", "merge" };

/* The first `taken` spans of those from `first` on are in the store, or were. */
struct life {
	uint32_t first, taken;
};

struct scene {
	const char *ship, *folder;
	char account_path[4096], watch_path[4096];
	bool large;
	struct account *account;
	struct store_watch *watch;
	/* of this store */
	struct life *lives;
	unsigned int n_lives;
	uint32_t sent;
	uint8_t *there; /* NUMBERS of them */
	uint64_t found;
	/* of this ship */
	pid_t pid;
	int pipe;
	uint64_t acked_before;
	struct buf out;
	/* of all */
	unsigned int kills, ends, stores, at[STORE_ATS];
	uint64_t committed, evicted, lost;
};

static void __attribute__((format(printf, 2, 3), noreturn))
fail(const struct scene *s, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr,
		"store_kills: after %u kills and %u ends, at %s, %s store of %u ships: ", s->kills,
		s->ends, names[s->watch ? s->watch->at : 0], s->large ? "large" : "small",
		s->n_lives);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	if (s->pid > 0)
		kill(s->pid, SIGKILL);
	exit(1);
}

static uint64_t mix(uint64_t n)
{
	n = (n ^ n >> 31) * 0x7fb5d329728ea185ull;
	n = (n ^ n >> 27) * 0x81dadef4bc2dd44dull;
	return n ^ n >> 33;
}

static void make_span(struct buf *b, uint32_t n)
{
	uint64_t trace[2] = { 7, n / 5 + 1 }, id = n + 1ull;
	char text[PAD + 1];

	buf__clear(b);
	pb_bytes(b, 1, trace, 16);
	pb_bytes(b, 2, &id, 8);
	pb_text(b, 5, "GET /x");
	pb_number(b, 6, 2 + n % 2);
	pb_fixed64(b, 7, 1700000000000000000ull + n * 1000ull);
	pb_fixed64(b, 8, 1700000000000000500ull + n * 1000ull);
	pb_attribute_int(b, 9, "test.number", n);
	for (unsigned int i = 0; i < PAD; i += 16)
		snprintf(text + i, 17, "%016" PRIx64, mix(n * 4ull + i / 16));
	pb_attribute_text(b, 9, "test.pad", text);
}

static void make_resource(struct buf *b, uint32_t n)
{
	buf__clear(b);
	pb_resource(b, n % 3 == 0 ? "red" : n % 3 == 1 ? "green" : "blue");
}

static void add_names(struct buf *out)
{
	struct buf resource = { 0 };
	uint32_t scope = 1;

	for (uint32_t i = 0; i < 3; i++) {
		uint32_t head[2] = { i, 1 };

		make_resource(&resource, i);
		frame__add(out, FRAME_RESOURCE, head, sizeof(head), resource.at, resource.len);
	}
	frame__add(out, FRAME_SCOPE, &scope, sizeof(scope), NULL, 0);
	buf__free(&resource);
}

static void add_spans(struct scene *s)
{
	struct buf span = { 0 };

	for (int i = 0; i < PIECE && s->sent < NUMBERS; i++, s->sent++) {
		struct frame_span head = {
			.resource = s->sent % 3, .scope = 1, .kind = 2, .sampled = 1
		};

		make_span(&span, s->sent);
		frame__add(&s->out, FRAME_SPAN, &head, sizeof(head), span.at, span.len);
	}
	buf__free(&span);
}

static const struct account_sink *sink_of(const struct scene *s)
{
	return &s->account->sinks[0];
}

static void start_ship(struct scene *s)
{
	char bytes[32];
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		fail(s, "pipe: %s", strerror(errno));
	fcntl(fds[1], F_SETFL, O_NONBLOCK);
	s->watch->at = AT_START;
	s->acked_before = sink_of(s)->acked;
	snprintf(bytes, sizeof(bytes), "%llu",
		 s->large ? LARGE_BYTES : (unsigned long long)SMALL_BYTES);
	s->pid = fork();
	if (!s->pid) {
		dup2(fds[0], 0);
		dup2(open("/dev/null", O_WRONLY), 2);
		execl(s->ship, s->ship, "--store", s->folder, "--store-bytes", bytes, "--account",
		      s->account_path, "--watch", s->watch_path, (char *)NULL);
		_exit(127);
	}
	close(fds[0]);
	s->pipe = fds[1];
	s->lives = reallocarray(s->lives, s->n_lives + 1, sizeof(*s->lives));
	s->lives[s->n_lives++] = (struct life){ .first = s->sent };
	buf__clear(&s->out);
	add_names(&s->out);
}

/* What there is to be sent, as much as goes; a little time. */
static void feed(struct scene *s, bool more)
{
	const struct life *life = &s->lives[s->n_lives - 1];
	struct pollfd wait = { s->pipe, POLLOUT, 0 };
	uint64_t acked = sink_of(s)->acked - s->acked_before;
	ssize_t n;

	/* What it takes over from the ship before it counts as well: then more of its own are on their way. */
	if (more && !s->out.len && s->sent - life->first < acked + IN_FLIGHT)
		add_spans(s);
	if (!s->out.len) {
		usleep(100);
		return;
	}
	n = write(s->pipe, s->out.at, s->out.len);
	if (n > 0)
		buf__consume(&s->out, (size_t)n);
	else if (n < 0 && errno == EAGAIN)
		poll(&wait, 1, 1);
	else if (n < 0)
		fail(s, "ship takes no more: %s", strerror(errno));
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void on_found(void *arg, const struct row *row, struct view scope)
{
	static struct buf span, resource;
	struct scene *s = arg;
	struct otlp_value number;
	uint32_t n;

	if (!otlp_attributes__find(row->span.message, OTLP_SPAN_ATTRIBUTES, VIEW("test.number"),
				   &number) ||
	    number.number < 0 || number.number >= s->sent)
		fail(s, "a span that was never sent is in the store");
	n = (uint32_t)number.number;
	make_span(&span, n);
	make_resource(&resource, n);
	if (!view_eq(buf_view(&span), row->span.message) ||
	    !view_eq(buf_view(&resource), row->resource))
		fail(s, "span %u is not as it was sent", n);
	if (s->there[n]++)
		fail(s, "span %u is there twice", n);
	s->found++;
}

static void on_note(void *arg, const char *text)
{
	fail(arg, "%s", text);
}

/* What is in the store is what may be: see above. Returns how many were given up. */
static uint64_t check_store(struct scene *s)
{
	struct store_query query = { .found = on_found, .note = on_note, .arg = s };
	struct life *last = &s->lives[s->n_lives - 1];
	struct store_answer answer;
	struct err err = { "" };
	uint64_t gone = 0;
	bool begun = false;

	memset(s->there, 0, NUMBERS);
	s->found = 0;
	if (store__search(s->folder, &query, &answer, &err))
		fail(s, "the store cannot be read: %s", err.text);
	last->taken = s->sent - last->first;
	while (last->taken && !s->there[last->first + last->taken - 1])
		last->taken--;
	for (unsigned int i = 0; i < s->n_lives; i++) {
		for (uint32_t k = 0; k < s->lives[i].taken; k++) {
			uint8_t *there = &s->there[s->lives[i].first + k];

			begun = begun || *there;
			gone += !begun;
			if (begun && !*there)
				fail(s, "span %u is not there, others that are older are",
				     s->lives[i].first + k);
			*there = 0;
		}
	}
	for (uint32_t n = 0; n < s->sent; n++)
		if (s->there[n])
			fail(s, "span %u was lost with its ship, and is there", n);
	return gone;
}

static uint64_t committed(const struct scene *s)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < s->n_lives; i++)
		sum += s->lives[i].taken;
	return sum;
}

/* While it is written: what comes out is whole, and the newest that is acknowledged is among it. */
static void look_meanwhile(struct scene *s)
{
	struct store_query query = { .found = on_found, .note = on_note, .arg = s };
	const struct life *life = &s->lives[s->n_lives - 1];
	uint64_t before = committed(s), acked = sink_of(s)->acked;
	struct store_answer answer;
	struct err err = { "" };
	bool newer = false;

	memset(s->there, 0, NUMBERS);
	s->found = 0;
	if (store__search(s->folder, &query, &answer, &err))
		fail(s, "the store cannot be read while it is written: %s", err.text);
	if (acked <= before)
		return;
	for (uint64_t n = life->first + (acked - before) - 1; n < s->sent && !newer; n++)
		newer = s->there[n];
	if (!newer)
		fail(s,
		     "of %" PRIu64
		     " that this ship had acknowledged the newest are not found (%" PRIu64 " are)",
		     acked - before, s->found);
}

/* Until a moment: any, or one soon after the store has begun what is named. */
static void work_until(struct scene *s, enum store_at aim)
{
	uint32_t before = s->watch->times[aim];
	uint64_t end = now_us() + (aim ? 2000000 : (uint64_t)random() % 100000);

	while (now_us() < end) {
		if (aim && __atomic_load_n(&s->watch->times[aim], __ATOMIC_SEQ_CST) != before) {
			end = now_us() + (uint64_t)random() % 3000;
			aim = AT_START;
		}
		feed(s, true);
	}
}

static void check_after_kill(struct scene *s)
{
	const struct account_sink *a = sink_of(s);
	uint64_t gone = check_store(s);

	if (a->acked > committed(s))
		fail(s, "%" PRIu64 " are acknowledged, %" PRIu64 " came into the store", a->acked,
		     committed(s));
	if (a->evicted > gone)
		fail(s, "%" PRIu64 " count as given up, %" PRIu64 " were", a->evicted, gone);
	if (a->dropped_queue_full || a->dropped_write || a->dropped_too_large || a->damaged)
		fail(s, "dropped: queue_full %" PRIu64 ", write %" PRIu64 ", damaged %" PRIu64,
		     a->dropped_queue_full, a->dropped_write, a->damaged);
}

/* With nothing on its way the account is exact. */
static void check_after_end(struct scene *s)
{
	const struct account_sink *a = sink_of(s);
	uint64_t gone;

	check_after_kill(s);
	gone = check_store(s);
	if (a->acked != committed(s) || a->evicted != gone || a->queued ||
	    a->spans != a->acked + a->dropped_restart)
		fail(s,
		     "it ended by itself with %" PRIu64 " spans, %" PRIu64 " acked, %" PRIu64
		     " evicted, %" PRIu64 " lost with a ship; %" PRIu64
		     " came into the store, %" PRIu64 " of them are gone",
		     a->spans, a->acked, a->evicted, a->dropped_restart, committed(s), gone);
}

static void clear_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		unlinkat(dirfd(dir), e->d_name, 0);
	if (dir)
		closedir(dir);
}

static void new_store(struct scene *s, bool large)
{
	const struct account_sink *a = sink_of(s);

	s->committed += committed(s);
	s->evicted += a->evicted;
	s->lost += a->dropped_restart;
	s->stores++;
	clear_folder(s->folder);
	memset(s->account, 0, sizeof(*s->account));
	s->large = large;
	s->n_lives = 0;
	s->sent = 0;
}

static void end_ship(struct scene *s)
{
	uint64_t late = now_us() + 30000000;
	int status;

	while (s->out.len && now_us() < late)
		feed(s, false);
	close(s->pipe);
	if (waitpid(s->pid, &status, 0) != s->pid || !WIFEXITED(status) || WEXITSTATUS(status))
		fail(s, "ship ended with status %d", status);
	s->pid = 0;
	s->ends++;
	check_after_end(s);
}

static void kill_ship(struct scene *s)
{
	int status;

	kill(s->pid, SIGKILL);
	if (waitpid(s->pid, &status, 0) != s->pid || !WIFSIGNALED(status))
		fail(s, "ship ended by itself, with status %d", status);
	s->pid = 0;
	close(s->pipe);
	s->at[s->watch->at]++;
	s->kills++;
	check_after_kill(s);
}

static void *map_new(const struct scene *s, const char *path, size_t bytes)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	void *at = fd < 0 || ftruncate(fd, (off_t)bytes) ?
			   MAP_FAILED :
			   mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		fail(s, "%s: %s", path, strerror(errno));
	close(fd);
	return at;
}

/* Half of the moments are any; the others are soon after the store has begun one of these. */
static enum store_at aim_of(const struct scene *s, unsigned int round)
{
	static const enum store_at small[] = { AT_CLOSE, AT_NEW, AT_EVICT, AT_OPEN, AT_BLOCK };
	static const enum store_at large[] = { AT_MERGE, AT_SEAL };

	if (round % 2)
		return AT_START;
	return s->large ? large[round / 2 % 2] : small[round / 2 % 5];
}

int main(int argc, char **argv)
{
	struct scene s = { 0 };
	unsigned int kills, round = 0;

	if (argc != 5) {
		fputs("usage: store_kills SHIP_FRAMES FOLDER KILLS SEED\n", stderr);
		return 2;
	}
	s.ship = argv[1];
	s.folder = argv[2];
	kills = (unsigned int)strtoul(argv[3], NULL, 10);
	srandom((unsigned int)strtoul(argv[4], NULL, 10));
	signal(SIGPIPE, SIG_IGN);
	snprintf(s.account_path, sizeof(s.account_path), "%s.account", s.folder);
	snprintf(s.watch_path, sizeof(s.watch_path), "%s.watch", s.folder);
	s.account = map_new(&s, s.account_path, sizeof(*s.account));
	s.watch = map_new(&s, s.watch_path, sizeof(*s.watch));
	s.there = calloc(NUMBERS, 1);
	while (s.kills < kills) {
		start_ship(&s);
		if (round % 3 == 0 && !s.large)
			for (int i = 0; i < 2; i++) {
				work_until(&s, AT_START);
				look_meanwhile(&s);
			}
		work_until(&s, aim_of(&s, round));
		round++;
		if (round % LIVES_TO_AN_END && s.kills + 1 < kills) {
			kill_ship(&s);
			continue;
		}
		if (s.kills + 1 == kills) {
			kill_ship(&s);
			start_ship(&s);
		}
		end_ship(&s);
		if (s.sent > (s.large ? LARGE_SPANS : SMALL_SPANS) || s.kills == kills)
			new_store(&s, !s.large);
	}
	printf("{\"kills\": %u, \"ends\": %u, \"stores\": %u, \"committed\": %" PRIu64
	       ", \"evicted\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"at\": {",
	       s.kills, s.ends, s.stores, s.committed, s.evicted, s.lost);
	for (int i = 0; i < STORE_ATS; i++)
		printf("%s\"%s\": %u", i ? ", " : "", names[i], s.at[i]);
	puts("}}");
	return 0;
}
