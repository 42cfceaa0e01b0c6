// SPDX-License-Identifier: Apache-2.0
#include "core/frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define HEADER_BYTES sizeof(struct frame_header)
_Static_assert(HEADER_BYTES == 8, "a header is eight bytes on the wire");

size_t frame__begin(struct buf *out, enum frame_type type)
{
	const struct frame_header header = { .type = (uint8_t)type, .version = FRAME_VERSION };
	size_t start = out->len;

	buf__add(out, &header, sizeof(header));
	return start;
}

void frame__end(struct buf *out, size_t start)
{
	size_t len = out->len - start - HEADER_BYTES;
	uint32_t length = htole32((uint32_t)len);

	if (out->err)
		return;
	if (len > FRAME_MAX_BYTES) {
		out->err = -EMSGSIZE;
		out->len = start;
		return;
	}
	memcpy(out->at + start, &length, sizeof(length));
}

void frame__add(struct buf *out, enum frame_type type, const void *head, size_t head_len,
		const void *tail, size_t tail_len)
{
	size_t start;

	if (head_len > FRAME_MAX_BYTES || tail_len > FRAME_MAX_BYTES - head_len) {
		if (!out->err)
			out->err = -EMSGSIZE;
		return;
	}
	/* All or nothing. */
	if (!buf__reserve(out, HEADER_BYTES + head_len + tail_len))
		return;
	start = frame__begin(out, type);
	buf__add(out, head, head_len);
	buf__add(out, tail, tail_len);
	frame__end(out, start);
}

long frame__next(const void *bytes, size_t len, struct frame_header *ret_header,
		 const uint8_t **ret_body)
{
	const uint8_t *at = bytes;
	struct frame_header header;

	if (len < HEADER_BYTES)
		return 0;
	memcpy(&header, at, HEADER_BYTES);
	header.length = le32toh(header.length);
	if (header.version != FRAME_VERSION || header.zero || header.length > FRAME_MAX_BYTES)
		return -EPROTO;
	if (header.length > len - HEADER_BYTES)
		return 0;
	*ret_header = header;
	*ret_body = at + HEADER_BYTES;
	return (long)(HEADER_BYTES + header.length);
}
