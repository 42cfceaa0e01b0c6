/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of `sonde top`: rows of what was counted, sorted, filtered by what is typed. Pure: bytes in, bytes out. */
#ifndef SONDE_SHIP_TOP_H
#define SONDE_SHIP_TOP_H

#include "ship/console/line.h"
#include "ship/console/tally.h"

#define TOP_FILTER_MAX 64

enum top_sort { TOP_RATE, TOP_ERRORS, TOP_P50, TOP_P99, TOP_SLOWEST, TOP_NAME };
#define TOP_SORTS 6

struct top {
	enum top_sort sort;
	bool by_service; /* else by operation */
	bool typing;	 /* a filter that may begin with q */
	char filter[TOP_FILTER_MAX + 1];
	unsigned int n_filter;
	unsigned int escape; /* of a key's sequence, how much has come */
};

/* Bytes that were typed. False: it is to end. */
bool top__keys(struct top *top, const char *bytes, size_t n);

struct top_frame {
	const struct tally *tally; /* of the last seconds */
	double seconds;
	uint64_t now_ns; /* since the epoch */
	unsigned int width, height;
	const char *of; /* what is looked at, for the first line */
};

/* A whole screen, of at most height lines, each no wider than width. */
void top__draw(const struct top *top, const struct top_frame *frame, const struct line_style *style,
	       struct buf *out);
/* One line of JSON: all operations of this interval. */
void top__json(const struct tally *tally, double seconds, uint64_t now_ns, struct buf *out);

#endif
