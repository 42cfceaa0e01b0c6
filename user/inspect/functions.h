/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of TLS libraries that matter to a tracer, by the names that their symbols have. A
 * function's number says its library, too (functions__library()).
 */
#ifndef SONDE_INSPECT_FUNCTIONS_H
#define SONDE_INSPECT_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_library {
	TLS_NONE,
	TLS_OPENSSL, /* and what has its functions: BoringSSL, AWS-LC, LibreSSL */
	TLS_GNUTLS,
	TLS_GO,	    /* crypto/tls */
	TLS_RUSTLS, /* a copy for every type that it is used with */
	TLS_LIBRARY_COUNT,
};

/* In comments: what the function's C declaration has that a tracer reads. */
enum tls_function {
	TLS_FN_NONE,
	/* OpenSSL: ssl(3), SSL_read(3), SSL_write(3), SSL_read_early_data(3). Argument 1 is SSL *. */
	TLS_FN_SSL_READ,      /* (ssl, buf, int num): bytes, or <= 0 */
	TLS_FN_SSL_WRITE,     /* (ssl, buf, int num): bytes, or <= 0 */
	TLS_FN_SSL_READ_EX,   /* (ssl, buf, size_t num, size_t *readbytes): 1, or 0 */
	TLS_FN_SSL_WRITE_EX,  /* (ssl, buf, size_t num, size_t *written): 1, or 0 */
	TLS_FN_SSL_WRITE_EX2, /* 3.3: (ssl, buf, size_t num, uint64_t flags, size_t *written) */
	TLS_FN_SSL_PEEK,      /* as SSL_read: the same bytes come again */
	TLS_FN_SSL_PEEK_EX,   /* as SSL_read_ex */
	TLS_FN_SSL_READ_EARLY_DATA, /* (ssl, buf, size_t num, size_t *readbytes): 0 error, 1, 2 finish */
	TLS_FN_SSL_WRITE_EARLY_DATA, /* (ssl, buf, size_t num, size_t *written): 1, or 0 */
	TLS_FN_SSL_SENDFILE,	     /* (ssl, int fd, off_t, size_t, int flags): bytes, or < 0 */
	TLS_FN_SSL_DO_HANDSHAKE,     /* (ssl): 1 done; SSL_accept() and SSL_connect() call it */
	TLS_FN_SSL_SHUTDOWN,	     /* (ssl) */
	TLS_FN_SSL_FREE,	     /* (ssl); entry only */
	TLS_FN_SSL_SET_FD,	     /* (ssl, int fd); entry only */
	TLS_FN_SSL_SET_RFD,	     /* (ssl, int fd); entry only */
	TLS_FN_SSL_SET_WFD,	     /* (ssl, int fd); entry only */
	TLS_FN_SSL_SET_BIO,	     /* (ssl, BIO *rbio, BIO *wbio); entry only */
	/* GnuTLS 3: gnutls/gnutls.h. Argument 1 is gnutls_session_t. */
	TLS_FN_GNUTLS_RECORD_SEND,  /* (session, data, size_t): bytes, or < 0; data NULL: again */
	TLS_FN_GNUTLS_RECORD_SEND2, /* (session, data, size_t, size_t pad, unsigned flags) */
	TLS_FN_GNUTLS_RECORD_SEND_RANGE,      /* (session, data, size_t, const gnutls_range_st *) */
	TLS_FN_GNUTLS_RECORD_SEND_EARLY_DATA, /* (session, data, size_t): 0, or < 0 */
	TLS_FN_GNUTLS_RECORD_SEND_FILE, /* (session, int fd, off_t *, size_t): bytes, or < 0 */
	TLS_FN_GNUTLS_RECORD_RECV,	/* (session, data, size_t): bytes, or < 0 */
	TLS_FN_GNUTLS_RECORD_RECV_SEQ,	/* (session, data, size_t, unsigned char *seq): bytes */
	TLS_FN_GNUTLS_RECORD_RECV_EARLY_DATA, /* (session, data, size_t): bytes, or < 0 */
	TLS_FN_GNUTLS_RECORD_RECV_PACKET,     /* (session, gnutls_packet_t *): bytes, or < 0 */
	TLS_FN_GNUTLS_HANDSHAKE,	      /* (session): 0 done */
	TLS_FN_GNUTLS_BYE,		      /* (session, how) */
	TLS_FN_GNUTLS_DEINIT,		      /* (session); entry only */
	TLS_FN_GNUTLS_SET_INT2, /* gnutls_transport_set_int2(session, r, w); entry only */
	/* Go: crypto/tls; see struct inspect_go for where arguments are. */
	TLS_FN_GO_CONN_READ,	  /* (*Conn).Read(b []byte) (int, error) */
	TLS_FN_GO_CONN_WRITE,	  /* (*Conn).Write(b []byte) (int, error) */
	TLS_FN_GO_CONN_CLOSE,	  /* (*Conn).Close() error */
	TLS_FN_GO_CONN_HANDSHAKE, /* (*Conn).handshakeContext(ctx) error */
	/*
	 * rustls 0.21 to 0.23. A Result<usize, io::Error> comes back in two registers: 0 for Ok, then the
	 * number. A ConnectionCommon<_> holds its CommonState: two addresses of one connection, which lie
	 * equally far apart in all connections of a program that are of one type.
	 */
	TLS_FN_RUSTLS_WRITE,	      /* PlaintextSink::write(&mut ConnectionCommon<_>, ptr, len) */
	TLS_FN_RUSTLS_WRITE_VECTORED, /* PlaintextSink::write_vectored(…, &[IoSlice] as ptr, n) */
	/*
	 * CommonState::take_received_plaintext(&mut CommonState, Payload): what one record held, when it
	 * has been decrypted; every byte received comes by here once. Argument 2 points to three words, of
	 * which the second is the address of the bytes and the third their number. Entry only.
	 */
	TLS_FN_RUSTLS_TAKE_PLAINTEXT,
	TLS_FN_RUSTLS_READ, /* Reader::read(&mut Reader, ptr, len): the same bytes, copied out */
	TLS_FN_RUSTLS_CLOSE_NOTIFY, /* CommonState::send_close_notify(&mut CommonState); entry only */
	TLS_FN_COUNT,
};

enum tls_library functions__library(enum tls_function function);

/* The name of its symbol, without version: "SSL_read", "crypto/tls.(*Conn).Read"; never NULL. */
const char *functions__name(enum tls_function function);

/*
 * The function whose name a string ends with, and how much stands before it: it may be a symbol's name
 * from there on. TLS_FN_NONE: none. name need not be ended.
 */
enum tls_function functions__of_c_symbol(const char *name, size_t len, size_t *ret_skip);

/* By a mangled name (legacy "_ZN…", v0 "_R…"), whatever its hash and its types. TLS_FN_NONE: none. */
enum tls_function functions__of_rust_symbol(const char *name, size_t len);

/* How many of its arguments, from the first one on, are of use (C and Rust). */
unsigned int functions__arguments(enum tls_function function);

/* false: nothing is to be learned from its end, and its returns are not looked for. */
bool functions__has_returns(enum tls_function function);

#endif
