/* SPDX-License-Identifier: Apache-2.0 */
/* Machine code of x86-64 and arm64, an instruction at a time, by capstone. */
#ifndef SONDE_INSPECT_DISASM_H
#define SONDE_INSPECT_DISASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Before the rest, once; allocates all that is needed. -ENOTSUP: a library that does not know these machines. */
int disasm__load(struct err *err);

enum disasm_kind {
	DISASM_OTHER,
	DISASM_RETURN,
	DISASM_JUMP,	     /* to target, always or on a condition */
	DISASM_JUMP_SLOT,    /* to the address that is in memory at target */
	DISASM_JUMP_TABLE,   /* to one of several places in the same function */
	DISASM_JUMP_POINTER, /* to an address that was loaded: another function */
	DISASM_CALL,	     /* of target */
};

/* x86-64 only. */
enum {
	DISASM_ALWAYS = 1 << 0, /* a jump without a condition */
	/* The kernel executes it by itself where a breakpoint is on it: see cheap.h. */
	DISASM_EMULATED = 1 << 1,
	DISASM_CANARY = 1 << 2,	 /* looks at the thread's stack protector (%fs:0x28) */
	DISASM_SP_LOST = 1 << 3, /* the stack pointer may be anywhere afterwards */
	DISASM_STORES = 1 << 4,	 /* writes memory, other than by a push or a call */
};

/* x86-64's registers as bits, in the order of their numbers in machine code (but for rsp, which is none of these). */
enum {
	DISASM_RAX = 1 << 0,
	DISASM_RCX = 1 << 1,
	DISASM_RDX = 1 << 2,
	DISASM_RBX = 1 << 3,
	DISASM_RBP = 1 << 5,
	DISASM_RSI = 1 << 6,
	DISASM_RDI = 1 << 7,
	DISASM_R8 = 1 << 8,
	DISASM_R9 = 1 << 9,
	DISASM_R12 = 1 << 12,
	DISASM_R13 = 1 << 13,
	DISASM_R14 = 1 << 14,
	DISASM_R15 = 1 << 15,
};

/* What an instruction moves; x86-64 only. */
enum disasm_move {
	DISASM_NO_MOVE,
	DISASM_COPY, /* the one register that it writes gets `from`, of which 32 bits count */
	DISASM_SET,  /* the one register that it writes gets `number` */
	DISASM_FILL, /* the one register that it writes gets the 8 bytes at rsp + number */
	DISASM_ADD,  /* the one register that it writes gets `from` more */
	DISASM_PLACE, /* the one register that it writes gets an address that is in the code: target */
	DISASM_SPILL, /* what is at rsp + number gets `from`, 8 bytes; or, of none, something */
};

struct disasm_step {
	uint64_t address;
	uint64_t target; /* DISASM_JUMP, DISASM_JUMP_SLOT, DISASM_CALL, DISASM_PLACE */
	/* x86-64 only, but for kind */
	int32_t sp; /* by how much it moves the stack pointer; a call that has returned: 0 */
	int32_t number;
	uint16_t writes; /* DISASM_RAX … */
	uint16_t from;	 /* the same, one bit; 0: rsp, or none */
	uint8_t kind;	 /* enum disasm_kind */
	uint8_t flags;	 /* DISASM_ALWAYS … */
	uint8_t move;	 /* enum disasm_move */
	uint8_t condition; /* DISASM_JUMP, not always: as in machine code, 0 (overflow) to 15 (greater) */
};

/*
 * Every instruction of code[0..n), which lies at address in its program, one after the other. each
 * returns false to stop. 0; -EILSEQ: there is something that is no known instruction, and those
 * before it were called; -ENOTSUP: no library, or another machine (ELF e_machine).
 */
int disasm__sweep(uint16_t machine, const uint8_t *code, size_t n, uint64_t address,
		  bool (*each)(void *arg, const struct disasm_step *step), void *arg);

#endif
