// SPDX-License-Identifier: Apache-2.0
/* Chunked bodies (RFC 9112 7.1): a bare LF ends a line too, as in heads. */
#include "core/proto/http1.h"

#define SIZE_DIGITS_MAX 15 /* below 2^60: sums with offsets do not wrap */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void size_line_ended(struct http1_chunk *chunk)
{
	if (!chunk->digits)
		chunk->state = CHUNK_BAD;
	else
		chunk->state = chunk->size ? CHUNK_DATA : CHUNK_TRAILER;
	chunk->cr = false;
}

static void size_byte(struct http1_chunk *chunk, char c)
{
	int digit = hex_digit(c);

	if (c == '\n') {
		size_line_ended(chunk);
	} else if (chunk->cr) {
		chunk->state = CHUNK_BAD;
	} else if (c == '\r') {
		chunk->cr = true;
	} else if (c == ';' || c == ' ' || c == '\t') {
		chunk->state = chunk->digits ? CHUNK_EXTENSION : CHUNK_BAD;
	} else if (digit < 0 || chunk->digits == SIZE_DIGITS_MAX) {
		chunk->state = CHUNK_BAD;
	} else {
		chunk->size = chunk->size << 4 | (uint64_t)digit;
		chunk->digits++;
	}
}

/* After the data: CR LF, or LF alone. */
static void data_end_byte(struct http1_chunk *chunk, char c)
{
	if (c == '\r' && !chunk->cr) {
		chunk->cr = true;
	} else if (c == '\n') {
		chunk->state = CHUNK_SIZE;
		chunk->size = 0;
		chunk->digits = 0;
		chunk->cr = false;
	} else {
		chunk->state = CHUNK_BAD;
	}
}

static void trailer_byte(struct http1_chunk *chunk, char c)
{
	if (c == '\n')
		chunk->state = CHUNK_DONE;
	else if (c == '\r' && !chunk->cr)
		chunk->cr = true;
	else
		chunk->state = CHUNK_TRAILER_LINE;
}

size_t http1__chunk(struct http1_chunk *chunk, struct view bytes, struct buf *body)
{
	size_t i = 0, n;

	while (i < bytes.len && chunk->state != CHUNK_DONE && chunk->state != CHUNK_BAD) {
		switch (chunk->state) {
		case CHUNK_SIZE:
			size_byte(chunk, bytes.at[i++]);
			break;
		case CHUNK_EXTENSION:
			if (bytes.at[i++] == '\n')
				size_line_ended(chunk);
			break;
		case CHUNK_DATA:
			n = bytes.len - i < chunk->size ? bytes.len - i : (size_t)chunk->size;
			if (body)
				buf__add(body, bytes.at + i, n);
			i += n;
			chunk->total += n;
			chunk->size -= n;
			if (!chunk->size)
				chunk->state = CHUNK_DATA_END;
			break;
		case CHUNK_DATA_END:
			data_end_byte(chunk, bytes.at[i++]);
			break;
		case CHUNK_TRAILER:
			trailer_byte(chunk, bytes.at[i++]);
			break;
		case CHUNK_TRAILER_LINE:
			if (bytes.at[i++] == '\n') {
				chunk->state = CHUNK_TRAILER;
				chunk->cr = false;
			}
			break;
		}
	}
	return i;
}
