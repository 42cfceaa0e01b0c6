// SPDX-License-Identifier: Apache-2.0
#include "ship/console/where_parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32
#define NODES_MAX 256
#define REPEATS_MAX 1000

struct parser {
	const char *text, *at;
	struct err *err;
	unsigned int depth, nodes;
	int ret;
};

static const struct {
	const char *name;
	enum where_field field;
	bool number;
} fields[] = {
	{ "service", FIELD_SERVICE, false }, { "name", FIELD_NAME, false },
	{ "kind", FIELD_KIND, false },	     { "status", FIELD_STATUS, true },
	{ "error", FIELD_ERROR, false },     { "duration", FIELD_DURATION, true },
	{ "method", FIELD_METHOD, false },   { "path", FIELD_PATH, false },
	{ "query", FIELD_QUERY, false },     { "peer", FIELD_PEER, false },
	{ "port", FIELD_PORT, true },	     { "trace", FIELD_TRACE, false },
	{ "span", FIELD_SPAN, false },	     { "parent", FIELD_PARENT, false },
};

/* Sets the error at a place of the text; the first one counts. */
static struct where *fail(struct parser *p, const char *at, const char *why, const char *what)
{
	if (p->ret)
		return NULL;
	p->ret = err__set(p->err, -EINVAL, "--where: %s%s%s at column %zu of \"%.200s\"", why,
			  what ? ": " : "", what ? what : "", (size_t)(at - p->text) + 1, p->text);
	return NULL;
}

static struct where *no_memory(struct parser *p)
{
	p->ret = err__set(p->err, -ENOMEM, "--where: out of memory");
	return NULL;
}

static void blanks(struct parser *p)
{
	while (*p->at == ' ' || *p->at == '\t' || *p->at == '\n')
		p->at++;
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

/* A whole word at this place. */
static bool keyword(struct parser *p, const char *word)
{
	size_t n = strlen(word);

	blanks(p);
	if (strncmp(p->at, word, n) || name_char(p->at[n]) ||
	    strchr("=<>~", p->at[n] ? p->at[n] : ' '))
		return false;
	if (p->at[n] == '!' && (p->at[n + 1] == '=' || p->at[n + 1] == '~'))
		return false;
	p->at += n;
	return true;
}

static struct where *new_node(struct parser *p, enum where_type type, struct where *left,
			      struct where *right)
{
	struct where *w = ++p->nodes > NODES_MAX ? NULL : calloc(1, sizeof(*w));

	if (!w) {
		where__free(left);
		where__free(right);
		return p->nodes > NODES_MAX ? fail(p, p->at, "too long an expression", NULL) :
					      no_memory(p);
	}
	w->type = type;
	w->left = left;
	w->right = right;
	return w;
}

static bool read_op(struct parser *p, enum where_op *ret)
{
	static const struct {
		const char *text;
		enum where_op op;
	} ops[] = {
		{ "==", OP_EQUAL },	 { "!=", OP_UNEQUAL },	  { "!~", OP_UNLIKE },
		{ "<=", OP_LESS_EQUAL }, { ">=", OP_MORE_EQUAL }, { "=", OP_EQUAL },
		{ "<", OP_LESS },	 { ">", OP_MORE },	  { "~", OP_LIKE },
	};

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		size_t n = strlen(ops[i].text);

		if (!strncmp(p->at, ops[i].text, n)) {
			p->at += n;
			*ret = ops[i].op;
			return true;
		}
	}
	*ret = OP_THERE;
	return false;
}

/* A quoted string, or everything up to a blank or a parenthesis that was not opened in it. */
static char *read_value(struct parser *p)
{
	const char *from, *end;
	int open = 0;

	blanks(p);
	from = p->at;
	if (*from == '"' || *from == '\'') {
		end = strchr(from + 1, *from);
		if (!end) {
			fail(p, from, "a quote is not closed", NULL);
			return NULL;
		}
		p->at = end + 1;
		from++;
	} else {
		for (end = from; *end && !strchr(" \t\n", *end); end++) {
			open += *end == '(' ? 1 : *end == ')' ? -1 : 0;
			if (open < 0)
				break;
		}
		p->at = end;
		if (end == from) {
			fail(p, from, "a value is missing", NULL);
			return NULL;
		}
	}
	return strndup(from, (size_t)(end - from));
}

static bool read_number(const char *text, bool duration, double *ret)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 },   { "us", 1e3 }, { "\xc2\xb5s", 1e3 },
		      { "ms", 1e6 }, { "s", 1e9 },  { "m", 6e10 } };
	char *end;
	double n = strtod(text, &end);

	if (end == text)
		return false;
	if (!duration || !*end) {
		/* A bare duration is in milliseconds, as people say it. */
		*ret = duration ? n * 1e6 : n;
		return !*end;
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (!strcmp(end, units[i].unit)) {
			*ret = n * units[i].ns;
			return true;
		}
	}
	return false;
}

/*
 * Repetitions multiply: (x{1000}){1000} would take all memory, and so would x followed by forty
 * plus signs, as each copies what is before it. The product of all the numbers in braces, and of a
 * two for each plus behind more than a character, is bounded (those in a bracket expression count
 * as well, which does no harm).
 */
static bool repeats_too_often(const char *regex)
{
	unsigned long product = 1, n;
	char *end;

	for (const char *c = regex; *c; c++) {
		if (*c == '\\' && c[1]) {
			c++;
		} else if (*c == '{') {
			n = strtoul(c + 1, &end, 10);
			if (*end == ',')
				n = end[1] >= '0' && end[1] <= '9' ? strtoul(end + 1, NULL, 10) : n;
			n = n ? n : 1;
			if (n > REPEATS_MAX || product * n > REPEATS_MAX)
				return true;
			product *= n;
		} else if (*c == '+' && c > regex && strchr(")}+*?", c[-1])) {
			product *= 2;
			if (product > REPEATS_MAX)
				return true;
		}
	}
	return false;
}

static struct where *finish_value(struct parser *p, struct where *w, bool number, const char *at)
{
	char why[128];
	int ret;

	if ((w->op == OP_LIKE || w->op == OP_UNLIKE) && repeats_too_often(w->text)) {
		fail(p, at, "this regular expression repeats too often", NULL);
		where__free(w);
		return NULL;
	}
	if (w->op == OP_LIKE || w->op == OP_UNLIKE) {
		ret = regcomp(&w->regex, w->text, REG_EXTENDED | REG_NOSUB);
		if (!ret) {
			w->has_regex = true;
			return w;
		}
		regerror(ret, NULL, why, sizeof(why));
		fail(p, at, "this is no regular expression", why);
		where__free(w);
		return NULL;
	}
	w->is_number = read_number(w->text, w->field == FIELD_DURATION, &w->number);
	if (w->field == FIELD_STATUS &&
	    (!strcmp(w->text, "error") || !strcmp(w->text, "ok") || !strcmp(w->text, "unset"))) {
		w->field = FIELD_OUTCOME;
	} else if (number && !w->is_number) {
		fail(p, at,
		     w->field == FIELD_DURATION ? "a duration is wanted (10ms, 1.5s)" :
		     w->field == FIELD_STATUS	? "a number, or error, ok, unset is wanted" :
						  "a number is wanted",
		     NULL);
		where__free(w);
		return NULL;
	}
	return w;
}

static struct where *parse_term(struct parser *p)
{
	const char *from = p->at, *at;
	bool number = false;
	struct where *w;
	size_t n = 0;

	while (name_char(from[n]))
		n++;
	if (!n)
		return fail(p, from,
			    *from ? "a field name is wanted" : "the expression ends too early",
			    NULL);
	w = new_node(p, WHERE_TERM, NULL, NULL);
	if (!w)
		return NULL;
	w->field = FIELD_ATTRIBUTE;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		if (strlen(fields[i].name) == n && !strncmp(fields[i].name, from, n)) {
			w->field = fields[i].field;
			number = fields[i].number;
		}
	}
	if (w->field == FIELD_ATTRIBUTE && !memchr(from, '.', n) && !memchr(from, '_', n)) {
		fail(p, from,
		     "no such field (service, name, kind, status, error, duration, method, path, "
		     "query, peer, "
		     "port, trace, span, parent, or an attribute such as http.route "
		     "or .tenant)",
		     NULL);
		where__free(w);
		return NULL;
	}
	/* .tenant: an attribute whose name has no dot of its own, or is one of the words above */
	w->name = n > 1 && *from == '.' ? strndup(from + 1, n - 1) : strndup(from, n);
	p->at += n;
	blanks(p);
	if (w->name && !read_op(p, &w->op))
		return w;
	blanks(p);
	at = p->at;
	w->text = w->name ? read_value(p) : NULL;
	if (!w->text) {
		where__free(w);
		return p->ret ? NULL : no_memory(p);
	}
	return finish_value(p, w, number, at);
}

static struct where *parse_or(struct parser *p);

static struct where *parse_not(struct parser *p)
{
	const char *open;
	struct where *w;

	blanks(p);
	if (p->depth >= DEPTH_MAX)
		return fail(p, p->at, "nested too deeply", NULL);
	p->depth++;
	open = p->at;
	if (keyword(p, "not") || (*p->at == '!' && p->at++)) {
		w = parse_not(p);
		w = w ? new_node(p, WHERE_NOT, w, NULL) : NULL;
	} else if (*p->at == '(') {
		p->at++;
		w = parse_or(p);
		blanks(p);
		if (w && *p->at != ')') {
			where__free(w);
			w = fail(p, open, "a parenthesis is not closed", NULL);
		} else if (w) {
			p->at++;
		}
	} else {
		w = parse_term(p);
	}
	p->depth--;
	return w;
}

/* Is there another term here, rather than `or`, a closing parenthesis or the end? */
static bool goes_on(struct parser *p)
{
	const char *at;
	bool other;

	blanks(p);
	at = p->at;
	other = !*at || *at == ')' || keyword(p, "or");
	p->at = at;
	return !other;
}

static struct where *parse_and(struct parser *p)
{
	struct where *w = parse_not(p), *right;

	while (w && goes_on(p)) {
		keyword(p, "and");
		right = parse_not(p);
		if (!right) {
			where__free(w);
			return NULL;
		}
		w = new_node(p, WHERE_AND, w, right);
	}
	return w;
}

static struct where *parse_or(struct parser *p)
{
	struct where *w = parse_and(p), *right;

	while (w && keyword(p, "or")) {
		right = parse_and(p);
		if (!right) {
			where__free(w);
			return NULL;
		}
		w = new_node(p, WHERE_OR, w, right);
	}
	return w;
}

int where__parse(const char *text, struct where **ret_where, struct err *err)
{
	struct parser p = { .text = text, .at = text, .err = err };
	struct where *w = parse_or(&p);

	if (w) {
		blanks(&p);
		if (*p.at) {
			where__free(w);
			w = fail(&p, p.at, "this was not expected here", NULL);
		}
	}
	if (!w)
		return p.ret ? p.ret : -EINVAL;
	*ret_where = w;
	return 0;
}
