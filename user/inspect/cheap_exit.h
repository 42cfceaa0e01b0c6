/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In place of a return instruction, which the kernel has to step through: the jumps that lead to it, when the result
 * is known and nothing follows that matters. A jump on a condition counts only where it goes that way; what
 * is asked of its flags is what the processor will ask.
 */
#ifndef SONDE_INSPECT_CHEAP_EXIT_H
#define SONDE_INSPECT_CHEAP_EXIT_H

#include "../../headers/tls.h"
#include "inspect/cheap.h"

#define CHEAP_EXITS_MAX 24 /* of one return */
struct cheap_exit {
	struct cheap_point at;
	uint8_t result;	   /* enum sonde_tls_result */
	uint8_t condition; /* SONDE_TLS_ALWAYS, or 1 + one of x86-64's */
};

/*
 * All ways to the return instruction at this address, each with one jump. *ret_from: of the lowest address of code
 * that lies between: a jump from elsewhere to code behind it, up to the return, would be another way. Returns how
 * many; 0: there are ways without such a jump, or more than CHEAP_EXITS_MAX.
 */
unsigned int cheap_exit__find(const struct cheap_code *code, uint64_t address,
			      struct cheap_exit ret[CHEAP_EXITS_MAX], uint64_t *ret_from);

#endif
