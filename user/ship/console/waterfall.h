/* SPDX-License-Identifier: Apache-2.0 */
/* One trace as a picture: spans under their parents, with a bar each on a common time line. */
#ifndef SONDE_SHIP_WATERFALL_H
#define SONDE_SHIP_WATERFALL_H

#include "ship/console/line.h"
#include "ship/export/queue.h"

/* Appends a copy of an encoded Span to spans; resource gets a reference. 0, -ENOMEM. */
int waterfall__keep(struct buf *spans, struct view span, struct blob *resource);
/* Gives the references of all spans back. */
void waterfall__release(struct buf *spans);
/* Is every parent that is named among them? (Said of very many without looking.) */
bool waterfall__is_whole(const struct buf *spans);
/* Appends the picture of all of them. */
void waterfall__draw(struct buf *out, const struct buf *spans, const struct line_style *style);

#endif
