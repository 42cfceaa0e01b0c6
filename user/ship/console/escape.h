/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text from outside for a terminal: whatever it holds, no byte of it can steer the terminal.
 * Control characters (C0, DEL, C1), bytes that are no UTF-8 and characters that reorder or hide
 * text (bidirectional controls, zero width, line separators) are shown as \xNN or \u{NNNN}.
 */
#ifndef SONDE_SHIP_ESCAPE_H
#define SONDE_SHIP_ESCAPE_H

#include "base/buf.h"

/*
 * Appends text, at most `columns` wide (0: all of it; what is cut off is marked by a last '~' or
 * U+2026). Returns the columns used. unicode false: everything beyond ASCII is escaped too.
 */
unsigned int escape__add(struct buf *out, struct view text, unsigned int columns, bool unicode);
/* The same, and blanks up to columns. */
void escape__pad(struct buf *out, struct view text, unsigned int columns, bool unicode);
void pad__add(struct buf *out, unsigned int blanks);

#endif
