// SPDX-License-Identifier: Apache-2.0
#include "inspect/cheap_go.h"

#define PROLOGUE_STEPS 48
#define ARGUMENT_STEPS 16 /* before a call, that make its arguments ready */
#define WORD 8
#define APPLICATION_DATA 23 /* RFC 8446 5.1, ContentType */

/* Where an argument that came in a register is kept: behind the return address, in the order of arguments. */
static int32_t slot_of(int32_t below, unsigned int argument)
{
	return below + WORD * (int32_t)(1 + argument);
}

struct frame {
	int32_t below;
	bool has_conn, has_buffer;
};

/*
 * The prologue, up to the first call: it makes the frame, and keeps receiver and buffer in their slots. The
 * jump to where the stack grows is the only one.
 */
static struct frame frame_of(const struct cheap_code *code)
{
	uint16_t intact = DISASM_RAX | DISASM_RBX;
	struct frame frame = { 0 };
	unsigned int jumps = 0;

	for (unsigned int i = 0; i < code->n_steps && i < PROLOGUE_STEPS; i++) {
		const struct disasm_step *step = &code->steps[i];

		if (step->kind == DISASM_JUMP && !(step->flags & DISASM_ALWAYS) && !jumps++)
			continue;
		if (step->kind != DISASM_OTHER || step->flags & DISASM_SP_LOST)
			break;
		frame.below -= step->sp;
		if (step->move == DISASM_SPILL && step->from & intact & DISASM_RAX)
			frame.has_conn |= step->number == slot_of(frame.below, 0);
		if (step->move == DISASM_SPILL && step->from & intact & DISASM_RBX)
			frame.has_buffer |= step->number == slot_of(frame.below, 1);
		intact &= (uint16_t)~step->writes;
	}
	return frame;
}

/* Nothing but what came in that register is ever written to an argument's slot. */
static bool is_kept(const struct cheap_code *code, int32_t slot, uint16_t from)
{
	unsigned int writes = 0;

	for (unsigned int i = 0; i < code->n_steps; i++) {
		const struct disasm_step *step = &code->steps[i];

		if (step->move == DISASM_SPILL && step->number == slot)
			writes += step->from == from ? 1 : 2;
	}
	return writes == 1;
}

/*
 * What last wrote a register before step `at`, which is entered by no jump from there on; NULL: something that
 * is not known.
 */
static const struct disasm_step *last_write(const struct cheap_code *code, unsigned int at,
					    uint16_t reg)
{
	for (unsigned int i = at; i > 0 && at - i < ARGUMENT_STEPS;) {
		const struct disasm_step *step = &code->steps[--i];

		if (cheap__is_entered(code, step->address, code->steps[at].address))
			return NULL;
		if (step->kind == DISASM_JUMP && !(step->flags & DISASM_ALWAYS))
			continue;
		if (step->kind != DISASM_OTHER)
			return NULL;
		if (step->writes & reg)
			return step;
	}
	return NULL;
}

static bool is_call(const struct disasm_step *step, uint64_t target)
{
	return target && step->kind == DISASM_CALL && step->target == target &&
	       step->flags & DISASM_EMULATED;
}

unsigned int cheap_go__read(const struct cheap_code *code, const struct cheap_go *go,
			    struct cheap_point *ret)
{
	struct frame frame = frame_of(code);
	const struct disasm_step *to;
	unsigned int n = 0, at = 0;

	if (!frame.has_conn || !frame.has_buffer ||
	    !is_kept(code, slot_of(frame.below, 0), DISASM_RAX) ||
	    !is_kept(code, slot_of(frame.below, 1), DISASM_RBX))
		return 0;
	for (unsigned int i = 0; i < code->n_steps; i++)
		if (is_call(&code->steps[i], go->move)) {
			at = i;
			n++;
		}
	to = n == 1 ? last_write(code, at, DISASM_RAX) : NULL;
	if (!to || to->move != DISASM_FILL || to->number != slot_of(frame.below, 1))
		return 0;
	*ret = (struct cheap_point){ code->steps[at].address, frame.below };
	return 1;
}

unsigned int cheap_go__write(const struct cheap_code *code, const struct cheap_go *go,
			     struct cheap_point ret[CHEAP_GO_MAX])
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < code->n_steps; i++) {
		const struct disasm_step *type;

		if (!is_call(&code->steps[i], go->record))
			continue;
		type = last_write(code, i, DISASM_RBX);
		if (n == CHEAP_GO_MAX || !type || type->move != DISASM_SET ||
		    type->number != APPLICATION_DATA)
			return 0;
		ret[n++] = (struct cheap_point){ code->steps[i].address, 0 };
	}
	return n;
}
