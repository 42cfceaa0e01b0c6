/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sender is answered, in the encoding that it used: ExportTraceServiceResponse, with partial_success where spans
 * were rejected, or google.rpc.Status where the request was refused. Pure.
 */
#ifndef SONDE_SERVE_RECEIVE_REPLY_H
#define SONDE_SERVE_RECEIVE_REPLY_H

#include "serve/receive.h"

/* Appends the message to out and returns the status of HTTP; out has an error where there is no memory. */
unsigned int receive_reply(const struct receive_answer *answer, enum receive_encoding encoding,
			   struct buf *out);
/* The number of google.rpc.Code for it, which is also grpc-status. */
unsigned int receive_reply__code(enum receive_refusal refusal);

#endif
