/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request asks for, from bytes of a stranger: the target (RFC 9112, 3.2.1: path and query), cut and
 * with its %XX decoded, and the header Host. Pure.
 */
#ifndef SONDE_SERVE_TARGET_H
#define SONDE_SERVE_TARGET_H

#include "base/buf.h"
#include "base/err.h"

#define TARGET_SEGMENTS_MAX 8
#define TARGET_PARAMS_MAX 64

struct target_param {
	struct view key, value;
};

struct target {
	struct view segments[TARGET_SEGMENTS_MAX]; /* "/a/b": two; "/": one, empty */
	unsigned int n_segments;
	struct target_param params[TARGET_PARAMS_MAX];
	unsigned int n_params;
};

/*
 * Decodes text in its place, which the views then borrow; each value is followed by a NUL and holds none.
 * '+' is a blank in the query. 0; -EINVAL with what is wrong in err: no path, a '%' that is no byte, a NUL, too many parts.
 */
int target__parse(char *text, struct target *ret, struct err *err);
/* The first of that name; NULL: there is none. */
const char *target__param(const struct target *target, const char *key);

/* The host of a header Host, without its port and brackets. False: it is none (RFC 9110, 7.2). */
bool host__parse(struct view text, struct view *ret_host);
/* localhost, names below it, 127.0.0.0/8 and ::1. */
bool host__is_loopback(struct view host);

#endif
