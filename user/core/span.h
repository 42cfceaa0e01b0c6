/* SPDX-License-Identifier: Apache-2.0 */
/* A span in the making: a fixed array of attributes, nothing allocated, strings borrowed. */
#ifndef SONDE_CORE_SPAN_H
#define SONDE_CORE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "registry.h" /* generated: enum attribute, attribute_name[], link methods, error types */

#define SPAN_ATTRIBUTES_MAX 256
#define SPAN_SCRATCH_BYTES 8192

enum value_type {
	VALUE_STRING,
	VALUE_INT,
	VALUE_BOOL,
	VALUE_STRINGS, /* array of one string */
	VALUE_ENCODED, /* whole attributes, as they stand in a Span; key says nothing */
};

struct attribute {
	uint16_t key;	  /* enum attribute; ATTR_CUSTOM: name is in `name` */
	uint8_t type;	  /* enum value_type */
	struct view name; /* ATTR_CUSTOM only: http.request.header.<name> */
	struct view text; /* VALUE_STRING, VALUE_STRINGS, VALUE_ENCODED; else empty */
	int64_t number;	  /* VALUE_INT, VALUE_BOOL; else undefined */
};

struct span {
	struct view name;
	uint8_t kind;	/* OTLP SpanKind */
	uint8_t status; /* OTLP StatusCode */
	struct view status_message;
	struct attribute attributes[SPAN_ATTRIBUTES_MAX];
	unsigned int n_attributes, dropped_attributes;
	/* Room for strings that had to be made (addresses, redacted URLs); used from the front. */
	char scratch[SPAN_SCRATCH_BYTES];
	size_t scratch_used;
	/* What was said of connections before; NULL: nothing is kept. */
	struct said_table *said;
};

/* How far a span had got. */
struct span_mark {
	unsigned int n_attributes;
	size_t scratch_used;
};

static inline struct span_mark span__mark(const struct span *span)
{
	return (struct span_mark){ span->n_attributes, span->scratch_used };
}

struct describe_options {
	bool headers, query_values;
	const char *known_methods; /* comma-separated */
};

/* The next place in the array, with nothing in it but its key and type. NULL: it is full, and counted. */
static inline struct attribute *span__next(struct span *span, enum attribute_key key,
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

/* Where the array is full the attribute is counted in dropped_attributes. Views are borrowed. */
static inline void span__set_string(struct span *span, enum attribute_key key, struct view value)
{
	struct attribute *a = span__next(span, key, VALUE_STRING);

	if (a)
		a->text = value;
}

static inline void span__set_int(struct span *span, enum attribute_key key, int64_t value)
{
	struct attribute *a = span__next(span, key, VALUE_INT);

	if (a)
		a->number = value;
}

static inline void span__set_bool(struct span *span, enum attribute_key key, bool value)
{
	struct attribute *a = span__next(span, key, VALUE_BOOL);

	if (a)
		a->number = value;
}

/* bytes: encoded attributes, borrowed. */
static inline void span__set_encoded(struct span *span, struct view bytes)
{
	struct attribute *a = bytes.len ? span__next(span, ATTR_CUSTOM, VALUE_ENCODED) : NULL;

	if (a)
		a->text = bytes;
}

/* name and value are copied into scratch. */
void span__set_custom(struct span *span, struct view prefix, struct view name, struct view value);
/*
 * Takes out, and counts as dropped, what neither the semantic conventions require nor anybody needs
 * who must know that the span is not whole.
 */
void span__keep_required(struct span *span);
/* n bytes of scratch, or NULL when it is used up (the caller then leaves the attribute out). */
char *span__scratch(struct span *span, size_t n);

#endif
