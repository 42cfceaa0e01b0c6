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
};

struct disasm_step {
	uint64_t address;
	uint64_t target; /* DISASM_JUMP, DISASM_JUMP_SLOT */
	uint16_t bytes;
	uint16_t kind; /* enum disasm_kind */
};

/*
 * Every instruction of code[0..n), which lies at address in its program, one after the other. each
 * returns false to stop. 0; -EILSEQ: there is something that is no known instruction, and those
 * before it were called; -ENOTSUP: no library, or another machine (ELF e_machine).
 */
int disasm__sweep(uint16_t machine, const uint8_t *code, size_t n, uint64_t address,
		  bool (*each)(void *arg, const struct disasm_step *step), void *arg);

#endif
