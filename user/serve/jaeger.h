/* SPDX-License-Identifier: Apache-2.0 */
/* What the two files of Jaeger's API share. */
#ifndef SONDE_SERVE_JAEGER_H
#define SONDE_SERVE_JAEGER_H

#include "serve/api_impl.h"

enum jaeger_asked {
	JAEGER_SEARCH, /* what was found */
	JAEGER_ONE,    /* by its id: 404 where it is not there */
	JAEGER_IDS,    /* by their ids: those that are not there are said beside the others */
};

/* In place of what is in the answer. */
void jaeger__error(struct ask *ask, unsigned int status, const char *why);
/* The answer: these traces, with all of their spans. */
void jaeger__tell(struct ask *ask, const struct found_traces *found, enum jaeger_asked asked);

#endif
