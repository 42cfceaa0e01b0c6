/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel side's counters. Atomic: a program in a softirq, or a preempted one, may interrupt
 * another that adds to the same number.
 */
#ifndef SONDE_BPF_ACCOUNT_H
#define SONDE_BPF_ACCOUNT_H

#include "compat.h"

static __always_inline struct sonde_kcounters *counters(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&kcounters, &cpu);
}

#define count(k, name, n) ((void)__sync_fetch_and_add(&(k)->name, (__u64)(n)))

#endif
