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

#define BATCH_TAG_BYTES 11 /* a tag of one byte and a length */

/* Working memory that is kept from one batch to the next. Zero-initialised is empty. */
struct batch {
	struct batch_run *runs;
	struct batch_group *groups;
	uint32_t *table;
	size_t runs_cap, groups_cap, table_cap; /* elements */
	size_t n_runs, n_groups;
	uint64_t n_spans;
	/* How far batch__read() has got. */
	struct batch_place {
		size_t group;
		const struct queue_entry
			*entry;		    /* the next one of the group; NULL: that were all */
		struct queue_cursor cursor; /* behind it */
		uint32_t spans;		    /* of its run, behind it */
		uint32_t run;		    /* the one after its own */
		enum { BATCH_HEAD, BATCH_TAG, BATCH_SPAN } next;
		struct view left; /* of the piece that is being read */
	} place;
	struct buf head; /* of a group; has room for the longest */
	uint8_t tag[BATCH_TAG_BYTES];
};

/*
 * Appends one request made of the first n spans of q to out. Spans whose bytes are no protobuf are
 * left out of JSON and counted in *ret_bad (in protobuf they go as they are: the encoder is ours).
 * 0, -ENOMEM, or out->err. Nothing is appended when not one span is left: there is no empty
 * request.
 */
int batch__encode(struct batch *batch, const struct queue *q, uint64_t n, enum batch_format format,
		  struct buf *out, uint64_t *ret_bad);

/*
 * The same request in protobuf, of *ret_bytes, as it is wanted piece by piece: it need not lie in memory as a
 * whole. The n spans stay at the front of q for as long as it is read. 0 or -ENOMEM.
 */
int batch__begin(struct batch *batch, const struct queue *q, uint64_t n, size_t *ret_bytes);
/* The next bytes, as many as fit into room; 0: that was all. */
size_t batch__read(struct batch *batch, void *to, size_t room);
/* From the front once more. */
void batch__rewind(struct batch *batch);

void batch__free(struct batch *batch);

#endif
