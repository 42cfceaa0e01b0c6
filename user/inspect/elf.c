// SPDX-License-Identifier: Apache-2.0
#include "inspect/elf.h"

#include <elf.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

#define NOTE_BYTES_MAX 65536 /* of one PT_NOTE segment */
#define NOTES_MAX 256
#define NAME_TABLE_MAX_BYTES (64u << 10)

#if __BYTE_ORDER == __LITTLE_ENDIAN
#define OWN_ORDER ELFDATA2LSB
#else
#define OWN_ORDER ELFDATA2MSB
#endif

/* The header's fields that matter, of either class. */
struct header {
	uint64_t segments_at, sections_at;
	uint32_t segment_bytes, section_bytes, n_segments, n_sections, names_index;
};

static int read_header(struct elf *elf, struct header *ret)
{
	unsigned char ident[EI_NIDENT];
	int err = file__read(elf->file, 0, ident, sizeof(ident));

	if (err)
		return err == -EPROTO ? -ENOEXEC : err;
	if (memcmp(ident, ELFMAG, SELFMAG))
		return -ENOEXEC;
	if (ident[EI_DATA] != OWN_ORDER)
		return -EPROTO;
	if (ident[EI_CLASS] == ELFCLASS64) {
		Elf64_Ehdr h;

		err = file__read(elf->file, 0, &h, sizeof(h));
		if (err)
			return err;
		elf->is64 = true;
		elf->type = h.e_type;
		elf->machine = h.e_machine;
		*ret = (struct header){ h.e_phoff, h.e_shoff, h.e_phentsize, h.e_shentsize,
					h.e_phnum, h.e_shnum, h.e_shstrndx };
		return 0;
	}
	if (ident[EI_CLASS] == ELFCLASS32) {
		Elf32_Ehdr h;

		err = file__read(elf->file, 0, &h, sizeof(h));
		if (err)
			return err;
		elf->type = h.e_type;
		elf->machine = h.e_machine;
		*ret = (struct header){ h.e_phoff, h.e_shoff, h.e_phentsize, h.e_shentsize,
					h.e_phnum, h.e_shnum, h.e_shstrndx };
		return 0;
	}
	return -EPROTO;
}

static int read_segments(struct elf *elf, const struct header *header)
{
	size_t bytes = elf->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (!header->n_segments)
		return 0;
	if (header->segment_bytes != bytes)
		return -EPROTO;
	for (uint32_t i = 0; i < header->n_segments; i++) {
		struct elf_segment *s = &elf->segments[elf->n_segments];
		union {
			Elf64_Phdr wide;
			Elf32_Phdr narrow;
		} h;
		int err;

		if (elf->n_segments == ELF_SEGMENTS_MAX) {
			elf->file->cut = true;
			break;
		}
		if (header->segments_at > elf->file->size)
			return -EPROTO;
		err = file__read(elf->file, header->segments_at + i * bytes, &h, bytes);
		if (err)
			return err;
		if (elf->is64)
			*s = (struct elf_segment){ h.wide.p_type, h.wide.p_flags, h.wide.p_offset,
						   h.wide.p_vaddr, h.wide.p_filesz };
		else
			*s = (struct elf_segment){ h.narrow.p_type, h.narrow.p_flags,
						   h.narrow.p_offset, h.narrow.p_vaddr,
						   h.narrow.p_filesz };
		elf->n_segments++;
	}
	return 0;
}

struct raw_section {
	uint32_t name, type, link;
	uint64_t offset, address, bytes;
};

static int read_section(struct elf *elf, const struct header *header, uint32_t i,
			struct raw_section *ret)
{
	size_t bytes = elf->is64 ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr);
	union {
		Elf64_Shdr wide;
		Elf32_Shdr narrow;
	} h;
	int err;

	if (header->section_bytes != bytes || header->sections_at > elf->file->size)
		return -EPROTO;
	err = file__read(elf->file, header->sections_at + (uint64_t)i * bytes, &h, bytes);
	if (err)
		return err;
	if (elf->is64)
		*ret = (struct raw_section){ h.wide.sh_name,   h.wide.sh_type, h.wide.sh_link,
					     h.wide.sh_offset, h.wide.sh_addr, h.wide.sh_size };
	else
		*ret =
			(struct raw_section){ h.narrow.sh_name, h.narrow.sh_type,
					      h.narrow.sh_link, h.narrow.sh_offset,
					      h.narrow.sh_addr, h.narrow.sh_size };
	return 0;
}

/* Section 0 holds what does not fit into the header (gABI, "Extended numbering"). */
static int extended_numbers(struct elf *elf, struct header *header)
{
	struct raw_section zero;
	int err;

	if (header->n_sections && header->names_index != SHN_XINDEX)
		return 0;
	err = read_section(elf, header, 0, &zero);
	if (err)
		return err;
	if (!header->n_sections)
		header->n_sections = zero.bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)zero.bytes;
	if (header->names_index == SHN_XINDEX)
		header->names_index = zero.link;
	return 0;
}

static void section_name(struct elf_section *section, const char *table, size_t bytes, uint32_t at)
{
	size_t n = 0;

	while (n < sizeof(section->name) - 1 && at + n < bytes && table[at + n]) {
		section->name[n] = table[at + n];
		n++;
	}
	section->name[n] = '\0';
}

/*
 * Sections are for linkers and may be missing or wrong in a program that runs all the same: an
 * error here only means that there are none.
 */
static int read_sections(struct elf *elf, struct header *header)
{
	static char names[NAME_TABLE_MAX_BYTES];
	struct raw_section raw;
	long names_bytes;
	int err;

	if (!header->sections_at)
		return 0;
	err = extended_numbers(elf, header);
	if (!err && header->names_index >= header->n_sections)
		err = -EPROTO;
	if (!err)
		err = read_section(elf, header, header->names_index, &raw);
	if (err)
		return err;
	names_bytes = file__read_some(elf->file, raw.offset, names,
				      raw.bytes < sizeof(names) ? raw.bytes : sizeof(names));
	if (names_bytes < 0)
		return (int)names_bytes;
	for (uint32_t i = 1; i < header->n_sections; i++) {
		struct elf_section *s = &elf->sections[elf->n_sections];

		if (elf->n_sections == ELF_SECTIONS_MAX) {
			elf->file->cut = true;
			break;
		}
		err = read_section(elf, header, i, &raw);
		if (err)
			return err;
		*s = (struct elf_section){ .type = raw.type,
					   .link = raw.link,
					   .offset = raw.offset,
					   .address = raw.address,
					   .bytes = raw.bytes };
		section_name(s, names, (size_t)names_bytes, raw.name);
		elf->n_sections++;
	}
	return 0;
}

int elf__open(struct elf *elf, struct file *file)
{
	struct header header;
	int err;

	memset(elf, 0, sizeof(*elf));
	elf->file = file;
	err = read_header(elf, &header);
	if (!err)
		err = read_segments(elf, &header);
	if (!err && read_sections(elf, &header))
		elf->n_sections = 0;
	return err;
}

const struct elf_section *elf__section(const struct elf *elf, const char *name)
{
	for (unsigned int i = 0; i < elf->n_sections; i++)
		if (!strncmp(elf->sections[i].name, name, ELF_SECTION_NAME_BYTES - 1))
			return &elf->sections[i];
	return NULL;
}

const struct elf_section *elf__section_at(const struct elf *elf, uint32_t number)
{
	return number && number <= elf->n_sections ? &elf->sections[number - 1] : NULL;
}

const struct elf_segment *elf__segment(const struct elf *elf, uint32_t type)
{
	for (unsigned int i = 0; i < elf->n_segments; i++)
		if (elf->segments[i].type == type)
			return &elf->segments[i];
	return NULL;
}

bool elf__offset(const struct elf *elf, uint64_t address, uint64_t *ret_offset, uint64_t *ret_bytes)
{
	for (unsigned int i = 0; i < elf->n_segments; i++) {
		const struct elf_segment *s = &elf->segments[i];
		uint64_t in = address - s->address;

		if (s->type != PT_LOAD || address < s->address || in >= s->file_bytes)
			continue;
		if (s->offset > elf->file->size || in >= elf->file->size - s->offset)
			continue;
		*ret_offset = s->offset + in;
		*ret_bytes = s->file_bytes - in;
		if (*ret_bytes > elf->file->size - *ret_offset)
			*ret_bytes = elf->file->size - *ret_offset;
		return true;
	}
	return false;
}

struct dynamic {
	int64_t tag;
	uint64_t value;
};

static int read_dynamic(const struct elf *elf, const struct elf_segment *s, unsigned int i,
			struct dynamic *ret)
{
	size_t bytes = elf->is64 ? sizeof(Elf64_Dyn) : sizeof(Elf32_Dyn);
	union {
		Elf64_Dyn wide;
		Elf32_Dyn narrow;
	} d;
	int err;

	if ((uint64_t)(i + 1) * bytes > s->file_bytes || s->offset > elf->file->size)
		return -EPROTO;
	err = file__read(elf->file, s->offset + (uint64_t)i * bytes, &d, bytes);
	if (err)
		return err;
	*ret = elf->is64 ? (struct dynamic){ d.wide.d_tag, d.wide.d_un.d_val } :
			   (struct dynamic){ d.narrow.d_tag, d.narrow.d_un.d_val };
	return 0;
}

bool elf__dynamic(const struct elf *elf, int64_t tag, uint64_t *ret)
{
	const struct elf_segment *s = elf__segment(elf, PT_DYNAMIC);
	struct dynamic d;

	for (unsigned int i = 0; s && i < ELF_DYNAMIC_MAX && !read_dynamic(elf, s, i, &d); i++) {
		if (d.tag == DT_NULL)
			break;
		if (d.tag != tag)
			continue;
		*ret = d.value;
		return true;
	}
	return false;
}

int elf__needed(const struct elf *elf, void (*each)(void *arg, const char *name), void *arg)
{
	const struct elf_segment *s = elf__segment(elf, PT_DYNAMIC);
	uint64_t needed[ELF_NEEDED_MAX], strings = 0, at, bytes;
	unsigned int n = 0;
	struct dynamic d;
	char name[128];

	if (!s)
		return 0;
	for (unsigned int i = 0; i < ELF_DYNAMIC_MAX && !read_dynamic(elf, s, i, &d); i++) {
		if (d.tag == DT_NULL)
			break;
		if (d.tag == DT_STRTAB)
			strings = d.value;
		if (d.tag == DT_NEEDED && n < ELF_NEEDED_MAX)
			needed[n++] = d.value;
	}
	if (!n)
		return 0;
	if (!elf__offset(elf, strings, &at, &bytes))
		return -EPROTO;
	for (unsigned int i = 0; i < n; i++)
		if (needed[i] < bytes &&
		    file__read_string(elf->file, at + needed[i], name, sizeof(name)) > 0)
			each(arg, name);
	return 0;
}

static uint64_t align4(uint64_t n)
{
	return (n + 3) & ~3ull;
}

/* In one PT_NOTE segment. */
static long find_note(const struct elf *elf, const struct elf_segment *s, const char *name,
		      uint32_t type, void *to, size_t max)
{
	uint64_t end = s->file_bytes < NOTE_BYTES_MAX ? s->file_bytes : NOTE_BYTES_MAX, at = 0;
	size_t name_bytes = strlen(name) + 1;
	char owner[16];
	Elf64_Nhdr h; /* the same in both classes */

	if (s->offset > elf->file->size || name_bytes > sizeof(owner))
		return 0;
	for (int i = 0; i < NOTES_MAX && at + sizeof(h) <= end; i++) {
		uint64_t content;

		if (file__read(elf->file, s->offset + at, &h, sizeof(h)))
			return 0;
		content = at + sizeof(h) + align4(h.n_namesz);
		if (content > end || h.n_descsz > end - content)
			return 0;
		if (h.n_type == type && h.n_namesz == name_bytes &&
		    !file__read(elf->file, s->offset + at + sizeof(h), owner, name_bytes) &&
		    !memcmp(owner, name, name_bytes)) {
			size_t n = h.n_descsz < max ? h.n_descsz : max;

			return file__read(elf->file, s->offset + content, to, n) ? 0 : (long)n;
		}
		at = content + align4(h.n_descsz);
	}
	return 0;
}

long elf__note(const struct elf *elf, const char *name, uint32_t type, void *to, size_t max)
{
	for (unsigned int i = 0; i < elf->n_segments; i++) {
		long n = 0;

		if (elf->segments[i].type == PT_NOTE)
			n = find_note(elf, &elf->segments[i], name, type, to, max);
		if (n > 0)
			return n;
	}
	return 0;
}
