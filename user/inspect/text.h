/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SONDE_INSPECT_TEXT_H
#define SONDE_INSPECT_TEXT_H

#include <stddef.h>

/* Printable ASCII of at[0..len) into to[max], cut, the rest of `to` zero; other bytes become "?". */
void text__copy(char *to, size_t max, const char *at, size_t len);

#endif
