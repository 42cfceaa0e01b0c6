// SPDX-License-Identifier: Apache-2.0
/* Tags in logfmt, and durations as Go writes them: what Tempo's searches had before TraceQL. */
#include <errno.h>
#include <stdlib.h>

#include "serve/traceql.h"

#define TERMS_MAX 64
#define WORD_MAX 1024

bool traceql__duration(const char *text, uint64_t *ret_ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 },     { "us", 1e3 }, { "\xc2\xb5s", 1e3 }, { "ms", 1e6 },
		      { "h", 3.6e12 }, { "m", 6e10 }, { "s", 1e9 } };
	double sum = 0;
	size_t i;

	if (!*text)
		return false;
	while (*text) {
		char *end = NULL;
		double n = *text >= '0' && *text <= '9' ? strtod(text, &end) : -1;

		if (n < 0)
			return false;
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (!strncmp(end, units[i].unit, strlen(units[i].unit)))
				break;
		if (i == sizeof(units) / sizeof(units[0]))
			return false;
		text = end + strlen(units[i].unit);
		sum += n * units[i].ns;
	}
	if (!(sum < 1e18))
		return false;
	*ret_ns = (uint64_t)sum;
	return true;
}

int traceql__add_tag(struct filter *filter, struct view name, const char *value)
{
	if (view_eq(name, VIEW("service.name")))
		return filter__add_text(filter, "service", value);
	if (view_eq(name, VIEW("name")))
		return filter__add_text(filter, "operation", value);
	if (view_eq(name, VIEW("status.code")) || view_eq(name, VIEW("status")))
		return filter__add_text(filter, "status", value);
	if (view_eq(name, VIEW("error")) && !strcmp(value, "true"))
		return filter__add_text(filter, "status", "error");
	return filter__add_attribute(filter, name, value);
}

int traceql__each_tag(const char *text, int (*each)(void *arg, struct view name, const char *value),
		      void *arg, struct err *err)
{
	int ret = 0;

	for (unsigned int terms = 0; !ret; terms++) {
		struct view name;
		char value[WORD_MAX];
		size_t n = 0;
		bool quoted;

		text += strspn(text, " \t");
		if (!*text)
			break;
		name = (struct view){ text, strcspn(text, "= \t\"") };
		text += name.len;
		if (!name.len || (*text && !strchr("= \t", *text)) || terms == TERMS_MAX)
			return err__set(err, -EINVAL,
					"invalid tags: write NAME=VALUE NAME=\"VALUE\"");
		/* A name alone is one with an empty value, as in logfmt. */
		text += *text == '=';
		quoted = *text == '"';
		for (text += quoted; *text && (quoted ? *text != '"' : !strchr(" \t", *text));
		     text++) {
			if (quoted && *text == '\\' && text[1])
				text++;
			if (n + 1 == sizeof(value))
				return err__set(err, -EINVAL, "invalid tags: a value is too long");
			value[n++] = *text;
		}
		if (quoted && *text++ != '"')
			return err__set(err, -EINVAL, "invalid tags: a quote is not closed");
		value[n] = 0;
		ret = each(arg, name, value);
	}
	return ret;
}

static int add_to_filter(void *arg, struct view name, const char *value)
{
	return traceql__add_tag(arg, name, value);
}

int traceql__tags(struct filter *filter, const char *text, struct err *err)
{
	return traceql__each_tag(text, add_to_filter, filter, err);
}
