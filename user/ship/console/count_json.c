// SPDX-License-Identifier: Apache-2.0
#include "ship/console/count_json.h"

#include <inttypes.h>

#include "core/otlp_json.h"

void count_json__add(struct buf *out, uint64_t count, uint64_t errors, const struct histogram *h)
{
	buf__printf(out,
		    "\"count\":%" PRIu64 ",\"errors\":%" PRIu64 ",\"p50_nano\":\"%" PRIu64
		    "\",\"p95_nano\":\"%" PRIu64 "\",\"p99_nano\":\"%" PRIu64
		    "\",\"max_nano\":\"%" PRIu64 "\"",
		    count, errors, histogram__percentile(h, 50), histogram__percentile(h, 95),
		    histogram__percentile(h, 99), h->max);
}

/* Peers and services may have the same name: a node is known by its number. */
static void add_node(struct buf *out, const struct callmap_node *n, uint32_t number, bool first)
{
	buf__printf(out, "%s{\"id\":%" PRIu32 ",\"name\":", first ? "" : ",", number);
	otlp_json__string(out, n->name);
	buf__printf(out, ",\"traced\":%s,", n->traced ? "true" : "false");
	count_json__add(out, n->requests, n->errors, &n->durations);
	buf__add_str(out, "}");
}

static void add_hex(struct buf *out, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < n; i++)
		buf__printf(out, "%02x", at[i]);
}

static void add_edge(struct buf *out, const struct callmap_edge *e, bool first)
{
	buf__printf(out, "%s{\"from\":%" PRIu32 ",\"to\":%" PRIu32 ",", first ? "" : ",", e->from,
		    e->to);
	count_json__add(out, e->count, e->errors, &e->durations);
	buf__add_str(out, ",\"examples\":[");
	for (unsigned int i = 0; i < e->n_examples; i++) {
		const struct callmap_example *x = &e->examples[i];

		buf__add_str(out, i ? ",{\"trace_id\":\"" : "{\"trace_id\":\"");
		add_hex(out, x->trace, sizeof(x->trace));
		buf__add_str(out, "\",\"span_id\":\"");
		add_hex(out, &x->span, sizeof(x->span));
		buf__printf(out, "\",\"duration_nano\":\"%" PRIu64 "\",\"error\":%s}",
			    x->duration_ns, x->error ? "true" : "false");
	}
	buf__add_str(out, "]}");
}

void count_json__map(struct buf *out, const struct callmap *map, bool whole)
{
	bool any = false;

	buf__printf(out,
		    "{\"start_unix_nano\":\"%" PRIu64 "\",\"end_unix_nano\":\"%" PRIu64
		    "\",\"spans\":%" PRIu64 ",\"nodes\":[",
		    map->start_ns, map->end_ns, map->counted);
	for (uint32_t i = 0; i < map->n_nodes; i++) {
		if (!map->nodes[i].shown)
			continue;
		add_node(out, &map->nodes[i], i, !any);
		any = true;
	}
	buf__add_str(out, "],\"edges\":[");
	for (uint32_t i = 0; i < map->n_edges; i++)
		add_edge(out, &map->edges[i], !i);
	buf__printf(out, "],\"incomplete\":%s}\n", whole ? "false" : "true");
}
