/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tier socktp: the tracepoints sock_send_length and sock_recv_length (6.3 and newer), which fire
 * after a call has moved its bytes. The program's buffer is found by the registers of the system
 * call in progress, and only where everything agrees that this firing belongs to it; else bytes
 * are counted and the reason with them.
 */
#define SONDE_DIRECT 1
#define SONDE_CAST 1
#define SONDE_SEGMENTS_IN_USER_MEMORY 1
/* A reset may close the socket between a call's copying and its firing. */
#define SONDE_FIRES_AFTERWARDS 1
/* Nothing fires when a Unix socket is released. */
#define SONDE_SWEEPS 1

#include "lib/calls.h"
#include "lib/sweep.h"
#include "lib/unix_life.h"
#include "lib/quick.h"

char LICENSE[] SEC("license") = "GPL";

/* The file at this descriptor of the current process, NULL where there is none. */
static __always_inline struct file *fd_file(struct task_struct *task, __u32 fd)
{
	struct fdtable *table = PLAIN(struct task_struct, task)->files->fdt;
	__u64 place;

	if (fd >= table->max_fds)
		return NULL;
	/*
	 * A table's element, as the verifier knows no pointers to pointers: as the field of its type
	 * in a struct that would lie around it.
	 */
	place = (__u64)table->fd + (__u64)fd * sizeof(void *) -
		bpf_core_field_offset(struct socket, file);
	return CAST(struct socket, place)->file;
}

/* The address of the socket at this descriptor of the current process; 0: there is none. */
static __always_inline __u64 fd_sock(struct task_struct *task, __u32 fd)
{
	struct file *file = fd_file(task, fd);

	return file ? (__u64)CAST(struct socket, file->private_data)->sk : 0;
}

/* Is the file at this descriptor of the current process this very socket? */
static __always_inline bool fd_is(struct task_struct *task, __u32 fd, const struct sock *sk)
{
	struct file *file = PLAIN(struct sock, sk)->sk_socket->file;

	return file && fd_file(task, fd) == file;
}

/*
 * Which message of a sendmmsg or recvmmsg call this is. The registers are the same for all of
 * them, so the thread counts. A call ends early only after an error or a short message, which are
 * seen here; recvmmsg with a timeout may end unseen, so is not followed.
 */
static __always_inline bool message_index(struct hit *hit, const struct call_regs *regs, int ret,
					  __u32 *index)
{
	struct thread *thread = hit->thread;

	if (!hit->tx && regs->arg4)
		return false;
	if (thread->vector != regs->arg1 || thread->call_number != (__u32)regs->number ||
	    thread->index >= (__u32)regs->arg2)
		thread->index = 0;
	thread->vector = regs->arg1;
	thread->call_number = regs->number;
	*index = thread->index;
	thread->index = ret <= 0 ? 0 : thread->index + 1;
	return *index < 1024;
}

static __always_inline void message_ends(struct sonde_kcounters *k)
{
	struct thread *thread = thread_get(k, false);

	if (thread)
		thread->index = 0;
}

static __always_inline bool source_message(struct hit *hit, __u64 at)
{
	__u64 segments, n;

	if (!message_segments(at, &segments, &n))
		return false;
	hit->w->source.kind = SOURCE_SEGMENTS;
	hit->w->source.at = segments;
	hit->w->source.segments = n;
	return true;
}

/* A message of which less was sent than it holds is the last of its call. */
static __always_inline void message_short(struct hit *hit)
{
	__u64 whole = 0;

	if (hit->w->source.segments > SONDE_SEGMENTS_MAX) {
		hit->w->source.kind = SOURCE_NONE;
		hit->thread->index = 0;
		return;
	}
	if (!segments_load(hit->w, 0))
		return;
	for (int i = 0; i < SONDE_SEGMENTS_MAX; i++)
		whole += hit->w->segments[i].len;
	if (hit->tx && whole != hit->w->bytes)
		hit->thread->index = 0;
}

/* Where the bytes of this firing lie, or why they cannot be looked at. */
static __noinline int source_find(struct hit *hit, int ret, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct sonde_kcounters *k = hit->k;
	struct call_regs regs;
	enum call_shape shape;
	__u32 index;

	if (task->flags & (PF_KTHREAD | PF_IO_WORKER)) {
		count(k, unseen_kernel_thread, 1);
		return 0;
	}
	if (task_compat(task)) {
		count(k, unseen_compat, 1);
		return 0;
	}
	if (!call_regs_read((struct pt_regs *)bpf_task_pt_regs(task), &regs)) {
		count(k, unseen_unknown_call, 1);
		return 0;
	}
	shape = hit->tx ? call_shape_send(regs.number) : call_shape_recv(regs.number);
	switch (shape) {
	case CALL_OTHER:
		count(k, unseen_unknown_call, 1);
		return 0;
	case CALL_IO_URING:
		count(k, unseen_io_uring, 1);
		return 0;
	case CALL_NO_BUFFER:
		count(k, unseen_no_user_buffer, 1);
		return 0;
	default:
		break;
	}
	if (flags & KMSG_TRUNC) {
		count(k, unseen_trunc, 1);
		return 0;
	}
	if (!fd_is(task, regs.fd, hit->sk)) {
		count(k, unseen_fd_mismatch, 1);
		return 0;
	}
	switch (shape) {
	case CALL_BUFFER:
		hit->w->source.kind = SOURCE_USER;
		hit->w->source.at = regs.arg1;
		break;
	case CALL_VECTOR:
		hit->w->source.kind = SOURCE_SEGMENTS;
		hit->w->source.at = regs.arg1;
		hit->w->source.segments = regs.arg2;
		break;
	case CALL_MESSAGE:
		source_message(hit, regs.arg1);
		break;
	case CALL_MESSAGES:
		if (!message_index(hit, &regs, ret, &index)) {
			count(k, unseen_unknown_call, 1);
			return 0;
		}
		if (source_message(hit, regs.arg1 + index * sizeof(struct user_mmsghdr64)))
			message_short(hit);
		break;
	default:
		break;
	}
	if (hit->w->source.kind == SOURCE_SEGMENTS && hit->w->source.segments == 1) {
		struct segment only;

		if (bpf_probe_read_user(&only, sizeof(only), (const void *)hit->w->source.at)) {
			hit->w->source.kind = SOURCE_NONE;
			return 0;
		}
		hit->w->source.kind = SOURCE_USER;
		hit->w->source.at = only.base;
	}
	return 0;
}

/*
 * What no hook saw, in both directions. There is no lock here, and a call whose bytes have passed may
 * still be about to fire: so the other direction is only noted; the next call that fires in it, or
 * the end of the connection, says what was a gap.
 */
static __always_inline void unseen_note(struct hit *hit, __u32 start, __u32 other)
{
	struct direction *dir = hit->dir;

	settle(hit->k, dir, start);
	hit->w->late = (__s32)(start - dir->stood) < 0;
	/* a gap that had passed by the last call says nothing about what has passed since */
	if ((__s32)(start - dir->stood) <= 0)
		dir->flags &= ~DIR_UNSEEN;
	if ((__s32)(other - hit->other->stood) > 0) {
		hit->other->flags |= DIR_UNSEEN;
		hit->other->stood = other;
	}
}

/*
 * The connection at a call that is its first. That bytes have moved says where it stands, but for a
 * socket in a sockmap: what is redirected has no sequence numbers, nor is it part of the stream.
 */
static __always_inline struct conn *first_enter(struct hit *hit, const struct tcp_now *now)
{
	__u32 rx = hit->tx ? 0 : hit->w->bytes, tx = hit->tx ? hit->w->bytes : 0;
	struct conn *conn;

	if (!sock_is_mapped(hit->sk))
		return conn_enter(hit->k, hit->sk, now, rx, tx);
	/* all that ever passed in this direction: then it is this call's */
	if (tx != (__u32)now->acked + now->write_seq - now->snd_una)
		tx = 0;
	if (rx != (__u32)now->received - (now->rcv_nxt - rx_seq_of(now)))
		rx = 0;
	conn = conn_enter(hit->k, hit->sk, now, rx, tx);
	if (conn && sock_is_diverted(hit->sk))
		conn_give_up(hit->k, conn);
	return conn;
}

/*
 * The numbers did not move by what this call came to. Of a socket in a sockmap: its program has
 * redirected it, held it back or changed it; else another thread's call came between, and this one
 * was accounted as a gap.
 */
static __always_inline void not_in_stream(struct hit *hit, bool first)
{
	if (!sock_is_mapped(hit->sk))
		return;
	count(hit->k, unseen_sockmap, 1);
	/* one met in mid-life: it may have been any bytes */
	if (first && !(hit->conn->flags & CONN_FROM_START))
		return;
	conn_unseen(hit);
	conn_give_up(hit->k, hit->conn);
}

/* The connection, and (TCP) where its sequence numbers place the call. False: not to be looked at. */
static __noinline int hit_place(struct hit *hit)
{
	bool is_unix = hit->sk->__sk_common.skc_family == SONDE_AF_UNIX;
	__u32 bytes = hit->w->bytes, tx, rx;
	struct tcp_now now = {};
	bool first = false;

	if (is_unix) {
		hit->conn = unix_conn(hit->k, hit->sk);
	} else {
		struct conn *known = conn_find(hit->sk);

		first = !known || !(known->flags & CONN_KNOWN);
		/* the call has returned, and has given the lock back */
		if (!(first ? tcp_now_settled(hit->k, hit->sk, &now) : tcp_now_read(hit->sk, &now)))
			return false;
		hit->conn = first ? first_enter(hit, &now) :
				    conn_enter(hit->k, hit->sk, &now, hit->tx ? 0 : bytes,
					       hit->tx ? bytes : 0);
	}
	if (!hit->conn)
		return false;
	hit->dir = hit->tx ? &hit->conn->tx : &hit->conn->rx;
	hit->other = hit->tx ? &hit->conn->rx : &hit->conn->tx;
	if (is_unix)
		return true;
	quiet_ends(hit->k, hit->conn, &now, hit->tx ? 0 : bytes, hit->tx ? bytes : 0);
	settle_whole(hit->k, &hit->conn->rx);
	settle_whole(hit->k, &hit->conn->tx);
	if (bypass_counted(hit, &now, true))
		return false;
	tx = tx_seq_of(hit->conn, &now);
	rx = rx_seq_of(&now);
	if (hit->tx)
		unseen_note(hit, tx - bytes, rx);
	else
		unseen_note(hit, rx - bytes, tx);
	if (hit->dir->seq == (hit->tx ? tx : rx) - bytes)
		return true;
	not_in_stream(hit, first);
	return false;
}

/* A Unix socket read the end of file, or found nobody to write to: its peer has said all it will. */
static __always_inline void peer_ended(struct sonde_kcounters *k, const struct sock *sk)
{
	const struct sock *peer = unix_peer(sk);
	struct conn *conn = peer ? conn_find(peer) : NULL;

	if (!conn || !(conn->flags & CONN_SENT) || (conn->tx.flags & DIR_SHUT))
		return;
	conn->tx.flags |= DIR_SHUT;
	gone_emit(k, conn, SONDE_REC_SHUT, SONDE_F_TX);
}

/* The read that returns nothing: the peer has sent its FIN. */
static __always_inline void read_end(struct sonde_kcounters *k, const struct sock *sk)
{
	struct conn *conn = conn_find(sk);
	struct tcp_now now;

	if (sk->__sk_common.skc_family == SONDE_AF_UNIX) {
		peer_ended(k, sk);
		unix_end(k, sk);
		return;
	}
	if (!conn || !(conn->flags & CONN_SENT) || (conn->rx.flags & DIR_SHUT))
		return;
	if (!tcp_now_read(sk, &now) || !now.fin_received || now.copied_seq != now.rcv_nxt)
		return;
	conn->rx.flags |= DIR_SHUT;
	gone_emit(k, conn, SONDE_REC_SHUT, 0);
}

static __always_inline bool is_stream(struct sonde_kcounters *k, struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	if (sk->sk_type != KSOCK_STREAM)
		return false;
	if (family == SONDE_AF_UNIX)
		return true;
	if (family != SONDE_AF_INET && family != SONDE_AF_INET6)
		return false;
	if (sk->sk_protocol == KIPPROTO_MPTCP) {
		count(k, unseen_mptcp, 1);
		return false;
	}
	return sk->sk_protocol == KIPPROTO_TCP;
}

/* The segments of the call's vector, of which there are n. False: no one or two, or unreadable. */
static __always_inline bool quick_vector(struct quick *q, __u64 at, __u64 n)
{
	struct segment two[2] = {};

	if (n == 0 || n > 2 ||
	    bpf_probe_read_user(two, n == 1 ? sizeof(two[0]) : sizeof(two), (const void *)at))
		return false;
	q->area.base = two[0].base;
	if (n == 1)
		return true;
	q->area.len = two[0].len;
	return (q->bytes - two[0].len <= two[1].len && quick_alike(q)) || quick_behind(q, &two[1]);
}

/* Of a call that the program itself makes: what it is. CALL_OTHER: not to be said so quickly. */
static __always_inline enum call_shape quick_shape(struct task_struct *task, bool tx,
						   struct call_regs *regs)
{
	if ((task->flags & (PF_KTHREAD | PF_IO_WORKER)) || task_compat(task) ||
	    !call_regs_read((struct pt_regs *)bpf_task_pt_regs(task), regs))
		return CALL_OTHER;
	return tx ? call_shape_send(regs->number) : call_shape_recv(regs->number);
}

/* Where the bytes of this firing lie. False: not to be said so quickly, see source_find(). */
static __always_inline bool quick_source(struct quick *q, enum call_shape shape,
					 const struct call_regs *regs)
{
	q->area.base = regs->arg1;
	q->area.len = q->bytes;
	return shape == CALL_BUFFER ||
	       (shape == CALL_VECTOR && quick_vector(q, regs->arg1, regs->arg2));
}

/* The usual call, with nothing unusual about it: see quick.h. True: dealt with. */
static __noinline bool quick_call(struct sock *sk, __u32 bytes, bool tx, __u64 id)
{
	struct quick q = { .tx = tx, .bytes = bytes, .id = id };
	struct task_struct *task = bpf_get_current_task_btf();
	struct call_regs regs;
	enum call_shape shape;

	q.conn = conn_find(sk);
	if (!q.conn)
		return false;
	if (q.conn->flags & CONN_QUIET)
		return quiet_call(q.conn, sk, tx, bytes);
	if (!quick_state(&q) || q.conn->family == SONDE_AF_UNIX || q.dir->stood != q.dir->seq ||
	    q.other->stood != q.other->seq || !quick_stands(&q, sk, tx ? bytes : 0, tx ? 0 : bytes))
		return false;
	shape = quick_shape(task, tx, &regs);
	q.k = counters();
	if (!q.k || (shape != CALL_BUFFER && shape != CALL_VECTOR))
		return false;
	/* whose memory it is does not matter where it is not looked at */
	if (quick_in_body(&q)) {
		quick_body(&q);
		return true;
	}
	return q.conn->last == (tx ? LAST_RX : LAST_TX) && fd_is(task, regs.fd, sk) &&
	       quick_caller(&q, !tx || q.conn->role != SONDE_ROLE_PASSIVE) &&
	       quick_source(&q, shape, &regs) && quick_head(&q);
}

static __always_inline void on_call(struct sock *sk, int ret, int flags, bool tx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct hit hit;

	if (!scope_has(sk, id >> 32))
		return;
	hit.k = counters();
	if (!hit.k)
		return;
	if (ret <= 0) {
		/* also ends a sendmmsg or recvmmsg */
		message_ends(hit.k);
		if (ret == 0 && !tx && !(flags & (KMSG_PEEK | KMSG_ERRQUEUE | KMSG_OOB)))
			read_end(hit.k, sk);
		return;
	}
	if (flags & (KMSG_PEEK | KMSG_ERRQUEUE | KMSG_OOB))
		return;
	if (!(flags & KMSG_TRUNC) && quick_call(sk, ret, tx, id))
		return;
	if (!is_stream(hit.k, sk))
		return;
	if (tx)
		count(hit.k, hits_send, 1);
	else
		count(hit.k, hits_recv, 1);
	hit.thread = thread_get(hit.k, true);
	if (!hit.thread)
		return;
	hit.w = &hit.thread->work;
	hit.sk = sk;
	hit.tx = tx;
	hit.w->bytes = ret;
	hit.w->flags = 0;
	hit.w->tgid = id >> 32;
	hit.w->tid = id;
	hit.w->unsure = hit.w->rx_end = 0;
	hit.w->rx_seq = 0;
	hit.w->ns = bpf_ktime_get_boot_ns();
	work_begin(hit.w);
	if (!hit_place(&hit))
		return;
	turn_advance(&hit);
	if (worth_looking(&hit))
		source_find(&hit, ret, flags);
	capture(&hit);
	if (hit.conn->family == SONDE_AF_UNIX)
		return;
	hit.dir->seq += hit.w->bytes;
	hit.dir->asked = hit.w->bytes;
	hit.dir->copied = hit.w->captured;
	hit.dir->lost = hit.w->lost;
	settle(hit.k, hit.dir, hit.dir->seq);
	if ((__s32)(hit.dir->seq - hit.dir->stood) > 0)
		hit.dir->stood = hit.dir->seq;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sock_send, struct sock *sk, int ret, int flags)
{
	on_call(sk, ret, flags, true);
	return 0;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_sock_recv, struct sock *sk, int ret, int flags)
{
	on_call(sk, ret, flags, false);
	return 0;
}

/*
 * A listening Unix socket is told that there is a connection, in the context of the thread that
 * opened it and before anybody could accept it: a birth. Nothing else tells of it on a kernel that
 * has no hooks in functions; socketpair(2) and io_uring show no birth at all.
 */
SEC("tp_btf/sk_data_ready")
int BPF_PROG(on_data_ready, const struct sock *sk)
{
	struct task_struct *task;
	struct sonde_kcounters *k;
	struct thread *thread;
	struct call_regs regs;
	__u64 opener;

	if (sk->__sk_common.skc_family != SONDE_AF_UNIX ||
	    sk->__sk_common.skc_state != TCP_LISTEN || sk->sk_type != KSOCK_STREAM)
		return 0;
	task = bpf_get_current_task_btf();
	if (task->flags & (PF_KTHREAD | PF_IO_WORKER) || task_compat(task) ||
	    !call_regs_read((struct pt_regs *)bpf_task_pt_regs(task), &regs) ||
	    regs.number != CALL_NUMBER_CONNECT)
		return 0;
	opener = fd_sock(task, regs.fd);
	k = counters();
	if (!opener || !k)
		return 0;
	thread = thread_get(k, false);
	unix_born(opener, bpf_ktime_get_boot_ns(), thread ? &thread->turn : NULL);
	return 0;
}
