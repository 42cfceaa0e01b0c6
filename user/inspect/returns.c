// SPDX-License-Identifier: Apache-2.0
#include "inspect/returns.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "inspect/disasm.h"
#include "inspect/symbols.h"
#include "inspect/unwind.h"

#define RETURNS_MAX 128 /* of one function with its parts */
#define TARGETS_MAX 1024

struct part {
	uint64_t start, bytes;
	bool own; /* of the function itself; else of one that it jumps to */
	unsigned int first_return, n_returns;
};

struct walk {
	const struct elf *elf;
	unsigned int n_parts, n_returns;
	uint16_t flags; /* INSPECT_FN_* */
	struct part parts[RETURNS_PARTS_MAX];
	uint64_t returns[RETURNS_MAX]; /* addresses, those of a part together */
};

/* The part that is being looked at. */
struct sweep {
	struct walk *walk;
	const struct part *part;
	bool returns_home; /* jumps back into the function */
	bool lost;	   /* too much for the tables */
	unsigned int n_inside, n_outside;
	uint64_t inside[TARGETS_MAX], outside[RETURNS_PARTS_MAX * 2];
	uint8_t starts[RETURNS_CODE_MAX_BYTES / 8]; /* bits: where instructions begin */
};

static bool is_inside(const struct part *part, uint64_t address)
{
	return address - part->start < part->bytes;
}

static void note_target(struct sweep *sweep, uint64_t target)
{
	if (is_inside(sweep->part, target)) {
		if (sweep->n_inside == TARGETS_MAX)
			sweep->lost = true;
		else
			sweep->inside[sweep->n_inside++] = target;
		return;
	}
	if (is_inside(&sweep->walk->parts[0], target))
		sweep->returns_home = true;
	for (unsigned int i = 0; i < sweep->n_outside; i++)
		if (sweep->outside[i] == target)
			return;
	if (sweep->n_outside == sizeof(sweep->outside) / sizeof(sweep->outside[0]))
		sweep->lost = true;
	else
		sweep->outside[sweep->n_outside++] = target;
}

static bool on_step(void *arg, const struct disasm_step *step)
{
	struct sweep *sweep = arg;
	struct walk *walk = sweep->walk;
	uint64_t in = step->address - sweep->part->start, address;

	sweep->starts[in / 8] |= (uint8_t)(1u << in % 8);
	switch (step->kind) {
	case DISASM_RETURN:
		if (walk->n_returns == RETURNS_MAX)
			sweep->lost = true;
		else
			walk->returns[walk->n_returns++] = step->address;
		break;
	case DISASM_JUMP:
		note_target(sweep, step->target);
		break;
	case DISASM_JUMP_SLOT: /* built without PLT: a call's end through the table itself */
		if (symbols__of_slot(walk->elf, step->target, &address))
			note_target(sweep, address);
		else
			walk->flags |= INSPECT_FN_JUMPS_OUT | INSPECT_FN_RETURNS_UNKNOWN;
		break;
	case DISASM_JUMP_POINTER:
		walk->flags |= INSPECT_FN_JUMPS_OUT | INSPECT_FN_RETURNS_UNKNOWN;
		break;
	default:
		break;
	}
	return !sweep->lost;
}

/*
 * A probe in the middle of an instruction would break the program. Code that is not what it looks like
 * (data between instructions) gives itself away: jumps go where no instruction was seen.
 */
static bool is_consistent(const struct sweep *sweep)
{
	for (unsigned int i = 0; i < sweep->n_inside; i++) {
		uint64_t in = sweep->inside[i] - sweep->part->start;

		if (!(sweep->starts[in / 8] & 1u << in % 8))
			return false;
	}
	return true;
}

struct slot {
	uint64_t at;
	unsigned int steps;
};

static bool on_stub_step(void *arg, const struct disasm_step *step)
{
	struct slot *slot = arg;

	if (step->kind == DISASM_JUMP_SLOT)
		slot->at = step->target;
	return step->kind == DISASM_OTHER && ++slot->steps < 3;
}

/*
 * arm64: perhaps bti c, then adrp x16, page; ldr x17, [x16, in page] (its ELF ABI supplement, "Procedure
 * linkage table"). 0: no such stub.
 */
static uint64_t arm64_slot(const uint8_t *code, uint64_t address)
{
	uint32_t words[3];
	int64_t page;
	int i;

	memcpy(words, code, sizeof(words));
	i = words[0] == 0xd503245f;
	if ((words[i] & 0x9f00001f) != 0x90000010 || (words[i + 1] & 0xffc003ff) != 0xf9400211)
		return 0;
	page = (int64_t)(words[i] >> 5 & 0x7ffff) << 2 | (int64_t)(words[i] >> 29 & 3);
	page = (int64_t)((uint64_t)page << 43) >> 31; /* 21 bits, signed, of pages */
	return ((address + (uint64_t)i * 4) & ~0xfffull) + (uint64_t)page +
	       (words[i + 1] >> 10 & 0xfff) * 8;
}

/* Through an entry of the PLT (x86-64: perhaps endbr64, then jmp *slot) to the function behind it. */
static uint64_t through_stub(const struct elf *elf, uint64_t target)
{
	struct slot slot = { 0, 0 };
	uint64_t at, bytes, address;
	uint8_t code[16];

	if (!elf__offset(elf, target, &at, &bytes) || bytes < sizeof(code) ||
	    file__read(elf->file, at, code, sizeof(code)))
		return target;
	if (elf->machine == EM_AARCH64)
		slot.at = arm64_slot(code, target);
	else
		disasm__sweep(elf->machine, code, sizeof(code), target, on_stub_step, &slot);
	return slot.at && symbols__of_slot(elf, slot.at, &address) ? address : target;
}

/* What was jumped to from a part becomes a part, too, or its returns are not known. */
static void add_part(struct walk *walk, uint64_t target)
{
	struct part part = { .start = 0 };

	target = through_stub(walk->elf, target);
	for (unsigned int i = 0; i < walk->n_parts; i++)
		if (is_inside(&walk->parts[i], target))
			return;
	if (walk->n_parts == RETURNS_PARTS_MAX) {
		walk->flags |= INSPECT_FN_CUT;
		return;
	}
	if (!unwind__function(walk->elf, target, &part.start, &part.bytes) ||
	    part.bytes > RETURNS_CODE_MAX_BYTES) {
		walk->flags |= INSPECT_FN_JUMPS_OUT | INSPECT_FN_RETURNS_UNKNOWN;
		return;
	}
	walk->parts[walk->n_parts++] = part;
}

static bool sweep_part(struct walk *walk, struct part *part)
{
	static uint8_t code[RETURNS_CODE_MAX_BYTES];
	static struct sweep sweep; /* too large for a stack */
	uint64_t at, bytes;

	memset(&sweep, 0, sizeof(sweep));
	sweep.walk = walk;
	sweep.part = part;
	part->first_return = walk->n_returns;
	if (part->bytes > sizeof(code) || !elf__offset(walk->elf, part->start, &at, &bytes) ||
	    part->bytes > bytes || file__read(walk->elf->file, at, code, (size_t)part->bytes))
		return false;
	if (disasm__sweep(walk->elf->machine, code, (size_t)part->bytes, part->start, on_step,
			  &sweep) ||
	    sweep.lost || !is_consistent(&sweep))
		return false;
	part->n_returns = walk->n_returns - part->first_return;
	part->own = part == &walk->parts[0] || sweep.returns_home;
	for (unsigned int i = 0; i < sweep.n_outside; i++)
		add_part(walk, sweep.outside[i]);
	return true;
}

static void find_returns(struct walk *walk)
{
	for (unsigned int i = 0; i < walk->n_parts; i++) {
		struct part *part = &walk->parts[i];

		if (!sweep_part(walk, part)) {
			walk->n_returns = part->first_return;
			part->n_returns = 0;
			walk->flags |= INSPECT_FN_CUT;
		}
		if (!part->own && part->n_returns)
			walk->flags |= INSPECT_FN_JUMPS_OUT;
	}
}

/*
 * false: there is no room. A return that others jump to is the function's whose own it is; an entry
 * stays what it is.
 */
static bool add_point(struct inspect_tls *ret, uint64_t offset, uint16_t is_return)
{
	struct inspect_point point = { .offset = offset,
				       .function = ret->functions[ret->n_functions].function,
				       .is_return = is_return,
				       .of = ret->n_functions };

	for (uint32_t i = 0; i < ret->n_points; i++) {
		if (ret->points[i].offset != offset)
			continue;
		if (ret->points[i].is_return == INSPECT_RETURN_SHARED &&
		    is_return == INSPECT_RETURN)
			ret->points[i] = point;
		return true;
	}
	if (ret->n_points == INSPECT_POINTS_MAX)
		return false;
	ret->points[ret->n_points++] = point;
	return true;
}

static void add_returns(const struct walk *walk, struct inspect_tls *ret)
{
	struct inspect_function *f = &ret->functions[ret->n_functions];
	uint64_t at, bytes;

	f->flags = walk->flags;
	for (unsigned int i = 0; i < walk->n_parts; i++) {
		const struct part *part = &walk->parts[i];

		for (unsigned int k = 0; k < part->n_returns; k++) {
			if (!elf__offset(walk->elf, walk->returns[part->first_return + k], &at,
					 &bytes))
				continue;
			if (!add_point(ret, at, part->own ? INSPECT_RETURN : INSPECT_RETURN_SHARED))
				f->flags |= INSPECT_FN_CUT;
		}
	}
}

int returns__add(const struct elf *elf, enum tls_function function, uint64_t address,
		 uint64_t bytes, struct inspect_tls *ret)
{
	static struct walk walk;
	uint64_t offset, room, start;

	if (!elf__offset(elf, address, &offset, &room))
		return -EPROTO;
	if (ret->n_functions == INSPECT_FUNCTIONS_MAX || ret->n_points == INSPECT_POINTS_MAX)
		return -E2BIG;
	if (!bytes && unwind__function(elf, address, &start, &bytes) && start != address)
		bytes = 0;
	ret->functions[ret->n_functions] =
		(struct inspect_function){ .offset = offset,
					   .bytes = bytes < UINT32_MAX ? (uint32_t)bytes : 0,
					   .function = (uint16_t)function };
	add_point(ret, offset, INSPECT_ENTRY);
	if (functions__has_returns(function)) {
		memset(&walk, 0, sizeof(walk));
		walk.elf = elf;
		walk.n_parts = 1;
		walk.parts[0] = (struct part){ .start = address, .bytes = bytes };
		if (bytes)
			find_returns(&walk);
		else
			walk.flags = INSPECT_FN_RETURNS_UNKNOWN;
		add_returns(&walk, ret);
	}
	ret->n_functions++;
	return 0;
}
