/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plaintext at the functions of TLS libraries that programs call, attached by probe to the places that
 * inspect has found. What they share is in lib/tls_call.h; no return is ever hooked but by a breakpoint
 * on the instruction itself.
 *
 * One program serves all places where it is told with each which one it is (5.15); else there is one for
 * each shape (headers/tls.h).
 */
#include "../headers/tls.h"
#include "lib/tls_go.h"
#include "lib/tls_rust.h"

char LICENSE[] SEC("license") = "GPL";

int tls_captured(struct pt_regs *ctx);

enum { NEXT_CAPTURED, NEXT_COUNT };

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, NEXT_COUNT);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} tls_next SEC(".maps") = { .values = { [NEXT_CAPTURED] = (void *)&tls_captured } };

/*
 * From 6.13 on programs of this type get a stack of their own a processor, which is right only where they are
 * never preempted: in uprobes they are, and one that goes on after another of its kind has run there
 * finds that one's memory in its stack, and the kernel falls over it (seen on 7.2 with lazy preemption).
 * A program with a tail call in it stays on the kernel's own stack (check_max_stack_depth() of the
 * verifier): each one here has one.
 */
SEC("uprobe")
int tls_captured(struct pt_regs *ctx)
{
	tls_capture();
	if (tls_more())
		bpf_tail_call(ctx, &tls_next, NEXT_CAPTURED);
	return 0;
}

/* What is at this place, by its shape: a constant in most programs. */
static __always_inline int at_place(struct pt_regs *ctx, __u64 shape)
{
	__u64 ssl = PT_REGS_PARM1(ctx), fourth = PT_REGS_PARM4(ctx), fifth = PT_REGS_PARM5(ctx);
	struct tls_found found = { NULL, NULL, false };
	enum tls_kind kind = TLS_INT;
	__u64 count_at = 0;
	bool tx = false;

	/* else the compiler computes an address in ctx, which no verifier takes */
	barrier_var(fourth);
	barrier_var(fifth);
	switch (shape) {
	case SONDE_TLS_RETURN:
		tls_leave(&found, ctx);
		break;
	case SONDE_TLS_END:
		return tls_free(ssl);
	case SONDE_TLS_GO_READ:
	case SONDE_TLS_GO_WRITE:
		go_enter(&found, ctx, shape == SONDE_TLS_GO_WRITE);
		break;
	case SONDE_TLS_GO_RETURN:
		go_leave(&found, ctx);
		break;
	case SONDE_TLS_GO_COPY:
	case SONDE_TLS_GO_RECORD:
		go_moves(&found, ctx, shape == SONDE_TLS_GO_RECORD);
		break;
	case SONDE_TLS_RUST_WRITE:
	case SONDE_TLS_RUST_VECTOR:
		rust_write(&found, ctx, shape == SONDE_TLS_RUST_VECTOR);
		break;
	case SONDE_TLS_RUST_TAKE:
		rust_take(&found, ctx);
		break;
	case SONDE_TLS_GO_CLOSE:
		return tls_free(GO_ARGUMENT_1(ctx));
	case SONDE_TLS_HANDSHAKE:
		tls_enter(&found, ctx, ssl, 0, 0, 0, TLS_HANDSHAKE, false);
		return 0;
	default:
		if (shape == SONDE_TLS_READ_COUNT || shape == SONDE_TLS_WRITE_COUNT) {
			kind = TLS_COUNT;
			count_at = fourth;
		} else if (shape == SONDE_TLS_WRITE_FLAGS) {
			kind = TLS_COUNT;
			count_at = fifth;
		}
		tx = shape == SONDE_TLS_WRITE || shape == SONDE_TLS_WRITE_COUNT ||
		     shape == SONDE_TLS_WRITE_FLAGS;
		tls_enter(&found, ctx, ssl, PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), count_at, kind,
			  tx);
		break;
	}
	if (found.captures)
		bpf_tail_call(ctx, &tls_next, NEXT_CAPTURED);
	return 0;
}

SEC("uprobe")
int tls_any(struct pt_regs *ctx)
{
	return at_place(ctx, bpf_get_attach_cookie(ctx) & SONDE_TLS_SHAPE_MASK);
}

#define PLACE(name, shape)                                                                         \
	SEC("uprobe")                                                                              \
	int name(struct pt_regs *ctx)                                                              \
	{                                                                                          \
		return at_place(ctx, shape);                                                       \
	}

PLACE(tls_read, SONDE_TLS_READ)
PLACE(tls_write, SONDE_TLS_WRITE)
PLACE(tls_read_count, SONDE_TLS_READ_COUNT)
PLACE(tls_write_count, SONDE_TLS_WRITE_COUNT)
PLACE(tls_write_flags, SONDE_TLS_WRITE_FLAGS)
PLACE(tls_handshake, SONDE_TLS_HANDSHAKE)
PLACE(tls_return, SONDE_TLS_RETURN)
PLACE(tls_end, SONDE_TLS_END)
PLACE(tls_go_read, SONDE_TLS_GO_READ)
PLACE(tls_go_write, SONDE_TLS_GO_WRITE)
PLACE(tls_go_return, SONDE_TLS_GO_RETURN)
PLACE(tls_go_copy, SONDE_TLS_GO_COPY)
PLACE(tls_go_record, SONDE_TLS_GO_RECORD)
PLACE(tls_go_close, SONDE_TLS_GO_CLOSE)
PLACE(tls_rust_write, SONDE_TLS_RUST_WRITE)
PLACE(tls_rust_vector, SONDE_TLS_RUST_VECTOR)
PLACE(tls_rust_take, SONDE_TLS_RUST_TAKE)
