// SPDX-License-Identifier: Apache-2.0
#include "inspect/functions.h"

#include <string.h>

struct function {
	const char *name;
	uint8_t len, library;
	bool returns;
};
#define FUNCTION(name, library, returns)                                                           \
	{                                                                                          \
		name, sizeof(name) - 1, library, returns                                           \
	}

static const struct function functions[TLS_FN_COUNT] = {
	[TLS_FN_NONE] = FUNCTION("none", TLS_NONE, false),
	[TLS_FN_SSL_READ] = FUNCTION("SSL_read", TLS_OPENSSL, true),
	[TLS_FN_SSL_WRITE] = FUNCTION("SSL_write", TLS_OPENSSL, true),
	[TLS_FN_SSL_READ_EX] = FUNCTION("SSL_read_ex", TLS_OPENSSL, true),
	[TLS_FN_SSL_WRITE_EX] = FUNCTION("SSL_write_ex", TLS_OPENSSL, true),
	[TLS_FN_SSL_WRITE_EX2] = FUNCTION("SSL_write_ex2", TLS_OPENSSL, true),
	[TLS_FN_SSL_PEEK] = FUNCTION("SSL_peek", TLS_OPENSSL, true),
	[TLS_FN_SSL_PEEK_EX] = FUNCTION("SSL_peek_ex", TLS_OPENSSL, true),
	[TLS_FN_SSL_READ_EARLY_DATA] = FUNCTION("SSL_read_early_data", TLS_OPENSSL, true),
	[TLS_FN_SSL_WRITE_EARLY_DATA] = FUNCTION("SSL_write_early_data", TLS_OPENSSL, true),
	[TLS_FN_SSL_SENDFILE] = FUNCTION("SSL_sendfile", TLS_OPENSSL, true),
	[TLS_FN_SSL_DO_HANDSHAKE] = FUNCTION("SSL_do_handshake", TLS_OPENSSL, true),
	[TLS_FN_SSL_SHUTDOWN] = FUNCTION("SSL_shutdown", TLS_OPENSSL, true),
	[TLS_FN_SSL_FREE] = FUNCTION("SSL_free", TLS_OPENSSL, false),
	[TLS_FN_SSL_SET_FD] = FUNCTION("SSL_set_fd", TLS_OPENSSL, false),
	[TLS_FN_SSL_SET_RFD] = FUNCTION("SSL_set_rfd", TLS_OPENSSL, false),
	[TLS_FN_SSL_SET_WFD] = FUNCTION("SSL_set_wfd", TLS_OPENSSL, false),
	[TLS_FN_SSL_SET_BIO] = FUNCTION("SSL_set_bio", TLS_OPENSSL, false),
	[TLS_FN_GNUTLS_RECORD_SEND] = FUNCTION("gnutls_record_send", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_SEND2] = FUNCTION("gnutls_record_send2", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_SEND_RANGE] = FUNCTION("gnutls_record_send_range", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_SEND_EARLY_DATA] =
		FUNCTION("gnutls_record_send_early_data", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_SEND_FILE] = FUNCTION("gnutls_record_send_file", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_RECV] = FUNCTION("gnutls_record_recv", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_RECV_SEQ] = FUNCTION("gnutls_record_recv_seq", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_RECV_EARLY_DATA] =
		FUNCTION("gnutls_record_recv_early_data", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_RECORD_RECV_PACKET] =
		FUNCTION("gnutls_record_recv_packet", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_HANDSHAKE] = FUNCTION("gnutls_handshake", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_BYE] = FUNCTION("gnutls_bye", TLS_GNUTLS, true),
	[TLS_FN_GNUTLS_DEINIT] = FUNCTION("gnutls_deinit", TLS_GNUTLS, false),
	[TLS_FN_GNUTLS_SET_INT2] = FUNCTION("gnutls_transport_set_int2", TLS_GNUTLS, false),
	[TLS_FN_GO_CONN_READ] = FUNCTION("crypto/tls.(*Conn).Read", TLS_GO, true),
	[TLS_FN_GO_CONN_WRITE] = FUNCTION("crypto/tls.(*Conn).Write", TLS_GO, true),
	[TLS_FN_GO_CONN_CLOSE] = FUNCTION("crypto/tls.(*Conn).Close", TLS_GO, true),
	[TLS_FN_GO_CONN_HANDSHAKE] = FUNCTION("crypto/tls.(*Conn).handshakeContext", TLS_GO, true),
	[TLS_FN_RUSTLS_WRITE] = FUNCTION("rustls PlaintextSink::write", TLS_RUSTLS, true),
	[TLS_FN_RUSTLS_WRITE_VECTORED] =
		FUNCTION("rustls PlaintextSink::write_vectored", TLS_RUSTLS, true),
	[TLS_FN_RUSTLS_TAKE_PLAINTEXT] =
		FUNCTION("rustls CommonState::take_received_plaintext", TLS_RUSTLS, false),
	[TLS_FN_RUSTLS_READ] = FUNCTION("rustls Reader::read", TLS_RUSTLS, true),
	[TLS_FN_RUSTLS_CLOSE_NOTIFY] =
		FUNCTION("rustls CommonState::send_close_notify", TLS_RUSTLS, false),
};

/*
 * What stands in the mangled names, in this order, the last at the end (but for the hash of a legacy
 * name, "17h" and 16 digits, and "E"). These functions are reached through a table of a trait's
 * functions, or are of one kind for all types: compilers leave them whole.
 */
struct rust_name {
	uint16_t function;
	bool v0;
	const char *parts[4];
};

static const struct rust_name rust_names[] = {
	{ TLS_FN_RUSTLS_WRITE, false, { "rustls..conn..", "..PlaintextSink$GT$", "5write" } },
	{ TLS_FN_RUSTLS_WRITE_VECTORED,
	  false,
	  { "rustls..conn..", "..PlaintextSink$GT$", "14write_vectored" } },
	{ TLS_FN_RUSTLS_READ,
	  false,
	  { "rustls..conn..", "Reader$u20$as$u20$std..io..Read$GT$", "4read" } },
	{ TLS_FN_RUSTLS_TAKE_PLAINTEXT,
	  false,
	  { "6rustls12common_state11CommonState", "23take_received_plaintext" } },
	{ TLS_FN_RUSTLS_CLOSE_NOTIFY,
	  false,
	  { "6rustls12common_state11CommonState", "17send_close_notify" } },
	{ TLS_FN_RUSTLS_TAKE_PLAINTEXT,
	  true,
	  { "6rustls12common_state", "11CommonState", "23take_received_plaintext" } },
	{ TLS_FN_RUSTLS_CLOSE_NOTIFY,
	  true,
	  { "6rustls12common_state", "11CommonState", "17send_close_notify" } },
	{ TLS_FN_RUSTLS_WRITE, true, { "6rustls4conn", "13PlaintextSink", "5write" } },
	{ TLS_FN_RUSTLS_WRITE_VECTORED,
	  true,
	  { "6rustls4conn", "13PlaintextSink", "14write_vectored" } },
	{ TLS_FN_RUSTLS_READ, true, { "6rustls4conn", "6Reader", "2io4Read", "4read" } },
};

enum tls_library functions__library(enum tls_function function)
{
	return function < TLS_FN_COUNT ? functions[function].library : TLS_NONE;
}

const char *functions__name(enum tls_function function)
{
	return function < TLS_FN_COUNT ? functions[function].name : "none";
}

unsigned int functions__arguments(enum tls_function function)
{
	switch (function) {
	case TLS_FN_SSL_DO_HANDSHAKE:
	case TLS_FN_SSL_SHUTDOWN:
	case TLS_FN_SSL_FREE:
	case TLS_FN_GNUTLS_HANDSHAKE:
	case TLS_FN_GNUTLS_BYE:
	case TLS_FN_GNUTLS_DEINIT:
	case TLS_FN_RUSTLS_CLOSE_NOTIFY:
		return 1;
	case TLS_FN_SSL_READ_EX:
	case TLS_FN_SSL_WRITE_EX:
	case TLS_FN_SSL_PEEK_EX:
	case TLS_FN_SSL_READ_EARLY_DATA:
	case TLS_FN_SSL_WRITE_EARLY_DATA:
	case TLS_FN_SSL_SENDFILE:
	case TLS_FN_GNUTLS_RECORD_SEND_FILE:
		return 4;
	case TLS_FN_SSL_WRITE_EX2:
		return 5;
	default:
		return 3;
	}
}

#define LEGACY_HASH_BYTES 20 /* "17h", 16 digits, "E" */

static bool is_rust_name(const char *at, size_t len, const struct rust_name *name)
{
	size_t part = 0, n;

	for (; part < 3 && name->parts[part + 1]; part++) {
		const char *found = memmem(at, len, name->parts[part], strlen(name->parts[part]));

		if (!found)
			return false;
		found += strlen(name->parts[part]);
		len -= (size_t)(found - at);
		at = found;
	}
	n = strlen(name->parts[part]);
	return len >= n && !memcmp(at + len - n, name->parts[part], n);
}

enum tls_function functions__of_rust_symbol(const char *name, size_t len)
{
	const char *dot;
	bool v0;

	if (len <= LEGACY_HASH_BYTES || name[0] != '_' ||
	    (name[1] != 'R' && (name[1] != 'Z' || name[2] != 'N')))
		return TLS_FN_NONE;
	v0 = name[1] == 'R';
	/* what LLVM adds to names that it made its own: ".llvm.123" */
	dot = memmem(name, len, ".llvm.", 6);
	if (dot)
		len = (size_t)(dot - name);
	if (!v0) {
		/* also what tells them from names of C++ */
		if (len <= LEGACY_HASH_BYTES || memcmp(name + len - LEGACY_HASH_BYTES, "17h", 3))
			return TLS_FN_NONE;
		len -= LEGACY_HASH_BYTES;
	}
	for (size_t i = 0; i < sizeof(rust_names) / sizeof(rust_names[0]); i++)
		if (rust_names[i].v0 == v0 && is_rust_name(name, len, &rust_names[i]))
			return rust_names[i].function;
	return TLS_FN_NONE;
}

enum tls_function functions__of_c_symbol(const char *name, size_t len, size_t *ret_skip)
{
	for (int i = TLS_FN_SSL_READ; i < TLS_FN_GO_CONN_READ; i++) {
		size_t n = functions[i].len;

		if (len < n || name[len - 1] != functions[i].name[n - 1] ||
		    memcmp(name + len - n, functions[i].name, n))
			continue;
		*ret_skip = len - n;
		return (enum tls_function)i;
	}
	return TLS_FN_NONE;
}

bool functions__has_returns(enum tls_function function)
{
	return function < TLS_FN_COUNT && functions[function].returns;
}
