// SPDX-License-Identifier: Apache-2.0
#include "ship/console/row.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ship/console/escape.h"
#include "ship/console/row_walk.h"

enum want {
	METHOD,
	PATH,
	QUERY,
	FULL,
	STATUS,
	ERROR_TYPE,
	SERVER,
	SERVER_PORT,
	PEER,
	PEER_PORT,
	WANTS
};
_Static_assert(WANTS == ROW_WANTS, "who walks has a place for each");

/* Their lengths are in row__may_want(), too. */
#define WANT(name, type)                                                                           \
	{                                                                                          \
		name, sizeof(name) - 1, type                                                       \
	}
static const struct {
	const char *name;
	size_t len;
	enum otlp_type type;
} wanted[WANTS] = {
	[METHOD] = WANT("http.request.method", OTLP_STRING),
	[PATH] = WANT("url.path", OTLP_STRING),
	[QUERY] = WANT("url.query", OTLP_STRING),
	[FULL] = WANT("url.full", OTLP_STRING),
	[STATUS] = WANT("http.response.status_code", OTLP_INT),
	[ERROR_TYPE] = WANT("error.type", OTLP_STRING),
	[SERVER] = WANT("server.address", OTLP_STRING),
	[SERVER_PORT] = WANT("server.port", OTLP_INT),
	[PEER] = WANT("network.peer.address", OTLP_STRING),
	[PEER_PORT] = WANT("network.peer.port", OTLP_INT),
};

/* Path and query of an absolute URL. */
static void split_url(struct row *row, struct view url)
{
	const char *end = url.at + url.len;
	const char *at = memmem(url.at, url.len, "://", 3);
	const char *query;

	at = at ? memchr(at + 3, '/', (size_t)(end - at - 3)) : NULL;
	if (!at)
		return;
	query = memchr(at, '?', (size_t)(end - at));
	row->path = (struct view){ at, (size_t)((query ? query : end) - at) };
	if (query)
		row->query = (struct view){ query + 1, (size_t)(end - query - 1) };
}

int row__wanted(struct view key, enum otlp_type type)
{
	for (int i = 0; i < WANTS; i++)
		if (key.len == wanted[i].len && type == wanted[i].type &&
		    !memcmp(key.at, wanted[i].name, key.len))
			return i;
	return -1;
}

void row__fill(struct row *row, const struct otlp_value values[ROW_WANTS])
{
	bool client = row->span.kind == 3;

	row->duration_ns =
		row->span.end_ns > row->span.start_ns ? row->span.end_ns - row->span.start_ns : 0;
	row->method = values[METHOD].bytes;
	row->path = values[PATH].bytes;
	row->query = values[QUERY].bytes;
	row->error_type = values[ERROR_TYPE].bytes;
	row->status = values[STATUS].number;
	if (!row->path.len && values[FULL].bytes.len)
		split_url(row, values[FULL].bytes);
	if (client && values[SERVER].bytes.len) {
		row->peer = values[SERVER].bytes;
		row->peer_port = values[SERVER_PORT].number;
	} else {
		row->peer = values[PEER].bytes;
		row->peer_port = values[PEER_PORT].number;
	}
}

struct view row__service(struct view resource)
{
	struct view unknown = VIEW("unknown_service:"), service = VIEW("?");
	struct otlp_value value;

	if (otlp_attributes__find(resource, OTLP_RESOURCE_ATTRIBUTES, VIEW("service.name"),
				  &value) &&
	    value.type == OTLP_STRING && value.bytes.len)
		service = value.bytes;
	/* semconv's fallback, unknown_service:<executable>, says to a person what the executable does. */
	if (service.len > unknown.len && view_eq((struct view){ service.at, unknown.len }, unknown))
		service = (struct view){ service.at + unknown.len, service.len - unknown.len };
	return service;
}

static void pass_over(void *arg, struct view key, const struct otlp_value *value)
{
}

int row__read(struct row *ret_row, struct view span, struct view resource)
{
	return row__walk(ret_row, span, resource, row__service(resource), pass_over, NULL);
}

unsigned int row__title(struct buf *out, const struct row *row, unsigned int columns, bool unicode)
{
	char space[512];
	struct buf text = { .at = (uint8_t *)space, .cap = sizeof(space), .max = sizeof(space) };

	if (!row->method.len || !row->path.len)
		return escape__add(out, row->span.name, columns, unicode);
	/* What does not fit into the space is too long for any line: cut there. */
	buf__add_view(&text,
		      (struct view){ row->method.at, row->method.len < 64 ? row->method.len : 64 });
	buf__add(&text, " ", 1);
	buf__add_view(&text,
		      (struct view){ row->path.at, row->path.len < 256 ? row->path.len : 256 });
	if (row->query.len) {
		buf__add(&text, "?", 1);
		buf__add_view(&text, (struct view){ row->query.at,
						    row->query.len < 128 ? row->query.len : 128 });
	}
	return escape__add(out, (struct view){ space, text.len }, columns, unicode);
}

const char *row__kind(const struct row *row)
{
	static const char *const kinds[] = { "?",      "internal", "server",
					     "client", "producer", "consumer" };

	return kinds[row->span.kind < 6 ? row->span.kind : 0];
}

bool row__failed(const struct row *row)
{
	return row->span.status == 2;
}

void duration__text(char text[16], uint64_t ns, bool unicode)
{
	static const struct {
		uint64_t ns;
		const char *unit;
	} units[] = { { 1000000000, "s" }, { 1000000, "ms" }, { 1000, "us" } };
	size_t i = ns >= 1000000000 ? 0 : ns >= 1000000 ? 1 : 2;
	double v = (double)ns / (double)units[i].ns;

	if (ns < 1000)
		snprintf(text, 16, "%uns", (unsigned int)ns);
	else
		snprintf(text, 16,
			 v < 10	 ? "%.2f%s" :
			 v < 100 ? "%.1f%s" :
				   "%.0f%s",
			 v > 999999999 ? 999999999 : v,
			 i == 2 && unicode ? "\xc2\xb5s" : units[i].unit);
}
