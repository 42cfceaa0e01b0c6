/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes: a view that owns nothing, and a growable buffer with a limit. */
#ifndef SONDE_BASE_BUF_H
#define SONDE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes, not NUL-terminated. */
struct view {
	const char *at;
	size_t len;
};

#define VIEW(literal) ((struct view){ (literal), sizeof(literal) - 1 })
struct view view_of(const char *s);
static inline bool view_eq(struct view a, struct view b)
{
	return a.len == b.len && (!b.len || !memcmp(a.at, b.at, b.len));
}
/* ASCII only, no locale. */
bool view_eq_nocase(struct view a, struct view b);

/*
 * Growable bytes. Zero-initialised is empty. `max` 0 means no limit. Once an append fails, `err`
 * holds the negative errno and further appends do nothing: check once, at the end.
 */
struct buf {
	uint8_t *at;
	size_t len, cap, max;
	int err;
};

/* buf__reserve() where there is no room yet. */
uint8_t *buf__grow(struct buf *b, size_t n);

/* Room for n more bytes; NULL and err = -ENOMEM or -EMSGSIZE where there is none. Does not change len. */
static inline uint8_t *buf__reserve(struct buf *b, size_t n)
{
	return !b->err && n <= b->cap - b->len ? b->at + b->len : buf__grow(b, n);
}

static inline void buf__add(struct buf *b, const void *bytes, size_t n)
{
	uint8_t *to = n ? buf__reserve(b, n) : NULL;

	if (!to)
		return;
	memcpy(to, bytes, n);
	b->len += n;
}

void buf__add_str(struct buf *b, const char *s);
void buf__add_view(struct buf *b, struct view v);
void buf__printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds what is left of a file. Returns 0, the negative errno of a read that failed, or err of the buffer. */
int buf__read(struct buf *b, int fd);
/* Forget the content and the error, keep the memory. */
void buf__clear(struct buf *b);
/* Take n bytes away from the front. */
void buf__consume(struct buf *b, size_t n);
void buf__free(struct buf *b);

#endif
