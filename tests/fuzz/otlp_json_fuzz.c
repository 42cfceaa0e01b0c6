// SPDX-License-Identifier: Apache-2.0
/*
 * What a stranger sends to the receiver: as JSON, which must come out as protobuf that the cutter takes; as protobuf,
 * whose frames must be whole and hold spans that a reader takes; and packed, which must not become more than is
 * allowed.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/frame.h"
#include "core/otlp_view.h"
#include "serve/receive_cut.h"
#include "serve/receive_json.h"
#include "serve/receive_unpack.h"

#define UNPACKED_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_frames(const struct buf *frames, const struct receive_counts *counts)
{
	struct otlp_span_view span;
	struct frame_header header;
	const uint8_t *body;
	uint64_t spans = 0;
	size_t at = 0;
	long n;

	if (!frames->len) {
		if (counts->spans != receive_counts__rejected(counts))
			abort();
		return;
	}
	while ((n = frame__next(frames->at + at, frames->len - at, &header, &body)) > 0) {
		at += (size_t)n;
		if (header.type != FRAME_SPAN)
			continue;
		spans++;
		if (otlp_span__read((struct view){ (const char *)body + sizeof(struct frame_span),
						   header.length - sizeof(struct frame_span) },
				    &span))
			abort();
	}
	if (n || at != frames->len || spans != counts->spans - receive_counts__rejected(counts))
		abort();
}

static int cut(struct view request)
{
	struct receive_counts counts = { 0 };
	struct buf frames = { .max = 16 << 20 };
	int ret = receive_cut(request, &frames, &counts);

	if (!ret)
		check_frames(&frames, &counts);
	else if (frames.len)
		abort();
	buf__free(&frames);
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct view input = { (const char *)bytes, len }, plain;
	struct buf out = { .max = 16 << 20 }, room = { 0 };

	if (!receive_json(input, &out, NULL) && cut((struct view){ (const char *)out.at, out.len }))
		abort();
	cut(input);
	for (int i = 0; i < 2; i++)
		if (!receive_unpack(input, i ? VIEW("zstd") : VIEW("gzip"), UNPACKED_MAX, &room,
				    &plain) &&
		    plain.len > UNPACKED_MAX)
			abort();
	buf__free(&out);
	buf__free(&room);
	return 0;
}
