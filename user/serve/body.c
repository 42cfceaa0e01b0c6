// SPDX-License-Identifier: Apache-2.0
#include "serve/body.h"

#include <errno.h>
#include <stdlib.h>
#include <zstd.h>

#define CHUNK_BYTES (256u << 10)
/* Of one answer, as it is sent. */
#define BODY_MAX_BYTES (1ull << 30)
/* Of one item that is appended between two spills. */
#define TEXT_MAX_BYTES (64u << 20)
#define LEVEL 1

struct chunk {
	uint8_t *at;
	size_t packed, plain; /* packed 0: as it is */
};

struct body {
	struct buf text;
	struct chunk *chunks;
	size_t n, cap;
	uint64_t length;
	int err;
	/* reading */
	size_t next, from;
	struct buf out;
};

static size_t held;

/* One thread, one role: they are made once. */
static ZSTD_CCtx *packer;
static ZSTD_DCtx *unpacker;

struct body *body__new(void)
{
	struct body *b = calloc(1, sizeof(*b));

	if (b)
		b->text.max = TEXT_MAX_BYTES;
	return b;
}

struct buf *body__text(struct body *b)
{
	return &b->text;
}

static bool room(struct body *b, size_t more)
{
	size_t cap = b->cap ? 2 * b->cap : 16;
	struct chunk *bigger;

	if (b->n + more <= b->cap)
		return true;
	while (cap < b->n + more)
		cap *= 2;
	bigger = reallocarray(b->chunks, cap, sizeof(*bigger));
	if (!bigger) {
		b->err = -ENOMEM;
		return false;
	}
	b->chunks = bigger;
	b->cap = cap;
	return true;
}

static size_t chunk_bytes(const struct chunk *c)
{
	return c->packed ? c->packed : c->plain;
}

/* Text becomes a chunk: packed, or as it is where it is short. */
static void end_chunk(struct body *b)
{
	struct chunk c = { .plain = b->text.len };
	size_t bound = ZSTD_compressBound(b->text.len);
	uint8_t *fit;

	if (!b->err)
		b->err = b->text.err;
	if (b->err || !b->text.len || !room(b, 1))
		return;
	if (!packer)
		packer = ZSTD_createCCtx();
	if (b->text.len < 4096) {
		c.at = malloc(b->text.len);
		if (c.at)
			memcpy(c.at, b->text.at, b->text.len);
	} else {
		c.at = malloc(bound);
		c.packed = c.at && packer ? ZSTD_compressCCtx(packer, c.at, bound, b->text.at,
							      b->text.len, LEVEL) :
					    0;
		if (!c.packed || ZSTD_isError(c.packed)) {
			free(c.at);
			c.at = NULL;
		}
	}
	if (!c.at) {
		b->err = -ENOMEM;
		return;
	}
	fit = realloc(c.at, chunk_bytes(&c));
	if (fit)
		c.at = fit;
	b->chunks[b->n++] = c;
	b->length += c.plain;
	held += chunk_bytes(&c);
	buf__clear(&b->text);
	if (b->length > BODY_MAX_BYTES)
		b->err = -EMSGSIZE;
}

void body__spill(struct body *b)
{
	if (b->text.len >= CHUNK_BYTES || b->text.err)
		end_chunk(b);
}

void body__append(struct body *b, struct body *from)
{
	if (!from)
		return;
	if (!from->n && !from->err && !from->text.err) {
		buf__add(&b->text, from->text.at, from->text.len);
		body__spill(b);
		body__free(from);
		return;
	}
	end_chunk(b);
	end_chunk(from);
	if (from->err && !b->err)
		b->err = from->err;
	if (!b->err && room(b, from->n)) {
		memcpy(b->chunks + b->n, from->chunks, from->n * sizeof(*from->chunks));
		b->n += from->n;
		b->length += from->length;
		from->n = 0;
	}
	body__free(from);
}

int64_t body__length(struct body *b)
{
	/* A short one needs no packing at all. */
	if (b->n)
		end_chunk(b);
	else if (!b->err)
		b->err = b->text.err;
	if (b->err)
		return b->err;
	return (int64_t)(b->n ? b->length : b->text.len);
}

static bool unpack(struct body *b, const struct chunk *c)
{
	uint8_t *to;

	if (!unpacker)
		unpacker = ZSTD_createDCtx();
	buf__clear(&b->out);
	to = buf__reserve(&b->out, c->plain);
	if (!to || !unpacker)
		return false;
	if (ZSTD_decompressDCtx(unpacker, to, c->plain, c->at, c->packed) != c->plain)
		return false;
	b->out.len = c->plain;
	return true;
}

static long copy_out(struct body *b, const uint8_t *at, size_t len, char *to, size_t max)
{
	size_t n = len - b->from < max ? len - b->from : max;

	memcpy(to, at + b->from, n);
	b->from += n;
	return (long)n;
}

long body__read(struct body *b, char *to, size_t max)
{
	if (!b->n)
		return b->from < b->text.len ? copy_out(b, b->text.at, b->text.len, to, max) : 0;
	while (b->next < b->n) {
		struct chunk *c = &b->chunks[b->next];

		if (c->packed && !b->from && !unpack(b, c))
			return -1;
		if (b->from < c->plain)
			return copy_out(b, c->packed ? b->out.at : c->at, c->plain, to, max);
		held -= chunk_bytes(c);
		free(c->at);
		*c = (struct chunk){ 0 };
		b->from = 0;
		b->next++;
		buf__free(&b->out);
	}
	return 0;
}

size_t body__held(void)
{
	return held;
}

void body__free(struct body *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++) {
		held -= chunk_bytes(&b->chunks[i]);
		free(b->chunks[i].at);
	}
	free(b->chunks);
	buf__free(&b->text);
	buf__free(&b->out);
	free(b);
}
