/* SPDX-License-Identifier: Apache-2.0 */
/* An error that a person will read, carried up beside the negative errno. */
#ifndef SONDE_BASE_ERR_H
#define SONDE_BASE_ERR_H

/* "what failed, on what: why; what to do". Empty until set. */
struct err {
	char text[1024];
};

/* Formats into err (which may be NULL) and returns code, so that `return err__set(err, -EINVAL, …)` reads well. */
int err__set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
