/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an answer of an OTLP backend means, and how long to wait before trying again. Pure
 * functions: the rules of the OTLP specification ("OTLP/HTTP Response", "OTLP/gRPC Response",
 * "Retryable Response Codes", "OTLP/HTTP Throttling", "OTLP/gRPC Throttling").
 */
#ifndef SONDE_SHIP_RETRY_H
#define SONDE_SHIP_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum grpc_status {
	GRPC_NONE = -1, /* no grpc-status was received */
	GRPC_OK = 0,
	GRPC_CANCELLED = 1,
	GRPC_UNKNOWN = 2,
	GRPC_INVALID_ARGUMENT = 3,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_ALREADY_EXISTS = 6,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_FAILED_PRECONDITION = 9,
	GRPC_ABORTED = 10,
	GRPC_OUT_OF_RANGE = 11,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_INTERNAL = 13,
	GRPC_UNAVAILABLE = 14,
	GRPC_DATA_LOSS = 15,
	GRPC_UNAUTHENTICATED = 16,
};

struct answer {
	bool received; /* false: connection failed, timed out, broke off */
	bool grpc;
	int http_status;
	int grpc_status; /* enum grpc_status */
	bool retry_info; /* grpc-status-details-bin held a RetryInfo */
	int64_t wait_ms; /* Retry-After, or RetryInfo's delay; -1: none */
	uint64_t rejected_spans;
	char message[256]; /* the backend's own words: hostile bytes */
};

enum verdict {
	VERDICT_DONE, /* taken (rejected_spans of them were not: partial success, never sent again) */
	VERDICT_RETRY,	/* later, the same */
	VERDICT_SPLIT,	/* too large: in halves, once */
	VERDICT_REJECT, /* refused for good */
};

enum verdict retry__judge(const struct answer *answer);

/*
 * Time until the next attempt. attempt: how many have failed, from 1. random: any 32 random bits.
 * Exponential from 0.5 s, doubling, at most 10 s, of which the upper half is jitter; never less
 * than what the backend asked for.
 */
uint64_t retry__wait_ms(unsigned int attempt, uint32_t random, int64_t asked_ms);

/*
 * Retry-After (RFC 9110 10.2.3): seconds, or an HTTP date in any of the three forms (5.6.7),
 * seen from epoch_s. Milliseconds from now (0 for a date in the past), -1: neither.
 */
int64_t retry__after_ms(struct view value, int64_t epoch_s);

/*
 * grpc-status-details-bin: base64 (padding optional) of google.rpc.Status. True when it holds a
 * google.rpc.RetryInfo; *ret_wait_ms is its delay, -1 where it names none.
 */
bool retry__grpc_details(struct view base64, int64_t *ret_wait_ms);

/*
 * The body of an answer with status 2xx or grpc-status 0: ExportTraceServiceResponse, in protobuf
 * or JSON. Fills rejected_spans and message. A body that cannot be read changes nothing.
 */
void retry__read_protobuf(struct answer *answer, struct view body);
void retry__read_json(struct answer *answer, struct view body);
/* The body of another answer: google.rpc.Status; its message, for a person. */
void retry__read_status(struct answer *answer, struct view body, bool json);

#endif
