/* SPDX-License-Identifier: GPL-2.0-only */
/* One call that moved bytes through a socket, as an adapter hands it to capture(). */
#ifndef SONDE_BPF_HIT_H
#define SONDE_BPF_HIT_H

#include "account.h"

/*
 * What the programs pass on to each other about it. The numbers are in the thread's own memory
 * (struct work), not on the stack: a map's memory is nothing that the verifier follows, so all the
 * ways that lead to a place are one state, and it is nobody else's.
 */
struct hit {
	struct sonde_kcounters *k;
	struct conn *conn;
	struct direction *dir, *other;
	struct thread *thread;
	struct work *w; /* the thread's */
	const struct sock *sk;
	bool tx;
};

#endif
