/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in crypto/tls.(*Conn).Read and Write a breakpoint tells all by itself, with no second one at any return:
 * the call by which Read copies plaintext to the program's buffer, and those by which Write hands it on, when the
 * connection's lock is held and the handshake is over (src/crypto/tls/conn.go). A call is executed by the kernel
 * itself: one trap a call instead of the three of an entry and a return.
 *
 * Where code is not as these functions look for, nothing is found, and there is the entry and the returns.
 */
#ifndef SONDE_INSPECT_CHEAP_GO_H
#define SONDE_INSPECT_CHEAP_GO_H

#include "inspect/cheap.h"

#define CHEAP_GO_MAX 4 /* calls of one function */

/* Addresses of functions; 0: not known. */
struct cheap_go {
	uint64_t move;	 /* runtime.memmove(to, from, n) */
	uint64_t record; /* crypto/tls.(*Conn).writeRecordLocked(conn, type, data) */
};

/*
 * The one call of `move` in Read whose destination is Read's buffer, where its *Conn stays at the stack: at
 * sp + below + 8, as the first word of the room that a caller leaves for arguments in registers
 * (src/cmd/compile/abi-internal.md). 0: none, or not certain; else 1.
 */
unsigned int cheap_go__read(const struct cheap_code *code, const struct cheap_go *go,
			    struct cheap_point *ret);

/*
 * All calls of `record` in Write, of records of application data; rax, rcx and rdi are connection, data
 * and length there. 0: none, too many, or of another type.
 */
unsigned int cheap_go__write(const struct cheap_code *code, const struct cheap_go *go,
			     struct cheap_point ret[CHEAP_GO_MAX]);

#endif
