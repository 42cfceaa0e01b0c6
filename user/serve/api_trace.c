// SPDX-License-Identifier: Apache-2.0
#include "core/otlp_json.h"
#include "serve/gather.h"

static int add_span(struct buf *out, struct view message, bool first)
{
	size_t before = out->len;

	buf__add(out, ",", !first);
	if (!otlp_json__span(out, message))
		return 0;
	if (!out->err)
		out->len = before;
	return -1;
}

static void add_group(struct body *body, struct view resource, struct view scope,
		      struct body *spans, bool first)
{
	struct buf *out = body__text(body);

	buf__add_str(out, first ? "{\"resource\":" : ",{\"resource\":");
	if (otlp_json__resource(out, resource))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"scopeSpans\":[{\"scope\":");
	if (otlp_json__scope(out, scope))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"spans\":[");
	body__append(body, spans);
	buf__add_str(body__text(body), "]}]}");
}

void api__trace(struct ask *ask)
{
	static const struct gather_format format = { add_span, add_group };
	struct gathered all;
	uint8_t id[16];

	if (!filter__trace_id(ask->part, false, id)) {
		ask__error(ask, 400, "this is no trace id", "it has not 32 hexadecimal digits",
			   "take one from /api/v1/search");
		return;
	}
	buf__add_str(ask__text(ask), "{\"resourceSpans\":[");
	if (!gather__trace(ask, id, &format, &all))
		return;
	if (!all.spans)
		ask__error(ask, 404, "there is no such trace",
			   "no span of it is in the store: it never came, or was given up for the "
			   "store's limits",
			   "take one from /api/v1/search");
	else
		buf__printf(ask__text(ask), "],\"sonde\":{\"lost\":%s,\"incomplete\":%s}}\n",
			    store__has_lost(ask->api->folder,
					    (struct view){ (const char *)id, 16 }) ?
				    "true" :
				    "false",
			    all.incomplete ? "true" : "false");
}
