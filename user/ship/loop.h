/* SPDX-License-Identifier: Apache-2.0 */
/* The role's one epoll: descriptors with a callback. Sources are told apart by descriptor. */
#ifndef SONDE_SHIP_LOOP_H
#define SONDE_SHIP_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct loop;

struct loop *loop__new(void);
void loop__free(struct loop *loop);

/*
 * Watches fd for epoll events; a second call for the same fd replaces the first. 0, -EPERM: a
 * file that is always ready (a regular file, /dev/null), or another negative errno.
 */
int loop__watch(struct loop *loop, int fd, uint32_t events,
		void (*ready)(void *arg, int fd, uint32_t events), void *arg);
void loop__unwatch(struct loop *loop, int fd);

/*
 * Waits until until_ns (CLOCK_MONOTONIC, 0: for ever) or events, and calls back. mask is what is
 * blocked while it waits. 0, -EINTR: a signal came, or another negative errno.
 */
int loop__run_once(struct loop *loop, uint64_t until_ns, const sigset_t *mask);

/* CLOCK_MONOTONIC, ns. */
uint64_t loop__now(void);

/*
 * Asked for by a sink: there is no use in going on. For all (-n N was reached), or for this sink
 * alone (its reader has gone): then it counts where there is no other.
 */
enum loop_stop { STOP_NONE = 0, STOP_SINK, STOP_ALL };
void loop__want_stop(struct loop *loop, enum loop_stop stop);
enum loop_stop loop__stop_wanted(const struct loop *loop);

#endif
