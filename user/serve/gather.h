/* SPDX-License-Identifier: Apache-2.0 */
/* The spans of one trace, under their resources and scopes, in the encoding of whoever asked. */
#ifndef SONDE_SERVE_GATHER_H
#define SONDE_SERVE_GATHER_H

#include "serve/api_impl.h"

struct gather_format {
	/* Appends a span. 0, or -EPROTO: nothing was appended. */
	int (*span)(struct buf *out, struct view message, bool first);
	/* Appends a resource with a scope and their spans, which are taken over. */
	void (*group)(struct body *out, struct view resource, struct view scope, struct body *spans,
		      bool first);
	const uint8_t *span_id; /* of 8 bytes: no other span is wanted; NULL: all are */
};

struct gathered {
	uint64_t spans;
	bool incomplete;
};

/* Behind what is in the answer. False: the answer is an error. */
bool gather__trace(struct ask *ask, const uint8_t id[16], const struct gather_format *format,
		   struct gathered *ret);

#endif
