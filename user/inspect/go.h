/* SPDX-License-Identifier: Apache-2.0 */
/* What a tracer of Go's crypto/tls needs to know of a program of Go. */
#ifndef SONDE_INSPECT_GO_H
#define SONDE_INSPECT_GO_H

#include "inspect/elf.h"
#include "inspect/inspect.h"

/* Adds the functions of crypto/tls and fills ret->go. Another program than one of Go: nothing. */
void go__read(const struct elf *elf, struct inspect_tls *ret);

#endif
