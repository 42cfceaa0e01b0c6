// SPDX-License-Identifier: Apache-2.0
#include "ship/console/operation.h"

#include <ctype.h>

#define UUID_BYTES 36
#define HEX_LEAST 8
#define TOKEN_LEAST 20

/* A name of HTTP that has no route: GET. */
static bool is_method(struct view name)
{
	if (name.len < 2 || name.len > 20)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((name.at[i] < 'A' || name.at[i] > 'Z') && name.at[i] != '_')
			return false;
	return true;
}

static bool is_uuid(struct view part)
{
	if (part.len != UUID_BYTES)
		return false;
	for (size_t i = 0; i < part.len; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? part.at[i] != '-' : !isxdigit((unsigned char)part.at[i]))
			return false;
	}
	return true;
}

/* A number, a UUID, 8 hexadecimal digits or 20 letters that have a number among them. */
static bool is_identifier(struct view part)
{
	size_t digits = 0, hex = 0, token = 0;

	for (size_t i = 0; i < part.len; i++) {
		unsigned char c = (unsigned char)part.at[i];

		digits += isdigit(c) != 0;
		hex += isxdigit(c) != 0;
		token += isalnum(c) || c == '_' || c == '-';
	}
	if (!digits)
		return false;
	return digits == part.len || is_uuid(part) || (hex == part.len && hex >= HEX_LEAST) ||
	       (token == part.len && token >= TOKEN_LEAST);
}

/* True: something was taken out. */
static bool add_template(struct buf *out, struct view path)
{
	const char *at = path.at, *end = path.at + path.len;
	bool any = false;

	for (;;) {
		const char *slash = at < end ? memchr(at, '/', (size_t)(end - at)) : NULL;
		struct view part = { at, (size_t)((slash ? slash : end) - at) };

		if (is_identifier(part)) {
			buf__add_str(out, "{id}");
			any = true;
		} else {
			buf__add_view(out, part);
		}
		if (!slash)
			return any;
		buf__add(out, "/", 1);
		at = slash + 1;
	}
}

static struct view route_of(const struct row *row)
{
	static const char *const names[] = { "http.route", "url.template" };
	struct otlp_value value;

	for (int i = 0; i < 2; i++)
		if (otlp_attributes__find(row->span.message, OTLP_SPAN_ATTRIBUTES,
					  view_of(names[i]), &value) &&
		    value.type == OTLP_STRING)
			return value.bytes;
	return (struct view){ "", 0 };
}

static struct view cut(struct view v)
{
	return (struct view){ v.at, v.len < OPERATION_MAX_BYTES ? v.len : OPERATION_MAX_BYTES };
}

bool operation__add(struct buf *out, const struct row *row)
{
	struct view name = cut(row->span.name), route;

	if (!is_method(name))
		return add_template(out, name);
	route = route_of(row);
	buf__add_view(out, name);
	if (route.len || !row->path.len) {
		buf__add_str(out, route.len ? " " : "");
		buf__add_view(out, cut(route));
		return false;
	}
	buf__add_str(out, " ");
	add_template(out, cut(row->path));
	return true;
}
