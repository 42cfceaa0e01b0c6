// SPDX-License-Identifier: Apache-2.0
#include "serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/clients.h"
#include "serve/page.h"
#include "supervise/control.h"

/* More than this many wait for nothing: whoever has been silent for longest makes room. */
#define CONNECTIONS_MAX 1024
#define CONNECTIONS_KEPT 960
/* Of one connection: its request line and headers must fit. */
#define CONNECTION_BYTES (16u << 10)
#define IDLE_S 30u
/* A request has to be whole, and its answer to be taken, within this time. */
#define REQUEST_NS 10000000000ull
#define ANSWER_NS 120000000000ull
/* What answers that are being sent hold in all. */
#define HELD_MAX_BYTES (128u << 20)
#define READ_BYTES (64u << 10)

#define SECURITY                                                                                   \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "          \
	"connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

struct http {
	const struct mhd *mhd;
	const struct serve_config *config;
	struct api *api;
	struct MHD_Daemon *daemon;
	struct clients clients;
};

/* One request while libmicrohttpd has it. */
struct asked {
	char *target;
	bool seen;
};

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;
	struct http *h = arg;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		clients__remove(&h->clients, *socket_context);
		*socket_context = NULL;
		return;
	}
	info = h->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	*socket_context = info ? clients__add(&h->clients, info->connect_fd) : NULL;
}

static struct client *client_of(const struct http *h, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		h->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
	struct asked *asked = calloc(1, sizeof(*asked));

	if (asked)
		asked->target = strdup(target);
	return asked;
}

static void on_done(void *arg, struct MHD_Connection *connection, void **context,
		    enum MHD_RequestTerminationCode code)
{
	struct http *h = arg;
	struct client *c = client_of(h, connection);
	struct asked *asked = *context;

	clients__set(&h->clients, c, CLIENT_RESTS);
	if (asked)
		free(asked->target);
	free(asked);
	*context = NULL;
}

static void add_headers(struct http *h, struct MHD_Response *r, bool api)
{
	h->mhd->MHD_add_response_header(r, "Content-Security-Policy", SECURITY);
	h->mhd->MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	h->mhd->MHD_add_response_header(r, "Referrer-Policy", "no-referrer");
	h->mhd->MHD_add_response_header(r, "X-Frame-Options", "DENY");
	h->mhd->MHD_add_response_header(r, "Cross-Origin-Resource-Policy", "same-origin");
	/* A file is asked for again with its tag each time: another sonde may answer there tomorrow. */
	h->mhd->MHD_add_response_header(r, "Cache-Control", api ? "no-store" : "no-cache");
}

static enum MHD_Result queue(struct http *h, struct MHD_Connection *connection, unsigned int status,
			     struct MHD_Response *r)
{
	struct client *c = client_of(h, connection);
	enum MHD_Result ret;

	if (!r)
		return MHD_NO;
	clients__set(&h->clients, c, CLIENT_TAKES);
	ret = h->mhd->MHD_queue_response(connection, status, r);
	h->mhd->MHD_destroy_response(r);
	return ret;
}

static ssize_t read_body(void *arg, uint64_t position, char *to, size_t max)
{
	long n = body__read(arg, to, max);

	return n > 0  ? n :
	       n == 0 ? MHD_CONTENT_READER_END_OF_STREAM :
			MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_body(void *arg)
{
	body__free(arg);
}

static enum MHD_Result send_answer(struct http *h, struct MHD_Connection *connection,
				   struct answer *a)
{
	struct MHD_Response *r;
	int64_t length = a->body ? body__length(a->body) : -ENOMEM;

	if (length < 0)
		answer__error(a, length == -EMSGSIZE ? 422 : 503, "the answer cannot be given",
			      length == -EMSGSIZE ? "it is larger than 1 GiB" :
						    "there is not enough memory",
			      "ask for less, or later");
	if (length < 0)
		length = a->body ? body__length(a->body) : -ENOMEM;
	if (length < 0)
		return MHD_NO;
	r = h->mhd->MHD_create_response_from_callback((uint64_t)length, READ_BYTES, read_body,
						      a->body, free_body);
	if (!r) {
		body__free(a->body);
		return MHD_NO;
	}
	add_headers(h, r, true);
	h->mhd->MHD_add_response_header(r, "Content-Type", a->type);
	if (a->status == 401)
		h->mhd->MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	if (a->status == 405)
		h->mhd->MHD_add_response_header(r, "Allow", "GET, HEAD");
	if (a->status == 503)
		h->mhd->MHD_add_response_header(r, "Retry-After", "1");
	return queue(h, connection, a->status, r);
}

static enum MHD_Result refuse(struct http *h, struct MHD_Connection *connection,
			      unsigned int status, const char *what, const char *why,
			      const char *todo)
{
	struct answer a = { 0 };

	answer__error(&a, status, what, why, todo);
	return send_answer(h, connection, &a);
}

static const char *header(const struct http *h, struct MHD_Connection *connection, const char *name)
{
	return h->mhd->MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result send_file(struct http *h, struct MHD_Connection *connection,
				 const struct page_file *file)
{
	const char *known = header(h, connection, "If-None-Match");
	bool same = known && strstr(known, file->tag);
	struct MHD_Response *r =
		h->mhd->MHD_create_response_from_buffer(same ? 0 : file->len, (void *)file->at,
							MHD_RESPMEM_PERSISTENT);

	if (!r)
		return MHD_NO;
	add_headers(h, r, false);
	h->mhd->MHD_add_response_header(r, "Content-Type", file->type);
	/* Every browser takes it; curl --compressed does. */
	h->mhd->MHD_add_response_header(r, "Content-Encoding", "gzip");
	h->mhd->MHD_add_response_header(r, "ETag", file->tag);
	return queue(h, connection, same ? 304 : 200, r);
}

struct counted_host {
	const char *value;
	unsigned int n;
};

static enum MHD_Result count_host(void *arg, enum MHD_ValueKind kind, const char *key,
				  const char *value)
{
	struct counted_host *found = arg;

	if (!strcasecmp(key, "Host")) {
		found->value = value;
		found->n++;
	}
	return MHD_YES;
}

/* The address that this connection was made to, which no name of a stranger stands for. */
static bool is_own_address(const struct http *h, struct MHD_Connection *connection,
			   struct view host)
{
	const union MHD_ConnectionInfo *info =
		h->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct sockaddr_in6 own = { 0 };
	socklen_t len = sizeof(own);
	char text[INET6_ADDRSTRLEN], asked[INET6_ADDRSTRLEN];
	struct in6_addr six;
	struct in_addr four;

	if (!info || getsockname(info->connect_fd, (struct sockaddr *)&own, &len) ||
	    host.len >= sizeof(asked))
		return false;
	memcpy(asked, host.at, host.len);
	asked[host.len] = 0;
	if (own.sin6_family == AF_INET)
		return inet_pton(AF_INET, asked, &four) == 1 &&
		       four.s_addr == ((struct sockaddr_in *)&own)->sin_addr.s_addr;
	if (inet_pton(AF_INET6, asked, &six) == 1)
		return !memcmp(&six, &own.sin6_addr, sizeof(six));
	inet_ntop(AF_INET6, &own.sin6_addr, text, sizeof(text));
	return !strncmp(text, "::ffff:", 7) && !strcmp(text + 7, asked);
}

static bool host_allowed(const struct http *h, struct MHD_Connection *connection)
{
	struct counted_host found = { 0 };
	struct view host;

	h->mhd->MHD_get_connection_values(connection, MHD_HEADER_KIND, count_host, &found);
	if (found.n != 1 || !host__parse(view_of(found.value), &host))
		return false;
	if (host__is_loopback(host))
		return true;
	for (unsigned int i = 0; i < h->config->n_hosts; i++)
		if (view_eq_nocase(host, view_of(h->config->hosts[i])))
			return true;
	return is_own_address(h, connection, host);
}

/* In a time that says nothing of how much of it is right. */
static bool token_shown(const struct http *h, struct MHD_Connection *connection)
{
	static const char scheme[] = "Bearer ";
	const char *token = h->config->token, *shown = header(h, connection, "Authorization");
	volatile unsigned int differs = 0;
	size_t n;

	if (!token)
		return true;
	if (!shown || strncasecmp(shown, scheme, sizeof(scheme) - 1))
		return false;
	shown += sizeof(scheme) - 1;
	n = strlen(shown);
	differs = n != strlen(token);
	for (size_t i = 0; i < n && token[i]; i++)
		differs |= (unsigned int)(shown[i] ^ token[i]);
	return !differs;
}

static enum MHD_Result ask_api(struct http *h, struct MHD_Connection *connection,
			       const struct target *target)
{
	const char *accept = header(h, connection, "Accept");
	struct answer a = { 0 };

	if (!token_shown(h, connection))
		return refuse(h, connection, 401, "the token is missing or wrong",
			      "this sonde answers only to who shows its token",
			      "send the header Authorization: Bearer TOKEN");
	if (body__held() > HELD_MAX_BYTES)
		return refuse(h, connection, 503, "too many answers are being sent",
			      "clients have not taken what they asked for", "ask again later");
	api__ask(h->api, target, accept && strstr(accept, TYPE_PROTOBUF), &a);
	return send_answer(h, connection, &a);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **context)
{
	struct http *h = arg;
	struct asked *asked = *context;
	const struct page_file *file;
	struct err err = { "" };
	struct target target;

	/* GET with a body: nothing that asks us does that. */
	if (!asked || !asked->target || *upload_size)
		return MHD_NO;
	/* An answer to the first call would end the connection. */
	if (!asked->seen && (!strcmp(method, "GET") || !strcmp(method, "HEAD"))) {
		asked->seen = true;
		return MHD_YES;
	}
	if (!host_allowed(h, connection))
		return refuse(
			h, connection, 421, "this name is not answered to",
			"a page of another name must not read what is traced here (DNS "
			"rebinding)",
			"use localhost or this machine's address, or start sonde with --ui-host "
			"NAME");
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return refuse(h, connection, 405, "this method is not allowed",
			      "everything here is read only", "use GET or HEAD");
	if (target__parse(asked->target, &target, &err))
		return refuse(h, connection, 400, "the address cannot be read", err.text,
			      "correct it");
	if (api__has(target.segments[0]))
		return ask_api(h, connection, &target);
	file = target.n_segments == 1 ? page__find(target.segments[0]) : NULL;
	if (file)
		return send_file(h, connection, file);
	return refuse(h, connection, 404, "there is nothing at this address",
		      "it is neither a file of the page nor part of the API",
		      "see docs/api.yaml for what there is");
}

int http__new(struct http **ret, const struct mhd *mhd, const struct serve_config *config,
	      struct api *api, int listening, struct err *err)
{
	static const uint64_t limits_ns[] = {
		[CLIENT_ASKS] = REQUEST_NS, [CLIENT_TAKES] = ANSWER_NS, [CLIENT_RESTS] = REQUEST_NS
	};
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return err__set(err, -ENOMEM, "out of memory");
	*h = (struct http){ .mhd = mhd, .config = config, .api = api };
	clients__begin(&h->clients, CONNECTIONS_KEPT, limits_ns);
	h->daemon = mhd->MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, h,
					  MHD_OPTION_LISTEN_SOCKET, listening,
					  MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
					  MHD_OPTION_CONNECTION_MEMORY_LIMIT,
					  (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
					  IDLE_S, MHD_OPTION_URI_LOG_CALLBACK, on_target, h,
					  MHD_OPTION_NOTIFY_COMPLETED, on_done, h,
					  MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
					  MHD_OPTION_END);
	if (!h->daemon) {
		free(h);
		return err__set(err, -EIO, "the web server cannot be started");
	}
	*ret = h;
	return 0;
}

static int wait_ms(const struct http *h, uint64_t now, uint64_t next, bool busy)
{
	unsigned long long timeout;
	uint64_t ms = next ? (next > now ? (next - now) / 1000000 + 1 : 0) : 60000;

	if (busy)
		return 0;
	if (h->mhd->MHD_get_timeout(h->daemon, &timeout) == MHD_YES && timeout < ms)
		ms = timeout;
	return ms < 60000 ? (int)ms : 60000;
}

static bool told_to_end(int control)
{
	enum control_type type = 0;
	char ignored[64];
	long n = control__receive(control, &type, ignored, sizeof(ignored));

	return n == -EPIPE || (n >= 0 && type == CONTROL_FINISH);
}

int http__run(struct http *h, int control, const volatile int *stop)
{
	const union MHD_DaemonInfo *info =
		h->mhd->MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[2] = { { .fd = info->epoll_fd, .events = POLLIN },
				 { .fd = control, .events = POLLIN } };
	bool busy = false;

	while (!*stop) {
		uint64_t now = clock__boot_ns(), next = clients__end_slow(&h->clients, now);

		if (poll(fds, control < 0 ? 1 : 2, wait_ms(h, now, next, busy)) < 0 &&
		    errno != EINTR)
			return -errno;
		if (control >= 0 && fds[1].revents && told_to_end(control))
			return 0;
		if (h->mhd->MHD_run(h->daemon) != MHD_YES)
			return -EIO;
		busy = api__work(h->api);
	}
	return 0;
}

void http__free(struct http *h)
{
	if (!h)
		return;
	h->mhd->MHD_stop_daemon(h->daemon);
	free(h);
}
