/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a TLS handshake says in the clear: the first messages of both sides, from the bytes with which their
 * streams begin. RFC 8446 4.1.2, 4.1.3, 5.1; RFC 5246 7.4.1; RFC 6066 3 (server_name); RFC 7301 (ALPN).
 */
#ifndef SONDE_CORE_PROTO_TLS_HELLO_H
#define SONDE_CORE_PROTO_TLS_HELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of a stream's beginning, as much is looked at; a hello is rarely longer than 2 KiB. */
#define TLS_HELLO_MAX_BYTES 16384
#define TLS_NAME_MAX_BYTES 255 /* a DNS name: RFC 1035 2.3.4 */

/* As on the wire. 0: none that this knows. */
enum tls_version { TLS_1_0 = 0x0301, TLS_1_1 = 0x0302, TLS_1_2 = 0x0303, TLS_1_3 = 0x0304 };

struct tls_client_hello {
	uint8_t name_len; /* 0: the client names no server, or not in printable ASCII */
	char name[TLS_NAME_MAX_BYTES]; /* server_name; not terminated */
};

struct tls_server_hello {
	uint16_t version; /* negotiated; enum tls_version */
	uint16_t cipher;  /* IANA's number */
	uint8_t alpn_len; /* 0: none, or said encrypted, as in TLS 1.3 */
	char alpn[TLS_NAME_MAX_BYTES];
};

/* Whether these may be the first bytes of a stream that carries TLS; fewer than three never are. */
bool tls_hello__begins(const void *bytes, size_t n);

/*
 * 0: the hello is whole. -EAGAIN: the bytes end before it does; what was read up to there is in *ret. -EPROTO: this is
 * no such hello; *ret is empty. A server that asks for another hello (HelloRetryRequest) has said version and
 * cipher, too.
 */
int tls_hello__client(const void *bytes, size_t n, struct tls_client_hello *ret);
int tls_hello__server(const void *bytes, size_t n, struct tls_server_hello *ret);

/* IANA's name, as in tls.cipher; NULL: unknown. */
const char *tls_hello__cipher_name(uint16_t cipher);
/* "1.3", as in tls.protocol.version; NULL: unknown. */
const char *tls_hello__version_name(uint16_t version);

#endif
