// SPDX-License-Identifier: Apache-2.0
#include "ship/ship.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "ship/loop.h"
#include "ship/sink.h"
#include "ship/sink/transfer.h"
#include "ship/stream.h"
#include "supervise/control.h"
#include "supervise/frames.h"

/* Frames are taken in so many pieces, or so many blocks, before sinks, sockets and timers get their turn. */
#define READS_A_TURN 8
#define BLOCKS_A_TURN 96
/* Ten spans or so, which stay in the nearest cache while they are looked at. */
#define BLOCK_BYTES 4096u
/* At the end: more than there is room for, but no more, as trace may still be writing. */
#define READS_AT_THE_END 8192
#define BLOCKS_AT_THE_END (2 * FRAMES_BYTES / BLOCK_BYTES)
/* A file: all of it. */
#define READS_OF_A_FILE UINT32_MAX

/* A time that is over, for loop__run_once(). */
#define AT_ONCE 1

static volatile sig_atomic_t terminated;

static void on_signal(int signal)
{
	terminated = 1;
}

/* Where frames come from: trace, and the role that receives. */
#define INPUTS_MAX 2

struct input {
	struct ship *ship;
	struct stream *stream;
	struct frames *frames; /* NULL: they come through fd itself */
	int fd;
	bool patient; /* its writer would rather wait than have spans dropped */
	bool more;    /* there may be frames to take */
	bool closed;  /* its writer writes no more */
	bool ended;   /* no more frames will come */
};

struct ship {
	struct loop *loop;
	struct transfers *transfers;
	struct sink *sinks[SHIP_SINKS_MAX];
	uint32_t n_sinks;
	struct input inputs[INPUTS_MAX];
	unsigned int n_inputs;
	int control_fd;
	bool stop_told; /* CONTROL_LIMIT was sent */
	uint64_t now;
};

static void on_span(void *arg, const struct ship_span *span)
{
	struct ship *s = arg;

	for (uint32_t i = 0; i < s->n_sinks; i++)
		s->sinks[i]->ops->span(s->sinks[i], span, s->now);
}

static void on_pass(void *arg, size_t n)
{
	frames__pass(arg, n);
}

static void end_frames(struct input *in)
{
	if (!in->ended)
		loop__unwatch(in->ship->loop, in->fd);
	in->ended = true;
}

static bool ended(const struct ship *s)
{
	for (unsigned int i = 0; i < s->n_inputs; i++)
		if (!s->inputs[i].ended)
			return false;
	return true;
}

/* Rather than have a sink drop. Not at the end. */
static bool must_wait(const struct input *in)
{
	const struct ship *s = in->ship;

	for (uint32_t i = 0; in->patient && !in->closed && i < s->n_sinks; i++)
		if (s->sinks[i]->ops->crowded && s->sinks[i]->ops->crowded(s->sinks[i]))
			return true;
	return false;
}

/* From the memory that its writer writes. False: there may be more. */
static bool take_frames(struct input *in, unsigned int blocks)
{
	size_t room, n;

	in->ship->now = loop__now();
	for (unsigned int i = 0; i < blocks && !must_wait(in); i++) {
		uint8_t *to = stream__room(in->stream, &room);

		if (!to) {
			log_error("ship: out of memory: no more frames are read");
			end_frames(in);
			return true;
		}
		n = frames__copy(in->frames, to, room < BLOCK_BYTES ? room : BLOCK_BYTES);
		if (!n)
			return true;
		stream__feed(in->stream, n);
	}
	return false;
}

static void read_pieces(struct input *in, unsigned int reads)
{
	size_t room;

	for (unsigned int i = 0; i < reads && !in->ended; i++) {
		uint8_t *to = stream__room(in->stream, &room);
		ssize_t n = to ? read(in->fd, to, room) : 0;

		if (!to)
			log_error("ship: out of memory: no more frames are read");
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			end_frames(in);
			break;
		}
		/* A piece is shorter than the room for it: only EAGAIN says that there is no more. */
		in->ship->now = loop__now();
		stream__feed(in->stream, (size_t)n);
	}
}

static void on_frames(void *arg, int fd, uint32_t events)
{
	struct input *in = arg;
	uint8_t byte;

	if (in->frames) {
		in->closed = !read(fd, &byte, sizeof(byte));
		in->more = true;
	} else {
		read_pieces(in, READS_A_TURN);
	}
}

/*
 * Woken for frames: until there are none, with a turn for the others in between. True: not all were taken that
 * may be.
 */
static bool frames_turn(struct input *in)
{
	if (!in->more || in->ended)
		return false;
	in->more = !take_frames(in, BLOCKS_A_TURN) || !frames__sleep(in->frames);
	if (!in->more && in->closed)
		end_frames(in);
	/* The sink that is crowded wakes us when it is not any more. */
	return in->more && !in->ended && !must_wait(in);
}

static bool frames_turns(struct ship *s)
{
	bool more = false;

	for (unsigned int i = 0; i < s->n_inputs; i++)
		more = frames_turn(&s->inputs[i]) || more;
	return more;
}

/* What was written by now is still on its way, and no more is waited for. */
static void take_the_rest(struct ship *s)
{
	for (unsigned int i = 0; i < s->n_inputs; i++) {
		struct input *in = &s->inputs[i];

		if (in->frames)
			take_frames(in, BLOCKS_AT_THE_END);
		else
			read_pieces(in, READS_AT_THE_END);
		end_frames(in);
	}
}

static void on_control(void *arg, int fd, uint32_t events)
{
	char body[CONTROL_MAX_BYTES];
	enum control_type type;
	struct ship *s = arg;
	long n;

	while ((n = control__receive(fd, &type, body, sizeof(body))) >= 0 || n == -EPROTO) {
		if (n >= 0 && type == CONTROL_FINISH)
			take_the_rest(s);
	}
	/* The parent has gone: frames will end by themselves. */
	if (n != -EAGAIN)
		loop__unwatch(s->loop, fd);
}

static struct account_sink *account_of(struct account *account, const char *name)
{
	struct account_sink *free_one = NULL;

	for (uint32_t i = 0; i < ACCOUNT_SINKS_MAX; i++) {
		struct account_sink *a = &account->sinks[i];

		if (!strncmp(a->name, name, sizeof(a->name)))
			return a;
		if (!free_one && !*a->name)
			free_one = a;
	}
	if (free_one)
		snprintf(free_one->name, sizeof(free_one->name), "%s", name);
	return free_one;
}

/*
 * What was handed to the ship before this one and did not end any other way went with it. Not by
 * its gauge: it may have been killed between two counters.
 */
static void count_restart(struct account_sink *a)
{
	uint64_t ended = a->unsampled + a->acked + a->rejected_partial + a->rejected_status +
			 a->dropped_queue_full + a->dropped_too_large + a->dropped_retries +
			 a->dropped_shutdown + a->dropped_write + a->dropped_restart;

	a->queued = 0;
	if (a->spans > ended)
		a->dropped_restart += a->spans - ended;
}

static struct sink *make_sink(struct ship *s, const struct ship_sink_config *config,
			      struct account *account, struct err *err)
{
	struct account_sink *a = account_of(account, config->name);

	if (!a) {
		err__set(err, -ENOSPC, "the account has no room for the sink %s", config->name);
		return NULL;
	}
	count_restart(a);
	switch (config->type) {
	case SHIP_CONSOLE:
		return sink_console__new(&config->console, a, s->loop, err);
	case SHIP_FILE:
		return sink_file__new(&config->file, a, s->loop, err);
	case SHIP_STORE:
		return sink_store__new(&config->store, a, s->loop, err);
	default:
		if (!s->transfers)
			s->transfers = transfers__new(s->loop);
		if (s->transfers)
			return sink_otlp__new(&config->otlp, a, s->transfers, err);
		err__set(err, -ENOMEM, "libcurl cannot be started");
		return NULL;
	}
}

static int add_input(struct ship *s, int fd, struct frames *frames, bool patient, struct err *err)
{
	struct input *in = &s->inputs[s->n_inputs++];
	int ret;

	*in = (struct input){ .ship = s, .frames = frames, .fd = fd, .patient = patient };
	in->stream = stream__new(on_span, s);
	if (!in->stream)
		return err__set(err, -ENOMEM, "ship: out of memory");
	if (frames)
		stream__on_pass(in->stream, on_pass, frames);
	in->more = frames; /* from before us */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	ret = loop__watch(s->loop, fd, EPOLLIN, on_frames, in);
	if (ret == -EPERM) /* a regular file: always ready */
		read_pieces(in, READS_OF_A_FILE);
	else if (ret)
		return err__set(err, ret, "ship: the frames' pipe cannot be watched: %s",
				strerror(-ret));
	return 0;
}

static int set_up(struct ship *s, const struct ship_config *config, const struct ship_input *inputs,
		  unsigned int n_inputs, struct account *account, struct err *err)
{
	int ret = 0;

	s->loop = loop__new();
	if (!s->loop)
		return err__set(err, -ENOMEM, "ship: out of memory");
	for (uint32_t i = 0; i < config->n_sinks; i++) {
		struct sink *sink = make_sink(s, &config->sinks[i], account, err);

		if (!sink)
			return -EINVAL;
		s->sinks[s->n_sinks++] = sink;
	}
	for (unsigned int i = 0; i < n_inputs && i < INPUTS_MAX && !ret; i++)
		ret = add_input(s, inputs[i].fd, inputs[i].frames, i, err);
	if (ret)
		return ret;
	ret = s->control_fd < 0 ? 0 : loop__watch(s->loop, s->control_fd, EPOLLIN, on_control, s);
	return ret ? err__set(err, ret, "ship: the control socket cannot be watched: %s",
			      strerror(-ret)) :
		     0;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return !a ? b : !b ? a : a < b ? a : b;
}

static uint64_t next_timer(const struct ship *s)
{
	uint64_t next = s->transfers ? transfers__timer(s->transfers) : 0;

	for (uint32_t i = 0; i < s->n_sinks; i++)
		next = earlier(next, s->sinks[i]->ops->timer(s->sinks[i]));
	return next;
}

static void work(struct ship *s)
{
	s->now = loop__now();
	if (s->transfers)
		transfers__work(s->transfers, s->now);
	for (uint32_t i = 0; i < s->n_sinks; i++)
		s->sinks[i]->ops->work(s->sinks[i], s->now);
	if (loop__stop_wanted(s->loop) >= (s->n_sinks > 1 ? STOP_ALL : STOP_SINK) &&
	    !s->stop_told && s->control_fd >= 0)
		s->stop_told = !control__send(s->control_fd, CONTROL_LIMIT, NULL, 0);
}

static bool busy(const struct ship *s)
{
	for (uint32_t i = 0; i < s->n_sinks; i++)
		if (s->sinks[i]->ops->busy(s->sinks[i]))
			return true;
	return false;
}

static int run(struct ship *s, const sigset_t *mask)
{
	bool more;
	int ret;

	while (!ended(s)) {
		if (terminated) {
			take_the_rest(s);
			break;
		}
		more = frames_turns(s);
		if (ended(s))
			break;
		ret = loop__run_once(s->loop, more ? AT_ONCE : next_timer(s), mask);
		if (ret && ret != -EINTR)
			return ret;
		work(s);
	}
	return 0;
}

static void flush(struct ship *s, const sigset_t *mask)
{
	uint64_t until = loop__now() + SHIP_FLUSH_MS * 1000000ull;

	s->now = loop__now();
	for (uint32_t i = 0; i < s->n_sinks; i++)
		s->sinks[i]->ops->finish(s->sinks[i], s->now);
	while (busy(s) && loop__now() < until) {
		int ret = loop__run_once(s->loop, earlier(next_timer(s), until), mask);

		if (ret && ret != -EINTR)
			break;
		work(s);
	}
	for (uint32_t i = 0; i < s->n_sinks; i++)
		s->sinks[i]->ops->abandon(s->sinks[i]);
}

static void tear_down(struct ship *s)
{
	for (uint32_t i = 0; i < s->n_sinks; i++)
		s->sinks[i]->ops->free(s->sinks[i]);
	transfers__free(s->transfers);
	for (unsigned int i = 0; i < s->n_inputs; i++)
		stream__free(s->inputs[i].stream);
	loop__free(s->loop);
}

/* SIGTERM and SIGINT are let in only while the loop waits, so that none gets lost in between. */
static void set_signals(sigset_t *ret_waiting, sigset_t *ret_before)
{
	struct sigaction action = { .sa_handler = on_signal };
	sigset_t block;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGTERM);
	sigaddset(&block, SIGINT);
	sigprocmask(SIG_BLOCK, &block, ret_before);
	*ret_waiting = *ret_before;
	sigdelset(ret_waiting, SIGTERM);
	sigdelset(ret_waiting, SIGINT);
	sigaction(SIGTERM, &action, NULL);
	/* Ctrl-C reaches the whole group of processes: the parent decides when frames end. */
	signal(SIGINT, SIG_IGN);
}

int ship__run(const struct ship_config *config, const struct ship_input *inputs,
	      unsigned int n_inputs, int control_fd, struct account *account, struct err *err)
{
	struct ship s = { .control_fd = control_fd };
	sigset_t waiting, before;
	uint64_t skipped = 0;
	int ret;

	terminated = 0;
	set_signals(&waiting, &before);
	ret = set_up(&s, config, inputs, n_inputs, account, err);
	if (!ret) {
		ret = run(&s, &waiting);
		if (ret)
			err__set(err, ret, "ship: waiting for events failed: %s", strerror(-ret));
		flush(&s, &waiting);
		for (unsigned int i = 0; i < s.n_inputs; i++)
			skipped += stream__skipped(s.inputs[i].stream);
		if (skipped)
			log_warn("ship: %llu bytes of the stream were no frames and were passed "
				 "over",
				 (unsigned long long)skipped);
	}
	tear_down(&s);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return ret;
}
