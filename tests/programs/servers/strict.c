// SPDX-License-Identifier: Apache-2.0
/*
 * strict PORT COUNT CA: COUNT requests over HTTPS on one connection, by OpenSSL, under a seccomp filter that kills for
 * anything but reading, writing, waiting, memory and the end. Says "ready" before it begins, waits for a line, says
 * "right COUNT" at the end.
 */
#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "strict: %s\n", what);
	exit(1);
}

static SSL *open_connection(int port, const char *ca)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	SSL *ssl;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!context || fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		fail("cannot connect");
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_load_verify_locations(context, ca, NULL) != 1)
		fail("no authority");
	ssl = SSL_new(context);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		fail("no handshake");
	return ssl;
}

static void be_strict(void)
{
	static const int allowed[] = { SCMP_SYS(read),	 SCMP_SYS(write),      SCMP_SYS(brk),
				       SCMP_SYS(mmap),	 SCMP_SYS(munmap),     SCMP_SYS(mremap),
				       SCMP_SYS(exit),	 SCMP_SYS(exit_group), SCMP_SYS(futex),
				       SCMP_SYS(getpid), SCMP_SYS(getrandom),  SCMP_SYS(newfstatat),
				       SCMP_SYS(fstat) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0))
			fail("no rule");
	if (seccomp_load(filter))
		fail("no filter");
}

int main(int argc, char **argv)
{
	int count = atoi(argv[2]);
	char text[4096];
	SSL *ssl = open_connection(atoi(argv[1]), argv[3]);

	be_strict();
	puts("ready");
	fflush(stdout);
	if (!fgets(text, sizeof(text), stdin))
		fail("nobody told to begin");
	for (int n = 0; n < count; n++) {
		int len = snprintf(text, sizeof(text),
				   "GET /strict/%d HTTP/1.1\r\nHost: localhost\r\n\r\n", n);

		if (SSL_write(ssl, text, len) != len)
			fail("not written");
		len = 0;
		/* nginx's answer ends so, and comes in one piece or two */
		while (len < 6 || memcmp(text + len - 6, "hello\n", 6)) {
			int got = SSL_read(ssl, text + len, (int)sizeof(text) - len);

			if (got <= 0)
				fail("not read");
			len += got;
		}
		if (memcmp(text, "HTTP/1.1 200", 12))
			fail("a wrong answer");
	}
	printf("right %d\n", count);
	return 0;
}
