/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies in gzip (RFC 1952) or zstd (RFC 8878), with working memory that is kept. */
#ifndef SONDE_SHIP_COMPRESS_H
#define SONDE_SHIP_COMPRESS_H

#include "base/buf.h"
#include "ship/ship.h"

struct compressor;
/* NULL: no memory. Not for SHIP_PLAIN. */
struct compressor *compressor__new(enum ship_compression how);
void compressor__free(struct compressor *compressor);
/* "gzip" or "zstd". */
const char *compressor__name(const struct compressor *compressor);
/* Appends the compressed form of in to out. 0, -ENOMEM or out->err. */
int compressor__run(struct compressor *compressor, struct view in, struct buf *out);

#endif
