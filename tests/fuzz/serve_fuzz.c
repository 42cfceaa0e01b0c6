// SPDX-License-Identifier: Apache-2.0
/*
 * What the role that serves reads of a request beside its library: the target with its parameters, Host, an
 * address, TraceQL, tags; and of what the store holds: values, events, links. The first byte says which. What is accepted is compared with a span.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "serve/filter.h"
#include "serve/listen.h"
#include "serve/target.h"
#include "serve/traceql.h"
#include "serve/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct row row = { .service = { "shop", 4 }, .status = 500, .duration_ns = 5000000 };

static void check_views(const struct target *t, const char *text, size_t len)
{
	for (unsigned int i = 0; i < t->n_segments; i++)
		if (t->segments[i].at < text ||
		    t->segments[i].at + t->segments[i].len > text + len ||
		    strlen(t->segments[i].at) != t->segments[i].len)
			abort();
	for (unsigned int i = 0; i < t->n_params; i++)
		if (strlen(t->params[i].value.at) != t->params[i].value.len ||
		    strlen(t->params[i].key.at) != t->params[i].key.len)
			abort();
}

static void check_target(char *text, size_t len)
{
	struct complaint why;
	struct target target;
	struct filter filter;
	struct err err;
	uint8_t id[16];
	int ret;

	if (target__parse(text, &target, &err))
		return;
	check_views(&target, text, len);
	for (unsigned int i = 0; i < target.n_segments; i++)
		filter__trace_id(target.segments[i], true, id);
	ret = filter__read(&target, &filter, &why);
	if (!ret) {
		filter__matches(&filter, &row);
		filter__free(&filter);
	} else if (ret == -EINVAL && (!*why.what || !*why.why || !*why.todo)) {
		abort();
	}
	filter__read_range(&target, "service", &filter, &why);
}

static void check_query(const char *text, bool tags)
{
	struct filter filter = { .end_ns = UINT64_MAX };
	struct err err = { "" };
	struct traceql query = { 0 };
	int ret = tags ? traceql__tags(&filter, text, &err) : traceql__parse(&query, text, &err);

	if (!ret)
		filter__matches(&filter, &row);
	for (unsigned int i = 0; i < query.n_sets; i++)
		where__matches(query.sets[i], &row);
	if (ret == -EINVAL && !*err.text)
		abort();
	traceql__free(&query);
	filter__free(&filter);
}

static void check_host(const char *text, size_t len)
{
	struct listen_address address;
	struct view host;

	if (host__parse((struct view){ text, len }, &host)) {
		if (host.at < text || host.at + host.len > text + len)
			abort();
		host__is_loopback(host);
	}
	listen_address__parse(text, &address, NULL);
}

static void check_values(struct view message)
{
	struct otlp_attributes it = otlp_attributes__of(message, OTLP_SPAN_ATTRIBUTES);
	struct pb events = pb__of(message), links = events;
	struct otlp_value value;
	struct span_event event;
	struct buf out = { 0 };
	struct span_link link;
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0) {
		json__value(&out, &value);
		json__value_text(&out, &value);
	}
	while (span_event__next(&events, &event))
		buf__add_view(&out, event.name);
	while (span_link__next(&links, &link))
		buf__add_view(&out, link.trace_id);
	buf__free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text;

	if (!len || len > 20000)
		return 0;
	if (bytes[0] == 0xff) {
		check_values((struct view){ (const char *)bytes + 1, len - 1 });
		return 0;
	}
	text = malloc(len);
	if (!text)
		return 0;
	memcpy(text, bytes + 1, len - 1);
	text[len - 1] = 0;
	switch (bytes[0] % 4) {
	case 0:
		check_target(text, len);
		break;
	case 1:
		check_query(text, false);
		break;
	case 2:
		check_query(text, true);
		break;
	default:
		check_host(text, len - 1);
	}
	free(text);
	return 0;
}
