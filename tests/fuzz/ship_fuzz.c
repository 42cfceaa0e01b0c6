// SPDX-License-Identifier: Apache-2.0
/*
 * What ship reads of others: the stream of frames (from a trace role that may be another's by
 * now), answers of backends, expressions. The first byte says which.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/otel_env.h"
#include "ship/console/where.h"
#include "ship/export/batch.h"
#include "ship/export/retry.h"
#include "ship/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void on_span(void *arg, const struct ship_span *span)
{
	struct queue *q = arg;

	if (span->head.kind > 5 || span->head.sampled > 1)
		abort();
	if (span->head.sampled && queue__push(q, span->resource, span->scope, span->bytes) == 0 &&
	    q->spans % 7 == 6)
		queue__drop(q, 3);
}

static void check_stream(struct view v)
{
	struct queue q = { .bytes_max = 1 << 20 };
	struct stream *s = stream__new(on_span, &q);
	struct batch batch = { 0 };
	struct buf out = { 0 };
	uint64_t bad;

	/*
	 * Pieces of one byte where the input has the byte that it begins with, elsewhere longer ones: a
	 * frame's header can be cut everywhere without all of its body being fed byte by byte.
	 */
	for (size_t at = 0, n; at < v.len; at += n) {
		size_t room, piece = 1 + (uint8_t)(v.at[at] ^ v.at[0]);
		uint8_t *to = stream__room(s, &room);

		n = v.len - at < piece ? v.len - at : piece;
		if (!to || room < n)
			abort();
		memcpy(to, v.at + at, n);
		stream__feed(s, n);
	}
	if (batch__encode(&batch, &q, q.spans, BATCH_PROTOBUF, &out, &bad))
		abort();
	if (!out.len != !q.spans)
		abort();
	buf__clear(&out);
	if (batch__encode(&batch, &q, q.spans, BATCH_JSON, &out, &bad) || bad > q.spans)
		abort();
	if (!out.len != (bad == q.spans))
		abort();
	batch__free(&batch);
	buf__free(&out);
	queue__free(&q);
	stream__free(s);
}

static void check_answer(struct view v)
{
	struct answer a = { .received = true, .grpc_status = GRPC_NONE };
	int64_t wait = -1;

	retry__read_protobuf(&a, v);
	retry__read_json(&a, v);
	retry__read_status(&a, v, false);
	retry__read_status(&a, v, true);
	if (!memchr(a.message, 0, sizeof(a.message)))
		abort();
	retry__judge(&a);
	retry__grpc_details(v, &wait);
	if (wait < -1)
		abort();
	wait = retry__after_ms(v, 784111777);
	if (wait < -1 || wait > 604800000)
		abort();
}

static void check_text(struct view v)
{
	struct otel_pairs pairs = { .n = 0 };
	struct where *where = NULL;
	char *text = strndup(v.at, v.len);
	struct err err;

	if (!text)
		abort();
	if (!where__parse(text, &where, &err))
		where__free(where);
	else if (!*err.text)
		abort();
	if (otel_pairs__parse(&pairs, text) && pairs.n)
		abort();
	otel_pairs__free(&pairs);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct view v;

	if (!len)
		return 0;
	v = (struct view){ (const char *)bytes + 1, len - 1 };
	if (bytes[0] % 3 == 0)
		check_stream(v);
	else if (bytes[0] % 3 == 1)
		check_answer(v);
	else
		check_text(v);
	return 0;
}
