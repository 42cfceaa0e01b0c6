/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of Tempo's API share. */
#ifndef SONDE_SERVE_TEMPO_H
#define SONDE_SERVE_TEMPO_H

#include "serve/api_impl.h"

/* In place of what is in the answer, in Tempo's words and types: its clients show the text. */
void tempo__error(struct ask *ask, unsigned int status, const char *why);
/* Lists, bytes and what has no value are not searched for. */
bool tempo__is_plain(const struct otlp_value *value);
/* A plain one: {"stringValue":"a"}. */
void tempo__value(struct buf *out, const struct otlp_value *value);

#endif
