/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which services and operations a number of spans have, how many of each, and when: what the store keeps of
 * each segment, so that nobody has to read its spans for a list of names. Memory is bounded: of the operations
 * that are one too many only the numbers are known. Encoded, little-endian, with a checksum at the end:
 *
 *	u64 spans, oldest, newest, first, last; u32 crowded, u32 operations, and for each operation
 *	u64 spans, first, last; u32 kind, u16 bytes of the service's name, u16 of its own, and both
 *
 * Bytes may come from anybody. Pure.
 */
#ifndef SONDE_SHIP_STORE_DIGEST_H
#define SONDE_SHIP_STORE_DIGEST_H

#include "ship/console/row.h"

#define DIGEST_OPERATIONS_MAX 4096
/* Of all names together; one is cut. */
#define DIGEST_TEXT_MAX (256u << 10)
#define DIGEST_NAME_MAX 512

struct digest_operation {
	uint32_t service, name; /* offsets in text */
	uint16_t service_len, name_len;
	uint32_t kind; /* OTLP's, 0 for one that is not known */
	uint64_t spans;
	uint64_t first_ns, last_ns; /* when the first and the last of them began */
};

/* Zero-initialised is empty. */
struct digest {
	struct digest_operation *operations;
	unsigned int n, cap;
	uint16_t *slots; /* a hash table: index + 1 */
	struct buf text;
	uint64_t spans;
	uint64_t oldest_ns, newest_ns; /* begin of the first, end of the last; of none: 0 */
	uint64_t first_ns, last_ns;    /* begins */
	bool crowded;
};

/* 0 or -ENOMEM: it is not counted. */
int digest__add(struct digest *s, const struct row *row);
/* Replaces out. 0 or out->err. */
int digest__encode(const struct digest *s, struct buf *out);
/*
 * Adds what was encoded; *ret_first_ns and *ret_last_ns are its own. 0; -EPROTO: damaged, nothing was added;
 * -ENOMEM: some of it may have been.
 */
int digest__merge(struct digest *s, struct view bytes, uint64_t *ret_first_ns,
		  uint64_t *ret_last_ns);
struct view digest__service(const struct digest *s, const struct digest_operation *op);
struct view digest__name(const struct digest *s, const struct digest_operation *op);
/* Empty again; keeps the memory. */
void digest__clear(struct digest *s);
void digest__free(struct digest *s);

#endif
