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
			step.bytes = ARM64_BYTES;
			if (!each(arg, &step))
				return 0;
			continue;
		}
		step.bytes = m->insn->size;
		step.kind = m->arch == CS_ARCH_X86 ? x86_kind(m->insn, &written, &step.target) :
						     arm64_kind(m->insn, &written, &step.target);
		if (!each(arg, &step))
			return 0;
	}
	return 0;
}
