/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded reader of ELF executables (System V gABI, chapters 4 and 5), of this machine's byte
 * order, 32 and 64 bits. Fixed tables: what does not fit is left out and file->cut is set.
 */
#ifndef SONDE_INSPECT_ELF_H
#define SONDE_INSPECT_ELF_H

#include <stdbool.h>
#include <stdint.h>

#include "inspect/file.h"

#define ELF_SEGMENTS_MAX 128
#define ELF_SECTIONS_MAX 512
#define ELF_SECTION_NAME_BYTES 24
#define ELF_DYNAMIC_MAX 1024 /* entries of PT_DYNAMIC looked at */
#define ELF_NEEDED_MAX 128   /* libraries of these */

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, address, file_bytes;
};

struct elf_section {
	char name[ELF_SECTION_NAME_BYTES]; /* cut */
	uint32_t type, link;		   /* link: of some types, the number of another section */
	uint64_t offset, address, bytes;
};

struct elf {
	struct file *file;
	bool is64;
	uint16_t type, machine;
	unsigned int n_segments, n_sections;
	struct elf_segment segments[ELF_SEGMENTS_MAX];
	struct elf_section sections[ELF_SECTIONS_MAX];
};

/* -ENOEXEC: not ELF; -EPROTO: broken, or another byte order; -E2BIG, -EIO as file__read(). */
int elf__open(struct elf *elf, struct file *file);

/* By name; NULL: none. */
const struct elf_section *elf__section(const struct elf *elf, const char *name);

/* By number, as the file counts (from 1); NULL: none. */
const struct elf_section *elf__section_at(const struct elf *elf, uint32_t number);

/* The first segment of a type; NULL: none. */
const struct elf_segment *elf__segment(const struct elf *elf, uint32_t type);

/* Where in the file an address is, and how many bytes follow it there. false: nowhere. */
bool elf__offset(const struct elf *elf, uint64_t address, uint64_t *ret_offset,
		 uint64_t *ret_bytes);

/* The value of the first entry of PT_DYNAMIC with this tag. false: there is none. */
bool elf__dynamic(const struct elf *elf, int64_t tag, uint64_t *ret);

/* Calls `each` with the name of every library that is needed (DT_NEEDED). */
int elf__needed(const struct elf *elf, void (*each)(void *arg, const char *name), void *arg);

/*
 * The first note of owner `name` and `type` (PT_NOTE segments): copies at most max bytes of it,
 * returns how many; 0: there is none.
 */
long elf__note(const struct elf *elf, const char *name, uint32_t type, void *to, size_t max);

#endif
