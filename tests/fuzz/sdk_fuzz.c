// SPDX-License-Identifier: Apache-2.0
/* Bodies of trace exports: the first byte chooses format and compression. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/proto/proto.h"
#include "core/sdk.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void on_span(void *arg, const struct sdk_span *span)
{
	unsigned int *n = arg;

	if (!span->span_id || span->kind > 5)
		abort();
	++*n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct header_field fields[2] = { { VIEW("content-type"), VIEW("application/json") },
					  { VIEW("content-encoding"), VIEW("gzip") } };
	struct exchange ex = { .proto = &proto_http1,
			       .fields = { .at = fields, .n = 1, .lengths = ~0ull } };
	unsigned int n = 0;

	if (!len)
		return 0;
	ex.target = bytes[0] & 1 ? VIEW("/v1/traces") : VIEW("/api/v2/spans");
	if (bytes[0] & 2)
		fields[0].value = VIEW("application/x-protobuf");
	if (bytes[0] & 4)
		ex.fields.n = 2;
	ex.body.at = (uint8_t *)bytes + 1;
	ex.body.len = len - 1;
	if (sdk__decode(&ex, on_span, &n) != n)
		abort();
	return 0;
}
