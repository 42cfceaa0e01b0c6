// SPDX-License-Identifier: Apache-2.0
#include "serve/receive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#include "core/frame.h"
#include "serve/receive_cut.h"
#include "serve/receive_json.h"
#include "serve/receive_unpack.h"

/* What may wait for ship, and what may wait to become whole. */
#define BACKLOG_BYTES (16u << 20)
#define HELD_MAX_BYTES (48u << 20)
/* Ship is told of so much at once. */
#define PUBLISH_BYTES (FRAMES_BYTES / 4)
/* Small requests that wait are put together up to here. */
#define SHARED_BYTES (64u << 10)
/* Working memory of a large request is not kept. */
#define KEPT_BYTES (1u << 20)

static void publish(struct receiver *r)
{
	if (frames__publish(&r->frames) && frames__wake(&r->frames))
		send(r->wake, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	r->account->waiting -= r->put_spans;
	r->account->passed += r->put_spans;
	r->put_spans = 0;
}

/* Puts frames from the front: how many bytes of them there was room for. */
static size_t put(struct receiver *r, const uint8_t *at, size_t len)
{
	struct frame_header header;
	const uint8_t *body;
	size_t done = 0;
	long n;

	while ((n = frame__next(at + done, len - done, &header, &body)) > 0) {
		if (frames__unpublished(&r->frames) > PUBLISH_BYTES)
			publish(r);
		if (!frames__put(&r->frames, at + done, (size_t)n))
			break;
		r->put_spans += header.type == FRAME_SPAN;
		done += (size_t)n;
	}
	publish(r);
	return done;
}

static void give_back(struct buf *b)
{
	if (b->cap > KEPT_BYTES)
		buf__free(b);
	else
		buf__clear(b);
}

/* The first of what waits has gone. Its memory serves the next request, where that has none. */
static void drop_first(struct receiver *r)
{
	struct receive_waiting *first = r->first;

	r->first = first->next;
	if (!r->first)
		r->last = NULL;
	r->done = 0;
	if (!r->cut.cap && first->frames.cap <= KEPT_BYTES) {
		r->cut = first->frames;
		buf__clear(&r->cut);
	} else {
		buf__free(&first->frames);
	}
	free(first);
}

bool receiver__push(struct receiver *r)
{
	while (r->first) {
		const struct buf *frames = &r->first->frames;
		size_t done = put(r, frames->at + r->done, frames->len - r->done);

		r->done += done;
		r->backlog -= done;
		if (r->done < frames->len)
			return true;
		drop_first(r);
	}
	return false;
}

/*
 * Behind what waits already: many small requests share a piece, so that none takes more room than what is in it; a large one's is what
 * it was cut into. Takes `place`.
 */
static void wait_for_room(struct receiver *r, size_t done, struct receive_waiting *place)
{
	size_t len = r->cut.len - done;

	r->backlog += len;
	if (r->last && r->last->frames.len + len <= SHARED_BYTES &&
	    buf__reserve(&r->last->frames, len)) {
		buf__add(&r->last->frames, r->cut.at + done, len);
		free(place);
		return;
	}
	if (r->last) {
		r->last->frames.err = 0; /* of no room to grow */
		r->last->next = place;
	} else {
		r->first = place;
		r->done = done;
	}
	place->frames = r->cut;
	r->last = place;
	r->cut = (struct buf){ 0 };
}

/* To ship, or behind what waits. Takes `place`. */
static void pass_on(struct receiver *r, struct receive_waiting *place)
{
	size_t done = r->first ? 0 : put(r, r->cut.at, r->cut.len);

	if (done == r->cut.len)
		free(place);
	else
		wait_for_room(r, done, place);
}

static uint64_t *counter(struct account_received *a, enum receive_refusal refusal)
{
	switch (refusal) {
	case RECEIVE_TAKEN:
		return &a->taken;
	case RECEIVE_UNAUTHORIZED:
	case RECEIVE_BAD_HOST:
		return &a->refused_unauthorized;
	case RECEIVE_NO_ADDRESS:
	case RECEIVE_BAD_METHOD:
	case RECEIVE_NO_METHOD:
		return &a->refused_address;
	case RECEIVE_BAD_TYPE:
		return &a->refused_type;
	case RECEIVE_BAD_ENCODING:
	case RECEIVE_BAD_PACKING:
		return &a->refused_encoding;
	case RECEIVE_TOO_LARGE:
		return &a->refused_too_large;
	case RECEIVE_MALFORMED:
		return &a->refused_malformed;
	case RECEIVE_BUSY:
		return &a->refused_busy;
	case RECEIVE_INCOMPLETE:
		break;
	}
	return &a->refused_incomplete;
}

static const char *text_of(enum receive_refusal refusal)
{
	static const char *const texts[] = {
		[RECEIVE_TAKEN] = "",
		[RECEIVE_UNAUTHORIZED] =
			"the token is missing or wrong: send the header Authorization: "
			"Bearer TOKEN (OTEL_EXPORTER_OTLP_HEADERS=authorization="
			"Bearer%20TOKEN)",
		[RECEIVE_BAD_HOST] =
			"this name is not answered to: use localhost or this machine's "
			"address, or start sonde with --ui-host NAME",
		[RECEIVE_NO_ADDRESS] = "there is nothing at this address: traces are taken at "
				       "/v1/traces; metrics and logs are not",
		[RECEIVE_BAD_METHOD] = "this method is not allowed: send POST",
		[RECEIVE_NO_METHOD] =
			"there is no such method: opentelemetry.proto.collector.trace.v1."
			"TraceService/Export is; metrics and logs are not taken",
		[RECEIVE_BAD_TYPE] =
			"this content type is not taken: send application/x-protobuf or "
			"application/json",
		[RECEIVE_BAD_ENCODING] =
			"this content encoding is not known: send gzip, deflate, zstd "
			"or none",
		[RECEIVE_BAD_PACKING] = "the body cannot be unpacked: it is not what its content "
					"encoding says",
		[RECEIVE_TOO_LARGE] =
			"the request is larger than 16 MiB, as it is sent or unpacked: "
			"send fewer spans at a time",
		[RECEIVE_MALFORMED] = "the body is no ExportTraceServiceRequest",
		[RECEIVE_BUSY] = "too much waits to be stored already: send it again later",
		[RECEIVE_INCOMPLETE] = "the request did not come to its end in time",
	};

	return texts[refusal];
}

void receiver__refuse(struct receiver *r, enum receive_refusal refusal, struct receive_answer *ret)
{
	*ret = (struct receive_answer){ .refusal = refusal };
	snprintf(ret->text, sizeof(ret->text), "%s", text_of(refusal));
	r->account->requests++;
	(*counter(r->account, refusal))++;
}

static enum receive_refusal refusal_of(int ret)
{
	return ret == -EMSGSIZE ? RECEIVE_TOO_LARGE :
	       ret == -ENOTSUP	? RECEIVE_BAD_ENCODING :
	       ret == -EBADMSG	? RECEIVE_BAD_PACKING :
	       ret == -ENOMEM	? RECEIVE_BUSY :
				  RECEIVE_MALFORMED;
}

static void count_spans(struct receiver *r, const struct receive_counts *counts)
{
	struct account_received *a = r->account;

	a->spans += counts->spans;
	a->rejected_id += counts->bad_id;
	a->rejected_broken += counts->broken;
	a->rejected_too_large += counts->too_large;
	a->waiting += counts->spans - receive_counts__rejected(counts);
}

static void say_rejected(const struct receive_counts *counts, struct receive_answer *ret)
{
	const struct {
		unsigned long long n;
		const char *what;
	} why[] = {
		{ counts->bad_id, "with ids of a wrong length or of zeroes" },
		{ counts->broken, "broken" },
		{ counts->too_large, "too large (a span 192 KiB, a resource or scope 32 KiB)" },
	};
	size_t at;

	ret->rejected = receive_counts__rejected(counts);
	if (!ret->rejected)
		return;
	at = (size_t)snprintf(ret->text, sizeof(ret->text), "%llu spans refused",
			      (unsigned long long)ret->rejected);
	for (size_t i = 0, n = 0; i < sizeof(why) / sizeof(why[0]); i++)
		if (why[i].n)
			at += (size_t)snprintf(ret->text + at, sizeof(ret->text) - at, "%s%llu %s",
					       n++ ? ", " : ": ", why[i].n, why[i].what);
}

/* *body becomes protobuf. 0, or what refusal_of() knows. */
static int from_json(struct receiver *r, struct view *body, struct err *err)
{
	int bad;

	r->protobuf.max = RECEIVE_BODY_MAX_BYTES;
	bad = receive_json(*body, &r->protobuf, err);
	*body = (struct view){ (const char *)r->protobuf.at, r->protobuf.len };
	return bad;
}

/* 0, or what refusal_of() knows; then err may say more. *ret_place: where the frames may wait, to be freed. */
static int cut_request(struct receiver *r, struct view body, struct view packing,
		       enum receive_encoding encoding, struct receive_counts *ret,
		       struct receive_waiting **ret_place, struct err *err)
{
	int bad = receive_unpack(body, packing, RECEIVE_BODY_MAX_BYTES, &r->plain, &body);

	if (bad)
		return bad;
	r->account->bytes += body.len;
	if (encoding == RECEIVE_JSON)
		bad = from_json(r, &body, err);
	if (!bad)
		bad = receive_cut(body, &r->cut, ret);
	*ret_place = bad ? NULL : calloc(1, sizeof(**ret_place));
	return bad || *ret_place ? bad : -ENOMEM;
}

void receiver__take(struct receiver *r, struct view body, struct view packing,
		    enum receive_encoding encoding, struct receive_answer *ret)
{
	struct receive_counts counts = { 0 };
	struct receive_waiting *place;
	struct err err = { "" };
	int bad;

	if (r->backlog > BACKLOG_BYTES) {
		receiver__refuse(r, RECEIVE_BUSY, ret);
		return;
	}
	bad = cut_request(r, body, packing, encoding, &counts, &place, &err);
	receiver__refuse(r, bad ? refusal_of(bad) : RECEIVE_TAKEN, ret);
	if (*err.text)
		snprintf(ret->text, sizeof(ret->text), "%.200s", err.text);
	if (!bad) {
		count_spans(r, &counts);
		say_rejected(&counts, ret);
		pass_on(r, place);
	}
	give_back(&r->cut);
	give_back(&r->plain);
	give_back(&r->protobuf);
}

bool receiver__hold(struct receiver *r, size_t bytes)
{
	if (r->held + bytes > HELD_MAX_BYTES)
		return false;
	r->held += bytes;
	return true;
}

void receiver__release(struct receiver *r, size_t bytes)
{
	r->held -= bytes;
}

bool receiver__authorized(const struct receiver *r, const char *authorization)
{
	static const char scheme[] = "Bearer ";
	const char *token = r->config->token;
	volatile unsigned int differs;
	size_t n;

	if (!token)
		return true;
	if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1))
		return false;
	authorization += sizeof(scheme) - 1;
	n = strlen(authorization);
	differs = n != strlen(token);
	for (size_t i = 0; i < n && token[i]; i++)
		differs |= (unsigned int)(authorization[i] ^ token[i]);
	return !differs;
}

void receiver__free(struct receiver *r)
{
	buf__free(&r->plain);
	buf__free(&r->protobuf);
	while (r->first)
		drop_first(r);
	buf__free(&r->cut);
}
