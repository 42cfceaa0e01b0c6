// SPDX-License-Identifier: Apache-2.0
#include "ship/console/where.h"

#include <errno.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "ship/console/where_parse.h"

#define REGEX_BYTES_MAX 4096

/* What a term is compared with, taken from a span. */
struct operand {
	enum { NOTHING, TEXT, NUMBER } type;
	struct view text;
	double number;
};

static struct operand text_of(struct view v)
{
	return (struct operand){ .type = v.len ? TEXT : NOTHING, .text = v };
}

static struct operand number_of(double n, bool there)
{
	return (struct operand){ .type = there ? NUMBER : NOTHING, .number = n };
}

static struct operand hex_of(struct view id, char *space)
{
	static const char hex[] = "0123456789abcdef";

	for (size_t i = 0; i < id.len; i++) {
		space[2 * i] = hex[(uint8_t)id.at[i] >> 4];
		space[2 * i + 1] = hex[(uint8_t)id.at[i] & 15];
	}
	return text_of((struct view){ space, 2 * id.len });
}

static struct operand value_of(const struct otlp_value *value)
{
	switch (value->type) {
	case OTLP_STRING:
		return text_of(value->bytes);
	case OTLP_INT:
		return number_of((double)value->number, true);
	case OTLP_DOUBLE:
		return number_of(value->real, true);
	case OTLP_BOOL:
		return text_of(value->number ? VIEW("true") : VIEW("false"));
	default:
		return (struct operand){ .type = NOTHING };
	}
}

static struct operand attribute_of(const struct row *row, struct view name)
{
	struct otlp_value value;

	if (otlp_attributes__find(row->span.message, OTLP_SPAN_ATTRIBUTES, name, &value) ||
	    otlp_attributes__find(row->resource, OTLP_RESOURCE_ATTRIBUTES, name, &value))
		return value_of(&value);
	return (struct operand){ .type = NOTHING };
}

static struct operand field_of(const struct row *row, const struct where *term, char space[32])
{
	switch (term->field) {
	case FIELD_SERVICE:
		return text_of(row->service);
	case FIELD_NAME:
		return text_of(row->span.name);
	case FIELD_KIND:
		return text_of(view_of(row__kind(row)));
	case FIELD_STATUS:
		return number_of((double)row->status, row->status > 0);
	case FIELD_OUTCOME:
		return text_of(row->span.status == 2 ? VIEW("error") :
			       row->span.status == 1 ? VIEW("ok") :
						       VIEW("unset"));
	case FIELD_ERROR:
		return text_of(row__failed(row) ? VIEW("true") : VIEW("false"));
	case FIELD_DURATION:
		return number_of((double)row->duration_ns, true);
	case FIELD_METHOD:
		return text_of(row->method);
	case FIELD_PATH:
		return text_of(row->path);
	case FIELD_QUERY:
		return text_of(row->query);
	case FIELD_PEER:
		return text_of(row->peer);
	case FIELD_PORT:
		return number_of((double)row->peer_port, row->peer_port > 0);
	case FIELD_TRACE:
		return hex_of(row->span.trace_id, space);
	case FIELD_SPAN:
		return hex_of(row->span.span_id, space);
	case FIELD_PARENT:
		return hex_of(row->span.parent_id, space);
	case FIELD_ATTRIBUTE:
		return attribute_of(row, view_of(term->name));
	}
	return (struct operand){ .type = NOTHING };
}

/* A copy of the beginning: regexec() wants an end, and a stranger's text shall not cost much. */
static bool regex_matches(const struct where *term, struct view text)
{
	char copy[REGEX_BYTES_MAX + 1];
	size_t n = text.len < REGEX_BYTES_MAX ? text.len : REGEX_BYTES_MAX;

	memcpy(copy, text.at, n);
	copy[n] = 0;
	return !regexec(&term->regex, copy, 0, NULL, 0);
}

/* <0, 0, >0; text is compared as a number where both are. */
static int order(const struct where *term, const struct operand *left)
{
	struct view right = view_of(term->text);
	size_t least;
	int ret;

	if (left->type == NUMBER && term->is_number)
		return left->number < term->number ? -1 : left->number > term->number;
	if (left->type == NUMBER)
		return 1; /* a number is never equal to a word */
	least = left->text.len < right.len ? left->text.len : right.len;
	ret = memcmp(left->text.at, right.at, least);
	if (ret)
		return ret;
	return left->text.len < right.len ? -1 : left->text.len > right.len;
}

/* A field that is not there is unlike everything. */
static bool term_matches(const struct where *term, const struct row *row)
{
	char space[32];
	struct operand left = field_of(row, term, space);

	if (left.type == NOTHING)
		return term->op == OP_UNEQUAL || term->op == OP_UNLIKE;
	switch (term->op) {
	case OP_THERE:
		return left.type == NUMBER || !view_eq(left.text, VIEW("false"));
	case OP_EQUAL:
		return !order(term, &left);
	case OP_UNEQUAL:
		return order(term, &left) != 0;
	case OP_LESS:
		return order(term, &left) < 0;
	case OP_LESS_EQUAL:
		return order(term, &left) <= 0;
	case OP_MORE:
		return order(term, &left) > 0;
	case OP_MORE_EQUAL:
		return order(term, &left) >= 0;
	case OP_LIKE:
		return left.type == TEXT && regex_matches(term, left.text);
	case OP_UNLIKE:
		return left.type != TEXT || !regex_matches(term, left.text);
	}
	return false;
}

bool where__matches(const struct where *where, const struct row *row)
{
	if (!where)
		return true;
	switch (where->type) {
	case WHERE_AND:
		return where__matches(where->left, row) && where__matches(where->right, row);
	case WHERE_OR:
		return where__matches(where->left, row) || where__matches(where->right, row);
	case WHERE_NOT:
		return !where__matches(where->left, row);
	case WHERE_TERM:
		break;
	}
	return term_matches(where, row);
}

void where__free(struct where *where)
{
	if (!where)
		return;
	where__free(where->left);
	where__free(where->right);
	free(where->name);
	free(where->text);
	if (where->has_regex)
		regfree(&where->regex);
	free(where);
}
