/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a span did, as one short name that is the same for calls of the same kind. A span of HTTP is often named
 * by its method alone, because its route is not known from outside: its path then stands in for the
 * route, with what looks like an identifier taken out. Such a name is inferred, and said to be. Pure.
 */
#ifndef SONDE_SHIP_OPERATION_H
#define SONDE_SHIP_OPERATION_H

#include "ship/console/row.h"

#define OPERATION_MAX_BYTES 512 /* a longer name is cut */

/* Appends the name. True: it is inferred. */
bool operation__add(struct buf *out, const struct row *row);

#endif
