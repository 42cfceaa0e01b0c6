// SPDX-License-Identifier: Apache-2.0
/* Protects: the bounds of the ELF reader against files that claim what they do not hold. */
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

#include "inspect/elf.h"
#include "inspect/inspect.h"

#define ADDRESS 0x400000

/* A small dynamic program: headers, segments, names, notes, all at fixed places. */
struct image {
	Elf64_Ehdr h;
	Elf64_Phdr p[4];
	Elf64_Shdr s[4];
	Elf64_Dyn dynamic[4];
	struct {
		Elf64_Nhdr h;
		char name[4];
		uint8_t id[20];
	} note;
	char strings[64], names[64];
};

static struct image good_image(void)
{
	struct image i = {
		.h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
		       .e_type = ET_DYN,
		       .e_machine = EM_X86_64,
		       .e_phoff = offsetof(struct image, p),
		       .e_shoff = offsetof(struct image, s),
		       .e_phentsize = sizeof(Elf64_Phdr),
		       .e_shentsize = sizeof(Elf64_Shdr),
		       .e_phnum = 4,
		       .e_shnum = 4,
		       .e_shstrndx = 3 },
		.p = { { .p_type = PT_LOAD,
			 .p_flags = PF_R,
			 .p_vaddr = ADDRESS,
			 .p_filesz = sizeof(i) },
		       { .p_type = PT_DYNAMIC,
			 .p_offset = offsetof(struct image, dynamic),
			 .p_filesz = sizeof(i.dynamic) },
		       { .p_type = PT_NOTE,
			 .p_offset = offsetof(struct image, note),
			 .p_filesz = sizeof(i.note) },
		       { .p_type = PT_INTERP } },
		.s = { { 0 },
		       { .sh_name = 1, .sh_type = SHT_SYMTAB },
		       { .sh_name = 9, .sh_type = SHT_NOBITS, .sh_size = UINT64_MAX },
		       { .sh_name = 14,
			 .sh_type = SHT_STRTAB,
			 .sh_offset = offsetof(struct image, names),
			 .sh_size = sizeof(i.names) } },
		.dynamic = { { .d_tag = DT_NEEDED, .d_un.d_val = 1 },
			     { .d_tag = DT_NEEDED, .d_un.d_val = 11 },
			     { .d_tag = DT_STRTAB,
			       .d_un.d_ptr = ADDRESS + offsetof(struct image, strings) },
			     { .d_tag = DT_NULL } },
		.note = { { 4, 20, NT_GNU_BUILD_ID }, "GNU", { 1, 2, 3 } },
		.strings = "\0libc.so.6\0libstdc++.so.6",
		.names = "\0.symtab\0.bss\0.shstrtab",
	};

	return i;
}

static int file_of(const void *bytes, size_t n)
{
	int fd = memfd_create("elf_test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, 0), n);
	return fd;
}

static struct elf elf;

static int open_image(const struct image *image, struct file *file)
{
	int fd = file_of(image, sizeof(*image));

	assert_int_equal(file__open(file, fd), 0);
	return elf__open(&elf, file);
}

static void collect(void *arg, const char *name)
{
	strcat(arg, name);
	strcat(arg, ";");
}

static void test_good(void **state)
{
	struct image image = good_image();
	char names[256] = "";
	uint64_t at, bytes;
	struct file file;
	uint8_t id[32];

	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf.n_segments, 4);
	assert_int_equal(elf.n_sections, 3);
	assert_non_null(elf__section(&elf, ".symtab"));
	assert_null(elf__section(&elf, ".text"));
	assert_int_equal(elf__note(&elf, "GNU", NT_GNU_BUILD_ID, id, sizeof(id)), 20);
	assert_memory_equal(id, image.note.id, 20);
	assert_int_equal(elf__note(&elf, "Go", 4, id, sizeof(id)), 0);
	assert_int_equal(elf__needed(&elf, collect, names), 0);
	assert_string_equal(names, "libc.so.6;libstdc++.so.6;");
	assert_true(elf__offset(&elf, ADDRESS + 5, &at, &bytes));
	assert_int_equal(at, 5);
	assert_int_equal(bytes, sizeof(image) - 5);
	assert_false(elf__offset(&elf, ADDRESS - 1, &at, &bytes));
	assert_false(elf__offset(&elf, ADDRESS + sizeof(image), &at, &bytes));
	assert_false(elf__offset(&elf, UINT64_MAX, &at, &bytes));
	close(file.fd);
}

static void test_headers(void **state)
{
	struct image image;
	struct file file;

	image = good_image();
	image.h.e_ident[0] = 'x';
	assert_int_equal(open_image(&image, &file), -ENOEXEC);
	close(file.fd);
	image = good_image();
	image.h.e_ident[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(open_image(&image, &file), -EPROTO);
	close(file.fd);
	image = good_image();
	image.h.e_ident[EI_CLASS] = 7;
	assert_int_equal(open_image(&image, &file), -EPROTO);
	close(file.fd);
	image = good_image();
	image.h.e_phentsize = 1;
	assert_int_equal(open_image(&image, &file), -EPROTO);
	close(file.fd);
	image = good_image();
	image.h.e_phoff = UINT64_MAX - 10;
	assert_int_equal(open_image(&image, &file), -EPROTO);
	close(file.fd);
	/* sections that are wrong are as good as none: the program still runs */
	image = good_image();
	image.h.e_shoff = UINT64_MAX - 10;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf.n_sections, 0);
	close(file.fd);
	image = good_image();
	image.h.e_shnum = 0; /* extended numbering, by a section 0 that says 2^64 - 1 */
	image.s[0].sh_size = UINT64_MAX;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf.n_sections, 0);
	close(file.fd);
	image = good_image();
	image.h.e_shstrndx = SHN_XINDEX;
	image.s[0].sh_link = 3;
	assert_int_equal(open_image(&image, &file), 0);
	assert_non_null(elf__section(&elf, ".symtab"));
	close(file.fd);
	image = good_image();
	image.h.e_shstrndx = 4;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf.n_sections, 0);
	close(file.fd);
}

static void test_contents(void **state)
{
	struct image image;
	char names[256] = "";
	struct file file;
	uint8_t id[32];

	image = good_image();
	image.dynamic[0].d_un.d_val = UINT64_MAX; /* a name past the table */
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf__needed(&elf, collect, names), 0);
	assert_string_equal(names, "libstdc++.so.6;");
	close(file.fd);
	image = good_image();
	image.dynamic[2].d_un.d_ptr = 1; /* a table that is nowhere */
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf__needed(&elf, collect, names), -EPROTO);
	close(file.fd);
	image = good_image();
	image.p[1].p_offset = UINT64_MAX;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf__needed(&elf, collect, names), 0);
	close(file.fd);
	image = good_image();
	image.note.h.n_namesz = UINT32_MAX;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf__note(&elf, "GNU", NT_GNU_BUILD_ID, id, sizeof(id)), 0);
	close(file.fd);
	image = good_image();
	image.note.h.n_descsz = UINT32_MAX;
	assert_int_equal(open_image(&image, &file), 0);
	assert_int_equal(elf__note(&elf, "GNU", NT_GNU_BUILD_ID, id, sizeof(id)), 0);
	close(file.fd);
	/* segments whose end goes round */
	image = good_image();
	image.p[0].p_filesz = UINT64_MAX;
	image.p[0].p_offset = UINT64_MAX - 4;
	assert_int_equal(open_image(&image, &file), 0);
	uint64_t at, bytes;
	assert_false(elf__offset(&elf, ADDRESS + 100, &at, &bytes));
	close(file.fd);
}

/* 65,535 sections, a table of names of 66 MB, a file that is all holes: bounded, and soon done. */
static void test_bombs(void **state)
{
	struct image image = good_image();
	struct inspect_answer a;
	int fd;

	image.h.e_shnum = 0xfffe;
	image.s[3].sh_size = 66 << 20;
	image.p[0].p_filesz = 8ull << 30;
	image.s[1].sh_name = UINT32_MAX;
	fd = file_of(&image, sizeof(image));
	assert_int_equal(ftruncate(fd, 8ll << 30), 0);
	assert_int_equal(inspect__parse(fd, &a), 0);
	assert_int_equal(a.flags & INSPECT_CUT, INSPECT_CUT);
	close(fd);
}

/* Every byte of the file set to each of a few values: no crash, a known answer. */
static void test_mutations(void **state)
{
	static const uint8_t values[] = { 0x00, 0x7f, 0x80, 0xff };
	struct image good = good_image();
	int fd = file_of(&good, sizeof(good));
	struct inspect_answer a;

	for (size_t i = 0; i < sizeof(good); i++) {
		for (size_t v = 0; v < sizeof(values); v++) {
			assert_int_equal(pwrite(fd, &values[v], 1, (off_t)i), 1);
			inspect__parse(fd, &a);
			assert_true(a.status == 0 || a.status == -ENOEXEC || a.status == -EPROTO);
		}
		assert_int_equal(pwrite(fd, (const uint8_t *)&good + i, 1, (off_t)i), 1);
	}
	for (size_t n = sizeof(good); n-- > 0;) {
		assert_int_equal(ftruncate(fd, (off_t)n), 0);
		inspect__parse(fd, &a);
	}
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),	  cmocka_unit_test(test_headers),
		cmocka_unit_test(test_contents),  cmocka_unit_test(test_bombs),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
