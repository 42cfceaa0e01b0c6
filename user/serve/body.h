/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of an answer. What is long is kept compressed until it is sent, so that a trace of a hundred
 * thousand spans, a hundred megabytes as JSON, takes some megabytes of memory while a slow client reads it.
 */
#ifndef SONDE_SERVE_BODY_H
#define SONDE_SERVE_BODY_H

#include "base/buf.h"

struct body;
/* NULL: no memory. */
struct body *body__new(void);
/* Where to append. Errors stay in it until body__length(). */
struct buf *body__text(struct body *body);
/* To be called between items: compresses what has gathered, where that is enough. */
void body__spill(struct body *body);
/* All that is in `from` goes behind what is in body; from is freed. */
void body__append(struct body *body, struct body *from);
/* So long as it is sent, or a negative errno: -ENOMEM, -EMSGSIZE. Nothing is appended any more. */
int64_t body__length(struct body *body);
/* The next bytes, from the front on, at most max: how many, 0 at the end, -1: damaged. */
long body__read(struct body *body, char *to, size_t max);
/* What is held by all bodies, compressed; to refuse more. */
size_t body__held(void);
/* NULL is fine. */
void body__free(struct body *body);

#endif
