// SPDX-License-Identifier: Apache-2.0
/* A stream of frames: every one lies within the input, and makes the same frame again. */
#include <stdlib.h>
#include <string.h>

#include "core/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct frame_header header;
	const uint8_t *body;
	long n;

	while ((n = frame__next(bytes, len, &header, &body)) > 0) {
		struct buf again = { 0 };

		if ((size_t)n > len || body < bytes || body + header.length != bytes + n)
			abort();
		frame__add(&again, header.type, body, header.length, NULL, 0);
		if (again.err || again.len != (size_t)n || memcmp(again.at, bytes, again.len))
			abort();
		buf__free(&again);
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}
