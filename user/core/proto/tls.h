/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS as it is in the clear: what the two hellos say (RFC 8446 section 4.1, RFC 5246 section 7.4.1,
 * RFC 6066 section 3). What a connection carries is another connection, that a TLS library told of.
 */
#ifndef SONDE_CORE_PROTO_TLS_H
#define SONDE_CORE_PROTO_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/span.h"

struct conn;

/* What was agreed on. */
struct tls_info {
	uint16_t version; /* 0x0304: TLS 1.3; 0: not known */
	uint16_t cipher;  /* the suite's number; 0: not known */
	uint8_t name_len;
	char name[255]; /* the server's, as the client called it: printable ASCII */
};

/*
 * Adds what a hello says to *info. bytes: from the first byte of a direction on, as far as it is there.
 * 1: it is whole, or as much of it as is needed; 0: it may go on; -EPROTO: it is none.
 */
int tls__read_client_hello(struct view bytes, struct tls_info *info);
int tls__read_server_hello(struct view bytes, struct tls_info *info);

/* IANA's name of a cipher suite; NULL: not a known one. */
const char *tls__cipher_name(uint16_t cipher);

/* tls.* of a span; server.address, where nothing else says it. info may be NULL. */
void tls__describe(const struct tls_info *info, struct span *span);

/* What the connection's hellos said; NULL: nothing. The connection's. */
const struct tls_info *tls__info(const struct conn *conn);
/* Of a connection that goes. */
void tls__free(struct conn *conn);

#endif
