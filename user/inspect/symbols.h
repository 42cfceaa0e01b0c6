/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The symbols of TLS functions in .dynsym and .symtab. Both tables are read once from front to back,
 * names first, whatever their size: memory is bounded, and so is what comes out.
 */
#ifndef SONDE_INSPECT_SYMBOLS_H
#define SONDE_INSPECT_SYMBOLS_H

#include "inspect/elf.h"
#include "inspect/functions.h"

#define SYMBOLS_MAX 64		      /* of TLS functions; more: file->cut */
#define SYMBOLS_TABLE_MAX (4u << 20)  /* entries of a table looked at; more: file->cut */
#define SYMBOLS_NAMES_MAX (64u << 20) /* bytes of names looked at; more: file->cut */
#define SYMBOLS_NAME_MAX_BYTES 1024   /* longer ones are none of ours */

struct symbol {
	uint64_t address, bytes; /* bytes may be 0: not said */
	uint16_t function;	 /* enum tls_function */
};

struct symbols {
	unsigned int n;
	struct symbol at[SYMBOLS_MAX];
};

/* In the order of functions, then addresses, each address of a function once. */
void symbols__read(const struct elf *elf, struct symbols *ret);

/*
 * The function that the loader puts into the slot at an address (DT_JMPREL): one that is defined in this
 * file. false: none, or another file's.
 */
bool symbols__of_slot(const struct elf *elf, uint64_t slot, uint64_t *ret_address);

#endif
