/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the receiver does with a request, whichever way it came: unpacks it, cuts it into frames, and passes these to
 * ship as it has room for them. What waits is bounded: whoever sends more is asked to come again.
 */
#ifndef SONDE_SERVE_RECEIVE_H
#define SONDE_SERVE_RECEIVE_H

#include "base/buf.h"
#include "core/account.h"
#include "serve/config.h"
#include "supervise/frames.h"

/* Of one request, as it is sent and unpacked. */
#define RECEIVE_BODY_MAX_BYTES (16u << 20)

enum receive_encoding { RECEIVE_PROTOBUF, RECEIVE_JSON };

/* Why a request is refused; each is a counter of the account. */
enum receive_refusal {
	RECEIVE_TAKEN = 0,
	RECEIVE_UNAUTHORIZED,
	RECEIVE_BAD_HOST,
	RECEIVE_NO_ADDRESS,
	RECEIVE_BAD_METHOD,
	RECEIVE_NO_METHOD, /* of gRPC */
	RECEIVE_BAD_TYPE,
	RECEIVE_BAD_ENCODING,
	RECEIVE_BAD_PACKING,
	RECEIVE_TOO_LARGE,
	RECEIVE_MALFORMED,
	RECEIVE_BUSY,
	RECEIVE_INCOMPLETE,
};

struct receive_answer {
	enum receive_refusal refusal;
	uint64_t rejected; /* spans, of a request that was taken */
	char text[256];	   /* what is wrong, and what to do; empty: nothing */
};

/* Frames of a request, or of several small ones, that wait for room. */
struct receive_waiting {
	struct receive_waiting *next;
	struct buf frames;
};

struct receiver {
	const struct serve_config *config;
	struct account_received *account;
	struct frames frames;
	int wake;			      /* FD_FRAMES */
	struct buf cut;			      /* of the request at hand */
	struct buf plain;		      /* the same, unpacked */
	struct buf protobuf;		      /* the same, from JSON */
	struct receive_waiting *first, *last; /* for ship to have room */
	size_t done, backlog;		      /* bytes: of the first, that went; of all that wait */
	size_t held;		/* bytes of requests that have not come to their end */
	unsigned int put_spans; /* in frames that were put and not published */
};

/* packing: of Content-Encoding or grpc-encoding; "" or identity: none. Fills *ret in any case, and counts it. */
void receiver__take(struct receiver *r, struct view body, struct view packing,
		    enum receive_encoding encoding, struct receive_answer *ret);
/* A request that does not come so far: fills *ret and counts it. */
void receiver__refuse(struct receiver *r, enum receive_refusal refusal, struct receive_answer *ret);

/*
 * To be called for each piece that has come: may it be kept? False: RECEIVE_BUSY. What is kept is given back by
 * receiver__release().
 */
bool receiver__hold(struct receiver *r, size_t bytes);
void receiver__release(struct receiver *r, size_t bytes);

/* Is this the token? In a time that says nothing of how much of it is right. True where there is none. */
bool receiver__authorized(const struct receiver *r, const char *authorization);

/* Passes on what waits. True: something still does, and this is to be called again in a millisecond. */
bool receiver__push(struct receiver *r);
void receiver__free(struct receiver *r);

#endif
