// SPDX-License-Identifier: Apache-2.0
#include "inspect/cheap.h"

#define PROLOGUE_STEPS 48 /* further in, no argument is where it was */
#define EPILOGUE_STEPS 24

static const uint16_t sysv_arguments[] = { DISASM_RDI, DISASM_RSI, DISASM_RDX,
					   DISASM_RCX, DISASM_R8,  DISASM_R9 };

bool cheap__is_entered(const struct cheap_code *code, uint64_t after, uint64_t last)
{
	for (unsigned int i = 0; i < code->n_targets; i++)
		if (code->targets[i] > after && code->targets[i] <= last)
			return true;
	return false;
}

bool cheap__entry(const struct cheap_code *code, uint16_t intact, struct cheap_point *ret)
{
	int32_t below = 0;

	for (unsigned int i = 0; i < code->n_steps && i < PROLOGUE_STEPS; i++) {
		const struct disasm_step *step = &code->steps[i];

		if (cheap__is_entered(code, code->steps[0].address, step->address))
			return false;
		if (step->flags & DISASM_EMULATED) {
			*ret = (struct cheap_point){ step->address, below };
			return true;
		}
		if (step->writes & intact || step->flags & DISASM_SP_LOST ||
		    step->kind != DISASM_OTHER)
			return false;
		below -= step->sp;
	}
	return false;
}

/* Which of the steps is at this address; n_steps: none. */
static unsigned int step_at(const struct cheap_code *code, uint64_t address)
{
	unsigned int from = 0, to = code->n_steps;

	while (from < to) {
		unsigned int middle = from + (to - from) / 2;

		if (code->steps[middle].address < address)
			from = middle + 1;
		else
			to = middle;
	}
	return from < code->n_steps && code->steps[from].address == address ? from : code->n_steps;
}

/*
 * Nothing cheap leads to a return by itself: what does is the jump, never taken in a program that goes on, of
 * a function that looks whether its stack was written over.
 */
bool cheap__return(const struct cheap_code *code, uint64_t address, struct cheap_point *ret)
{
	unsigned int at = step_at(code, address), i = at;
	int32_t below = 0;

	if (at == code->n_steps)
		return false;
	while (i > 1 && at - i < EPILOGUE_STEPS) {
		const struct disasm_step *step = &code->steps[--i];

		if (cheap__is_entered(code, step->address, address))
			return false;
		if (step->kind == DISASM_JUMP && step->flags & DISASM_EMULATED &&
		    code->steps[i - 1].flags & DISASM_CANARY) {
			*ret = (struct cheap_point){ step->address, below };
			return true;
		}
		if (step->kind != DISASM_OTHER || step->writes & DISASM_RAX ||
		    step->flags & (DISASM_SP_LOST | DISASM_STORES))
			return false;
		below += step->sp;
	}
	return false;
}

uint16_t cheap__arguments(unsigned int n)
{
	uint16_t mask = 0;

	for (unsigned int i = 0; i < n && i < sizeof(sysv_arguments); i++)
		mask |= sysv_arguments[i];
	return mask;
}
