// SPDX-License-Identifier: Apache-2.0
/*
 * The hellos of a TLS handshake: any bytes as either side's. What is said of a part of them, the whole says, too.
 * Input: a byte that says whose, the bytes.
 */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/proto/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void by_client(const uint8_t *bytes, size_t len)
{
	struct tls_client_hello whole, half;
	int err = tls_hello__client(bytes, len, &whole);

	if (err != -EPROTO && len && !tls_hello__begins(bytes, len) && len >= 3)
		abort();
	for (unsigned int i = 0; i < whole.name_len; i++)
		if (whole.name[i] <= ' ' || whole.name[i] > '~')
			abort();
	tls_hello__client(bytes, len / 2, &half);
	if (err != -EPROTO && half.name_len && !whole.name_len)
		abort();
}

static void by_server(const uint8_t *bytes, size_t len)
{
	struct tls_server_hello whole, half;
	int err = tls_hello__server(bytes, len, &whole);

	if (tls_hello__server(bytes, len / 2, &half) == 0 && err == 0 &&
	    half.cipher != whole.cipher)
		abort();
	tls_hello__cipher_name(whole.cipher);
	tls_hello__version_name(whole.version);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (!len)
		return 0;
	if (bytes[0] & 1)
		by_server(bytes + 1, len - 1);
	else
		by_client(bytes + 1, len - 1);
	return 0;
}
