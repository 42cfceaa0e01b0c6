// SPDX-License-Identifier: Apache-2.0
#include "ship/console/escape.h"

#include <stdio.h>
#include <string.h>

struct piece {
	uint32_t code; /* code point; bytes of one that is no UTF-8: the byte */
	size_t bytes;
	bool valid;
};

static struct piece next_piece(const uint8_t *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80		   ? 1 :
		   *s >= 0xc2 && *s < 0xe0 ? 2 :
		   *s >= 0xe0 && *s < 0xf0 ? 3 :
		   *s >= 0xf0 && *s < 0xf5 ? 4 :
					     0;
	uint32_t code = n == 1 ? *s : n ? *s & (0x7f >> n) : 0;

	if (!n || n > len)
		return (struct piece){ *s, 1, false };
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return (struct piece){ *s, 1, false };
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return (struct piece){ *s, 1, false };
	return (struct piece){ code, n, true };
}

static bool between(uint32_t c, uint32_t from, uint32_t to)
{
	return c >= from && c <= to;
}

/* Characters that do something else than being seen. */
static bool acts(uint32_t c)
{
	return c < 0x20 || between(c, 0x7f, 0x9f) || c == 0xad || between(c, 0x300, 0x36f) ||
	       c == 0x61c || c == 0x180e || between(c, 0x200b, 0x200f) ||
	       between(c, 0x2028, 0x202e) || between(c, 0x2060, 0x206f) ||
	       between(c, 0xfe00, 0xfe0f) || c == 0xfeff || between(c, 0xfff0, 0xfffb) ||
	       between(c, 0xe0000, 0xe0fff) || between(c, 0xe000, 0xf8ff) || (c & 0xfffe) == 0xfffe;
}

/* East Asian wide and emoji take two columns (Unicode annex 11, roughly: for alignment only). */
static unsigned int width_of(uint32_t c)
{
	return between(c, 0x1100, 0x115f) || between(c, 0x2e80, 0xa4cf) ||
			       between(c, 0xac00, 0xd7a3) || between(c, 0xf900, 0xfaff) ||
			       between(c, 0xfe30, 0xfe6f) || between(c, 0xff00, 0xff60) ||
			       between(c, 0xffe0, 0xffe6) || between(c, 0x1f300, 0x1faff) ||
			       between(c, 0x20000, 0x3fffd) ?
		       2 :
		       1;
}

/* The text for one piece: itself or an escape. Returns its columns. */
static unsigned int shown(const uint8_t *s, struct piece p, bool unicode, char text[16],
			  size_t *ret_len)
{
	if (p.valid && !acts(p.code) && (unicode || p.code < 0x80)) {
		memcpy(text, s, p.bytes);
		*ret_len = p.bytes;
		return width_of(p.code);
	}
	if (!p.valid || p.code < 0x80)
		*ret_len = (size_t)snprintf(text, 16, "\\x%02x", (unsigned int)p.code);
	else
		*ret_len = (size_t)snprintf(text, 16, "\\u{%x}", (unsigned int)p.code);
	return (unsigned int)*ret_len;
}

unsigned int escape__add(struct buf *out, struct view text, unsigned int columns, bool unicode)
{
	const uint8_t *s = (const uint8_t *)(text.len ? text.at : ""), *end = s + text.len;
	size_t mark = out->len; /* where there is still room for the sign of a cut */
	unsigned int used = 0, used_at_mark = 0;
	char piece[16];
	size_t len;

	while (s < end) {
		struct piece p = next_piece(s, (size_t)(end - s));
		unsigned int width = shown(s, p, unicode, piece, &len);

		if (columns && used + width > columns) {
			if (!out->err)
				out->len = mark;
			buf__add_str(out, unicode ? "\xe2\x80\xa6" : "~");
			return used_at_mark + 1;
		}
		buf__add(out, piece, len);
		used += width;
		if (used < columns) {
			mark = out->len;
			used_at_mark = used;
		}
		s += p.bytes;
	}
	return used;
}

void pad__add(struct buf *out, unsigned int blanks)
{
	uint8_t *to = buf__reserve(out, blanks);

	if (!to)
		return;
	memset(to, ' ', blanks);
	out->len += blanks;
}

void escape__pad(struct buf *out, struct view text, unsigned int columns, bool unicode)
{
	unsigned int used = escape__add(out, text, columns, unicode);

	if (used < columns)
		pad__add(out, columns - used);
}
