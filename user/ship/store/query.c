// SPDX-License-Identifier: Apache-2.0
#include "ship/store/query.h"

#include "ship/console/where_parse.h"
#include "ship/store/terms.h"

/* A comparison has at most two terms: 200 as a number and as a text. */
#define TERMS_MAX 2

static void set_all(struct ordinals *set)
{
	memset(set, 0xff, sizeof(*set));
}

static const char *own_name(enum where_field field)
{
	switch (field) {
	case FIELD_SERVICE:
		return TERM_SERVICE;
	case FIELD_NAME:
		return TERM_NAME;
	case FIELD_KIND:
		return TERM_KIND;
	case FIELD_OUTCOME:
		return TERM_OUTCOME;
	case FIELD_METHOD:
		return TERM_METHOD;
	case FIELD_STATUS:
		return TERM_STATUS;
	case FIELD_PATH:
		return TERM_PATH;
	case FIELD_PEER:
		return TERM_PEER;
	case FIELD_PORT:
		return TERM_PORT;
	default:
		return NULL;
	}
}

static bool hex_digit(char c, uint8_t *ret)
{
	if (c >= '0' && c <= '9')
		*ret = (uint8_t)(c - '0');
	else if (c >= 'a' && c <= 'f')
		*ret = (uint8_t)(c - 'a' + 10);
	else
		return false;
	return true;
}

/* As hex_of() of the search language writes it: in small letters. */
static bool trace_term(const char *text, uint64_t *ret)
{
	uint8_t id[16], high, low;

	if (strlen(text) != 2 * sizeof(id))
		return false;
	for (size_t i = 0; i < sizeof(id); i++) {
		if (!hex_digit(text[2 * i], &high) || !hex_digit(text[2 * i + 1], &low))
			return false;
		id[i] = (uint8_t)(high << 4 | low);
	}
	*ret = term__text(VIEW(TERM_TRACE), (struct view){ (const char *)id, sizeof(id) });
	return true;
}

/* The terms that a span has one of if it matches; 0: there are none, it has to be looked at. */
static unsigned int terms_of(const struct where *where, uint64_t terms[TERMS_MAX])
{
	const char *own = own_name(where->field);
	struct view name = view_of(own ? own : where->name);
	unsigned int n = 0;

	if (where->field == FIELD_ERROR &&
	    (where->op == OP_THERE || (where->op == OP_EQUAL && !strcmp(where->text, "true")))) {
		terms[0] = term__text(VIEW(TERM_OUTCOME), VIEW("error"));
		return 1;
	}
	if (where->op != OP_EQUAL)
		return 0;
	if (where->field == FIELD_TRACE)
		return trace_term(where->text, terms);
	if (!own && where->field != FIELD_ATTRIBUTE)
		return 0;
	if (*where->text)
		terms[n++] = term__text(name, view_of(where->text));
	if (where->is_number)
		terms[n++] = term__number(name, where->number);
	return n;
}

/* What two values may have in common is a hash: what is negated takes nothing away without a look. */
static void postings_of(const struct where *where, const struct query_source *source, bool inverted,
			struct ordinals *ret)
{
	uint64_t terms[TERMS_MAX];
	unsigned int n = inverted ? 0 : terms_of(where, terms);

	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < n; i++)
		if (source->postings(source->arg, terms[i], ret))
			n = 0;
	if (!n)
		set_all(ret);
}

static void candidates(const struct where *where, const struct query_source *source, bool inverted,
		       struct ordinals *ret)
{
	struct ordinals right;

	if (where->type == WHERE_TERM) {
		postings_of(where, source, inverted, ret);
		return;
	}
	if (where->type == WHERE_NOT) {
		candidates(where->left, source, !inverted, ret);
		return;
	}
	candidates(where->left, source, inverted, ret);
	candidates(where->right, source, inverted, &right);
	/* not (a and b): not a or not b */
	for (size_t i = 0; i < STORE_GROUP_ORDINALS / 64; i++)
		ret->bits[i] = (where->type == WHERE_AND) != inverted ?
				       ret->bits[i] & right.bits[i] :
				       ret->bits[i] | right.bits[i];
}

void query__candidates(const struct where *where, const struct query_source *source,
		       struct ordinals *ret)
{
	if (where)
		candidates(where, source, false, ret);
	else
		set_all(ret);
}
