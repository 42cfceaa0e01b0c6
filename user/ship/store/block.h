/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block: up to STORE_BLOCK_SPANS encoded spans, verbatim, each with its resource and scope, which are
 * kept once a block. Reading takes bytes of a file that anybody may have changed. Pure.
 */
#ifndef SONDE_SHIP_STORE_BLOCK_H
#define SONDE_SHIP_STORE_BLOCK_H

#include <stdint.h>
#include <zstd.h>

#include "base/buf.h"
#include "ship/store/format.h"

struct block_span {
	struct view resource, scope, span;
	unsigned int context; /* the same number: the same resource and scope */
};

struct block {
	struct buf plain; /* u64 id, then items: see block.c */
	struct block_context {
		size_t resource, scope; /* offsets in plain */
		uint32_t resource_len, scope_len;
	} contexts[STORE_BLOCK_SPANS];
	struct {
		size_t at;
		uint32_t len;
		unsigned int context;
	} spans[STORE_BLOCK_SPANS];
	unsigned int n_contexts, n_spans;
};

/* Empties it, for the block of that id. */
void block__begin(struct block *block, uint64_t id);
/* Is there no room for another span? */
bool block__full(const struct block *block);
/* Copies all three. 0, -ENOMEM, -EMSGSIZE: longer than a block can be. */
int block__add(struct block *block, struct view resource, struct view scope, struct view span);
/* Views hold until the block changes. */
struct block_span block__span(const struct block *block, unsigned int i);
struct view block__resource(const struct block *block, unsigned int context);
/* Replaces out by what goes into the file. 0 or -ENOMEM. */
int block__pack(const struct block *block, ZSTD_CCtx *zstd, struct buf *out);
/* 0; -EPROTO: no block, damaged, or another's id; -ENOMEM. */
int block__unpack(struct block *block, ZSTD_DCtx *zstd, struct view data, uint64_t id);
void block__free(struct block *block);

#endif
