// SPDX-License-Identifier: Apache-2.0
#include "inspect/functions.h"

struct function {
	const char *name;
	uint8_t library;
	bool returns;
};

static const struct function functions[TLS_FN_COUNT] = {
	[TLS_FN_NONE] = { "none", TLS_NONE, false },
	[TLS_FN_SSL_READ] = { "SSL_read", TLS_OPENSSL, true },
	[TLS_FN_SSL_WRITE] = { "SSL_write", TLS_OPENSSL, true },
	[TLS_FN_SSL_READ_EX] = { "SSL_read_ex", TLS_OPENSSL, true },
	[TLS_FN_SSL_WRITE_EX] = { "SSL_write_ex", TLS_OPENSSL, true },
	[TLS_FN_SSL_WRITE_EX2] = { "SSL_write_ex2", TLS_OPENSSL, true },
	[TLS_FN_SSL_PEEK] = { "SSL_peek", TLS_OPENSSL, true },
	[TLS_FN_SSL_PEEK_EX] = { "SSL_peek_ex", TLS_OPENSSL, true },
	[TLS_FN_SSL_READ_EARLY_DATA] = { "SSL_read_early_data", TLS_OPENSSL, true },
	[TLS_FN_SSL_WRITE_EARLY_DATA] = { "SSL_write_early_data", TLS_OPENSSL, true },
	[TLS_FN_SSL_SENDFILE] = { "SSL_sendfile", TLS_OPENSSL, true },
	[TLS_FN_SSL_DO_HANDSHAKE] = { "SSL_do_handshake", TLS_OPENSSL, true },
	[TLS_FN_SSL_SHUTDOWN] = { "SSL_shutdown", TLS_OPENSSL, true },
	[TLS_FN_SSL_FREE] = { "SSL_free", TLS_OPENSSL, false },
	[TLS_FN_SSL_SET_FD] = { "SSL_set_fd", TLS_OPENSSL, false },
	[TLS_FN_SSL_SET_RFD] = { "SSL_set_rfd", TLS_OPENSSL, false },
	[TLS_FN_SSL_SET_WFD] = { "SSL_set_wfd", TLS_OPENSSL, false },
	[TLS_FN_SSL_SET_BIO] = { "SSL_set_bio", TLS_OPENSSL, false },
	[TLS_FN_GNUTLS_RECORD_SEND] = { "gnutls_record_send", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_SEND2] = { "gnutls_record_send2", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_SEND_RANGE] = { "gnutls_record_send_range", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_SEND_EARLY_DATA] = { "gnutls_record_send_early_data", TLS_GNUTLS,
						   true },
	[TLS_FN_GNUTLS_RECORD_SEND_FILE] = { "gnutls_record_send_file", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_RECV] = { "gnutls_record_recv", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_RECV_SEQ] = { "gnutls_record_recv_seq", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_RECORD_RECV_EARLY_DATA] = { "gnutls_record_recv_early_data", TLS_GNUTLS,
						   true },
	[TLS_FN_GNUTLS_RECORD_RECV_PACKET] = { "gnutls_record_recv_packet", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_HANDSHAKE] = { "gnutls_handshake", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_BYE] = { "gnutls_bye", TLS_GNUTLS, true },
	[TLS_FN_GNUTLS_DEINIT] = { "gnutls_deinit", TLS_GNUTLS, false },
	[TLS_FN_GNUTLS_SET_INT2] = { "gnutls_transport_set_int2", TLS_GNUTLS, false },
	[TLS_FN_GO_CONN_READ] = { "crypto/tls.(*Conn).Read", TLS_GO, true },
	[TLS_FN_GO_CONN_WRITE] = { "crypto/tls.(*Conn).Write", TLS_GO, true },
	[TLS_FN_GO_CONN_CLOSE] = { "crypto/tls.(*Conn).Close", TLS_GO, true },
	[TLS_FN_GO_CONN_HANDSHAKE] = { "crypto/tls.(*Conn).handshakeContext", TLS_GO, true },
};

enum tls_library functions__library(enum tls_function function)
{
	return function < TLS_FN_COUNT ? functions[function].library : TLS_NONE;
}

const char *functions__name(enum tls_function function)
{
	return function < TLS_FN_COUNT ? functions[function].name : "none";
}

bool functions__has_returns(enum tls_function function)
{
	return function < TLS_FN_COUNT && functions[function].returns;
}
