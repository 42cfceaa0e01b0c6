/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ExportTraceServiceRequest, cut into the frames that ship takes: resources and scopes, each under a number, and
 * spans as they came, byte for byte. Whatever a decoder further on would refuse, and with it the spans of others that
 * travel in the same request, is refused here: broken messages at any depth, ids of wrong lengths, text that is
 * no UTF-8. Fields that are not known pass. Pure; bytes are a stranger's.
 *
 * Sources: opentelemetry-proto 1.11, collector/trace/v1/trace_service.proto, trace/v1/trace.proto; the protobuf
 * encoding guide.
 */
#ifndef SONDE_SERVE_RECEIVE_CUT_H
#define SONDE_SERVE_RECEIVE_CUT_H

#include "base/buf.h"

/* Of one encoded span, and of what is said of its process or library: ship's ring and its tables must hold them. */
#define RECEIVE_SPAN_MAX_BYTES (192u << 10)
#define RECEIVE_RESOURCE_MAX_BYTES (32u << 10)
/* And of what stands beside these: a schema URL. */
#define RECEIVE_BESIDE_MAX_BYTES 4096u

struct receive_counts {
	uint64_t spans; /* all; the others are of these */
	uint64_t bad_id, broken, too_large;
};

static inline uint64_t receive_counts__rejected(const struct receive_counts *counts)
{
	return counts->bad_id + counts->broken + counts->too_large;
}

/*
 * Appends the frames to out, those of a resource and a scope before the spans that need them. 0; -EPROTO: the request is none,
 * and nothing is appended; -ENOMEM, or the error of out, likewise.
 */
int receive_cut(struct view request, struct buf *out, struct receive_counts *ret);

#endif
