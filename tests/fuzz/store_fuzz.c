// SPDX-License-Identifier: Apache-2.0
/*
 * What a reader of the store takes from a file: blocks (as they are, and as what a block would hold after
 * decompression), posting pages and directories, digests. The first byte says which.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pbmake.h"
#include "ship/store/block.h"
#include "ship/store/query.h"
#include "ship/store/digest.h"
#include "ship/store/terms.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* Every span is looked at as a search would, and indexed as a writer that goes on with the file would. */
static void look_at(const struct block *block)
{
	struct pairs pairs = { 0 };
	struct buf terms = { 0 };

	if (block->n_spans > STORE_BLOCK_SPANS || block->n_contexts > STORE_BLOCK_SPANS)
		abort();
	for (unsigned int i = 0; i < block->n_spans; i++) {
		struct block_span span = block__span(block, i);
		struct view service = row__service(span.resource);
		size_t before = pairs.n;
		struct row row, read;
		int ret = terms__span(&pairs, span.span, span.resource, service, i, &row);

		if (!!ret != !!row__read(&read, span.span, span.resource) ||
		    (ret && pairs.n != before) ||
		    (!ret && (!view_eq(row.service, read.service) ||
			      !view_eq(row.span.name, read.span.name))))
			abort();
		buf__clear(&terms);
		terms__resource(&terms, span.resource, service);
	}
	pairs__free(&pairs);
	buf__free(&terms);
}

static void check_block(struct view v)
{
	static struct block block;
	static ZSTD_DCtx *zstd;

	if (!zstd)
		zstd = ZSTD_createDCtx();
	if (!block__unpack(&block, zstd, v, 0))
		look_at(&block);
}

/* The same behind a compressor, as no input finds its way through a checksum. */
static void check_plain(struct view v)
{
	static ZSTD_CCtx *zstd;
	struct block block = { 0 };
	struct buf packed = { 0 };

	if (!zstd)
		zstd = ZSTD_createCCtx();
	block__begin(&block, 0);
	buf__add_view(&block.plain, v);
	if (block__pack(&block, zstd, &packed))
		abort();
	check_block((struct view){ (const char *)packed.at, packed.len });
	block__free(&block);
	buf__free(&packed);
}

/* As a merge takes them. */
static void check_entries(struct view page)
{
	static uint32_t ordinals[STORE_ORDINALS];
	struct posting_entry entry;

	if (!posting__unseal(&page))
		abort();
	while (posting__next(&page, STORE_ORDINALS, &entry) > 0) {
		uint32_t n = 0;

		if (!posting__list(&entry, STORE_ORDINALS, 3 * STORE_ORDINALS, ordinals, &n) &&
		    n > entry.n)
			abort();
		for (uint32_t i = 0; i < n; i++)
			if (ordinals[i] / STORE_ORDINALS != 3)
				abort();
	}
}

/* What was taken in is written again, and taken in as the same. */
static void check_digest(struct view v)
{
	struct digest one = { 0 }, other = { 0 };
	struct buf bytes = { 0 }, again = { 0 };
	uint64_t first, last;

	digest__merge(&one, v, &first, &last);
	buf__add_view(&bytes, v);
	posting__seal(&bytes, 0);
	if (!digest__merge(&one, buf_view(&bytes), &first, &last) && one.spans) {
		if (digest__encode(&one, &again) ||
		    digest__merge(&other, buf_view(&again), &first, &last) || other.n != one.n ||
		    other.spans != one.spans)
			abort();
	}
	digest__free(&one);
	digest__free(&other);
	buf__free(&bytes);
	buf__free(&again);
}

static void check_page(struct view v)
{
	struct ordinals set = { { 0 } };
	struct buf sealed = { 0 };
	uint64_t term = 0;

	posting__read(v, 0, STORE_ORDINALS, &set);
	posting__find_page(v, 0);
	memcpy(&term, v.at, v.len < 6 ? v.len : 6);
	buf__add_view(&sealed, v);
	posting__seal(&sealed, 0);
	v = (struct view){ (const char *)sealed.at, sealed.len };
	posting__read(v, term, STORE_ORDINALS, &set);
	posting__read(v, term, STORE_GROUP_ORDINALS, &set);
	check_entries(v);
	if (posting__find_page(v, term) > (long)(v.len / 8))
		abort();
	buf__free(&sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct view v;

	if (!len)
		return 0;
	v = (struct view){ (const char *)bytes + 1, len - 1 };
	if (bytes[0] % 3 == 0) {
		check_block(v);
	} else if (bytes[0] % 3 == 1) {
		check_plain(v);
	} else {
		check_page(v);
		check_digest(v);
	}
	return 0;
}
