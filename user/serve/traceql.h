/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How Tempo's clients ask: tags in logfmt, and of TraceQL sets of conditions on a span, { }: comparisons of fields and
 * attributes, && and ||, parentheses; sets joined by && (each met by some span of the trace) or by ||; select(). Pure.
 */
#ifndef SONDE_SERVE_TRACEQL_H
#define SONDE_SERVE_TRACEQL_H

#include "serve/filter.h"

#define TRACEQL_SETS_MAX 8
#define TRACEQL_NAMES_MAX 16

enum traceql_scope { TRACEQL_ANY, TRACEQL_SPAN, TRACEQL_RESOURCE, TRACEQL_INTRINSIC };

/* An attribute (of a span, its resource, or either), or what every span has: name, status, kind, duration, ... */
struct traceql_name {
	enum traceql_scope scope;
	struct view text; /* in its source, or constant; without its scope */
};

struct traceql {
	struct where *sets[TRACEQL_SETS_MAX]; /* each has to be met by a span of the trace */
	unsigned int n_sets;
	struct traceql_name
		names[TRACEQL_NAMES_MAX]; /* what is asked for, to be told of each span */
	unsigned int n_names;
	/* Of the whole trace; with an end; empty, 0: any. */
	struct buf root_service, root_name;
	uint64_t least_ns, most_ns;
};

/* 0, -ENOMEM, -EINVAL with what is wrong in err. The text has to outlive *ret. */
int traceql__parse(struct traceql *ret, const char *text, struct err *err);
void traceql__free(struct traceql *query);
/* resource.service.name, span.http.method, .region, name, span:kind, ...; what has none of these scopes is an attribute. */
struct traceql_name traceql__name(struct view text);
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
