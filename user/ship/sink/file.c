// SPDX-License-Identifier: Apache-2.0
/*
 * OTLP JSON lines: one ExportTraceServiceRequest a line (OpenTelemetry Protocol File Exporter).
 * Spans are gathered for a short while, so that a line holds more than one.
 */
#include "ship/sink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "ship/export/batch.h"
#include "ship/sink/writer.h"

#define DELAY_NS 200000000ull
#define LINE_SPANS_MAX 512
#define LINE_BYTES_MAX (256u << 10) /* of encoded spans: JSON is two to three times as long */

struct sink_file {
	struct sink sink;
	struct writer writer;
	struct queue queue;
	struct batch batch;
	struct buf line;
	uint64_t due; /* when what is in the queue is to be written; 0: it is empty */
	bool finishing, by_size;
};

static struct sink_file *of(const struct sink *sink)
{
	return (struct sink_file *)sink;
}

static void write_line(struct sink_file *f, uint64_t n)
{
	struct account_sink *account = f->sink.account;
	uint64_t bad = 0;
	int err;

	buf__clear(&f->line);
	err = batch__encode(&f->batch, &f->queue, n, BATCH_JSON, &f->line, &bad);
	queue__drop(&f->queue, n);
	if (err)
		bad = n;
	account->queued -= bad;
	account->dropped_write += bad;
	if (bad)
		log_warn("output file: %llu spans could not be written as JSON: %s",
			 (unsigned long long)bad,
			 err ? strerror(-err) : "their bytes are no OTLP span");
	if (bad == n)
		return;
	buf__add(&f->line, "\n", 1);
	writer__put(&f->writer, (struct view){ (const char *)f->line.at, f->line.len }, n - bad);
}

static bool full(const struct sink_file *f)
{
	return f->queue.spans >= LINE_SPANS_MAX || f->queue.bytes >= LINE_BYTES_MAX;
}

static void file__work(struct sink *sink, uint64_t now)
{
	struct sink_file *f = of(sink);

	while (f->queue.spans && (f->finishing || full(f) || (f->due && now >= f->due)))
		write_line(f, queue__prefix(&f->queue, LINE_SPANS_MAX, LINE_BYTES_MAX));
	if (!f->queue.spans)
		f->due = 0;
	writer__work(&f->writer);
	if (f->writer.error) {
		log_error("output file: writing failed: %s; spans are lost and counted as "
			  "dropped{write}",
			  strerror(f->writer.error));
		f->writer.error = 0;
	}
}

static void file__span(struct sink *sink, const struct ship_span *span, uint64_t now)
{
	struct sink_file *f = of(sink);
	struct account_sink *account = sink->account;

	account->spans++;
	if (!span->head.sampled) {
		account->unsampled++;
		return;
	}
	if (queue__push(&f->queue, span->resource, span->scope, span->bytes)) {
		account->dropped_queue_full++;
		return;
	}
	account->queued++;
	if (!f->due && !f->by_size)
		f->due = now + DELAY_NS;
	if (full(f))
		file__work(sink, now);
}

static uint64_t file__timer(const struct sink *sink)
{
	return of(sink)->due;
}

static void file__finish(struct sink *sink, uint64_t now)
{
	of(sink)->finishing = true;
	file__work(sink, now);
}

static bool file__busy(const struct sink *sink)
{
	return of(sink)->queue.spans || writer__busy(&of(sink)->writer);
}

static void file__abandon(struct sink *sink)
{
	struct sink_file *f = of(sink);

	writer__abandon(&f->writer);
	sink->account->queued -= f->queue.spans;
	sink->account->dropped_shutdown += f->queue.spans;
	queue__drop(&f->queue, f->queue.spans);
}

static void file__free(struct sink *sink)
{
	struct sink_file *f = of(sink);

	writer__close(&f->writer);
	queue__free(&f->queue);
	batch__free(&f->batch);
	buf__free(&f->line);
	free(f);
}

static const struct sink_ops ops = {
	.span = file__span,
	.work = file__work,
	.timer = file__timer,
	.finish = file__finish,
	.busy = file__busy,
	.abandon = file__abandon,
	.free = file__free,
};

struct sink *sink_file__new(const struct ship_file *config, struct account_sink *account,
			    struct loop *loop, struct err *err)
{
	struct sink_file *f = calloc(1, sizeof(*f));
	int ret;

	if (!f) {
		err__set(err, -ENOMEM, "output file: out of memory");
		return NULL;
	}
	f->sink = (struct sink){ &ops, account };
	f->by_size = config->by_size;
	f->queue.bytes_max = WRITER_MAX_BYTES;
	ret = writer__open(&f->writer, config->fd, loop, account);
	if (ret) {
		err__set(err, ret, "output file: descriptor %d cannot be written: %s", config->fd,
			 strerror(-ret));
		free(f);
		return NULL;
	}
	return &f->sink;
}
