// SPDX-License-Identifier: Apache-2.0
#include "serve/target.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>

#define HOST_MAX 255

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Until one of `ends`, decoded in place. Returns where it ended, NULL with err set. */
static char *decode(char *at, const char *ends, bool plus, struct view *ret, struct err *err)
{
	char *to = at;

	ret->at = at;
	for (; *at && !strchr(ends, *at); at++, to++) {
		int high = -1, low = -1;

		*to = plus && *at == '+' ? ' ' : *at;
		if (*at != '%')
			continue;
		high = digit_of(at[1]);
		low = high < 0 ? -1 : digit_of(at[2]);
		if (low < 0) {
			err__set(err, -EINVAL, "a %% is not followed by two hexadecimal digits");
			return NULL;
		}
		*to = (char)(high << 4 | low);
		if (!*to) {
			err__set(err, -EINVAL, "%%00 stands in it, which no name has");
			return NULL;
		}
		at += 2;
	}
	ret->len = (size_t)(to - ret->at);
	return at;
}

static int parse_query(char *at, struct target *ret, struct err *err)
{
	while (*at) {
		struct target_param param = { { at, 0 }, { "", 0 } };
		char *end = decode(at, "=&", true, &param.key, err);
		bool value = end && *end == '=';

		if (value)
			end = decode(end + 1, "&", true, &param.value, err);
		if (!end)
			return -EINVAL;
		at = *end ? end + 1 : end;
		*end = 0;
		((char *)param.key.at)[param.key.len] = 0;
		if (value)
			((char *)param.value.at)[param.value.len] = 0;
		if (!param.key.len)
			continue;
		if (ret->n_params == TARGET_PARAMS_MAX)
			return err__set(err, -EINVAL, "there are more than %d parameters",
					TARGET_PARAMS_MAX);
		ret->params[ret->n_params++] = param;
	}
	return 0;
}

int target__parse(char *text, struct target *ret, struct err *err)
{
	char *query = strchr(text, '?'), *at = text;

	ret->n_segments = ret->n_params = 0;
	if (*at != '/')
		return err__set(err, -EINVAL, "it is no path");
	if (query)
		*query = 0;
	while (*at) {
		struct view *segment = &ret->segments[ret->n_segments];
		char *end;

		if (ret->n_segments == TARGET_SEGMENTS_MAX)
			return err__set(err, -EINVAL, "the path has more than %d parts",
					TARGET_SEGMENTS_MAX);
		end = decode(at + 1, "/", false, segment, err);
		if (!end)
			return -EINVAL;
		at = end;
		ret->n_segments++;
	}
	for (unsigned int i = 0; i < ret->n_segments; i++)
		((char *)ret->segments[i].at)[ret->segments[i].len] = 0;
	return query ? parse_query(query + 1, ret, err) : 0;
}

const char *target__param(const struct target *target, const char *key)
{
	for (unsigned int i = 0; i < target->n_params; i++)
		if (view_eq(target->params[i].key, view_of(key)))
			return target->params[i].value.at;
	return NULL;
}

static bool is_port(struct view text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
	return text.len <= 5;
}

static bool is_name(struct view text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.at[i], small = (char)(c | 0x20);

		if (!(small >= 'a' && small <= 'z') && !(c >= '0' && c <= '9') && c != '.' &&
		    c != '-' && c != '_')
			return false;
	}
	return text.len && text.len <= HOST_MAX;
}

bool host__parse(struct view text, struct view *ret_host)
{
	struct view host = text, port = { "", 0 };
	const char *colon;

	if (text.len && *text.at == '[') {
		const char *end = memchr(text.at, ']', text.len);
		struct in6_addr ignored;
		char copy[INET6_ADDRSTRLEN];

		if (!end || (size_t)(end - text.at) > sizeof(copy))
			return false;
		host = (struct view){ text.at + 1, (size_t)(end - text.at) - 1 };
		memcpy(copy, host.at, host.len);
		copy[host.len] = 0;
		if (memchr(host.at, 0, host.len) || inet_pton(AF_INET6, copy, &ignored) != 1)
			return false;
		port = (struct view){ end + 1, text.len - host.len - 2 };
		if (port.len && *port.at != ':')
			return false;
	} else {
		colon = text.len ? memchr(text.at, ':', text.len) : NULL;
		if (colon) {
			host.len = (size_t)(colon - text.at);
			port = (struct view){ colon, text.len - host.len };
		}
		if (!is_name(host))
			return false;
	}
	if (port.len && !is_port((struct view){ port.at + 1, port.len - 1 }))
		return false;
	*ret_host = host;
	return true;
}

bool host__is_loopback(struct view host)
{
	static const char below[] = ".localhost";
	char copy[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;

	if (view_eq_nocase(host, VIEW("localhost")))
		return true;
	if (host.len >= sizeof(below) &&
	    view_eq_nocase((struct view){ host.at + host.len - sizeof(below) + 1,
					  sizeof(below) - 1 },
			   view_of(below)))
		return true;
	if (host.len >= sizeof(copy))
		return false;
	memcpy(copy, host.at, host.len);
	copy[host.len] = 0;
	if (inet_pton(AF_INET, copy, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, copy, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}
