/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in a function a breakpoint is cheap. The kernel executes some instructions by itself (x86-64: jumps
 * and calls to a fixed distance, pushes of a register; arch/x86/kernel/uprobes.c, branch_setup_insn(),
 * push_setup_insn()); all others it has to step through out of line, which is a second trap: a hit costs
 * twice as much on hardware, and twenty times where a hypervisor takes traps. So the first instruction of
 * a function gives way to a later one at which its arguments are still where they were, and a return
 * to earlier ones at which the result is there already (cheap_exit.h).
 */
#ifndef SONDE_INSPECT_CHEAP_H
#define SONDE_INSPECT_CHEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inspect/disasm.h"

#define CHEAP_STEPS_MAX 8192 /* of one function; of a larger one nothing is found */

/* The instructions of a function, in order, and where its jumps go. */
struct cheap_code {
	unsigned int n_steps, n_targets;
	const uint64_t *targets; /* addresses; those inside are enough */
	struct disasm_step steps[CHEAP_STEPS_MAX];
};

/* A cheap instruction, and how many bytes the stack pointer is below what it was at the entry. */
struct cheap_point {
	uint64_t address;
	int32_t below;
};

/* Whether code behind `after`, up to `last`, is the target of a jump. */
bool cheap__is_entered(const struct cheap_code *code, uint64_t after, uint64_t last);

/* In place of the first instruction; intact: registers (DISASM_RAX …) that are to be as they were there. */
bool cheap__entry(const struct cheap_code *code, uint16_t intact, struct cheap_point *ret);

/* The registers of the first n arguments (System V psABI, AMD64 3.2.3). */
uint16_t cheap__arguments(unsigned int n);

/* Which of the steps is at this address; n_steps: none. */
unsigned int cheap__step_at(const struct cheap_code *code, uint64_t address);

#endif
