// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_attributes.h"

#include <errno.h>
#include <string.h>

enum { TYPE_STRING = 0, TYPE_INT = 1 };

/* What stands before key and value; no padding. */
struct pair_header {
	uint16_t key_len, value_len;
	uint8_t type, pad[3];
};

/*
 * Length of the well-formed UTF-8 sequence at v (Unicode 15, table 3-7), 0 where there is none or
 * where it is a control character (C0, DEL, C1).
 */
static size_t character(struct view v)
{
	const uint8_t *b = (const uint8_t *)v.at;
	uint8_t low = 0x80, high = 0xbf;
	size_t n;

	if (b[0] < 0x80)
		return b[0] >= 0x20 && b[0] != 0x7f;
	if (b[0] < 0xc2 || b[0] > 0xf4)
		return 0;
	n = b[0] < 0xe0 ? 2 : b[0] < 0xf0 ? 3 : 4;
	if (v.len < n)
		return 0;
	switch (b[0]) {
	case 0xc2:
		low = 0xa0;
		break; /* below: C1 */
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	}
	if (b[1] < low || b[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (b[i] < 0x80 || b[i] > 0xbf)
			return 0;
	return n;
}

/* Writes v as clean UTF-8, at most max bytes; returns how many. */
static size_t clean(struct view v, char *to, size_t max)
{
	size_t used = 0;

	while (v.len) {
		size_t n = character(v), add = n ? n : 3;

		if (used + add > max)
			break;
		memcpy(to + used, n ? v.at : "\xef\xbf\xbd", add);
		used += add;
		v.at += n ? n : 1;
		v.len -= n ? n : 1;
	}
	return used;
}

/* Walks over the pairs; *offset moves on. false at the end. */
static bool next_pair(const struct buf *bytes, size_t *offset, struct pair_header *ret_header,
		      struct view *ret_key, struct view *ret_value)
{
	if (*offset >= bytes->len)
		return false;
	memcpy(ret_header, bytes->at + *offset, sizeof(*ret_header));
	*offset += sizeof(*ret_header);
	*ret_key = (struct view){ (const char *)bytes->at + *offset, ret_header->key_len };
	*offset += ret_header->key_len;
	*ret_value = (struct view){ (const char *)bytes->at + *offset, ret_header->value_len };
	*offset += ret_header->value_len;
	return true;
}

static void remove_key(struct attributes *attributes, struct view key)
{
	struct buf *bytes = &attributes->bytes;
	size_t offset = 0, start = 0;
	struct pair_header header;
	struct view k, v;

	for (; next_pair(bytes, &offset, &header, &k, &v); start = offset) {
		if (!view_eq(k, key))
			continue;
		memmove(bytes->at + start, bytes->at + offset, bytes->len - offset);
		bytes->len -= offset - start;
		attributes->n--;
		return;
	}
}

static void add(struct attributes *attributes, struct view key, uint8_t type, struct view value)
{
	struct pair_header header = { .key_len = (uint16_t)key.len,
				      .value_len = (uint16_t)value.len,
				      .type = type };

	remove_key(attributes, key);
	if (attributes->n >= ATTRIBUTES_MAX)
		return;
	if (!buf__reserve(&attributes->bytes, sizeof(header) + key.len + value.len))
		return;
	buf__add(&attributes->bytes, &header, sizeof(header));
	buf__add_view(&attributes->bytes, key);
	buf__add_view(&attributes->bytes, value);
	attributes->n++;
}

void attributes__set(struct attributes *attributes, struct view key, struct view value)
{
	char k[ATTRIBUTE_KEY_MAX_BYTES], v[ATTRIBUTE_VALUE_MAX_BYTES];
	struct view clean_key = { k, clean(key, k, sizeof(k)) };
	struct view clean_value = { v, clean(value, v, sizeof(v)) };

	if (clean_key.len && clean_value.len)
		add(attributes, clean_key, TYPE_STRING, clean_value);
}

void attributes__set_int(struct attributes *attributes, struct view key, int64_t value)
{
	add(attributes, key, TYPE_INT, (struct view){ (const char *)&value, sizeof(value) });
}

bool attributes__get(const struct attributes *attributes, struct view key, struct view *ret)
{
	struct pair_header header;
	size_t offset = 0;
	struct view k, v;

	while (next_pair(&attributes->bytes, &offset, &header, &k, &v)) {
		if (header.type != TYPE_STRING || !view_eq(k, key))
			continue;
		*ret = v;
		return true;
	}
	return false;
}

bool attributes__has(const struct attributes *attributes, struct view key)
{
	struct view value;

	return attributes__get(attributes, key, &value);
}

static struct view trim(struct view v)
{
	while (v.len && (v.at[0] == ' ' || v.at[0] == '\t'))
		v.at++, v.len--;
	while (v.len && (v.at[v.len - 1] == ' ' || v.at[v.len - 1] == '\t'))
		v.len--;
	return v;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes into to[], cut at max. false: malformed. */
static bool decode(struct view v, char *to, size_t max, struct view *ret)
{
	size_t used = 0;

	for (size_t i = 0; i < v.len; i++) {
		char c = v.at[i];

		if (c == '%') {
			int high = i + 2 < v.len ? hex_value(v.at[i + 1]) : -1;
			int low = i + 2 < v.len ? hex_value(v.at[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (used < max)
			to[used++] = c;
	}
	*ret = (struct view){ to, used };
	return true;
}

static bool is_ours(struct view key)
{
	return (key.len >= 10 && !memcmp(key.at, "telemetry.", 10)) ||
	       (key.len >= 8 && !memcmp(key.at, "process.", 8));
}

/* One key=value; false: malformed. attributes NULL: only look. */
static bool parse_pair(struct attributes *attributes, struct view item)
{
	char k[ATTRIBUTE_KEY_MAX_BYTES], v[ATTRIBUTE_VALUE_MAX_BYTES];
	const char *equals = memchr(item.at, '=', item.len);
	struct view key, value;

	if (!equals)
		return false;
	key = trim((struct view){ item.at, (size_t)(equals - item.at) });
	value = trim((struct view){ equals + 1, item.len - (size_t)(equals + 1 - item.at) });
	if (!key.len || !decode(key, k, sizeof(k), &key) || !decode(value, v, sizeof(v), &value))
		return false;
	if (attributes && !is_ours(key) && attributes->n < ATTRIBUTES_OWN_MAX &&
	    attributes->bytes.len + key.len + value.len < ATTRIBUTES_OWN_MAX_BYTES)
		attributes__set(attributes, key, value);
	return true;
}

static bool parse_all(struct attributes *attributes, struct view text)
{
	while (text.len) {
		const char *comma = memchr(text.at, ',', text.len);
		struct view item = { text.at, comma ? (size_t)(comma - text.at) : text.len };
		size_t skip = item.len + (comma != NULL);

		text.at += skip;
		text.len -= skip;
		item = trim(item);
		if (item.len && !parse_pair(attributes, item))
			return false;
	}
	return true;
}

int attributes__parse(struct attributes *attributes, struct view text)
{
	if (!parse_all(NULL, text))
		return -EPROTO;
	parse_all(attributes, text);
	return attributes->bytes.err;
}
