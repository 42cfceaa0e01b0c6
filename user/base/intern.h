/* SPDX-License-Identifier: Apache-2.0 */
/* Texts, each kept once and known by a number from 0 on, up to a bound. Bytes may be hostile. Pure. */
#ifndef SONDE_BASE_INTERN_H
#define SONDE_BASE_INTERN_H

#include "base/buf.h"

/* Zero-initialised but for max is empty. */
struct intern {
	char **texts;
	uint32_t *lens;
	uint32_t *slots; /* 1 + number, 0: free; a power of two, more than half of them free */
	uint32_t n, cap, n_slots;
	uint32_t max; /* texts at the most */
};

/* Its number; -ENOSPC: there are max others already; -ENOMEM. */
long intern__add(struct intern *t, struct view text);
/* Holds until the table is freed. */
struct view intern__text(const struct intern *t, uint32_t number);
void intern__free(struct intern *t);

#endif
