/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terms: hashes of what a span can be found by, 48 bits each. An attribute of the span or its resource
 * is (name, value); what the search language calls by names of its own (service, path, ...) has a
 * name beginning with TERM_OWN. Numbers are hashed as doubles, as they are compared. Part of the
 * format: another hash is another version. Pure.
 */
#ifndef SONDE_SHIP_STORE_TERMS_H
#define SONDE_SHIP_STORE_TERMS_H

#include "ship/console/row.h"
#include "ship/store/posting.h"

#define TERM_BITS 48
/* Not a character that begins an attribute's name in the search language. */
#define TERM_SERVICE "\1service"
#define TERM_NAME "\1name"
#define TERM_KIND "\1kind"
#define TERM_OUTCOME "\1outcome" /* error, ok, unset */
#define TERM_METHOD "\1method"
#define TERM_STATUS "\1status"
#define TERM_PATH "\1path"
#define TERM_PEER "\1peer"
#define TERM_PORT "\1port"
#define TERM_TRACE "\1trace" /* 16 bytes */

uint64_t term__text(struct view name, struct view value);
uint64_t term__number(struct view name, double value);
/* The trace alone, 64 bits: for the lists of a segment's traces. */
uint64_t term__trace_hash(struct view trace_id);

/*
 * Appends the terms of a resource (as u64) to out: of its service, as row__service() has it, and of its attributes. 0, -ENOMEM,
 * -EPROTO after the last that could be read.
 */
int terms__resource(struct buf *out, struct view resource, struct view service);
/*
 * Reads a span, as row__read() does, and appends a pair for each of its terms but those of its resource. 0; -ENOMEM; -EPROTO: it
 * is none, and nothing is appended.
 */
int terms__span(struct pairs *pairs, struct view span, struct view resource, struct view service,
		unsigned int ordinal, struct row *ret_row);

#endif
