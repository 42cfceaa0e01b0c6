/* SPDX-License-Identifier: GPL-2.0-only */
/* What a kernel's verifier walks: how long that takes is most of the time from start to first hook. */
#ifndef SONDE_BPF_WALK_H
#define SONDE_BPF_WALK_H

/*
 * A function that a verifier walks once, and not again at each of its calls: a global one. It takes
 * numbers alone (5.10 knows no more), and nothing is known of what it returns.
 */
#ifdef __bpf__
#define WALKED_ONCE __attribute__((noinline))
#else
#define WALKED_ONCE static inline
#endif

#endif
