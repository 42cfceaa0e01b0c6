// SPDX-License-Identifier: Apache-2.0
#include "inspect/buildinfo.h"

#include <elf.h>
#include <string.h>

#include "core/message.h"
#include "inspect/text.h"

#define MAGIC "\xff Go buildinf:"
#define MAGIC_BYTES 14
#define HEADER_BYTES 32
#define ALIGNMENT 16
#define SENTINEL_BYTES 16	    /* before and after the text (cmd/go/internal/modload) */
#define SEARCH_MAX_BYTES (1u << 20) /* of a data segment, where there are no sections */
#define FLAG_BIG_ENDIAN 1
#define FLAG_INLINE 2 /* Go 1.18: strings follow the header, each after its length */

/* Modules that export spans by themselves when a program is built with them. */
static const char *const sdk_modules[] = {
	"go.opentelemetry.io/otel/sdk",	    "gopkg.in/DataDog/dd-trace-go.v1",
	"github.com/DataDog/dd-trace-go",   "github.com/openzipkin/zipkin-go",
	"github.com/uber/jaeger-client-go", "contrib.go.opencensus.io/exporter",
};

static bool is_module(const char *at, size_t len, const char *module)
{
	size_t n = strlen(module);

	/* the module itself, or a major version or a module below it */
	return len >= n && !memcmp(at, module, n) && (len == n || at[n] == '/');
}

static void parse_dependency(const char *at, size_t len, struct inspect_answer *ret)
{
	const char *tab = memchr(at, '\t', len);
	size_t n = tab ? (size_t)(tab - at) : len;

	for (size_t i = 0; i < sizeof(sdk_modules) / sizeof(sdk_modules[0]); i++) {
		if (!is_module(at, n, sdk_modules[i]))
			continue;
		ret->flags |= INSPECT_SDK;
		text__copy(ret->sdk, sizeof(ret->sdk), at, n);
	}
}

static void parse_module(const char *at, size_t len, struct inspect_answer *ret)
{
	const char *tab = memchr(at, '\t', len), *end = at + len, *next;

	if (!tab)
		return;
	next = memchr(tab + 1, '\t', (size_t)(end - tab - 1));
	if (!next)
		next = end;
	/* "(devel)": built from a working copy, of no version */
	if (next > tab + 1 && tab[1] != '(')
		text__copy(ret->module_version, sizeof(ret->module_version), tab + 1,
			   (size_t)(next - tab - 1));
}

void buildinfo__parse(const char *text, size_t len, struct inspect_answer *ret)
{
	while (len) {
		const char *nl = memchr(text, '\n', len);
		size_t n = nl ? (size_t)(nl - text) : len;

		if (n > 5 && !memcmp(text, "path\t", 5))
			text__copy(ret->module, sizeof(ret->module), text + 5, n - 5);
		else if (n > 4 && !memcmp(text, "mod\t", 4))
			parse_module(text + 4, n - 4, ret);
		else if (n > 4 && !memcmp(text, "dep\t", 4))
			parse_dependency(text + 4, n - 4, ret);
		else if (n > 3 && !memcmp(text, "=>\t", 3))
			parse_dependency(text + 3, n - 3, ret);
		text += n + (nl != NULL);
		len -= n + (nl != NULL);
	}
}

static char text[BUILDINFO_TEXT_MAX_BYTES];

/* The text without its sentinels, where it has them. */
static void parse_framed(size_t len, struct inspect_answer *ret)
{
	if (len >= 2 * SENTINEL_BYTES + 1 && text[len - SENTINEL_BYTES - 1] == '\n')
		buildinfo__parse(text + SENTINEL_BYTES, len - 2 * SENTINEL_BYTES, ret);
}

/* Unsigned base-128 number as Go's encoding/binary writes it; *at moves on. */
static bool read_length(struct file *file, uint64_t *at, uint64_t *ret)
{
	uint8_t bytes[10];
	long n = file__read_some(file, *at, bytes, sizeof(bytes));

	*ret = 0;
	for (int i = 0; i < n && i < 5; i++) {
		*ret |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
		if (bytes[i] & 0x80)
			continue;
		*at += (uint64_t)i + 1;
		return true;
	}
	return false;
}

/* Into text; cut at its size. Returns its length, *at moves on. */
static size_t read_inline(struct file *file, uint64_t *at)
{
	uint64_t len;
	size_t n;

	if (!read_length(file, at, &len) || *at > file->size || len > file->size - *at)
		return 0;
	n = len < sizeof(text) ? (size_t)len : sizeof(text);
	if (n < len)
		file->cut = true;
	if (file__read(file, *at, text, n))
		return 0;
	*at += len;
	return n;
}

/* Before Go 1.18: the header holds the address of a string's {address, length}. */
static size_t read_pointed(const struct elf *elf, uint64_t pointer)
{
	uint64_t at, bytes, string[2] = { 0, 0 };
	uint32_t narrow[2];
	size_t n;

	if (!elf__offset(elf, pointer, &at, &bytes))
		return 0;
	if (elf->is64) {
		if (file__read(elf->file, at, string, sizeof(string)))
			return 0;
	} else {
		if (file__read(elf->file, at, narrow, sizeof(narrow)))
			return 0;
		string[0] = narrow[0];
		string[1] = narrow[1];
	}
	if (!elf__offset(elf, string[0], &at, &bytes) || string[1] > bytes)
		return 0;
	n = string[1] < sizeof(text) ? (size_t)string[1] : sizeof(text);
	return file__read(elf->file, at, text, n) ? 0 : n;
}

static bool read_at(const struct elf *elf, uint64_t at, struct inspect_answer *ret)
{
	uint8_t header[HEADER_BYTES];
	uint64_t pointers[2] = { 0, 0 };
	size_t n, width = elf->is64 ? 8 : 4;

	if (file__read(elf->file, at, header, sizeof(header)))
		return false;
	if (header[15] & FLAG_INLINE) {
		at += HEADER_BYTES;
		n = read_inline(elf->file, &at);
		text__copy(ret->runtime_version, sizeof(ret->runtime_version), text, n);
		parse_framed(read_inline(elf->file, &at), ret);
		return true;
	}
	if (header[14] != width || header[15] & FLAG_BIG_ENDIAN)
		return true; /* Go, of a kind that does not run here */
	memcpy(&pointers[0], header + 16, width);
	memcpy(&pointers[1], header + 16 + width, width);
	n = read_pointed(elf, pointers[0]);
	text__copy(ret->runtime_version, sizeof(ret->runtime_version), text, n);
	parse_framed(read_pointed(elf, pointers[1]), ret);
	return true;
}

/* The header lies at a multiple of 16 in a writable segment; the linker puts it near the start. */
static bool search(const struct elf *elf, const struct elf_segment *s, struct inspect_answer *ret)
{
	uint64_t max = s->file_bytes < SEARCH_MAX_BYTES ? s->file_bytes : SEARCH_MAX_BYTES;
	uint64_t at = 0;

	while (at + HEADER_BYTES <= max && s->offset <= elf->file->size) {
		long n = file__read_some(elf->file, s->offset + at, text,
					 max - at < sizeof(text) ? max - at : sizeof(text));

		for (long i = 0; i + MAGIC_BYTES <= n; i += ALIGNMENT)
			if (!memcmp(text + i, MAGIC, MAGIC_BYTES))
				return read_at(elf, s->offset + at + (uint64_t)i, ret);
		if (n < HEADER_BYTES)
			return false;
		at += (uint64_t)n & ~(uint64_t)(ALIGNMENT - 1);
	}
	return false;
}

static bool find(const struct elf *elf, struct inspect_answer *ret)
{
	const struct elf_section *section = elf__section(elf, ".go.buildinfo");
	char magic[MAGIC_BYTES];

	if (section && !file__read(elf->file, section->offset, magic, sizeof(magic)) &&
	    !memcmp(magic, MAGIC, MAGIC_BYTES))
		return read_at(elf, section->offset, ret);
	for (unsigned int i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (s->type == PT_LOAD && (s->flags & (PF_W | PF_X)) == PF_W && search(elf, s, ret))
			return true;
	}
	return false;
}

bool buildinfo__read(const struct elf *elf, struct inspect_answer *ret)
{
	char id[4];

	/* ELF note of the Go linker: type 4, its build id (cmd/link/internal/ld/elf.go) */
	if (!find(elf, ret) && elf__note(elf, "Go", 4, id, sizeof(id)) <= 0)
		return false;
	ret->runtime = RUNTIME_GO;
	return true;
}
