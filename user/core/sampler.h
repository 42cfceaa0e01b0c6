/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which traces are sampled: OTEL_TRACES_SAMPLER's family, one answer for all spans of a trace.
 *
 * Ratios are decided as OpenTelemetry's ProbabilitySampler does ("TraceState: Probability
 * Sampling"): 56 bits of randomness R (tracestate ot=rv, else the low 56 bits of the trace id)
 * against a rejection threshold T; sampled where R >= T, and then T is written as ot=th.
 */
#ifndef SONDE_CORE_SAMPLER_H
#define SONDE_CORE_SAMPLER_H

#include "core/engine.h"
#include "core/propagate.h"

struct sampled {
	bool sampled;
	bool shed; /* the sampler would have it, the governor does not */
	uint16_t tracestate_len;
	char tracestate[TRACESTATE_MAX_BYTES]; /* as the trace's spans carry it */
};

/*
 * Where the governor sheds (config->shed.halvings), of the traces that the sampler would have only
 * those stay whose randomness lies above that threshold as well: every process of every agent at the
 * same step keeps the same traces, one at a lower step keeps these and more. ot=th becomes the higher
 * of both thresholds; where the caller has sampled and does not say by which, none is made up.
 *
 * parent: what the propagation header said, NULL for a trace that begins here. Never fails: where
 * ot=th does not fit into the tracestate, the tracestate stays as it was.
 */
void sampler__decide(const struct engine_config *config, const uint8_t trace_id[16],
		     const struct propagated *parent, struct sampled *ret);

#endif
