/* SPDX-License-Identifier: GPL-2.0-only */
/* Who is traced. The first question, so the cheapest: one lookup for whoever is not. */
#ifndef SONDE_BPF_SCOPE_H
#define SONDE_BPF_SCOPE_H

#include "account.h"

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

/* Whether what the current thread does on this socket is traced. */
static __always_inline bool scope_has(const struct sock *sk, __u32 tgid)
{
	__u32 *in = bpf_map_lookup_elem(&scope_pids, &tgid);

	if (in)
		return *in != SONDE_PID_OWN;
	if (!settings.scope)
		return true;
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

#endif
