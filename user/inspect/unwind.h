/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a function begins and ends, of a program without symbols: unwinding needs to know, and the
 * tables for that are loaded with the program (.eh_frame_hdr and .eh_frame; Linux Standard Base Core
 * 5.0, "Exception Frames"). A part that the compiler put elsewhere (".cold") is one of its own there.
 */
#ifndef SONDE_INSPECT_UNWIND_H
#define SONDE_INSPECT_UNWIND_H

#include "inspect/elf.h"

/* The function, or part, that holds an address. false: the tables do not say. */
bool unwind__function(const struct elf *elf, uint64_t address, uint64_t *ret_start,
		      uint64_t *ret_bytes);

#endif
