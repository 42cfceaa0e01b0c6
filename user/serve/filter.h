/* SPDX-License-Identifier: Apache-2.0 */
/* From the parameters of a search to what a span is compared with. Pure. */
#ifndef SONDE_SERVE_FILTER_H
#define SONDE_SERVE_FILTER_H

#include "serve/target.h"
#include "ship/console/where.h"

#define FILTER_LIMIT_DEFAULT 20
#define FILTER_LIMIT_MAX 200

struct filter {
	struct where *where;	   /* NULL: all */
	uint64_t start_ns, end_ns; /* a span that begins within; 0 and UINT64_MAX: no bound */
	unsigned int limit;	   /* of traces */
	/* NULL, or what ask__find() asks of a span that matches all the above. */
	bool (*also)(void *arg, const struct row *row, struct view scope);
	void *also_arg;
};

/* What is wrong with a parameter. */
struct complaint {
	char what[160], why[640], todo[256];
};

/*
 * service, operation, kind, status, min_duration_nano, max_duration_nano, attr=NAME=VALUE (any number), q (the search
 * language), start_unix_nano, end_unix_nano, limit; others are wrong. 0; -EINVAL with the complaint; -ENOMEM.
 */
int filter__read(const struct target *target, struct filter *ret, struct complaint *why);
/* start_unix_nano and end_unix_nano, and `also` (may be NULL), and no other. As above. */
int filter__read_range(const struct target *target, const char *also, struct filter *ret,
		       struct complaint *why);
bool filter__matches(const struct filter *filter, const struct row *row);
void filter__free(struct filter *filter);

/* For the APIs of others. Each adds a term that has to hold too; 0, -ENOMEM, -EINVAL: err says why. */
int filter__add_text(struct filter *filter, const char *field, const char *value);
int filter__add_attribute(struct filter *filter, struct view name, const char *value);
int filter__add_duration(struct filter *filter, bool least, uint64_t ns);
/* The search language, but for what may take for ever. 0, -ENOMEM, -EINVAL with err. */
int filter__parse_where(const char *text, struct where **ret, struct err *err);
/* NULL is no expression. */
int filter__add_where(struct filter *filter, struct where *where);
/* A decimal number, nothing else. */
bool filter__number(const char *text, uint64_t *ret);
/* 32 hexadecimal digits (fewer: leading zeros, where `shorter`) to 16 bytes. */
bool filter__trace_id(struct view text, bool shorter, uint8_t ret[16]);
/* Spans of these traces: only where to look, by their terms. NULL: no memory. */
struct where *filter__traces(const uint8_t (*ids)[16], unsigned int n);

#endif
