// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_unpack.h"

#include <errno.h>
#include <zlib.h>
#include <zstd.h>

#define STEP_BYTES (256u << 10)
/* What a frame of zstd may make us hold: 8 MiB, as the format asks of every decoder (RFC 8878, 3.1.1.1.2). */
#define WINDOW_LOG_MAX 23

/* Room for the next step; NULL: no memory. One byte more than max tells that there is more. */
static uint8_t *step(struct buf *room, size_t max, size_t *ret_len)
{
	size_t len = max + 1 - room->len;

	*ret_len = len < STEP_BYTES ? len : STEP_BYTES;
	return buf__reserve(room, *ret_len);
}

static int inflate_all(z_stream *z, size_t max, struct buf *room)
{
	size_t len;
	int ret;

	do {
		z->next_out = step(room, max, &len);
		if (!z->next_out)
			return -ENOMEM;
		z->avail_out = (uInt)len;
		ret = inflate(z, Z_NO_FLUSH);
		room->len += len - z->avail_out;
		if (room->len > max)
			return -EMSGSIZE;
		/* RFC 1952, 2.2: several members, one behind the other. */
		if (ret == Z_STREAM_END && z->avail_in)
			ret = inflateReset(z);
		else if (ret == Z_OK && !z->avail_in && z->avail_out)
			return -EBADMSG;
	} while (ret == Z_OK);
	return ret == Z_STREAM_END ? 0 : ret == Z_MEM_ERROR ? -ENOMEM : -EBADMSG;
}

static int unpack_zlib(struct view body, size_t max, struct buf *room)
{
	z_stream z = { .next_in = (Bytef *)body.at, .avail_in = (uInt)body.len };
	int ret;

	/* 32: whichever of the two it is. */
	if (inflateInit2(&z, 32 + MAX_WBITS) != Z_OK)
		return -ENOMEM;
	ret = inflate_all(&z, max, room);
	inflateEnd(&z);
	return ret;
}

static int unstream(ZSTD_DStream *z, struct view body, size_t max, struct buf *room)
{
	ZSTD_inBuffer in = { body.at, body.len, 0 };
	size_t left = 1, len;

	while (in.pos < in.size || left) {
		size_t before = in.pos;
		ZSTD_outBuffer out = { 0 };

		out.dst = step(room, max, &len);
		if (!out.dst)
			return -ENOMEM;
		out.size = len;
		left = ZSTD_decompressStream(z, &out, &in);
		if (ZSTD_isError(left))
			return -EBADMSG;
		room->len += out.pos;
		if (room->len > max)
			return -EMSGSIZE;
		if (left && in.pos == before && !out.pos)
			return -EBADMSG;
	}
	return 0;
}

static int unpack_zstd(struct view body, size_t max, struct buf *room)
{
	ZSTD_DStream *z = ZSTD_createDStream();
	int ret;

	if (!z)
		return -ENOMEM;
	ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
	ret = unstream(z, body, max, room);
	ZSTD_freeDStream(z);
	return ret;
}

int receive_unpack(struct view body, struct view packing, size_t max, struct buf *room,
		   struct view *ret)
{
	int bad;

	if (!packing.len || view_eq_nocase(packing, VIEW("identity"))) {
		*ret = body;
		return body.len > max ? -EMSGSIZE : 0;
	}
	buf__clear(room);
	if (view_eq_nocase(packing, VIEW("gzip")) || view_eq_nocase(packing, VIEW("deflate")))
		bad = unpack_zlib(body, max, room);
	else if (view_eq_nocase(packing, VIEW("zstd")))
		bad = unpack_zstd(body, max, room);
	else
		return -ENOTSUP;
	if (!bad)
		*ret = (struct view){ (const char *)room->at, room->len };
	return bad;
}
