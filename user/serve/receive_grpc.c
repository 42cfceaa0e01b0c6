// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_grpc.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/clients.h"
#include "serve/receive_reply.h"

#define PATH "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
#define TYPE "application/grpc"

#define CONNECTIONS_MAX 512
#define CONNECTIONS_KEPT 480
#define STREAMS_MAX 32
/* What may be on its way before we have taken any of it: of a stream, of a connection. */
#define STREAM_WINDOW (1 << 20)
#define CONNECTION_WINDOW (4 << 20)
#define HEADERS_MAX_BYTES (16u << 10)
#define READ_BYTES (64u << 10)
#define EVENTS_MAX 64
#define REQUEST_NS 30000000000ull
#define REST_NS 300000000000ull
/* A flag (is it compressed?) and a length before each message. */
#define PREFIX_BYTES 5u

struct stream {
	struct stream *before, *after; /* of the connection */
	int32_t id;
	bool authorized, known_path, known_type, post, answered;
	enum receive_refusal refusal; /* what is known before all of it has come */
	char packing[16];
	struct buf body, reply;
	size_t sent; /* of reply */
	unsigned int code;
};

struct conn {
	struct conn *before, *after;
	struct receive_grpc *grpc;
	struct client *client;
	nghttp2_session *session;
	struct stream streams; /* a ring */
	const uint8_t
		*unsent; /* what the socket did not take; nghttp2's until it is asked for more */
	size_t n_unsent;
	int fd;
	bool waits; /* epoll tells when it can be written to */
};

struct receive_grpc {
	struct receiver *receiver;
	nghttp2_session_callbacks *callbacks;
	struct clients clients;
	struct conn conns; /* a ring */
	int epoll, listening;
};

static void free_stream(struct conn *c, struct stream *s)
{
	struct receiver *receiver = c->grpc->receiver;
	struct receive_answer ignored;

	if (!s->answered)
		receiver__refuse(receiver, RECEIVE_INCOMPLETE, &ignored);
	receiver__release(receiver, s->body.cap);
	s->before->after = s->after;
	s->after->before = s->before;
	buf__free(&s->body);
	buf__free(&s->reply);
	free(s);
}

static void free_conn(struct conn *c)
{
	/* Streams that are open are not closed by it: nobody is told of them. */
	while (c->streams.after != &c->streams)
		free_stream(c, c->streams.after);
	nghttp2_session_del(c->session);
	clients__remove(&c->grpc->clients, c->client);
	close(c->fd);
	c->before->after = c->after;
	c->after->before = c->before;
	free(c);
}

static bool is(const uint8_t *at, size_t len, const char *text)
{
	return len == strlen(text) && !memcmp(at, text, len);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct conn *c = arg;
	struct stream *s;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	s->id = frame->hd.stream_id;
	s->authorized = !c->grpc->receiver->config->token;
	s->before = c->streams.before;
	s->after = &c->streams;
	s->before->after = s->after->before = s;
	if (s->before == &c->streams)
		clients__set(&c->grpc->clients, c->client, CLIENT_ASKS);
	nghttp2_session_set_stream_user_data(session, s->id, s);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t len, uint8_t flags, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct conn *c = arg;
	char text[2048];

	if (!s)
		return 0;
	if (is(name, name_len, ":path"))
		s->known_path = is(value, len, PATH);
	else if (is(name, name_len, ":method"))
		s->post = is(value, len, "POST");
	else if (is(name, name_len, "content-type")) /* +proto, ;charset= */
		s->known_type = len >= sizeof(TYPE) - 1 && !memcmp(value, TYPE, sizeof(TYPE) - 1);
	else if (is(name, name_len, "grpc-encoding"))
		snprintf(s->packing, sizeof(s->packing), "%.*s", (int)len, value);
	else if (is(name, name_len, "authorization") && len < sizeof(text)) {
		memcpy(text, value, len);
		text[len] = 0;
		s->authorized = receiver__authorized(c->grpc->receiver, text);
	}
	return 0;
}

static void keep(struct receiver *r, struct stream *s, const uint8_t *bytes, size_t len)
{
	size_t before = s->body.cap;

	if (s->refusal != RECEIVE_TAKEN)
		return;
	if (s->body.len + len > RECEIVE_BODY_MAX_BYTES + PREFIX_BYTES)
		s->refusal = RECEIVE_TOO_LARGE;
	else if (!buf__reserve(&s->body, len) || !receiver__hold(r, s->body.cap - before))
		s->refusal = RECEIVE_BUSY;
	else
		buf__add(&s->body, bytes, len);
	if (s->refusal == RECEIVE_TAKEN)
		return;
	receiver__release(r, before);
	buf__free(&s->body);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
		   size_t len, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct conn *c = arg;

	if (s)
		keep(c->grpc->receiver, s, bytes, len);
	return 0;
}

/* The one message of a unary call; false: there is none, or more than that. */
static bool read_message(const struct stream *s, struct view *ret, bool *ret_packed)
{
	const uint8_t *at = s->body.at;
	uint32_t len;

	if (s->body.len < PREFIX_BYTES || at[0] > 1)
		return false;
	len = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 8 | at[4];
	*ret = (struct view){ (const char *)at + PREFIX_BYTES, len };
	*ret_packed = at[0];
	return len == s->body.len - PREFIX_BYTES;
}

static enum receive_refusal judge(const struct stream *s)
{
	return !s->authorized		  ? RECEIVE_UNAUTHORIZED :
	       !s->known_path || !s->post ? RECEIVE_NO_METHOD :
					    s->refusal;
}

static void take(struct receiver *r, struct stream *s, struct receive_answer *ret)
{
	enum receive_refusal refusal = judge(s);
	struct view message;
	bool packed = false;

	if (refusal == RECEIVE_TAKEN && !read_message(s, &message, &packed))
		refusal = RECEIVE_MALFORMED;
	if (refusal == RECEIVE_TAKEN)
		receiver__take(r, message, view_of(packed ? s->packing : ""), RECEIVE_PROTOBUF,
			       ret);
	else
		receiver__refuse(r, refusal, ret);
	receiver__release(r, s->body.cap);
	buf__free(&s->body);
}

#define HEADER(name, value)                                                                        \
	{                                                                                          \
		(uint8_t *)(name), (uint8_t *)(value), strlen(name), strlen(value),                \
			NGHTTP2_NV_FLAG_NONE                                                       \
	}

/* PROTOCOL-HTTP2.md, "Status-Message": what is no visible ASCII, and '%', as %XX. Our texts are ASCII. */
static void add_message(char *to, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n + 4 < room; text++) {
		if (*text == '%')
			n += (size_t)snprintf(to + n, room - n, "%%25");
		else
			to[n++] = *text;
	}
	to[n] = 0;
}

static void submit_trailers(nghttp2_session *session, const struct stream *s)
{
	char code[8];
	nghttp2_nv trailers[] = { HEADER("grpc-status", code) };

	trailers[0].valuelen = (size_t)snprintf(code, sizeof(code), "%u", s->code);
	nghttp2_submit_trailer(session, s->id, trailers, 1);
}

static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
		       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct stream *s = source->ptr;
	size_t n = s->reply.len - s->sent < room ? s->reply.len - s->sent : room;

	memcpy(to, s->reply.at + s->sent, n);
	s->sent += n;
	if (s->sent < s->reply.len)
		return (ssize_t)n;
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	submit_trailers(session, s);
	return (ssize_t)n;
}

/* A status alone, in the headers. */
static int refuse(nghttp2_session *session, struct stream *s, const char *text)
{
	char code[8], message[1024];
	nghttp2_nv headers[] = { HEADER(":status", "200"), HEADER("content-type", TYPE),
				 HEADER("grpc-accept-encoding", "gzip,deflate,zstd"),
				 HEADER("grpc-status", ""), HEADER("grpc-message", "") };

	add_message(message, sizeof(message), text);
	headers[3].valuelen = (size_t)snprintf(code, sizeof(code), "%u", s->code);
	headers[3].value = (uint8_t *)code;
	headers[4].value = (uint8_t *)message;
	headers[4].valuelen = strlen(message);
	return nghttp2_submit_response(session, s->id, headers, 5, NULL);
}

/* A sender of something else than gRPC reads the status of HTTP. */
static int refuse_type(nghttp2_session *session, struct stream *s)
{
	nghttp2_nv headers[] = { HEADER(":status", "415") };

	return nghttp2_submit_response(session, s->id, headers, 1, NULL);
}

static int reply(nghttp2_session *session, struct stream *s, const struct receive_answer *answer)
{
	nghttp2_nv headers[] = { HEADER(":status", "200"), HEADER("content-type", TYPE) };
	nghttp2_data_provider body = { { .ptr = s }, on_read };
	uint8_t prefix[PREFIX_BYTES] = { 0 };

	buf__add(&s->reply, prefix, sizeof(prefix));
	receive_reply(answer, RECEIVE_PROTOBUF, &s->reply);
	if (s->reply.err)
		return NGHTTP2_ERR_NOMEM;
	for (unsigned int i = 0; i < 4; i++)
		s->reply.at[1 + i] = (uint8_t)((s->reply.len - PREFIX_BYTES) >> (24 - 8 * i));
	return nghttp2_submit_response(session, s->id, headers, 2, &body);
}

static int answer(struct conn *c, struct stream *s)
{
	struct receiver *r = c->grpc->receiver;
	struct receive_answer said;
	int ret;

	s->answered = true;
	if (!s->known_type) {
		receiver__refuse(r, RECEIVE_BAD_TYPE, &said);
		ret = refuse_type(c->session, s);
	} else {
		take(r, s, &said);
		s->code = receive_reply__code(said.refusal);
		ret = s->code ? refuse(c->session, s, said.text) : reply(c->session, s, &said);
	}
	clients__set(&c->grpc->clients, c->client, CLIENT_ASKS);
	return ret ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct conn *c = arg;
	struct stream *s;

	if (frame->hd.type == NGHTTP2_SETTINGS && c->streams.after == &c->streams)
		clients__set(&c->grpc->clients, c->client, CLIENT_RESTS);
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	return s && !s->answered ? answer(c, s) : 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct stream *s = nghttp2_session_get_stream_user_data(session, id);
	struct conn *c = arg;

	if (!s)
		return 0;
	free_stream(c, s);
	if (c->streams.after == &c->streams)
		clients__set(&c->grpc->clients, c->client, CLIENT_RESTS);
	return 0;
}

static int make_callbacks(nghttp2_session_callbacks **ret)
{
	nghttp2_session_callbacks *callbacks;

	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	*ret = callbacks;
	return 0;
}

static int begin_session(struct conn *c)
{
	const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW },
		{ NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADERS_MAX_BYTES },
	};

	if (nghttp2_session_server_new(&c->session, c->grpc->callbacks, c))
		return -ENOMEM;
	if (nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
				    sizeof(settings) / sizeof(settings[0])) ||
	    nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
						  CONNECTION_WINDOW))
		return -ENOMEM;
	return 0;
}

static void wait_for_room(struct conn *c, bool waits)
{
	struct epoll_event event = { .events = waits ? EPOLLOUT : EPOLLIN, .data.ptr = c };

	if (c->waits != waits)
		epoll_ctl(c->grpc->epoll, EPOLL_CTL_MOD, c->fd, &event);
	c->waits = waits;
}

/* False: the connection is over. */
static bool send_all(struct conn *c)
{
	for (;;) {
		ssize_t n;

		if (!c->n_unsent) {
			n = nghttp2_session_mem_send(c->session, &c->unsent);
			if (n < 0)
				return false;
			c->n_unsent = (size_t)n;
		}
		if (!c->n_unsent)
			break;
		n = send(c->fd, c->unsent, c->n_unsent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			wait_for_room(c, true);
			return true;
		}
		if (n < 0)
			return false;
		c->unsent += n;
		c->n_unsent -= (size_t)n;
	}
	wait_for_room(c, false);
	return nghttp2_session_want_read(c->session) || nghttp2_session_want_write(c->session);
}

static bool receive(struct conn *c)
{
	static uint8_t bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (!n)
		return false;
	return nghttp2_session_mem_recv(c->session, bytes, (size_t)n) == n;
}

static void on_event(struct conn *c, uint32_t events)
{
	bool alive = true;

	/* Whoever takes no answers is not read from. */
	if (!c->waits)
		alive = receive(c);
	else if (events & (EPOLLERR | EPOLLHUP))
		alive = false;
	/* Where it is over by our saying so, that is said. */
	if (!send_all(c) || !alive)
		free_conn(c);
}

static void add_conn(struct receive_grpc *g, int fd)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct conn *c = g->clients.n < CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		close(fd);
		return;
	}
	c->grpc = g;
	c->fd = fd;
	c->streams.before = c->streams.after = &c->streams;
	c->before = g->conns.before;
	c->after = &g->conns;
	c->before->after = c->after->before = c;
	c->client = clients__add(&g->clients, fd);
	event.data.ptr = c;
	if (!c->client || epoll_ctl(g->epoll, EPOLL_CTL_ADD, fd, &event) || begin_session(c) ||
	    !send_all(c))
		free_conn(c);
}

static void accept_all(struct receive_grpc *g)
{
	int fd;

	while ((fd = accept4(g->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		add_conn(g, fd);
}

int receive_grpc__new(struct receive_grpc **ret, struct receiver *receiver, int listening,
		      struct err *err)
{
	static const uint64_t limits_ns[] = {
		[CLIENT_ASKS] = REQUEST_NS, [CLIENT_TAKES] = REQUEST_NS, [CLIENT_RESTS] = REST_NS
	};
	struct receive_grpc *g = calloc(1, sizeof(*g));
	struct epoll_event event = { .events = EPOLLIN };
	int bad;

	if (!g)
		return err__set(err, -ENOMEM, "out of memory");
	g->receiver = receiver;
	g->listening = listening;
	g->conns.before = g->conns.after = &g->conns;
	clients__begin(&g->clients, CONNECTIONS_KEPT, limits_ns);
	g->epoll = epoll_create1(EPOLL_CLOEXEC);
	bad = g->epoll < 0 ? -errno : make_callbacks(&g->callbacks);
	if (!bad && epoll_ctl(g->epoll, EPOLL_CTL_ADD, listening, &event))
		bad = -errno;
	if (bad) {
		receive_grpc__free(g);
		return err__set(err, bad, "gRPC cannot be received: %s", strerror(-bad));
	}
	*ret = g;
	return 0;
}

int receive_grpc__fd(const struct receive_grpc *g)
{
	return g->epoll;
}

uint64_t receive_grpc__work(struct receive_grpc *g, uint64_t now)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(g->epoll, events, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
		if (events[i].data.ptr)
			on_event(events[i].data.ptr, events[i].events);
	for (int i = 0; i < n; i++)
		if (!events[i].data.ptr)
			accept_all(g);
	return clients__end_slow(&g->clients, now);
}

void receive_grpc__free(struct receive_grpc *g)
{
	if (!g)
		return;
	while (g->conns.after != &g->conns)
		free_conn(g->conns.after);
	nghttp2_session_callbacks_del(g->callbacks);
	if (g->epoll >= 0)
		close(g->epoll);
	close(g->listening);
	free(g);
}
