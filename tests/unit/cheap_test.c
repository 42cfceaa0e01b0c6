// SPDX-License-Identifier: Apache-2.0
/*
 * Protects: what may stand for an entry and a return, on machine code as compilers make it and on the same with one thing
 * that makes it another function: then nothing may. tests/programs/test_inspect_tls.py and test_inspect_go.py look at real
 * files.
 */
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "inspect/cheap_exit.h"
#include "inspect/cheap_go.h"
#include "inspect/disasm.h"

#define CALLED 0x100u /* addresses of what the code calls; it lies at 0x1000 itself */
#define BASE 0x1000u

static struct cheap_code code;
static uint64_t targets[64];

static bool on_step(void *arg, const struct disasm_step *step)
{
	if (step->kind == DISASM_JUMP)
		targets[code.n_targets++] = step->target;
	code.steps[code.n_steps++] = *step;
	return true;
}

static void read_code(const uint8_t *bytes, size_t n)
{
	struct err err;

	assert_int_equal(disasm__load(&err), 0);
	code.n_steps = code.n_targets = 0;
	code.targets = targets;
	assert_int_equal(disasm__sweep(EM_X86_64, bytes, n, BASE, on_step, NULL), 0);
}

static unsigned int exits_of(const uint8_t *bytes, size_t n, uint64_t at, struct cheap_exit *ret)
{
	uint64_t from;

	read_code(bytes, n);
	return cheap_exit__find(&code, BASE + at, ret, &from);
}

static void check_exit(const struct cheap_exit *exit, uint64_t at, int32_t below, uint8_t result,
		       uint8_t condition)
{
	assert_int_equal(exit->at.address, BASE + at);
	assert_int_equal(exit->at.below, below);
	assert_int_equal(exit->result, result);
	assert_int_equal(exit->condition, condition);
}

static const uint8_t checked[] = {
	0x53,			      /* 00 push %rbx */
	0x48, 0x83, 0xec, 0x08,	      /* 01 sub $0x8,%rsp */
	0xe8, 0xf6, 0xf0, 0xff, 0xff, /* 05 call 100 */
	0x89, 0xc3,		      /* 0a mov %eax,%ebx */
	0x85, 0xc0,		      /* 0c test %eax,%eax */
	0x78, 0x09,		      /* 0e js 19 */
	0x48, 0x63, 0xc3,	      /* 10 movslq %ebx,%rax */
	0x48, 0x83, 0xc4, 0x08,	      /* 13 add $0x8,%rsp */
	0x5b,			      /* 17 pop %rbx */
	0xc3,			      /* 18 ret */
	0x31, 0xc0,		      /* 19 xor %eax,%eax */
	0xeb, 0xf6,		      /* 1b jmp 13 */
};

static const uint8_t called[] = {
	0x48, 0x83, 0xec, 0x08,	      /* 00 sub $0x8,%rsp */
	0xe8, 0xf7, 0xf0, 0xff, 0xff, /* 04 call 100 */
	0x48, 0x83, 0xc4, 0x08,	      /* 09 add $0x8,%rsp */
	0xc3,			      /* 0d ret */
};

static const uint8_t constants[] = {
	0x85, 0xff,		      /* 00 test %edi,%edi */
	0x74, 0x06,		      /* 02 je a */
	0xb8, 0x01, 0x00, 0x00, 0x00, /* 04 mov $0x1,%eax */
	0xc3,			      /* 09 ret */
	0x31, 0xc0,		      /* 0a xor %eax,%eax */
	0xc3,			      /* 0c ret */
};

static const uint8_t stores[] = {
	0x85, 0xff, /* 00 test %edi,%edi */
	0x74, 0x02, /* 02 je 6 */
	0x89, 0x3e, /* 04 mov %edi,(%rsi) */
	0xc3,	    /* 06 ret */
};

static const uint8_t both[] = {
	0x85, 0xff,		      /* 00 test %edi,%edi */
	0x7e, 0x05,		      /* 02 jle 9 */
	0xb8, 0x01, 0x00, 0x00, 0x00, /* 04 mov $0x1,%eax */
	0xc3,			      /* 09 ret */
};

static const uint8_t loaded[] = {
	0x85, 0xff, /* 00 test %edi,%edi */
	0x7e, 0x02, /* 02 jle 6 */
	0x8b, 0x06, /* 04 mov (%rsi),%eax */
	0xc3,	    /* 06 ret */
};

static const uint8_t go_read[] = {
	0x49, 0x3b, 0x66, 0x10,	      /* 00 cmp 0x10(%r14),%rsp */
	0x76, 0x2c,		      /* 04 jbe 32 */
	0x55,			      /* 06 push %rbp */
	0x48, 0x89, 0xe5,	      /* 07 mov %rsp,%rbp */
	0x48, 0x83, 0xec, 0x20,	      /* 0a sub $0x20,%rsp */
	0x48, 0x89, 0x44, 0x24, 0x30, /* 0e mov %rax,0x30(%rsp) */
	0x48, 0x89, 0x5c, 0x24, 0x38, /* 13 mov %rbx,0x38(%rsp) */
	0xe8, 0xe3, 0xf1, 0xff, 0xff, /* 18 call 200 */
	0x48, 0x8b, 0x44, 0x24, 0x38, /* 1d mov 0x38(%rsp),%rax */
	0x48, 0x39, 0xd8,	      /* 22 cmp %rbx,%rax */
	0x74, 0x05,		      /* 25 je 2c */
	0xe8, 0xd4, 0xf0, 0xff, 0xff, /* 27 call 100 */
	0x48, 0x83, 0xc4, 0x20,	      /* 2c add $0x20,%rsp */
	0x5d,			      /* 30 pop %rbp */
	0xc3,			      /* 31 ret */
	0x48, 0x89, 0x44, 0x24, 0x08, /* 32 mov %rax,0x8(%rsp) */
	0xeb, 0xc7,		      /* 37 jmp 0 */
};

static const uint8_t go_write[] = {
	0x48, 0x89, 0xd7,	      /* 00 mov %rdx,%rdi */
	0xbb, 0x17, 0x00, 0x00, 0x00, /* 03 mov $0x17,%ebx */
	0x4c, 0x89, 0xc0,	      /* 08 mov %r8,%rax */
	0xe8, 0xf0, 0xf0, 0xff, 0xff, /* 0b call 100 */
	0x48, 0x85, 0xdb,	      /* 10 test %rbx,%rbx */
	0x75, 0x0b,		      /* 13 jne 20 */
	0xbb, 0x17, 0x00, 0x00, 0x00, /* 15 mov $0x17,%ebx */
	0x90,			      /* 1a nop */
	0xe8, 0xe0, 0xf0, 0xff, 0xff, /* 1b call 100 */
	0xc3,			      /* 20 ret */
};

static void test_exits(void **state)
{
	struct cheap_exit exits[CHEAP_EXITS_MAX];
	uint8_t changed[sizeof(checked)];

	/* to the end of what gives the frame back: on where it is not less, and from elsewhere */
	assert_int_equal(exits_of(checked, sizeof(checked), 0x18, exits), 2);
	check_exit(&exits[0], 0x1b, 16, 0, SONDE_TLS_ALWAYS);
	check_exit(&exits[1], 0x0e, 16, 3, 1 + 9);
	/* mov %eax,%ecx: a register that no call keeps */
	memcpy(changed, checked, sizeof(checked));
	changed[0x12] = 0xc1;
	assert_int_equal(exits_of(changed, sizeof(changed), 0x18, exits), 0);
	/* jmp to behind the stack pointer's move: it stands 8 lower there */
	memcpy(changed, checked, sizeof(checked));
	changed[0x1c] = 0xfa;
	assert_int_equal(exits_of(changed, sizeof(changed), 0x18, exits), 2);
	check_exit(&exits[0], 0x1b, 8, 0, SONDE_TLS_ALWAYS);
	/* jmp *%rbx in place of xor: nothing leads to the jump behind it, which counts all the same */
	memcpy(changed, checked, sizeof(checked));
	changed[0x19] = 0xff;
	changed[0x1a] = 0xe3;
	assert_int_equal(exits_of(changed, sizeof(changed), 0x18, exits), 2);
}

static void test_constants(void **state)
{
	struct cheap_exit exits[CHEAP_EXITS_MAX];

	assert_int_equal(exits_of(constants, sizeof(constants), 0x09, exits), 1);
	check_exit(&exits[0], 0x02, 0, SONDE_TLS_RESULT_ONE, 1 + 5);
	assert_int_equal(exits_of(constants, sizeof(constants), 0x0c, exits), 1);
	check_exit(&exits[0], 0x02, 0, SONDE_TLS_RESULT_NONE, 1 + 4);
}

static void test_no_exits(void **state)
{
	struct cheap_exit exits[CHEAP_EXITS_MAX];
	uint8_t two[sizeof(constants)];

	/* a call, whose result it is; memory; one jump by which the result is this or that */
	assert_int_equal(exits_of(called, sizeof(called), 0x0d, exits), 0);
	assert_int_equal(exits_of(stores, sizeof(stores), 0x06, exits), 0);
	assert_int_equal(exits_of(both, sizeof(both), 0x09, exits), 0);
	assert_int_equal(exits_of(loaded, sizeof(loaded), 0x06, exits), 0);
	/* 2 is not 1 */
	memcpy(two, constants, sizeof(two));
	two[0x05] = 2;
	assert_int_equal(exits_of(two, sizeof(two), 0x09, exits), 0);
	/* no return is there, and no code */
	assert_int_equal(exits_of(called, sizeof(called), 0x0c, exits), 0);
	assert_int_equal(exits_of(called, sizeof(called), 0x00, exits), 0);
}

static unsigned int go_reads(size_t at, uint8_t byte, struct cheap_point *ret)
{
	const struct cheap_go go = { .move = CALLED };
	uint8_t changed[sizeof(go_read)];

	memcpy(changed, go_read, sizeof(changed));
	changed[at] = byte;
	read_code(changed, sizeof(changed));
	return cheap_go__read(&code, &go, ret);
}

static void test_go_read(void **state)
{
	struct cheap_point point;

	assert_int_equal(go_reads(0, go_read[0], &point), 1);
	assert_int_equal(point.address, BASE + 0x27);
	assert_int_equal(point.below, 0x28);
	assert_int_equal(go_reads(0x12, 0x28, &point), 0); /* the connection is kept elsewhere */
	assert_int_equal(go_reads(0x17, 0x40, &point), 0); /* the buffer is */
	assert_int_equal(go_reads(0x15, 0x4c, &point), 0); /* another register is kept: rcx */
	assert_int_equal(go_reads(0x21, 0x40, &point), 0); /* another destination */
	assert_int_equal(go_reads(0x21, 0x30, &point), 0);
	assert_int_equal(go_reads(0x19, 0xd3, &point), 1); /* the first call, of something else */
	assert_int_equal(go_reads(0x1a, 0xf0, &point), 0); /* of the same: which copy is it? */
	assert_int_equal(go_reads(0x36, 0x30, &point),
			 0); /* something is written over the connection */
	assert_int_equal(go_reads(0x26, 0x00, &point), 0); /* the call is jumped to */
	assert_int_equal(go_reads(0x28, 0xd5, &point), 0); /* of something else */
}

static unsigned int go_writes(size_t at, uint8_t byte, struct cheap_point *ret)
{
	const struct cheap_go go = { .record = CALLED };
	uint8_t changed[sizeof(go_write)];

	memcpy(changed, go_write, sizeof(changed));
	changed[at] = byte;
	read_code(changed, sizeof(changed));
	return cheap_go__write(&code, &go, ret);
}

static void test_go_write(void **state)
{
	struct cheap_point points[CHEAP_GO_MAX];

	assert_int_equal(go_writes(0, go_write[0], points), 2);
	assert_int_equal(points[0].address, BASE + 0x0b);
	assert_int_equal(points[1].address, BASE + 0x1b);
	assert_int_equal(go_writes(0x04, 0x15, points), 0); /* an alert */
	assert_int_equal(go_writes(0x16, 0x16, points), 0); /* a handshake */
	assert_int_equal(go_writes(0x15, 0xb9, points), 0); /* of another type: ecx */
	assert_int_equal(go_writes(0x1c, 0xe1, points), 1); /* one call alone */
	assert_int_equal(go_writes(0x14, 0x05, points),
			 0); /* the call is jumped to, past its type */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exits),	 cmocka_unit_test(test_constants),
		cmocka_unit_test(test_no_exits), cmocka_unit_test(test_go_read),
		cmocka_unit_test(test_go_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
