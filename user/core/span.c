// SPDX-License-Identifier: Apache-2.0
#include "core/span.h"

#include <string.h>

/* The next place in the array, with nothing in it but its key and type. */
static struct attribute *next_attribute(struct span *span, enum attribute_key key,
					enum value_type type)
{
	struct attribute *a = &span->attributes[span->n_attributes];

	if (span->n_attributes == SPAN_ATTRIBUTES_MAX) {
		span->dropped_attributes++;
		return NULL;
	}
	span->n_attributes++;
	a->key = (uint16_t)key;
	a->type = (uint8_t)type;
	a->text.len = 0;
	return a;
}

void span__set_string(struct span *span, enum attribute_key key, struct view value)
{
	struct attribute *a = next_attribute(span, key, VALUE_STRING);

	if (a)
		a->text = value;
}

void span__set_int(struct span *span, enum attribute_key key, int64_t value)
{
	struct attribute *a = next_attribute(span, key, VALUE_INT);

	if (a)
		a->number = value;
}

void span__set_bool(struct span *span, enum attribute_key key, bool value)
{
	struct attribute *a = next_attribute(span, key, VALUE_BOOL);

	if (a)
		a->number = value;
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
	a = next_attribute(span, ATTR_CUSTOM, VALUE_STRINGS);
	if (!a)
		return;
	memcpy(at, prefix.at, prefix.len);
	memcpy(at + prefix.len, name.at, name.len);
	memcpy(at + name_len, value.at, value.len);
	a->name = (struct view){ at, name_len };
	a->text = (struct view){ at + name_len, value.len };
}
