// SPDX-License-Identifier: Apache-2.0
#include "core/propagate.h"

#include <string.h>

#define KEY_MAX 256
#define VALUE_MAX 256
#define LONG_MEMBER 128 /* W3C 3.3.1.5: these go first */

static bool key_char(char c, bool first)
{
	if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
		return true;
	return !first && (c == '_' || c == '-' || c == '*' || c == '/' || c == '@');
}

/* `key=value`; *ret_key_len on success. */
static bool member_valid(struct view m, size_t *ret_key_len)
{
	const char *eq = memchr(m.at, '=', m.len);
	size_t key = eq ? (size_t)(eq - m.at) : 0, value = eq ? m.len - key - 1 : 0;

	if (!key || key > KEY_MAX || !value || value > VALUE_MAX)
		return false;
	for (size_t i = 0; i < key; i++)
		if (!key_char(m.at[i], i == 0))
			return false;
	for (size_t i = key + 1; i < m.len; i++)
		if (m.at[i] < 0x20 || m.at[i] > 0x7e || m.at[i] == '=')
			return false;
	*ret_key_len = key;
	return true;
}

static struct view trim(struct view v)
{
	while (v.len && (v.at[0] == ' ' || v.at[0] == '\t')) {
		v.at++;
		v.len--;
	}
	while (v.len && (v.at[v.len - 1] == ' ' || v.at[v.len - 1] == '\t'))
		v.len--;
	return v;
}

/* The next member of a list, trimmed; may be empty, which is allowed. */
static bool next_member(struct view *list, struct view *ret)
{
	const char *comma;
	size_t n;

	if (!list->at)
		return false;
	comma = memchr(list->at, ',', list->len);
	n = comma ? (size_t)(comma - list->at) : list->len;
	*ret = trim((struct view){ list->at, n });
	list->at = comma ? comma + 1 : NULL;
	list->len = comma ? list->len - n - 1 : 0;
	return true;
}

struct members {
	struct view at[TRACESTATE_MAX_MEMBERS];
	size_t key_len[TRACESTATE_MAX_MEMBERS];
	unsigned int n;
	size_t bytes; /* joined by commas */
};

static bool add_member(struct members *members, struct view m)
{
	size_t key_len;

	if (members->n == TRACESTATE_MAX_MEMBERS || !member_valid(m, &key_len))
		return false;
	for (unsigned int i = 0; i < members->n; i++)
		if (members->key_len[i] == key_len && !memcmp(members->at[i].at, m.at, key_len))
			return false;
	members->bytes += m.len + (members->n ? 1 : 0);
	members->at[members->n] = m;
	members->key_len[members->n++] = key_len;
	return true;
}

/* Takes members away until the rest fits, from the right; those of `longer` bytes and more only. */
static void shorten(struct members *members, size_t longer)
{
	for (unsigned int i = members->n; i-- && members->bytes > TRACESTATE_MAX_BYTES;) {
		if (members->at[i].len < longer)
			continue;
		members->bytes -= members->at[i].len + 1;
		members->n--;
		memmove(&members->at[i], &members->at[i + 1],
			(members->n - i) * sizeof(members->at[0]));
	}
}

size_t propagate__tracestate(const struct view *values, unsigned int n, char *to)
{
	struct members members = { .n = 0 };
	size_t len = 0;
	struct view m;

	for (unsigned int i = 0; i < n; i++) {
		struct view list = values[i];

		while (next_member(&list, &m))
			if (m.len && !add_member(&members, m))
				return 0;
	}
	shorten(&members, LONG_MEMBER + 1);
	shorten(&members, 0);
	for (unsigned int i = 0; i < members.n; i++) {
		if (i)
			to[len++] = ',';
		memcpy(to + len, members.at[i].at, members.at[i].len);
		len += members.at[i].len;
	}
	return len;
}

struct view propagate__member(struct view tracestate, struct view key)
{
	struct view m;

	if (!tracestate.len)
		return (struct view){ NULL, 0 };
	while (next_member(&tracestate, &m))
		if (m.len > key.len && m.at[key.len] == '=' && !memcmp(m.at, key.at, key.len))
			return (struct view){ m.at + key.len + 1, m.len - key.len - 1 };
	return (struct view){ NULL, 0 };
}
