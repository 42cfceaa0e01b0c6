// SPDX-License-Identifier: Apache-2.0
#include "cmd/top_view.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/command.h"
#include "cmd/look.h"
#include "ship/console/top.h"
#include "ship/store/file.h"
#include "ship/store/reader.h"

/* A screen shows so many intervals together, so that what is asked seldom does not flicker. */
#define WINDOW 5
#define WIDTH_DEFAULT 80
#define HEIGHT_DEFAULT 24

struct viewer {
	const struct top_view *view;
	struct line_style style;
	struct top top;
	struct tally window[WINDOW]; /* a ring; [at] is being filled */
	double seconds[WINDOW];
	unsigned int at;
	struct place_of {
		uint64_t partition;
		struct store_place place;
	} * places;
	unsigned int n_places;
	bool counting; /* else only the places are found */
	uint64_t frames;
	int status;
};

static volatile sig_atomic_t ended, resized;

static void on_end(int sig)
{
	ended = 1;
}

static void on_resize(int sig)
{
	resized = 1;
}

static bool never(void *arg)
{
	return ended;
}

static void count_span(void *arg, uint64_t segment, const struct row *row)
{
	struct viewer *v = arg;

	if (v->counting)
		tally__add(&v->window[v->at], row);
}

static struct store_place *place_of(struct viewer *v, uint64_t partition, bool *ret_new)
{
	struct place_of *bigger;

	*ret_new = false;
	for (unsigned int i = 0; i < v->n_places; i++)
		if (v->places[i].partition == partition)
			return &v->places[i].place;
	bigger = reallocarray(v->places, v->n_places + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	v->places = bigger;
	bigger[v->n_places] = (struct place_of){ .partition = partition };
	*ret_new = true;
	return &bigger[v->n_places++].place;
}

/* All that was added to the store since the last time. */
static void read_new(struct viewer *v)
{
	struct store_walk walk = { .stop = never, .span = count_span, .arg = v };
	struct store_files files;
	struct err err = { "" };
	int ret;

	ret = store_files__list(&files, ".", &err);
	if (ret == -EACCES && v->frames) {
		v->status = TOP_VIEW_AGAIN;
	} else if (ret) {
		fprintf(stderr, "sonde top: %s: %s\n", v->view->store, err.text);
		v->status = EXIT_FAILED;
	}
	ended |= ret != 0;
	if (ret)
		return;
	for (unsigned int i = 0; i < files.n && !ended; i++) {
		struct store_place *place;
		bool is_new;

		if (files.at[i].damaged)
			continue;
		place = place_of(v, files.at[i].number, &is_new);
		if (!place)
			continue;
		if (is_new && !v->counting)
			store__end(".", files.at[i].number, place);
		store__walk(".", files.at[i].number, place, &walk, &err);
	}
	store_files__free(&files);
}

static void put(struct viewer *v, const struct buf *out)
{
	size_t done = 0;

	while (done < out->len) {
		ssize_t n = write(STDOUT_FILENO, out->at + done, out->len - done);

		if (n < 0 && errno == EINTR && !ended)
			continue;
		if (n <= 0) {
			ended = 1;
			return;
		}
		done += (size_t)n;
	}
}

static void draw(struct viewer *v)
{
	struct winsize size = { 0 };
	struct buf out = { 0 };
	struct tally sum;
	struct top_frame frame = { .tally = &sum, .now_ns = clock__epoch_ns(), .of = v->view->of };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	frame.width = size.ws_col ? size.ws_col : WIDTH_DEFAULT;
	frame.height = size.ws_row ? size.ws_row : HEIGHT_DEFAULT;
	tally__init(&sum, 0, UINT64_MAX, 0);
	/* The one that is being filled is shown when it is full. */
	for (unsigned int i = 0; i < WINDOW; i++) {
		if (i == v->at && v->frames)
			continue;
		tally__merge(&sum, &v->window[i]);
		frame.seconds += v->seconds[i];
	}
	top__draw(&v->top, &frame, &v->style, &out);
	put(v, &out);
	tally__free(&sum);
	buf__free(&out);
}

/* An interval is over: shown, and the oldest one's place is the next one's. */
static void end_interval(struct viewer *v, double seconds)
{
	struct buf out = { 0 };

	read_new(v);
	v->seconds[v->at] = seconds;
	v->frames++;
	if (!v->view->screen) {
		top__json(&v->window[v->at], seconds, clock__epoch_ns(), &out);
		put(v, &out);
	}
	buf__free(&out);
	v->at = (v->at + 1) % WINDOW;
	tally__free(&v->window[v->at]);
	tally__init(&v->window[v->at], 0, UINT64_MAX, 0);
	v->seconds[v->at] = 0;
	if (v->view->screen)
		draw(v);
}

static void read_keys(struct viewer *v)
{
	char bytes[64];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		ended = 1; /* the terminal has gone */
	if (n > 0 && !top__keys(&v->top, bytes, (size_t)n))
		ended = 1;
	if (!ended)
		draw(v);
}

static void loop(struct viewer *v)
{
	uint64_t interval = (uint64_t)(v->view->interval_s * 1e9), begun = clock__boot_ns();

	while (!ended && (!v->view->count || v->frames < v->view->count)) {
		struct pollfd fds[2] = { { .fd = v->view->parent },
					 { .fd = STDIN_FILENO, .events = POLLIN } };
		uint64_t now = clock__boot_ns(), until = begun + interval;

		if (now >= until) {
			end_interval(v, (double)(now - begun) / 1e9);
			begun = now;
			continue;
		}
		poll(fds, v->view->keys ? 2 : 1, (int)((until - now) / 1000000) + 1);
		if (fds[0].revents)
			ended = 1;
		else if (v->view->keys && fds[1].revents)
			read_keys(v);
		if (resized && !ended) {
			resized = 0;
			draw(v);
		}
	}
}

static void take_signals(void)
{
	struct sigaction end = { .sa_handler = on_end }, resize = { .sa_handler = on_resize };

	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGINT, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	sigaction(SIGPIPE, &end, NULL);
	sigaction(SIGWINCH, &resize, NULL);
}

int top_view__run(const struct top_view *view)
{
	struct look_options look = { .command_name = "top", .store = view->store };
	struct viewer v = { .view = view, .style = look__style(), .counting = view->own };

	take_signals();
	for (unsigned int i = 0; i < WINDOW; i++)
		tally__init(&v.window[i], 0, UINT64_MAX, 0);
	v.status = look__enter(&look);
	if (!v.status && !view->own)
		read_new(&v);
	v.counting = true;
	if (!v.status && view->screen)
		draw(&v);
	if (!v.status)
		loop(&v);
	for (unsigned int i = 0; i < WINDOW; i++)
		tally__free(&v.window[i]);
	free(v.places);
	return v.status;
}
