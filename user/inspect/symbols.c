// SPDX-License-Identifier: Apache-2.0
#include "inspect/symbols.h"

#include <elf.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)
#define BUCKETS_MAX (1u << 20)
#define SLOTS_MAX 65536u

/* A symbol table and its names, by places in the file. */
struct table {
	uint64_t at, n; /* of its entries, which are of the file's class */
	uint64_t names_at, names_bytes;
};

/* Names that are wanted: where in the table of names they begin. */
struct names {
	unsigned int n;
	struct {
		uint32_t at;
		uint16_t function;
	} found[SYMBOLS_MAX];
};

static size_t entry_bytes(const struct elf *elf)
{
	return elf->is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
}

static void keep_name(struct names *names, struct file *file, uint64_t at, uint16_t function)
{
	if (names->n == SYMBOLS_MAX) {
		file->cut = true;
		return;
	}
	names->found[names->n].at = (uint32_t)at;
	names->found[names->n++].function = function;
}

/*
 * One string of the table. Linkers let a name begin in the middle of a longer one that ends like it: a
 * name of C may be the end of another name.
 */
static void look_at_name(struct names *names, struct file *file, const char *name, size_t len,
			 uint64_t at)
{
	enum tls_function function = functions__of_rust_symbol(name, len);
	size_t skip = 0;

	if (function == TLS_FN_NONE)
		function = functions__of_c_symbol(name, len, &skip);
	if (function != TLS_FN_NONE)
		keep_name(names, file, at + skip, function);
}

static void find_names(const struct elf *elf, const struct table *table, struct names *ret)
{
	static char chunk[CHUNK_BYTES];
	uint64_t at = 0, end = table->names_bytes;

	ret->n = 0;
	if (end > SYMBOLS_NAMES_MAX) {
		end = SYMBOLS_NAMES_MAX;
		elf->file->cut = true;
	}
	while (at < end) {
		size_t n = end - at < sizeof(chunk) ? (size_t)(end - at) : sizeof(chunk), i = 0;

		if (file__read(elf->file, table->names_at + at, chunk, n))
			return;
		while (i < n) {
			const char *stop = memchr(chunk + i, '\0', n - i);
			size_t len = stop ? (size_t)(stop - chunk) - i : n - i;

			if (!stop && len < n && at + n < end)
				break; /* goes on in the next chunk */
			if (stop && len <= SYMBOLS_NAME_MAX_BYTES)
				look_at_name(ret, elf->file, chunk + i, len, at + i);
			i += len + (stop != NULL);
		}
		at += i;
	}
}

static bool read_symbol(const struct elf *elf, const uint8_t *at, Elf64_Sym *ret)
{
	Elf32_Sym narrow;

	if (elf->is64) {
		memcpy(ret, at, sizeof(*ret));
	} else {
		memcpy(&narrow, at, sizeof(narrow));
		*ret = (Elf64_Sym){ .st_name = narrow.st_name,
				    .st_info = narrow.st_info,
				    .st_shndx = narrow.st_shndx,
				    .st_value = narrow.st_value,
				    .st_size = narrow.st_size };
	}
	/* the type is at the same place in both classes */
	return ELF64_ST_TYPE(ret->st_info) == STT_FUNC && ret->st_shndx != SHN_UNDEF &&
	       ret->st_value;
}

/* By function, then address; what is there already is not put there again. */
static void keep_symbol(struct symbols *symbols, struct file *file, struct symbol symbol)
{
	unsigned int i = 0;

	while (i < symbols->n && (symbols->at[i].function < symbol.function ||
				  (symbols->at[i].function == symbol.function &&
				   symbols->at[i].address < symbol.address)))
		i++;
	if (i < symbols->n && symbols->at[i].function == symbol.function &&
	    symbols->at[i].address == symbol.address) {
		if (!symbols->at[i].bytes)
			symbols->at[i].bytes = symbol.bytes;
		return;
	}
	if (symbols->n == SYMBOLS_MAX) {
		file->cut = true;
		return;
	}
	memmove(&symbols->at[i + 1], &symbols->at[i], (symbols->n - i) * sizeof(symbol));
	symbols->at[i] = symbol;
	symbols->n++;
}

static void find_symbols(const struct elf *elf, const struct table *table,
			 const struct names *names, struct symbols *ret)
{
	static uint8_t chunk[CHUNK_BYTES - CHUNK_BYTES % sizeof(Elf64_Sym)];
	size_t size = entry_bytes(elf), in_chunk = sizeof(chunk) / size;
	uint64_t left = table->n, at = table->at;

	if (left > SYMBOLS_TABLE_MAX) {
		left = SYMBOLS_TABLE_MAX;
		elf->file->cut = true;
	}
	while (left) {
		size_t n = left < in_chunk ? (size_t)left : in_chunk;
		Elf64_Sym s;

		if (file__read(elf->file, at, chunk, n * size))
			return;
		for (size_t i = 0; i < n; i++) {
			if (!read_symbol(elf, chunk + i * size, &s))
				continue;
			for (unsigned int k = 0; k < names->n; k++)
				if (names->found[k].at == s.st_name)
					keep_symbol(ret, elf->file,
						    (struct symbol){ s.st_value, s.st_size,
								     names->found[k].function });
		}
		left -= n;
		at += n * size;
	}
}

static void read_table(const struct elf *elf, const struct table *table, struct symbols *ret)
{
	struct names names;

	find_names(elf, table, &names);
	if (names.n)
		find_symbols(elf, table, &names, ret);
}

/* DT_GNU_HASH: the last chain's end is the last symbol (glibc: elf/dl-lookup.c). */
static uint64_t count_by_gnu_hash(const struct elf *elf, uint64_t at)
{
	uint32_t header[4], buckets[256], last = 0, hash;
	uint64_t buckets_at, chains_at;

	if (file__read(elf->file, at, header, sizeof(header)) || header[0] > BUCKETS_MAX)
		return 0;
	buckets_at = at + sizeof(header) + (uint64_t)header[2] * (elf->is64 ? 8 : 4);
	chains_at = buckets_at + (uint64_t)header[0] * 4;
	for (uint32_t i = 0; i < header[0]; i += 256) {
		uint32_t n = header[0] - i < 256 ? header[0] - i : 256;

		if (file__read(elf->file, buckets_at + (uint64_t)i * 4, buckets, n * 4))
			return 0;
		for (uint32_t k = 0; k < n; k++)
			if (buckets[k] > last)
				last = buckets[k];
	}
	if (last < header[1])
		return 0;
	for (unsigned int i = 0; i < 4096; i++) {
		if (file__read(elf->file, chains_at + (uint64_t)(last - header[1]) * 4, &hash, 4))
			return 0;
		last++;
		if (hash & 1)
			break;
	}
	return last;
}

/* How many symbols the loader sees: no table says it, but either of its hash tables does. */
static uint64_t count_dynamic(const struct elf *elf)
{
	uint64_t address, at, bytes;
	uint32_t words[2];

	if (elf__dynamic(elf, DT_HASH, &address) && elf__offset(elf, address, &at, &bytes) &&
	    !file__read(elf->file, at, words, sizeof(words)))
		return words[1];
	if (elf__dynamic(elf, DT_GNU_HASH, &address) && elf__offset(elf, address, &at, &bytes))
		return count_by_gnu_hash(elf, at);
	return 0;
}

/* As the loader finds it: there, a program that runs is right. */
static bool dynamic_table(const struct elf *elf, struct table *ret)
{
	uint64_t address, bytes, names_bytes;

	if (!elf__dynamic(elf, DT_SYMTAB, &address) || !elf__offset(elf, address, &ret->at, &bytes))
		return false;
	ret->n = bytes / entry_bytes(elf);
	if (!elf__dynamic(elf, DT_STRTAB, &address) ||
	    !elf__offset(elf, address, &ret->names_at, &bytes) ||
	    !elf__dynamic(elf, DT_STRSZ, &names_bytes))
		return false;
	ret->names_bytes = names_bytes < bytes ? names_bytes : bytes;
	address = count_dynamic(elf);
	if (address < ret->n)
		ret->n = address;
	return true;
}

static bool section_table(const struct elf *elf, struct table *ret)
{
	const struct elf_section *symbols = elf__section(elf, ".symtab"), *names;

	if (!symbols || symbols->type != SHT_SYMTAB)
		return false;
	names = elf__section_at(elf, symbols->link);
	if (!names || names->type != SHT_STRTAB)
		return false;
	*ret = (struct table){ symbols->offset, symbols->bytes / entry_bytes(elf), names->offset,
			       names->bytes };
	return true;
}

void symbols__read(const struct elf *elf, struct symbols *ret)
{
	struct table table;

	ret->n = 0;
	if (dynamic_table(elf, &table))
		read_table(elf, &table, ret);
	if (section_table(elf, &table))
		read_table(elf, &table, ret);
}

bool symbols__of_slot(const struct elf *elf, uint64_t slot, uint64_t *ret_address)
{
	uint64_t address, at, bytes, size;
	uint8_t entry[sizeof(Elf64_Sym)];
	struct table table;
	Elf64_Rela r[128];
	Elf64_Sym s;

	if (!elf->is64 || !elf__dynamic(elf, DT_JMPREL, &address) ||
	    !elf__dynamic(elf, DT_PLTRELSZ, &size) || !elf__offset(elf, address, &at, &bytes) ||
	    !dynamic_table(elf, &table))
		return false;
	if (size > bytes)
		size = bytes;
	size /= sizeof(r[0]);
	for (uint64_t i = 0; i < size && i < SLOTS_MAX; i += 128) {
		size_t n = size - i < 128 ? (size_t)(size - i) : 128;

		if (file__read(elf->file, at + i * sizeof(r[0]), r, n * sizeof(r[0])))
			return false;
		for (size_t k = 0; k < n; k++) {
			uint64_t number = ELF64_R_SYM(r[k].r_info);

			if (r[k].r_offset != slot)
				continue;
			if (number >= table.n ||
			    file__read(elf->file, table.at + number * sizeof(entry), entry,
				       sizeof(entry)) ||
			    !read_symbol(elf, entry, &s))
				return false;
			*ret_address = s.st_value;
			return true;
		}
	}
	return false;
}
