/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OTLP/JSON to protobuf: an ExportTraceServiceRequest is rewritten as it is read, so that it takes no more memory than
 * what comes out. As strict as the specification: ids in hexadecimal, enumerations as numbers, whole numbers of 64 bits
 * as strings or numbers, keys in lowerCamelCase; keys that are not known are passed over. Pure; bytes are a
 * stranger's.
 *
 * Sources: opentelemetry-proto, docs/specification.md, "JSON Protobuf Encoding"; ProtoJSON (protobuf.dev); RFC 8259.
 */
#ifndef SONDE_SERVE_RECEIVE_JSON_H
#define SONDE_SERVE_RECEIVE_JSON_H

#include "base/buf.h"
#include "base/err.h"

/* Objects and arrays inside one another. */
#define RECEIVE_JSON_DEPTH_MAX 100

/* Appends the request to out. 0; -EPROTO with what is wrong and where in err; the error of out. */
int receive_json(struct view json, struct buf *out, struct err *err);

#endif
