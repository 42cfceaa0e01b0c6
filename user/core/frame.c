// SPDX-License-Identifier: Apache-2.0
#include "core/frame.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define HEADER_BYTES 8

void frame__add(struct buf *out, enum frame_type type, const void *head, size_t head_len,
		const void *tail, size_t tail_len)
{
	uint32_t length;
	uint8_t *to;

	if (head_len > FRAME_MAX_BYTES || tail_len > FRAME_MAX_BYTES - head_len) {
		if (!out->err)
			out->err = -EMSGSIZE;
		return;
	}
	to = buf__reserve(out, HEADER_BYTES + head_len + tail_len);
	if (!to)
		return;
	length = htole32((uint32_t)(head_len + tail_len));
	memcpy(to, &length, 4);
	to[4] = (uint8_t)type;
	to[5] = FRAME_VERSION;
	to[6] = to[7] = 0;
	if (head_len)
		memcpy(to + HEADER_BYTES, head, head_len);
	if (tail_len)
		memcpy(to + HEADER_BYTES + head_len, tail, tail_len);
	out->len += HEADER_BYTES + head_len + tail_len;
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
