/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * crypto/tls of Go, from 1.17 on (arm64: 1.18): arguments, results and the running goroutine are in registers
 * (src/cmd/compile/abi-internal.md). A goroutine may go on in another thread, and its stack may move, so
 * that it is the goroutine a call is known by; a function that has its stack grown begins again, which
 * says the same twice. The socket is found by its descriptor, in the structures of package net.
 *
 * Where inspect knows the calls by which Read and Write move plaintext (user/inspect/cheap_go.h), these tell all
 * by themselves: of no call anything is kept. A Write is told before its records are sealed; where sending them
 * fails, Go never writes to that connection again (setErrorLocked()), so that what was told and not sent is the
 * last that was told.
 */
#ifndef SONDE_BPF_TLS_GO_H
#define SONDE_BPF_TLS_GO_H

#include "tls_call.h"

#if defined(__TARGET_ARCH_x86)
#define GO_ARGUMENT_1(ctx) ((ctx)->ax)
#define GO_ARGUMENT_2(ctx) ((ctx)->bx)
#define GO_ARGUMENT_3(ctx) ((ctx)->cx)
#define GO_ARGUMENT_4(ctx) ((ctx)->di)
#define GO_ROUTINE(ctx) ((ctx)->r14)
#elif defined(__TARGET_ARCH_arm64)
#define GO_ARGUMENT_1(ctx) ((ctx)->regs[0])
#define GO_ARGUMENT_2(ctx) ((ctx)->regs[1])
#define GO_ARGUMENT_3(ctx) ((ctx)->regs[2])
#define GO_ARGUMENT_4(ctx) ((ctx)->regs[3])
#define GO_ROUTINE(ctx) ((ctx)->regs[28])
#endif

/* The descriptor in net.netFD: behind poll.FD's lock, of 16 bytes (since 1.9). */
#define GO_NETFD_DESCRIPTOR 16

static __always_inline void go_key_of(struct go_key *key, struct pt_regs *ctx)
{
	key->g = GO_ROUTINE(ctx);
	key->tgid = bpf_get_current_pid_tgid() >> 32;
	key->pad = 0;
}

static __always_inline __u64 user_word(__u64 at)
{
	__u64 word = 0;

	return at && !bpf_probe_read_user(&word, sizeof(word), (const void *)at) ? word : 0;
}

/*
 * The descriptor of a crypto/tls.Conn, which begins with a net.Conn {table, data}; where that is a
 * *net.TCPConn, data begins with the address of its netFD. Where it is another type it is any number,
 * which says nothing where it is no connection that speaks TLS. -1: none.
 */
static __always_inline int go_descriptor(__u64 conn)
{
	__u64 net = user_word(conn + 8), netfd = user_word(net);
	int fd = -1;

	if (!netfd ||
	    bpf_probe_read_user(&fd, sizeof(fd), (const void *)(netfd + GO_NETFD_DESCRIPTOR)))
		return -1;
	return fd;
}

/* The socket at this descriptor of the current process; NULL: there is none. */
static __always_inline const struct sock *go_socket(int fd)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file **files = BPF_CORE_READ(table, fd), *file = NULL;
	struct socket *socket;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds) ||
	    bpf_probe_read_kernel(&file, sizeof(file), files + fd) || !file)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	/* what is no socket has something else there: it leads to none that is known */
	return socket ? BPF_CORE_READ(socket, sk) : NULL;
}

static __noinline int go_tie(struct thread *thread, struct tls_stream *stream)
{
	int fd = go_descriptor(stream->object);
	const struct sock *sk = fd < 0 ? NULL : go_socket(fd);
	struct sonde_kcounters *k = counters();
	struct tls_carrier *carrier;
	__u64 key = (__u64)sk;

	if (!k || !sk)
		return 0;
	carrier = bpf_map_lookup_elem(&tls_carriers, &key);
	if (!carrier || carrier->tied || carrier->pair != conn_pair(sk))
		return 0;
	if (tls_from_start(carrier))
		stream->flags |= TLS_HELLO;
	tls_tie_to(k, thread, stream, stream->object, carrier, sk);
	return 0;
}

/* A connection's socket, as soon as it can be known: when its hello has passed. */
static __always_inline void go_meet(struct thread *thread, struct tls_stream *stream, __u64 conn)
{
	if (stream->carrier)
		return;
	stream->object = conn;
	go_tie(thread, stream);
}

/* The function that had its stack grown begins again. */
static __always_inline bool go_again(const struct tls_call *before, const struct tls_call *call)
{
	return before && before->ssl == call->ssl && before->at == call->at &&
	       before->bytes == call->bytes && before->tx == call->tx;
}

static __always_inline void go_enter(struct tls_found *found, struct pt_regs *ctx, bool tx)
{
	struct tls_call call = { .kind = TLS_INT, .tx = tx };
	struct tls_stream *stream;
	bool is_new = false;
	struct go_key key;

	if (!tls_in_scope(bpf_get_current_pid_tgid() >> 32))
		return;
	found->k = counters();
	go_key_of(&key, ctx);
	call.ssl = GO_ARGUMENT_1(ctx);
	call.at = GO_ARGUMENT_2(ctx);
	call.bytes = GO_ARGUMENT_3(ctx);
	call.ns = bpf_ktime_get_boot_ns();
	if (!found->k || go_again(bpf_map_lookup_elem(&go_calls, &key), &call))
		return;
	found->thread = tx ? thread_get(found->k, true) : NULL;
	stream = found->thread ? tls_stream_get(found->k, found->thread, call.ssl, &is_new) : NULL;
	if (stream) {
		go_meet(found->thread, stream, call.ssl);
		tls_writes(found, stream, &call);
	}
	if (bpf_map_update_elem(&go_calls, &key, &call, BPF_ANY))
		count(found->k, state_tls_full, 1);
}

/* At a call that copies plaintext to the program, or that hands its plaintext on. */
static __always_inline void go_moves(struct tls_found *found, struct pt_regs *ctx, bool tx)
{
	__u64 first = GO_ARGUMENT_1(ctx), second = GO_ARGUMENT_2(ctx), third = GO_ARGUMENT_3(ctx);
	__u64 fourth = GO_ARGUMENT_4(ctx), conn, bytes;
	struct tls_call call = { .tx = tx };
	struct tls_stream *stream;
	bool is_new = false;

	/* else the compiler computes an address in ctx, which no verifier takes */
	barrier_var(first);
	barrier_var(second);
	barrier_var(third);
	barrier_var(fourth);
	conn = tx ? first : user_word(tls_frame(ctx) + sizeof(conn));
	bytes = tx ? fourth : third;
	if (!conn || !bytes || !tls_in_scope(bpf_get_current_pid_tgid() >> 32))
		return;
	call.ssl = conn;
	call.at = tx ? third : second;
	call.ns = bpf_ktime_get_boot_ns();
	found->k = counters();
	found->thread = found->k ? thread_get(found->k, true) : NULL;
	stream = found->thread ? tls_stream_get(found->k, found->thread, conn, &is_new) : NULL;
	if (!stream)
		return;
	go_meet(found->thread, stream, conn);
	tls_find(found, &call, 0, bytes > 0x7fffffff ? 0x7fffffff : bytes);
}

static __always_inline void go_leave(struct tls_found *found, struct pt_regs *ctx)
{
	__s64 bytes = GO_ARGUMENT_1(ctx);
	struct tls_stream *stream;
	struct tls_call *call;
	bool is_new = false;
	struct go_key key;

	go_key_of(&key, ctx);
	call = bpf_map_lookup_elem(&go_calls, &key);
	found->k = counters();
	if (!found->k || !call)
		return;
	if (bytes < 0)
		bytes = 0;
	if (bytes > 0x7fffffff)
		bytes = 0x7fffffff;
	found->thread = bytes || call->told ? thread_get(found->k, true) : NULL;
	stream = found->thread ? tls_stream_get(found->k, found->thread, call->ssl, &is_new) : NULL;
	if (stream) {
		go_meet(found->thread, stream, call->ssl);
		tls_over(found, stream, call, bytes);
	}
	bpf_map_delete_elem(&go_calls, &key);
}

#endif
