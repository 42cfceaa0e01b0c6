// SPDX-License-Identifier: Apache-2.0
/* Protects: Go's table of functions in every form since 1.16, and the bounds of its reader against lies in it. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "inspect/disasm.h"
#include "inspect/inspect.h"
#include "inspect/pclntab.h"

#define TEXT_ADDRESS 0x401000u
#define RODATA_ADDRESS 0x500000u
#define DATA_ADDRESS 0x600000u
#define FUNCTIONS 3

/* A program of Go as small as the reader sees one: segments, the table, moduledata, build information. */
struct image {
	Elf64_Ehdr h;
	Elf64_Phdr p[3];
	uint8_t code[FUNCTIONS][64];
	struct {
		uint8_t table[1024];
		uint8_t types[512]; /* net.Conn at 0, *net.TCPConn at 64; their names after them */
	} rodata;
	struct {
		char buildinfo[64];
		uint64_t module[MODULEDATA_WORDS];
		uint64_t itabs[2][4], links[2];
	} data;
};

static const char *const names[FUNCTIONS] = { "runtime.main", "crypto/tls.(*Conn).Read",
					      "crypto/tls.(*Conn).Write" };

static void put(uint8_t *at, uint64_t value, size_t n)
{
	memcpy(at, &value, n);
}

/* The header, names, rows and descriptions; place by place as debug/gosym reads them. */
static void write_table(struct image *image, uint32_t magic)
{
	bool narrow = magic != 0xfffffffau;
	uint8_t *t = image->rodata.table;
	size_t names_at = 128, functions_at = 512, row = narrow ? 8 : 16, word = 8, name = 0;
	size_t descriptions = (FUNCTIONS + 1) * row;

	put(t, magic, 4);
	t[6] = 1;
	t[7] = 8;
	put(t + word, FUNCTIONS, 8);
	word += 16;
	if (narrow) {
		put(t + word, TEXT_ADDRESS, 8);
		word += 8;
	}
	put(t + word, names_at, 8);
	put(t + word + 8, functions_at, 8); /* where names end */
	put(t + word + 32, functions_at, 8);
	for (size_t i = 0; i <= FUNCTIONS; i++) {
		uint8_t *r = t + functions_at + i * row, *d;
		uint64_t entry = i * sizeof(image->code[0]);

		put(r, narrow ? entry : TEXT_ADDRESS + entry, row / 2);
		if (i == FUNCTIONS)
			break;
		put(r + row / 2, descriptions + i * 16, row / 2);
		d = t + functions_at + descriptions + i * 16;
		put(d, narrow ? entry : TEXT_ADDRESS + entry, row / 2);
		put(d + row / 2, name, 4);
		memcpy(t + names_at + name, names[i], strlen(names[i]));
		name += strlen(names[i]) + 1;
	}
}

static void write_type(struct image *image, size_t at, size_t name_at, uint8_t flags,
		       const char *name)
{
	image->rodata.types[at + 20] = flags;
	put(image->rodata.types + at + 40, name_at, 4);
	image->rodata.types[name_at + 1] = (uint8_t)strlen(name);
	memcpy(image->rodata.types + name_at + 2, name, strlen(name));
}

static void write_module(struct image *image, unsigned int types, unsigned int links)
{
	uint64_t *m = image->data.module;
	uint64_t types_at = RODATA_ADDRESS + offsetof(struct image, rodata.types) -
			    offsetof(struct image, rodata);
	uint64_t data_at = DATA_ADDRESS - offsetof(struct image, data);

	m[0] = RODATA_ADDRESS;
	m[20] = m[22] = TEXT_ADDRESS;
	m[21] = m[23] = TEXT_ADDRESS + sizeof(image->code);
	m[types] = types_at;
	m[types + 1] = types_at + sizeof(image->rodata.types);
	m[links] = data_at + offsetof(struct image, data.links);
	m[links + 1] = m[links + 2] = 2;
	write_type(image, 0, 200, 2, "*net.Conn");
	write_type(image, 64, 240, 0, "*net.TCPConn");
	write_type(image, 128, 280, 0, "*net.UnixConn");
	for (int i = 0; i < 2; i++) {
		image->data.links[i] = data_at + offsetof(struct image, data.itabs[i]);
		image->data.itabs[i][0] = types_at;
		image->data.itabs[i][1] = types_at + (i ? 64 : 128);
	}
}

static void write_code(struct image *image)
{
	static const uint8_t code[] = {
		0x31, 0xc0, 0x85, 0xdb, 0x74, 0x01, 0xc3, 0xff, 0xc0, 0xc3
	}; /* two ways to return */

	memset(image->code, 0xcc, sizeof(image->code));
	for (int i = 0; i < FUNCTIONS; i++)
		memcpy(image->code[i], code, sizeof(code));
}

static struct image good_image(uint32_t magic, const char *version, unsigned int types,
			       unsigned int links)
{
	struct image i = {
		.h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
		       .e_type = ET_EXEC,
		       .e_machine = EM_X86_64,
		       .e_phoff = offsetof(struct image, p),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_phnum = 3 },
		.p = { { .p_type = PT_LOAD,
			 .p_flags = PF_R | PF_X,
			 .p_offset = offsetof(struct image, code),
			 .p_vaddr = TEXT_ADDRESS,
			 .p_filesz = sizeof(i.code) },
		       { .p_type = PT_LOAD,
			 .p_flags = PF_R,
			 .p_offset = offsetof(struct image, rodata),
			 .p_vaddr = RODATA_ADDRESS,
			 .p_filesz = sizeof(i.rodata) },
		       { .p_type = PT_LOAD,
			 .p_flags = PF_R | PF_W,
			 .p_offset = offsetof(struct image, data),
			 .p_vaddr = DATA_ADDRESS,
			 .p_filesz = sizeof(i.data) } },
		.data.buildinfo = "\xff Go buildinf:\x08\x02",
	};

	i.data.buildinfo[32] = (char)strlen(version);
	memcpy(i.data.buildinfo + 33, version, strlen(version));
	write_code(&i);
	write_table(&i, magic);
	write_module(&i, types, links);
	return i;
}

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("pclntab_test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), n);
	return fd;
}

static struct inspect_tls answer_to(const struct image *image)
{
	int fd = file_of(image, sizeof(*image));
	struct inspect_tls a = { .abi = INSPECT_ABI };

	inspect__parse_tls(fd, &a);
	close(fd);
	return a;
}

static const struct form {
	uint32_t magic;
	const char *version;
	unsigned int types, links; /* words of moduledata */
	int registers;
} forms[] = {
	{ 0xfffffffa, "go1.16.15", 35, 43, 0 }, { 0xfffffffa, "go1.17.1", 35, 43, 1 },
	{ 0xfffffff0, "go1.18.10", 35, 45, 1 }, { 0xfffffff0, "go1.19.8", 35, 45, 1 },
	{ 0xfffffff1, "go1.20", 37, 47, 1 },	{ 0xfffffff1, "go1.25.3", 37, 47, 1 },
	{ 0xfffffff1, "go1.26.8", 37, 48, 1 },	{ 0xfffffff1, "devel go1.27-abcdef", 37, 48, 1 },
};

static void check_good(const struct inspect_tls *a, const struct form *form)
{
	uint64_t read = offsetof(struct image, code[1]), write = offsetof(struct image, code[2]);

	assert_int_equal(a->status, 0);
	assert_int_equal(a->library, TLS_GO);
	assert_int_equal(a->n_functions, 2);
	assert_int_equal(a->functions[0].function, TLS_FN_GO_CONN_READ);
	assert_int_equal(a->functions[0].offset, read);
	assert_int_equal(a->functions[1].offset, write);
	assert_int_equal(a->functions[1].flags, 0);
	assert_int_equal(a->n_points, 6);
	assert_int_equal(a->points[0].offset, read);
	assert_int_equal(a->points[0].is_return, INSPECT_ENTRY);
	assert_int_equal(a->points[1].offset, read + 6);
	assert_int_equal(a->points[2].offset, read + 9);
	assert_int_equal(a->points[5].offset, write + 9);
	assert_int_equal(a->points[5].is_return, INSPECT_RETURN);
	assert_int_equal(a->go.major, 1);
	assert_int_equal(a->go.registers, form->registers);
	assert_int_equal(a->go.conn_offset, 0);
	assert_int_equal(a->go.sysfd_offset, 16);
}

static void test_forms(void **state)
{
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		const struct form *f = &forms[i];
		struct image image = good_image(f->magic, f->version, f->types, f->links);
		struct inspect_tls a;

		if (!strncmp(f->version, "go1.16", 6)) /* lengths of names in two bytes */
			for (size_t at = 200; at <= 280; at += 40) {
				uint8_t *name = image.rodata.types + at;

				memmove(name + 3, name + 2, 30);
				name[2] = name[1];
				name[1] = 0;
			}
		a = answer_to(&image);
		check_good(&a, f);
		assert_int_equal(a.go.tcp_itab, DATA_ADDRESS +
							offsetof(struct image, data.itabs[1]) -
							offsetof(struct image, data));
	}
}

/* Without moduledata, the header's own word is believed where it leads to code. */
static void test_no_module(void **state)
{
	struct image image = good_image(0xfffffff1, "go1.21.0", 37, 47);
	struct inspect_tls a;

	memset(image.data.module, 0, sizeof(image.data.module));
	a = answer_to(&image);
	check_good(&a, &forms[4]);
	assert_int_equal(a.go.tcp_itab, 0);
	put(image.rodata.table + 24, 0x1234, 8);
	a = answer_to(&image);
	assert_int_equal(a.n_functions, 0);
}

/* Only the relocations say where things are: the moduledata of a PIE that some linkers write. */
static void test_relocations(void **state)
{
	struct image image = good_image(0xfffffff1, "go1.24.0", 37, 47);
	struct {
		struct image image;
		Elf64_Dyn dynamic[3];
		Elf64_Rela r[16];
	} whole = { .image = image };
	uint64_t module =
		DATA_ADDRESS + offsetof(struct image, data.module) - offsetof(struct image, data);
	struct inspect_tls a = { .abi = INSPECT_ABI };
	static const int words[] = { 0, 20, 21, 22, 23, 37, 38, 47 };
	int fd;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		whole.r[i] = (Elf64_Rela){ .r_offset = module + (uint64_t)words[i] * 8,
					   .r_info = ELF64_R_INFO(0, R_X86_64_RELATIVE),
					   .r_addend = (int64_t)image.data.module[words[i]] };
		whole.image.data.module[words[i]] = 0;
	}
	/* the rodata segment takes the rest of the file along */
	whole.image.p[0].p_offset = 0;
	whole.image.p[0].p_vaddr = TEXT_ADDRESS - offsetof(struct image, code);
	whole.image.p[0].p_filesz = sizeof(whole);
	whole.image.p[1] =
		(Elf64_Phdr){ .p_type = PT_DYNAMIC,
			      .p_offset = (uint64_t)((uint8_t *)whole.dynamic - (uint8_t *)&whole),
			      .p_filesz = sizeof(whole.dynamic) };
	whole.image.data.module[0] = 0;
	whole.dynamic[0] =
		(Elf64_Dyn){ .d_tag = DT_RELA,
			     .d_un.d_ptr = whole.image.p[0].p_vaddr +
					   (uint64_t)((uint8_t *)whole.r - (uint8_t *)&whole) };
	whole.dynamic[1] = (Elf64_Dyn){ .d_tag = DT_RELASZ, .d_un.d_val = sizeof(whole.r) };
	/* the table is a part of the data segment now: it is looked for where no code is */
	whole.image.p[2].p_offset = offsetof(struct image, rodata);
	whole.image.p[2].p_vaddr = RODATA_ADDRESS;
	whole.image.p[2].p_filesz = sizeof(image.rodata) + sizeof(image.data);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		whole.r[i].r_offset += RODATA_ADDRESS + sizeof(image.rodata) - DATA_ADDRESS;
	put(whole.image.rodata.table + 24, 0, 8); /* no textStart, as of Go 1.26 */
	fd = file_of(&whole, sizeof(whole));
	inspect__parse_tls(fd, &a);
	close(fd);
	check_good(&a, &forms[4]);
}

/* Numbers that no file can hold, places that lead out of it, rows that go backwards. */
static void test_lies(void **state)
{
	static const size_t words[] = { 8, 16, 24, 32, 40, 48, 56, 64, 512, 520, 544, 560 };
	static const uint64_t lies[] = { 0,
					 1,
					 7,
					 127,
					 1000,
					 0x7fffffff,
					 0xffffffff,
					 1ull << 32,
					 1ull << 40,
					 UINT64_MAX,
					 UINT64_MAX - 600 };

	for (size_t w = 0; w < sizeof(words) / sizeof(words[0]); w++) {
		for (size_t l = 0; l < sizeof(lies) / sizeof(lies[0]); l++) {
			for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f += 2) {
				struct image image = good_image(forms[f].magic, forms[f].version,
								forms[f].types, forms[f].links);
				struct inspect_tls a;

				put(image.rodata.table + words[w], lies[l], 8);
				a = answer_to(&image);
				assert_int_equal(a.status, 0);
				for (uint32_t i = 0; i < a.n_points; i++)
					assert_true(a.points[i].offset < sizeof(image));
			}
		}
	}
}

/* Every byte of a file set to each of a few values, every length: no crash, nothing outside of it. */
static void test_mutations(void **state)
{
	static const uint8_t values[] = { 0x00, 0x7f, 0x80, 0xff };
	struct image good = good_image(0xfffffff1, "go1.26.8", 37, 48);
	int fd = file_of(&good, sizeof(good));
	struct inspect_tls a = { .abi = INSPECT_ABI };

	for (size_t i = 0; i < sizeof(good); i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			assert_int_equal(pwrite(fd, &values[v], 1, (off_t)i), 1);
			inspect__parse_tls(fd, &a);
			assert_true(a.status == 0 || a.status == -ENOEXEC || a.status == -EPROTO);
			for (uint32_t k = 0; k < a.n_points; k++)
				assert_true(a.points[k].offset < sizeof(good));
		}
		assert_int_equal(pwrite(fd, (const uint8_t *)&good + i, 1, (off_t)i), 1);
	}
	for (size_t n = sizeof(good); n-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		inspect__parse_tls(fd, &a);
		for (uint32_t k = 0; k < a.n_points; k++)
			assert_true(a.points[k].offset < n);
	}
	close(fd);
}

/* 2^32 functions and 8 GB of names, all holes: bounded, said, and soon done. */
static void test_bombs(void **state)
{
	struct image image = good_image(0xfffffff1, "go1.26.8", 37, 48);
	struct inspect_tls a = { .abi = INSPECT_ABI };
	int fd;

	image.p[1].p_filesz = 64ull << 30;
	put(image.rodata.table + 8, 1ull << 32, 8);
	put(image.rodata.table + 40, 8ull << 30, 8);
	put(image.rodata.table + 64, 8ull << 30, 8);
	fd = file_of(&image, sizeof(image));
	assert_int_equal(ftruncate(fd, 64ll << 30), 0);
	assert_int_equal(inspect__parse_tls(fd, &a), 0);
	assert_int_equal(a.flags & INSPECT_CUT, INSPECT_CUT);
	close(fd);
}

static int load(void **state)
{
	struct err err = { "" };

	return disasm__load(&err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),	    cmocka_unit_test(test_no_module),
		cmocka_unit_test(test_relocations), cmocka_unit_test(test_lies),
		cmocka_unit_test(test_mutations),   cmocka_unit_test(test_bombs),
	};

	return cmocka_run_group_tests(tests, load, NULL);
}
