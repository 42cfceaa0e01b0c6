/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What a breakpoint in a TLS library is: which program of bpf/tls.bpf.c belongs there. */
#ifndef SONDE_TLS_H
#define SONDE_TLS_H

#include <linux/types.h>

/*
 * A breakpoint's cookie (5.15): its shape; by how many bytes the stack pointer is below what it was at the
 * function's entry; of what stands for a return, where the result is, and when it is one. Without cookies
 * all but the shape is 0.
 */
#define SONDE_TLS_SHAPE_MASK 0xff
#define SONDE_TLS_BELOW_SHIFT 8
#define SONDE_TLS_BELOW_MASK 0xffff
#define SONDE_TLS_RESULT_SHIFT 24
#define SONDE_TLS_RESULT_MASK 0x1f
#define SONDE_TLS_CONDITION_SHIFT 32
#define SONDE_TLS_CONDITION_MASK 0x1f

/* The number of a register in machine code of x86-64, of which 32 bits are the result; or what it is. */
enum sonde_tls_result {
	SONDE_TLS_RESULT_RETURNED = 0, /* where results are, on any machine */
	SONDE_TLS_RESULT_NONE = 16,    /* 0 or less: nothing was moved */
	SONDE_TLS_RESULT_ONE = 17,
};

/* It is a return at any time, or where 1 + a condition of x86-64 holds: 0 (overflow) to 15 (greater). */
#define SONDE_TLS_ALWAYS 0
#define SONDE_TLS_CONDITIONS 16

/* By arguments and result. */
enum sonde_tls_shape {
	SONDE_TLS_NONE = 0,
	SONDE_TLS_READ = 1,	   /* (connection, buffer, n): n, or no more than 0 */
	SONDE_TLS_WRITE = 2,	   /* the same */
	SONDE_TLS_READ_COUNT = 3,  /* (connection, buffer, n, size_t *moved): 1, or 0 */
	SONDE_TLS_WRITE_COUNT = 4, /* the same */
	SONDE_TLS_WRITE_FLAGS = 5, /* (connection, buffer, n, flags, size_t *moved): 1, or 0 */
	SONDE_TLS_HANDSHAKE = 6,   /* (connection); returns are not hooked */
	SONDE_TLS_RETURN =
		7,	   /* a return of any of C or Rust that move bytes, or what stands for it */
	SONDE_TLS_END = 8, /* (connection), which is given back */
	SONDE_TLS_GO_READ = 9,	  /* method of a connection, (buffer, length, capacity): n, error */
	SONDE_TLS_GO_WRITE = 10,  /* the same */
	SONDE_TLS_GO_RETURN = 11, /* a return instruction of one of these two */
	SONDE_TLS_GO_CLOSE = 12,  /* method of a connection */
	/* rustls; a result is in two registers: 0 where it is good, and the number of bytes */
	SONDE_TLS_RUST_WRITE = 13,  /* (connection, buffer, n) */
	SONDE_TLS_RUST_VECTOR = 14, /* (connection, array of {buffer, n}, areas) */
	SONDE_TLS_RUST_TAKE =
		15, /* (connection, {any, buffer, n} *): a record that was decrypted */
	/* Calls in the two of Go at which all is known that entry and returns would tell */
	SONDE_TLS_GO_COPY = 16,	  /* memmove(to, from, n) in Read; its connection is in the frame */
	SONDE_TLS_GO_RECORD = 17, /* method of a connection, (type, data, length, …) in Write */
	SONDE_TLS_SHAPES = 18,
};

/* Key of map tls_streams: a connection of a library, in one process. */
struct tls_key {
	__u64 ssl; /* address of the library's own structure */
	__u64 process_start_ns;
	__u32 tgid; /* initial pid namespace */
	__u32 pad;
};

#endif
