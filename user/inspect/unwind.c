// SPDX-License-Identifier: Apache-2.0
#include "inspect/unwind.h"

#include <elf.h>
#include <string.h>

/* Pointer encodings (DW_EH_PE_*): the ones that linkers write for tables of 4 bytes. */
#define PE_UDATA4 0x03
#define PE_SDATA4_DATAREL 0x3b

struct header {
	uint8_t version, frame_encoding, count_encoding, table_encoding;
	int32_t frame;
	uint32_t n;
};

/* An entry: places relative to the header's address; the function's start, and its FDE. */
struct entry {
	int32_t start, fde;
};

/* What an FDE begins with, where pointers take 4 bytes. */
struct fde {
	uint32_t bytes;
	uint32_t cie;  /* how far before this word the CIE is; 0: this is a CIE itself */
	int32_t start; /* relative to this word */
	uint32_t range;
};

static bool read_at(const struct elf *elf, uint64_t address, void *to, size_t n)
{
	uint64_t at, bytes;

	return elf__offset(elf, address, &at, &bytes) && n <= bytes &&
	       !file__read(elf->file, at, to, n);
}

/* The last entry whose function begins at or before the address: the table is sorted. */
static bool find_entry(const struct elf *elf, uint64_t header, uint32_t n, uint64_t address,
		       struct entry *ret)
{
	uint32_t low = 0, high = n;
	struct entry e;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (!read_at(elf, header + sizeof(struct header) + (uint64_t)middle * sizeof(e), &e,
			     sizeof(e)))
			return false;
		if (header + (uint64_t)(int64_t)e.start <= address) {
			*ret = e;
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low > 0;
}

bool unwind__function(const struct elf *elf, uint64_t address, uint64_t *ret_start,
		      uint64_t *ret_bytes)
{
	const struct elf_segment *s = elf__segment(elf, PT_GNU_EH_FRAME);
	struct header header;
	struct entry entry;
	uint64_t start, at;
	struct fde fde;

	if (!s || !read_at(elf, s->address, &header, sizeof(header)) || header.version != 1 ||
	    header.count_encoding != PE_UDATA4 || header.table_encoding != PE_SDATA4_DATAREL ||
	    !find_entry(elf, s->address, header.n, address, &entry))
		return false;
	start = s->address + (uint64_t)(int64_t)entry.start;
	at = s->address + (uint64_t)(int64_t)entry.fde;
	if (!read_at(elf, at, &fde, sizeof(fde)) || !fde.cie)
		return false;
	/* That its pointers are of this encoding, its own start proves: no need to look into its CIE. */
	if (at + offsetof(struct fde, start) + (uint64_t)(int64_t)fde.start != start ||
	    address - start >= fde.range)
		return false;
	*ret_start = start;
	*ret_bytes = fde.range;
	return true;
}
