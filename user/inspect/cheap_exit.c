// SPDX-License-Identifier: Apache-2.0
#include "inspect/cheap_exit.h"

#define EPILOGUE_STEPS 32

/* Backwards from a return: what has been found, and where the result is at this step. */
struct way {
	const struct cheap_code *code;
	uint16_t reg; /* 0: `number` is it */
	int32_t number, below;
	struct cheap_exit *exits;
	unsigned int n;
};

/* Registers that a breakpoint's program looks at: the result's, and those that calls keep. */
#define LOOKED_AT                                                                                  \
	(DISASM_RAX | DISASM_RBX | DISASM_RBP | DISASM_R12 | DISASM_R13 | DISASM_R14 | DISASM_R15)

static bool result_of(const struct way *way, uint8_t *ret)
{
	if (!way->reg && way->number > 1)
		return false;
	if (!way->reg)
		*ret = way->number == 1 ? SONDE_TLS_RESULT_ONE : SONDE_TLS_RESULT_NONE;
	else if (way->reg & LOOKED_AT)
		*ret = (uint8_t)__builtin_ctz(way->reg);
	else
		return false;
	return true;
}

static bool add(struct way *way, const struct disasm_step *step, uint8_t condition)
{
	struct cheap_exit exit = { { step->address, way->below }, 0, condition };

	if (!(step->flags & DISASM_EMULATED) || way->n == CHEAP_EXITS_MAX ||
	    !result_of(way, &exit.result))
		return false;
	for (unsigned int i = 0; i < way->n; i++) {
		struct cheap_exit *other = &way->exits[i];

		if (other->at.address != step->address)
			continue;
		/* it leads there both ways */
		if (other->result != exit.result || other->at.below != exit.at.below)
			return false;
		other->condition = SONDE_TLS_ALWAYS;
		return true;
	}
	way->exits[way->n++] = exit;
	return true;
}

static uint8_t condition_of(const struct disasm_step *step, bool taken)
{
	return step->flags & DISASM_ALWAYS ? SONDE_TLS_ALWAYS :
					     (uint8_t)(1 + (step->condition ^ !taken));
}

static bool add_jumps_to(struct way *way, uint64_t address)
{
	const struct cheap_code *code = way->code;

	if (!cheap__is_entered(code, address - 1, address))
		return true;
	for (unsigned int i = 0; i < code->n_steps; i++) {
		const struct disasm_step *step = &code->steps[i];

		if (step->kind == DISASM_JUMP && step->target == address &&
		    !add(way, step, condition_of(step, true)))
			return false;
	}
	return true;
}

/* false: behind this instruction it is not known where the result was before it. */
static bool go_back(struct way *way, const struct disasm_step *step)
{
	if (step->kind != DISASM_OTHER || step->flags & (DISASM_SP_LOST | DISASM_STORES))
		return false;
	way->below += step->sp;
	if (!way->reg || !(step->writes & way->reg))
		return true;
	if (step->writes != way->reg)
		return false;
	switch (step->move) {
	case DISASM_COPY:
		way->reg = step->from;
		return way->reg != 0;
	case DISASM_SET:
		way->reg = 0;
		way->number = step->number;
		return true;
	default:
		return false;
	}
}

/* Nobody goes on behind it. */
static bool ends_here(const struct disasm_step *step)
{
	return (step->kind == DISASM_JUMP && step->flags & DISASM_ALWAYS) ||
	       step->kind == DISASM_RETURN || step->kind == DISASM_JUMP_SLOT ||
	       step->kind == DISASM_JUMP_TABLE || step->kind == DISASM_JUMP_POINTER;
}

unsigned int cheap_exit__find(const struct cheap_code *code, uint64_t address,
			      struct cheap_exit ret[CHEAP_EXITS_MAX], uint64_t *ret_from)
{
	struct way way = { .code = code, .reg = DISASM_RAX, .exits = ret };
	unsigned int at = cheap__step_at(code, address), i = at;

	if (at == code->n_steps)
		return 0;
	while (i > 0 && at - i < EPILOGUE_STEPS) {
		const struct disasm_step *step = &code->steps[i - 1];

		*ret_from = step->address;
		if (!add_jumps_to(&way, code->steps[i].address))
			return 0;
		if (ends_here(step))
			return way.n;
		/* on: it was not taken */
		if (step->kind == DISASM_JUMP)
			return add(&way, step, condition_of(step, false)) ? way.n : 0;
		if (!go_back(&way, step))
			return 0;
		i--;
	}
	return 0;
}
