/* SPDX-License-Identifier: GPL-2.0-only */
/* The header of an HTTP/2 frame (RFC 9113 section 4.1), as 9 bytes in two words. */
#ifndef SONDE_BPF_FRAME_H
#define SONDE_BPF_FRAME_H

#include "data.h"

/* RFC 9113 section 6. */
enum frame_type {
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_PRIORITY = 2,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FRAME_PUSH_PROMISE = 5,
	FRAME_PING = 6,
	FRAME_GOAWAY = 7,
	FRAME_WINDOW_UPDATE = 8,
	FRAME_CONTINUATION = 9,
};

#define FRAME_END_STREAM 0x1

/* What a client says first (RFC 9113 section 3.4), read as a frame's header: so much is left of it. */
#define PREFACE_LEFT_BYTES 15

static __always_inline __u32 frame_length(const __u64 *head)
{
	return (head[0] & 0xff) << 16 | (head[0] >> 8 & 0xff) << 8 | (head[0] >> 16 & 0xff);
}

static __always_inline __u8 frame_type(const __u64 *head)
{
	return head[0] >> 24;
}

static __always_inline __u8 frame_flags(const __u64 *head)
{
	return head[0] >> 32;
}

static __always_inline __u32 frame_stream(const __u64 *head)
{
	return (head[0] >> 40 & 0x7f) << 24 | (head[0] >> 48 & 0xff) << 16 |
	       (head[0] >> 56 & 0xff) << 8 | (head[1] & 0xff);
}

static __always_inline bool frame_has_block(__u8 type)
{
	return type == FRAME_HEADERS || type == FRAME_PUSH_PROMISE || type == FRAME_CONTINUATION;
}

/* The first 9 bytes of what a client says first: `PRI * HTTP/2.0` … */
static __always_inline bool is_preface(const __u64 *head)
{
	return head[0] == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T') && (head[1] & 0xff) == 'T';
}

/*
 * Whether these 9 bytes may be a frame's header: nothing that is forbidden of the types that RFC 9113 knows,
 * and no other type. Of a frame larger than everybody must take nobody can be sure.
 */
static __always_inline bool frame_plausible(const __u64 *head)
{
	const __u64 flags_of =
		WORD(0x09, 0x2d, 0, 0, 0x01, 0x0c, 0x01, 0); /* by type; the others none */
	__u32 length = frame_length(head), stream = frame_stream(head);
	__u8 type = frame_type(head), flags = frame_flags(head), may;

	if (type > FRAME_CONTINUATION || length > 16384 || head[0] >> 40 & 0x80)
		return false;
	may = type == FRAME_CONTINUATION ? 0x04 : flags_of >> (type * 8 & 63);
	if (flags & ~may)
		return false;
	switch (type) {
	case FRAME_SETTINGS:
		return !stream && length % 6 == 0 && length <= 240 && (!flags || !length);
	case FRAME_PING:
		return !stream && length == 8;
	case FRAME_GOAWAY:
		return !stream && length >= 8;
	case FRAME_WINDOW_UPDATE:
		return length == 4;
	case FRAME_RST_STREAM:
		return stream && length == 4;
	case FRAME_PRIORITY:
		return stream && length == 5;
	case FRAME_DATA:
		return stream;
	default:
		return stream && length;
	}
}

static __always_inline bool ends_stream(const __u64 *head)
{
	__u8 type = frame_type(head);

	return type == FRAME_RST_STREAM || ((type == FRAME_DATA || type == FRAME_HEADERS) &&
					    (frame_flags(head) & FRAME_END_STREAM));
}

#endif
