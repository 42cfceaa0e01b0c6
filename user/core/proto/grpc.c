// SPDX-License-Identifier: Apache-2.0
/*
 * gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): names, status,
 * deadlines; attributes by the RPC semantic conventions 1.44. What of grpc-web
 * (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) and of Connect (https://connectrpc.com/docs/protocol)
 * stands in fields of HTTP.
 */
#include <string.h>

#include "core/proto/http1.h"
#include "core/proto/http2.h"
#include "core/span.h"

#define STATUS_ERROR 2
#define NS_PER_MS 1000000

enum {
	RPC_OK = 0,
	RPC_CANCELLED = 1,
	RPC_UNKNOWN = 2,
	RPC_DEADLINE_EXCEEDED = 4,
	RPC_PERMISSION_DENIED = 7,
	RPC_RESOURCE_EXHAUSTED = 8,
	RPC_UNIMPLEMENTED = 12,
	RPC_INTERNAL = 13,
	RPC_UNAVAILABLE = 14,
	RPC_DATA_LOSS = 15
};

/* https://github.com/grpc/grpc/blob/master/doc/statuscodes.md */
static const char *const names[] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};
#define NAMES (sizeof(names) / sizeof(names[0]))

bool grpc__is_content_type(struct view value)
{
	const struct view type = VIEW("application/grpc");

	return value.len >= type.len && view_eq_nocase((struct view){ value.at, type.len }, type) &&
	       (value.len == type.len || value.at[type.len] == '+' || value.at[type.len] == ';');
}

bool grpc__is_export(struct view path)
{
	return view_eq(path, VIEW("/opentelemetry.proto.collector.trace.v1.TraceService/Export"));
}

int grpc__status_of(struct view value)
{
	int n = 0;

	if (!value.len || value.len > 4)
		return -1;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return -1;
		n = n * 10 + value.at[i] - '0';
	}
	return n;
}

uint16_t grpc__status_of_reset(uint32_t code)
{
	switch (code) {
	case 7: /* REFUSED_STREAM */
		return RPC_UNAVAILABLE;
	case 8: /* CANCEL */
		return RPC_CANCELLED;
	case 11: /* ENHANCE_YOUR_CALM */
		return RPC_RESOURCE_EXHAUSTED;
	case 12: /* INADEQUATE_SECURITY */
		return RPC_PERMISSION_DENIED;
	default:
		return RPC_INTERNAL;
	}
}

uint64_t grpc__timeout_ns(struct view value)
{
	uint64_t n = 0, unit;

	if (value.len < 2 || value.len > 9)
		return 0;
	for (size_t i = 0; i + 1 < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(value.at[i] - '0');
	}
	switch (value.at[value.len - 1]) {
	case 'H':
		unit = 3600ull * 1000000000;
		break;
	case 'M':
		unit = 60ull * 1000000000;
		break;
	case 'S':
		unit = 1000000000;
		break;
	case 'm':
		unit = 1000000;
		break;
	case 'u':
		unit = 1000;
		break;
	case 'n':
		unit = 1;
		break;
	default:
		return 0;
	}
	return n > UINT64_MAX / unit ? 0 : n * unit;
}

static bool is_error(const struct exchange *ex, uint16_t status)
{
	if (ex->side == SIDE_CLIENT)
		return status != RPC_OK;
	return status == RPC_UNKNOWN || status == RPC_DEADLINE_EXCEEDED ||
	       status == RPC_UNIMPLEMENTED || status == RPC_INTERNAL || status == RPC_UNAVAILABLE ||
	       status == RPC_DATA_LOSS;
}

static struct view name_of(struct span *span, uint16_t status)
{
	char *text;
	size_t n = 0;

	if (status < NAMES)
		return view_of(names[status]);
	/* as sent, in digits */
	text = span__scratch(span, 5);
	if (!text)
		return (struct view){ NULL, 0 };
	for (unsigned int unit = 10000; unit; unit /= 10)
		if (status >= unit)
			text[n++] = (char)('0' + status / unit % 10);
	return (struct view){ text, n };
}

/* The part of a timeout by which a client may seem to give up early. */
#define TIMEOUT_SLACK 32

static void describe_status(const struct exchange *ex, struct span *span)
{
	struct view timeout = http1__header(ex, VIEW("grpc-timeout"), 0), name;
	uint64_t timeout_ns = grpc__timeout_ns(timeout);
	uint16_t status = ex->rpc_status;

	if (timeout_ns)
		span__set_int(span, ATTR_SONDE_RPC_TIMEOUT, (int64_t)(timeout_ns / NS_PER_MS));
	if (!(ex->flags & EX_STATUS))
		return;
	/*
	 * A client that gives a call up when its time is over says so by the same code as one that wants no more. It
	 * has said how much is left a moment before its request was sent.
	 */
	if (status == RPC_CANCELLED && ex->flags & EX_CUT && timeout_ns &&
	    ex->end_ns - ex->start_ns >= timeout_ns - timeout_ns / TIMEOUT_SLACK)
		status = RPC_DEADLINE_EXCEEDED;
	name = name_of(span, status);
	span__set_string(span, ATTR_RPC_RESPONSE_STATUS_CODE, name);
	if (is_error(ex, status)) {
		span->status = STATUS_ERROR;
		span__set_string(span, ATTR_ERROR_TYPE, name);
	}
}

void grpc__describe(const struct exchange *ex, struct view path, struct span *span)
{
	if (path.len && path.at[0] == '/') {
		path.at++;
		path.len--;
	}
	span->name = path.len ? path : VIEW("grpc");
	span__set_string(span, ATTR_RPC_SYSTEM_NAME, VIEW("grpc"));
	if (ex->flags & EX_STATUS && ex->rpc_status == RPC_UNIMPLEMENTED) {
		/* no method of anybody's: names would be as many as somebody likes to send */
		span->name = VIEW("_OTHER");
		span__set_string(span, ATTR_RPC_METHOD, VIEW("_OTHER"));
		if (path.len)
			span__set_string(span, ATTR_RPC_METHOD_ORIGINAL, path);
	} else if (path.len) {
		span__set_string(span, ATTR_RPC_METHOD, path);
	}
	describe_status(ex, span);
	if (!(ex->flags & EX_REQUESTS_UNKNOWN))
		span__set_int(span, ATTR_SONDE_RPC_REQUEST_MESSAGES, ex->request_messages);
	if (!(ex->flags & EX_RESPONSES_UNKNOWN))
		span__set_int(span, ATTR_SONDE_RPC_RESPONSE_MESSAGES, ex->response_messages);
}

/* ---- over HTTP as it is: grpc-web and Connect ---- */

/* Whether the value of Content-Type is this type, or one of it with a suffix. */
static bool is_type(struct view value, struct view type)
{
	return value.len >= type.len && view_eq_nocase((struct view){ value.at, type.len }, type) &&
	       (value.len == type.len || value.at[type.len] == '+' || value.at[type.len] == ';');
}

/* The system of a request whose fields say that it is a call; an empty view: they do not. */
static struct view system_of(const struct exchange *ex)
{
	struct view type = http1__header(ex, VIEW("content-type"), 0);

	if (type.len < sizeof("application/") - 1)
		return (struct view){ NULL, 0 };
	if (is_type(type, VIEW("application/grpc-web")) ||
	    is_type(type, VIEW("application/grpc-web-text")))
		return VIEW("grpc");
	if (type.len > sizeof("application/connect+") - 1 &&
	    is_type(type, VIEW("application/connect")) &&
	    type.at[sizeof("application/connect") - 1] == '+')
		return VIEW("connectrpc");
	/* a message as it is: by its type alone it may be anybody's */
	if (http1__header(ex, VIEW("connect-protocol-version"), 0).len &&
	    (is_type(type, VIEW("application/proto")) || is_type(type, VIEW("application/json"))))
		return VIEW("connectrpc");
	return (struct view){ NULL, 0 };
}

/* Whether the answer says that nobody has such a method: then its name is as sent by whoever likes to. */
static bool is_unknown(const struct exchange *ex)
{
	return ex->status == 404 || ex->status == 415 || ex->status == 501 ||
	       (ex->flags & EX_STATUS && ex->rpc_status == RPC_UNIMPLEMENTED);
}

/* The service and its method: the last two parts of the path, which may have others before them. Empty: it is none. */
static struct view method_of(struct view path)
{
	size_t slashes = 0, i = path.len;

	while (i && slashes < 2)
		slashes += path.at[--i] == '/';
	if (slashes < 2 || path.at[path.len - 1] == '/' || path.at[i + 1] == '/')
		return (struct view){ NULL, 0 };
	return (struct view){ path.at + i + 1, path.len - i - 1 };
}

void grpc__describe_web(const struct exchange *ex, struct view path, struct span *span)
{
	struct view system = system_of(ex), name;

	path = system.len ? method_of(path) : system;
	if (!path.len)
		return;
	span__set_string(span, ATTR_RPC_SYSTEM_NAME, system);
	if (is_unknown(ex)) {
		span->name = VIEW("_OTHER");
		span__set_string(span, ATTR_RPC_METHOD, VIEW("_OTHER"));
		span__set_string(span, ATTR_RPC_METHOD_ORIGINAL, path);
	} else {
		span->name = path;
		span__set_string(span, ATTR_RPC_METHOD, path);
	}
	/* of a status that is in the body nothing is known, and what HTTP says may stand for more than one */
	if (!(ex->flags & EX_STATUS) || !view_eq(system, VIEW("grpc")))
		return;
	name = name_of(span, ex->rpc_status);
	span__set_string(span, ATTR_RPC_RESPONSE_STATUS_CODE, name);
	if (is_error(ex, ex->rpc_status) && ex->status < 400 && !ex->error_type) {
		span->status = STATUS_ERROR;
		span__set_string(span, ATTR_ERROR_TYPE, name);
	}
}
