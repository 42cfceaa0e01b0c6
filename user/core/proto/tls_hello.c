// SPDX-License-Identifier: Apache-2.0
/* The two hellos, and what a span says of them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/proto/tls.h"

#define RECORD_HANDSHAKE 22
#define RECORD_HEADER_BYTES 5
#define CLIENT_HELLO 1
#define SERVER_HELLO 2
#define RANDOM_BYTES 32
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_SUPPORTED_VERSIONS 43
#define NAME_HOST 0

/* A place in bytes that may end anywhere. short: more was asked for than there is. */
struct cursor {
	const uint8_t *at, *end;
	bool is_short;
};

static uint32_t take(struct cursor *c, unsigned int bytes)
{
	uint32_t value = 0;

	if ((size_t)(c->end - c->at) < bytes) {
		c->is_short = true;
		c->at = c->end;
		return 0;
	}
	for (unsigned int i = 0; i < bytes; i++)
		value = value << 8 | *c->at++;
	return value;
}

/* The next n bytes, as far as they are there. */
static struct cursor part(struct cursor *c, size_t n)
{
	struct cursor p = { c->at, c->end, false };

	if ((size_t)(c->end - c->at) < n) {
		c->is_short = p.is_short = true;
		c->at = c->end;
		return p;
	}
	p.end = c->at += n;
	return p;
}

static void skip(struct cursor *c, size_t n)
{
	part(c, n);
}

/*
 * The handshake message that the first record begins with; its record's end ends it, too: a hello that
 * is split over several records is read as far as the first one goes.
 */
static int open_hello(struct view bytes, uint8_t type, struct cursor *ret)
{
	struct cursor c = { (const uint8_t *)bytes.at, (const uint8_t *)bytes.at + bytes.len,
			    false };
	uint32_t kind = take(&c, 1), version = take(&c, 2), n = take(&c, 2);
	struct cursor record = part(&c, n);
	uint32_t message;

	if (bytes.len < RECORD_HEADER_BYTES + 1)
		return bytes.len && kind != RECORD_HANDSHAKE ? -EPROTO : 0;
	message = take(&record, 1);
	if (kind != RECORD_HANDSHAKE || version >> 8 != 3 || message != type)
		return -EPROTO;
	n = take(&record, 3);
	*ret = part(&record, n);
	/* what is there of it is what counts */
	if (ret->is_short)
		ret->end = record.end;
	return 1;
}

/* Letters, digits and what else a name may have: whatever else it is, it goes into nobody's terminal. */
static void set_name(struct tls_info *info, const struct cursor *name)
{
	size_t n = (size_t)(name->end - name->at);

	if (!n || n > sizeof(info->name))
		return;
	for (size_t i = 0; i < n; i++)
		if (name->at[i] <= ' ' || name->at[i] > '~')
			return;
	memcpy(info->name, name->at, n);
	info->name_len = (uint8_t)n;
}

static void read_server_name(struct cursor extension, struct tls_info *info)
{
	struct cursor list = part(&extension, take(&extension, 2));

	while (!list.is_short && list.at < list.end) {
		uint32_t type = take(&list, 1);
		struct cursor name = part(&list, take(&list, 2));

		if (type == NAME_HOST && !name.is_short) {
			set_name(info, &name);
			return;
		}
	}
}

int tls__read_client_hello(struct view bytes, struct tls_info *info)
{
	struct cursor c, extensions;
	int ret = open_hello(bytes, CLIENT_HELLO, &c);

	if (ret <= 0)
		return ret;
	skip(&c, 2 + RANDOM_BYTES);
	skip(&c, take(&c, 1)); /* session id */
	skip(&c, take(&c, 2)); /* cipher suites */
	skip(&c, take(&c, 1)); /* compression methods */
	if (!c.is_short && c.at == c.end)
		return 1; /* before TLS 1.2 it may end here */
	extensions = part(&c, take(&c, 2));
	while (!extensions.is_short && extensions.at < extensions.end) {
		uint32_t type = take(&extensions, 2);
		struct cursor extension = part(&extensions, take(&extensions, 2));

		if (type == EXTENSION_SERVER_NAME && !extension.is_short) {
			read_server_name(extension, info);
			return 1;
		}
	}
	return !c.is_short && !extensions.is_short;
}

int tls__read_server_hello(struct view bytes, struct tls_info *info)
{
	struct cursor c, extensions;
	uint32_t version, cipher;
	int ret = open_hello(bytes, SERVER_HELLO, &c);

	if (ret <= 0)
		return ret;
	version = take(&c, 2);
	skip(&c, RANDOM_BYTES);
	skip(&c, take(&c, 1));
	cipher = take(&c, 2);
	skip(&c, 1);
	if (c.is_short)
		return 0;
	extensions = part(&c, c.at == c.end ? 0 : take(&c, 2));
	while (!extensions.is_short && extensions.at < extensions.end) {
		uint32_t type = take(&extensions, 2);
		struct cursor extension = part(&extensions, take(&extensions, 2));

		if (type == EXTENSION_SUPPORTED_VERSIONS && !extension.is_short)
			version = take(&extension, 2);
	}
	if (extensions.is_short && bytes.len < 128)
		return 0;
	info->version = (uint16_t)version;
	info->cipher = (uint16_t)cipher;
	return 1;
}

/* IANA, "TLS Cipher Suites": those that OpenSSL, BoringSSL, GnuTLS, Go and rustls still offer. */
static const struct {
	uint16_t number;
	const char *name;
} ciphers[] = {
	{ 0x1301, "TLS_AES_128_GCM_SHA256" },
	{ 0x1302, "TLS_AES_256_GCM_SHA384" },
	{ 0x1303, "TLS_CHACHA20_POLY1305_SHA256" },
	{ 0x1304, "TLS_AES_128_CCM_SHA256" },
	{ 0x1305, "TLS_AES_128_CCM_8_SHA256" },
	{ 0x000a, "TLS_RSA_WITH_3DES_EDE_CBC_SHA" },
	{ 0x002f, "TLS_RSA_WITH_AES_128_CBC_SHA" },
	{ 0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA" },
	{ 0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA" },
	{ 0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA" },
	{ 0x003c, "TLS_RSA_WITH_AES_128_CBC_SHA256" },
	{ 0x003d, "TLS_RSA_WITH_AES_256_CBC_SHA256" },
	{ 0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256" },
	{ 0x006b, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256" },
	{ 0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256" },
	{ 0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384" },
	{ 0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256" },
	{ 0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384" },
	{ 0xc009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA" },
	{ 0xc00a, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA" },
	{ 0xc012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA" },
	{ 0xc013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA" },
	{ 0xc014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA" },
	{ 0xc023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256" },
	{ 0xc024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384" },
	{ 0xc027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256" },
	{ 0xc028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384" },
	{ 0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
	{ 0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" },
	{ 0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" },
	{ 0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" },
	{ 0xc09c, "TLS_RSA_WITH_AES_128_CCM" },
	{ 0xc09d, "TLS_RSA_WITH_AES_256_CCM" },
	{ 0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM" },
	{ 0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM" },
	{ 0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
	{ 0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" },
	{ 0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256" },
};

const char *tls__cipher_name(uint16_t cipher)
{
	for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++)
		if (ciphers[i].number == cipher)
			return ciphers[i].name;
	return NULL;
}

static const char *version_name(uint16_t version)
{
	switch (version) {
	case 0x0301:
		return "1.0";
	case 0x0302:
		return "1.1";
	case 0x0303:
		return "1.2";
	case 0x0304:
		return "1.3";
	default:
		return NULL;
	}
}

void tls__describe(const struct tls_info *info, struct span *span)
{
	const char *version = info ? version_name(info->version) : NULL;
	const char *cipher = info ? tls__cipher_name(info->cipher) : NULL;
	struct view name = { info ? info->name : NULL, info ? info->name_len : 0 };

	if (version) {
		span__set_string(span, ATTR_TLS_PROTOCOL_NAME, VIEW("tls"));
		span__set_string(span, ATTR_TLS_PROTOCOL_VERSION, view_of(version));
	}
	if (cipher)
		span__set_string(span, ATTR_TLS_CIPHER, view_of(cipher));
	if (!name.len)
		return;
	span__set_string(span, ATTR_TLS_CLIENT_SERVER_NAME, name);
	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (span->attributes[i].key == ATTR_SERVER_ADDRESS)
			return;
	span__set_string(span, ATTR_SERVER_ADDRESS, name);
}
