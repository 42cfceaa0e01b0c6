/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a partition, version 1. A partition is one SQLite file of a folder, spans-NNNNNNNN.db.
 *
 *	block(id, spans, data)     id: segment << 7 | number in it. data: a zstd frame with a checksum; inside,
 *	                           the block's id and up to 128 encoded OTLP spans, each with its resource and
 *	                           scope (block.h). Nothing is encoded again.
 *	segment(id, blocks, spans, directory, traces)
 *	                           128 blocks that are complete and have postings. directory: the first term of
 *	                           each posting page; traces: hashes of the trace ids, sorted.
 *	posting(id, data)          id: segment << 16 | page: terms with the ordinals of the spans that have them
 *	                           (posting.h)
 *	lost(trace)                traces of which older spans have been given up
 *	account(run, acked)        how many spans of a run of sonde are in the store, so that a death between a
 *	                           commit and its counter is no loss
 *
 * An ordinal is a span's place in its segment: block << 7 | place in the block. Blocks behind the last
 * segment belong to the open one: they have no postings and are looked through.
 */
#ifndef SONDE_SHIP_STORE_FORMAT_H
#define SONDE_SHIP_STORE_FORMAT_H

#define STORE_VERSION 1
#define STORE_APPLICATION_ID 0x736f6e64 /* "sond" */

#define STORE_BLOCK_BITS 7
#define STORE_BLOCK_SPANS (1 << STORE_BLOCK_BITS)
#define STORE_SEGMENT_BITS 7
#define STORE_SEGMENT_BLOCKS (1 << STORE_SEGMENT_BITS)
#define STORE_ORDINALS (STORE_BLOCK_SPANS * STORE_SEGMENT_BLOCKS)
#define STORE_PAGES_BITS 16

/* A block is closed when its spans and resources are so long together; one span may be longer. */
#define STORE_BLOCK_BYTES (512u << 10)
#define STORE_BLOCK_MAX_BYTES (4u << 20)
#define STORE_PAGE_BYTES 6000

#endif
