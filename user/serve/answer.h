/* SPDX-License-Identifier: Apache-2.0 */
/* What a request gets. */
#ifndef SONDE_SERVE_ANSWER_H
#define SONDE_SERVE_ANSWER_H

#include "serve/body.h"

#define TYPE_JSON "application/json"
#define TYPE_PROTOBUF "application/protobuf"
#define TYPE_TEXT "text/plain; charset=utf-8"

struct answer {
	unsigned int status;
	const char *type;
	struct body *body; /* the answer's; NULL: no memory */
};

/* Replaces what is there by {"error":{"what","why","do"}}; `why` may come from the request. */
void answer__error(struct answer *answer, unsigned int status, const char *what, const char *why,
		   const char *todo);

#endif
