// SPDX-License-Identifier: Apache-2.0
/* Protects: Go's build information in every form that linkers wrote it, and in none of them. */
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

#include "core/message.h"
#include "inspect/buildinfo.h"

#define MODULES                                                                                    \
	"path\texample.com/shop/cmd\nmod\texample.com/shop\tv1.2.3\th1:x=\n"                       \
	"dep\tgo.opentelemetry.io/otel\tv1.30.0\th1:y=\n"                                          \
	"dep\tgo.opentelemetry.io/otel/sdk\tv1.30.0\th1:z=\nbuild\t-ldflags=x\n"
#define SENTINEL "0123456789abcdef"

static void parse(const char *text, struct inspect_answer *ret)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);

	memcpy(copy, text, n);
	memset(ret, 0, sizeof(*ret));
	buildinfo__parse(copy, n, ret);
	free(copy);
}

static void test_text(void **state)
{
	struct inspect_answer a;

	parse(MODULES, &a);
	assert_string_equal(a.module, "example.com/shop/cmd");
	assert_string_equal(a.module_version, "v1.2.3");
	assert_string_equal(a.sdk, "go.opentelemetry.io/otel/sdk");
	assert_int_equal(a.flags, INSPECT_SDK);
	/* the API alone, or a module whose name only begins the same, is no SDK */
	parse("mod\tx\t(devel)\t\ndep\tgo.opentelemetry.io/otel\tv1\n"
	      "dep\tgo.opentelemetry.io/otel/sdkx\tv1\ndep\tgo.opentelemetry.io/otel/trace\tv1",
	      &a);
	assert_int_equal(a.flags, 0);
	assert_string_equal(a.module_version, "");
	parse("dep\tgithub.com/DataDog/dd-trace-go/v2\tv2.0.0", &a);
	assert_string_equal(a.sdk, "github.com/DataDog/dd-trace-go/v2");
	parse("dep\texample.com/fork\tv1\n=>\tgo.opentelemetry.io/otel/sdk\tv1\th1:", &a);
	assert_int_equal(a.flags, INSPECT_SDK);
	parse("", &a);
	parse("\n\n\t\n", &a);
	parse("mod\t", &a);
	parse("mod\tx", &a);
	parse("mod\tx\t", &a);
	parse("path\t\x01\xff", &a);
	assert_string_equal(a.module, "??");
}

/* A file with one writable segment, at address 0x10000, that holds what `fill` puts there. */
static int make_file(const void *bytes, size_t n)
{
	int fd = memfd_create("buildinfo_test", MFD_CLOEXEC);
	Elf64_Ehdr h = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1 },
			 .e_type = ET_EXEC,
			 .e_machine = EM_X86_64,
			 .e_phoff = sizeof(h),
			 .e_phentsize = sizeof(Elf64_Phdr),
			 .e_phnum = 1 };
	Elf64_Phdr p = { .p_type = PT_LOAD,
			 .p_flags = PF_R | PF_W,
			 .p_offset = 0x100,
			 .p_vaddr = 0x10000,
			 .p_filesz = n };

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
	assert_int_equal(pwrite(fd, &p, sizeof(p), sizeof(h)), sizeof(p));
	assert_int_equal(pwrite(fd, bytes, n, 0x100), n);
	return fd;
}

static int inspect(const void *bytes, size_t n, struct inspect_answer *ret)
{
	int fd = make_file(bytes, n), status = inspect__parse(fd, ret);

	close(fd);
	return status;
}

static size_t put_string(uint8_t *at, const char *s)
{
	size_t n = strlen(s), used = 0;

	for (size_t rest = n;; rest >>= 7) {
		at[used++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
		if (rest <= 0x7f)
			break;
	}
	memcpy(at + used, s, n);
	return used + n;
}

static void test_inline(void **state)
{
	uint8_t bytes[2048] = { 0 };
	struct inspect_answer a;
	size_t n = 160;

	memcpy(bytes + 128, "\xff Go buildinf:\x08\x02", 16);
	n += put_string(bytes + n, "go1.26.8");
	n += put_string(bytes + n, SENTINEL MODULES SENTINEL);
	assert_int_equal(inspect(bytes, sizeof(bytes), &a), 0);
	assert_int_equal(a.runtime, RUNTIME_GO);
	assert_string_equal(a.runtime_version, "go1.26.8");
	assert_string_equal(a.module, "example.com/shop/cmd");
	assert_int_equal(a.flags & INSPECT_SDK, INSPECT_SDK);
	/* cut at every byte: never more than was said */
	for (size_t cut = 0; cut < n; cut++) {
		assert_int_equal(inspect(bytes, cut, &a), 0);
		assert_int_equal(a.runtime, cut >= 160 ? RUNTIME_GO : RUNTIME_NATIVE);
	}
	/* not at a multiple of 16 */
	memmove(bytes + 136, bytes + 128, n - 128);
	memset(bytes + 128, 0, 8);
	assert_int_equal(inspect(bytes, sizeof(bytes), &a), 0);
	assert_int_equal(a.runtime, RUNTIME_NATIVE);
	/* a length that goes round */
	memcpy(bytes + 128, "\xff Go buildinf:\x08\x02", 16);
	memset(bytes + 160, 0xff, 16);
	assert_int_equal(inspect(bytes, sizeof(bytes), &a), 0);
	assert_int_equal(a.runtime, RUNTIME_GO);
	assert_string_equal(a.runtime_version, "");
}

static void test_pointers(void **state)
{
	uint8_t bytes[2048] = { 0 };
	uint64_t version[2] = { 0x10000 + 0x100, 6 };
	uint64_t modules[2] = { 0x10000 + 0x200, sizeof(SENTINEL MODULES SENTINEL) - 1 };
	uint64_t pointers[2] = { 0x10000 + 0x80, 0x10000 + 0x90 };
	struct inspect_answer a;

	memcpy(bytes, "\xff Go buildinf:\x08\x00", 16);
	memcpy(bytes + 16, pointers, sizeof(pointers));
	memcpy(bytes + 0x80, version, sizeof(version));
	memcpy(bytes + 0x90, modules, sizeof(modules));
	memcpy(bytes + 0x100, "go1.17", 6);
	memcpy(bytes + 0x200, SENTINEL MODULES SENTINEL, modules[1]);
	assert_int_equal(inspect(bytes, sizeof(bytes), &a), 0);
	assert_string_equal(a.runtime_version, "go1.17");
	assert_string_equal(a.module_version, "v1.2.3");
	/* pointers to nowhere, lengths past the segment */
	version[1] = UINT64_MAX;
	memcpy(bytes + 0x80, version, sizeof(version));
	pointers[1] = UINT64_MAX - 4;
	memcpy(bytes + 16, pointers, sizeof(pointers));
	assert_int_equal(inspect(bytes, sizeof(bytes), &a), 0);
	assert_int_equal(a.runtime, RUNTIME_GO);
	assert_string_equal(a.runtime_version, "");
	assert_string_equal(a.module, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_inline),
		cmocka_unit_test(test_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
