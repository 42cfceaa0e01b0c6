// SPDX-License-Identifier: Apache-2.0
#include "inspect/pclntab.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define SEARCH_MAX_BYTES (32u << 20) /* for the table where there are no sections */
#define DATA_MAX_BYTES (8u << 20)    /* of a writable segment, for moduledata */
#define RELOCATIONS_MAX (1u << 20)
#define HEADER_BYTES 8

/* The first word says the version (internal/abi/symtab.go). */
#define MAGIC_116 0xfffffffau
#define MAGIC_118 0xfffffff0u
#define MAGIC_120 0xfffffff1u

/* Words of moduledata that have not moved since Go 1.16. */
enum {
	MODULE_HEADER = 0,
	MODULE_MINPC = 20,
	MODULE_MAXPC = 21,
	MODULE_TEXT = 22,
	MODULE_ETEXT = 23
};

static uint8_t chunk[CHUNK_BYTES];

/* Two words of zero, the instructions' unit (1, 4), a pointer's size (pclntab header). */
static bool is_header(const uint8_t *h)
{
	uint32_t magic;

	memcpy(&magic, h, sizeof(magic));
	return (magic == MAGIC_116 || magic == MAGIC_118 || magic == MAGIC_120) && !h[4] && !h[5] &&
	       (h[6] == 1 || h[6] == 2 || h[6] == 4) && (h[7] == 4 || h[7] == 8);
}

static bool is_executable(const struct elf *elf, uint64_t address)
{
	for (unsigned int i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segments[i];

		if (s->type == PT_LOAD && s->flags & PF_X && address - s->address < s->file_bytes)
			return true;
	}
	return false;
}

static bool try_header(struct pclntab *table, uint64_t address)
{
	uint8_t header[HEADER_BYTES];
	uint64_t at, bytes;

	if (!elf__offset(table->elf, address, &at, &bytes) ||
	    file__read(table->elf->file, at, header, sizeof(header)) || !is_header(header) ||
	    header[7] != 8)
		return false;
	table->address = address;
	table->at = at;
	table->bytes = bytes;
	return true;
}

static bool search_segment(struct pclntab *table, const struct elf_segment *s)
{
	uint64_t max = s->file_bytes < SEARCH_MAX_BYTES ? s->file_bytes : SEARCH_MAX_BYTES;

	for (uint64_t at = 0; at < max; at += CHUNK_BYTES) {
		long n;

		if (s->offset > table->elf->file->size)
			return false;
		n = file__read_some(table->elf->file, s->offset + at, chunk,
				    max - at < CHUNK_BYTES ? (size_t)(max - at) : CHUNK_BYTES);
		for (long i = 0; i + HEADER_BYTES <= n; i += 8)
			if (is_header(chunk + i) &&
			    try_header(table, s->address + at + (uint64_t)i))
				return true;
		if (n < (long)CHUNK_BYTES)
			return false;
	}
	return false;
}

/* The linker keeps it in a section of its own; a program without sections is looked through. */
static bool find_table(struct pclntab *table)
{
	static const char *const names[] = { ".gopclntab", ".data.rel.ro.gopclntab" };
	const struct elf *elf = table->elf;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct elf_section *s = elf__section(elf, names[i]);

		if (s && try_header(table, s->address)) {
			if (s->bytes < table->bytes)
				table->bytes = s->bytes;
			return true;
		}
	}
	for (unsigned int i = 0; !elf->n_sections && i < elf->n_segments; i++)
		if (elf->segments[i].type == PT_LOAD && !(elf->segments[i].flags & PF_X) &&
		    search_segment(table, &elf->segments[i]))
			return true;
	return false;
}

/* Places are relative to the table's start. */
static int read_header(struct pclntab *table)
{
	uint64_t words[8], functions, names_end;
	uint32_t magic;
	unsigned int i;

	if (table->bytes < HEADER_BYTES + sizeof(words) ||
	    file__read(table->elf->file, table->at, &magic, sizeof(magic)) ||
	    file__read(table->elf->file, table->at + HEADER_BYTES, words, sizeof(words)))
		return -EPROTO;
	table->narrow = magic != MAGIC_116;
	i = table->narrow ? 3 : 2; /* number of functions, of files; textStart */
	table->n_functions = words[0];
	table->text = table->narrow ? words[2] : 0;
	functions = words[i + 4];
	names_end = words[i + 1]; /* where the next part begins */
	if (words[i] >= names_end || names_end > table->bytes || functions >= table->bytes ||
	    table->n_functions > (table->bytes - functions) / (table->narrow ? 8 : 16))
		return -EPROTO;
	table->names = table->at + words[i];
	table->names_bytes = names_end - words[i];
	table->functions = table->at + functions;
	return 0;
}

/*
 * Words of data that the loader relocates: some linkers write what they will be into the file as well,
 * some only into the relocations (R_X86_64_RELATIVE and R_AARCH64_RELATIVE, whose addend it is).
 */
static void relocate(const struct elf *elf, uint64_t address, uint64_t *words, unsigned int n)
{
	Elf64_Rela *r = (Elf64_Rela *)(void *)chunk;
	const uint64_t in_chunk = CHUNK_BYTES / sizeof(*r);
	uint64_t table, size, at, bytes;

	if (!elf__dynamic(elf, DT_RELA, &table) || !elf__dynamic(elf, DT_RELASZ, &size) ||
	    !elf__offset(elf, table, &at, &bytes))
		return;
	size = (size < bytes ? size : bytes) / sizeof(*r);
	if (size > RELOCATIONS_MAX)
		size = RELOCATIONS_MAX;
	for (uint64_t i = 0; i < size; i += in_chunk) {
		uint64_t k = size - i < in_chunk ? size - i : in_chunk;

		if (file__read(elf->file, at + i * sizeof(*r), r, (size_t)k * sizeof(*r)))
			return;
		for (uint64_t j = 0; j < k; j++) {
			uint64_t word = (r[j].r_offset - address) / 8;

			if (r[j].r_offset >= address && word < n && !ELF64_R_SYM(r[j].r_info) &&
			    !words[word])
				words[word] = (uint64_t)r[j].r_addend;
		}
	}
}

static bool read_words(const struct elf *elf, uint64_t address, uint64_t *ret, unsigned int n)
{
	uint64_t at, bytes;

	if (!elf__offset(elf, address, &at, &bytes) || bytes < (uint64_t)n * 8 ||
	    file__read(elf->file, at, ret, n * sizeof(*ret)))
		return false;
	if (n && !ret[0])
		relocate(elf, address, ret, n);
	return true;
}

/* moduledata begins with a pointer to the table, and says where the program's text is. */
static bool try_module(struct pclntab *table, uint64_t address)
{
	uint64_t words[MODULEDATA_WORDS], at, bytes;
	unsigned int n = MODULEDATA_WORDS;

	if (!elf__offset(table->elf, address, &at, &bytes))
		return false;
	if (bytes / 8 < n)
		n = (unsigned int)(bytes / 8);
	memset(words, 0, sizeof(words));
	if (n <= MODULE_ETEXT || !read_words(table->elf, address, words, n))
		return false;
	if (words[MODULE_HEADER] != table->address || words[MODULE_TEXT] > words[MODULE_MINPC] ||
	    words[MODULE_MINPC] >= words[MODULE_MAXPC] ||
	    !is_executable(table->elf, words[MODULE_TEXT]) ||
	    !is_executable(table->elf, words[MODULE_MINPC]))
		return false;
	memcpy(table->module, words, sizeof(words));
	table->has_module = true;
	return true;
}

/* Before Go 1.26, which gave it a section, it lies among the data. */
static bool search_module(struct pclntab *table, const struct elf_segment *s)
{
	uint64_t max = s->file_bytes < DATA_MAX_BYTES ? s->file_bytes : DATA_MAX_BYTES, word;

	for (uint64_t at = 0; at < max; at += CHUNK_BYTES) {
		long n;

		if (s->offset > table->elf->file->size)
			return false;
		n = file__read_some(table->elf->file, s->offset + at, chunk,
				    max - at < CHUNK_BYTES ? (size_t)(max - at) : CHUNK_BYTES);
		for (long i = 0; i + 8 <= n; i += 8) {
			memcpy(&word, chunk + i, sizeof(word));
			if (word != table->address)
				continue;
			if (try_module(table, s->address + at + (uint64_t)i))
				return true;
			/* relocate() may have used the chunk */
			n = file__read_some(table->elf->file, s->offset + at, chunk, (size_t)n);
		}
		if (n < (long)CHUNK_BYTES)
			return false;
	}
	return false;
}

/* The relocation that makes the pointer, where the file does not hold it. */
static bool search_relocations(struct pclntab *table)
{
	const struct elf *elf = table->elf;
	uint64_t rela, size, at, bytes;
	Elf64_Rela r[256];

	if (!elf__dynamic(elf, DT_RELA, &rela) || !elf__dynamic(elf, DT_RELASZ, &size) ||
	    !elf__offset(elf, rela, &at, &bytes))
		return false;
	size = (size < bytes ? size : bytes) / sizeof(r[0]);
	for (uint64_t i = 0; i < size && i < RELOCATIONS_MAX; i += 256) {
		uint64_t n = size - i < 256 ? size - i : 256;

		if (file__read(elf->file, at + i * sizeof(r[0]), r, (size_t)n * sizeof(r[0])))
			return false;
		for (uint64_t k = 0; k < n; k++)
			if ((uint64_t)r[k].r_addend == table->address &&
			    try_module(table, r[k].r_offset))
				return true;
	}
	return false;
}

static void find_module(struct pclntab *table)
{
	const struct elf *elf = table->elf;
	const struct elf_section *s = elf__section(elf, ".go.module");

	if (s && try_module(table, s->address))
		return;
	for (unsigned int i = 0; i < elf->n_segments; i++)
		if (elf->segments[i].type == PT_LOAD &&
		    (elf->segments[i].flags & (PF_W | PF_X)) == PF_W &&
		    search_module(table, &elf->segments[i]))
			return;
	search_relocations(table);
}

int pclntab__open(struct pclntab *table, const struct elf *elf)
{
	const struct elf_section *text = elf__section(elf, ".text");
	int err;

	memset(table, 0, sizeof(*table));
	table->elf = elf;
	if (!find_table(table))
		return -ENOENT;
	err = read_header(table);
	if (err)
		return err;
	find_module(table);
	if (table->has_module)
		table->text = table->module[MODULE_TEXT];
	/* Right where the program was linked by Go itself: C's start-up code would come first. */
	else if (table->narrow && !is_executable(elf, table->text) && text)
		table->text = text->address;
	return 0;
}

/* What pass 1 found: where names begin, relative to the table of names; -1: nowhere. */
static void find_names(const struct pclntab *table, const struct pclntab_function *functions,
		       unsigned int n, int64_t *ret)
{
	struct file *file = table->elf->file;
	uint64_t end = table->names_bytes, at = 0;

	if (end > PCLNTAB_NAMES_MAX) {
		end = PCLNTAB_NAMES_MAX;
		file->cut = true;
	}
	while (at < end) {
		size_t have = end - at < CHUNK_BYTES ? (size_t)(end - at) : CHUNK_BYTES, i = 0;
		const char *names = (const char *)chunk;

		if (file__read(file, table->names + at, chunk, have))
			return;
		while (i < have) {
			const char *stop = memchr(names + i, '\0', have - i);
			size_t len = stop ? (size_t)(stop - names) - i : have - i;

			if (!stop && len < have && at + have < end)
				break; /* goes on in the next chunk */
			for (unsigned int f = 0; f < n; f++)
				if (stop && ret[f] < 0 && len == strlen(functions[f].name) &&
				    !memcmp(names + i, functions[f].name, len))
					ret[f] = (int64_t)(at + i);
			i += len + (stop != NULL);
		}
		at += i;
	}
}

/* One row of the table: where the function begins, and its description in the table's functions. */
struct row {
	uint64_t entry, description;
};

static struct row row_at(const struct pclntab *table, const uint8_t *at)
{
	uint32_t narrow[2];
	uint64_t wide[2];

	if (table->narrow) {
		memcpy(narrow, at, sizeof(narrow));
		return (struct row){ table->text + narrow[0], narrow[1] };
	}
	memcpy(wide, at, sizeof(wide));
	return (struct row){ wide[0], wide[1] };
}

/* A window onto the descriptions, which lie in the order of the rows. */
struct window {
	uint8_t bytes[CHUNK_BYTES / 4];
	uint64_t at;
	long n;
};

/* The name of a function's description, as a place among names; -1: broken. */
static int64_t name_of(const struct pclntab *table, struct window *window, uint64_t description)
{
	uint64_t skip = table->narrow ? 4 : 8; /* its entry comes first */
	uint64_t room = table->bytes - (table->functions - table->at);
	int32_t name;

	if (description > room || room - description < skip + sizeof(name))
		return -1;
	description += skip;
	if (description < window->at || window->n < 4 ||
	    description - window->at > (uint64_t)window->n - 4) {
		window->at = description;
		window->n = file__read_some(table->elf->file, table->functions + description,
					    window->bytes, sizeof(window->bytes));
		if (window->n < 4)
			return -1;
	}
	memcpy(&name, window->bytes + (description - window->at), sizeof(name));
	return name;
}

int pclntab__find(const struct pclntab *table, struct pclntab_function *functions, unsigned int n)
{
	static struct window window;
	size_t size = table->narrow ? 8 : 16, in_chunk = CHUNK_BYTES / size - 1;
	uint64_t rows = table->n_functions;
	int64_t names[PCLNTAB_MATCHES_MAX];

	if (n > PCLNTAB_MATCHES_MAX)
		return -EINVAL;
	window.n = 0;
	for (unsigned int f = 0; f < n; f++) {
		names[f] = -1;
		functions[f].address = functions[f].bytes = 0;
	}
	find_names(table, functions, n, names);
	if (rows > PCLNTAB_FUNCTIONS_MAX) {
		rows = PCLNTAB_FUNCTIONS_MAX;
		table->elf->file->cut = true;
	}
	/* After the last row there is one more that only says where the last function ends. */
	for (uint64_t i = 0; i < rows; i += in_chunk) {
		uint64_t k = rows - i < in_chunk ? rows - i : in_chunk;

		if (file__read(table->elf->file, table->functions + i * size, chunk,
			       (size_t)(k + 1) * size))
			return -EPROTO;
		for (uint64_t j = 0; j < k; j++) {
			struct row row = row_at(table, chunk + j * size);
			uint64_t next = row_at(table, chunk + (j + 1) * size).entry;
			int64_t name = name_of(table, &window, row.description);

			for (unsigned int f = 0; f < n && name >= 0; f++) {
				if (names[f] != name || functions[f].address || next <= row.entry ||
				    !is_executable(table->elf, row.entry))
					continue;
				functions[f].address = row.entry;
				functions[f].bytes = next - row.entry;
			}
		}
	}
	return 0;
}

/* Where moduledata has what it says of types, in words; it grew now and then (runtime/symtab.go). */
struct module_layout {
	unsigned int since; /* Go 1.since */
	unsigned int types, etypes, itablinks;
};
static const struct module_layout layouts[] = {
	{ 26, 37, 38, 48 }, /* epclntab */
	{ 20, 37, 38, 47 }, /* covctrs, ecovctrs */
	{ 18, 35, 36, 45 }, /* rodata, gofunc */
	{ 16, 35, 36, 43 },
};
#define ITABS_MAX 16384u

/*
 * Whether the type at an address has this name. internal/abi/type.go: at 20 the flags, of which 2 says that
 * the name has an extra "*" before it; at 40 where the name is, from the start of types: a byte of flags,
 * its length in base 128, its bytes. Before Go 1.17 the length took two bytes, most significant first.
 */
static bool is_type(const struct pclntab *table, const struct module_layout *layout,
		    unsigned int minor, uint64_t address, const char *name)
{
	uint64_t types = table->module[layout->types], at, bytes;
	size_t len = strlen(name), prefix = minor && minor < 17 ? 3 : 2;
	uint8_t type[48], text[64];
	uint32_t where;

	if (address < types || address >= table->module[layout->etypes] || len > 40 ||
	    !elf__offset(table->elf, address, &at, &bytes) || bytes < sizeof(type) ||
	    file__read(table->elf->file, at, type, sizeof(type)))
		return false;
	memcpy(&where, type + 40, sizeof(where));
	if (!elf__offset(table->elf, types + where, &at, &bytes) || bytes < sizeof(text) ||
	    file__read(table->elf->file, at, text, sizeof(text)))
		return false;
	if (type[20] & 2) /* "*net.Conn" stands for net.Conn */
		return text[prefix - 1] == len + 1 && text[prefix] == '*' &&
		       !memcmp(text + prefix + 1, name, len);
	return text[prefix - 1] == len && !memcmp(text + prefix, name, len);
}

uint64_t pclntab__itab(const struct pclntab *table, unsigned int minor, const char *interface_name,
		       const char *type_name)
{
	const struct module_layout *layout = layouts;
	uint64_t links, n, words[64], itab[2], at, bytes;

	while (minor && minor < layout->since &&
	       layout < &layouts[sizeof(layouts) / sizeof(layouts[0]) - 1])
		layout++;
	if (!table->has_module)
		return 0;
	links = table->module[layout->itablinks];
	n = table->module[layout->itablinks + 1];
	if (n > ITABS_MAX || n != table->module[layout->itablinks + 2])
		return 0;
	for (uint64_t i = 0; i < n; i += 64) {
		unsigned int k = n - i < 64 ? (unsigned int)(n - i) : 64;

		if (!read_words(table->elf, links + i * 8, words, k))
			return 0;
		for (unsigned int j = 0; j < k; j++) {
			if (!elf__offset(table->elf, words[j], &at, &bytes) ||
			    bytes < sizeof(itab) ||
			    file__read(table->elf->file, at, itab, sizeof(itab)))
				continue;
			if (is_type(table, layout, minor, itab[1], type_name) &&
			    is_type(table, layout, minor, itab[0], interface_name))
				return words[j];
		}
	}
	return 0;
}
