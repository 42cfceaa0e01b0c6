// SPDX-License-Identifier: Apache-2.0
#include "inspect/disasm.h"

#include <capstone/capstone.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

/* Of each machine: a handle, and the one instruction that all are read into. */
static struct machine {
	uint16_t elf;
	cs_arch arch;
	cs_mode mode;
	csh handle;
	cs_insn *insn;
} machines[] = {
	{ .elf = EM_X86_64, .arch = CS_ARCH_X86, .mode = CS_MODE_64 },
	{ .elf = EM_AARCH64, .arch = CS_ARCH_ARM64, .mode = CS_MODE_LITTLE_ENDIAN },
};
static bool loaded;
#define ARM64_BYTES 4

static bool open_machine(struct machine *m)
{
	if (cs_open(m->arch, m->mode, &m->handle))
		return false;
	if (cs_option(m->handle, CS_OPT_DETAIL, CS_OPT_ON))
		return false;
	m->insn = cs_malloc(m->handle);
	return m->insn != NULL;
}

int disasm__load(struct err *err)
{
	for (size_t i = 0; !loaded && i < sizeof(machines) / sizeof(machines[0]); i++)
		if (!open_machine(&machines[i]))
			return err__set(err, -ENOTSUP,
					"capstone cannot read the machine code of every machine: "
					"where functions of TLS libraries return is not known");
	loaded = true;
	return 0;
}

/*
 * What the last instruction that wrote a register loaded into it: a jump to a register that was loaded
 * from one place in memory goes to another function; where an index or a sum made it, to a case of
 * a switch statement.
 */
#define REGISTERS 512
struct written {
	bool pointer[REGISTERS];
};

static void x86_written(const cs_x86 *x86, unsigned int id, struct written *written)
{
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];

	if (x86->op_count < 2 || to->type != X86_OP_REG || to->reg >= REGISTERS)
		return;
	written->pointer[to->reg] =
		id == X86_INS_MOV && from->type == X86_OP_MEM && from->mem.index == X86_REG_INVALID;
}

static enum disasm_kind x86_jump(const cs_insn *insn, const struct written *written,
				 uint64_t *ret_target)
{
	const cs_x86_op *to = &insn->detail->x86.operands[0];

	switch (to->type) {
	case X86_OP_IMM:
		*ret_target = (uint64_t)to->imm;
		return DISASM_JUMP;
	case X86_OP_REG:
		return to->reg < REGISTERS && written->pointer[to->reg] ? DISASM_JUMP_POINTER :
									  DISASM_JUMP_TABLE;
	case X86_OP_MEM:
		if (to->mem.base == X86_REG_RIP) {
			*ret_target = insn->address + insn->size + (uint64_t)to->mem.disp;
			return DISASM_JUMP_SLOT;
		}
		return to->mem.index == X86_REG_INVALID ? DISASM_JUMP_POINTER : DISASM_JUMP_TABLE;
	default:
		return DISASM_JUMP_POINTER;
	}
}

static bool is_x86_jump(const cs_insn *insn)
{
	for (uint8_t i = 0; i < insn->detail->groups_count; i++)
		if (insn->detail->groups[i] == CS_GRP_JUMP)
			return true;
	/* these are jumps, too, and in no group in all versions */
	return insn->id == X86_INS_JRCXZ || insn->id == X86_INS_JECXZ || insn->id == X86_INS_LOOP ||
	       insn->id == X86_INS_LOOPE || insn->id == X86_INS_LOOPNE;
}

static enum disasm_kind x86_kind(const cs_insn *insn, struct written *written, uint64_t *ret_target)
{
	if (insn->id == X86_INS_RET)
		return DISASM_RETURN;
	if (is_x86_jump(insn))
		return x86_jump(insn, written, ret_target);
	x86_written(&insn->detail->x86, insn->id, written);
	return DISASM_OTHER;
}

/* Of which register a name is, or is a part. */
static const uint16_t x86_registers[X86_REG_ENDING] = {
	[X86_REG_RAX] = DISASM_RAX, [X86_REG_EAX] = DISASM_RAX, [X86_REG_AX] = DISASM_RAX,
	[X86_REG_AL] = DISASM_RAX,  [X86_REG_AH] = DISASM_RAX,	[X86_REG_RCX] = DISASM_RCX,
	[X86_REG_ECX] = DISASM_RCX, [X86_REG_CX] = DISASM_RCX,	[X86_REG_CL] = DISASM_RCX,
	[X86_REG_CH] = DISASM_RCX,  [X86_REG_RDX] = DISASM_RDX, [X86_REG_EDX] = DISASM_RDX,
	[X86_REG_DX] = DISASM_RDX,  [X86_REG_DL] = DISASM_RDX,	[X86_REG_DH] = DISASM_RDX,
	[X86_REG_RBX] = DISASM_RBX, [X86_REG_EBX] = DISASM_RBX, [X86_REG_BX] = DISASM_RBX,
	[X86_REG_BL] = DISASM_RBX,  [X86_REG_BH] = DISASM_RBX,	[X86_REG_RBP] = DISASM_RBP,
	[X86_REG_EBP] = DISASM_RBP, [X86_REG_BP] = DISASM_RBP,	[X86_REG_BPL] = DISASM_RBP,
	[X86_REG_RSI] = DISASM_RSI, [X86_REG_ESI] = DISASM_RSI, [X86_REG_SI] = DISASM_RSI,
	[X86_REG_SIL] = DISASM_RSI, [X86_REG_RDI] = DISASM_RDI, [X86_REG_EDI] = DISASM_RDI,
	[X86_REG_DI] = DISASM_RDI,  [X86_REG_DIL] = DISASM_RDI, [X86_REG_R8] = 1 << 8,
	[X86_REG_R8D] = 1 << 8,	    [X86_REG_R8W] = 1 << 8,	[X86_REG_R8B] = 1 << 8,
	[X86_REG_R9] = 1 << 9,	    [X86_REG_R9D] = 1 << 9,	[X86_REG_R9W] = 1 << 9,
	[X86_REG_R9B] = 1 << 9,	    [X86_REG_R10] = 1 << 10,	[X86_REG_R10D] = 1 << 10,
	[X86_REG_R10W] = 1 << 10,   [X86_REG_R10B] = 1 << 10,	[X86_REG_R11] = 1 << 11,
	[X86_REG_R11D] = 1 << 11,   [X86_REG_R11W] = 1 << 11,	[X86_REG_R11B] = 1 << 11,
	[X86_REG_R12] = 1 << 12,    [X86_REG_R12D] = 1 << 12,	[X86_REG_R12W] = 1 << 12,
	[X86_REG_R12B] = 1 << 12,   [X86_REG_R13] = 1 << 13,	[X86_REG_R13D] = 1 << 13,
	[X86_REG_R13W] = 1 << 13,   [X86_REG_R13B] = 1 << 13,	[X86_REG_R14] = 1 << 14,
	[X86_REG_R14D] = 1 << 14,   [X86_REG_R14W] = 1 << 14,	[X86_REG_R14B] = 1 << 14,
	[X86_REG_R15] = 1 << 15,    [X86_REG_R15D] = 1 << 15,	[X86_REG_R15W] = 1 << 15,
	[X86_REG_R15B] = 1 << 15,
};

static uint16_t x86_register(unsigned int reg)
{
	return reg < X86_REG_ENDING ? x86_registers[reg] : 0;
}

/* As branch_setup_insn() and push_setup_insn() of the kernel decide. */
static bool x86_emulated(const cs_insn *insn)
{
	const uint8_t *b = insn->bytes;

	if (b[0] == 0x41)
		return insn->size == 2 && (b[1] & 0xf8) == 0x50; /* push of r8 to r15 */
	if (b[0] == 0x0f)
		return (b[1] & 0xf0) == 0x80; /* jcc, far */
	return (b[0] & 0xf8) == 0x50 || (b[0] & 0xf0) == 0x70 || b[0] == 0x90 || b[0] == 0xe8 ||
	       b[0] == 0xe9 || b[0] == 0xeb;
}

/* What it does to the stack pointer. */
static void x86_sp(const cs_insn *insn, bool writes_sp, struct disasm_step *step)
{
	const cs_x86 *x86 = &insn->detail->x86;
	bool by_number = x86->op_count == 2 && x86->operands[0].type == X86_OP_REG &&
			 x86->operands[0].reg == X86_REG_RSP && x86->operands[1].type == X86_OP_IMM;

	switch (insn->id) {
	case X86_INS_CALL:
		return;
	case X86_INS_PUSH:
	case X86_INS_POP:
		if (x86->operands[0].size != 8 ||
		    (x86->operands[0].type == X86_OP_REG && x86->operands[0].reg == X86_REG_RSP))
			break;
		step->sp = insn->id == X86_INS_PUSH ? -8 : 8;
		return;
	case X86_INS_ADD:
	case X86_INS_SUB:
		if (!by_number || x86->operands[1].imm > 1 << 20 ||
		    x86->operands[1].imm < -(1 << 20))
			break;
		step->sp = (int32_t)(insn->id == X86_INS_ADD ? x86->operands[1].imm :
							       -x86->operands[1].imm);
		return;
	default:
		break;
	}
	if (writes_sp)
		step->flags |= DISASM_SP_LOST;
}

/* System V psABI, AMD64 3.2.1. A function of Go keeps none; nothing is looked at behind its calls. */
#define CALL_KEEPS (DISASM_RBX | DISASM_RBP | DISASM_R12 | DISASM_R13 | DISASM_R14 | DISASM_R15)

static bool x86_stores(const cs_x86 *x86)
{
	for (uint8_t i = 0; i < x86->op_count; i++)
		if (x86->operands[i].type == X86_OP_MEM && x86->operands[i].access & CS_AC_WRITE)
			return true;
	return false;
}

/* A word in the frame: nothing but rsp and a number. */
static bool is_x86_slot(const cs_x86_op *op)
{
	return op->type == X86_OP_MEM && op->mem.base == X86_REG_RSP &&
	       op->mem.index == X86_REG_INVALID && op->mem.segment == X86_REG_INVALID &&
	       op->mem.disp == (int32_t)op->mem.disp;
}

static void x86_set(int64_t number, struct disasm_step *step)
{
	if (number != (int32_t)number)
		return;
	step->move = DISASM_SET;
	step->number = (int32_t)number;
}

static void x86_move(const cs_insn *insn, struct disasm_step *step)
{
	const cs_x86 *x86 = &insn->detail->x86;
	const cs_x86_op *to = &x86->operands[0], *from = &x86->operands[1];
	bool to_register = x86->op_count == 2 && to->type == X86_OP_REG && to->size >= 4 &&
			   x86_register(to->reg);
	bool from_register = x86->op_count == 2 && from->type == X86_OP_REG && from->size >= 4 &&
			     x86_register(from->reg);

	if (insn->id == X86_INS_CDQE) {
		step->move = DISASM_COPY;
		step->from = DISASM_RAX;
	} else if (insn->id == X86_INS_XOR && to_register && from_register &&
		   to->reg == from->reg) {
		x86_set(0, step);
	} else if ((insn->id == X86_INS_MOV || insn->id == X86_INS_MOVSXD) && to_register &&
		   from_register) {
		step->move = DISASM_COPY;
		step->from = x86_register(from->reg);
	} else if (insn->id == X86_INS_MOV && to_register && from->type == X86_OP_IMM) {
		x86_set(from->imm, step);
	} else if (insn->id == X86_INS_MOV && to_register && is_x86_slot(from) && from->size == 8) {
		step->move = DISASM_FILL;
		step->number = (int32_t)from->mem.disp;
	} else if (insn->id == X86_INS_ADD && to_register && from_register) {
		step->move = DISASM_ADD;
		step->from = x86_register(from->reg);
	} else if (insn->id == X86_INS_LEA && to_register && from->type == X86_OP_MEM &&
		   from->mem.base == X86_REG_RIP) {
		step->move = DISASM_PLACE;
		step->target = insn->address + insn->size + (uint64_t)from->mem.disp;
	} else if (step->flags & DISASM_STORES && is_x86_slot(to)) {
		bool whole = insn->id == X86_INS_MOV && from_register && to->size == 8;

		step->move = DISASM_SPILL;
		step->from = whole ? x86_register(from->reg) : 0;
		step->number = (int32_t)to->mem.disp;
	}
}

static void x86_describe(csh handle, const cs_insn *insn, struct disasm_step *step)
{
	const cs_x86 *x86 = &insn->detail->x86;
	cs_regs read, written;
	uint8_t n_read, n_written;
	bool writes_sp = false;

	/* nothing is known of it: then it is taken to do everything */
	if (cs_regs_access(handle, insn, read, &n_read, written, &n_written)) {
		step->writes = UINT16_MAX;
		step->flags = DISASM_SP_LOST | DISASM_STORES;
		return;
	}
	for (uint8_t i = 0; i < n_written; i++) {
		step->writes |= x86_register(written[i]);
		writes_sp |= written[i] == X86_REG_RSP || written[i] == X86_REG_ESP;
	}
	for (uint8_t i = 0; i < x86->op_count; i++)
		if (x86->operands[i].type == X86_OP_MEM &&
		    x86->operands[i].mem.segment == X86_REG_FS && x86->operands[i].mem.disp == 0x28)
			step->flags |= DISASM_CANARY;
	if (x86_emulated(insn))
		step->flags |= DISASM_EMULATED;
	if (x86_stores(x86))
		step->flags |= DISASM_STORES;
	if (insn->id == X86_INS_JMP)
		step->flags |= DISASM_ALWAYS;
	if (insn->id == X86_INS_CALL) {
		step->writes = (uint16_t)~CALL_KEEPS;
		step->kind = DISASM_CALL;
		step->target =
			x86->operands[0].type == X86_OP_IMM ? (uint64_t)x86->operands[0].imm : 0;
	}
	if (step->kind == DISASM_JUMP)
		step->condition = insn->bytes[insn->bytes[0] == 0x0f] & 0xf;
	x86_sp(insn, writes_sp, step);
	x86_move(insn, step);
}

static enum disasm_kind arm64_kind(const cs_insn *insn, struct written *written,
				   uint64_t *ret_target)
{
	const cs_arm64 *arm64 = &insn->detail->arm64;
	const cs_arm64_op *first = &arm64->operands[0], *last;
	uint32_t word;

	memcpy(&word, insn->bytes, sizeof(word));
	/* RET Xn, RETAA, RETAB (Arm ARM, C6.2: "Unconditional branch (register)") */
	if ((word & 0xfffffc1f) == 0xd65f0000 || word == 0xd65f0bff || word == 0xd65f0fff)
		return DISASM_RETURN;
	switch (insn->id) {
	case ARM64_INS_B:
	case ARM64_INS_CBZ:
	case ARM64_INS_CBNZ:
	case ARM64_INS_TBZ:
	case ARM64_INS_TBNZ:
		last = &arm64->operands[arm64->op_count - 1];
		if (!arm64->op_count || last->type != ARM64_OP_IMM)
			return DISASM_JUMP_POINTER;
		*ret_target = (uint64_t)last->imm;
		return DISASM_JUMP;
	case ARM64_INS_BR:
		return first->type == ARM64_OP_REG && first->reg < REGISTERS &&
				       !written->pointer[first->reg] ?
			       DISASM_JUMP_TABLE :
			       DISASM_JUMP_POINTER;
	default:
		break;
	}
	if (arm64->op_count >= 2 && first->type == ARM64_OP_REG && first->reg < REGISTERS) {
		const cs_arm64_op *from = &arm64->operands[1];

		written->pointer[first->reg] = insn->id == ARM64_INS_LDR &&
					       from->type == ARM64_OP_MEM &&
					       from->mem.index == ARM64_REG_INVALID;
	}
	return DISASM_OTHER;
}

int disasm__sweep(uint16_t elf_machine, const uint8_t *code, size_t n, uint64_t address,
		  bool (*each)(void *arg, const struct disasm_step *step), void *arg)
{
	struct written written = { 0 };
	struct machine *m = NULL;

	for (size_t i = 0; loaded && i < sizeof(machines) / sizeof(machines[0]); i++)
		if (machines[i].elf == elf_machine)
			m = &machines[i];
	if (!m)
		return -ENOTSUP;
	while (n) {
		struct disasm_step step = { .address = address };

		if (!cs_disasm_iter(m->handle, &code, &n, &address, m->insn)) {
			if (m->arch != CS_ARCH_ARM64 || n < ARM64_BYTES)
				return -EILSEQ;
			/* All are of one size, and what capstone 4 does not know (CAS …) is no branch. */
			code += ARM64_BYTES;
			n -= ARM64_BYTES;
			address += ARM64_BYTES;
			if (!each(arg, &step))
				return 0;
			continue;
		}
		if (m->arch == CS_ARCH_X86) {
			step.kind = x86_kind(m->insn, &written, &step.target);
			x86_describe(m->handle, m->insn, &step);
		} else {
			step.kind = arm64_kind(m->insn, &written, &step.target);
		}
		if (!each(arg, &step))
			return 0;
	}
	return 0;
}
