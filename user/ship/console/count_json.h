/* SPDX-License-Identifier: Apache-2.0 */
/* Counts and maps of calls as JSON: what the API of the page and `--json` of commands have in common. */
#ifndef SONDE_SHIP_COUNT_JSON_H
#define SONDE_SHIP_COUNT_JSON_H

#include "ship/console/callmap.h"

/* "count":3,"errors":1,"p50_nano":"…","p95_nano":"…","p99_nano":"…","max_nano":"…" */
void count_json__add(struct buf *out, uint64_t count, uint64_t errors, const struct histogram *h);
/* One document, newline included (docs/api.yaml, Map). whole: nothing of the range is missing. */
void count_json__map(struct buf *out, const struct callmap *map, bool whole);

#endif
