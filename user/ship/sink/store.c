// SPDX-License-Identifier: Apache-2.0
/*
 * Spans into the store of this machine. A thread of its own compresses and writes, as a disk may take its
 * time: this side only gathers, and what one thread has in hand the other does not touch.
 */
#include "ship/sink.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "ship/loop.h"
#include "ship/store/store.h"

#define DELAY_NS 200000000ull
/* What is worth a commit of its own, before its time. */
#define BATCH_BYTES (1u << 20)
/* Of each of the two queues. */
#define QUEUE_BYTES (8u << 20)

enum state { IDLE, GIVEN, DONE };

struct sink_store {
	struct sink sink;
	struct loop *loop;
	const char *folder; /* its name; the process is in it */
	struct queue filling;
	uint64_t due; /* when what is in it is to be written; 0: it is empty */
	bool finishing, failed, reconciled;
	uint64_t acked_before; /* of this run, by the account, when this began */
	struct store_counters seen;

	pthread_t thread;
	int wake;
	pthread_mutex_t
		lock; /* of state and quit; what is below belongs to the thread while state is GIVEN */
	pthread_cond_t given;
	enum state state;
	bool quit;

	struct store *store;
	struct queue working;
	int ret;
	uint64_t too_large;
	struct err err, notes[STORE_NOTES_MAX];
	unsigned int n_notes;
	struct store_counters counters;
	uint64_t acked_opened; /* what the store had of this run when it was opened */
	bool opened;
};

static struct sink_store *of(const struct sink *sink)
{
	return (struct sink_store *)sink;
}

static void write_batch(struct sink_store *s)
{
	s->err.text[0] = 0;
	s->too_large = 0;
	s->ret = store__open(s->store, &s->err);
	if (!s->ret && !s->opened) {
		s->opened = true;
		s->acked_opened = store__counters(s->store)->acked;
	}
	if (!s->ret && s->working.spans)
		s->ret = store__write(s->store, &s->working, s->working.spans, &s->too_large,
				      &s->err);
	s->counters = *store__counters(s->store);
	s->n_notes = 0;
	while (s->n_notes < STORE_NOTES_MAX && store__note(s->store, &s->notes[s->n_notes]))
		s->n_notes++;
}

static void *run(void *arg)
{
	struct sink_store *s = arg;
	uint64_t one = 1;

	pthread_mutex_lock(&s->lock);
	while (!s->quit) {
		if (s->state != GIVEN) {
			pthread_cond_wait(&s->given, &s->lock);
			continue;
		}
		pthread_mutex_unlock(&s->lock);
		write_batch(s);
		pthread_mutex_lock(&s->lock);
		__atomic_store_n(&s->state, DONE, __ATOMIC_RELEASE);
		if (write(s->wake, &one, sizeof(one)) < 0)
			log_debug("store: waking failed: %s", strerror(errno));
	}
	pthread_mutex_unlock(&s->lock);
	store__free(s->store);
	return NULL;
}

static enum state state_of(struct sink_store *s)
{
	/* Of each span it may be asked: a lock for that is what a span costs here otherwise. */
	return __atomic_load_n(&s->state, __ATOMIC_ACQUIRE);
}

static void set_state(struct sink_store *s, enum state state)
{
	pthread_mutex_lock(&s->lock);
	__atomic_store_n(&s->state, state, __ATOMIC_RELEASE);
	if (state == GIVEN)
		pthread_cond_signal(&s->given);
	pthread_mutex_unlock(&s->lock);
}

/*
 * The ship before this one died between a commit and its counter: what is in the store was not lost
 * with it.
 */
static void reconcile(struct sink_store *s)
{
	struct account_sink *a = s->sink.account;
	uint64_t more;

	if (s->reconciled || !s->opened)
		return;
	s->reconciled = true;
	if (s->acked_opened <= s->acked_before)
		return;
	more = s->acked_opened - s->acked_before;
	more = more < a->dropped_restart ? more : a->dropped_restart;
	a->dropped_restart -= more;
	a->acked += more;
}

static void say(struct sink_store *s)
{
	for (unsigned int i = 0; i < s->n_notes; i++)
		log_warn("store %s: %s", s->folder, s->notes[i].text);
	s->n_notes = 0;
	if (s->ret && s->ret != -EAGAIN && !s->failed)
		log_error("store %s: %s; spans go on to the other sinks, here they are counted as "
			  "dropped{write} until it can be written",
			  s->folder, *s->err.text ? s->err.text : strerror(-s->ret));
	if (!s->ret && s->failed)
		log_info("store %s: it can be written again", s->folder);
	if (s->ret != -EAGAIN)
		s->failed = s->ret != 0;
}

/* What the thread has done goes into the account. */
static void collect(struct sink_store *s)
{
	struct account_sink *a = s->sink.account;
	uint64_t n = s->working.spans;

	if (state_of(s) != DONE)
		return;
	reconcile(s);
	queue__drop(&s->working, n);
	a->queued -= n;
	if (s->ret) {
		a->dropped_write += n;
	} else {
		a->acked += n - s->too_large;
		a->dropped_too_large += s->too_large;
	}
	a->evicted += s->counters.evicted - s->seen.evicted;
	a->damaged += s->counters.damaged - s->seen.damaged;
	s->seen = s->counters;
	say(s);
	set_state(s, IDLE);
}

static void hand_over(struct sink_store *s)
{
	struct queue empty = s->working;

	s->working = s->filling;
	s->filling = empty;
	s->due = 0;
	set_state(s, GIVEN);
}

static void store__work(struct sink *sink, uint64_t now)
{
	struct sink_store *s = of(sink);

	collect(s);
	if (s->filling.spans && state_of(s) == IDLE &&
	    (s->finishing || s->filling.bytes >= BATCH_BYTES || now >= s->due))
		hand_over(s);
}

static void store__span(struct sink *sink, const struct ship_span *span, uint64_t now)
{
	struct sink_store *s = of(sink);

	sink->account->spans++;
	if (!span->head.sampled) {
		sink->account->unsampled++;
		return;
	}
	if (queue__push(&s->filling, span->resource, span->scope, span->bytes)) {
		sink->account->dropped_queue_full++;
		return;
	}
	sink->account->queued++;
	if (!s->due)
		s->due = now + DELAY_NS;
	if (s->filling.bytes >= BATCH_BYTES)
		store__work(sink, now);
}

/* While the thread works it is what wakes us. */
static uint64_t store__timer(const struct sink *sink)
{
	struct sink_store *s = of(sink);

	return state_of(s) == IDLE ? s->due : 0;
}

static void store__finish(struct sink *sink, uint64_t now)
{
	of(sink)->finishing = true;
	store__work(sink, now);
}

static bool store__busy(const struct sink *sink)
{
	return of(sink)->filling.spans || state_of(of(sink)) != IDLE;
}

static bool store__crowded(const struct sink *sink)
{
	return of(sink)->filling.bytes > QUEUE_BYTES / 2;
}

static void store__abandon(struct sink *sink)
{
	struct sink_store *s = of(sink);
	uint64_t n;

	collect(s);
	n = s->filling.spans + (state_of(s) == GIVEN ? s->working.spans : 0);
	sink->account->queued -= n;
	sink->account->dropped_shutdown += n;
	queue__drop(&s->filling, s->filling.spans);
}

static void on_wake(void *arg, int fd, uint32_t events)
{
	uint64_t n;

	if (read(fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_debug("store: waking failed: %s", strerror(errno));
}

static void store__free_sink(struct sink *sink)
{
	struct sink_store *s = of(sink);
	bool at_work;

	pthread_mutex_lock(&s->lock);
	at_work = s->state == GIVEN;
	s->quit = true;
	pthread_cond_signal(&s->given);
	pthread_mutex_unlock(&s->lock);
	/* A disk that does not answer: the process ends, and this with it. */
	if (at_work)
		return;
	pthread_join(s->thread, NULL);
	loop__unwatch(s->loop, s->wake);
	close(s->wake);
	queue__free(&s->filling);
	queue__free(&s->working);
	free(s);
}

static const struct sink_ops ops = {
	.span = store__span,
	.work = store__work,
	.timer = store__timer,
	.finish = store__finish,
	.busy = store__busy,
	.crowded = store__crowded,
	.abandon = store__abandon,
	.free = store__free_sink,
};

/* Signals are for the loop. */
static int start_thread(struct sink_store *s)
{
	sigset_t all, before;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ret = -pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret;
}

struct sink *sink_store__new(const struct ship_store *config, struct account_sink *account,
			     struct loop *loop, struct err *err)
{
	struct sink_store *s = calloc(1, sizeof(*s));
	struct store_config where = { .folder = ".",
				      .bytes_max = config->bytes_max,
				      .age_max_s = config->age_s,
				      .run = config->run,
				      .acked = account->acked,
				      .evicted = account->evicted };
	int ret = -ENOMEM;

	if (!s)
		goto failed;
	s->sink = (struct sink){ &ops, account };
	s->loop = loop;
	s->folder = config->folder;
	s->acked_before = account->acked;
	s->seen.evicted = s->counters.evicted = account->evicted;
	s->filling.bytes_max = s->working.bytes_max = QUEUE_BYTES;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->store = store__new(&where);
	if (s->wake < 0 || !s->store)
		goto failed;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->given, NULL);
	s->state = GIVEN; /* nothing yet, but the folder is looked at */
	ret = loop__watch(loop, s->wake, EPOLLIN, on_wake, s);
	if (!ret)
		ret = start_thread(s);
	if (!ret)
		return &s->sink;
failed:
	err__set(err, ret, "the store's writer cannot be started: %s", strerror(-ret));
	if (s) {
		store__free(s->store);
		if (s->wake >= 0)
			close(s->wake);
	}
	free(s);
	return NULL;
}
