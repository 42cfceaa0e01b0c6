/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps trace, ship and, where they are asked for, serve and receive running: starts them, notices their deaths, counts what died with them,
 * starts them again with back-off, and ends them in order (trace drains, then ship flushes).
 */
#ifndef SONDE_SUPERVISE_SUPERVISOR_H
#define SONDE_SUPERVISE_SUPERVISOR_H

#include <stdbool.h>

#include "base/buf.h"
#include "core/account.h"
#include "supervise/control.h"
#include "supervise/live.h"
#include "supervise/spawn.h"

#define SUPERVISED 4
enum { AT_TRACE = 0, AT_SHIP = 1, AT_SERVE = 2, AT_RECEIVE = 3 };

struct supervisor {
	struct role_process roles[SUPERVISED];
	struct spawn_fd fds[SUPERVISED][FD_MAX];
	unsigned int n_fds[SUPERVISED];
	struct account *account;
	int account_fd;
	/* [0] ship reads, [1] trace writes; kept, so that what is in between survives */
	int frames[2], frames_memory;
	/* the same between receive and ship; -1: there is no receiver */
	int received_frames[2], received_memory;
	struct account_received *received; /* NULL: there is none */
	int received_fd;
	bool untraced;	   /* there is nothing to trace: no role for it */
	struct live *live; /* what the one that serves can read; NULL: nothing is served */
	int live_fd;
	bool finishing; /* a role that ends now is not started again */
	bool ready[SUPERVISED];
	bool replacing[SUPERVISED]; /* asked to end, so that one with a new configuration begins */
};

/*
 * Makes the shared account, and the frames' memory and socket. trace_config and ship_config: what each role
 * reads from FD_CONFIG. Further descriptors of a role are added with supervisor__pass().
 */
int supervisor__new(struct supervisor *s, const struct buf *trace_config,
		    const struct buf *ship_config, struct err *err);
/* ours stays open in this process for as long as the supervisor lives. */
void supervisor__pass(struct supervisor *s, unsigned int at, int ours, int place);

/* Adds the role that serves. It reads config from FD_CONFIG and accepts from `listening`, which stays ours. */
int supervisor__serve(struct supervisor *s, const struct buf *config, int listening);
/* The account as it stands, for the one that serves; nothing where it is not there. */
void supervisor__publish(struct supervisor *s, struct view text);

/*
 * Adds the role that takes OTLP in. It accepts from http and from grpc, which stay ours; either may be -1. 0 or a
 * negative errno. Before supervisor__start().
 */
int supervisor__receive(struct supervisor *s, const struct buf *config, int http, int grpc);

/*
 * Starts them. Capture does without those that serve and receive: what keeps one from starting is said, and it is left
 * out. Waits until each is in its sandbox, or fails with what the role said.
 */
int supervisor__start(struct supervisor *s, struct err *err);

/*
 * To be called when a child has ended (its pid and wait status). True if it was one of the roles;
 * then the loss is counted and a restart is due at roles[].restart_ns.
 */
bool supervisor__reap(struct supervisor *s, pid_t pid, int status);
/* Starts what is due. Returns the CLOCK_BOOTTIME ns of the next start, 0: none. *ret_restarted: bit AT_*. */
uint64_t supervisor__tick(struct supervisor *s, unsigned int *ret_restarted);

/*
 * Gives a role a new configuration: it is asked to end in order, and one that reads the new document
 * begins at once. What is in between waits in the frames' memory. The old one stands where memory is short.
 */
int supervisor__reconfigure(struct supervisor *s, unsigned int at, const struct buf *config);

/* Drain, flush, end; at most `seconds` in all, then SIGKILL. */
void supervisor__finish(struct supervisor *s, unsigned int seconds);
/* After that: the one that serves may stay for as long as somebody looks. */
void supervisor__end_serve(struct supervisor *s);
void supervisor__free(struct supervisor *s);

#endif
