// SPDX-License-Identifier: Apache-2.0
/*
 * Jaeger's search (cmd/query/app/query_parser.go): traces with a span that matches. Tags that Jaeger makes of
 * other parts of a span, and values that no posting has, are compared with each span of the service; others are
 * looked up among the attributes of span and resource.
 */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "serve/jaeger.h"
#include "serve/traceql.h"
#include "serve/value.h"

#define LIMIT_DEFAULT 100
#define TAGS_MAX 64

/* Tags that are looked at span by span. */
struct jaeger_tags {
	struct jaeger_tag {
		char *key, *value;
	} at[TAGS_MAX];
	unsigned int n;
};

static bool text_is(struct view text, const char *value)
{
	return view_eq(text, view_of(value));
}

/* As Jaeger compares a tag with a text (model/keyvalue.go, AsString). */
static bool value_is(const struct otlp_value *value, const char *text)
{
	struct buf own = { 0 };
	bool is;

	switch (value->type) {
	case OTLP_DOUBLE:
		buf__printf(&own, "%.10g", value->real);
		break;
	case OTLP_BYTES:
		for (size_t i = 0; i < value->bytes.len; i++)
			buf__printf(&own, "%02x", (unsigned int)(uint8_t)value->bytes.at[i]);
		break;
	default:
		json__value_text(&own, value);
	}
	is = !own.err && text_is((struct view){ (const char *)own.at, own.len }, text);
	buf__free(&own);
	return is;
}

static bool attribute_is(struct view message, uint32_t field, const struct jaeger_tag *tag)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct view key;

	while (otlp_attributes__next(&it, &key, &value) > 0)
		if (text_is(key, tag->key) && value_is(&value, tag->value))
			return true;
	return false;
}

static bool event_is(const struct row *row, const struct jaeger_tag *tag)
{
	struct pb pb = pb__of(row->span.message);
	struct span_event event;

	while (row->span.events && span_event__next(&pb, &event)) {
		if (!strcmp(tag->key, "event") && event.name.len && text_is(event.name, tag->value))
			return true;
		if (attribute_is(event.message, 3, tag))
			return true;
	}
	return false;
}

static bool scope_is(struct view scope, uint32_t field, const char *value)
{
	struct pb pb = pb__of(scope);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.number == field && f.wire == PB_BYTES && f.bytes.len)
			return text_is(f.bytes, value);
	return false;
}

/* Of the tags that Jaeger makes. */
static bool made_is(const struct row *row, struct view scope, const struct jaeger_tag *tag)
{
	const struct otlp_span_view *span = &row->span;

	if (!strcmp(tag->key, "otel.scope.name"))
		return scope_is(scope, 1, tag->value);
	if (!strcmp(tag->key, "otel.scope.version"))
		return scope_is(scope, 2, tag->value);
	if (!strcmp(tag->key, "otel.status_code"))
		return (span->status == 1 && !strcmp(tag->value, "OK")) ||
		       (span->status == 2 && !strcmp(tag->value, "ERROR"));
	if (!strcmp(tag->key, "otel.status_description"))
		return span->status_message.len && text_is(span->status_message, tag->value);
	if (!strcmp(tag->key, "w3c.tracestate"))
		return span->trace_state.len && text_is(span->trace_state, tag->value);
	return false;
}

static bool has_tags(void *arg, const struct row *row, struct view scope)
{
	const struct jaeger_tags *tags = arg;

	for (unsigned int i = 0; i < tags->n; i++) {
		const struct jaeger_tag *tag = &tags->at[i];

		if (!made_is(row, scope, tag) &&
		    !attribute_is(row->span.message, OTLP_SPAN_ATTRIBUTES, tag) &&
		    !attribute_is(row->resource, OTLP_RESOURCE_ATTRIBUTES, tag) &&
		    !event_is(row, tag))
			return false;
	}
	return true;
}

/* No posting leads to it. */
static bool is_looked_at(const char *key, const char *value)
{
	static const char *const made[] = { "otel.scope.name",	"otel.scope.version",
					    "otel.status_code", "otel.status_description",
					    "w3c.tracestate",	"event" };

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if (!strcmp(key, made[i]))
			return true;
	return !*value || *value == '[' || *value == '{';
}

struct searching {
	struct filter filter;
	struct jaeger_tags tags;
	uint64_t least_ns, most_ns;
};

static bool is_kind(const char *text)
{
	for (uint32_t kind = 1; kind <= 5; kind++)
		if (!strcmp(text, kind__name(kind)))
			return true;
	return false;
}

/* The status, or an attribute of that name. */
static int add_error(struct filter *f)
{
	struct where *where = NULL;
	struct err err = { "" };
	int ret = filter__parse_where("status=error or .error=true", &where, &err);

	return ret ? ret : filter__add_where(f, where);
}

static int add_tag(struct searching *s, const char *key, const char *value)
{
	struct jaeger_tag *tag = &s->tags.at[s->tags.n];

	/* Of these there are postings. */
	if (!strcmp(key, "otel.status_code") && !strcmp(value, "ERROR"))
		return filter__add_text(&s->filter, "status", "error");
	if (!strcmp(key, "error") && !strcmp(value, "true"))
		return add_error(&s->filter);
	if (!strcmp(key, "span.kind") && is_kind(value))
		return filter__add_text(&s->filter, "kind", value);
	if (!is_looked_at(key, value))
		return filter__add_attribute(&s->filter, view_of(key), value);
	if (s->tags.n == TAGS_MAX)
		return -EINVAL;
	tag->key = strdup(key);
	tag->value = strdup(value);
	s->tags.n++;
	return tag->key && tag->value ? 0 : -ENOMEM;
}

static int add_tags_json(struct searching *s, const char *text)
{
	json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
	const char *key;
	int ret = json_is_object(root) ? 0 : -EINVAL;

	json_object_foreach(root, key, value)
	{
		if (!ret)
			ret = json_is_string(value) ? add_tag(s, key, json_string_value(value)) :
						      -EINVAL;
	}
	json_decref(root);
	return ret;
}

static int read_duration(struct searching *s, bool least, const char *value, const char **why)
{
	uint64_t *ns = least ? &s->least_ns : &s->most_ns;

	if (!traceql__duration(value, ns))
		return -EINVAL;
	/* None, as 0 is where it is not said. */
	if (!*ns)
		return 0;
	*why = "'maxDuration' should be greater than 'minDuration'";
	if (s->least_ns && s->most_ns && s->most_ns < s->least_ns)
		return -EINVAL;
	return filter__add_duration(&s->filter, least, *ns);
}

static int read_limit(struct filter *f, const char *value)
{
	uint64_t n;

	if (!filter__number(value, &n))
		return -EINVAL;
	f->limit = n && n < FILTER_LIMIT_MAX ? (unsigned int)n : FILTER_LIMIT_MAX;
	return 0;
}

static int read_param(struct searching *s, const char *key, char *value, const char **why)
{
	uint64_t n;
	char *colon;

	*why = "a parameter cannot be read";
	if (!*value)
		return 0;
	if (!strcmp(key, "service") || !strcmp(key, "operation"))
		return filter__add_text(&s->filter, key, value);
	if (!strcmp(key, "start") || !strcmp(key, "end")) {
		*why = "start and end are microseconds since the epoch";
		if (!filter__number(value, &n) || n > UINT64_MAX / 1000)
			return -EINVAL;
		*(*key == 's' ? &s->filter.start_ns : &s->filter.end_ns) = n * 1000;
	} else if (!strcmp(key, "limit")) {
		*why = "limit is a number of traces";
		return read_limit(&s->filter, value);
	} else if (!strcmp(key, "minDuration") || !strcmp(key, "maxDuration")) {
		*why = "durations are written as 100ms or 1.2s";
		return read_duration(s, key[1] == 'i', value, why);
	} else if (!strcmp(key, "tags")) {
		*why = "malformed 'tags' parameter, expecting a JSON object of strings";
		return add_tags_json(s, value);
	} else if (!strcmp(key, "tag")) {
		*why = "malformed 'tag' parameter, expecting key:value";
		colon = strchr(value, ':');
		if (!colon || colon == value)
			return -EINVAL;
		*colon = 0;
		return add_tag(s, value, colon + 1);
	}
	return 0;
}

/* traceID=...: these, whatever else is asked. */
static bool read_ids(struct ask *ask, struct found_traces *ret)
{
	for (unsigned int i = 0; i < ask->target->n_params; i++) {
		if (!view_eq(ask->target->params[i].key, VIEW("traceID")))
			continue;
		if (!filter__trace_id(ask->target->params[i].value, true, ret->ids[ret->n]))
			return false;
		ret->n++;
	}
	return true;
}
_Static_assert(TARGET_PARAMS_MAX <= FILTER_LIMIT_MAX, "all ids have room");

static void search(struct ask *ask, struct searching *s)
{
	struct found_traces found = { .n = 0 };
	const char *why = NULL;
	int ret = 0;

	for (unsigned int i = 0; i < ask->target->n_params && !ret; i++)
		ret = read_param(s, ask->target->params[i].key.at,
				 (char *)ask->target->params[i].value.at, &why);
	if (s->tags.n) {
		s->filter.also = has_tags;
		s->filter.also_arg = &s->tags;
	}
	if (ret == -EINVAL)
		jaeger__error(ask, 400, why);
	else if (ret)
		ask__wrong(ask, ret, NULL);
	else if (ask__find(ask, &s->filter, &found))
		jaeger__tell(ask, &found, JAEGER_SEARCH);
}

void jaeger__traces(struct ask *ask)
{
	struct searching s = { .filter = { .end_ns = UINT64_MAX, .limit = LIMIT_DEFAULT } };
	const char *service = target__param(ask->target, "service");
	struct found_traces ids = { .n = 0 };

	if (!read_ids(ask, &ids)) {
		jaeger__error(ask, 400, "a trace id has 1 to 32 hexadecimal digits");
		return;
	}
	if (ids.n) {
		jaeger__tell(ask, &ids, JAEGER_IDS);
		return;
	}
	if (!service || !*service) {
		jaeger__error(ask, 400, "parameter 'service' is required");
		return;
	}
	search(ask, &s);
	filter__free(&s.filter);
	for (unsigned int i = 0; i < s.tags.n; i++) {
		free(s.tags.at[i].key);
		free(s.tags.at[i].value);
	}
}
