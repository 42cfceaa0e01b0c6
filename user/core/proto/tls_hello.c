// SPDX-License-Identifier: Apache-2.0
#include "core/proto/tls_hello.h"

#include <errno.h>
#include <string.h>

#define RECORD_HEAD_BYTES 5
#define RECORD_MAX_BYTES (16384 + 256) /* RFC 8446 5.2; a plaintext one is shorter still */
#define TYPE_HANDSHAKE 22
#define MESSAGE_HEAD_BYTES 4
#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define RANDOM_BYTES 32
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define EXTENSION_SUPPORTED_VERSIONS 43
#define NAME_IS_HOST 0

/* What is left of a message, or of a part of it. Reading past its end gives zeros, and is noted. */
struct cursor {
	const uint8_t *at, *end;
	bool over;
};

static const uint8_t *take(struct cursor *c, size_t n)
{
	const uint8_t *at = c->at;

	if ((size_t)(c->end - c->at) < n) {
		c->over = true;
		c->at = c->end;
		return NULL;
	}
	c->at += n;
	return at;
}

static unsigned int number(struct cursor *c, unsigned int bytes)
{
	const uint8_t *at = take(c, bytes);
	unsigned int n = 0;

	for (unsigned int i = 0; at && i < bytes; i++)
		n = n << 8 | at[i];
	return n;
}

/* A part that says its length in so many bytes; what there is of it, where that is less. */
static struct cursor part(struct cursor *c, unsigned int length_bytes)
{
	size_t n = number(c, length_bytes), left = (size_t)(c->end - c->at);
	struct cursor inner = { c->at, c->at + (n < left ? n : left), n > left };

	take(c, n);
	return inner;
}

bool tls_hello__begins(const void *bytes, size_t n)
{
	const uint8_t *b = bytes;

	/* a length that a record may have, and the first message's type, as far as they are there */
	return n >= 3 && b[0] == TYPE_HANDSHAKE && b[1] == 3 && b[2] <= 4 &&
	       (n < RECORD_HEAD_BYTES || (b[3] << 8 | b[4]) >= MESSAGE_HEAD_BYTES) &&
	       (n < RECORD_HEAD_BYTES || (b[3] << 8 | b[4]) <= RECORD_MAX_BYTES) &&
	       (n < RECORD_HEAD_BYTES + 1 || b[5] == CLIENT_HELLO || b[5] == SERVER_HELLO);
}

/* The handshake's messages without the records around them, which may cut them anywhere. */
static size_t unwrap(const uint8_t *bytes, size_t n, uint8_t to[TLS_HELLO_MAX_BYTES])
{
	struct cursor c = { bytes, bytes + n, false };
	size_t have = 0;

	while (!c.over) {
		unsigned int type = number(&c, 1), major = number(&c, 1);
		struct cursor record;
		size_t len;

		number(&c, 1);
		record = part(&c, 2);
		len = (size_t)(record.end - record.at);
		if (type != TYPE_HANDSHAKE || major != 3 || !len)
			break;
		if (len > TLS_HELLO_MAX_BYTES - have)
			len = TLS_HELLO_MAX_BYTES - have;
		memcpy(to + have, record.at, len);
		have += len;
	}
	return have;
}

/* The body of the first message, which is to be of that type. */
static int open_message(const uint8_t *messages, size_t n, unsigned int type, struct cursor *ret)
{
	struct cursor c = { messages, messages + n, false };

	if (n && messages[0] != type)
		return -EPROTO;
	number(&c, 1);
	*ret = part(&c, 3);
	return c.over && n < MESSAGE_HEAD_BYTES ? -EAGAIN : 0;
}

static bool is_printable(const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (at[i] <= ' ' || at[i] > '~')
			return false;
	return true;
}

/* Bytes that say their length in so many bytes, kept where they are the first, all there and can be shown. */
static void keep_name(struct cursor *c, unsigned int length_bytes, char to[TLS_NAME_MAX_BYTES],
		      uint8_t *ret_len)
{
	struct cursor name = part(c, length_bytes);
	size_t n = (size_t)(name.end - name.at);

	if (*ret_len || name.over || n > TLS_NAME_MAX_BYTES || !is_printable(name.at, n))
		return;
	memcpy(to, name.at, n);
	*ret_len = (uint8_t)n;
}

static void on_client_extension(struct tls_client_hello *hello, unsigned int type,
				struct cursor *body)
{
	struct cursor names;

	if (type != EXTENSION_SERVER_NAME)
		return;
	names = part(body, 2);
	if (number(&names, 1) == NAME_IS_HOST && !names.over)
		keep_name(&names, 2, hello->name, &hello->name_len);
}

static void on_server_extension(struct tls_server_hello *hello, unsigned int type,
				struct cursor *body)
{
	struct cursor names;
	unsigned int version;

	if (type == EXTENSION_SUPPORTED_VERSIONS) {
		version = number(body, 2);
		if (!body->over)
			hello->version = (uint16_t)version;
	} else if (type == EXTENSION_ALPN) {
		names = part(body, 2);
		keep_name(&names, 1, hello->alpn, &hello->alpn_len);
	}
}

/* The extensions, of which there need be none; exactly one of the two hellos is given. */
static void read_extensions(struct cursor *c, struct tls_client_hello *client,
			    struct tls_server_hello *server)
{
	struct cursor all;

	if (c->at == c->end)
		return;
	all = part(c, 2);
	while (all.at < all.end) {
		unsigned int type = number(&all, 2);
		struct cursor body = part(&all, 2);

		if (client)
			on_client_extension(client, type, &body);
		else
			on_server_extension(server, type, &body);
	}
	c->over |= all.over;
}

/* A message that ends where it says it does, and within what it says does not, is none. */
static int verdict(const struct cursor *message, bool cut)
{
	if (cut)
		return -EAGAIN;
	return message->over ? -EPROTO : 0;
}

int tls_hello__client(const void *bytes, size_t n, struct tls_client_hello *ret)
{
	uint8_t messages[TLS_HELLO_MAX_BYTES];
	struct cursor message;
	bool cut;
	int err;

	*ret = (struct tls_client_hello){ 0 };
	if (!tls_hello__begins(bytes, n))
		return n < 3 ? -EAGAIN : -EPROTO;
	err = open_message(messages, unwrap(bytes, n, messages), CLIENT_HELLO, &message);
	if (err)
		return err;
	cut = message.over;
	message.over = false;
	number(&message, 2);
	take(&message, RANDOM_BYTES);
	part(&message, 1); /* session */
	part(&message, 2); /* cipher suites */
	part(&message, 1); /* compression */
	read_extensions(&message, ret, NULL);
	err = verdict(&message, cut);
	if (err == -EPROTO)
		*ret = (struct tls_client_hello){ 0 };
	return err;
}

int tls_hello__server(const void *bytes, size_t n, struct tls_server_hello *ret)
{
	uint8_t messages[TLS_HELLO_MAX_BYTES];
	unsigned int version, cipher;
	struct cursor message;
	bool cut;
	int err;

	*ret = (struct tls_server_hello){ 0 };
	if (!tls_hello__begins(bytes, n))
		return n < 3 ? -EAGAIN : -EPROTO;
	err = open_message(messages, unwrap(bytes, n, messages), SERVER_HELLO, &message);
	if (err)
		return err;
	cut = message.over;
	message.over = false;
	version = number(&message, 2);
	take(&message, RANDOM_BYTES);
	part(&message, 1); /* session */
	cipher = number(&message, 2);
	number(&message, 1); /* compression */
	/* Without all extensions the version may still be another one: RFC 8446 4.2.1. */
	if (!message.over)
		ret->cipher = (uint16_t)cipher;
	read_extensions(&message, NULL, ret);
	if (!ret->version && !message.over && !cut)
		ret->version = (uint16_t)version;
	err = verdict(&message, cut);
	if (err == -EPROTO)
		*ret = (struct tls_server_hello){ 0 };
	return err;
}

const char *tls_hello__version_name(uint16_t version)
{
	switch (version) {
	case TLS_1_0:
		return "1.0";
	case TLS_1_1:
		return "1.1";
	case TLS_1_2:
		return "1.2";
	case TLS_1_3:
		return "1.3";
	}
	return NULL;
}
