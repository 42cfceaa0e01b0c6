/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ExportTraceServiceRequest from the front of a queue: spans are grouped by resource and scope
 * and their bytes concatenated, never encoded a second time (protobuf), or written as OTLP JSON.
 * Pure.
 */
#ifndef SONDE_SHIP_BATCH_H
#define SONDE_SHIP_BATCH_H

#include "ship/export/queue.h"

enum batch_format { BATCH_PROTOBUF, BATCH_JSON };

/* Working memory that is kept from one batch to the next. Zero-initialised is empty. */
struct batch {
	struct batch_item *items;
	struct batch_group *groups;
	uint32_t *table;
	size_t items_cap, groups_cap, table_cap; /* elements */
	size_t n_items, n_groups;
};

/*
 * Appends one request made of the first n spans of q to out. Spans whose bytes are no protobuf are
 * left out of JSON and counted in *ret_bad (in protobuf they go as they are: the encoder is ours).
 * 0, -ENOMEM, or out->err. Nothing is appended when not one span is left: there is no empty
 * request.
 */
int batch__encode(struct batch *batch, const struct queue *q, uint64_t n, enum batch_format format,
		  struct buf *out, uint64_t *ret_bad);
void batch__free(struct batch *batch);

#endif
