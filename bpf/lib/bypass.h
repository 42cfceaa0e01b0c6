/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that never come by TCP's own functions, where those are hooked: what a sockmap redirects, and
 * multipath TCP. They are counted; nothing of them is read.
 *
 *   tcp_bpf_sendmsg_redir   a program has sent the caller's bytes to another socket
 *   __sk_msg_recvmsg        bytes from the queue beside the stream, to the program
 *   mptcp_sendmsg           its subflows write without any hook
 */
#ifndef SONDE_BPF_BYPASS_H
#define SONDE_BPF_BYPASS_H

#include "entry.h"

/* What this socket's program reads and writes is not its stream. */
static __always_inline void not_the_stream(struct sonde_kcounters *k, const struct sock *sk)
{
	struct conn *conn = conn_find(sk);

	if (conn && conn->id)
		conn_give_up(k, conn);
}

static __always_inline void bypass_redirect(const struct sock *to, const struct sk_msg *msg)
{
	const struct sock *from = FIELD(msg, sk);
	struct sonde_kcounters *k;

	if (!scope_has(from ?: to, bpf_get_current_pid_tgid() >> 32))
		return;
	k = counters();
	if (!k || !is_tcp(to))
		return;
	count(k, unseen_sockmap, 1);
	if (from)
		not_the_stream(k, from);
}

static __always_inline void bypass_queue(const struct sock *sk, const struct sk_psock *psock,
					 __u32 flags)
{
	__u64 head = (__u64)psock + bpf_core_field_offset(struct sk_psock, ingress_msg);
	struct sonde_kcounters *k;

	if ((flags & KMSG_PEEK) || (__u64)FIELD(psock, ingress_msg.next) == head ||
	    !scope_has(sk, bpf_get_current_pid_tgid() >> 32))
		return;
	k = counters();
	if (!k || !is_tcp(sk))
		return;
	count(k, unseen_sockmap, 1);
	not_the_stream(k, sk);
}

static __always_inline void bypass_mptcp(const struct sock *sk, __u64 size)
{
	struct sonde_kcounters *k;

	if (!size || !scope_has(sk, bpf_get_current_pid_tgid() >> 32))
		return;
	k = counters();
	if (k)
		count(k, unseen_mptcp, 1);
}

#endif
