// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES 4096

struct view view_of(const char *s)
{
	return (struct view){ s, s ? strlen(s) : 0 };
}

/* Letters of two cases differ in one bit, and so does much else. */
static bool same_letter(char a, char b)
{
	char lower = a | 0x20;

	return (a ^ b) == 0x20 && lower >= 'a' && lower <= 'z';
}

/* Eight letters at once: false where they differ, or where one by one has to be looked at. */
static bool same_word(const char *a, const char *b)
{
	const uint64_t ones = 0x0101010101010101ull, high = 0x80 * ones;
	uint64_t x, y, lower, letters;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	if (x == y)
		return true;
	lower = x | 0x20 * ones;
	/* The high bit of each byte that is a letter; sums carry only where one is set already. */
	letters = (lower + (0x80 - 'a') * ones) & ~(lower + (0x7f - 'z') * ones) & high;
	return !(lower & high) && !((x ^ y) & ~(letters >> 2));
}

bool view_eq_nocase(struct view a, struct view b)
{
	size_t i = 0;

	if (a.len != b.len)
		return false;
	if (a.len >= 8) {
		size_t last = a.len - 8; /* of the last word, over bytes of the one before it */

		while (i < last && same_word(a.at + i, b.at + i))
			i += 8;
		if (i >= last && same_word(a.at + last, b.at + last))
			return true;
	}
	for (; i < a.len; i++)
		if (a.at[i] != b.at[i] && !same_letter(a.at[i], b.at[i]))
			return false;
	return true;
}

uint8_t *buf__grow(struct buf *b, size_t n)
{
	size_t want, cap;
	uint8_t *at;

	if (b->err)
		return NULL;
	if (n > SIZE_MAX / 2 - b->len || (b->max && b->len + n > b->max)) {
		b->err = -EMSGSIZE;
		return NULL;
	}
	want = b->len + n;
	if (want <= b->cap)
		return b->at + b->len;
	cap = b->cap ? b->cap : 256;
	while (cap < want)
		cap *= 2;
	if (b->max && cap > b->max)
		cap = b->max;
	at = realloc(b->at, cap);
	if (!at) {
		b->err = -ENOMEM;
		return NULL;
	}
	b->at = at;
	b->cap = cap;
	return b->at + b->len;
}

void buf__add_str(struct buf *b, const char *s)
{
	buf__add(b, s, strlen(s));
}

void buf__add_view(struct buf *b, struct view v)
{
	buf__add(b, v.at, v.len);
}

void buf__printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	uint8_t *to;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	to = n < 0 ? NULL : buf__reserve(b, (size_t)n + 1);
	if (to) {
		vsnprintf((char *)to, (size_t)n + 1, fmt, again);
		b->len += (size_t)n;
	}
	va_end(again);
}

int buf__read(struct buf *b, int fd)
{
	ssize_t n = 1;

	while (n) {
		uint8_t *to = buf__reserve(b, READ_BYTES);

		if (!to)
			return b->err;
		n = read(fd, to, READ_BYTES);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			b->len += (size_t)n;
	}
	return 0;
}

void buf__clear(struct buf *b)
{
	b->len = 0;
	b->err = 0;
}

void buf__consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		b->len = 0;
		return;
	}
	memmove(b->at, b->at + n, b->len - n);
	b->len -= n;
}

void buf__free(struct buf *b)
{
	if (!b)
		return;
	free(b->at);
	*b = (struct buf){ .max = b->max };
}
