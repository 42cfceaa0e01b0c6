// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_worker.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define STACK_BYTES (256 * 1024)

enum { RUNNING, DONE, GIVEN_UP };

/*
 * A thread, and what it is at. It is kept: on a busy machine one that wakes up gets a processor at
 * once, a new one only in its turn, and who is to be looked at may have ended by then.
 */
struct worker {
	sem_t begun, ended;
	void (*work)(void *job);
	void (*release)(void *job);
	void *job;
	int state; /* whoever comes second cleans up */
};

static struct worker *waiting; /* NULL: the last one was given up, or there was none yet */
static unsigned int stuck;

static void sem_wait_whole(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void free_worker(struct worker *worker)
{
	sem_destroy(&worker->begun);
	sem_destroy(&worker->ended);
	free(worker);
}

static void *run(void *arg)
{
	struct worker *worker = arg;

	for (;;) {
		sem_wait_whole(&worker->begun);
		worker->work(worker->job);
		if (__atomic_exchange_n(&worker->state, DONE, __ATOMIC_ACQ_REL) == GIVEN_UP)
			break;
		sem_post(&worker->ended);
	}
	worker->release(worker->job);
	free_worker(worker);
	__atomic_sub_fetch(&stuck, 1, __ATOMIC_RELAXED);
	return NULL;
}

/* Signals are for the thread that waits. */
static int start(struct worker *worker)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int err;

	if (pthread_attr_init(&attr))
		return -ENOMEM;
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	err = pthread_create(&thread, &attr, run, worker);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -err;
}

static struct worker *worker_new(void)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	sem_init(&worker->begun, 0, 0);
	sem_init(&worker->ended, 0, 0);
	if (start(worker)) {
		free_worker(worker);
		return NULL;
	}
	return worker;
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

/* False: the time is over. */
static bool wait_until(sem_t *sem, const struct timespec *until)
{
	while (sem_clockwait(sem, CLOCK_MONOTONIC, until))
		if (errno != EINTR)
			return false;
	return true;
}

int worker__run(void (*work)(void *job), void *job, void (*release)(void *job),
		unsigned int timeout_ms)
{
	struct timespec until = deadline(timeout_ms);
	struct worker *worker = waiting;

	if (worker__stuck() >= WORKER_STUCK_MAX)
		return -EAGAIN;
	if (!worker)
		worker = waiting = worker_new();
	if (!worker)
		return -EAGAIN;
	worker->work = work;
	worker->release = release;
	worker->job = job;
	worker->state = RUNNING;
	sem_post(&worker->begun);
	if (wait_until(&worker->ended, &until))
		return 0;
	/* A machine that stood still has used that up before the worker ran at all. */
	until = deadline(timeout_ms);
	if (wait_until(&worker->ended, &until))
		return 0;
	__atomic_add_fetch(&stuck, 1, __ATOMIC_RELAXED);
	if (__atomic_exchange_n(&worker->state, GIVEN_UP, __ATOMIC_ACQ_REL) == DONE) {
		/* it came just now, after all */
		__atomic_sub_fetch(&stuck, 1, __ATOMIC_RELAXED);
		sem_wait_whole(&worker->ended);
		return 0;
	}
	waiting = NULL;
	return -ETIMEDOUT;
}

unsigned int worker__stuck(void)
{
	return __atomic_load_n(&stuck, __ATOMIC_RELAXED);
}
