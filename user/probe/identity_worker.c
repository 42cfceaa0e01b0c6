// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_worker.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES (256 * 1024)

enum { RUNNING, DONE, GIVEN_UP };

struct task {
	void (*work)(void *job);
	void (*release)(void *job);
	void *job;
	int state; /* whoever comes second cleans up */
};

static unsigned int stuck;

static void *run(void *arg)
{
	struct task *task = arg;

	task->work(task->job);
	if (__atomic_exchange_n(&task->state, DONE, __ATOMIC_ACQ_REL) == GIVEN_UP) {
		task->release(task->job);
		free(task);
		__atomic_sub_fetch(&stuck, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Signals are for the thread that waits. */
static int start(struct task *task, pthread_t *ret)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int err;

	if (pthread_attr_init(&attr))
		return -ENOMEM;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(ret, &attr, run, task);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

static struct timespec deadline(unsigned int timeout_ms)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += timeout_ms / 1000;
	at.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

int worker__run(void (*work)(void *job), void *job, void (*release)(void *job),
		unsigned int timeout_ms)
{
	struct timespec until = deadline(timeout_ms);
	struct task *task;
	pthread_t thread;

	if (worker__stuck() >= WORKER_STUCK_MAX)
		return -EAGAIN;
	task = malloc(sizeof(*task));
	if (!task)
		return -EAGAIN;
	*task = (struct task){ .work = work, .release = release, .job = job, .state = RUNNING };
	if (start(task, &thread)) {
		free(task);
		return -EAGAIN;
	}
	if (!pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until)) {
		free(task);
		return 0;
	}
	__atomic_add_fetch(&stuck, 1, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&task->state, GIVEN_UP, __ATOMIC_ACQ_REL) == DONE) {
		/* it came just now, after all */
		__atomic_sub_fetch(&stuck, 1, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		free(task);
		return 0;
	}
	pthread_detach(thread);
	return -ETIMEDOUT;
}

unsigned int worker__stuck(void)
{
	return __atomic_load_n(&stuck, __ATOMIC_RELAXED);
}
