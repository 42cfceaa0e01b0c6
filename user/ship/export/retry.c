// SPDX-License-Identifier: Apache-2.0
#include "ship/export/retry.h"

#include <limits.h>

#define FIRST_MS 500
#define MOST_MS 10000

/* gRPC over HTTP: what a status of a proxy in between stands for (grpc http-grpc-status-mapping). */
static int grpc_status_of(const struct answer *a)
{
	if (a->grpc_status != GRPC_NONE)
		return a->grpc_status;
	switch (a->http_status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

static enum verdict judge_grpc(const struct answer *a)
{
	switch (grpc_status_of(a)) {
	case GRPC_OK:
		return VERDICT_DONE;
	case GRPC_CANCELLED:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_ABORTED:
	case GRPC_OUT_OF_RANGE:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return VERDICT_RETRY;
	case GRPC_RESOURCE_EXHAUSTED:
		return a->retry_info ? VERDICT_RETRY : VERDICT_REJECT;
	default:
		return a->http_status == 413 ? VERDICT_SPLIT : VERDICT_REJECT;
	}
}

enum verdict retry__judge(const struct answer *a)
{
	if (!a->received)
		return VERDICT_RETRY;
	if (a->grpc)
		return judge_grpc(a);
	if (a->http_status >= 200 && a->http_status < 300)
		return VERDICT_DONE;
	switch (a->http_status) {
	case 429:
	case 502:
	case 503:
	case 504:
		return VERDICT_RETRY;
	case 413:
		return VERDICT_SPLIT;
	default:
		return VERDICT_REJECT;
	}
}

uint64_t retry__wait_ms(unsigned int attempt, uint32_t random, int64_t asked_ms)
{
	uint64_t wait = FIRST_MS;

	while (attempt > 1 && wait < MOST_MS) {
		wait *= 2;
		attempt--;
	}
	if (wait > MOST_MS)
		wait = MOST_MS;
	wait = wait / 2 + (wait / 2 * random >> 32);
	return asked_ms > 0 && (uint64_t)asked_ms > wait ? (uint64_t)asked_ms : wait;
}
