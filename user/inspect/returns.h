/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a function returns: its return instructions, those of its parts that the compiler put elsewhere,
 * and those of functions that it ends in by a jump.
 */
#ifndef SONDE_INSPECT_RETURNS_H
#define SONDE_INSPECT_RETURNS_H

#include "inspect/cheap_go.h"
#include "inspect/elf.h"
#include "inspect/inspect.h"

#define RETURNS_CODE_MAX_BYTES (64u << 10) /* of one function or part; larger: INSPECT_FN_CUT */
#define RETURNS_PARTS_MAX 16		   /* of these that belong together */

/*
 * Adds the function at address to ret: its entry, and its returns where they tell something. bytes: of
 * its code, as its symbol says, 0: not said. An instruction that is a point already is not added again. go: what
 * functions of Go call, else NULL.
 * -E2BIG: ret is full, and nothing was added.
 */
int returns__add(const struct elf *elf, enum tls_function function, uint64_t address,
		 uint64_t bytes, const struct cheap_go *go, struct inspect_tls *ret);

#endif
