// SPDX-License-Identifier: Apache-2.0
/* An ended stream as a span: what HTTP has in common is described by http1_describe.c. */
#include "core/proto/http1.h"
#include "core/proto/http2.h"

void http2__describe(const struct exchange *ex, const struct describe_options *options,
		     struct span *span)
{
	struct http1_url url;

	if (ex->flags & EX_FIELDS_PARTIAL)
		span__set_string(span, ATTR_SONDE_HEADERS, VIEW("partial"));
	if (!(ex->flags & EX_RPC)) {
		http1__describe(ex, options, span);
		return;
	}
	span->kind = (uint8_t)ex->side;
	http1__split_target(ex->method, ex->target, &url);
	grpc__describe(ex, url.path, span);
	http1__describe_server(ex, &url, span);
	span__set_string(span, ATTR_NETWORK_PROTOCOL_NAME, VIEW("http"));
	span__set_string(span, ATTR_NETWORK_PROTOCOL_VERSION, ex->version);
	if (options->headers)
		http1__describe_heads(ex, span);
}
