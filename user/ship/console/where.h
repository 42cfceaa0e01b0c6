/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --where EXPR: which spans are shown.
 *
 *	service=nginx status>=500 duration>10ms path~/api
 *	kind=server and (error or not status=200)
 *
 * Terms side by side mean `and`. A term is FIELD OP VALUE, or a bare FIELD (it is there, and not
 * false or empty). Fields: service, name, kind, status (HTTP status, or error, ok, unset), error,
 * duration, method, path, query, peer, port, trace, span, parent; any other name is an attribute
 * of the span or its resource (.name for one whose name is a single word). OP: = != < <= > >= ~ !~ (POSIX extended regular expression).
 * Values: a word or 'a quoted "string"'; durations take ns, us, ms, s, m.
 */
#ifndef SONDE_SHIP_WHERE_H
#define SONDE_SHIP_WHERE_H

#include "base/err.h"
#include "ship/console/row.h"

struct where;
/* 0, -EINVAL with position and reason in err, -ENOMEM. */
int where__parse(const char *text, struct where **ret_where, struct err *err);
void where__free(struct where *where);
/* NULL matches everything. */
bool where__matches(const struct where *where, const struct row *row);

#endif
