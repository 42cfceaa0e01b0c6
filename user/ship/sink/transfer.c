// SPDX-License-Identifier: Apache-2.0
#include "ship/sink/transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define CONNECTION_LIFE_S 3600L
#define IDLE_LIFE_S 300L
/* libcurl keeps the heads of an answer, without a bound. */
#define HEADS_MAX_BYTES (256u << 10)

struct transfers {
	CURLM *multi;
	struct loop *loop;
	uint64_t timer;
};

struct transfer {
	struct transfers *transfers;
	const struct ship_otlp *config;
	void (*done)(void *arg, const struct transfer_result *result);
	void *arg;
	CURL *easy;
	struct curl_slist *headers;
	char error[CURL_ERROR_SIZE];
	bool flying;
	struct transfer_body body;
	/* of the answer that is being received */
	struct buf response;
	struct answer answer;
	bool json, too_long;
	size_t heads_bytes;
};

static void act(struct transfers *ts, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(ts->multi, fd, what, &running);
}

static void on_ready(void *arg, int fd, uint32_t events)
{
	int what = (events & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) |
		   (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
		   (events & EPOLLERR ? CURL_CSELECT_ERR : 0);

	act(arg, fd, what);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socketp)
{
	struct transfers *ts = arg;
	uint32_t events =
		(what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);

	if (what == CURL_POLL_REMOVE)
		loop__unwatch(ts->loop, fd);
	else if (loop__watch(ts->loop, fd, events, on_ready, ts))
		return -1;
	return 0;
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
	struct transfers *ts = arg;

	ts->timer = ms < 0 ? 0 : loop__now() + (uint64_t)ms * 1000000u;
	return 0;
}

struct transfers *transfers__new(struct loop *loop)
{
	struct transfers *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return NULL;
	ts->loop = loop;
	ts->multi = curl_global_init(CURL_GLOBAL_DEFAULT) ? NULL : curl_multi_init();
	if (!ts->multi) {
		free(ts);
		return NULL;
	}
	curl_multi_setopt(ts->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(ts->multi, CURLMOPT_SOCKETDATA, ts);
	curl_multi_setopt(ts->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(ts->multi, CURLMOPT_TIMERDATA, ts);
	curl_multi_setopt(ts->multi, CURLMOPT_MAXCONNECTS, (long)SHIP_SINKS_MAX);
	return ts;
}

void transfers__free(struct transfers *ts)
{
	if (!ts)
		return;
	curl_multi_cleanup(ts->multi);
	curl_global_cleanup();
	free(ts);
}

uint64_t transfers__timer(const struct transfers *ts)
{
	return ts->timer;
}

/* What the body says beside the status: rejected spans, or the reason in words. */
static void read_body(struct transfer *t)
{
	struct view body = { (const char *)t->response.at, t->response.len };
	struct answer *a = &t->answer;
	bool taken = a->http_status >= 200 && a->http_status < 300;

	if (t->too_long || !body.len)
		return;
	if (a->grpc) {
		/* A compressed answer was not asked for. */
		if (a->grpc_status == GRPC_OK && body.len >= 5 && !body.at[0])
			retry__read_protobuf(a, (struct view){ body.at + 5, body.len - 5 });
		return;
	}
	if (taken && t->json)
		retry__read_json(a, body);
	else if (taken)
		retry__read_protobuf(a, body);
	else
		retry__read_status(a, body, t->json);
}

static bool all_sent(const struct transfer *t)
{
	curl_off_t sent = 0;

	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
	return t->body.len && sent >= (curl_off_t)t->body.len;
}

static void finish(struct transfer *t, CURLcode code)
{
	struct transfer_result result = { .error = NULL };

	t->flying = false;
	/*
	 * Broken off by ourselves after 4 MiB of answer, or an answer that is not compressed as it
	 * says: its status is known.
	 */
	if (code == CURLE_BAD_CONTENT_ENCODING)
		t->too_long = true;
	t->answer.received = (code == CURLE_OK || t->too_long) && t->answer.http_status;
	if (t->answer.received) {
		read_body(t);
	} else {
		result.sent = all_sent(t);
		result.error = *t->error ? t->error : curl_easy_strerror(code);
	}
	result.answer = t->answer;
	t->done(t->arg, &result);
}

void transfers__work(struct transfers *ts, uint64_t now)
{
	struct transfer *t;
	CURLMsg *msg;
	CURLcode code;
	int left;

	if (ts->timer && now >= ts->timer) {
		ts->timer = 0;
		act(ts, CURL_SOCKET_TIMEOUT, 0);
	}
	while ((msg = curl_multi_info_read(ts->multi, &left))) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		code = msg->data.result;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &t);
		curl_multi_remove_handle(ts->multi, t->easy);
		finish(t, code);
	}
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	buf__add(&t->response, bytes, size * n);
	if (!t->response.err)
		return size * n;
	t->too_long = true;
	return 0;
}

/* Straight into libcurl's own buffer. */
static size_t on_read(char *to, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	return t->body.read(t->body.arg, to, size * n);
}

/* A kept connection that turns out to be closed: the request goes out once more over another. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (offset || origin != SEEK_SET || t->body.at)
		return CURL_SEEKFUNC_CANTSEEK;
	t->body.rewind(t->body.arg);
	return CURL_SEEKFUNC_OK;
}

static bool header_is(struct view line, const char *name, struct view *ret_value)
{
	size_t n = strlen(name);

	if (line.len <= n || line.at[n] != ':' ||
	    !view_eq_nocase((struct view){ line.at, n }, view_of(name)))
		return false;
	line = (struct view){ line.at + n + 1, line.len - n - 1 };
	while (line.len && (*line.at == ' ' || *line.at == '\t'))
		line = (struct view){ line.at + 1, line.len - 1 };
	while (line.len && strchr(" \t\r\n", line.at[line.len - 1]))
		line.len--;
	*ret_value = line;
	return true;
}

static int number_of(struct view v)
{
	int n = 0;

	for (size_t i = 0; i < v.len; i++) {
		if (v.at[i] < '0' || v.at[i] > '9' || n > 1000)
			return GRPC_UNKNOWN;
		n = n * 10 + (v.at[i] - '0');
	}
	return v.len ? n : GRPC_UNKNOWN;
}

static void read_header(struct transfer *t, struct view line)
{
	struct answer *a = &t->answer;
	struct view value;
	int64_t wait;

	if (header_is(line, "retry-after", &value)) {
		a->wait_ms = retry__after_ms(value, (int64_t)time(NULL));
	} else if (header_is(line, "content-type", &value)) {
		t->json = value.len >= 16 &&
			  view_eq_nocase((struct view){ value.at, 16 }, VIEW("application/json"));
	} else if (header_is(line, "grpc-status", &value)) {
		a->grpc_status = number_of(value);
	} else if (header_is(line, "grpc-message", &value)) {
		snprintf(a->message, sizeof(a->message), "%.*s",
			 (int)(value.len < 255 ? value.len : 255), value.at);
	} else if (header_is(line, "grpc-status-details-bin", &value)) {
		if (retry__grpc_details(value, &wait)) {
			a->retry_info = true;
			if (wait >= 0)
				a->wait_ms = wait;
		}
	}
}

/* Headers and, after the body, trailers. */
static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	struct view line = { bytes, size * n };
	struct transfer *t = arg;
	long status = 0;

	t->heads_bytes += line.len;
	if (t->heads_bytes > HEADS_MAX_BYTES)
		return 0;
	if (line.len > 5 && !memcmp(line.at, "HTTP/", 5)) {
		curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
		t->answer = (struct answer){ .grpc = t->config->protocol == SHIP_GRPC,
					     .http_status = (int)status,
					     .grpc_status = GRPC_NONE,
					     .wait_ms = -1 };
		t->json = false;
	} else {
		read_header(t, line);
	}
	return size * n;
}

static int add_header(struct transfer *t, const char *name, const char *value)
{
	struct buf line = { 0 };
	struct curl_slist *longer;

	/* An empty value needs a semicolon, or libcurl takes the header away. */
	buf__printf(&line, *value ? "%s: %s" : "%s;%s", name, value);
	buf__add(&line, "", 1);
	longer = line.err ? NULL : curl_slist_append(t->headers, (const char *)line.at);
	buf__free(&line);
	if (!longer)
		return -ENOMEM;
	t->headers = longer;
	return 0;
}

static int set_headers(struct transfer *t, const char *encoding)
{
	static const char *const types[] = { [SHIP_HTTP_PROTOBUF] = "application/x-protobuf",
					     [SHIP_HTTP_JSON] = "application/json",
					     [SHIP_GRPC] = "application/grpc" };
	const struct ship_otlp *c = t->config;
	bool grpc = c->protocol == SHIP_GRPC;
	struct curl_slist *longer;
	char timeout[32];
	int err;

	curl_slist_free_all(t->headers);
	/* Not `Expect: 100-continue`: a round trip more, and some backends never answer it. */
	t->headers = longer = curl_slist_append(NULL, "Expect:");
	if (!longer)
		return -ENOMEM;
	err = add_header(t, "Content-Type", types[c->protocol]);
	if (!err && encoding)
		err = add_header(t, grpc ? "grpc-encoding" : "Content-Encoding", encoding);
	if (!err && grpc)
		err = add_header(t, "TE", "trailers");
	if (!err && grpc && c->timeout_ms && c->timeout_ms < 100000000) {
		snprintf(timeout, sizeof(timeout), "%llum", (unsigned long long)c->timeout_ms);
		err = add_header(t, "grpc-timeout", timeout);
	}
	for (uint32_t i = 0; !err && i < c->n_headers; i++)
		err = add_header(t, c->headers[i].name, c->headers[i].value);
	return err;
}

/* The file where we may open it, else what the parent read. */
static void use_pem(CURL *easy, const char *path, char *pem, CURLoption file_option,
		    CURLoption blob_option)
{
	struct curl_blob blob = { .data = pem,
				  .len = pem ? strlen(pem) : 0,
				  .flags = CURL_BLOB_NOCOPY };
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	if (fd >= 0 || !pem) {
		curl_easy_setopt(easy, blob_option, NULL);
		curl_easy_setopt(easy, file_option, path);
	} else {
		curl_easy_setopt(easy, file_option, NULL);
		curl_easy_setopt(easy, blob_option, &blob);
	}
}

static void use_certificates(CURL *easy, const struct ship_otlp *c)
{
	use_pem(easy, c->ca_file, c->ca_pem, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB);
	use_pem(easy, c->cert_file, c->cert_pem, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB);
	use_pem(easy, c->key_file, c->key_pem, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB);
}

static void set_tls(CURL *easy, const struct ship_otlp *c)
{
	if (c->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	/* A rotated CA counts from the next connection on, and a session says nothing about it. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, CONNECTION_LIFE_S);
	curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_LIFE_S);
}

/*
 * A second request over an HTTP/2 connection without TLS fails with CURLE_HTTP2: from 7.87, where
 * HTTP/2 became a connection filter, until curl pull request 10643 (8.0.0).
 */
static bool reuse_is_broken(void)
{
	unsigned int version = curl_version_info(CURLVERSION_NOW)->version_num;

	return version >= 0x075700 && version < 0x080000;
}

/*
 * http_proxy and its like are libcurl's to read. This machine itself is never reached through a
 * proxy, as other exporters have it; gRPC goes through one by CONNECT only.
 */
static int set_proxy(CURL *easy, bool grpc)
{
	const char *list = getenv("no_proxy");
	struct buf text = { 0 };
	int ret;

	list = list ? list : getenv("NO_PROXY");
	/* Every host, but only where it stands alone (CURLOPT_NOPROXY). */
	if (list && !strcmp(list, "*"))
		return curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") ? -ENOMEM : 0;
	if (list && *list)
		buf__printf(&text, "%s,", list);
	buf__add_str(&text, "localhost,127.0.0.1,::1");
	buf__add(&text, "", 1);
	ret = text.err || curl_easy_setopt(easy, CURLOPT_NOPROXY, text.at) ? -ENOMEM : 0;
	buf__free(&text);
	curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, grpc ? 1L : 0L);
	return ret;
}

static int set_up(struct transfer *t)
{
	const struct ship_otlp *c = t->config;
	bool tls = !strncasecmp(c->endpoint, "https:", 6);
	CURL *easy = t->easy;
	long version = c->protocol != SHIP_GRPC ? CURL_HTTP_VERSION_1_1 :
		       tls			? CURL_HTTP_VERSION_2TLS :
						  CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE;

	if (curl_easy_setopt(easy, CURLOPT_URL, c->endpoint) ||
	    set_proxy(easy, c->protocol == SHIP_GRPC))
		return -ENOMEM;
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, version);
	if (version == CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE && reuse_is_broken())
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	/* Some compress what they answer whether it was asked for or not. */
	if (c->protocol != SHIP_GRPC)
		curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip");
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "sonde/" SONDE_VERSION);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)c->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, t);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	set_tls(easy, c);
	return 0;
}

struct transfer *transfer__new(struct transfers *transfers, const struct ship_otlp *config,
			       void (*done)(void *arg, const struct transfer_result *result),
			       void *arg, struct err *err)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		goto fail;
	t->transfers = transfers;
	t->config = config;
	t->done = done;
	t->arg = arg;
	t->response.max = SHIP_RESPONSE_MAX_BYTES;
	t->easy = curl_easy_init();
	if (!t->easy || set_up(t))
		goto fail;
	return t;
fail:
	err__set(err, -ENOMEM, "OTLP: out of memory");
	transfer__free(t);
	return NULL;
}

void transfer__free(struct transfer *t)
{
	if (!t)
		return;
	transfer__cancel(t);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	buf__free(&t->response);
	free(t);
}

int transfer__send(struct transfer *t, const struct transfer_body *body, const char *encoding)
{
	int err = set_headers(t, encoding);

	if (err)
		return err;
	buf__free(&t->response);
	t->answer = (struct answer){ .grpc = t->config->protocol == SHIP_GRPC,
				     .grpc_status = GRPC_NONE,
				     .wait_ms = -1 };
	t->too_long = false;
	t->heads_bytes = 0;
	*t->error = 0;
	t->body = *body;
	use_certificates(t->easy, t->config);
	curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	curl_easy_setopt(t->easy, CURLOPT_POSTFIELDS, body->at);
	if (curl_multi_add_handle(t->transfers->multi, t->easy))
		return -ENOMEM;
	t->flying = true;
	return 0;
}

bool transfer__cancel(struct transfer *t)
{
	bool sent;

	if (!t->flying)
		return false;
	sent = all_sent(t);
	curl_multi_remove_handle(t->transfers->multi, t->easy);
	t->flying = false;
	return sent;
}
