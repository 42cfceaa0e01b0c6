/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looking at bytes eight at a time, without branches on their values: what begins a message
 * (RFC 9112 section 3 and 4), and where a head ends.
 */
#ifndef SONDE_BPF_DETECT_H
#define SONDE_BPF_DETECT_H

#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#include "walk.h"

enum kind { KIND_NO = 0, KIND_MAYBE, KIND_REQUEST, KIND_RESPONSE, KIND_FRAMES };

#define EVERY(byte) ((__u64)(byte)*0x0101010101010101ull)

/* 0x80 in every byte of w that equals byte; exact, no carry between bytes. */
static __always_inline __u64 bytes_equal(__u64 w, __u8 byte)
{
	__u64 x = w ^ EVERY(byte);

	return ~(((x & EVERY(0x7f)) + EVERY(0x7f)) | x) & EVERY(0x80);
}

/* 0x80 in every byte of w that is A-Z or '-'. */
static __always_inline __u64 bytes_method(__u64 w)
{
	__u64 low = w & EVERY(0x7f);
	__u64 from = low + EVERY(0x80 - 'A');
	__u64 past = low + EVERY(0x80 - 'Z' - 1);

	return (((from & ~past) & ~w) & EVERY(0x80)) | bytes_equal(w, '-');
}

/* One bit a byte, the first byte lowest, of a mask of 0x80s. */
static __always_inline __u32 bits_of(__u64 mask)
{
	return ((mask >> 7) * 0x0102040810204080ull) >> 56;
}

static __always_inline __u32 bits_of_two(__u64 low, __u64 high)
{
	return bits_of(low) | bits_of(high) << 8;
}

#define WORD(a, b, c, d, e, f, g, h)                                                               \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 |   \
	 (__u64)(f) << 40 | (__u64)(g) << 48 | (__u64)(h) << 56)

/*
 * What the first n (at most 16) bytes of w begin; bytes past n are zero. An unknown method counts
 * where a path, an asterisk or an absolute URI follows it.
 */
WALKED_ONCE int kind_of(__u64 low, __u64 high, __u32 n)
{
	const __u64 status = WORD('H', 'T', 'T', 'P', '/', '1', '.', 0);
	__u32 space, before, method, target;

	/* what most begin with */
	if ((low & 0xffffffffffull) == WORD('G', 'E', 'T', ' ', '/', 0, 0, 0) ||
	    (low & 0xffffffffffffull) == WORD('P', 'O', 'S', 'T', ' ', '/', 0, 0))
		return KIND_REQUEST;

	/* RFC 9112 2.2: an empty line before a request line is to be skipped. */
	if ((low & 0xffff) == 0x0a0d && n >= 2) {
		low = low >> 16 | high << 48;
		high >>= 16;
		n -= 2;
	}
	if (n == 0)
		return KIND_MAYBE;
	if (n >= 8 ? (low & 0x00ffffffffffffffull) == status :
		     !((low ^ status) & ((1ull << (n * 8 & 63)) - 1)))
		return n >= 7 ? KIND_RESPONSE : KIND_MAYBE;

	space = bits_of_two(bytes_equal(low, ' '), bytes_equal(high, ' '));
	method = bits_of_two(bytes_method(low), bytes_method(high));
	if (!space) {
		__u32 all = (1u << n) - 1;

		return n < 16 && (method & all) == all ? KIND_MAYBE : KIND_NO;
	}
	space &= -space;
	before = space - 1;
	if (!before || (method & before) != before)
		return KIND_NO;
	/* RFC 9113 3.4: what a client of HTTP/2 says first was chosen to look like a request. */
	if (low == WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 'T'))
		return (high & 0xffffffffull) == WORD('T', 'P', '/', '2', 0, 0, 0, 0) ?
			       KIND_FRAMES :
			       KIND_NO;
	if (low == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		return n == 8 ? KIND_MAYBE : (high & 0xff) == '{' ? KIND_NO : KIND_REQUEST;
	target = bits_of_two(bytes_equal(low, '/') | bytes_equal(low, '*') | bytes_equal(low, 'h') |
				     bytes_equal(low, 'H'),
			     bytes_equal(high, '/') | bytes_equal(high, '*') |
				     bytes_equal(high, 'h') | bytes_equal(high, 'H'));
	if (space << 1 >= 1u << n)
		return n < 16 ? KIND_MAYBE : KIND_NO;
	return target & space << 1 ? KIND_REQUEST : KIND_NO;
}

/*
 * A TLS record (RFC 8446 section 5.1, and 1.2 and before it): its type, legacy version and length. In
 * mid-life a library reads these five bytes by themselves, or with what follows.
 */
static __always_inline bool tls_begins(__u64 low, __u32 n)
{
	__u32 length = (low >> 24 & 0xff) << 8 | (low >> 32 & 0xff);
	__u8 type = low;

	return n >= 5 && type >= 20 && type <= 23 && (low >> 8 & 0xff) == 3 &&
	       (low >> 16 & 0xff) <= 4 && length && length <= 16384 + 2048;
}

/* The first record of a connection: one of a handshake. */
static __always_inline bool tls_is_hello(__u64 low)
{
	return (low & 0xff) == 22;
}

/* Whether a message may begin with this byte at all. */
static __always_inline bool may_begin(__u8 byte, bool response)
{
	if (byte == '\r')
		return true;
	return response ? byte == 'H' : byte == '-' || (__u8)(byte - 'A') <= 'Z' - 'A';
}

/* CR LF CR LF, as the last bytes of a head are loaded. */
#define HEAD_ENDS 0x0a0d0a0du

/* Four bytes from anywhere: a program may load them at once. */
static __always_inline __u32 four_bytes(const __u8 *at)
{
#ifdef __bpf__
	return *(const __u32 *)at;
#else
	return at[0] | at[1] << 8 | at[2] << 16 | (__u32)at[3] << 24;
#endif
}

/* Whether a head ends with these four bytes: LF LF, or LF CR LF. */
static __always_inline bool tail_ends(__u32 tail)
{
	return tail >> 16 == 0x0a0a || tail >> 8 == 0x0a0d0a;
}

/* Whether a request line that begins with these 16 bytes is a program's own trace export. */
static __always_inline bool is_export(__u64 low, __u64 high)
{
	if (low == WORD('P', 'O', 'S', 'T', ' ', '/', 'v', '1'))
		return high == WORD('/', 't', 'r', 'a', 'c', 'e', 's', ' ') ||
		       high == WORD('/', 't', 'r', 'a', 'c', 'e', 's', '?');
	if (low == WORD('P', 'O', 'S', 'T', ' ', '/', 'a', 'p'))
		return high == WORD('i', '/', 'v', '2', '/', 's', 'p', 'a') ||
		       high == WORD('i', '/', 't', 'r', 'a', 'c', 'e', 's');
	/* the digit in /v0.N/traces may be any */
	if (low == WORD('P', 'O', 'S', 'T', ' ', '/', 'v', '0'))
		return (high & ~0xff00ull) == WORD('.', 0, '/', 't', 'r', 'a', 'c', 'e');
	if (low == WORD('P', 'U', 'T', ' ', '/', 'v', '0', '.'))
		return (high & ~0xffull) == WORD(0, '/', 't', 'r', 'a', 'c', 'e', 's');
	return false;
}

/* Bit i: byte i of these 32 is a line feed. Inlined, it was three fifths of all that was walked. */
WALKED_ONCE __u64 line_feeds_32(__u64 a, __u64 b, __u64 c, __u64 d)
{
	return bits_of_two(bytes_equal(a, '\n'), bytes_equal(b, '\n')) |
	       (__u64)bits_of_two(bytes_equal(c, '\n'), bytes_equal(d, '\n')) << 16;
}

/* The same of 64 bytes. */
static __always_inline __u64 line_feeds(const __u64 *at)
{
	return line_feeds_32(at[0], at[1], at[2], at[3]) | line_feeds_32(at[4], at[5], at[6], at[7])
								   << 32;
}

/* The index of the lowest set bit: how many ones lie below it. No branches. */
static __always_inline __u32 lowest_bit(__u64 w)
{
	w = (w & -w) - 1;
	w -= (w >> 1) & 0x5555555555555555ull;
	w = (w & 0x3333333333333333ull) + ((w >> 2) & 0x3333333333333333ull);
	w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (w * EVERY(1)) >> 56;
}

#endif
