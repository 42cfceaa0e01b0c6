// SPDX-License-Identifier: Apache-2.0
/* Jaeger's graph of services (its HTTP API, dependencies): calls of services that are traced themselves. */
#include <inttypes.h>
#include <malloc.h>

#include "base/clock.h"
#include "core/otlp_json.h"
#include "serve/jaeger.h"
#include "ship/console/callmap.h"

#define LOOKBACK_MS (24u * 3600 * 1000)

/* endTs and lookback, in milliseconds. */
static bool read_range(struct ask *ask, struct filter *ret)
{
	const char *end = target__param(ask->target, "endTs");
	const char *back = target__param(ask->target, "lookback");
	uint64_t end_ms = clock__epoch_ns() / 1000000, back_ms = LOOKBACK_MS;

	if ((end && *end && !filter__number(end, &end_ms)) ||
	    (back && *back && !filter__number(back, &back_ms)) || end_ms > UINT64_MAX / 1000000) {
		jaeger__error(ask, 400, "endTs and lookback are milliseconds");
		return false;
	}
	*ret = (struct filter){ .start_ns = back_ms < end_ms ? (end_ms - back_ms) * 1000000 : 0,
				.end_ns = end_ms * 1000000 };
	return true;
}

static bool is_told(const struct callmap *map, const struct callmap_edge *e, const char *service)
{
	const struct callmap_node *from = &map->nodes[e->from], *to = &map->nodes[e->to];

	if (!from->traced || !to->traced || view_eq(from->name, to->name))
		return false;
	return !service || !*service || view_eq(from->name, view_of(service)) ||
	       view_eq(to->name, view_of(service));
}

static void tell(struct ask *ask, const struct callmap *map)
{
	const char *service = target__param(ask->target, "service");
	struct buf *out = ask__text(ask);
	bool any = false;

	buf__add_str(out, "{\"data\":[");
	for (uint32_t i = 0; i < map->n_edges; i++) {
		const struct callmap_edge *e = &map->edges[i];

		if (!is_told(map, e, service))
			continue;
		buf__add_str(out, any ? ",{\"parent\":" : "{\"parent\":");
		any = true;
		otlp_json__string(out, map->nodes[e->from].name);
		buf__add_str(out, ",\"child\":");
		otlp_json__string(out, map->nodes[e->to].name);
		buf__printf(out, ",\"callCount\":%" PRIu64 "}", e->count);
	}
	buf__add_str(out, "],\"total\":0,\"limit\":0,\"offset\":0,\"errors\":null}\n");
}

void jaeger__dependencies(struct ask *ask)
{
	struct filter range;
	struct callmap map;

	if (!read_range(ask, &range) || !ask__catalogue(ask))
		return;
	if (ask__callmap(ask, &range, &map))
		tell(ask, &map);
	callmap__free(&map);
	malloc_trim(0);
}
