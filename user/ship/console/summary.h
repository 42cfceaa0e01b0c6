/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate, errors and durations by service and operation: a table at the end. Every span counts,
 * sampled or not; names are known from sampled ones. Durations go into buckets of 1/16 of an
 * octave (percentiles are right within 3 %), the maximum is exact.
 */
#ifndef SONDE_SHIP_SUMMARY_H
#define SONDE_SHIP_SUMMARY_H

#include "core/frame.h"
#include "ship/console/line.h"

#define SUMMARY_OPERATIONS_MAX 1024

struct summary;
struct summary *summary__new(void);
void summary__free(struct summary *summary);
void summary__count(struct summary *summary, const struct frame_span *head);
/* The same span again, for the names of its operation. */
void summary__name(struct summary *summary, const struct frame_span *head, const struct row *row);
void summary__print(const struct summary *summary, struct buf *out, const struct line_style *style);

#endif
