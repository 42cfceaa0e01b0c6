// SPDX-License-Identifier: Apache-2.0
/*
 * Calls of TLS libraries by themselves: a client and a server in one thread, with memory between them, that
 * exchange an HTTP request and a response again and again. No system call is between two calls, so that what
 * a breakpoint costs is not hidden.
 *
 *   tls_calls openssl|gnutls CERTIFICATE KEY
 *
 * Says "ready PID"; then for each line N: N exchanges (four calls each), "calls 4N ns T".
 */
#include <gnutls/gnutls.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char request[] =
	"GET /index.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: calls\r\n\r\n";
static const char response[] =
	"HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nHello, world!";

struct peer {
	long (*write)(struct peer *peer, const void *bytes, size_t n);
	long (*read)(struct peer *peer, void *bytes, size_t n);
	SSL *ssl;
	gnutls_session_t session;
	/* GnuTLS: what the other one has written, and nobody read yet */
	struct peer *other;
	char waiting[65536];
	size_t begin, end;
};

static struct peer client, server;

static void die(const char *what)
{
	fprintf(stderr, "tls_calls: %s failed\n", what);
	ERR_print_errors_fp(stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long write_openssl(struct peer *peer, const void *bytes, size_t n)
{
	return SSL_write(peer->ssl, bytes, (int)n);
}

static long read_openssl(struct peer *peer, void *bytes, size_t n)
{
	return SSL_read(peer->ssl, bytes, (int)n);
}

static void begin_openssl(const char *certificate, const char *key)
{
	SSL_CTX *of_client = SSL_CTX_new(TLS_client_method());
	SSL_CTX *of_server = SSL_CTX_new(TLS_server_method());
	BIO *to_client, *to_server;

	if (SSL_CTX_use_certificate_file(of_server, certificate, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_use_PrivateKey_file(of_server, key, SSL_FILETYPE_PEM) != 1)
		die("loading the certificate");
	client = (struct peer){ write_openssl, read_openssl, .ssl = SSL_new(of_client) };
	server = (struct peer){ write_openssl, read_openssl, .ssl = SSL_new(of_server) };
	if (BIO_new_bio_pair(&to_client, 0, &to_server, 0) != 1)
		die("BIO_new_bio_pair");
	SSL_set_bio(client.ssl, to_client, to_client);
	SSL_set_bio(server.ssl, to_server, to_server);
	SSL_set_connect_state(client.ssl);
	SSL_set_accept_state(server.ssl);
	for (int i = 0;
	     i < 100 && (!SSL_is_init_finished(client.ssl) || !SSL_is_init_finished(server.ssl));
	     i++) {
		SSL_do_handshake(client.ssl);
		SSL_do_handshake(server.ssl);
	}
	if (!SSL_is_init_finished(client.ssl) || !SSL_is_init_finished(server.ssl))
		die("the handshake");
}

static long write_gnutls(struct peer *peer, const void *bytes, size_t n)
{
	return gnutls_record_send(peer->session, bytes, n);
}

static long read_gnutls(struct peer *peer, void *bytes, size_t n)
{
	long got;

	/* a session ticket comes before the first bytes */
	do
		got = gnutls_record_recv(peer->session, bytes, n);
	while (got == GNUTLS_E_INTERRUPTED || got == GNUTLS_E_AGAIN);
	return got;
}

static ssize_t push(gnutls_transport_ptr_t at, const void *bytes, size_t n)
{
	struct peer *to = ((struct peer *)at)->other;

	if (to->begin == to->end)
		to->begin = to->end = 0;
	if (n > sizeof(to->waiting) - to->end)
		die("push: no room");
	memcpy(to->waiting + to->end, bytes, n);
	to->end += n;
	return (ssize_t)n;
}

static ssize_t pull(gnutls_transport_ptr_t at, void *bytes, size_t n)
{
	struct peer *peer = at;

	if (n > peer->end - peer->begin)
		n = peer->end - peer->begin;
	if (!n) {
		gnutls_transport_set_errno(peer->session, EAGAIN);
		return -1;
	}
	memcpy(bytes, peer->waiting + peer->begin, n);
	peer->begin += n;
	return (ssize_t)n;
}

static int nothing_to_wait_for(gnutls_transport_ptr_t at, unsigned int ms)
{
	const struct peer *peer = at;

	return peer->end > peer->begin;
}

static void gnutls_peer(struct peer *peer, unsigned int flags,
			gnutls_certificate_credentials_t credentials)
{
	*peer = (struct peer){ write_gnutls, read_gnutls,
			       .other = peer == &client ? &server : &client };
	if (gnutls_init(&peer->session, flags | GNUTLS_NONBLOCK) ||
	    gnutls_set_default_priority(peer->session) ||
	    gnutls_credentials_set(peer->session, GNUTLS_CRD_CERTIFICATE, credentials))
		die("gnutls_init");
	gnutls_transport_set_ptr(peer->session, peer);
	gnutls_transport_set_push_function(peer->session, push);
	gnutls_transport_set_pull_function(peer->session, pull);
	gnutls_transport_set_pull_timeout_function(peer->session, nothing_to_wait_for);
}

static void begin_gnutls(const char *certificate, const char *key)
{
	gnutls_certificate_credentials_t of_client, of_server;
	int a = -1, b = -1;

	gnutls_certificate_allocate_credentials(&of_client);
	gnutls_certificate_allocate_credentials(&of_server);
	if (gnutls_certificate_set_x509_key_file(of_server, certificate, key, GNUTLS_X509_FMT_PEM))
		die("loading the certificate");
	gnutls_peer(&client, GNUTLS_CLIENT, of_client);
	gnutls_peer(&server, GNUTLS_SERVER, of_server);
	for (int i = 0; i < 100 && (a || b); i++) {
		a = a ? gnutls_handshake(client.session) : 0;
		b = b ? gnutls_handshake(server.session) : 0;
	}
	if (a || b)
		die("the handshake");
}

static void pass(struct peer *from, struct peer *to, const char *message, size_t n)
{
	char bytes[4096];

	if (from->write(from, message, n) != (long)n ||
	    to->read(to, bytes, sizeof(bytes)) != (long)n || memcmp(bytes, message, n))
		die("an exchange");
}

int main(int argc, char **argv)
{
	unsigned long n;

	if (argc != 4 || (strcmp(argv[1], "openssl") && strcmp(argv[1], "gnutls"))) {
		fprintf(stderr, "usage: tls_calls openssl|gnutls CERTIFICATE KEY\n");
		return 2;
	}
	if (!strcmp(argv[1], "openssl"))
		begin_openssl(argv[2], argv[3]);
	else
		begin_gnutls(argv[2], argv[3]);
	printf("ready %d\n", getpid());
	fflush(stdout);
	while (scanf("%lu", &n) == 1) {
		uint64_t begin = now_ns();

		for (unsigned long i = 0; i < n; i++) {
			pass(&client, &server, request, sizeof(request) - 1);
			pass(&server, &client, response, sizeof(response) - 1);
		}
		printf("calls %lu ns %llu\n", 4 * n, (unsigned long long)(now_ns() - begin));
		fflush(stdout);
	}
	return 0;
}
