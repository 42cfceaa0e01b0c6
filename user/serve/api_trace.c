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

/* What a page writes of each span, of a hundred thousand too; the others are asked for by the span. */
static int add_row(struct buf *out, struct view message, bool first)
{
	static const struct view names[] = {
		VIEW("http.route"),
		VIEW("url.template"),
		VIEW("url.path"),
		VIEW("url.full"),
		VIEW("http.target"),
		VIEW("http.url"),
		VIEW("sonde.link.method"),
		VIEW("sonde.link.ambiguous"),
		VIEW("http.response.status_code"),
	};
	size_t before = out->len;

	buf__add(out, ",", !first);
	if (!otlp_json__row(out, message, names, sizeof(names) / sizeof(names[0])))
		return 0;
	if (!out->err)
		out->len = before;
	return -1;
}

static void add_group_of(struct body *body, struct view resource, struct view scope,
			 struct body *spans, bool first, const char *name)
{
	struct buf *out = body__text(body);

	buf__add_str(out, first ? "{\"resource\":" : ",{\"resource\":");
	if (otlp_json__resource(out, resource))
		buf__add_str(out, "{}");
	buf__add_str(out, ",\"scopeSpans\":[{\"scope\":");
	if (otlp_json__scope(out, scope))
		buf__add_str(out, "{}");
	buf__printf(out, ",\"%s\":[", name);
	body__append(body, spans);
	buf__add_str(body__text(body), "]}]}");
}

static void add_group(struct body *body, struct view resource, struct view scope,
		      struct body *spans, bool first)
{
	add_group_of(body, resource, scope, spans, first, "spans");
}

static void add_rows(struct body *body, struct view resource, struct view scope, struct body *spans,
		     bool first)
{
	add_group_of(body, resource, scope, spans, first, "rows");
}

/* False: the answer is an error. */
static bool read_format(struct ask *ask, struct gather_format *format, uint8_t span_id[8])
{
	const char *form = target__param(ask->target, "form"),
		   *span = target__param(ask->target, "span");

	uint8_t id[16];

	*format = (struct gather_format){ add_span, add_group, NULL };
	if (form && strcmp(form, "rows")) {
		ask__error(ask, 400, "there is no such form", "form is rows, or left out",
			   "see docs/api.yaml for what there is");
		return false;
	}
	if (form) {
		format->span = add_row;
		format->group = add_rows;
	}
	if (!span)
		return true;
	if (strlen(span) == 16 && filter__trace_id(view_of(span), true, id)) {
		format->span_id = memcpy(span_id, id + 8, 8);
		return true;
	}
	ask__error(ask, 400, "this is no span id", "it has not 16 hexadecimal digits",
		   "take one from the trace");
	return false;
}

void api__trace(struct ask *ask)
{
	struct gather_format format;
	struct gathered all;
	uint8_t id[16], span_id[8];

	if (!filter__trace_id(ask->part, false, id)) {
		ask__error(ask, 400, "this is no trace id", "it has not 32 hexadecimal digits",
			   "take one from /api/v1/search");
		return;
	}
	if (!read_format(ask, &format, span_id))
		return;
	buf__add_str(ask__text(ask), "{\"resourceSpans\":[");
	if (!gather__trace(ask, id, &format, &all))
		return;
	if (!all.spans)
		ask__error(ask, 404,
			   format.span_id ? "there is no such span" : "there is no such trace",
			   "it never came, or was given up for the store's limits",
			   "take one from /api/v1/search");
	else
		buf__printf(ask__text(ask), "],\"sonde\":{\"lost\":%s,\"incomplete\":%s}}\n",
			    store__has_lost(ask->api->folder,
					    (struct view){ (const char *)id, 16 }) ?
				    "true" :
				    "false",
			    all.incomplete ? "true" : "false");
}
