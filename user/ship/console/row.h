/* SPDX-License-Identifier: Apache-2.0 */
/* What a person wants to know of a span, picked from its encoded bytes. Views are borrowed. */
#ifndef SONDE_SHIP_ROW_H
#define SONDE_SHIP_ROW_H

#include "core/otlp_view.h"

struct row {
	struct otlp_span_view span;
	struct view resource; /* encoded Resource */
	struct view service;  /* service.name (without a leading "unknown_service:"), or "?" */
	struct view method, path, query; /* HTTP; empty where there is none */
	struct view error_type;
	struct view
		peer; /* the other end: server's name for a client, peer's address for a server */
	int64_t peer_port;
	int64_t status; /* HTTP status, 0: none */
	uint64_t duration_ns;
};

/* What its service is called, as in a row. */
struct view row__service(struct view resource);
/* 0 or -EPROTO. */
int row__read(struct row *ret_row, struct view span, struct view resource);

/* Appends "GET /path?query", or the span's name; escaped, at most columns wide. */
struct buf;
unsigned int row__title(struct buf *out, const struct row *row, unsigned int columns, bool unicode);
/* "server", "client", … */
const char *row__kind(const struct row *row);
bool row__failed(const struct row *row);
/* Three digits and a unit: 1.23ms, 45.6µs, 789ns, 12.3s. At most 7 columns. */
void duration__text(char text[16], uint64_t ns, bool unicode);

#endif
