// SPDX-License-Identifier: Apache-2.0
#include "ship/sink/writer.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Memory above this is given back when nothing waits. */
#define KEEP_BYTES (1u << 20)

static void on_room(void *arg, int fd, uint32_t events)
{
	struct writer *w = arg;

	loop__unwatch(w->loop, fd);
	w->blocked = false;
	writer__work(w);
}

int writer__open(struct writer *w, int fd, struct loop *loop, struct account_sink *account)
{
	int err;

	*w = (struct writer){ .fd = fd, .loop = loop, .account = account };
	w->pending.max = 2 * WRITER_MAX_BYTES;
	/* Only to learn whether it is a file that never makes anyone wait. */
	err = loop__watch(loop, fd, EPOLLOUT, on_room, w);
	if (!err)
		loop__unwatch(loop, fd);
	w->direct = err == -EPERM;
	return err == -EPERM ? 0 : err;
}

static void count_dropped(struct writer *w, uint64_t spans, uint64_t *reason)
{
	w->account->queued -= spans;
	*reason += spans;
}

/* Marks whose bytes are all written, or (all) every one. */
static uint64_t take_marks(struct writer *w, bool all)
{
	uint64_t spans = 0;

	while (w->n_marks && (all || w->marks[w->first_mark].end <= w->written)) {
		spans += w->marks[w->first_mark].spans;
		w->first_mark++;
		w->n_marks--;
	}
	if (!w->n_marks)
		w->first_mark = 0;
	return spans;
}

static int add_mark(struct writer *w, uint64_t end, uint64_t spans)
{
	struct writer_mark *bigger;

	if (w->first_mark + w->n_marks == w->marks_cap && w->first_mark) {
		memmove(w->marks, w->marks + w->first_mark, w->n_marks * sizeof(*w->marks));
		w->first_mark = 0;
	}
	if (w->n_marks == w->marks_cap) {
		bigger = reallocarray(w->marks, w->marks_cap ? 2 * w->marks_cap : 16,
				      sizeof(*bigger));
		if (!bigger)
			return -ENOMEM;
		w->marks = bigger;
		w->marks_cap = w->marks_cap ? 2 * w->marks_cap : 16;
	}
	w->marks[w->first_mark + w->n_marks++] = (struct writer_mark){ end, spans };
	return 0;
}

static size_t waiting(const struct writer *w)
{
	return w->pending.len - w->begin;
}

/* Moving the rest to the front costs as much as the rest is long: only when that is less than half. */
static void compact(struct writer *w)
{
	if (w->begin < w->pending.len && w->begin < w->pending.len / 2)
		return;
	buf__consume(&w->pending, w->begin);
	w->begin = 0;
	if (!w->pending.len && w->pending.cap > KEEP_BYTES)
		buf__free(&w->pending);
}

void writer__put(struct writer *w, struct view lines, uint64_t spans)
{
	size_t before = w->pending.len;

	if (w->dead) {
		count_dropped(w, spans, &w->account->dropped_write);
		return;
	}
	if (w->torn && !waiting(w))
		buf__add(&w->pending, "\n", 1);
	if (waiting(w) + lines.len > WRITER_MAX_BYTES)
		w->pending.err = -EMSGSIZE;
	buf__add_view(&w->pending, lines);
	if (w->pending.err || add_mark(w, w->written + waiting(w), spans)) {
		w->pending.err = 0;
		w->pending.len = before;
		count_dropped(w, spans, &w->account->dropped_queue_full);
		return;
	}
	w->torn = false;
}

/* Bytes of an unfinished line that have been written already (a direct writer never stops in one). */
static size_t unfinished(const struct writer *w)
{
	const uint8_t *newline = w->begin ? memrchr(w->pending.at, '\n', w->begin) : NULL;

	return newline ? w->begin - (size_t)(newline + 1 - w->pending.at) : w->begin;
}

/* Writing failed: what waits is lost. A half-written line is cut off where that can be done. */
static void fail(struct writer *w, int error)
{
	off_t end, partial = (off_t)unfinished(w);

	w->error = error;
	count_dropped(w, take_marks(w, true), &w->account->dropped_write);
	w->pending.len = w->begin = 0;
	w->dead = error == EPIPE || error == EBADF || error == EIO;
	if (!w->mid_line)
		return;
	w->mid_line = false;
	end = w->direct ? lseek(w->fd, 0, SEEK_CUR) : -1;
	if (end < partial || ftruncate(w->fd, end - partial) ||
	    lseek(w->fd, end - partial, SEEK_SET) < 0)
		w->torn = true;
}

/* With room for one byte a pipe takes PIPE_BUF without blocking (pipe(7)). */
static bool has_room(const struct writer *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLOUT };

	return w->direct || poll(&p, 1, 0) > 0;
}

/* Writes until all is written or there is no room (EAGAIN); 0 or an errno. */
static int write_some(struct writer *w)
{
	while (waiting(w)) {
		size_t n = waiting(w);
		ssize_t ret;

		if (!has_room(w))
			return EAGAIN;
		if (!w->direct && n > PIPE_BUF)
			n = PIPE_BUF;
		ret = write(w->fd, w->pending.at + w->begin, n);
		if (ret < 0 && errno != EINTR)
			return errno;
		if (ret > 0) {
			w->begin += (size_t)ret;
			w->written += (uint64_t)ret;
			w->mid_line = w->pending.at[w->begin - 1] != '\n';
		}
	}
	return 0;
}

void writer__work(struct writer *w)
{
	uint64_t spans;
	int error;

	if (w->blocked || !waiting(w))
		return;
	error = write_some(w);
	spans = take_marks(w, false);
	w->account->queued -= spans;
	w->account->acked += spans;
	if (error && error != EAGAIN) {
		fail(w, error);
		return;
	}
	compact(w);
	if (error == EAGAIN)
		w->blocked = !loop__watch(w->loop, w->fd, EPOLLOUT, on_room, w);
}

bool writer__busy(const struct writer *w)
{
	return waiting(w) > 0;
}

void writer__abandon(struct writer *w)
{
	count_dropped(w, take_marks(w, true), &w->account->dropped_shutdown);
	w->pending.len = w->begin = 0;
}

void writer__close(struct writer *w)
{
	if (w->blocked)
		loop__unwatch(w->loop, w->fd);
	buf__free(&w->pending);
	free(w->marks);
}
