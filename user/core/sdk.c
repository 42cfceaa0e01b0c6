// SPDX-License-Identifier: Apache-2.0
#include "core/sdk.h"

#include <string.h>
#include <zlib.h>

#include "core/proto/proto.h"

static struct view header(const struct exchange *ex, struct view name)
{
	return ex->proto->header ? ex->proto->header(ex, name, 0) : (struct view){ NULL, 0 };
}

/* The path of a target, in origin or absolute form, without the query. */
static struct view path_of(struct view target)
{
	const char *query = target.len ? memchr(target.at, '?', target.len) : NULL;

	if (query)
		target.len = (size_t)(query - target.at);
	while (target.len && target.at[target.len - 1] == '/')
		target.len--;
	return target;
}

static bool ends_with(struct view v, struct view end)
{
	return v.len >= end.len && !memcmp(v.at + v.len - end.len, end.at, end.len);
}

static bool starts_with_nocase(struct view v, struct view start)
{
	return v.len >= start.len && view_eq_nocase((struct view){ v.at, start.len }, start);
}

enum sdk_format sdk__format(const struct exchange *ex)
{
	struct view path = path_of(ex->target);
	struct view type = header(ex, VIEW("content-type"));
	bool json = starts_with_nocase(type, VIEW("application/json"));

	if (ends_with(path, VIEW("/v1/traces"))) {
		if (json)
			return SDK_OTLP_JSON;
		return starts_with_nocase(type, VIEW("application/x-protobuf")) ?
			       SDK_OTLP_PROTOBUF :
			       SDK_NONE;
	}
	return json && ends_with(path, VIEW("/api/v2/spans")) ? SDK_ZIPKIN_JSON : SDK_NONE;
}

bool sdk__is_peer_port(struct view key)
{
	/* Semantic conventions since 1.21, and the two before. */
	return view_eq(key, VIEW("network.peer.port")) || view_eq(key, VIEW("net.peer.port")) ||
	       view_eq(key, VIEW("net.sock.peer.port"));
}

uint16_t sdk__port(struct view digits)
{
	uint32_t port = 0;

	for (size_t i = 0; i < digits.len; i++) {
		if (digits.at[i] < '0' || digits.at[i] > '9')
			return 0;
		port = port * 10 + (uint32_t)(digits.at[i] - '0');
		if (port > UINT16_MAX)
			return 0;
	}
	return (uint16_t)port;
}

/* gzip and zlib by their headers. What comes before an error or the bound is kept. */
static void inflate_into(struct buf *out, struct view body)
{
	z_stream z = { .next_in = (Bytef *)body.at, .avail_in = (uInt)body.len };
	int status = Z_OK;

	if (body.len > SDK_INFLATED_MAX_BYTES || inflateInit2(&z, MAX_WBITS + 32) != Z_OK)
		return;
	while (status == Z_OK && out->len < SDK_INFLATED_MAX_BYTES) {
		size_t room = SDK_INFLATED_MAX_BYTES - out->len;
		uint8_t *to;

		if (room > 16384)
			room = 16384;
		to = buf__reserve(out, room);
		if (!to)
			break;
		z.next_out = to;
		z.avail_out = (uInt)room;
		status = inflate(&z, Z_SYNC_FLUSH);
		out->len += room - z.avail_out;
		if (!z.avail_in && z.avail_out)
			break;
	}
	inflateEnd(&z);
}

static bool is_deflated(struct view encoding)
{
	return view_eq_nocase(encoding, VIEW("gzip")) || view_eq_nocase(encoding, VIEW("deflate"));
}

static bool is_plain(struct view encoding)
{
	return !encoding.len || view_eq_nocase(encoding, VIEW("identity"));
}

bool sdk__readable(const struct exchange *ex)
{
	struct view encoding = header(ex, VIEW("content-encoding"));

	return sdk__format(ex) != SDK_NONE && !(ex->flags & EX_BODY_PARTIAL) &&
	       (is_plain(encoding) || is_deflated(encoding));
}

unsigned int sdk__decode(const struct exchange *ex, sdk_span_fn *fn, void *arg)
{
	struct view body = { (const char *)ex->body.at, ex->body.len };
	struct view encoding = header(ex, VIEW("content-encoding"));
	enum sdk_format format = sdk__format(ex);
	struct buf inflated = { .max = SDK_INFLATED_MAX_BYTES };
	unsigned int n = 0;

	if (format == SDK_NONE || !body.len)
		return 0;
	if (is_deflated(encoding)) {
		inflate_into(&inflated, body);
		body = (struct view){ (const char *)inflated.at, inflated.len };
	} else if (!is_plain(encoding)) {
		return 0;
	}
	if (body.len)
		n = format == SDK_OTLP_PROTOBUF ? sdk__decode_protobuf(body, fn, arg) :
						  sdk__decode_json(body, fn, arg);
	buf__free(&inflated);
	return n;
}
