// SPDX-License-Identifier: Apache-2.0
#include "core/span.h"

#include <string.h>

static struct attribute *next_attribute(struct span *span)
{
	if (span->n_attributes == SPAN_ATTRIBUTES_MAX) {
		span->dropped_attributes++;
		return NULL;
	}
	return &span->attributes[span->n_attributes++];
}

void span__set_string(struct span *span, enum attribute_key key, struct view value)
{
	struct attribute *a = next_attribute(span);

	if (a)
		*a = (struct attribute){ .key = (uint16_t)key,
					 .type = VALUE_STRING,
					 .text = value };
}

void span__set_int(struct span *span, enum attribute_key key, int64_t value)
{
	struct attribute *a = next_attribute(span);

	if (a)
		*a = (struct attribute){ .key = (uint16_t)key, .type = VALUE_INT, .number = value };
}

void span__set_bool(struct span *span, enum attribute_key key, bool value)
{
	struct attribute *a = next_attribute(span);

	if (a)
		*a = (struct attribute){ .key = (uint16_t)key,
					 .type = VALUE_BOOL,
					 .number = value };
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
	a = next_attribute(span);
	if (!a)
		return;
	memcpy(at, prefix.at, prefix.len);
	memcpy(at + prefix.len, name.at, name.len);
	memcpy(at + name_len, value.at, value.len);
	*a = (struct attribute){ .key = ATTR_CUSTOM,
				 .type = VALUE_STRINGS,
				 .name = { at, name_len },
				 .text = { at + name_len, value.len } };
}
