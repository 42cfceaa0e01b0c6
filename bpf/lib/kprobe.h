/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tier kprobe: every distribution kernel from 5.10 on. Kprobe programs are not preempted and miss
 * nothing; they know no socket storage, so connections are kept in a hash by socket address.
 *
 * Built twice: kprobe.bpf.c reads the kernel's fields by a helper, of which each call costs about a
 * hundred instructions; kprobe_typed.bpf.c loads them, where the kernel can type a pointer (6.2).
 */
#ifndef SONDE_BPF_KPROBE_H
#define SONDE_BPF_KPROBE_H

#include "bypass.h"
#include "unix_call.h"

char LICENSE[] SEC("license") = "GPL";

/* Whether the current thread (id) is in scope on the socket that the function's first argument is. */
#define IN_SCOPE(ctx, sk, id)                                                                      \
	({                                                                                         \
		enum scope is_;                                                                    \
                                                                                                   \
		id = bpf_get_current_pid_tgid();                                                   \
		is_ = scope_of(id >> 32);                                                          \
		sk = is_ == SCOPE_OUT ? NULL : TYPED(struct sock, PT_REGS_PARM1(ctx));             \
		is_ == SCOPE_IN || (is_ == SCOPE_ASK && scope_ask(sk));                            \
	})

SEC("kprobe/tcp_sendmsg_locked")
int on_sendmsg(struct pt_regs *ctx)
{
	struct sock *sk;
	__u64 id;

	if (!IN_SCOPE(ctx, sk, id))
		return 0;
	entry_send_of(sk, TYPED(struct msghdr, PT_REGS_PARM2(ctx)), PT_REGS_PARM3(ctx), id);
	return 0;
}

SEC("kprobe/do_tcp_sendpages")
int BPF_KPROBE(on_sendpages, struct sock *sk, void *page, int offset, unsigned long size)
{
	entry_sendpage(TYPED(struct sock, sk), size);
	return 0;
}

SEC("kprobe/tcp_recvmsg")
int on_recvmsg(struct pt_regs *ctx)
{
	struct sock *sk;
	__u64 id;

	if (!IN_SCOPE(ctx, sk, id))
		return 0;
	entry_recv_of(sk, TYPED(struct msghdr, PT_REGS_PARM2(ctx)), 0);
	return 0;
}

SEC("kprobe/tcp_cleanup_rbuf")
int on_cleanup_rbuf(struct pt_regs *ctx)
{
	struct sock *sk;
	__u64 id;

	if (!IN_SCOPE(ctx, sk, id))
		return 0;
	entry_recv_done_of(sk, (int)PT_REGS_PARM2(ctx), id);
	return 0;
}

SEC("kprobe/mptcp_sendmsg")
int BPF_KPROBE(on_mptcp_send, struct sock *sk, struct msghdr *msg, unsigned long size)
{
	bypass_mptcp(TYPED(struct sock, sk), size);
	return 0;
}

SEC("kprobe/tcp_bpf_sendmsg_redir")
int BPF_KPROBE(on_redirect, struct sock *sk)
{
	__u64 msg = PT_REGS_PARM2(ctx);

	/* from 6.1 on `ingress` stands before it */
	barrier_var(msg);
	if (bpf_core_field_exists(struct sk_psock, redir_ingress))
		msg = PT_REGS_PARM3(ctx);
	bypass_redirect(TYPED(struct sock, sk), TYPED(struct sk_msg, msg));
	return 0;
}

/* probe loads the first of these whose function there is. */
SEC("kprobe/__sk_msg_recvmsg")
int BPF_KPROBE(on_queue, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	       int flags)
{
	bypass_queue(TYPED(struct sock, sk), TYPED(struct sk_psock, psock), flags);
	return 0;
}

SEC("kprobe/sk_msg_recvmsg")
int BPF_KPROBE(on_queue_513, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	       int flags)
{
	bypass_queue(TYPED(struct sock, sk), TYPED(struct sk_psock, psock), flags);
	return 0;
}

SEC("kprobe/__tcp_bpf_recvmsg")
int BPF_KPROBE(on_queue_510, struct sock *sk, struct sk_psock *psock, struct msghdr *msg, int len,
	       int flags)
{
	bypass_queue(TYPED(struct sock, sk), TYPED(struct sk_psock, psock), flags);
	return 0;
}

SEC("kprobe/unix_stream_sendmsg")
int BPF_KPROBE(on_unix_send, struct socket *socket, struct msghdr *msg, unsigned long size)
{
	unix_enter(FIELD(TYPED(struct socket, socket), sk), TYPED(struct msghdr, msg), size, 0,
		   true);
	return 0;
}

SEC("kretprobe/unix_stream_sendmsg")
int BPF_KRETPROBE(on_unix_sent, long ret)
{
	unix_leave(ret, true);
	return 0;
}

SEC("kprobe/unix_stream_sendpage")
int BPF_KPROBE(on_unix_page, struct socket *socket, void *page, int offset, unsigned long size)
{
	unix_page(FIELD(TYPED(struct socket, socket), sk), size);
	return 0;
}

SEC("kretprobe/unix_stream_sendpage")
int BPF_KRETPROBE(on_unix_paged, long ret)
{
	unix_leave(ret, true);
	return 0;
}

SEC("kprobe/unix_stream_read_actor")
int BPF_KPROBE(on_unix_copy, void *skb, int skip, int chunk, struct unix_stream_read_state *state)
{
	unix_copy(TYPED(struct unix_stream_read_state, state), chunk);
	return 0;
}

SEC("kretprobe/unix_stream_read_actor")
int BPF_KRETPROBE(on_unix_copied, long ret)
{
	unix_leave(ret, false);
	return 0;
}

SEC("kprobe/unix_stream_recvmsg")
int BPF_KPROBE(on_unix_recv, struct socket *socket, struct msghdr *msg, unsigned long size,
	       int flags)
{
	unix_receive(FIELD(TYPED(struct socket, socket), sk), flags);
	return 0;
}

/*
 * Where the compiler left no such function: the return of the whole call, with as many instances
 * as the kernel gives. probe loads either these two or the three above.
 */
SEC("kprobe/unix_stream_recvmsg")
int BPF_KPROBE(on_unix_wait, struct socket *socket, struct msghdr *msg, unsigned long size,
	       int flags)
{
	unix_enter(FIELD(TYPED(struct socket, socket), sk), TYPED(struct msghdr, msg), 0, flags,
		   false);
	return 0;
}

SEC("kretprobe/unix_stream_recvmsg")
int BPF_KRETPROBE(on_unix_received, long ret)
{
	unix_leave(ret, false);
	return 0;
}

SEC("kprobe/unix_shutdown")
int BPF_KPROBE(on_unix_shutdown, struct socket *socket, int how)
{
	if (how > 0) /* not of reading alone */
		unix_shuts(FIELD(TYPED(struct socket, socket), sk));
	return 0;
}

SEC("kprobe/unix_release")
int BPF_KPROBE(on_unix_release, struct socket *socket)
{
	struct sock *sk = FIELD(TYPED(struct socket, socket), sk);

	if (sk) {
		unix_shuts(sk);
		unix_gone(sk);
	}
	return 0;
}

SEC("kprobe/unix_stream_connect")
int BPF_KPROBE(on_unix_connect, struct socket *socket)
{
	unix_connects(FIELD(TYPED(struct socket, socket), sk));
	return 0;
}

SEC("kprobe/unix_socketpair")
int BPF_KPROBE(on_unix_pair, struct socket *a, struct socket *b)
{
	unix_pairs(FIELD(TYPED(struct socket, a), sk), FIELD(TYPED(struct socket, b), sk));
	return 0;
}

/*
 * Lives by kprobes, too, where the functions are there: raw tracepoints miss hits on preemptible
 * kernels. probe loads either these or the tracepoints of life.h, each by itself.
 */
SEC("kprobe/tcp_set_state")
int BPF_KPROBE(kp_set_state, struct sock *sk, int to)
{
	const struct sock *typed = TYPED(struct sock, sk);

	life_set_state(typed, FIELD(typed, __sk_common.skc_state), to);
	return 0;
}

SEC("kprobe/tcp_v4_destroy_sock")
int BPF_KPROBE(kp_destroy_sock, struct sock *sk)
{
	life_destroy_sock(TYPED(struct sock, sk));
	return 0;
}

SEC("kprobe/wake_up_new_task")
int BPF_KPROBE(kp_fork, struct task_struct *child)
{
	life_fork(this_task(), TYPED(struct task_struct, child));
	return 0;
}

SEC("kprobe/exit_files")
int BPF_KPROBE(kp_exit, struct task_struct *task)
{
	life_exit(TYPED(struct task_struct, task));
	return 0;
}

SEC("kprobe/finalize_exec")
int BPF_KPROBE(kp_exec)
{
	life_exec(this_task());
	return 0;
}

#endif
