/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of functions that every program of Go 1.16 and later carries, stripped or not, because its
 * runtime needs it (src/runtime/symtab.go, src/debug/gosym/pclntab.go), and what of the runtime's
 * description of the program (moduledata) goes with it.
 */
#ifndef SONDE_INSPECT_PCLNTAB_H
#define SONDE_INSPECT_PCLNTAB_H

#include "inspect/elf.h"

#define PCLNTAB_FUNCTIONS_MAX (1u << 20) /* looked at; more: file->cut */
#define PCLNTAB_NAMES_MAX (32u << 20)	 /* bytes of names looked at; more: file->cut */
#define PCLNTAB_MATCHES_MAX 8		 /* functions asked for at a time */
#define MODULEDATA_WORDS 64

struct pclntab {
	const struct elf *elf;
	uint64_t at, bytes; /* in the file */
	uint64_t address;
	bool narrow; /* Go 1.18 and later: places of 4 bytes, relative to text */
	uint64_t n_functions;
	uint64_t names, names_bytes, functions; /* in the file */
	uint64_t text; /* address that entries are relative to; 0: unknown */
	bool has_module;
	uint64_t module[MODULEDATA_WORDS]; /* the runtime's moduledata, its first words */
};

struct pclntab_function {
	const char *name;	 /* in: all of it */
	uint64_t address, bytes; /* out: 0, 0: there is none of this name */
};

/* -ENOENT: no such table, or of Go before 1.16; -EPROTO: broken, or of 32 bits. */
int pclntab__open(struct pclntab *table, const struct elf *elf);

/* Fills address and bytes (up to the next function: with padding) of n <= PCLNTAB_MATCHES_MAX functions. */
int pclntab__find(const struct pclntab *table, struct pclntab_function *functions, unsigned int n);

/*
 * The address of the itab of a pair of types, by the names that Go prints of them: "net.Conn",
 * "*net.TCPConn". minor: of Go 1.minor; 0: unknown, the latest is tried. 0: not found.
 */
uint64_t pclntab__itab(const struct pclntab *table, unsigned int minor, const char *interface_name,
		       const char *type_name);

#endif
