// SPDX-License-Identifier: Apache-2.0
#include "ship/store/block.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define ZSTD_LEVEL 1
/* Four times the level's own: where less of what was met is overwritten, longer matches are found, in an eighth less time. */
#define ZSTD_HASH_LOG 15

/* Items: a context is u32 resource length | CONTEXT, u32 scope length, both; a span u32 length, u32 context, bytes. */
#define CONTEXT (1u << 31)
#define ITEM_HEAD 8

static void add_head(struct buf *out, uint32_t a, uint32_t b)
{
	uint32_t head[2] = { htole32(a), htole32(b) };

	buf__add(out, head, sizeof(head));
}

void block__begin(struct block *block, uint64_t id)
{
	uint64_t le = htole64(id);

	buf__clear(&block->plain);
	buf__add(&block->plain, &le, sizeof(le));
	block->n_contexts = block->n_spans = 0;
}

bool block__full(const struct block *block)
{
	return block->n_spans == STORE_BLOCK_SPANS || block->plain.len >= STORE_BLOCK_BYTES;
}

static bool same(const struct block *block, unsigned int i, struct view resource, struct view scope)
{
	const struct block_context *c = &block->contexts[i];

	return c->resource_len == resource.len && c->scope_len == scope.len &&
	       !memcmp(block->plain.at + c->resource, resource.at, resource.len) &&
	       !memcmp(block->plain.at + c->scope, scope.at, scope.len);
}

/* The latest first: spans of one process come one after another. */
static unsigned int context_of(struct block *block, struct view resource, struct view scope)
{
	struct buf *plain = &block->plain;
	unsigned int i = block->n_contexts;
	size_t at = plain->len + ITEM_HEAD;

	if (block->n_spans &&
	    same(block, block->spans[block->n_spans - 1].context, resource, scope))
		return block->spans[block->n_spans - 1].context;
	while (i-- > 0)
		if (same(block, i, resource, scope))
			return i;
	add_head(plain, (uint32_t)resource.len | CONTEXT, (uint32_t)scope.len);
	buf__add_view(plain, resource);
	buf__add_view(plain, scope);
	block->contexts[block->n_contexts] =
		(struct block_context){ at, at + resource.len, (uint32_t)resource.len,
					(uint32_t)scope.len };
	return block->n_contexts++;
}

int block__add(struct block *block, struct view resource, struct view scope, struct view span)
{
	size_t before = block->plain.len;
	unsigned int contexts = block->n_contexts, context;

	if (!resource.at)
		resource.at = "";
	if (!scope.at)
		scope.at = "";
	if (before + resource.len + scope.len + span.len + 2 * ITEM_HEAD > STORE_BLOCK_MAX_BYTES)
		return -EMSGSIZE;
	context = context_of(block, resource, scope);
	add_head(&block->plain, (uint32_t)span.len, context);
	block->spans[block->n_spans].at = block->plain.len;
	buf__add_view(&block->plain, span);
	if (block->plain.err) {
		block->plain.len = before;
		block->plain.err = 0;
		block->n_contexts = contexts;
		return -ENOMEM;
	}
	block->spans[block->n_spans].len = (uint32_t)span.len;
	block->spans[block->n_spans].context = context;
	block->n_spans++;
	return 0;
}

struct block_span block__span(const struct block *block, unsigned int i)
{
	const char *plain = (const char *)block->plain.at;
	unsigned int context = block->spans[i].context;
	const struct block_context *c = &block->contexts[context];

	return (struct block_span){ .resource = { plain + c->resource, c->resource_len },
				    .scope = { plain + c->scope, c->scope_len },
				    .span = { plain + block->spans[i].at, block->spans[i].len },
				    .context = context };
}

struct view block__resource(const struct block *block, unsigned int context)
{
	const struct block_context *c = &block->contexts[context];

	return (struct view){ (const char *)block->plain.at + c->resource, c->resource_len };
}

int block__pack(const struct block *block, ZSTD_CCtx *zstd, struct buf *out)
{
	size_t bound = ZSTD_compressBound(block->plain.len), n;
	uint8_t *to;

	buf__clear(out);
	to = buf__reserve(out, bound);
	if (!to)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_hashLog, ZSTD_HASH_LOG);
	ZSTD_CCtx_setParameter(zstd, ZSTD_c_checksumFlag, 1);
	n = ZSTD_compress2(zstd, to, bound, block->plain.at, block->plain.len);
	if (ZSTD_isError(n))
		return -ENOMEM;
	out->len = n;
	return 0;
}

static int read_context(struct block *block, size_t at, uint32_t resource, uint32_t scope)
{
	size_t left = block->plain.len - at;

	if (block->n_contexts == STORE_BLOCK_SPANS || resource > left || scope > left - resource)
		return -EPROTO;
	block->contexts[block->n_contexts++] =
		(struct block_context){ at, at + resource, resource, scope };
	return 0;
}

static int read_span(struct block *block, size_t at, uint32_t len, uint32_t context)
{
	if (block->n_spans == STORE_BLOCK_SPANS || len > block->plain.len - at ||
	    context >= block->n_contexts)
		return -EPROTO;
	block->spans[block->n_spans].at = at;
	block->spans[block->n_spans].len = len;
	block->spans[block->n_spans++].context = context;
	return 0;
}

static int read_items(struct block *block, uint64_t id)
{
	const struct buf *plain = &block->plain;
	size_t at = sizeof(id);
	uint64_t le;
	int ret = 0;

	if (plain->len < sizeof(le))
		return -EPROTO;
	memcpy(&le, plain->at, sizeof(le));
	if (le64toh(le) != id)
		return -EPROTO;
	while (at < plain->len && !ret) {
		uint32_t head[2];

		if (plain->len - at < ITEM_HEAD)
			return -EPROTO;
		memcpy(head, plain->at + at, sizeof(head));
		at += ITEM_HEAD;
		head[0] = le32toh(head[0]);
		head[1] = le32toh(head[1]);
		if (head[0] & CONTEXT) {
			head[0] &= ~CONTEXT;
			ret = read_context(block, at, head[0], head[1]);
			at += (size_t)head[0] + head[1];
		} else {
			ret = read_span(block, at, head[0], head[1]);
			at += head[0];
		}
	}
	return ret;
}

int block__unpack(struct block *block, ZSTD_DCtx *zstd, struct view data, uint64_t id)
{
	unsigned long long size = ZSTD_getFrameContentSize(data.at, data.len);
	uint8_t *to;
	size_t n;
	int ret;

	buf__clear(&block->plain);
	block->n_contexts = block->n_spans = 0;
	if (size > STORE_BLOCK_MAX_BYTES) /* also what is no frame, or does not say */
		return -EPROTO;
	to = buf__reserve(&block->plain, (size_t)size + 1);
	if (!to)
		return -ENOMEM;
	n = ZSTD_decompressDCtx(zstd, to, (size_t)size, data.at, data.len);
	if (ZSTD_isError(n) || n != size)
		return -EPROTO;
	block->plain.len = n;
	ret = read_items(block, id);
	if (ret)
		block->n_contexts = block->n_spans = 0;
	return ret;
}

void block__free(struct block *block)
{
	buf__free(&block->plain);
}
