// SPDX-License-Identifier: Apache-2.0
#include "inspect/returns.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "inspect/cheap_exit.h"
#include "inspect/disasm.h"
#include "inspect/symbols.h"
#include "inspect/unwind.h"

#define RETURNS_MAX 128 /* of one function with its parts */
#define TARGETS_MAX 1024
#define EXITS_MAX 256	 /* jumps in place of returns, of one function with its parts */
#define TABLE_MAX 512	 /* cases of one switch */
#define TABLE_STEPS 6	 /* from where a table's address is made to the jump by it */
#define ENTERED_MAX 1024 /* places that are gone to by tables, or from other parts */

struct part {
	uint64_t start, bytes;
	bool own; /* of the function itself; else of one that it jumps to */
	unsigned int first_return, n_returns;
};

struct exit {
	uint64_t address;
	uint64_t from; /* between there and it are only ways that the cheap ones know */
	unsigned int first_cheap, n_cheap;
};

struct walk {
	const struct elf *elf;
	enum tls_function function;
	const struct cheap_go *go; /* NULL: no function of Go */
	unsigned int n_parts, n_returns, n_inside;
	uint16_t flags;				 /* INSPECT_FN_* */
	struct cheap_point entry;		 /* address 0: there is none */
	struct cheap_point inside[CHEAP_GO_MAX]; /* in place of entry and returns */
	struct part parts[RETURNS_PARTS_MAX];
	struct exit returns[RETURNS_MAX]; /* those of a part together */
	unsigned int n_cheap, n_entered;
	bool has_ways;			    /* that are not known: nothing stands for a return */
	struct cheap_exit cheap[EXITS_MAX]; /* those of a return together */
	uint64_t entered[ENTERED_MAX];
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
	struct cheap_code code;
};

static bool is_inside(const struct part *part, uint64_t address)
{
	return address - part->start < part->bytes;
}

static void note_entered(struct walk *walk, uint64_t target)
{
	if (walk->n_entered == ENTERED_MAX)
		walk->has_ways = true;
	else
		walk->entered[walk->n_entered++] = target;
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
	note_entered(sweep->walk, target);
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

/* Where the table begins that a jump goes by: what was added last before it is its address. 0: not known. */
static uint64_t table_of(const struct cheap_code *code)
{
	uint16_t regs = 0;

	for (unsigned int i = code->n_steps - 1, n = 0; i > 0 && n < TABLE_STEPS; n++) {
		const struct disasm_step *step = &code->steps[--i];

		if (!regs && step->move == DISASM_ADD)
			regs = step->writes | step->from;
		else if (step->writes & regs && step->move == DISASM_PLACE)
			return step->target;
	}
	return 0;
}

/*
 * A switch: numbers of 4 bytes, each how far a case is from where they begin. How many there are nothing says: what
 * does not lead into the part is none of them.
 */
static void note_table(struct sweep *sweep)
{
	static int32_t cases[TABLE_MAX];
	uint64_t at, bytes, base;
	unsigned int n = 0;
	long got = 0;

	base = sweep->code.n_steps <= CHEAP_STEPS_MAX ? table_of(&sweep->code) : 0;
	if (base && elf__offset(sweep->walk->elf, base, &at, &bytes))
		got = file__read_some(sweep->walk->elf->file, at, cases, sizeof(cases));
	while (got >= (long)((n + 1) * sizeof(cases[0])) &&
	       is_inside(sweep->part, base + (uint64_t)(int64_t)cases[n]))
		note_entered(sweep->walk, base + (uint64_t)(int64_t)cases[n++]);
	if (!n || n == TABLE_MAX)
		sweep->walk->has_ways = true;
}

static bool on_step(void *arg, const struct disasm_step *step)
{
	struct sweep *sweep = arg;
	struct walk *walk = sweep->walk;
	uint64_t in = step->address - sweep->part->start, address;

	sweep->starts[in / 8] |= (uint8_t)(1u << in % 8);
	if (sweep->code.n_steps < CHEAP_STEPS_MAX)
		sweep->code.steps[sweep->code.n_steps] = *step;
	sweep->code.n_steps++;
	switch (step->kind) {
	case DISASM_RETURN:
		if (walk->n_returns == RETURNS_MAX)
			sweep->lost = true;
		else
			walk->returns[walk->n_returns++] =
				(struct exit){ .address = step->address };
		break;
	case DISASM_JUMP:
		note_target(sweep, step->target);
		break;
	case DISASM_JUMP_TABLE:
		if (walk->elf->machine == EM_X86_64)
			note_table(sweep);
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

/* The registers that hold what is to be read at a function's entry. */
static uint16_t arguments_of(enum tls_function function)
{
	if (functions__library(function) == TLS_GO)
		return DISASM_RAX | DISASM_RBX | DISASM_RCX;
	return cheap__arguments(functions__arguments(function));
}

static void find_inside(struct walk *walk, const struct cheap_code *code)
{
	if (walk->function == TLS_FN_GO_CONN_READ)
		walk->n_inside = cheap_go__read(code, walk->go, walk->inside);
	if (walk->function == TLS_FN_GO_CONN_WRITE)
		walk->n_inside = cheap_go__write(code, walk->go, walk->inside);
}

/* What is asked of a return in C is in one register; in Rust it is in two, and in Go on a stack that moves. */
static void find_exits(struct walk *walk, const struct cheap_code *code, struct exit *ret)
{
	enum tls_library library = functions__library(walk->function);

	ret->first_cheap = walk->n_cheap;
	if ((library != TLS_OPENSSL && library != TLS_GNUTLS) ||
	    walk->n_cheap + CHEAP_EXITS_MAX > EXITS_MAX)
		return;
	ret->n_cheap =
		cheap_exit__find(code, ret->address, &walk->cheap[walk->n_cheap], &ret->from);
	walk->n_cheap += ret->n_cheap;
}

static void find_cheap(struct sweep *sweep)
{
	struct cheap_code *code = &sweep->code;
	struct walk *walk = sweep->walk;

	if (code->n_steps > CHEAP_STEPS_MAX || walk->elf->machine != EM_X86_64)
		return;
	code->targets = sweep->inside;
	code->n_targets = sweep->n_inside;
	for (unsigned int i = sweep->part->first_return; i < walk->n_returns; i++)
		find_exits(walk, code, &walk->returns[i]);
	if (sweep->part == &walk->parts[0])
		cheap__entry(code, arguments_of(walk->function), &walk->entry);
	if (sweep->part == &walk->parts[0] && walk->go)
		find_inside(walk, code);
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
	if (part->bytes > walk->elf->file->code_left) {
		walk->elf->file->cut = true;
		return false;
	}
	walk->elf->file->code_left -= (uint32_t)part->bytes;
	if (part->bytes > sizeof(code) || !elf__offset(walk->elf, part->start, &at, &bytes) ||
	    part->bytes > bytes || file__read(walk->elf->file, at, code, (size_t)part->bytes))
		return false;
	if (disasm__sweep(walk->elf->machine, code, (size_t)part->bytes, part->start, on_step,
			  &sweep) ||
	    sweep.lost || !is_consistent(&sweep))
		return false;
	find_cheap(&sweep);
	part->n_returns = walk->n_returns - part->first_return;
	part->own = part == &walk->parts[0] || sweep.returns_home;
	for (unsigned int i = 0; i < sweep.n_outside && functions__has_returns(walk->function); i++)
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

static struct inspect_point *find_point(struct inspect_tls *ret, uint64_t offset)
{
	for (uint32_t i = 0; i < ret->n_points; i++)
		if (ret->points[i].offset == offset)
			return &ret->points[i];
	return NULL;
}

/* false: there is no room. What is a point already stays one. */
static bool add_point(struct inspect_tls *ret, uint64_t offset, uint8_t is_return, uint8_t sets,
		      const struct cheap_exit *exit)
{
	if (find_point(ret, offset))
		return true;
	if (ret->n_points == INSPECT_POINTS_MAX)
		return false;
	ret->points[ret->n_points++] =
		(struct inspect_point){ .offset = offset,
					.function = ret->functions[ret->n_functions].function,
					.is_return = is_return,
					.sets = sets,
					.of = (uint16_t)ret->n_functions,
					.below = (uint16_t)exit->at.below,
					.result = exit->result,
					.condition = exit->condition };
	return true;
}

static const struct cheap_exit as_it_is;

/* Where in the file a cheap point is, unless another function has a point there. */
static bool cheap_offset(const struct walk *walk, struct inspect_tls *ret,
			 const struct cheap_point *cheap, uint64_t *ret_offset)
{
	uint64_t bytes;

	return cheap->address && cheap->below >= 0 && cheap->below <= UINT16_MAX &&
	       elf__offset(walk->elf, cheap->address, ret_offset, &bytes) &&
	       !find_point(ret, *ret_offset);
}

static void add_entry(const struct walk *walk, uint64_t offset, struct inspect_tls *ret)
{
	const struct cheap_exit there = { .at = walk->entry };
	uint64_t cheap;

	if (walk->n_inside) {
		add_point(ret, offset, INSPECT_ENTRY, INSPECT_PLAIN, &as_it_is);
		return;
	}
	if (walk->entry.address == walk->parts[0].start ||
	    !cheap_offset(walk, ret, &walk->entry, &cheap)) {
		add_point(ret, offset, INSPECT_ENTRY, INSPECT_PLAIN | INSPECT_CHEAP, &as_it_is);
		return;
	}
	add_point(ret, offset, INSPECT_ENTRY, INSPECT_PLAIN, &as_it_is);
	add_point(ret, cheap, INSPECT_ENTRY, INSPECT_CHEAP, &there);
}

/* Whether all its jumps can be points: they are all ways to it, and there is room. */
static bool has_exits(const struct walk *walk, const struct exit *at, struct inspect_tls *ret)
{
	uint64_t offset;

	if (!at->n_cheap || walk->has_ways || ret->n_points + at->n_cheap + 1 > INSPECT_POINTS_MAX)
		return false;
	for (unsigned int i = 0; i < walk->n_entered; i++)
		if (walk->entered[i] > at->from && walk->entered[i] <= at->address)
			return false;
	for (unsigned int i = 0; i < at->n_cheap; i++)
		if (!cheap_offset(walk, ret, &walk->cheap[at->first_cheap + i].at, &offset))
			return false;
	return true;
}

/* A return that others jump to is the function's whose own it is. */
static void take_over(struct inspect_tls *ret, struct inspect_point *point)
{
	if (!point || point->is_return != INSPECT_RETURN_SHARED)
		return;
	point->is_return = INSPECT_RETURN;
	point->function = ret->functions[ret->n_functions].function;
	point->of = (uint16_t)ret->n_functions;
}

/* With what stands for it. */
static void take_over_return(const struct walk *walk, const struct exit *at,
			     struct inspect_point *there, struct inspect_tls *ret)
{
	uint64_t offset, bytes;

	take_over(ret, there);
	for (unsigned int i = 0; i < at->n_cheap; i++)
		if (elf__offset(walk->elf, walk->cheap[at->first_cheap + i].at.address, &offset,
				&bytes))
			take_over(ret, find_point(ret, offset));
}

/* Once for both sets, or in the plain one, and what stands for it in the other. */
static bool add_return(const struct walk *walk, const struct exit *at, uint8_t is_return,
		       struct inspect_tls *ret)
{
	struct inspect_point *there;
	uint64_t offset, bytes;

	if (!elf__offset(walk->elf, at->address, &offset, &bytes))
		return true;
	there = find_point(ret, offset);
	if (there && is_return == INSPECT_RETURN)
		take_over_return(walk, at, there, ret);
	if (there)
		return true;
	if (walk->n_inside)
		return add_point(ret, offset, is_return, INSPECT_PLAIN, &as_it_is);
	if (!has_exits(walk, at, ret))
		return add_point(ret, offset, is_return, INSPECT_PLAIN | INSPECT_CHEAP, &as_it_is);
	for (unsigned int i = 0; i < at->n_cheap; i++) {
		const struct cheap_exit *exit = &walk->cheap[at->first_cheap + i];
		uint64_t cheap;

		if (cheap_offset(walk, ret, &exit->at, &cheap))
			add_point(ret, cheap, is_return, INSPECT_CHEAP, exit);
	}
	return add_point(ret, offset, is_return, INSPECT_PLAIN, &as_it_is);
}

static void add_returns(const struct walk *walk, struct inspect_tls *ret)
{
	struct inspect_function *f = &ret->functions[ret->n_functions];

	f->flags = walk->flags;
	for (unsigned int i = 0; i < walk->n_parts; i++) {
		const struct part *part = &walk->parts[i];

		for (unsigned int k = 0; k < part->n_returns; k++)
			if (!add_return(walk, &walk->returns[part->first_return + k],
					part->own ? INSPECT_RETURN : INSPECT_RETURN_SHARED, ret))
				f->flags |= INSPECT_FN_CUT;
	}
}

/* All of them, or none: then entry and returns stay. */
static void check_inside(struct walk *walk, struct inspect_tls *ret)
{
	uint64_t offset;

	if (walk->flags || ret->n_points + walk->n_inside > INSPECT_POINTS_MAX)
		walk->n_inside = 0;
	for (unsigned int i = 0; i < walk->n_inside; i++)
		if (!cheap_offset(walk, ret, &walk->inside[i], &offset))
			walk->n_inside = 0;
}

static void add_inside(const struct walk *walk, struct inspect_tls *ret)
{
	uint64_t offset;

	for (unsigned int i = 0; i < walk->n_inside; i++)
		if (cheap_offset(walk, ret, &walk->inside[i], &offset))
			add_point(ret, offset, INSPECT_INSIDE, INSPECT_CHEAP,
				  &(struct cheap_exit){ .at = walk->inside[i] });
}

int returns__add(const struct elf *elf, enum tls_function function, uint64_t address,
		 uint64_t bytes, const struct cheap_go *go, struct inspect_tls *ret)
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
	memset(&walk, 0, sizeof(walk));
	walk.elf = elf;
	walk.function = function;
	walk.go = go;
	walk.n_parts = 1;
	walk.parts[0] = (struct part){ .start = address, .bytes = bytes };
	if (bytes)
		find_returns(&walk);
	else
		walk.flags = INSPECT_FN_RETURNS_UNKNOWN;
	check_inside(&walk, ret);
	add_inside(&walk, ret);
	add_entry(&walk, offset, ret);
	if (functions__has_returns(function))
		add_returns(&walk, ret);
	ret->n_functions++;
	return 0;
}
