/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoded OTLP messages to OTLP JSON (opentelemetry-proto docs/specification.md, "JSON Protobuf
 * Encoding"): lowerCamelCase names, ids in hex, enums as integers, 64-bit integers as strings,
 * bytes in base64. Strings that are not UTF-8 get U+FFFD for each byte that cannot be read.
 *
 * Each function appends one JSON object. On -EPROTO nothing has been appended; what a full buffer
 * did is in out->err.
 */
#ifndef SONDE_CORE_OTLP_JSON_H
#define SONDE_CORE_OTLP_JSON_H

#include "base/buf.h"

int otlp_json__span(struct buf *out, struct view message);
int otlp_json__resource(struct buf *out, struct view message);
int otlp_json__scope(struct buf *out, struct view message);

/*
 * A span as a list, a quarter as long, for those who show very many: span id, parent's id ("": none), name, kind, status (the numbers
 * of OTLP), start in seconds and in nanoseconds of that second, duration in ns (negative where the end is before the
 * start), and where any of the n `attributes` is there an object with their values, those that are text, numbers without a point, or
 * true or false.
 */
int otlp_json__row(struct buf *out, struct view message, const struct view *attributes,
		   unsigned int n);

/*
 * Attributes (KeyValue, in one field of a message) as a list behind `name`; nothing where there are none, or they
 * are broken.
 */
void otlp_json__pairs(struct buf *out, const char *name, struct view message, uint32_t field);

/* A quoted JSON string, as valid UTF-8 whatever goes in. */
void otlp_json__string(struct buf *out, struct view text);
/* Bytes in base64 (RFC 4648 4), quoted. */
void otlp_json__base64(struct buf *out, struct view bytes);
/* A number, or what JSON has no number for, quoted: "NaN", "Infinity", "-Infinity". */
void otlp_json__double(struct buf *out, double d);

#endif
