/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a partition, version 2. A partition is one SQLite file of a folder, spans-NNNNNNNN.db.
 *
 *	block(id, spans, data)     id: segment << 7 | number in it. data: a zstd frame with a checksum; inside,
 *	                           the block's id and up to 128 encoded OTLP spans, each with its resource and
 *	                           scope (block.h). Nothing is encoded again.
 *	segment(id, blocks, spans, directory, traces)
 *	                           128 blocks that are complete and have postings. directory: the first term of
 *	                           each posting page; traces: hashes of the trace ids, sorted.
 *	posting(id, data)          id: segment << 16 | page: terms with the ordinals of the spans that have them
 *	                           (posting.h)
 *	merged(id, blocks, directory)
 *	                           the postings of STORE_GROUP segments in one, so that a question takes fewer
 *	                           reads. blocks: of each segment, a byte each; the segments' own postings are
 *	                           gone, and their directories of no use. Groups are merged in their order: of
 *	                           those before the last one none is missing.
 *	merged_posting(id, data)   id: group << 24 | page
 *	digest(id, blocks, data)   id: a segment. The services and operations of its first so many blocks, and
 *	                           when they were (digest.h); of the open segment too, where it lags behind.
 *	                           A segment that version 1 wrote has none.
 *	lost(trace)                traces of which older spans have been given up
 *	given_up(partition)        partitions whose spans are counted in evicted; their files go next
 *	account(run, acked, evicted)
 *	                           how many spans of a run of sonde are in the store, and how many this run gave
 *	                           up, so that a death between a commit and its counter is no loss
 *
 * An ordinal is a span's place in its segment: block << 7 | place in the block; in a group, the number of the
 * segment in it is before that. Blocks behind the last segment belong to the open one: they have no postings
 * and are looked through. Version 1 had neither merged, merged_posting, digest, given_up nor evicted.
 */
#ifndef SONDE_SHIP_STORE_FORMAT_H
#define SONDE_SHIP_STORE_FORMAT_H

#define STORE_VERSION 2
#define STORE_APPLICATION_ID 0x736f6e64 /* "sond" */

#define STORE_BLOCK_BITS 7
#define STORE_BLOCK_SPANS (1 << STORE_BLOCK_BITS)
#define STORE_SEGMENT_BITS 7
#define STORE_SEGMENT_BLOCKS (1 << STORE_SEGMENT_BITS)
#define STORE_ORDINALS (STORE_BLOCK_SPANS * STORE_SEGMENT_BLOCKS)
#define STORE_PAGES_BITS 16
#define STORE_GROUP_BITS 2
#define STORE_GROUP (1 << STORE_GROUP_BITS)
#define STORE_GROUP_ORDINALS (STORE_ORDINALS * STORE_GROUP)
#define STORE_GROUP_PAGES_BITS 24

/* A block is closed when its spans and resources are so long together; one span may be longer. */
#define STORE_BLOCK_BYTES (512u << 10)
#define STORE_BLOCK_MAX_BYTES (4u << 20)
#define STORE_PAGE_BYTES 6000

#endif
