// SPDX-License-Identifier: Apache-2.0
#include "inspect/disasm.h"

#include <capstone/capstone.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <string.h>

/* The one that the header belongs to. */
#define LIBRARY "libcapstone.so.4"

#define CALLS(call)                                                                                \
	call(cs_open) call(cs_option) call(cs_malloc) call(cs_disasm_iter) call(cs_regs_access)

static struct {
#define MEMBER(name) __typeof__(&name) name;
	CALLS(MEMBER)
#undef MEMBER
} capstone;

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
	if (capstone.cs_open(m->arch, m->mode, &m->handle))
		return false;
	if (capstone.cs_option(m->handle, CS_OPT_DETAIL, CS_OPT_ON))
		return false;
	m->insn = capstone.cs_malloc(m->handle);
	return m->insn != NULL;
}

int disasm__load(struct err *err)
{
	const char *missing = NULL;
	void *library;

	if (loaded)
		return 0;
	library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return err__set(err, -ENOENT,
				"the disassembler's library cannot be loaded: %s; install it: "
				"apt-get install libcapstone4",
				dlerror());
#define LOAD(name)                                                                                 \
	do {                                                                                       \
		void *at = dlsym(library, #name);                                                  \
                                                                                                   \
		memcpy(&capstone.name, &at, sizeof(at));                                           \
		missing = at ? missing : #name;                                                    \
	} while (0);
	CALLS(LOAD)
#undef LOAD
	if (missing)
		return err__set(err, -ENOENT, LIBRARY " has no %s", missing);
	for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++)
		if (!open_machine(&machines[i]))
			return err__set(err, -ENOENT, LIBRARY " does not know every machine");
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

/* Which of the registers that matter a name is, or is a part of. */
static uint8_t x86_register(uint16_t reg)
{
	switch (reg) {
	case X86_REG_RDI:
	case X86_REG_EDI:
	case X86_REG_DI:
	case X86_REG_DIL:
		return DISASM_RDI;
	case X86_REG_RSI:
	case X86_REG_ESI:
	case X86_REG_SI:
	case X86_REG_SIL:
		return DISASM_RSI;
	case X86_REG_RDX:
	case X86_REG_EDX:
	case X86_REG_DX:
	case X86_REG_DL:
	case X86_REG_DH:
		return DISASM_RDX;
	case X86_REG_RCX:
	case X86_REG_ECX:
	case X86_REG_CX:
	case X86_REG_CL:
	case X86_REG_CH:
		return DISASM_RCX;
	case X86_REG_R8:
	case X86_REG_R8D:
	case X86_REG_R8W:
	case X86_REG_R8B:
		return DISASM_R8;
	case X86_REG_R9:
	case X86_REG_R9D:
	case X86_REG_R9W:
	case X86_REG_R9B:
		return DISASM_R9;
	case X86_REG_RAX:
	case X86_REG_EAX:
	case X86_REG_AX:
	case X86_REG_AL:
	case X86_REG_AH:
		return DISASM_RAX;
	case X86_REG_RBX:
	case X86_REG_EBX:
	case X86_REG_BX:
	case X86_REG_BL:
	case X86_REG_BH:
		return DISASM_RBX;
	default:
		return 0;
	}
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

static bool x86_stores(const cs_x86 *x86)
{
	for (uint8_t i = 0; i < x86->op_count; i++)
		if (x86->operands[i].type == X86_OP_MEM && x86->operands[i].access & CS_AC_WRITE)
			return true;
	return false;
}

static void x86_describe(csh handle, const cs_insn *insn, struct disasm_step *step)
{
	const cs_x86 *x86 = &insn->detail->x86;
	cs_regs read, written;
	uint8_t n_read, n_written;
	bool writes_sp = false;

	/* nothing is known of it: then it is taken to do everything */
	if (capstone.cs_regs_access(handle, insn, read, &n_read, written, &n_written)) {
		step->writes = 0xff;
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
		step->writes = (uint8_t)~DISASM_RBX;
		step->kind = DISASM_CALL;
		step->target =
			x86->operands[0].type == X86_OP_IMM ? (uint64_t)x86->operands[0].imm : 0;
	}
	x86_sp(insn, writes_sp, step);
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

		if (!capstone.cs_disasm_iter(m->handle, &code, &n, &address, m->insn)) {
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
