// SPDX-License-Identifier: Apache-2.0
#include "serve/traceql.h"

#include <errno.h>
#include <stdlib.h>

/* Deeper parentheses, and longer lists, are refused. */
#define DEPTH_MAX 16
#define TERMS_MAX 64
#define WORD_MAX 1024

/* TraceQL is turned into the search language, which is parsed then: one meaning, in one place. */
struct parser {
	const char *text, *at;
	struct buf out;
	unsigned int depth, terms;
	struct err *err;
};

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

static int fail(struct parser *p, const char *why)
{
	return err__set(p->err, -EINVAL, "invalid TraceQL query: %s at column %zu of \"%.200s\"",
			why, (size_t)(p->at - p->text) + 1, p->text);
}

static void blanks(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r')
		p->at++;
}

static bool take(struct parser *p, const char *token)
{
	blanks(p);
	if (strncmp(p->at, token, strlen(token)))
		return false;
	p->at += strlen(token);
	return true;
}

static bool word_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-' || c == '/' || c == ':';
}

/* The name in the search language, to out. */
static int read_field(struct parser *p, bool *ret_duration)
{
	static const struct {
		const char *theirs, *ours;
	} own[] = { { "name", "name" },
		    { "kind", "kind" },
		    { "status", "status" },
		    { "duration", "duration" },
		    { "resource.service.name", "service" },
		    { ".service.name", "service" },
		    { "span.http.status_code", "status" },
		    { ".http.status_code", "status" } };
	struct view word = { p->at, 0 };

	while (word_char(word.at[word.len]))
		word.len++;
	p->at += word.len;
	*ret_duration = view_eq(word, VIEW("duration"));
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (view_eq(word, view_of(own[i].theirs))) {
			buf__add_str(&p->out, own[i].ours);
			return 0;
		}
	if (word.len > 9 && !strncmp(word.at, "resource.", 9))
		word = (struct view){ word.at + 9, word.len - 9 };
	else if (word.len > 5 && !strncmp(word.at, "span.", 5))
		word = (struct view){ word.at + 5, word.len - 5 };
	else if (word.len > 1 && *word.at == '.')
		word = (struct view){ word.at + 1, word.len - 1 };
	else
		return fail(p, "a field is wanted (name, status, kind, duration, span.NAME, "
			       "resource.NAME, .NAME)");
	if (memchr(word.at, '/', word.len) || memchr(word.at, ':', word.len))
		return fail(p, "this name cannot be searched for");
	if (!memchr(word.at, '.', word.len))
		buf__add_str(&p->out, ".");
	buf__add_view(&p->out, word);
	return 0;
}

static int read_value(struct parser *p, bool duration)
{
	char word[WORD_MAX];
	size_t n = 0;
	char quote = *p->at;
	bool quoted = quote == '"' || quote == '`';
	uint64_t ns;

	for (p->at += quoted; *p->at && (quoted ? *p->at != quote : word_char(*p->at)); p->at++) {
		if (quote == '"' && *p->at == '\\' && p->at[1])
			p->at++;
		if (n + 1 == sizeof(word))
			return fail(p, "a value is too long");
		word[n++] = *p->at;
	}
	word[n] = 0;
	if (quoted && !*p->at)
		return fail(p, "a quote is not closed");
	p->at += quoted;
	if (!n)
		return fail(p, "a value is wanted");
	if (duration) {
		if (!traceql__duration(word, &ns))
			return fail(p, "a duration is wanted, such as 100ms");
		buf__printf(&p->out, "%lluns", (unsigned long long)ns);
		return 0;
	}
	if (memchr(word, '"', n) && memchr(word, '\'', n))
		return fail(p, "a value with both kinds of quotes cannot be searched for");
	quote = memchr(word, '"', n) ? '\'' : '"';
	buf__add(&p->out, &quote, 1);
	buf__add(&p->out, word, n);
	buf__add(&p->out, &quote, 1);
	return 0;
}

static int parse_term(struct parser *p)
{
	static const struct {
		const char *theirs, *ours;
	} ops[] = { { "=~", "~" },  { "!~", "!~" }, { "!=", "!=" }, { "<=", "<=" },
		    { ">=", ">=" }, { "=", "=" },   { "<", "<" },   { ">", ">" } };
	bool duration;
	int ret;

	if (++p->terms > TERMS_MAX)
		return fail(p, "there are too many conditions");
	ret = read_field(p, &duration);
	if (ret)
		return ret;
	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
		if (!take(p, ops[i].theirs))
			continue;
		buf__add_str(&p->out, ops[i].ours);
		blanks(p);
		return read_value(p, duration);
	}
	return fail(p, "an operator is wanted (= != < <= > >= =~ !~)");
}

static int parse_either(struct parser *p);

static int parse_one(struct parser *p)
{
	int ret;

	blanks(p);
	if (*p->at != '(')
		return parse_term(p);
	if (++p->depth > DEPTH_MAX)
		return fail(p, "there are too many parentheses");
	p->at++;
	ret = parse_either(p);
	if (!ret && !take(p, ")"))
		ret = fail(p, "a parenthesis is not closed");
	p->depth--;
	return ret;
}

static int parse_either(struct parser *p)
{
	int ret;

	buf__add_str(&p->out, "(");
	ret = parse_one(p);
	while (!ret) {
		if (take(p, "&&"))
			buf__add_str(&p->out, " and ");
		else if (take(p, "||"))
			buf__add_str(&p->out, " or ");
		else
			break;
		ret = parse_one(p);
	}
	buf__add_str(&p->out, ")");
	return ret;
}

int traceql__parse(struct filter *filter, const char *text, struct err *err)
{
	struct parser p = { .text = text, .at = text, .err = err };
	struct where *where = NULL;
	int ret = 0;

	if (!take(&p, "{"))
		return fail(&p, "a { is wanted");
	if (!take(&p, "}")) {
		ret = parse_either(&p);
		if (!ret && !take(&p, "}"))
			ret = fail(&p, "a } is wanted");
	}
	blanks(&p);
	if (!ret && *p.at)
		ret = fail(&p, "only one set of conditions, { ... }, is known here");
	buf__add(&p.out, "", 1);
	if (!ret)
		ret = p.out.err;
	if (!ret && p.out.len > 1)
		ret = filter__parse_where((const char *)p.out.at, &where, err);
	if (!ret)
		ret = filter__add_where(filter, where);
	buf__free(&p.out);
	return ret;
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
