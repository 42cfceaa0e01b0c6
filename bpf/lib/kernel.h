/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel types and fields that the programs touch, and no others. Offsets are found at load
 * time (CO-RE), so order and neighbours do not matter; names and types do. What differs between
 * kernels has a flavour (___name) and is chosen in compat.h.
 */
#ifndef SONDE_BPF_KERNEL_H
#define SONDE_BPF_KERNEL_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr_k {
	__u8 bytes[16];
};

struct sock;

struct proto {
	bool (*sock_is_readable)(struct sock *sk); /* 5.16, and older ones that were mended */
};
struct proto___before {
	bool (*stream_memory_read)(const struct sock *sk);
};

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	struct proto *skc_prot;
	possible_net_t skc_net;
	unsigned long skc_flags;
};

/* Addresses of IPv6 are read by offset: the union inside struct in6_addr needs no name. */
struct in6_addr___any {
	char any;
};
struct sock_common___v6 {
	struct in6_addr___any skc_v6_daddr;
	struct in6_addr___any skc_v6_rcv_saddr;
};

struct sk_buff_head {
	__u32 qlen;
};

/* What a lock begins with; with PREEMPT_RT another one, which then counts as free. */
struct qspinlock {
	atomic_t val;
};
struct raw_spinlock {
	struct qspinlock raw_lock;
};
struct spinlock {
	struct raw_spinlock rlock;
};
typedef struct {
	struct spinlock slock;
	int owned;
} socket_lock_t;

struct socket;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	struct sk_buff_head sk_receive_queue;
	struct socket *sk_socket;
	int sk_err;
	int sk_wmem_queued;
	int sk_sndbuf;
	void *sk_user_data;
	__u16 sk_type;
	__u16 sk_protocol;
	__u8 sk_shutdown;
};

struct tcp_ulp_ops {
	char name[16];
};

struct inet_connection_sock {
	const struct tcp_ulp_ops *icsk_ulp_ops;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 snd_una;
	__u32 rcv_nxt;
	__u64 bytes_received;
	__u64 bytes_acked;
};

struct list_head {
	struct list_head *next;
};

struct bpf_prog;

/* What a sockmap keeps of a socket: programs, and a queue of bytes that never were in its stream. */
struct sk_psock_progs {
	struct bpf_prog *stream_verdict, *skb_verdict;
};
struct sk_psock {
	struct sk_psock_progs progs;
	struct list_head ingress_msg;
	bool redir_ingress; /* 6.1 */
};

struct sk_msg {
	struct sock *sk;
};

struct unix_sock {
	struct sock sk;
	struct sock *peer;
};

struct file {
	void *private_data;
};

struct socket {
	struct file *file;
	struct sock *sk;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct thread_info {
	unsigned long flags;
	__u32 status; /* x86 only */
};

struct signal_struct {
	atomic_t live;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *group_leader, *real_parent;
	struct pid *thread_pid;
	__u64 start_boottime;
	struct files_struct *files;
	struct signal_struct *signal;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r9, r8, r10, ax, cx, dx, si, di, orig_ax, flags,
		sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
};
struct pt_regs {
	__u64 regs[31];
	__u64 sp;
	__u64 orig_x0;
	__s32 syscallno;
};
#else
#error "no register layout for this architecture"
#endif

struct iov_iter {
	unsigned long iov_offset;
	unsigned long count;
	unsigned long nr_segs;
	__u8 iter_type; /* 5.14 */
};

struct iovec {
	void *iov_base;
	unsigned long iov_len;
};

/* 5.10: kind and direction in one word. */
struct iov_iter___type {
	unsigned int type;
};
struct iov_iter___iov {
	const struct iovec *iov; /* up to 6.3 */
};
struct iov_iter___new {
	const struct iovec *__iov; /* from 6.4 */
};
struct iov_iter___ubuf {
	void *ubuf; /* from 6.0 */
};

/* Values differ between kernels and are looked up at load time. */
enum iter_type {
	ITER_IOVEC = 0,
	ITER_UBUF = 1,
	ITER_BVEC = 2,
};

struct msghdr {
	struct iov_iter msg_iter;
	unsigned int msg_flags;
};

struct unix_stream_read_state {
	struct socket *socket;
	struct msghdr *msg;
	int flags;
};

struct bpf_map;
struct seq_file;

/* What an iterator over the sockets that have a storage hands to its program; sk NULL: at its end. */
struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};
struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

/* The iterator is reached through the message: a typed pointer's loads have to begin there. */
struct msghdr___type {
	struct iov_iter___type msg_iter;
};
struct msghdr___iov {
	struct iov_iter___iov msg_iter;
};
struct msghdr___new {
	struct iov_iter___new msg_iter;
};
struct msghdr___ubuf {
	struct iov_iter___ubuf msg_iter;
};

#pragma clang attribute pop

/* Ours: the layout of struct iovec in the memory of a 64-bit program. */
struct segment {
	__u64 base;
	__u64 len;
};

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_SYN_RECV = 3,
	TCP_FIN_WAIT1 = 4,
	TCP_FIN_WAIT2 = 5,
	TCP_TIME_WAIT = 6,
	TCP_CLOSE = 7,
	TCP_CLOSE_WAIT = 8,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
	TCP_CLOSING = 11,
};

#define PF_IO_WORKER 0x00000010
#define PF_FORKNOEXEC 0x00000040
#define PF_KTHREAD 0x00200000

#define KIPPROTO_TCP 6
#define KIPPROTO_MPTCP 262
#define KSOCK_STREAM 1

#define SOCK_FLAG_DONE 1 /* enum sock_flags: SOCK_DONE, set when a FIN arrived */

#define SK_USER_DATA_FLAGS 7 /* the low bits of sk_user_data, which is a pointer otherwise */

#define RCV_SHUTDOWN 1
#define SEND_SHUTDOWN 2

#define KMSG_OOB 0x1
#define KMSG_PEEK 0x2
#define KMSG_TRUNC 0x20
#define KMSG_DONTWAIT 0x40
#define KMSG_ERRQUEUE 0x2000
#define KMSG_SPLICE_PAGES 0x8000000

#endif
