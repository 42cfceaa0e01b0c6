/* SPDX-License-Identifier: Apache-2.0 */
/* A line a span, in columns that stay where they are. */
#ifndef SONDE_SHIP_LINE_H
#define SONDE_SHIP_LINE_H

#include "ship/console/row.h"
#include "ship/ship.h"

/* Grows with what is seen, so that columns align without knowing the future. */
struct line_style {
	bool color, unicode, headers;
	unsigned int width; /* of the terminal; 0: no terminal */
	int utc_offset_s;
	unsigned int service_columns;
};

/* Colours by their SGR numbers; nothing where colour is off. */
enum color {
	COLOR_NONE = 0,
	COLOR_BOLD = 1,
	COLOR_DIM = 2,
	COLOR_RED = 31,
	COLOR_GREEN = 32,
	COLOR_YELLOW = 33,
	COLOR_BLUE = 34,
	COLOR_MAGENTA = 35,
	COLOR_CYAN = 36
};
void color__on(struct buf *out, bool color, enum color c);
void color__off(struct buf *out, bool color);
enum color status__color(const struct row *row);

/* "200", "ERR", or "-", without a colour. */
void status__text(char text[8], const struct row *row);

/* Appends the line, and under it the captured headers where the style wants them. */
void line__add(struct buf *out, struct line_style *style, const struct row *row);
/* HH:MM:SS.mmm of the day */
void clock__text(char text[16], uint64_t epoch_ns, int utc_offset_s);
/* Names of the columns. */
void line__heading(struct buf *out, struct line_style *style);

#endif
