/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP API (docs/api.yaml) over a store: from a request's target to its answer. Reads files, nothing else. */
#ifndef SONDE_SERVE_API_H
#define SONDE_SERVE_API_H

#include "serve/answer.h"
#include "serve/target.h"
#include "supervise/live.h"

struct api;
/* folder is borrowed. NULL: no memory. */
struct api *api__new(const char *folder);
/* Does the API answer what begins so, and not the page? */
bool api__has(struct view first);
/* protobuf: the client takes that. *ret is filled in any case; its body is the caller's. */
void api__ask(struct api *api, const struct target *target, bool protobuf, struct answer *ret);
/*
 * The account of the run beside it: live is read (borrowed), control asked for a newer one. Without: there is none,
 * and it is said why.
 */
void api__give_account(struct api *api, const struct live *live, int control);
/* A slice of what is to be done while nobody asks. True: there is more. */
bool api__work(struct api *api);
/* NULL is fine. */
void api__free(struct api *api);

#endif
