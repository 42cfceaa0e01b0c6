/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP over HTTP/1: POST /v1/traces, protobuf or JSON (opentelemetry-proto, docs/specification.md, "OTLP/HTTP").
 * HTTP itself is libmicrohttpd's.
 */
#ifndef SONDE_SERVE_RECEIVE_HTTP_H
#define SONDE_SERVE_RECEIVE_HTTP_H

#include "serve/mhd.h"
#include "serve/receive.h"

struct receive_http;
/* Accepts from `listening`, which is closed with it. Before the sandbox. 0 or a negative errno with err. */
int receive_http__new(struct receive_http **ret, const struct mhd *mhd, struct receiver *receiver,
		      int listening, struct err *err);
/* Readable when there is something to do. */
int receive_http__fd(const struct receive_http *http);
/* Does it, and says when it is to be called again though nothing comes: CLOCK_BOOTTIME ns, 0: never, 1: at once. */
uint64_t receive_http__work(struct receive_http *http, uint64_t now);
/* NULL is fine. */
void receive_http__free(struct receive_http *http);

#endif
