// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "core/otlp_json.h"
#include "serve/api_impl.h"

/* A query answers with what it has by then: so long by its own work, or by the clock where the machine is busy otherwise. */
#define QUERY_WORK_NS 2000000000ull
#define QUERY_NS 8000000000ull
#define MORE_NS 8000000000ull
/* Of the catalogue: before an answer, and in between. */
#define CATALOGUE_ASKED_NS 300000000ull
#define CATALOGUE_SLICE_NS 20000000ull
/* Nobody has asked for so long: what is not read yet can wait. */
#define CATALOGUE_REST_NS 60000000000ull

struct api *api__new(const char *folder)
{
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		return NULL;
	api->folder = folder;
	api->catalogue = catalogue__new();
	if (api->catalogue)
		return api;
	free(api);
	return NULL;
}

void api__free(struct api *api)
{
	if (!api)
		return;
	catalogue__free(api->catalogue);
	free(api);
}

bool api__has(struct view first)
{
	return view_eq(first, VIEW("api")) || view_eq(first, VIEW("jaeger")) ||
	       view_eq(first, VIEW("tempo"));
}

bool api__work(struct api *api)
{
	struct catalogue_totals totals;
	struct err err;

	catalogue__totals(api->catalogue, &totals);
	if (!api->asked_ns || totals.complete ||
	    clock__boot_ns() - api->asked_ns > CATALOGUE_REST_NS)
		return false;
	return catalogue__read(api->catalogue, api->folder, CATALOGUE_SLICE_NS, &err) == 1;
}

bool ask__late(struct ask *ask)
{
	if (!ask->late && !(ask->calls++ & 15))
		ask->late = clock__thread_ns() >= ask->until_thread_ns ||
			    clock__boot_ns() >= ask->until_ns;
	return ask->late;
}

void ask__more_time(struct ask *ask)
{
	ask->until_thread_ns += MORE_NS;
	ask->until_ns += MORE_NS;
}

void ask__once_more(struct ask *ask)
{
	/* What took that long may take longer when others come in between. */
	ask->until_thread_ns = clock__thread_ns() + 2 * QUERY_WORK_NS;
	ask->until_ns = clock__boot_ns() + 3 * QUERY_NS;
	ask->late = false;
}

struct buf *ask__text(struct ask *ask)
{
	return body__text(ask->answer->body);
}

void ask__error(struct ask *ask, unsigned int status, const char *what, const char *why,
		const char *todo)
{
	answer__error(ask->answer, status, what, why, todo);
}

void ask__wrong(struct ask *ask, int code, const struct complaint *why)
{
	if (code == -EINVAL)
		ask__error(ask, 400, why->what, why->why, why->todo);
	else
		ask__error(ask, 503, "the question cannot be looked at",
			   "there is not enough memory", "ask again later");
}

void ask__unreadable(struct ask *ask, const struct err *err)
{
	ask__error(ask, 503, "the store cannot be read", err->text,
		   "look at what is wrong with its folder");
}

const char *kind__name(uint32_t kind)
{
	static const char *const kinds[] = { "unspecified", "internal", "server",
					     "client",	    "producer", "consumer" };

	return kinds[kind < 6 ? kind : 0];
}

void json__hex(struct buf *out, struct view bytes)
{
	static const char hex[] = "0123456789abcdef";

	buf__add(out, "\"", 1);
	for (size_t i = 0; i < bytes.len; i++) {
		char two[2] = { hex[(uint8_t)bytes.at[i] >> 4], hex[(uint8_t)bytes.at[i] & 15] };

		buf__add(out, two, 2);
	}
	buf__add(out, "\"", 1);
}

void json__number(struct buf *out, const char *name, uint64_t n)
{
	buf__printf(out, "\"%s\":%" PRIu64, name, n);
}

void json__nano(struct buf *out, const char *name, uint64_t n)
{
	buf__printf(out, "\"%s\":\"%" PRIu64 "\"", name, n);
}

void names__add(struct names *names, struct view name, uint32_t kind, uint64_t spans)
{
	struct name *bigger;

	if (names->n == names->cap) {
		size_t cap = names->cap ? 2 * names->cap : 64;

		bigger = reallocarray(names->at, cap, sizeof(*bigger));
		if (!bigger) {
			names->failed = true;
			return;
		}
		names->at = bigger;
		names->cap = cap;
	}
	names->at[names->n++] = (struct name){ name, kind, spans };
}

static int by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;
	size_t least = x->name.len < y->name.len ? x->name.len : y->name.len;
	int ret = least ? memcmp(x->name.at, y->name.at, least) : 0;

	if (ret)
		return ret;
	if (x->name.len != y->name.len)
		return x->name.len < y->name.len ? -1 : 1;
	return x->kind < y->kind ? -1 : x->kind > y->kind;
}

void names__merge(struct names *names)
{
	size_t n = 0;

	if (names->n)
		qsort(names->at, names->n, sizeof(*names->at), by_name);
	for (size_t i = 0; i < names->n; i++) {
		if (n && !by_name(&names->at[n - 1], &names->at[i]))
			names->at[n - 1].spans += names->at[i].spans;
		else
			names->at[n++] = names->at[i];
	}
	names->n = n;
}

void names__free(struct names *names)
{
	free(names->at);
	*names = (struct names){ 0 };
}

bool ask__catalogue(struct ask *ask)
{
	struct err err = { "" };

	ask->api->asked_ns = clock__boot_ns();
	if (catalogue__read(ask->api->catalogue, ask->api->folder, CATALOGUE_ASKED_NS, &err) >= 0)
		return true;
	ask__unreadable(ask, &err);
	return false;
}

struct picking {
	struct names *names;
	const struct filter *range;
	struct view service;
	bool services;
};

static void pick(void *arg, const struct catalogue_entry *e)
{
	struct picking *p = arg;

	if (e->first_ns > p->range->end_ns || e->last_ns < p->range->start_ns)
		return;
	if (p->services)
		names__add(p->names, e->service, 0, e->spans);
	else if (!p->service.at || view_eq(e->service, p->service))
		names__add(p->names, e->name, e->kind, e->spans);
}

static bool pick_all(struct ask *ask, struct picking *p)
{
	if (!ask__catalogue(ask))
		return false;
	catalogue__each(ask->api->catalogue, pick, p);
	names__merge(p->names);
	if (!p->names->failed)
		return true;
	names__free(p->names);
	ask__wrong(ask, -ENOMEM, NULL);
	return false;
}

bool ask__services(struct ask *ask, const struct filter *range, struct names *ret)
{
	struct picking p = { .names = ret, .range = range, .services = true };

	return pick_all(ask, &p);
}

bool ask__operations(struct ask *ask, const char *service, const struct filter *range,
		     struct names *ret)
{
	struct picking p = { .names = ret,
			     .range = range,
			     .service = { service, service ? strlen(service) : 0 } };

	return pick_all(ask, &p);
}

static void add_incomplete(struct ask *ask)
{
	struct catalogue_totals totals;

	catalogue__totals(ask->api->catalogue, &totals);
	buf__printf(ask__text(ask), "],\"incomplete\":%s}\n",
		    totals.complete && !totals.crowded && !totals.unread ? "false" : "true");
}

static void health(struct ask *ask)
{
	struct buf *out = ask__text(ask);
	struct catalogue_totals totals;

	if (!ask__catalogue(ask))
		return;
	catalogue__totals(ask->api->catalogue, &totals);
	buf__printf(out,
		    "{\"status\":\"%s\",\"version\":\"" SONDE_VERSION
		    "\",\"account\":%s,\"store\":{",
		    totals.unread ? "degraded" : "ok", ask->api->live ? "true" : "false");
	json__number(out, "spans", totals.spans);
	buf__add_str(out, ",");
	json__number(out, "bytes", totals.bytes);
	buf__add_str(out, ",");
	json__nano(out, "oldest_unix_nano", totals.oldest_ns);
	buf__add_str(out, ",");
	json__nano(out, "newest_unix_nano", totals.newest_ns);
	buf__printf(out, ",\"partitions\":%u,\"damaged\":%u,\"unread\":%u,\"incomplete\":%s",
		    totals.partitions, totals.damaged, totals.unread,
		    totals.complete ? "false" : "true");
	if (totals.why) {
		buf__add_str(out, ",\"why\":");
		otlp_json__string(out, view_of(totals.why));
	}
	buf__add_str(out, "}}\n");
}

static void services(struct ask *ask)
{
	struct buf *out = ask__text(ask);
	struct names names = { 0 };
	struct complaint why;
	struct filter range;
	int ret = filter__read_range(ask->target, NULL, &range, &why);

	if (ret) {
		ask__wrong(ask, ret, &why);
		return;
	}
	if (!ask__services(ask, &range, &names))
		return;
	buf__add_str(out, "{\"services\":[");
	for (size_t i = 0; i < names.n; i++) {
		buf__add_str(out, i ? ",{\"name\":" : "{\"name\":");
		otlp_json__string(out, names.at[i].name);
		buf__add_str(out, ",");
		json__number(out, "spans", names.at[i].spans);
		buf__add_str(out, "}");
	}
	add_incomplete(ask);
	names__free(&names);
}

static void operations(struct ask *ask)
{
	const char *service = target__param(ask->target, "service");
	struct buf *out = ask__text(ask);
	struct names names = { 0 };
	struct complaint why;
	struct filter range;
	int ret = filter__read_range(ask->target, "service", &range, &why);

	if (ret) {
		ask__wrong(ask, ret, &why);
		return;
	}
	if (!ask__operations(ask, service && *service ? service : NULL, &range, &names))
		return;
	buf__add_str(out, "{\"operations\":[");
	for (size_t i = 0; i < names.n; i++) {
		buf__add_str(out, i ? ",{\"name\":" : "{\"name\":");
		otlp_json__string(out, names.at[i].name);
		buf__printf(out, ",\"kind\":\"%s\",", kind__name(names.at[i].kind));
		json__number(out, "spans", names.at[i].spans);
		buf__add_str(out, "}");
	}
	add_incomplete(ask);
	names__free(&names);
}

static const struct route {
	const char *path[TARGET_SEGMENTS_MAX + 1]; /* '*': any one part */
	void (*answer)(struct ask *ask);
} routes[] = {
	/* clang-format off */
	{ { "api", "v1", "health" }, health },
	{ { "api", "v1", "services" }, services },
	{ { "api", "v1", "operations" }, operations },
	{ { "api", "v1", "search" }, api__search },
	{ { "api", "v1", "traces", "*" }, api__trace },
	{ { "api", "v1", "account" }, api__account },
	{ { "api", "v1", "statistics" }, api__statistics },
	{ { "api", "v1", "map" }, api__map },
	{ { "jaeger", "api", "services" }, jaeger__services },
	{ { "jaeger", "api", "services", "*", "operations" }, jaeger__service_operations },
	{ { "jaeger", "api", "operations" }, jaeger__operations },
	{ { "jaeger", "api", "traces" }, jaeger__traces },
	{ { "jaeger", "api", "traces", "*" }, jaeger__trace },
	{ { "jaeger", "api", "dependencies" }, jaeger__dependencies },
	{ { "tempo", "api", "echo" }, tempo__echo },
	{ { "tempo", "api", "traces", "*" }, tempo__trace },
	{ { "tempo", "api", "v2", "traces", "*" }, tempo__trace_v2 },
	{ { "tempo", "api", "search" }, tempo__search },
	{ { "tempo", "api", "search", "tags" }, tempo__tags },
	{ { "tempo", "api", "search", "tag", "*", "values" }, tempo__tag_values },
	{ { "tempo", "api", "v2", "search", "tags" }, tempo__tags_v2 },
	{ { "tempo", "api", "v2", "search", "tag", "*", "values" }, tempo__tag_values_v2 },
	{ { "tempo", "api", "metrics", "query_range" }, tempo__metrics },
	{ { "tempo", "api", "metrics", "query" }, tempo__metrics },
	{ { "tempo", "api", "status", "buildinfo" }, tempo__buildinfo },
	/* clang-format on */
};

static bool leads_to(const struct route *route, const struct target *target, struct view *ret_part)
{
	unsigned int i;

	for (i = 0; i < target->n_segments; i++) {
		if (!route->path[i])
			return false;
		if (!strcmp(route->path[i], "*"))
			*ret_part = target->segments[i];
		else if (!view_eq(target->segments[i], view_of(route->path[i])))
			return false;
	}
	return !route->path[i];
}

void api__ask(struct api *api, const struct target *target, bool protobuf, struct answer *ret)
{
	struct ask ask = { .api = api,
			   .target = target,
			   .protobuf = protobuf,
			   .answer = ret,
			   .until_thread_ns = clock__thread_ns() + QUERY_WORK_NS,
			   .until_ns = clock__boot_ns() + QUERY_NS };

	*ret = (struct answer){ .status = 200, .type = TYPE_JSON, .body = body__new() };
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]) && ret->body; i++) {
		if (!leads_to(&routes[i], target, &ask.part))
			continue;
		routes[i].answer(&ask);
		return;
	}
	ask__error(&ask, 404, "there is nothing at this address", "the API has no such path",
		   "see docs/api.yaml for what there is");
}
