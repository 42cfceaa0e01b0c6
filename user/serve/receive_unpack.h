/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies that were compressed on their way, from bytes of a stranger: never more than was allowed is unpacked. */
#ifndef SONDE_SERVE_RECEIVE_UNPACK_H
#define SONDE_SERVE_RECEIVE_UNPACK_H

#include "base/buf.h"

/*
 * packing: gzip, deflate (RFC 1950), zstd; identity or nothing leaves the body as it is. *ret is the body, or lies in
 * room. 0; -ENOTSUP: another packing; -EBADMSG: broken, or cut short; -EMSGSIZE: more than max bytes; -ENOMEM.
 */
int receive_unpack(struct view body, struct view packing, size_t max, struct buf *room,
		   struct view *ret);

#endif
