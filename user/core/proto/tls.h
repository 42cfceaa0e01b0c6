/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that speaks TLS: what its two hellos say (tls_hello.h) is kept for what it carries, which is
 * another connection, that a TLS library told of. Nothing else of it is read.
 */
#ifndef SONDE_CORE_PROTO_TLS_H
#define SONDE_CORE_PROTO_TLS_H

#include <stdint.h>

#include "core/span.h"

struct conn;

/* What was agreed on. */
struct tls_info {
	uint16_t version; /* 0x0304: TLS 1.3; 0: not known */
	uint16_t cipher;  /* the suite's number; 0: not known */
	uint8_t name_len, protocol_len;
	char name[255];	    /* the server's, as the client called it: printable ASCII */
	char protocol[255]; /* that ALPN chose; TLS 1.3 does not tell */
};

/* tls.* of a span; server.address, where nothing else says it. */
void tls__describe(const struct tls_info *info, struct span *span);

/* What the connection's hellos said; NULL: it is none that speaks TLS. The connection's. */
const struct tls_info *tls__info(const struct conn *conn);
/* Of a connection that goes. */
void tls__free(struct conn *conn);

#endif
