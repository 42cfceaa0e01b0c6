/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does a program export the same call itself? Its decoded exports are matched with its nodes, in
 * whichever order the two come: a client's span is the one that the call's own header names; a
 * server's span continues the header that the request came with. Where it came with none the
 * server's span is a root: of the trace that the request's own calls carry, or, where it made none,
 * one that names the port at the other end of the request's connection. Both must be of the same
 * process and kind, and overlap in time.
 */
#ifndef SONDE_CORE_SDK_COVER_H
#define SONDE_CORE_SDK_COVER_H

#include "core/link.h"
#include "core/sdk.h"

/* Exported spans are remembered for so long, and so many of them. */
#define SDK_COVER_NS 10000000000ull
#define SDK_COVER_MAX 8192
/* An SDK's clock readings may lie so far outside ours. */
#define SDK_COVER_SLACK_NS 5000000ull
/* A process with an SDK that has exported nothing for so long is not waited for any more. */
#define SDK_SILENT_NS 30000000000ull

struct sdk_known {
	struct map_link by_proof, by_port; /* by_port: a server's span without a parent */
	struct sdk_span span;
	uint32_t resource;
	uint64_t seen_ns;
	bool used; /* covers a node already */
};

struct sdk_cover {
	const struct engine_config *config;
	struct map nodes; /* held back until the proof comes */
	struct map known, known_ports;
	struct sdk_known *ring;
	uint32_t from, n;
};

int sdk_cover__init(struct sdk_cover *cover, const struct engine_config *config);
void sdk_cover__release(struct sdk_cover *cover);

/* May the program be about to export the same call? Then it is worth waiting. */
bool sdk_cover__may(const struct sdk_cover *cover, struct node *node, uint64_t now_ns);
/* The node has ended. The span, exported already, that covers it from now on; NULL: none. */
const struct sdk_span *sdk_cover__ended(struct sdk_cover *cover, struct node *node,
					uint64_t now_ns);
/* It waits for a proof from now on; more than once does no harm. */
void sdk_cover__add(struct sdk_cover *cover, struct node *node);
void sdk_cover__remove(struct sdk_cover *cover, struct node *node);
/*
 * An export of the process (client), or to it (server), has ended: calls covered for each waiting
 * node that a span in it covers. False: the process sent it, and not all of it could be read.
 */
typedef void sdk_covered_fn(void *arg, struct node *node, const struct sdk_span *span);
bool sdk_cover__export(struct sdk_cover *cover, struct process *process, const struct exchange *ex,
		       uint64_t now_ns, sdk_covered_fn *covered, void *arg);
void sdk_cover__expire(struct sdk_cover *cover, uint64_t now_ns);

#endif
