// SPDX-License-Identifier: Apache-2.0
/* Targets, hosts and queries (RFC 3986, RFC 9112 3.2, RFC 7239), and what of them may be shown. */
#include <string.h>

#include "core/proto/http1.h"

static struct view part(const char *from, const char *to)
{
	return (struct view){ from, (size_t)(to - from) };
}

static const char *end_of(struct view v)
{
	return v.len ? v.at + v.len : v.at;
}

static bool has_prefix_nocase(struct view v, struct view prefix)
{
	return v.len >= prefix.len && view_eq_nocase((struct view){ v.at, prefix.len }, prefix);
}

void http1__split_host(struct view value, struct view *ret_host, struct view *ret_port)
{
	const char *end = end_of(value), *close, *colon;

	*ret_host = value;
	*ret_port = (struct view){ 0 };
	if (value.len && value.at[0] == '[') {
		close = memchr(value.at, ']', value.len);
		if (!close)
			return;
		*ret_host = part(value.at + 1, close);
		colon = close + 1 < end && close[1] == ':' ? close + 1 : NULL;
	} else {
		colon = value.len ? memchr(value.at, ':', value.len) : NULL;
		/* Two colons and no brackets: an IPv6 address, as some write it. */
		if (colon && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
			colon = NULL;
		if (colon)
			*ret_host = part(value.at, colon);
	}
	if (!colon || end - colon > 6)
		return;
	for (const char *c = colon + 1; c < end; c++)
		if (*c < '0' || *c > '9')
			return;
	*ret_port = part(colon + 1, end);
}

static void split_path(struct view v, struct http1_url *ret)
{
	const char *hash = v.len ? memchr(v.at, '#', v.len) : NULL, *mark;

	if (hash)
		v = part(v.at, hash);
	mark = v.len ? memchr(v.at, '?', v.len) : NULL;
	ret->path = part(v.at, mark ?: end_of(v));
	ret->has_query = mark;
	if (mark)
		ret->query = part(mark + 1, end_of(v));
}

void http1__split_target(struct view method, struct view target, struct http1_url *ret)
{
	const char *end = end_of(target), *slashes, *slash, *at;
	struct view authority;

	*ret = (struct http1_url){ 0 };
	if (view_eq(method, VIEW("CONNECT"))) {
		http1__split_host(target, &ret->host, &ret->port);
		return;
	}
	slashes =
		target.len && target.at[0] != '/' ? memmem(target.at, target.len, "://", 3) : NULL;
	if (!slashes) {
		split_path(target, ret);
		return;
	}
	ret->scheme = part(target.at, slashes);
	authority = part(slashes + 3, end);
	for (slash = authority.at; slash < end && *slash != '/' && *slash != '?' && *slash != '#';)
		slash++;
	authority = part(authority.at, slash);
	split_path(part(slash, end), ret);
	at = authority.len ? memrchr(authority.at, '@', authority.len) : NULL;
	if (at) {
		ret->userinfo = part(authority.at, at);
		authority = part(at + 1, slash);
	}
	http1__split_host(authority, &ret->host, &ret->port);
}

/* semconv url.query, url.full: values of these keys are secrets, whatever was asked for. */
static bool is_signature(struct view key)
{
	static const struct view keys[] = {
		VIEW("AWSAccessKeyId"),	      VIEW("Signature"),       VIEW("sig"),
		VIEW("X-Goog-Signature"),     VIEW("X-Amz-Signature"), VIEW("X-Amz-Credential"),
		VIEW("X-Amz-Security-Token"),
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (view_eq_nocase(key, keys[i]))
			return true;
	return false;
}

#define REDACTED "REDACTED"

/* With to NULL nothing is written: the length alone. */
static size_t redact(struct view query, bool keep, char *to)
{
	const char *at = query.at, *end = end_of(query);
	size_t n = 0;

	while (at < end) {
		const char *amp = memchr(at, '&', (size_t)(end - at)) ?: end;
		const char *equals = memchr(at, '=', (size_t)(amp - at));
		const char *stop = amp < end ? amp + 1 : amp;
		bool hide = equals && equals + 1 < amp && (!keep || is_signature(part(at, equals)));
		size_t len = (size_t)((hide ? equals + 1 : stop) - at);

		if (to)
			memcpy(to + n, at, len);
		n += len;
		if (hide) {
			if (to)
				memcpy(to + n, REDACTED, sizeof(REDACTED) - 1);
			n += sizeof(REDACTED) - 1;
			if (amp < end) {
				if (to)
					to[n] = '&';
				n++;
			}
		}
		at = stop;
	}
	return n;
}

struct view http1__redact_query(struct span *span, struct view query, bool keep)
{
	size_t n = query.len ? redact(query, keep, NULL) : 0;
	char *to = n ? span__scratch(span, n) : NULL;

	if (!to)
		return (struct view){ 0 };
	redact(query, keep, to);
	return (struct view){ to, n };
}

static struct view trim(struct view v)
{
	while (v.len && (v.at[0] == ' ' || v.at[0] == '\t'))
		v.at++, v.len--;
	while (v.len && (v.at[v.len - 1] == ' ' || v.at[v.len - 1] == '\t'))
		v.len--;
	return v;
}

/* The next piece of a list up to a separator outside of quotes; taken off *rest. */
static struct view take_until(struct view *rest, const char *separators)
{
	bool quoted = false;
	size_t i = 0;
	struct view v;

	for (; i < rest->len; i++) {
		char c = rest->at[i];

		if (c == '"')
			quoted = !quoted;
		else if (quoted && c == '\\' && i + 1 < rest->len)
			i++;
		else if (!quoted && strchr(separators, c) && c)
			break;
	}
	v = (struct view){ rest->at, i };
	*rest = (struct view){ rest->at + i, rest->len - i };
	return v;
}

struct view http1__forwarded(struct view value, struct view parameter)
{
	struct view none = { 0 };

	while (value.len) {
		struct view pair = trim(take_until(&value, ";,"));

		if (has_prefix_nocase(pair, parameter) && pair.len > parameter.len &&
		    pair.at[parameter.len] == '=') {
			pair = part(pair.at + parameter.len + 1, end_of(pair));
			if (pair.len >= 2 && pair.at[0] == '"' && pair.at[pair.len - 1] == '"')
				pair = (struct view){ pair.at + 1, pair.len - 2 };
			return pair;
		}
		if (!value.len || value.at[0] == ',')
			break; /* the first element is the one nearest to the client */
		value.at++;
		value.len--;
	}
	return none;
}
