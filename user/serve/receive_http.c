// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "serve/clients.h"
#include "serve/receive_reply.h"
#include "serve/target.h"

#define CONNECTIONS_MAX 1024
#define CONNECTIONS_KEPT 960
/* Of one connection: request line and headers, and the piece of a body that is read at once. */
#define CONNECTION_BYTES (32u << 10)
/* Whoever sends spans now and then keeps its connection. */
#define IDLE_S 300u
#define REQUEST_NS 30000000000ull
#define ANSWER_NS 30000000000ull
#define REST_NS (IDLE_S * 1000000000ull)

/* Bodies of requests that have been answered: whoever sends all the time needs no fresh memory each time. */
#define SPARES 2
#define SPARE_MAX_BYTES (512u << 10)
#define SMALL_BYTES 4096
/* Sockets are read so often before others get their turn. */
#define ROUNDS 8

struct receive_http {
	const struct mhd *mhd;
	struct receiver *receiver;
	struct MHD_Daemon *daemon;
	struct clients clients;
	struct buf spares[SPARES];
};

/* One request while libmicrohttpd has it. */
struct asked {
	char *target;
	bool seen, answered;
	enum receive_refusal refusal; /* what is known before all of it has come */
	enum receive_encoding encoding;
	struct buf body;
};

static struct client *client_of(const struct receive_http *h, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		h->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info;
	struct receive_http *h = arg;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		clients__remove(&h->clients, *socket_context);
		*socket_context = NULL;
		return;
	}
	info = h->mhd->MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	*socket_context = info ? clients__add(&h->clients, info->connect_fd) : NULL;
}

static void *on_target(void *arg, const char *target, struct MHD_Connection *connection)
{
	struct asked *asked = calloc(1, sizeof(*asked));
	struct receive_http *h = arg;

	clients__set(&h->clients, client_of(h, connection), CLIENT_ASKS);
	if (asked)
		asked->target = strdup(target);
	return asked;
}

static void drop_body(struct receive_http *h, struct asked *asked)
{
	receiver__release(h->receiver, asked->body.cap);
	for (int i = 0; i < SPARES && asked->body.cap <= SPARE_MAX_BYTES; i++) {
		if (h->spares[i].cap >= asked->body.cap)
			continue;
		buf__free(&h->spares[i]);
		h->spares[i] = asked->body;
		buf__clear(&h->spares[i]);
		asked->body = (struct buf){ 0 };
	}
	buf__free(&asked->body);
}

/* A body that is longer than one piece may have the memory of one before it, where all of it may be held. */
static void take_spare(struct receive_http *h, struct asked *asked)
{
	for (int i = 0; i < SPARES; i++) {
		if (!h->spares[i].cap || !receiver__hold(h->receiver, h->spares[i].cap))
			continue;
		asked->body = h->spares[i];
		h->spares[i] = (struct buf){ 0 };
		return;
	}
}

static void on_done(void *arg, struct MHD_Connection *connection, void **context,
		    enum MHD_RequestTerminationCode code)
{
	struct receive_http *h = arg;
	struct asked *asked = *context;
	struct receive_answer ignored;

	clients__set(&h->clients, client_of(h, connection), CLIENT_RESTS);
	if (!asked)
		return;
	if (asked->seen && !asked->answered)
		receiver__refuse(h->receiver, RECEIVE_INCOMPLETE, &ignored);
	drop_body(h, asked);
	free(asked->target);
	free(asked);
	*context = NULL;
}

static const char *header(const struct receive_http *h, struct MHD_Connection *connection,
			  const char *name)
{
	return h->mhd->MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static enum MHD_Result reply(struct receive_http *h, struct MHD_Connection *connection,
			     struct asked *asked, const struct receive_answer *answer)
{
	struct buf text = { 0 };
	unsigned int status = receive_reply(answer, asked->encoding, &text);
	struct MHD_Response *r;
	enum MHD_Result ret;

	asked->answered = true;
	if (text.err) {
		buf__free(&text);
		return MHD_NO;
	}
	r = h->mhd->MHD_create_response_from_buffer(text.len, text.at, MHD_RESPMEM_MUST_COPY);
	buf__free(&text);
	if (!r)
		return MHD_NO;
	h->mhd->MHD_add_response_header(r, "Content-Type",
					asked->encoding == RECEIVE_JSON ? "application/json" :
									  "application/x-protobuf");
	h->mhd->MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (status == 401)
		h->mhd->MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	if (status == 405)
		h->mhd->MHD_add_response_header(r, "Allow", "POST");
	if (status == 503)
		h->mhd->MHD_add_response_header(r, "Retry-After", "1");
	if (status == 415)
		h->mhd->MHD_add_response_header(r, "Accept-Encoding", "gzip, deflate, zstd");
	clients__set(&h->clients, client_of(h, connection), CLIENT_TAKES);
	ret = h->mhd->MHD_queue_response(connection, status, r);
	h->mhd->MHD_destroy_response(r);
	return ret;
}

/* A page of a name that leads here (DNS rebinding) must not write either; it knows no token. */
static bool host_allowed(const struct receive_http *h, struct MHD_Connection *connection)
{
	const struct serve_config *config = h->receiver->config;
	const char *value = header(h, connection, "Host");
	struct view host;

	if (config->token)
		return true;
	if (!value || !host__parse(view_of(value), &host))
		return false;
	for (unsigned int i = 0; i < config->n_hosts; i++)
		if (view_eq_nocase(host, view_of(config->hosts[i])))
			return true;
	return host__is_loopback(host);
}

/* Without its parameters: "application/json; charset=utf-8". */
static bool read_type(const char *type, enum receive_encoding *ret)
{
	struct view name = { type, type ? strcspn(type, "; \t") : 0 };

	*ret = view_eq_nocase(name, VIEW("application/json")) ? RECEIVE_JSON : RECEIVE_PROTOBUF;
	return *ret == RECEIVE_JSON || view_eq_nocase(name, VIEW("application/x-protobuf"));
}

/* What the head alone says. */
static enum receive_refusal judge(struct receive_http *h, struct MHD_Connection *connection,
				  struct asked *asked, const char *method)
{
	const char *length = header(h, connection, "Content-Length");
	bool known = read_type(header(h, connection, "Content-Type"), &asked->encoding);

	if (!receiver__authorized(h->receiver, header(h, connection, "Authorization")))
		return RECEIVE_UNAUTHORIZED;
	if (!host_allowed(h, connection))
		return RECEIVE_BAD_HOST;
	if (!asked->target || strcmp(asked->target, "/v1/traces"))
		return RECEIVE_NO_ADDRESS;
	if (strcmp(method, "POST"))
		return RECEIVE_BAD_METHOD;
	if (!known)
		return RECEIVE_BAD_TYPE;
	if (length && strtoull(length, NULL, 10) > RECEIVE_BODY_MAX_BYTES)
		return RECEIVE_TOO_LARGE;
	return RECEIVE_TAKEN;
}

/* What is refused is read to its end, but not kept: an answer before that would not be read by everybody. */
static void keep(struct receive_http *h, struct asked *asked, const char *bytes, size_t len)
{
	size_t before;

	if (asked->refusal != RECEIVE_TAKEN)
		return;
	if (!asked->body.cap && len > SMALL_BYTES)
		take_spare(h, asked);
	before = asked->body.cap;
	if (asked->body.len + len > RECEIVE_BODY_MAX_BYTES)
		asked->refusal = RECEIVE_TOO_LARGE;
	else if (!buf__reserve(&asked->body, len))
		asked->refusal = RECEIVE_BUSY;
	else if (!receiver__hold(h->receiver, asked->body.cap - before))
		asked->refusal = RECEIVE_BUSY;
	else
		buf__add(&asked->body, bytes, len);
	if (asked->refusal == RECEIVE_TAKEN)
		return;
	/* Of its room no more was held than before. */
	receiver__release(h->receiver, before);
	buf__free(&asked->body);
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **context)
{
	struct receive_http *h = arg;
	struct asked *asked = *context;
	struct receive_answer answer;
	const char *packing;

	if (!asked)
		return MHD_NO;
	/* An answer to the first call would end the connection. */
	if (!asked->seen) {
		asked->seen = true;
		asked->refusal = judge(h, connection, asked, method);
		return MHD_YES;
	}
	if (*upload_size) {
		keep(h, asked, upload, *upload_size);
		*upload_size = 0;
		return MHD_YES;
	}
	packing = header(h, connection, "Content-Encoding");
	if (asked->refusal == RECEIVE_TAKEN)
		receiver__take(h->receiver,
			       (struct view){ (const char *)asked->body.at, asked->body.len },
			       view_of(packing ? packing : ""), asked->encoding, &answer);
	else
		receiver__refuse(h->receiver, asked->refusal, &answer);
	drop_body(h, asked);
	return reply(h, connection, asked, &answer);
}

int receive_http__new(struct receive_http **ret, const struct mhd *mhd, struct receiver *receiver,
		      int listening, struct err *err)
{
	static const uint64_t limits_ns[] = {
		[CLIENT_ASKS] = REQUEST_NS, [CLIENT_TAKES] = ANSWER_NS, [CLIENT_RESTS] = REST_NS
	};
	struct receive_http *h = calloc(1, sizeof(*h));

	if (!h)
		return err__set(err, -ENOMEM, "out of memory");
	*h = (struct receive_http){ .mhd = mhd, .receiver = receiver };
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

int receive_http__fd(const struct receive_http *h)
{
	return h->mhd->MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

uint64_t receive_http__work(struct receive_http *h, uint64_t now)
{
	uint64_t next = clients__end_slow(&h->clients, now);
	unsigned long long ms = 0;
	bool timed = true;

	for (int i = 0; i < ROUNDS && timed && !ms; i++) {
		h->mhd->MHD_run(h->daemon);
		timed = h->mhd->MHD_get_timeout(h->daemon, &ms) == MHD_YES;
	}
	if (timed) {
		uint64_t at = ms ? now + ms * 1000000 : 1;

		next = next && next < at ? next : at;
	}
	return next;
}

void receive_http__free(struct receive_http *h)
{
	if (!h)
		return;
	h->mhd->MHD_stop_daemon(h->daemon);
	for (int i = 0; i < SPARES; i++)
		buf__free(&h->spares[i]);
	free(h);
}
