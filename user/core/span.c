// SPDX-License-Identifier: Apache-2.0
#include "core/span.h"

#include <string.h>

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
