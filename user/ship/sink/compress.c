// SPDX-License-Identifier: Apache-2.0
#include "ship/sink/compress.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

/* Export requests repeat themselves: the fastest levels already make a tenth of them. */
#define GZIP_LEVEL 1
#define ZSTD_LEVEL 1

struct compressor {
	enum ship_compression how;
	z_stream gzip;
	ZSTD_CCtx *zstd;
};

struct compressor *compressor__new(enum ship_compression how)
{
	struct compressor *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->how = how;
	if (how == SHIP_GZIP) {
		/* 15 bits of window, +16: gzip's header and trailer */
		if (deflateInit2(&c->gzip, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8,
				 Z_DEFAULT_STRATEGY) == Z_OK)
			return c;
	} else {
		c->zstd = ZSTD_createCCtx();
		if (c->zstd)
			return c;
	}
	free(c);
	return NULL;
}

void compressor__free(struct compressor *c)
{
	if (!c)
		return;
	if (c->how == SHIP_GZIP)
		deflateEnd(&c->gzip);
	ZSTD_freeCCtx(c->zstd);
	free(c);
}

const char *compressor__name(const struct compressor *c)
{
	return c->how == SHIP_GZIP ? "gzip" : "zstd";
}

static int run_gzip(struct compressor *c, struct view in, struct buf *out)
{
	size_t bound;
	uint8_t *to;

	if (in.len > UINT_MAX / 2)
		return -EMSGSIZE;
	deflateReset(&c->gzip);
	bound = deflateBound(&c->gzip, in.len);
	to = buf__reserve(out, bound);
	if (!to)
		return out->err;
	c->gzip.next_in = (Bytef *)(uintptr_t)in.at;
	c->gzip.avail_in = (uInt)in.len;
	c->gzip.next_out = to;
	c->gzip.avail_out = (uInt)bound;
	if (deflate(&c->gzip, Z_FINISH) != Z_STREAM_END)
		return -ENOMEM;
	out->len += bound - c->gzip.avail_out;
	return 0;
}

static int run_zstd(struct compressor *c, struct view in, struct buf *out)
{
	size_t bound = ZSTD_compressBound(in.len), n;
	uint8_t *to = buf__reserve(out, bound);

	if (!to)
		return out->err;
	n = ZSTD_compressCCtx(c->zstd, to, bound, in.at, in.len, ZSTD_LEVEL);
	if (ZSTD_isError(n))
		return -ENOMEM;
	out->len += n;
	return 0;
}

int compressor__run(struct compressor *c, struct view in, struct buf *out)
{
	return c->how == SHIP_GZIP ? run_gzip(c, in, out) : run_zstd(c, in, out);
}
