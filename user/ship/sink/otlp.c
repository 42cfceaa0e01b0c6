// SPDX-License-Identifier: Apache-2.0
/*
 * One OTLP destination: a queue, and one request in flight. A batch is the front of the queue; it
 * stays there until it has been answered for good, so that trying again copies and encodes nothing.
 */
#include "ship/sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "ship/export/batch.h"
#include "ship/sink/compress.h"
#include "ship/sink/transfer.h"

#define NS_A_MS 1000000ull
#define GRPC_HEAD_BYTES 5
/* Batches are not made smaller than this, however small the backend says it is. */
#define BATCH_LEAST_BYTES 4096
/* Working memory above this is given back when a batch is done. */
#define BODY_KEEP_BYTES (4u << 20)

struct sink_otlp {
	struct sink sink;
	const struct ship_otlp *config;
	struct transfer *transfer;
	struct compressor *compressor;
	struct queue queue;
	struct batch batch;
	size_t batch_bytes;	 /* of a request that is read as it goes */
	struct buf body, packed; /* of any other */
	char shown[160];	 /* the endpoint, without user information and query */

	/* The batch, i.e. the first n_batch spans of the queue; 0: there is none. */
	uint64_t n_batch, n_bad;
	bool flying, halved;
	unsigned int attempts;
	uint64_t begun;	   /* when it was first sent */
	uint64_t retry_at; /* not flying: when it is sent again */

	uint64_t due;	      /* when the first span of the queue has waited long enough; 0: none */
	uint64_t not_before;  /* the backend asked for peace until then */
	uint64_t halves_left; /* spans that are the other half of a batch that was too large */
	size_t batch_bytes_max;
	bool finishing, failing, full;
};

static struct sink_otlp *of(const struct sink *sink)
{
	return (struct sink_otlp *)sink;
}

static uint32_t random32(void)
{
	uint32_t r = 0;

	/* Without randomness there is no jitter, which is no reason to stop. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		return 0;
	return r;
}

/* The batch has left the queue; how it ended has been counted by the caller. */
static void batch_over(struct sink_otlp *s)
{
	uint64_t n = s->n_batch;

	s->sink.account->queued -= n;
	queue__drop(&s->queue, n);
	if (s->halved)
		s->halves_left -= n < s->halves_left ? n : s->halves_left;
	s->n_batch = s->n_bad = 0;
	s->attempts = 0;
	s->halved = false;
	s->full = false;
	/* Spans that came meanwhile have waited since then at the most. */
	s->due = s->queue.spans ? s->begun + s->config->delay_ms * NS_A_MS : 0;
	if (s->body.cap > BODY_KEEP_BYTES)
		buf__free(&s->body);
	if (s->packed.cap > BODY_KEEP_BYTES)
		buf__free(&s->packed);
}

/* The whole batch is lost under one reason. */
static void batch_lost(struct sink_otlp *s, uint64_t *reason)
{
	struct account_sink *account = s->sink.account;

	account->rejected_status += s->n_bad;
	*reason += s->n_batch - s->n_bad;
	batch_over(s);
}

/* Nothing is done with the bytes of the spans but concatenating them: libcurl can do that as it sends. */
static bool as_it_goes(const struct sink_otlp *s)
{
	return s->config->protocol == SHIP_HTTP_PROTOBUF && !s->compressor;
}

static int encode(struct sink_otlp *s)
{
	bool grpc = s->config->protocol == SHIP_GRPC, json = s->config->protocol == SHIP_HTTP_JSON;
	static const uint8_t head[GRPC_HEAD_BYTES];
	size_t at = grpc ? GRPC_HEAD_BYTES : 0;
	struct buf *out = &s->body;
	uint32_t len;
	int err;

	if (as_it_goes(s)) {
		err = batch__begin(&s->batch, &s->queue, s->n_batch, &s->batch_bytes);
		return err ?: s->batch_bytes > SHIP_REQUEST_MAX_BYTES ? -EMSGSIZE : 0;
	}
	buf__clear(&s->body);
	buf__add(&s->body, head, at);
	err = batch__encode(&s->batch, &s->queue, s->n_batch, json ? BATCH_JSON : BATCH_PROTOBUF,
			    &s->body, &s->n_bad);
	if (err || s->n_bad == s->n_batch)
		return err;
	if (s->compressor) {
		buf__clear(&s->packed);
		buf__add(&s->packed, head, at);
		err = compressor__run(s->compressor,
				      (struct view){ (char *)s->body.at + at, s->body.len - at },
				      &s->packed);
		out = &s->packed;
	}
	if (err || !grpc)
		return err;
	/* gRPC over HTTP/2, Length-Prefixed-Message: compressed flag, length in network byte order */
	len = (uint32_t)(out->len - at);
	out->at[0] = s->compressor != NULL;
	for (int i = 0; i < 4; i++)
		out->at[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	return 0;
}

static size_t read_batch(void *arg, void *to, size_t room)
{
	return batch__read(arg, to, room);
}

static void rewind_batch(void *arg)
{
	batch__rewind(arg);
}

static void send_batch(struct sink_otlp *s, uint64_t now)
{
	const struct buf *out = s->compressor ? &s->packed : &s->body;
	struct transfer_body body = { .at = out->at, .len = out->len };
	int err;

	if (as_it_goes(s)) {
		body = (struct transfer_body){ .len = s->batch_bytes,
					       .read = read_batch,
					       .rewind = rewind_batch,
					       .arg = &s->batch };
		batch__rewind(&s->batch); /* for another try, too */
	}
	err = transfer__send(s->transfer, &body,
			     s->compressor ? compressor__name(s->compressor) : NULL);
	s->flying = !err;
	if (err)
		s->retry_at = now + retry__wait_ms(++s->attempts, random32(), -1) * NS_A_MS;
}

/* Encodes the batch and sends it; where that cannot be done it is lost. */
static void prepare_and_send(struct sink_otlp *s, uint64_t now)
{
	int err = encode(s);

	if (err) {
		log_warn("OTLP %s: %llu spans could not be made into a request (%s): counted as "
			 "dropped{too_large}",
			 s->shown, (unsigned long long)s->n_batch, strerror(-err));
		s->n_bad = 0;
		batch_lost(s, &s->sink.account->dropped_too_large);
	} else if (s->n_bad == s->n_batch) {
		batch_lost(s, &s->sink.account->rejected_status); /* no empty request */
	} else {
		send_batch(s, now);
	}
}

static void begin_batch(struct sink_otlp *s, uint64_t now)
{
	s->halved = s->halves_left > 0;
	s->n_batch =
		queue__prefix(&s->queue, s->halved ? s->halves_left : s->config->batch_spans_max,
			      s->halved ? SIZE_MAX : s->batch_bytes_max);
	s->begun = now;
	s->attempts = 0;
	prepare_and_send(s, now);
}

static void on_taken(struct sink_otlp *s, const struct answer *answer)
{
	struct account_sink *account = s->sink.account;
	uint64_t sent = s->n_batch - s->n_bad;
	uint64_t refused = answer->rejected_spans < sent ? answer->rejected_spans : sent;

	if (s->failing)
		log_info("OTLP %s: works again", s->shown);
	s->failing = false;
	if (refused || *answer->message)
		log_warn("OTLP %s: %llu of %llu spans refused (partial success): %s", s->shown,
			 (unsigned long long)refused, (unsigned long long)sent, answer->message);
	account->rejected_status += s->n_bad;
	account->rejected_partial += refused;
	account->acked += sent - refused;
	batch_over(s);
}

static size_t spans_bytes(const struct sink_otlp *s)
{
	struct queue_cursor cursor = queue__begin(&s->queue);
	const struct queue_entry *entry;
	size_t bytes = 0;

	for (uint64_t i = 0; i < s->n_batch && (entry = queue__next(&cursor)); i++)
		bytes += entry->len;
	return bytes;
}

static void on_too_large(struct sink_otlp *s)
{
	size_t bytes;

	if (s->halved || s->n_batch < 2) {
		log_warn("OTLP %s: %llu spans are too large for the backend (413), also in a "
			 "smaller "
			 "request: counted as dropped{too_large}",
			 s->shown, (unsigned long long)s->n_batch);
		batch_lost(s, &s->sink.account->dropped_too_large);
		return;
	}
	/* The next ones need not run into the same wall. */
	bytes = spans_bytes(s) / 2;
	if (bytes < s->batch_bytes_max)
		s->batch_bytes_max = bytes < BATCH_LEAST_BYTES ? BATCH_LEAST_BYTES : bytes;
	s->halves_left = s->n_batch;
	s->halved = true;
	s->n_batch = (s->n_batch + 1) / 2;
	s->n_bad = 0;
	s->attempts = 0;
	/* Encoded anew and sent by the next work(). */
	s->retry_at = 0;
}

static void describe(const struct transfer_result *r, char *text, size_t size)
{
	const struct answer *a = &r->answer;

	if (r->error)
		snprintf(text, size, "%s", r->error);
	else if (a->grpc && a->grpc_status != GRPC_NONE)
		snprintf(text, size, "grpc-status %d %s", a->grpc_status, a->message);
	else
		snprintf(text, size, "HTTP status %d %s", a->http_status, a->message);
}

static void on_retry(struct sink_otlp *s, const struct transfer_result *r, uint64_t now)
{
	uint64_t wait = retry__wait_ms(++s->attempts, random32(), r->answer.wait_ms) * NS_A_MS;
	uint64_t age = now - s->begun;
	char why[320];

	describe(r, why, sizeof(why));
	if (!s->failing)
		log_warn("OTLP %s: not delivered: %s: spans are kept (up to %llu MiB), tried again",
			 s->shown, why, (unsigned long long)(s->queue.bytes_max >> 20));
	s->failing = true;
	if (r->answer.wait_ms > 0)
		s->not_before = now + wait;
	if (age + wait > s->config->retry_ms * NS_A_MS) {
		log_warn("OTLP %s: %llu spans given up after %u attempts: %s", s->shown,
			 (unsigned long long)s->n_batch, s->attempts, why);
		batch_lost(s, &s->sink.account->dropped_retries);
		return;
	}
	s->retry_at = now + wait;
}

static void on_done(void *arg, const struct transfer_result *r)
{
	struct sink_otlp *s = arg;
	struct account_sink *account = s->sink.account;
	uint64_t now = loop__now();
	char why[320];

	s->flying = false;
	if (r->error && r->sent)
		account->unconfirmed += s->n_batch - s->n_bad;
	switch (retry__judge(&r->answer)) {
	case VERDICT_DONE:
		on_taken(s, &r->answer);
		break;
	case VERDICT_RETRY:
		on_retry(s, r, now);
		break;
	case VERDICT_SPLIT:
		on_too_large(s);
		break;
	case VERDICT_REJECT:
		describe(r, why, sizeof(why));
		log_warn("OTLP %s: %llu spans refused for good: %s", s->shown,
			 (unsigned long long)s->n_batch, why);
		batch_lost(s, &account->rejected_status);
		break;
	}
}

static bool batch_full(const struct sink_otlp *s)
{
	return s->queue.spans >= s->config->batch_spans_max || s->queue.bytes >= s->batch_bytes_max;
}

/* When the next request may go: 0 is now, UINT64_MAX is not before something happens. */
static uint64_t next_at(const struct sink_otlp *s)
{
	uint64_t at = 0;

	if (s->flying || !s->queue.spans)
		return UINT64_MAX;
	if (s->n_batch)
		return s->retry_at;
	if (!s->finishing && !s->halves_left && !batch_full(s))
		at = s->due;
	return at > s->not_before ? at : s->not_before;
}

static void otlp__work(struct sink *sink, uint64_t now)
{
	struct sink_otlp *s = of(sink);

	/* Ends: each turn sends (flying), sets a time in the future, or makes the queue shorter. */
	while (next_at(s) <= now) {
		if (!s->n_batch)
			begin_batch(s, now);
		else if (s->attempts)
			send_batch(s, now);
		else /* a half of one that was too large */
			prepare_and_send(s, now);
	}
}

static void otlp__span(struct sink *sink, const struct ship_span *span, uint64_t now)
{
	struct account_sink *account = sink->account;
	struct sink_otlp *s = of(sink);

	account->spans++;
	if (!span->head.sampled) {
		account->unsampled++;
		return;
	}
	if (queue__push(&s->queue, span->resource, span->scope, span->bytes)) {
		account->dropped_queue_full++;
		if (!s->full)
			log_warn("OTLP %s: the queue is full (%llu spans): new spans are dropped "
				 "and "
				 "counted as dropped{queue_full}",
				 s->shown, (unsigned long long)s->queue.spans);
		s->full = true;
		return;
	}
	account->queued++;
	if (!s->due)
		s->due = now + s->config->delay_ms * NS_A_MS;
}

static uint64_t otlp__timer(const struct sink *sink)
{
	uint64_t at = next_at(of(sink));

	return at == UINT64_MAX ? 0 : at ? at : 1;
}

static void otlp__finish(struct sink *sink, uint64_t now)
{
	struct sink_otlp *s = of(sink);

	s->finishing = true;
	/* One more chance before the time to flush is over, unless the backend asked for peace. */
	if (s->n_batch && !s->flying && s->retry_at > s->not_before)
		s->retry_at = s->not_before > now ? s->not_before : now;
	otlp__work(sink, now);
}

static bool otlp__busy(const struct sink *sink)
{
	return of(sink)->queue.spans > 0;
}

static void otlp__abandon(struct sink *sink)
{
	struct sink_otlp *s = of(sink);

	if (s->flying && transfer__cancel(s->transfer))
		sink->account->unconfirmed += s->n_batch - s->n_bad;
	s->flying = false;
	if (s->queue.spans)
		log_warn("OTLP %s: %llu spans were not delivered in time: counted as "
			 "dropped{shutdown}",
			 s->shown, (unsigned long long)s->queue.spans);
	sink->account->queued -= s->queue.spans;
	sink->account->dropped_shutdown += s->queue.spans;
	queue__drop(&s->queue, s->queue.spans);
	s->n_batch = 0;
}

static void otlp__free(struct sink *sink)
{
	struct sink_otlp *s = of(sink);

	transfer__free(s->transfer);
	compressor__free(s->compressor);
	queue__free(&s->queue);
	batch__free(&s->batch);
	buf__free(&s->body);
	buf__free(&s->packed);
	free(s);
}

static const struct sink_ops ops = {
	.span = otlp__span,
	.work = otlp__work,
	.timer = otlp__timer,
	.finish = otlp__finish,
	.busy = otlp__busy,
	.abandon = otlp__abandon,
	.free = otlp__free,
};

/* scheme://host:port/path: user information and query may be secrets. */
static void show_endpoint(struct sink_otlp *s)
{
	const char *url = s->config->endpoint, *rest = strstr(url, "://");
	size_t scheme, n;
	const char *at;

	rest = rest ? rest + 3 : url;
	scheme = (size_t)(rest - url);
	n = strcspn(rest, "/?#");
	at = memrchr(rest, '@', n);
	if (at)
		rest = at + 1;
	snprintf(s->shown, sizeof(s->shown), "%.*s%.*s", (int)scheme, url, (int)strcspn(rest, "?#"),
		 rest);
}

struct sink *sink_otlp__new(const struct ship_otlp *config, struct account_sink *account,
			    struct transfers *transfers, struct err *err)
{
	struct sink_otlp *s = calloc(1, sizeof(*s));

	if (!s)
		goto no_memory;
	s->sink = (struct sink){ &ops, account };
	s->config = config;
	s->queue.bytes_max = config->queue_bytes_max;
	s->queue.spans_max = config->queue_spans_max;
	s->batch_bytes_max = config->batch_bytes_max;
	s->body.max = s->packed.max = SHIP_REQUEST_MAX_BYTES;
	show_endpoint(s);
	if (config->compression != SHIP_PLAIN) {
		s->compressor = compressor__new(config->compression);
		if (!s->compressor)
			goto no_memory;
	}
	s->transfer = transfer__new(transfers, config, on_done, s, err);
	if (!s->transfer) {
		otlp__free(&s->sink);
		return NULL;
	}
	return &s->sink;
no_memory:
	err__set(err, -ENOMEM, "OTLP %s: out of memory", config->endpoint);
	free(s);
	return NULL;
}
