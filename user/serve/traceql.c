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
	struct traceql *query;
	struct buf out;
	unsigned int depth, terms;
	const char *of_trace; /* a condition on the whole trace */
	bool either;	      /* || or ! in this set */
	struct err *err;
};

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

/* A name goes on until one of these; what has to be quoted cannot be searched for. */
static size_t name_length(const char *at)
{
	return strcspn(at, " \t\r\n{}()=~!<>&|^,");
}

static bool value_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-' || c == '/' || c == ':' || (c & 0x80);
}

/* Fields that are no attributes: what Tempo calls them, with their older names, and what the search language does. */
static const struct intrinsic {
	const char *scoped, *bare, *ours;
	enum { OF_SPAN, DURATION, ROOT_NAME, ROOT_SERVICE, TRACE_DURATION, ROOT_ITSELF } type;
} intrinsics[] = {
	{ "span:name", "name", "name", OF_SPAN },
	{ "span:kind", "kind", "kind", OF_SPAN },
	{ "span:status", "status", "status", OF_SPAN },
	{ "span:duration", "duration", "duration", DURATION },
	{ "span:id", "span:id", "span", OF_SPAN },
	{ "span:parentID", "span:parentID", "parent", OF_SPAN },
	{ "trace:id", "trace:id", "trace", OF_SPAN },
	{ "trace:rootName", "rootName", "", ROOT_NAME },
	{ "trace:rootService", "rootServiceName", "", ROOT_SERVICE },
	{ "trace:duration", "traceDuration", "", TRACE_DURATION },
	{ "nestedSetParent", "nestedSetParent", "", ROOT_ITSELF },
};

static const struct intrinsic *intrinsic_of(struct view word)
{
	for (size_t i = 0; i < sizeof(intrinsics) / sizeof(intrinsics[0]); i++)
		if (view_eq(word, view_of(intrinsics[i].scoped)) ||
		    view_eq(word, view_of(intrinsics[i].bare)))
			return &intrinsics[i];
	return NULL;
}

static bool starts(struct view word, const char *with, struct view *ret_rest)
{
	size_t n = strlen(with);

	if (word.len <= n || strncmp(word.at, with, n) != 0)
		return false;
	*ret_rest = (struct view){ word.at + n, word.len - n };
	return true;
}

struct traceql_name traceql__name(struct view text)
{
	const struct intrinsic *own = intrinsic_of(text);
	struct traceql_name name = { TRACEQL_ANY, text };

	if (own)
		name = (struct traceql_name){ TRACEQL_INTRINSIC, view_of(own->bare) };
	else if (starts(text, "resource.", &name.text))
		name.scope = TRACEQL_RESOURCE;
	else if (starts(text, "span.", &name.text))
		name.scope = TRACEQL_SPAN;
	else
		starts(text, ".", &name.text);
	return name;
}

static void note_name(struct parser *p, struct traceql_name name)
{
	struct traceql *q = p->query;

	for (unsigned int i = 0; i < q->n_names; i++)
		if (q->names[i].scope == name.scope && view_eq(q->names[i].text, name.text))
			return;
	if (q->n_names < TRACEQL_NAMES_MAX)
		q->names[q->n_names++] = name;
}

/* An attribute's name in the search language, to out. */
static int add_attribute(struct parser *p, struct view word)
{
	static const char *const others[] = { "event.", "link.", "instrumentation.", "parent.",
					      "event:", "link:", "instrumentation:", NULL };
	struct traceql_name name = traceql__name(word);
	struct view rest;

	for (size_t i = 0; others[i]; i++)
		if (starts(word, others[i], &rest))
			return fail(p, "this cannot be searched for here (events, links, scopes "
				       "and parents of a span cannot)");
	if (name.scope == TRACEQL_ANY && *word.at != '.')
		return fail(p, "a field is wanted (name, status, kind, duration, span.NAME, "
			       "resource.NAME, .NAME, rootName, traceDuration)");
	for (size_t i = 0; i < name.text.len; i++)
		if (!value_char(name.text.at[i]) || name.text.at[i] == '/' ||
		    name.text.at[i] == ':' || (name.text.at[i] & 0x80))
			return fail(p, "this name cannot be searched for");
	note_name(p, name);
	if (view_eq(name.text, VIEW("service.name")) && name.scope != TRACEQL_SPAN) {
		buf__add_str(&p->out, "service");
		return 0;
	}
	if (view_eq(name.text, VIEW("http.status_code")) && name.scope != TRACEQL_RESOURCE) {
		buf__add_str(&p->out, "status");
		return 0;
	}
	if (!memchr(name.text.at, '.', name.text.len))
		buf__add_str(&p->out, ".");
	buf__add_view(&p->out, name.text);
	return 0;
}

/* A value as it stands there, without its quotes. */
static int read_word(struct parser *p, char word[WORD_MAX], size_t *ret_n)
{
	size_t n = 0;
	char quote = *p->at;
	bool quoted = quote == '"' || quote == '`';

	for (p->at += quoted; *p->at && (quoted ? *p->at != quote : value_char(*p->at)); p->at++) {
		char c = *p->at;

		if (quote == '"' && c == '\\' && p->at[1]) {
			p->at++;
			c = *p->at == 'n' ? '\n' :
			    *p->at == 't' ? '\t' :
			    *p->at == 'r' ? '\r' :
					    *p->at;
		}
		if (n + 1 == WORD_MAX)
			return fail(p, "a value is too long");
		word[n++] = c;
	}
	word[n] = 0;
	if (quoted && !*p->at)
		return fail(p, "a quote is not closed");
	p->at += quoted;
	if (!n && !quoted)
		return fail(p, "a value is wanted");
	*ret_n = n;
	return 0;
}

static int add_quoted(struct parser *p, const char *word, size_t n)
{
	char quote = memchr(word, '"', n) ? '\'' : '"';

	if (memchr(word, '"', n) && memchr(word, '\'', n))
		return fail(p, "a value with both kinds of quotes cannot be searched for");
	buf__add(&p->out, &quote, 1);
	buf__add(&p->out, word, n);
	buf__add(&p->out, &quote, 1);
	return 0;
}

/* Tempo's are Go's (RE2), and have to match the whole text; the search language's are POSIX's, and find a part. */
static int add_regex(struct parser *p, const char *word)
{
	struct buf regex = { 0 };
	bool in_set = false;
	int ret;

	buf__add_str(&regex, "^(");
	for (; *word; word++) {
		if (*word == '(' && word[1] == '?' && !in_set) {
			if (strncmp(word, "(?:", 3) != 0) {
				buf__free(&regex);
				return fail(p,
					    "a regular expression with (?...) is not known here");
			}
			buf__add_str(&regex, "(");
			word += 2;
		} else if (*word == '\\' && (word[1] == 'd' || word[1] == 'D')) {
			buf__add_str(&regex, in_set ? "0-9" : word[1] == 'd' ? "[0-9]" : "[^0-9]");
			word++;
		} else if (*word == '\\' && word[1]) {
			buf__add(&regex, word++, 2);
		} else {
			in_set = in_set ? *word != ']' : *word == '[';
			buf__add(&regex, word, 1);
		}
	}
	buf__add_str(&regex, ")$");
	ret = regex.err ? regex.err : add_quoted(p, (const char *)regex.at, regex.len);
	buf__free(&regex);
	return ret;
}

static int read_duration(struct parser *p, uint64_t *ret_ns)
{
	char word[WORD_MAX];
	size_t n;
	int ret = read_word(p, word, &n);

	if (!ret && !traceql__duration(word, ret_ns))
		ret = fail(p, "a duration is wanted, such as 100ms");
	return ret;
}

static int read_value(struct parser *p, bool duration, bool regex)
{
	char word[WORD_MAX];
	size_t n;
	uint64_t ns;
	int ret = duration ? read_duration(p, &ns) : read_word(p, word, &n);

	if (ret)
		return ret;
	if (duration) {
		buf__printf(&p->out, "%lluns", (unsigned long long)ns);
		return 0;
	}
	return regex ? add_regex(p, word) : add_quoted(p, word, n);
}

static const struct comparison {
	const char *theirs, *ours;
} comparisons[] = { { "=~", "~" },  { "!~", "!~" }, { "!=", "!=" }, { "<=", "<=" },
		    { ">=", ">=" }, { "=", "=" },   { "<", "<" },   { ">", ">" } };

static const struct comparison *take_comparison(struct parser *p)
{
	for (size_t i = 0; i < sizeof(comparisons) / sizeof(comparisons[0]); i++)
		if (take(p, comparisons[i].theirs)) {
			blanks(p);
			return &comparisons[i];
		}
	return NULL;
}

/* A word of its own: not the beginning of a longer one. */
static bool take_word(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	blanks(p);
	if (strncmp(p->at, word, n) != 0 || name_length(p->at) != n)
		return false;
	p->at += n;
	return true;
}

#define ALWAYS "duration>=0ns"
#define NEVER "duration<0ns"

static int read_trace_duration(struct parser *p, const struct comparison *op)
{
	struct traceql *q = p->query;
	uint64_t ns;
	int ret = read_duration(p, &ns);

	if (ret)
		return ret;
	if (*op->ours == '>')
		q->least_ns = ns + !op->ours[1];
	else if (*op->ours == '<' && (op->ours[1] || ns))
		q->most_ns = ns - !op->ours[1];
	else
		return fail(p, "a trace's duration can be compared with > >= < <= only");
	return 0;
}

static int read_root(struct parser *p, const struct comparison *op, struct buf *name)
{
	char word[WORD_MAX];
	size_t n;
	int ret = read_word(p, word, &n);

	if (ret)
		return ret;
	if (strcmp(op->ours, "=") != 0)
		return fail(p, "the root's names can be compared with = only");
	buf__clear(name);
	buf__add(name, word, n + 1);
	return name->err;
}

/* What holds of a trace: kept beside the sets, as no span by itself can meet it. */
static int read_of_trace(struct parser *p, const struct intrinsic *own, const struct comparison *op)
{
	struct traceql *q = p->query;

	p->of_trace = own->bare;
	buf__add_str(&p->out, ALWAYS);
	if (own->type == TRACE_DURATION)
		return read_trace_duration(p, op);
	return read_root(p, op, own->type == ROOT_NAME ? &q->root_name : &q->root_service);
}

static int read_intrinsic(struct parser *p, const struct intrinsic *own)
{
	const struct comparison *op = take_comparison(p);

	if (!op)
		return fail(p, "an operator is wanted (= != < <= > >= =~ !~)");
	if (own->type == ROOT_ITSELF) {
		/* Of all that can be said of it, what asks for roots, as Grafana does. */
		if (strcmp(op->ours, "<") != 0 || !take_word(p, "0"))
			return fail(p, "of nestedSetParent only < 0 (a root) is known here");
		buf__add_str(&p->out, "(not parent)");
		return 0;
	}
	if (own->type == ROOT_NAME || own->type == ROOT_SERVICE || own->type == TRACE_DURATION)
		return read_of_trace(p, own, op);
	note_name(p, (struct traceql_name){ TRACEQL_INTRINSIC, view_of(own->bare) });
	if (take_word(p, "nil")) {
		buf__add_str(&p->out, *op->ours == '!' ? ALWAYS : NEVER);
		return 0;
	}
	buf__add_str(&p->out, own->ours);
	buf__add_str(&p->out, op->ours);
	return read_value(p, own->type == DURATION, strchr(op->ours, '~') != NULL);
}

static int parse_term(struct parser *p)
{
	const struct comparison *op;
	const struct intrinsic *own;
	struct view word;
	size_t name = p->out.len, n;
	int ret;

	if (++p->terms > TERMS_MAX)
		return fail(p, "there are too many conditions");
	if (take_word(p, "true") || take_word(p, "false")) {
		buf__add_str(&p->out, p->at[-2] == 'u' ? ALWAYS : NEVER);
		return 0;
	}
	blanks(p);
	word = (struct view){ p->at, name_length(p->at) };
	own = intrinsic_of(word);
	p->at += word.len;
	if (own)
		return read_intrinsic(p, own);
	ret = word.len ? add_attribute(p, word) : fail(p, "a field is wanted");
	if (ret)
		return ret;
	n = p->out.len - name;
	op = take_comparison(p);
	if (!op)
		return fail(p, "an operator is wanted (= != < <= > >= =~ !~)");
	if (take_word(p, "nil")) {
		/* There, whatever it is; alone it would be as good as not there where it is false. */
		char *copy = p->out.err ? NULL : strndup((const char *)p->out.at + name, n);

		if (!copy)
			return -ENOMEM;
		p->out.len = name;
		buf__printf(&p->out, "%s(%s or %s=false)", *op->ours == '!' ? "" : "not ", copy,
			    copy);
		free(copy);
		return 0;
	}
	buf__add_str(&p->out, op->ours);
	return read_value(p, false, strchr(op->ours, '~') != NULL);
}

static int parse_either(struct parser *p);

static int parse_one(struct parser *p)
{
	int ret;

	blanks(p);
	if (*p->at == '!' && p->at[1] != '=' && p->at[1] != '~') {
		p->at++;
		p->either = true;
		buf__add_str(&p->out, "not ");
		blanks(p);
		if (*p->at != '(')
			return fail(p, "a parenthesis is wanted");
	}
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
		if (take(p, "&&")) {
			buf__add_str(&p->out, " and ");
		} else if (take(p, "||")) {
			p->either = true;
			buf__add_str(&p->out, " or ");
		} else {
			break;
		}
		ret = parse_one(p);
	}
	buf__add_str(&p->out, ")");
	return ret;
}

/* { ... }, in the search language, to out. */
static int parse_braces(struct parser *p)
{
	int ret = 0;

	if (!take(p, "{"))
		return fail(p, "a { is wanted");
	if (take(p, "}")) {
		buf__add_str(&p->out, ALWAYS);
		return 0;
	}
	p->of_trace = NULL;
	p->either = false;
	ret = parse_either(p);
	if (!ret && !take(p, "}"))
		ret = fail(p, "a } is wanted");
	if (!ret && p->of_trace && p->either)
		ret = fail(p, "what is said of the whole trace cannot stand beside || or ! here");
	return ret;
}

static int parse_select(struct parser *p)
{
	bool more = true;

	if (!take(p, "("))
		return fail(p, "a ( is wanted");
	while (more) {
		struct view word;

		blanks(p);
		word = (struct view){ p->at, name_length(p->at) };
		if (!word.len)
			return fail(p, "a field is wanted");
		p->at += word.len;
		note_name(p, traceql__name(word));
		more = take(p, ",");
	}
	return take(p, ")") ? 0 : fail(p, "a ) is wanted");
}

static int parse_rest(struct parser *p)
{
	static const char *const metrics[] = {
		"rate",		 "count_over_time", "min_over_time",	  "max_over_time",
		"avg_over_time", "sum_over_time",   "quantile_over_time", "histogram_over_time",
		"compare"
	};
	int ret = 0;

	while (!ret && take(p, "|")) {
		if (take_word(p, "select")) {
			ret = parse_select(p);
			continue;
		}
		for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++)
			if (take_word(p, metrics[i]))
				return fail(p, "metrics of traces are not known here");
		ret = fail(p, "after | only select(...) is known here");
	}
	/* How to search, not what for. */
	if (!ret && take_word(p, "with"))
		p->at += strcspn(p->at, ")") + (strchr(p->at, ')') != NULL);
	blanks(p);
	if (!ret && *p->at)
		ret = fail(
			p,
			"only sets of conditions, { ... }, joined by && or by ||, are known here");
	return ret;
}

static int finish_set(struct parser *p)
{
	struct traceql *q = p->query;
	int ret;

	buf__add(&p->out, "", 1);
	ret = p->out.err;
	if (!ret && q->n_sets == TRACEQL_SETS_MAX)
		ret = fail(p, "there are too many sets of conditions");
	if (!ret)
		ret = filter__parse_where((const char *)p->out.at, &q->sets[q->n_sets], p->err);
	q->n_sets += !ret;
	buf__clear(&p->out);
	return ret;
}

int traceql__parse(struct traceql *ret_query, const char *text, struct err *err)
{
	struct parser p = { .text = text, .at = text, .query = ret_query, .err = err };
	bool all = false, any = false, of_trace = false;
	int ret;

	*ret_query = (struct traceql){ 0 };
	ret = parse_braces(&p);
	while (!ret) {
		of_trace |= p.of_trace != NULL;
		if (take(&p, "&&")) {
			all = true;
			ret = finish_set(&p);
		} else if (take(&p, "||")) {
			any = true;
			buf__add_str(&p.out, " or ");
		} else {
			break;
		}
		if (!ret && all && any)
			ret = fail(&p,
				   "sets of conditions can be joined by && or by ||, not by both");
		if (!ret)
			ret = parse_braces(&p);
	}
	if (!ret && any && of_trace)
		ret = fail(&p, "what is said of the whole trace cannot stand beside || here");
	if (!ret)
		ret = finish_set(&p);
	if (!ret)
		ret = parse_rest(&p);
	buf__free(&p.out);
	if (ret)
		traceql__free(ret_query);
	return ret;
}

void traceql__free(struct traceql *q)
{
	for (unsigned int i = 0; i < q->n_sets; i++)
		where__free(q->sets[i]);
	buf__free(&q->root_service);
	buf__free(&q->root_name);
	*q = (struct traceql){ 0 };
}
