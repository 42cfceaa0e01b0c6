// SPDX-License-Identifier: Apache-2.0
/*
 * Protects: which functions of TLS a file is said to have and where they return, on small libraries that a
 * compiler and a linker made (the seeds of the fuzz target), as they are, changed on purpose, and broken.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "inspect/disasm.h"
#include "inspect/inspect.h"

#define SEEDS "tests/fuzz/corpus/inspect_tls/"
#define SEED_MAX 8192

struct seed {
	uint8_t bytes[SEED_MAX];
	size_t n;
};

static struct seed read_seed(const char *name)
{
	struct seed seed = { .n = 0 };
	char path[128];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s%s", SEEDS, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	n = read(fd, seed.bytes, sizeof(seed.bytes));
	assert_true(n > 0 && n < SEED_MAX);
	seed.n = (size_t)n;
	close(fd);
	return seed;
}

static struct inspect_tls answer_to(const struct seed *seed)
{
	struct inspect_tls a = { .abi = INSPECT_ABI };
	int fd = memfd_create("returns_test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, seed->bytes, seed->n, 0), seed->n);
	inspect__parse_tls(fd, &a);
	close(fd);
	return a;
}

static const struct inspect_function *find(const struct inspect_tls *a, enum tls_function function)
{
	for (uint32_t i = 0; i < a->n_functions; i++)
		if (a->functions[i].function == function)
			return &a->functions[i];
	fail_msg("no %s", functions__name(function));
	return NULL;
}

/* "380 391r 3b9r": the points of a function; r its own returns, s shared ones. */
static void check_points(const struct inspect_tls *a, enum tls_function function, uint16_t flags,
			 const char *points)
{
	const struct inspect_function *f = find(a, function);
	char got[512] = "";

	for (uint32_t i = 0; i < a->n_points; i++)
		if (&a->functions[a->points[i].of] == f && a->points[i].sets & INSPECT_PLAIN) {
			size_t n = strlen(got);

			snprintf(got + n, sizeof(got) - n, "%s%lx%.1s", n ? " " : "",
				 (unsigned long)a->points[i].offset,
				 (const char *[]){ "", "r", "s" }[a->points[i].is_return]);
		}
	assert_string_equal(got, points);
	assert_int_equal(f->flags, flags);
}

#define OUT INSPECT_FN_JUMPS_OUT
#define UNKNOWN INSPECT_FN_RETURNS_UNKNOWN

/* As objdump -d shows the seeds. */
static void check_x86(const struct inspect_tls *a, long shift)
{
	assert_int_equal(a->status, 0);
	assert_int_equal(a->library, TLS_OPENSSL);
	assert_int_equal(a->libraries, 1 << TLS_OPENSSL | 1 << TLS_GNUTLS);
	assert_int_equal(a->n_functions, 6);
	if (shift)
		return;
	check_points(a, TLS_FN_SSL_READ, 0, "380 391r 3b9r");
	/* jmp to a function without a symbol, whose bounds the unwind tables say */
	check_points(a, TLS_FN_SSL_WRITE, OUT, "3c0 357s 370s");
	/* jmp *(%rdi) */
	check_points(a, TLS_FN_SSL_PEEK, OUT | UNKNOWN, "3d0");
	/* a switch by a table of jumps, and a jump to another library */
	check_points(a, TLS_FN_SSL_READ_EX, OUT | UNKNOWN, "3e0 405r 415r 43br 45dr 46fr");
	/* through the table of imports to a function that is there itself */
	check_points(a, TLS_FN_GNUTLS_RECORD_SEND, OUT, "4a0");
	check_points(a, TLS_FN_GNUTLS_RECORD_SEND2, 0, "470 493r");
}

static void test_x86(void **state)
{
	static const char *const names[] = { "symtab", "dynsym", "no_sections" };

	for (size_t i = 0; i < 3; i++) {
		struct seed seed = read_seed(names[i]);
		struct inspect_tls a = answer_to(&seed);

		check_x86(&a, 0);
		assert_int_equal(!!(a.flags & INSPECT_STRIPPED), i > 0);
	}
	struct seed seed = read_seed("sysv_hash");
	struct inspect_tls a = answer_to(&seed);

	check_x86(&a, 0x10);
}

static void test_arm64(void **state)
{
	struct seed seed = read_seed("arm64");
	struct inspect_tls a = answer_to(&seed);

	check_points(&a, TLS_FN_SSL_READ, 0, "330 358r");
	check_points(&a, TLS_FN_SSL_PEEK, OUT | UNKNOWN, "3ac"); /* ldr x3, [x0]; br x3 */
	check_points(&a, TLS_FN_SSL_READ_EX, OUT | UNKNOWN, "3b4 3f0r 414r 41cr 43cr");
	/* without unwind tables, where a function ends that it jumps to is not known */
	check_points(&a, TLS_FN_SSL_WRITE, OUT | UNKNOWN, "3a4");
	seed = read_seed("arm64_plt");
	a = answer_to(&seed);
	check_points(&a, TLS_FN_GNUTLS_RECORD_SEND, OUT, "378");
	check_points(&a, TLS_FN_GNUTLS_RECORD_SEND2, 0, "340 374r");
	check_points(&a, TLS_FN_SSL_WRITE, OUT, "384 3acs");
}

#define SSL_READ_AT 0x380
#define SSL_WRITE_AT 0x3c0

static struct inspect_tls with_code(size_t at, const char *code, size_t n)
{
	struct seed seed = read_seed("dynsym");

	memcpy(seed.bytes + at, code, n);
	return answer_to(&seed);
}

/* A probe within an instruction breaks a program: what is no clean code has no returns. */
static void test_suspicious_code(void **state)
{
	struct inspect_tls a;

	/* jmp into the middle of "mov $0xc3c3c3c3, %eax" */
	a = with_code(SSL_READ_AT, "\xeb\x01\xb8\xc3\xc3\xc3\xc3\xc3", 8);
	check_points(&a, TLS_FN_SSL_READ, INSPECT_FN_CUT, "380");
	/* push %es does not exist in 64 bits */
	a = with_code(SSL_READ_AT, "\x06\xc3", 2);
	check_points(&a, TLS_FN_SSL_READ, INSPECT_FN_CUT, "380");
	/* the others are not touched by that */
	check_points(&a, TLS_FN_GNUTLS_RECORD_SEND2, 0, "470 493r");
}

/* Two functions that each end in a jump to the other. */
static void test_cycle(void **state)
{
	struct seed seed = read_seed("dynsym");
	struct inspect_tls a;
	int32_t far;

	memset(seed.bytes + SSL_READ_AT, 0x90, 58);
	seed.bytes[SSL_READ_AT] = seed.bytes[SSL_WRITE_AT] = 0xe9;
	far = SSL_WRITE_AT - (SSL_READ_AT + 5);
	memcpy(seed.bytes + SSL_READ_AT + 1, &far, 4);
	far = SSL_READ_AT - (SSL_WRITE_AT + 5);
	memcpy(seed.bytes + SSL_WRITE_AT + 1, &far, 4);
	a = answer_to(&seed);
	check_points(&a, TLS_FN_SSL_READ, 0, "380");
	check_points(&a, TLS_FN_SSL_WRITE, 0, "3c0");
}

/* The entry of .dynsym of a value. */
static Elf64_Sym *symbol_of(struct seed *seed, uint64_t value)
{
	for (size_t at = 0; at + sizeof(Elf64_Sym) <= seed->n; at += 8) {
		Elf64_Sym *s = (Elf64_Sym *)(void *)(seed->bytes + at);

		if (s->st_value == value && s->st_info == ELF64_ST_INFO(STB_GLOBAL, STT_FUNC))
			return s;
	}
	fail();
	return NULL;
}

static uint64_t *dynamic_of(struct seed *seed, int64_t tag)
{
	Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)seed->bytes;
	Elf64_Phdr *p = (Elf64_Phdr *)(void *)(seed->bytes + h->e_phoff);

	for (int i = 0; i < h->e_phnum; i++)
		for (Elf64_Dyn *d = (Elf64_Dyn *)(void *)(seed->bytes + p[i].p_offset);
		     p[i].p_type == PT_DYNAMIC && d->d_tag; d++)
			if (d->d_tag == tag)
				return &d->d_un.d_val;
	fail();
	return NULL;
}

static void test_sizes(void **state)
{
	struct seed seed = read_seed("dynsym");
	struct inspect_tls a;

	/* without a size, the unwind tables say it */
	symbol_of(&seed, SSL_READ_AT)->st_size = 0;
	a = answer_to(&seed);
	check_x86(&a, 0);
	/* and where they do not, nothing is looked for */
	symbol_of(&seed, SSL_READ_AT)->st_value++;
	a = answer_to(&seed);
	check_points(&a, TLS_FN_SSL_READ, UNKNOWN, "381");
	seed = read_seed("dynsym");
	symbol_of(&seed, SSL_READ_AT)->st_size = 1ull << 40;
	a = answer_to(&seed);
	check_points(&a, TLS_FN_SSL_READ, INSPECT_FN_CUT, "380");
	/* outside of the file, or of what is loaded: not there */
	seed = read_seed("dynsym");
	symbol_of(&seed, SSL_READ_AT)->st_value = 1ull << 40;
	assert_int_equal(answer_to(&seed).n_functions, 5);
}

/* Tables that claim 2^32 symbols, terabytes of names, and lie over each other. */
static void test_bombs(void **state)
{
	struct seed seed = read_seed("sysv_hash");
	Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)seed.bytes;
	Elf64_Phdr *p = (Elf64_Phdr *)(void *)(seed.bytes + h->e_phoff);
	struct inspect_tls a = { .abi = INSPECT_ABI };
	int fd;

	for (int i = 0; i < h->e_phnum; i++)
		if (p[i].p_type == PT_LOAD && !p[i].p_offset)
			p[i].p_filesz = 1ull << 40;
	memset(seed.bytes + *dynamic_of(&seed, DT_HASH) + 4, 0xff, 4);
	*dynamic_of(&seed, DT_STRSZ) = 1ull << 40;
	fd = memfd_create("returns_test", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, seed.bytes, seed.n, 0), seed.n);
	assert_int_equal(ftruncate(fd, 1ll << 40), 0);
	assert_int_equal(inspect__parse_tls(fd, &a), 0);
	assert_int_equal(a.flags & INSPECT_CUT, INSPECT_CUT);
	close(fd);
	seed = read_seed("dynsym");
	*dynamic_of(&seed, DT_STRTAB) = *dynamic_of(&seed, DT_SYMTAB);
	assert_int_equal(answer_to(&seed).n_functions, 0);
}

/* Every byte changed, every length: bounded, and no point outside of the file. */
static void test_mutations(void **state)
{
	static const char *const names[] = { "dynsym", "arm64_plt" };
	static const uint8_t flips[] = { 0xff, 0x01, 0x80 };

	for (size_t s = 0; s < 2; s++) {
		struct seed seed = read_seed(names[s]);
		struct inspect_tls a;

		for (size_t i = 0; i < seed.n; i++) {
			for (size_t v = 0; v < sizeof(flips); v++) {
				seed.bytes[i] ^= flips[v];
				a = answer_to(&seed);
				seed.bytes[i] ^= flips[v];
				assert_true(a.status == 0 || a.status == -ENOEXEC ||
					    a.status == -EPROTO);
				for (uint32_t k = 0; k < a.n_points; k++)
					assert_true(a.points[k].offset < seed.n);
			}
		}
		while (seed.n--) {
			a = answer_to(&seed);
			for (uint32_t k = 0; k < a.n_points; k++)
				assert_true(a.points[k].offset < seed.n);
		}
	}
}

static void check_name(const char *name, enum tls_function function, size_t skip)
{
	size_t got = 0;
	enum tls_function f = functions__of_c_symbol(name, strlen(name), &got);

	if (f == TLS_FN_NONE)
		f = functions__of_rust_symbol(name, strlen(name));
	assert_int_equal(f, function);
	assert_int_equal(got, skip);
}

static void test_names(void **state)
{
	check_name("SSL_read", TLS_FN_SSL_READ, 0);
	check_name("XSSL_read", TLS_FN_SSL_READ, 1); /* linkers let names share their ends */
	check_name("SSL_read_", TLS_FN_NONE, 0);
	check_name("SSL_rea", TLS_FN_NONE, 0);
	check_name("", TLS_FN_NONE, 0);
	check_name("gnutls_record_send2", TLS_FN_GNUTLS_RECORD_SEND2, 0);
	/* rustls 0.23 by rustc 1.95, in both manglings */
	check_name("_ZN66_$LT$rustls..conn..connection..Reader$u20$as$u20$std..io..Read$GT$"
		   "4read17h0f4f2030d369ce69E",
		   TLS_FN_RUSTLS_READ, 0);
	check_name("_ZN99_$LT$rustls..conn..ConnectionCommon$LT$T$GT$$u20$as$u20$rustls..conn.."
		   "connection..PlaintextSink$GT$5write17h23e3acc935a33899E",
		   TLS_FN_RUSTLS_WRITE, 0);
	check_name("_ZN99_$LT$rustls..conn..ConnectionCommon$LT$T$GT$$u20$as$u20$rustls..conn.."
		   "connection..PlaintextSink$GT$5write17h23e3acc935a33899E.llvm.1388",
		   TLS_FN_RUSTLS_WRITE, 0);
	check_name("_ZN99_$LT$rustls..conn..ConnectionCommon$LT$T$GT$$u20$as$u20$rustls..conn.."
		   "connection..PlaintextSink$GT$14write_vectored17h6ca540c90dec7255E",
		   TLS_FN_RUSTLS_WRITE_VECTORED, 0);
	check_name("_ZN99_$LT$rustls..conn..ConnectionCommon$LT$T$GT$$u20$as$u20$rustls..conn.."
		   "connection..PlaintextSink$GT$5flush17h3c2557c704ac6b1bE",
		   TLS_FN_NONE, 0);
	check_name("_ZN6rustls12common_state11CommonState23take_received_plaintext"
		   "17h66b64e03ea0009dbE",
		   TLS_FN_RUSTLS_TAKE_PLAINTEXT, 0);
	check_name("_RNvXs7_NtNtCs4hSuorZousk_6rustls4conn10connectionINtB7_16ConnectionCommon"
		   "NtNtNtB9_6client11client_conn20ClientConnectionDataENtB5_13PlaintextSink"
		   "5writeCshtEVo9MAbvI_4ureq",
		   TLS_FN_RUSTLS_WRITE, 0);
	check_name("_RNvXs7_NtNtCs4hSuorZousk_6rustls4conn10connectionINtB7_16ConnectionCommon"
		   "NtNtNtB9_6client11client_conn20ClientConnectionDataENtB5_13PlaintextSink"
		   "5flushCshtEVo9MAbvI_4ureq",
		   TLS_FN_NONE, 0);
	check_name(
		"_RNvXs2_NtNtCs4hSuorZousk_6rustls4conn10connectionNtB5_6ReaderNtNtCsjrHSEGnQ3l9_"
		"3std2io4Read4read",
		TLS_FN_RUSTLS_READ, 0);
	check_name("_RNvMNtCs4hSuorZousk_6rustls12common_stateNtB2_11CommonState"
		   "23take_received_plaintext",
		   TLS_FN_RUSTLS_TAKE_PLAINTEXT, 0);
	check_name("_RNCNvMNtCs4hSuorZousk_6rustls12common_stateNtB2_11CommonState"
		   "23take_received_plaintext0B6_",
		   TLS_FN_NONE, 0);
	check_name("_ZN17h", TLS_FN_NONE, 0);
	check_name("_R", TLS_FN_NONE, 0);
}

static int load(void **state)
{
	struct err err = { "" };

	return disasm__load(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_x86),
		cmocka_unit_test(test_arm64),
		cmocka_unit_test(test_suspicious_code),
		cmocka_unit_test(test_cycle),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
