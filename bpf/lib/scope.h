/* SPDX-License-Identifier: GPL-2.0-only */
/* Who is traced. The first question, so the cheapest: one lookup for whoever is not. */
#ifndef SONDE_BPF_SCOPE_H
#define SONDE_BPF_SCOPE_H

#include "account.h"

static __always_inline __u64 *scope_cell(__u32 tgid)
{
	__u32 index = tgid & (SONDE_SCOPE_CELLS - 1);

	return bpf_map_lookup_elem(&scope_cells, &index);
}

/* SONDE_PID_*: what scope_pids says of a process; 0: nothing. */
static __always_inline __u32 scope_pid(__u32 tgid)
{
	__u64 *cell = scope_cell(tgid), is;
	__u32 *how;

	if (!cell)
		return 0;
	is = *(volatile __u64 *)cell;
	if (!is)
		return 0;
	if (is == SONDE_SCOPE_CELL(tgid, SONDE_PID_IN))
		return SONDE_PID_IN;
	if (is - SONDE_SCOPE_ONE < SONDE_SCOPE_ONE)
		return (__u32)is >> 2 == tgid ? is & 3 : 0;
	how = bpf_map_lookup_elem(&scope_pids, &tgid);
	return how ? *how : 0;
}

static __always_inline void scope_drop(__u32 tgid)
{
	__u32 *found = bpf_map_lookup_elem(&scope_pids, &tgid), how;
	__u64 *cell = scope_cell(tgid);

	if (!found || !cell)
		return;
	how = *found;
	if (!bpf_map_delete_elem(&scope_pids, &tgid))
		__sync_fetch_and_add(cell, -SONDE_SCOPE_CELL(tgid, how));
}

/* A new process is in scope. False: there is no room for it. */
static __always_inline bool scope_put(__u32 tgid)
{
	__u64 *cell = scope_cell(tgid);
	__u32 in = SONDE_PID_IN;

	/* whoever had the number before: his end was missed */
	scope_drop(tgid);
	if (!cell || bpf_map_update_elem(&scope_pids, &tgid, &in, BPF_NOEXIST))
		return false;
	__sync_fetch_and_add(cell, SONDE_SCOPE_CELL(tgid, SONDE_PID_IN));
	return true;
}

static __always_inline bool scope_cgroup(void)
{
#pragma unroll
	for (int i = 0; i < SONDE_SCOPE_CGROUPS_MAX; i++)
		if (bpf_current_task_under_cgroup(&scope_cgroups, i) == 1)
			return true;
	return false;
}

static __always_inline bool scope_port(const struct sock *sk)
{
	__u16 local = FIELD(sk, __sk_common.skc_num);
	__u16 remote = __builtin_bswap16(FIELD(sk, __sk_common.skc_dport));

	return bpf_map_lookup_elem(&scope_ports, &local) ||
	       bpf_map_lookup_elem(&scope_ports, &remote);
}

static __always_inline __u32 sock_netns(const struct sock *sk)
{
	return FIELD(PLAIN(struct sock, sk), __sk_common.skc_net.net, ns.inum);
}

/* Until probe has seen that its programs fire, only whom scope_pids names is in scope. */
static __always_inline bool scope_begun(void)
{
	__u32 zero = 0;
	struct sonde_switches *sw = bpf_map_lookup_elem(&switches, &zero);

	return sw && *(volatile __u32 *)&sw->begun;
}

enum scope { SCOPE_OUT = 0, SCOPE_IN, SCOPE_ASK };

/* Whether a process is traced; SCOPE_ASK: there is more to be asked. */
static __always_inline enum scope scope_of(__u32 tgid)
{
	__u32 how = scope_pid(tgid);

	if (how)
		return how == SONDE_PID_OWN ? SCOPE_OUT : SCOPE_IN;
	return settings.scope == SONDE_SCOPE_PIDS ? SCOPE_OUT : SCOPE_ASK;
}

static __always_inline bool scope_ask(const struct sock *sk)
{
	if (!settings.scope)
		return scope_begun();
	if ((settings.scope & SONDE_SCOPE_CGROUP) && scope_cgroup())
		return true;
	if ((settings.scope & SONDE_SCOPE_PORT) && scope_port(sk))
		return true;
	if (settings.scope & SONDE_SCOPE_NETNS) {
		__u32 inum = sock_netns(sk);

		if (bpf_map_lookup_elem(&scope_netns, &inum))
			return true;
	}
	return false;
}

/* Whether what the current thread does on this socket is traced. */
static __always_inline bool scope_has(const struct sock *sk, __u32 tgid)
{
	enum scope is = scope_of(tgid);

	return is == SCOPE_IN || (is == SCOPE_ASK && scope_ask(sk));
}

#endif
