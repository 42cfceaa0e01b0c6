/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Tempo's clients ask: tags in logfmt, and of TraceQL one set of conditions on a span: { }, comparisons
 * of fields and attributes, && and ||, parentheses. Pure.
 */
#ifndef SONDE_SERVE_TRACEQL_H
#define SONDE_SERVE_TRACEQL_H

#include "serve/filter.h"

/* 0, -ENOMEM, -EINVAL with what is wrong in err. */
int traceql__parse(struct filter *filter, const char *text, struct err *err);
/* service.name=shop http.route="/users/{id}" */
int traceql__tags(struct filter *filter, const char *text, struct err *err);
/* The same, tag by tag; an error of each is answered. */
int traceql__each_tag(const char *text, int (*each)(void *arg, struct view name, const char *value),
		      void *arg, struct err *err);
/* A span that has this tag: what Tempo calls by names of its own (name, status.code, ...) is looked up as that. */
int traceql__add_tag(struct filter *filter, struct view name, const char *value);
/* 100ms, 1.5s, 2m; as Go writes them. */
bool traceql__duration(const char *text, uint64_t *ret_ns);

#endif
