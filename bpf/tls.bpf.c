/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Plaintext at the functions of TLS libraries that programs call: a program for each shape of
 * arguments, attached by probe to the functions that inspect has found. What they share is in
 * lib/tls_call.h; no return is ever hooked but by a breakpoint on the instruction itself.
 */
#include "../headers/tls.h"
#include "lib/tls_go.h"

char LICENSE[] SEC("license") = "GPL";

/* int SSL_read(SSL *, void *, int), SSL_write */
SEC("uprobe")
int tls_read(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), 0,
			 TLS_INT, false);
}

SEC("uprobe")
int tls_write(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), 0,
			 TLS_INT, true);
}

/* int SSL_read_ex(SSL *, void *, size_t, size_t *), SSL_write_ex, SSL_read_early_data, SSL_write_early_data */
SEC("uprobe")
int tls_read_count(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			 PT_REGS_PARM4(ctx), TLS_COUNT, false);
}

SEC("uprobe")
int tls_write_count(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			 PT_REGS_PARM4(ctx), TLS_COUNT, true);
}

/* int SSL_write_ex2(SSL *, void *, size_t, uint64_t flags, size_t *) */
SEC("uprobe")
int tls_write_flags(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			 PT_REGS_PARM5(ctx), TLS_COUNT, true);
}

/* int SSL_do_handshake(SSL *) */
SEC("uprobe")
int tls_handshake(struct pt_regs *ctx)
{
	return tls_enter(ctx, PT_REGS_PARM1(ctx), 0, 0, 0, TLS_HANDSHAKE, false);
}

SEC("uprobe")
int tls_return(struct pt_regs *ctx)
{
	return tls_leave(ctx);
}

/* void SSL_free(SSL *) */
SEC("uprobe")
int tls_end(struct pt_regs *ctx)
{
	return tls_free(PT_REGS_PARM1(ctx));
}

/* func (c *Conn) Read(b []byte) (int, error), Write */
SEC("uprobe")
int tls_go_read(struct pt_regs *ctx)
{
	return go_enter(ctx, false);
}

SEC("uprobe")
int tls_go_write(struct pt_regs *ctx)
{
	return go_enter(ctx, true);
}

SEC("uprobe")
int tls_go_return(struct pt_regs *ctx)
{
	return go_leave(ctx);
}

/* func (c *Conn) Close() error */
SEC("uprobe")
int tls_go_close(struct pt_regs *ctx)
{
	return tls_free(GO_ARGUMENT_1(ctx));
}

/* All of these in one (6.6): then a file's breakpoints come and go at once. */
SEC("uprobe")
int tls_multi(struct pt_regs *ctx)
{
	__u64 shape = bpf_get_attach_cookie(ctx) & SONDE_TLS_SHAPE_MASK, ssl = PT_REGS_PARM1(ctx),
	      count_at = 0;
	enum tls_kind kind = TLS_INT;

	switch (shape) {
	case SONDE_TLS_RETURN:
		return tls_leave(ctx);
	case SONDE_TLS_END:
		return tls_free(ssl);
	case SONDE_TLS_GO_READ:
		return go_enter(ctx, false);
	case SONDE_TLS_GO_WRITE:
		return go_enter(ctx, true);
	case SONDE_TLS_GO_RETURN:
		return go_leave(ctx);
	case SONDE_TLS_GO_CLOSE:
		return tls_free(GO_ARGUMENT_1(ctx));
	case SONDE_TLS_HANDSHAKE:
		kind = TLS_HANDSHAKE;
		break;
	case SONDE_TLS_READ_COUNT:
	case SONDE_TLS_WRITE_COUNT:
		kind = TLS_COUNT;
		count_at = PT_REGS_PARM4(ctx);
		break;
	case SONDE_TLS_WRITE_FLAGS:
		kind = TLS_COUNT;
		count_at = PT_REGS_PARM5(ctx);
		break;
	}
	return tls_enter(ctx, ssl, PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx), count_at, kind,
			 shape == SONDE_TLS_WRITE || shape == SONDE_TLS_WRITE_COUNT ||
				 shape == SONDE_TLS_WRITE_FLAGS);
}
