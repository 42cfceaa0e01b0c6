/* SPDX-License-Identifier: Apache-2.0 */
/* The parsed form of --where: shared by where_parse.c and where.c only. */
#ifndef SONDE_SHIP_WHERE_PARSE_H
#define SONDE_SHIP_WHERE_PARSE_H

#include <regex.h>

#include "ship/console/where.h"

enum where_field {
	FIELD_SERVICE,
	FIELD_NAME,
	FIELD_KIND,
	FIELD_STATUS,
	FIELD_OUTCOME,
	FIELD_ERROR,
	FIELD_DURATION,
	FIELD_METHOD,
	FIELD_PATH,
	FIELD_QUERY,
	FIELD_PEER,
	FIELD_PORT,
	FIELD_TRACE,
	FIELD_SPAN,
	FIELD_PARENT,
	FIELD_ATTRIBUTE,
};

enum where_op {
	OP_THERE,
	OP_EQUAL,
	OP_UNEQUAL,
	OP_LESS,
	OP_LESS_EQUAL,
	OP_MORE,
	OP_MORE_EQUAL,
	OP_LIKE,
	OP_UNLIKE,
};

enum where_type { WHERE_AND, WHERE_OR, WHERE_NOT, WHERE_TERM };

struct where {
	enum where_type type;
	struct where *left, *right; /* NOT: left only */
	enum where_field field;
	enum where_op op;
	char *name; /* FIELD_ATTRIBUTE */
	char *text; /* the value as written; NULL for OP_THERE */
	bool is_number, has_regex;
	double number; /* durations in ns */
	regex_t regex;
};

#endif
