// SPDX-License-Identifier: Apache-2.0
#include "inspect/cheap.h"

#define PROLOGUE_STEPS 48 /* further in, no argument is where it was */

static const uint16_t sysv_arguments[] = { DISASM_RDI, DISASM_RSI, DISASM_RDX,
					   DISASM_RCX, DISASM_R8,  DISASM_R9 };
#define ARGUMENTS (sizeof(sysv_arguments) / sizeof(sysv_arguments[0]))

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

unsigned int cheap__step_at(const struct cheap_code *code, uint64_t address)
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

uint16_t cheap__arguments(unsigned int n)
{
	uint16_t mask = 0;

	for (unsigned int i = 0; i < n && i < ARGUMENTS; i++)
		mask |= sysv_arguments[i];
	return mask;
}
