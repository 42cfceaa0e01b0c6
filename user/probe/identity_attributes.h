/* SPDX-License-Identifier: Apache-2.0 */
/* Resource attributes in the making, encoded as in struct message_process (core/message.h). */
#ifndef SONDE_PROBE_IDENTITY_ATTRIBUTES_H
#define SONDE_PROBE_IDENTITY_ATTRIBUTES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define ATTRIBUTES_MAX 128 /* attributes of one process */
#define ATTRIBUTE_KEY_MAX_BYTES 256
#define ATTRIBUTE_VALUE_MAX_BYTES 4096
/* What a process says of itself leaves room for what is said of it, in one packet to trace. */
#define ATTRIBUTES_OWN_MAX 96
#define ATTRIBUTES_OWN_MAX_BYTES (32 * 1024)

/* Zero-initialised is empty; buf__free(&attributes.bytes) in the end. */
struct attributes {
	struct buf bytes;
	uint32_t n;
};

/*
 * Sets a string attribute; one of the same key is replaced. Key and value may be any bytes: what is
 * not UTF-8, and control characters, become U+FFFD; what is too long is cut between characters. An
 * empty key or value, and attributes past the limit, are left out.
 */
void attributes__set(struct attributes *attributes, struct view key, struct view value);
void attributes__set_int(struct attributes *attributes, struct view key, int64_t value);
bool attributes__has(const struct attributes *attributes, struct view key);
/* The value of a string attribute; borrowed until the next change. */
bool attributes__get(const struct attributes *attributes, struct view key, struct view *ret);

/*
 * The content of OTEL_RESOURCE_ATTRIBUTES, key=value separated by commas, percent-encoded (W3C
 * Baggage without properties; specification, "Resource SDK"). A decode error discards all of it:
 * -EPROTO, and nothing is set. Keys of telemetry.* and process.* are not the user's to set: skipped.
 * What is more than ATTRIBUTES_OWN_MAX, or their bytes, is left out.
 */
int attributes__parse(struct attributes *attributes, struct view text);

#endif
