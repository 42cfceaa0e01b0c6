// SPDX-License-Identifier: Apache-2.0
/* An ended exchange as a span: HTTP semantic conventions 1.44. */
#include <stdio.h>
#include <string.h>

#include "core/endpoints.h"
#include "core/proto/http1.h"
#include "core/proto/http2.h"
#include "core/said.h"

#define STATUS_ERROR 2
/* Values of one header that are joined into one attribute. */
#define HEADER_VALUE_MAX_BYTES 1024

struct view http1__header(const struct exchange *ex, struct view name, unsigned int nth)
{
	if (!(ex->fields.lengths & header_length_bit(name.len)))
		return (struct view){ 0 };
	for (unsigned int i = 0; i < ex->fields.n; i++)
		if (view_eq_nocase(ex->fields.at[i].name, name) && !nth--)
			return ex->fields.at[i].value;
	return (struct view){ 0 };
}

/* The first element of a list. */
static struct view first_of(struct view list)
{
	const char *comma = list.len ? memchr(list.at, ',', list.len) : NULL;

	if (comma)
		list.len = (size_t)(comma - list.at);
	while (list.len && (list.at[list.len - 1] == ' ' || list.at[list.len - 1] == '\t'))
		list.len--;
	return list;
}

/* None of the names of what a proxy in front says is there: nearly always. */
static bool no_proxy(const struct exchange *ex)
{
	const uint64_t any = header_length_bit(sizeof("forwarded") - 1) |
			     header_length_bit(sizeof("x-forwarded-for") - 1) |
			     header_length_bit(sizeof("x-forwarded-host") - 1) |
			     header_length_bit(sizeof("x-forwarded-proto") - 1);

	return !(ex->fields.lengths & any);
}

/* What a proxy in front says: Forwarded (RFC 7239), else its older form. */
static inline struct view proxy_says(const struct exchange *ex, struct view parameter,
				     struct view header)
{
	struct view v;

	if (no_proxy(ex))
		return (struct view){ 0 };
	v = http1__forwarded(http1__header(ex, VIEW("forwarded"), 0), parameter);
	return v.len ? v : first_of(http1__header(ex, header, 0));
}

/* list: separated by commas, with or without spaces around them. */
static bool is_known_method(struct view method, const char *list)
{
	const char *at = list, *end;

	while (*at) {
		size_t n = 0;

		while (*at == ' ')
			at++;
		while (n < method.len && at[n] == method.at[n] && at[n])
			n++;
		for (end = at + n; *end == ' ';)
			end++;
		if (n == method.len && (!*end || *end == ','))
			return true;
		at = strchrnul(end, ',');
		at += *at == ',';
	}
	return false;
}

static void describe_method(const struct exchange *ex, const struct describe_options *options,
			    struct span *span)
{
	const char *known = options->known_methods;

	/* HTTP/2: it was said before sonde was there */
	if (!ex->method.len && ex->flags & EX_FIELDS_PARTIAL) {
		span->name = VIEW("HTTP");
		return;
	}
	if (!known || !*known)
		known = "GET,POST,PUT,DELETE,HEAD,OPTIONS,PATCH,CONNECT,TRACE,QUERY";
	if (is_known_method(ex->method, known)) {
		span->name = ex->method;
		span__set_string(span, ATTR_HTTP_REQUEST_METHOD, ex->method);
		return;
	}
	span->name = VIEW("HTTP");
	span__set_string(span, ATTR_HTTP_REQUEST_METHOD, VIEW("_OTHER"));
	span__set_string(span, ATTR_HTTP_REQUEST_METHOD_ORIGINAL, ex->method);
}

static void describe_status(const struct exchange *ex, struct span *span)
{
	bool server = ex->side == SIDE_SERVER;
	char *text;

	if (ex->status)
		span__set_int(span, ATTR_HTTP_RESPONSE_STATUS_CODE, ex->status);
	if (ex->error_type) {
		span__set_string(span, ATTR_ERROR_TYPE, view_of(ex->error_type));
		/* That tracing ended says nothing about the program. */
		if (strcmp(ex->error_type, "tracing_ended"))
			span->status = STATUS_ERROR;
		return;
	}
	if (ex->status < (server ? 500 : 400))
		return;
	span->status = STATUS_ERROR;
	text = span__scratch(span, 4);
	if (!text)
		return;
	snprintf(text, 4, "%03u", ex->status % 1000u);
	span__set_string(span, ATTR_ERROR_TYPE, (struct view){ text, 3 });
}

static int64_t number(struct view digits)
{
	int64_t n = 0;

	for (size_t i = 0; i < digits.len; i++)
		n = n * 10 + (digits.at[i] - '0');
	return n;
}

static void describe_server_address(struct span *span, struct view host, struct view port,
				    struct view scheme)
{
	if (!host.len)
		return;
	span__set_string(span, ATTR_SERVER_ADDRESS, host);
	if (port.len)
		span__set_int(span, ATTR_SERVER_PORT, number(port));
	else
		span__set_int(span, ATTR_SERVER_PORT,
			      view_eq_nocase(scheme, VIEW("https")) ? 443 : 80);
}

static void describe_query(struct span *span, const struct http1_url *url,
			   const struct describe_options *options)
{
	struct view query = http1__redact_query(span, url->query, options->query_values);

	if (query.len)
		span__set_string(span, ATTR_URL_QUERY, query);
}

/* As sent: without brackets, and for a node of Forwarded without its port. */
static void describe_client_address(const struct exchange *ex, struct span *span)
{
	struct view who = proxy_says(ex, VIEW("for"), VIEW("x-forwarded-for")), port;
	const struct endpoints *to = &ex->endpoints;
	char *text;
	size_t n;

	if (who.len) {
		http1__split_host(who, &who, &port);
		span__set_string(span, ATTR_CLIENT_ADDRESS, who);
		return;
	}
	text = span__scratch(span, ENDPOINTS_ADDRESS_MAX_BYTES);
	n = text ? endpoints__format_as_is(text, to->family, to->remote) : 0;
	if (n)
		span__set_string(span, ATTR_CLIENT_ADDRESS, (struct view){ text, n });
}

static void describe_request(const struct exchange *ex, const struct http1_url *url,
			     struct view scheme, struct span *span)
{
	struct view host = proxy_says(ex, VIEW("host"), VIEW("x-forwarded-host"));
	struct view agent = http1__header(ex, VIEW("user-agent"), 0), port = url->port;

	if (host.len)
		http1__split_host(host, &host, &port);
	else if (url->host.len) /* RFC 9112 3.2.2: a server must ignore Host then */
		host = url->host;
	else
		http1__split_host(http1__header(ex, VIEW("host"), 0), &host, &port);
	describe_server_address(span, host, port, scheme);
	describe_client_address(ex, span);
	if (agent.len)
		span__set_string(span, ATTR_USER_AGENT_ORIGINAL, agent);
}

/* What the connection is, where nobody says otherwise. */
static struct view scheme_of(const struct exchange *ex)
{
	return ex->flags & EX_CARRIED ? VIEW("https") : VIEW("http");
}

static void describe_server(const struct exchange *ex, const struct describe_options *options,
			    const struct http1_url *url, struct span *span)
{
	struct view scheme = proxy_says(ex, VIEW("proto"), VIEW("x-forwarded-proto"));
	bool usual =
		no_proxy(ex) && !url->scheme.len && !url->host.len && !(ex->flags & EX_CARRIED);
	struct view from[2];
	struct span_mark before;

	if (!scheme.len)
		scheme = url->scheme.len ? url->scheme : scheme_of(ex);
	span__set_string(span, ATTR_URL_SCHEME, scheme);
	if (url->path.len)
		span__set_string(span, ATTR_URL_PATH, url->path);
	else if (url->scheme.len) /* an absolute target without a path: RFC 9112 3.2.1 */
		span__set_string(span, ATTR_URL_PATH, VIEW("/"));
	describe_query(span, url, options);
	if (!usual) {
		describe_request(ex, url, scheme, span);
		return;
	}
	/* Nothing else goes into it: a client says the same with every request. */
	from[0] = http1__header(ex, VIEW("host"), 0);
	from[1] = http1__header(ex, VIEW("user-agent"), 0);
	before = span__mark(span);
	if (said__again(span, ex, SAID_REQUEST, from, 2))
		return;
	describe_request(ex, url, scheme, span);
	said__keep(span, ex, SAID_REQUEST, from, 2, before);
}

/* Appends to text at *n; false: it does not fit. */
static bool put(char *text, size_t size, size_t *n, struct view v)
{
	if (v.len > size - *n)
		return false;
	if (v.len)
		memcpy(text + *n, v.at, v.len);
	*n += v.len;
	return true;
}

static void describe_client(const struct exchange *ex, const struct describe_options *options,
			    const struct http1_url *url, struct span *span)
{
	struct view scheme = url->scheme.len ? url->scheme : scheme_of(ex);
	struct view authority = http1__header(ex, VIEW("host"), 0), query;
	struct view host = url->host, port = url->port;
	size_t n = 0, size;
	bool v6, fits;
	char *text;

	if (!host.len)
		http1__split_host(authority, &host, &port);
	describe_server_address(span, host, port, scheme);
	if (!host.len || view_eq(ex->method, VIEW("CONNECT")))
		return;
	query = http1__redact_query(span, url->query, options->query_values);
	size = scheme.len + sizeof("://REDACTED:REDACTED@[]:/?") + host.len + port.len +
	       url->path.len + query.len;
	text = span__scratch(span, size);
	if (!text)
		return;
	v6 = memchr(host.at, ':', host.len);
	fits = put(text, size, &n, scheme) && put(text, size, &n, VIEW("://"));
	if (url->userinfo.len)
		fits = fits && put(text, size, &n,
				   memchr(url->userinfo.at, ':', url->userinfo.len) ?
					   VIEW("REDACTED:REDACTED@") :
					   VIEW("REDACTED@"));
	fits = fits && put(text, size, &n, v6 ? VIEW("[") : VIEW("")) &&
	       put(text, size, &n, host) && put(text, size, &n, v6 ? VIEW("]") : VIEW(""));
	if (port.len)
		fits = fits && put(text, size, &n, VIEW(":")) && put(text, size, &n, port);
	fits = fits && put(text, size, &n, url->path.len ? url->path : VIEW("/"));
	if (query.len)
		fits = fits && put(text, size, &n, VIEW("?")) && put(text, size, &n, query);
	if (fits)
		span__set_string(span, ATTR_URL_FULL, (struct view){ text, n });
}

static bool is_secret(struct view name)
{
	static const struct view secrets[] = {
		VIEW("authorization"),	      VIEW("proxy-authorization"), VIEW("cookie"),
		VIEW("set-cookie"),	      VIEW("x-api-key"),	   VIEW("x-auth-token"),
		VIEW("x-amz-security-token"),
	};

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (view_eq_nocase(name, secrets[i]))
			return true;
	return false;
}

/* One attribute a name; further fields of the same name are joined to the first (RFC 9110 5.3). */
static void describe_fields(const struct header_fields *from, struct view prefix, struct span *span)
{
	const struct header_field *fields = from->at;
	char joined[HEADER_VALUE_MAX_BYTES], lower[128];

	for (unsigned int i = 0; i < from->n; i++) {
		struct view name = fields[i].name;
		unsigned int before = 0;
		size_t len = 0;

		while (before < i && !view_eq_nocase(fields[before].name, name))
			before++;
		if (before < i || name.len > sizeof(lower))
			continue;
		for (size_t k = 0; k < name.len; k++) {
			char c = name.at[k];

			lower[k] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
		}
		if (is_secret(name))
			put(joined, sizeof(joined), &len, VIEW("REDACTED"));
		else
			for (unsigned int k = i; k < from->n; k++)
				if (view_eq_nocase(fields[k].name, name) &&
				    ((k > i && !put(joined, sizeof(joined), &len, VIEW(", "))) ||
				     !put(joined, sizeof(joined), &len, fields[k].value)))
					break;
		span__set_custom(span, prefix, (struct view){ lower, name.len },
				 (struct view){ joined, len });
	}
}

void http1__describe(const struct exchange *ex, const struct describe_options *options,
		     struct span *span)
{
	struct http1_url url;

	span->kind = (uint8_t)ex->side;
	http1__split_target(ex->method, ex->target, &url);
	describe_method(ex, options, span);
	if (ex->side == SIDE_SERVER)
		describe_server(ex, options, &url, span);
	else
		describe_client(ex, options, &url, span);
	if (ex->version.len)
		span__set_string(span, ATTR_NETWORK_PROTOCOL_VERSION, ex->version);
	describe_status(ex, span);
	grpc__describe_web(ex, url.path, span);
	if (options->headers)
		http1__describe_heads(ex, span);
}

void http1__describe_server(const struct exchange *ex, const struct http1_url *url,
			    struct span *span)
{
	struct view host = url->host, port = url->port, scheme = url->scheme;

	if (!host.len)
		http1__split_host(http1__header(ex, VIEW("host"), 0), &host, &port);
	describe_server_address(span, host, port, scheme.len ? scheme : VIEW("http"));
}

void http1__describe_heads(const struct exchange *ex, struct span *span)
{
	if (!(ex->flags & EX_SIZES_UNKNOWN))
		span__set_int(span, ATTR_HTTP_REQUEST_BODY_SIZE, (int64_t)ex->request_body_bytes);
	if (ex->flags & EX_RESPONSE && !(ex->flags & EX_SIZES_UNKNOWN))
		span__set_int(span, ATTR_HTTP_RESPONSE_BODY_SIZE, (int64_t)ex->response_body_bytes);
	describe_fields(&ex->fields, VIEW("http.request.header."), span);
	describe_fields(&ex->response_fields, VIEW("http.response.header."), span);
}
