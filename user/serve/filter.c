// SPDX-License-Identifier: Apache-2.0
#include "serve/filter.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "ship/console/where_parse.h"

/* Where this is in a regular expression, matching may take exponential time. */
static bool has_back_reference(const char *text)
{
	for (; *text; text++) {
		if (*text != '\\')
			continue;
		text++;
		if (*text >= '1' && *text <= '9')
			return true;
		if (!*text)
			return false;
	}
	return false;
}

static struct where *new_term(enum where_field field, enum where_op op, struct view name,
			      const char *text)
{
	struct where *w = calloc(1, sizeof(*w));
	char *end;

	if (!w)
		return NULL;
	*w = (struct where){ .type = WHERE_TERM, .field = field, .op = op };
	w->text = strdup(text);
	if (name.len)
		w->name = strndup(name.at, name.len);
	if (!w->text || (name.len && !w->name)) {
		where__free(w);
		return NULL;
	}
	w->number = strtod(text, &end);
	w->is_number = *text && !*end;
	return w;
}

static struct where *join(enum where_type type, struct where *left, struct where *right)
{
	struct where *w = left && right ? calloc(1, sizeof(*w)) : NULL;

	if (!w) {
		where__free(left);
		where__free(right);
		return NULL;
	}
	*w = (struct where){ .type = type, .left = left, .right = right };
	return w;
}

static int add(struct filter *f, struct where *term)
{
	if (!term)
		return -ENOMEM;
	f->where = f->where ? join(WHERE_AND, f->where, term) : term;
	return f->where ? 0 : -ENOMEM;
}

int filter__add_where(struct filter *f, struct where *where)
{
	return where ? add(f, where) : 0;
}

int filter__add_text(struct filter *f, const char *field, const char *value)
{
	static const char unnamed[] = "unknown_service:";
	static const struct {
		const char *name;
		enum where_field field;
	} known[] = {
		{ "service", FIELD_SERVICE }, { "operation", FIELD_NAME }, { "kind", FIELD_KIND },
		{ "status", FIELD_OUTCOME },  { "http", FIELD_STATUS },
	};

	/* As a row calls it. */
	if (!strcmp(field, "service") && !strncmp(value, unnamed, sizeof(unnamed) - 1) &&
	    value[sizeof(unnamed) - 1])
		value += sizeof(unnamed) - 1;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i].name, field))
			return add(f, new_term(known[i].field, OP_EQUAL, (struct view){ "", 0 },
					       value));
	return -EINVAL;
}

int filter__add_attribute(struct filter *f, struct view name, const char *value)
{
	return add(f, new_term(FIELD_ATTRIBUTE, OP_EQUAL, name, value));
}

int filter__add_duration(struct filter *f, bool least, uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)ns);
	return add(f, new_term(FIELD_DURATION, least ? OP_MORE_EQUAL : OP_LESS_EQUAL,
			       (struct view){ "", 0 }, text));
}

bool filter__number(const char *text, uint64_t *ret)
{
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
			return false;
	}
	*ret = n;
	return true;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool filter__trace_id(struct view text, bool shorter, uint8_t ret[16])
{
	uint8_t id[16] = { 0 };
	size_t at;

	if (!text.len || text.len > 32 || (text.len < 32 && !shorter))
		return false;
	at = 32 - text.len;
	for (size_t i = 0; i < text.len; i++, at++) {
		int digit = digit_of(text.at[i]);

		if (digit < 0)
			return false;
		id[at / 2] |= (uint8_t)(at & 1 ? digit : digit << 4);
	}
	memcpy(ret, id, 16);
	return true;
}

static struct where *trace_term(const uint8_t id[16])
{
	char text[33];

	for (int i = 0; i < 16; i++)
		snprintf(text + 2 * i, 3, "%02x", id[i]);
	return new_term(FIELD_TRACE, OP_EQUAL, (struct view){ "", 0 }, text);
}

/* As a balanced tree: it is walked with a set of a segment's spans a level. */
struct where *filter__traces(const uint8_t (*ids)[16], unsigned int n)
{
	if (n == 1)
		return trace_term(ids[0]);
	return join(WHERE_OR, filter__traces(ids, n / 2), filter__traces(ids + n / 2, n - n / 2));
}

static int __attribute__((format(printf, 4, 5)))
complain(struct complaint *c, const char *key, const char *todo, const char *fmt, ...)
{
	va_list ap;

	snprintf(c->what, sizeof(c->what), "the parameter %.100s cannot be used", key);
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	snprintf(c->todo, sizeof(c->todo), "%s", todo);
	return -EINVAL;
}

static int read_number(const char *key, const char *value, uint64_t *ret, struct complaint *why)
{
	if (filter__number(value, ret))
		return 0;
	return complain(why, key, "write a whole number, such as 1700000000000000000",
			"'%.200s' is not a number from 0 to 18446744073709551615", value);
}

static int read_kind(struct filter *f, const char *value, struct complaint *why)
{
	static const char *const kinds[] = { "internal", "server", "client", "producer",
					     "consumer" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(value, kinds[i]))
			return filter__add_text(f, "kind", value);
	return complain(why, "kind", "write internal, server, client, producer or consumer",
			"there is no kind '%.200s'", value);
}

static int read_status(struct filter *f, const char *value, struct complaint *why)
{
	uint64_t code;

	if (!strcmp(value, "error") || !strcmp(value, "ok") || !strcmp(value, "unset"))
		return filter__add_text(f, "status", value);
	if (filter__number(value, &code) && code >= 100 && code <= 599)
		return filter__add_text(f, "http", value);
	return complain(why, "status", "write error, ok, unset or an HTTP status such as 500",
			"there is no status '%.200s'", value);
}

static int read_duration(struct filter *f, const char *key, const char *value,
			 struct complaint *why)
{
	uint64_t ns;
	int ret = read_number(key, value, &ns, why);

	return ret ? ret : filter__add_duration(f, *key == 'm' && key[1] == 'i', ns);
}

static int read_attribute(struct filter *f, const char *value, struct complaint *why)
{
	const char *equals = strchr(value, '=');

	if (!equals || equals == value)
		return complain(why, "attr", "write attr=http.route%3D/users/{id}",
				"'%.200s' is not NAME=VALUE", value);
	return filter__add_attribute(f, (struct view){ value, (size_t)(equals - value) },
				     equals + 1);
}

int filter__parse_where(const char *text, struct where **ret, struct err *err)
{
	struct err why = { "" };
	int bad;

	if (has_back_reference(text))
		return err__set(
			err, -EINVAL,
			"a regular expression refers back to itself (\\1 to \\9), which may "
			"take for ever");
	bad = where__parse(text, ret, &why);
	if (bad)
		err__set(err, bad, "%s",
			 strncmp(why.text, "--where: ", 9) ? why.text : why.text + 9);
	return bad;
}

static int read_query(struct filter *f, const char *value, struct complaint *why)
{
	struct where *where = NULL;
	struct err err = { "" };
	int ret;

	if (!*value)
		return 0;
	ret = filter__parse_where(value, &where, &err);
	if (ret == -EINVAL)
		return complain(why, "q",
				"write FIELD OP VALUE, such as: service=shop duration>200ms",
				"%.500s", err.text);
	return ret ? ret : add(f, where);
}

static int read_limit(struct filter *f, const char *value, struct complaint *why)
{
	uint64_t n;

	if (!filter__number(value, &n) || !n || n > FILTER_LIMIT_MAX)
		return complain(why, "limit", "write a number from 1 to 200",
				"'%.200s' is not a number of traces from 1 to %d", value,
				FILTER_LIMIT_MAX);
	f->limit = (unsigned int)n;
	return 0;
}

static int read_range(struct filter *f, const char *key, const char *value, struct complaint *why,
		      bool *ret_taken)
{
	*ret_taken = true;
	if (!strcmp(key, "start_unix_nano"))
		return read_number(key, value, &f->start_ns, why);
	if (!strcmp(key, "end_unix_nano"))
		return read_number(key, value, &f->end_ns, why);
	*ret_taken = false;
	return 0;
}

static int unknown(const char *key, struct complaint *why, const char *todo)
{
	return complain(why, key, todo, "there is no such parameter here");
}

/* An empty value is none: forms send all their fields. */
static int read_param(struct filter *f, const char *key, const char *value, struct complaint *why)
{
	bool taken;
	int ret;

	if (!*value && (!strcmp(key, "service") || !strcmp(key, "operation") ||
			!strcmp(key, "kind") || !strcmp(key, "status") || !strcmp(key, "attr") ||
			!strcmp(key, "limit") || strstr(key, "_nano")))
		return 0;
	ret = read_range(f, key, value, why, &taken);
	if (taken)
		return ret;
	if (!strcmp(key, "service") || !strcmp(key, "operation"))
		return filter__add_text(f, key, value);
	if (!strcmp(key, "kind"))
		return read_kind(f, value, why);
	if (!strcmp(key, "status"))
		return read_status(f, value, why);
	if (!strcmp(key, "min_duration_nano") || !strcmp(key, "max_duration_nano"))
		return read_duration(f, key, value, why);
	if (!strcmp(key, "attr"))
		return read_attribute(f, value, why);
	if (!strcmp(key, "q"))
		return read_query(f, value, why);
	if (!strcmp(key, "limit"))
		return read_limit(f, value, why);
	return unknown(key, why,
		       "known are service, operation, kind, status, min_duration_nano, "
		       "max_duration_nano, attr, q, start_unix_nano, end_unix_nano, limit");
}

static int check_range(const struct filter *f, struct complaint *why)
{
	if (f->start_ns <= f->end_ns)
		return 0;
	return complain(why, "end_unix_nano", "exchange the two",
			"the range ends before it begins");
}

int filter__read(const struct target *target, struct filter *ret, struct complaint *why)
{
	int bad = 0;

	*ret = (struct filter){ .end_ns = UINT64_MAX, .limit = FILTER_LIMIT_DEFAULT };
	for (unsigned int i = 0; i < target->n_params && !bad; i++)
		bad = read_param(ret, target->params[i].key.at, target->params[i].value.at, why);
	if (!bad)
		bad = check_range(ret, why);
	if (bad)
		filter__free(ret);
	return bad;
}

int filter__read_range(const struct target *target, const char *also, struct filter *ret,
		       struct complaint *why)
{
	int bad = 0;

	*ret = (struct filter){ .end_ns = UINT64_MAX, .limit = FILTER_LIMIT_DEFAULT };
	for (unsigned int i = 0; i < target->n_params && !bad; i++) {
		const char *key = target->params[i].key.at;
		bool taken = also && !strcmp(key, also);

		if (!taken)
			bad = *target->params[i].value.at ?
				      read_range(ret, key, target->params[i].value.at, why,
						 &taken) :
				      0;
		if (!bad && !taken && *target->params[i].value.at)
			bad = unknown(key, why, "known are start_unix_nano and end_unix_nano");
	}
	return bad ? bad : check_range(ret, why);
}

bool filter__matches(const struct filter *f, const struct row *row)
{
	return row->span.start_ns >= f->start_ns && row->span.start_ns <= f->end_ns &&
	       where__matches(f->where, row);
}

void filter__free(struct filter *f)
{
	where__free(f->where);
	f->where = NULL;
}
