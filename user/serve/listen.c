// SPDX-License-Identifier: Apache-2.0
#include "serve/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 1024

static int wrong(const char *text, struct err *err)
{
	return err__set(err, -EINVAL,
			"'%.80s' is no address to listen on; write 127.0.0.1:4380, [::1]:4380, "
			"0.0.0.0:4380 or a port",
			text);
}

static bool read_port(const char *text, unsigned long *ret)
{
	unsigned long port;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	if (*end || port > 65535)
		return false;
	*ret = port;
	return true;
}

static void describe(struct listen_address *a)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&a->at;
	struct sockaddr_in *four = (struct sockaddr_in *)&a->at;
	bool v6 = a->at.ss_family == AF_INET6, any;
	char host[INET6_ADDRSTRLEN];

	if (v6)
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
	else
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
	any = v6 ? IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) : four->sin_addr.s_addr == INADDR_ANY;
	a->loopback = v6 ? IN6_IS_ADDR_LOOPBACK(&six->sin6_addr) :
			   ntohl(four->sin_addr.s_addr) >> 24 == 127;
	snprintf(a->host, sizeof(a->host), "%s", any ? "" : host);
	if (any)
		strcpy(host, v6 ? "::1" : "127.0.0.1");
	snprintf(a->url, sizeof(a->url), "http://%s%s%s:%u/", v6 ? "[" : "", host, v6 ? "]" : "",
		 ntohs(v6 ? six->sin6_port : four->sin_port));
}

int listen_address__parse_at(const char *text, unsigned int port_default,
			     struct listen_address *ret, struct err *err)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	unsigned long port = port_default;
	const char *behind, *colon;
	char host[64];
	size_t n;

	if (*text == '[') {
		behind = strchr(text, ']');
		if (!behind)
			return wrong(text, err);
		n = (size_t)(behind - text) - 1;
		text++;
		behind++;
	} else {
		colon = strchr(text, ':');
		/* A bare IPv6 address has more than one. */
		behind = colon && !strchr(colon + 1, ':') ? colon : text + strlen(text);
		if (read_port(text, &port))
			behind = text;
		n = (size_t)(behind - text);
	}
	if (n >= sizeof(host) || (*behind == ':' && !read_port(behind + 1, &port)) ||
	    (*behind && *behind != ':' && n))
		return wrong(text, err);
	memcpy(host, text, n);
	host[n] = 0;
	*ret = (struct listen_address){ .len = sizeof(four) };
	if (!n || !strcmp(host, "localhost"))
		strcpy(host, "127.0.0.1");
	four.sin_port = six.sin6_port = htons((uint16_t)port);
	if (inet_pton(AF_INET, host, &four.sin_addr) == 1) {
		memcpy(&ret->at, &four, sizeof(four));
	} else if (inet_pton(AF_INET6, host, &six.sin6_addr) == 1) {
		ret->len = sizeof(six);
		memcpy(&ret->at, &six, sizeof(six));
	} else {
		return wrong(text, err);
	}
	describe(ret);
	return 0;
}

int listen_address__parse(const char *text, struct listen_address *ret, struct err *err)
{
	return listen_address__parse_at(text, LISTEN_PORT, ret, err);
}

bool listen_address__looks_like(const char *text)
{
	struct listen_address ignored;

	return !listen_address__parse(text, &ignored, NULL);
}

int listen_address__open(struct listen_address *a, struct err *err)
{
	int fd = socket(a->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, ret;

	if (fd < 0)
		return err__set(err, -errno, "cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a->at, a->len) || listen(fd, BACKLOG)) {
		ret = -errno;
		close(fd);
		a->url[strlen(a->url) - 1] = 0;
		err__set(err, ret,
			 ret == -EADDRINUSE ?
				 "another program listens on %s already (`ss -ltnp` says which): "
				 "end "
				 "it, or choose another port" :
			 ret == -EADDRNOTAVAIL ?
				 "%s is no address of this machine (`ip address` lists them)" :
				 "cannot listen on %s%s%s",
			 a->url + sizeof("http://") - 1, ret == -EADDRINUSE ? "" : ": ",
			 ret == -EADDRINUSE ? "" : strerror(-ret));
		return ret;
	}
	getsockname(fd, (struct sockaddr *)&a->at, &a->len);
	describe(a);
	return fd;
}
