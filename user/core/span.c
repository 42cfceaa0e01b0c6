// SPDX-License-Identifier: Apache-2.0
#include "core/span.h"

#include <string.h>

/*
 * What says which operation it was, where, and how it ended: required by the semantic conventions for
 * HTTP, or by whoever must know that a span is not whole.
 */
static bool is_required(uint16_t key)
{
	switch (key) {
	case ATTR_HTTP_REQUEST_METHOD:
	case ATTR_HTTP_RESPONSE_STATUS_CODE:
	case ATTR_HTTP_ROUTE:
	case ATTR_URL_FULL:
	case ATTR_URL_PATH:
	case ATTR_URL_SCHEME:
	case ATTR_SERVER_ADDRESS:
	case ATTR_SERVER_PORT:
	case ATTR_ERROR_TYPE:
	case ATTR_SONDE_INCOMPLETE:
	case ATTR_SONDE_FRAMING_AMBIGUOUS:
		return true;
	default:
		return false;
	}
}

void span__keep_required(struct span *span)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (is_required(span->attributes[i].key))
			span->attributes[n++] = span->attributes[i];
	span->dropped_attributes += span->n_attributes - n;
	span->n_attributes = n;
}

char *span__scratch(struct span *span, size_t n)
{
	char *at = span->scratch + span->scratch_used;

	if (n > sizeof(span->scratch) - span->scratch_used)
		return NULL;
	span->scratch_used += n;
	return at;
}

void span__set_custom(struct span *span, struct view prefix, struct view name, struct view value)
{
	size_t name_len = prefix.len + name.len;
	char *at =
		name_len + value.len < name_len ? NULL : span__scratch(span, name_len + value.len);
	struct attribute *a;

	if (!at) {
		span->dropped_attributes++;
		return;
	}
	a = span__next(span, ATTR_CUSTOM, VALUE_STRINGS);
	if (!a)
		return;
	memcpy(at, prefix.at, prefix.len);
	memcpy(at + prefix.len, name.at, name.len);
	memcpy(at + name_len, value.at, value.len);
	a->name = (struct view){ at, name_len };
	a->text = (struct view){ at + name_len, value.len };
}
