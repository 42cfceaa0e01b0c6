/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tier fentry: cheapest where trampolines are and preemption is none or voluntary. Typed pointers
 * are loaded directly; connections live in socket storage (5.11 and newer).
 */
#define SONDE_DIRECT 1

#include "lib/bypass.h"
#include "lib/unix_call.h"

char LICENSE[] SEC("license") = "GPL";

SEC("fentry/tcp_sendmsg_locked")
int BPF_PROG(on_sendmsg, struct sock *sk, struct msghdr *msg, unsigned long size)
{
	entry_send(sk, msg, size);
	return 0;
}

SEC("fentry/do_tcp_sendpages")
int BPF_PROG(on_sendpages, struct sock *sk, void *page, int offset, unsigned long size)
{
	entry_sendpage(sk, size);
	return 0;
}

SEC("fentry/tcp_recvmsg")
int BPF_PROG(on_recvmsg, struct sock *sk, struct msghdr *msg)
{
	__u64 flags = ctx[3];

	/* up to 5.18 `nonblock` stands before them */
	barrier_var(flags);
	if (settings.recv_args > 5)
		flags = ctx[4];
	entry_recv(sk, msg, flags);
	return 0;
}

SEC("fentry/tcp_cleanup_rbuf")
int BPF_PROG(on_cleanup_rbuf, struct sock *sk, int copied)
{
	entry_recv_done(sk, copied);
	return 0;
}

SEC("fentry/mptcp_sendmsg")
int BPF_PROG(on_mptcp_send, struct sock *sk, struct msghdr *msg, unsigned long size)
{
	bypass_mptcp(sk, size);
	return 0;
}

SEC("fentry/tcp_bpf_sendmsg_redir")
int BPF_PROG(on_redirect, struct sock *sk)
{
	__u64 msg = ctx[1];

	/* from 6.1 on `ingress` stands before it */
	barrier_var(msg);
	if (bpf_core_field_exists(struct sk_psock, redir_ingress))
		msg = ctx[2];
	bypass_redirect(sk, (const struct sk_msg *)msg);
	return 0;
}

/* probe loads the first of these whose function there is. */
SEC("fentry/__sk_msg_recvmsg")
int BPF_PROG(on_queue, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	     int flags)
{
	bypass_queue(sk, psock, flags);
	return 0;
}

SEC("fentry/sk_msg_recvmsg")
int BPF_PROG(on_queue_513, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	     int flags)
{
	bypass_queue(sk, psock, flags);
	return 0;
}

SEC("fentry/__tcp_bpf_recvmsg")
int BPF_PROG(on_queue_510, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	     int flags)
{
	bypass_queue(sk, psock, flags);
	return 0;
}

SEC("fentry/unix_stream_sendmsg")
int BPF_PROG(on_unix_send, struct socket *socket, struct msghdr *msg, unsigned long size)
{
	unix_enter(socket->sk, msg, size, 0, true);
	return 0;
}

SEC("fexit/unix_stream_sendmsg")
int BPF_PROG(on_unix_sent, struct socket *socket, struct msghdr *msg, unsigned long size, int ret)
{
	unix_leave_on(socket->sk, ret, true);
	return 0;
}

SEC("fentry/unix_stream_sendpage")
int BPF_PROG(on_unix_page, struct socket *socket, void *page, int offset, unsigned long size)
{
	unix_page(socket->sk, size);
	return 0;
}

SEC("fexit/unix_stream_sendpage")
int BPF_PROG(on_unix_paged, struct socket *socket, void *page, int offset, unsigned long size,
	     int flags, long ret)
{
	unix_leave_on(socket->sk, ret, true);
	return 0;
}

SEC("fentry/unix_stream_recvmsg")
int BPF_PROG(on_unix_recv, struct socket *socket, struct msghdr *msg, unsigned long size, int flags)
{
	unix_enter(socket->sk, msg, 0, flags, false);
	return 0;
}

SEC("fexit/unix_stream_recvmsg")
int BPF_PROG(on_unix_received, struct socket *socket, struct msghdr *msg, unsigned long size,
	     int flags, int ret)
{
	unix_leave_on(socket->sk, ret, false);
	return 0;
}

SEC("fentry/unix_release")
int BPF_PROG(on_unix_release, struct socket *socket)
{
	struct sock *sk = socket->sk;

	if (sk)
		unix_gone(sk);
	return 0;
}

SEC("fentry/unix_stream_connect")
int BPF_PROG(on_unix_connect, struct socket *socket)
{
	unix_connects(socket->sk);
	return 0;
}

SEC("fentry/unix_socketpair")
int BPF_PROG(on_unix_pair, struct socket *a, struct socket *b)
{
	unix_pairs(a->sk, b->sk);
	return 0;
}
