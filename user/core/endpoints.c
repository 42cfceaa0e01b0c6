// SPDX-License-Identifier: Apache-2.0
#include "core/endpoints.h"

#include <string.h>

#define WORDS 8 /* of an IPv6 address */

static char *put_decimal(char *to, uint8_t value)
{
	if (value >= 100)
		*to++ = (char)('0' + value / 100);
	if (value >= 10)
		*to++ = (char)('0' + value / 10 % 10);
	*to++ = (char)('0' + value % 10);
	return to;
}

static char *put_v4(char *to, const uint8_t address[4])
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*to++ = '.';
		to = put_decimal(to, address[i]);
	}
	return to;
}

static char *put_hex(char *to, uint16_t value)
{
	static const char digits[] = "0123456789abcdef";
	int shift = 12;

	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		*to++ = digits[value >> shift & 15];
	return to;
}

/* The first of the longest runs of zero words; shorter than two it is none (RFC 5952, 4.2). */
static void find_zeros(const uint16_t words[WORDS], int *ret_from, int *ret_n)
{
	*ret_from = WORDS;
	*ret_n = 1;
	for (int i = 0, n; i < WORDS; i += n + 1) {
		for (n = 0; i + n < WORDS && !words[i + n];)
			n++;
		if (n > *ret_n) {
			*ret_from = i;
			*ret_n = n;
		}
	}
}

static char *put_v6(char *to, const uint8_t address[16])
{
	uint16_t words[WORDS];
	int from, n;
	bool tail_v4;

	for (int i = 0; i < WORDS; i++)
		words[i] = (uint16_t)(address[2 * i] << 8 | address[2 * i + 1]);
	find_zeros(words, &from, &n);
	/* As inet_ntop(3): what holds an IPv4 address says so. */
	tail_v4 = !from && (n == 6 || (n == 5 && words[5] == 0xffff));
	for (int i = 0; i < WORDS; i++) {
		if (i == from) {
			*to++ = ':';
			i += n - 1;
			if (i == WORDS - 1)
				*to++ = ':';
			continue;
		}
		if (i)
			*to++ = ':';
		if (i == 6 && tail_v4)
			return put_v4(to, address + 12);
		to = put_hex(to, words[i]);
	}
	return to;
}

size_t endpoints__format_as_is(char *to, uint16_t family, const uint8_t address[16])
{
	if (family == SONDE_AF_INET)
		return (size_t)(put_v4(to, address) - to);
	if (family == SONDE_AF_INET6)
		return (size_t)(put_v6(to, address) - to);
	return 0;
}

size_t endpoints__format(char *to, uint16_t family, const uint8_t address[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (family == SONDE_AF_INET6 && !memcmp(address, mapped, sizeof(mapped))) {
		family = SONDE_AF_INET;
		address += sizeof(mapped);
	}
	return endpoints__format_as_is(to, family, address);
}

void endpoints__describe(const struct endpoints *endpoints, struct span *span)
{
	char *text;
	size_t n;

	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (span->attributes[i].key == ATTR_NETWORK_PEER_ADDRESS)
			return;
	if (endpoints->family == SONDE_AF_UNIX) {
		span__set_string(span, ATTR_NETWORK_TRANSPORT, VIEW("unix"));
		return;
	}
	text = span__scratch(span, ENDPOINTS_ADDRESS_MAX_BYTES);
	n = text ? endpoints__format(text, endpoints->family, endpoints->remote) : 0;
	if (!n)
		return;
	span__set_string(span, ATTR_NETWORK_PEER_ADDRESS, (struct view){ text, n });
	if (endpoints->remote_port)
		span__set_int(span, ATTR_NETWORK_PEER_PORT, endpoints->remote_port);
}
