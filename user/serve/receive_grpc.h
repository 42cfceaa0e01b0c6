/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP over gRPC: the one method opentelemetry.proto.collector.trace.v1.TraceService/Export, in the clear, by HTTP/2
 * with prior knowledge. HTTP/2 itself is libnghttp2's. Sources: RFC 9113; gRPC over HTTP2 (grpc/doc/PROTOCOL-HTTP2.md).
 */
#ifndef SONDE_SERVE_RECEIVE_GRPC_H
#define SONDE_SERVE_RECEIVE_GRPC_H

#include "serve/receive.h"

struct receive_grpc;
/* Accepts from `listening`, which is closed with it. Before the sandbox. 0 or a negative errno with err. */
int receive_grpc__new(struct receive_grpc **ret, struct receiver *receiver, int listening,
		      struct err *err);
/* Readable when there is something to do. */
int receive_grpc__fd(const struct receive_grpc *grpc);
/* Does it, and says when it is to be called again though nothing comes: CLOCK_BOOTTIME ns, 0: never. */
uint64_t receive_grpc__work(struct receive_grpc *grpc, uint64_t now);
/* NULL is fine. */
void receive_grpc__free(struct receive_grpc *grpc);

#endif
