// SPDX-License-Identifier: Apache-2.0
#include "ship/loop.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 32

struct source {
	void (*ready)(void *arg, int fd, uint32_t events);
	void *arg;
	uint32_t
		generation; /* an event that waited for a source that is gone is not for the next one */
};

struct loop {
	int epoll;
	struct source *sources; /* by descriptor */
	int n_sources;
	uint32_t generation;
	enum loop_stop stop;
};

struct loop *loop__new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0) {
		free(loop);
		return NULL;
	}
	return loop;
}

void loop__free(struct loop *loop)
{
	if (!loop)
		return;
	close(loop->epoll);
	free(loop->sources);
	free(loop);
}

static int make_room(struct loop *loop, int fd)
{
	int n = loop->n_sources ? loop->n_sources : 64;
	struct source *bigger;

	if (fd < loop->n_sources)
		return 0;
	while (n <= fd)
		n *= 2;
	bigger = reallocarray(loop->sources, (size_t)n, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	for (int i = loop->n_sources; i < n; i++)
		bigger[i] = (struct source){ 0 };
	loop->sources = bigger;
	loop->n_sources = n;
	return 0;
}

int loop__watch(struct loop *loop, int fd, uint32_t events,
		void (*ready)(void *arg, int fd, uint32_t events), void *arg)
{
	struct epoll_event event = { .events = events };
	struct source *source;
	int err = make_room(loop, fd);

	if (err)
		return err;
	source = &loop->sources[fd];
	if (!source->ready)
		source->generation = ++loop->generation;
	event.data.u64 = (uint64_t)source->generation << 32 | (uint32_t)fd;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) &&
	    (errno != ENOENT || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event)))
		return -errno;
	source->ready = ready;
	source->arg = arg;
	return 0;
}

void loop__unwatch(struct loop *loop, int fd)
{
	if (fd < 0 || fd >= loop->n_sources || !loop->sources[fd].ready)
		return;
	/* Whoever owns it may have closed it already. */
	epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
	loop->sources[fd] = (struct source){ 0 };
}

/* Rounded up: woken early, the timer would not be due yet and the loop would spin. */
static int wait_ms(uint64_t until_ns)
{
	uint64_t now = loop__now();
	uint64_t ms;

	if (!until_ns)
		return -1;
	if (until_ns <= now)
		return 0;
	ms = (until_ns - now + 999999) / 1000000;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

int loop__run_once(struct loop *loop, uint64_t until_ns, const sigset_t *mask)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_pwait(loop->epoll, events, EVENTS_MAX, wait_ms(until_ns), mask);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++) {
		int fd = (int)(uint32_t)events[i].data.u64;
		uint32_t generation = (uint32_t)(events[i].data.u64 >> 32);
		struct source source = loop->sources[fd];

		if (source.ready && source.generation == generation)
			source.ready(source.arg, fd, events[i].events);
	}
	return 0;
}

uint64_t loop__now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void loop__want_stop(struct loop *loop, enum loop_stop stop)
{
	if (stop > loop->stop)
		loop->stop = stop;
}

enum loop_stop loop__stop_wanted(const struct loop *loop)
{
	return loop->stop;
}
