// SPDX-License-Identifier: Apache-2.0
#include "ship/console/line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "ship/console/escape.h"

#define TIME_COLUMNS 12
#define KIND_COLUMNS 8
#define STATUS_COLUMNS 6
#define DURATION_COLUMNS 7
#define PEER_COLUMNS 22
#define TRACE_COLUMNS 8
#define SERVICE_LEAST 12
#define SERVICE_MOST 24
#define TITLE_LEAST 16
#define TITLE_PIPE 40
#define GAP 2

void color__on(struct buf *out, bool color, enum color c)
{
	if (color && c)
		buf__printf(out, "\x1b[%dm", c);
}

void color__off(struct buf *out, bool color)
{
	if (color)
		buf__add_str(out, "\x1b[0m");
}

enum color status__color(const struct row *row)
{
	if (row->status >= 500 || (row__failed(row) && row->status < 400))
		return COLOR_RED;
	if (row->status >= 400)
		return COLOR_YELLOW;
	if (row->status >= 300)
		return COLOR_CYAN;
	return row->status >= 200 ? COLOR_GREEN : COLOR_NONE;
}

void status__text(char text[8], const struct row *row)
{
	if (row->status > 0 && row->status < 1000)
		snprintf(text, 8, "%" PRId64, row->status);
	else
		snprintf(text, 8, "%s", row__failed(row) ? "ERR" : "-");
}

void clock__text(char text[16], uint64_t epoch_ns, int utc_offset_s)
{
	uint64_t s = (epoch_ns / 1000000000 + (uint64_t)(86400 + utc_offset_s)) % 86400;

	snprintf(text, 16, "%02u:%02u:%02u.%03u", (unsigned int)(s / 3600),
		 (unsigned int)(s / 60 % 60), (unsigned int)(s % 60),
		 (unsigned int)(epoch_ns / 1000000 % 1000));
}

/* Room for the title: what the other columns leave. */
static unsigned int title_columns(const struct line_style *style)
{
	unsigned int others = TIME_COLUMNS + GAP + style->service_columns + GAP + KIND_COLUMNS +
			      GAP + GAP + STATUS_COLUMNS + GAP + DURATION_COLUMNS + GAP +
			      PEER_COLUMNS + GAP + TRACE_COLUMNS;

	if (!style->width)
		return TITLE_PIPE;
	return style->width > others + TITLE_LEAST ? style->width - others : TITLE_LEAST;
}

/* Names of attributes in which captured headers lie (semconv http.*.header.<name>). */
static void add_headers(struct buf *out, const struct line_style *style, const struct row *row)
{
	static const struct {
		struct view prefix;
		const char *sign;
	} sides[] = { { { "http.request.header.", 20 }, "> " },
		      { { "http.response.header.", 21 }, "< " } };

	for (int side = 0; side < 2; side++) {
		struct otlp_attributes it =
			otlp_attributes__of(row->span.message, OTLP_SPAN_ATTRIBUTES);
		struct view key, prefix = sides[side].prefix;
		struct otlp_value value, element;
		struct pb_field f;
		struct pb pb;

		while (otlp_attributes__next(&it, &key, &value) > 0) {
			if (key.len <= prefix.len || memcmp(key.at, prefix.at, prefix.len) ||
			    value.type != OTLP_ARRAY)
				continue;
			pb = pb__of(value.bytes);
			while (pb__next(&pb, &f) > 0) {
				if (f.number != 1 || f.wire != PB_BYTES ||
				    otlp_value__read(f.bytes, &element))
					continue;
				pad__add(out, TIME_COLUMNS + GAP);
				color__on(out, style->color, COLOR_DIM);
				buf__add_str(out, sides[side].sign);
				escape__add(out,
					    (struct view){ key.at + prefix.len,
							   key.len - prefix.len },
					    0, style->unicode);
				buf__add_str(out, ": ");
				escape__add(out, element.bytes, 0, style->unicode);
				color__off(out, style->color);
				buf__add(out, "\n", 1);
			}
		}
	}
}

static void add_peer(struct buf *out, const struct line_style *style, const struct row *row)
{
	bool colon = memchr(row->peer.at ? row->peer.at : "", ':', row->peer.len) != NULL;
	unsigned int used;
	char port[24] = "";

	if (row->peer_port > 0 && row->peer_port < 65536)
		snprintf(port, sizeof(port), ":%" PRId64, row->peer_port);
	if (!row->peer.len) {
		pad__add(out, PEER_COLUMNS);
		return;
	}
	if (colon && *port)
		buf__add(out, "[", 1);
	used = escape__add(out, row->peer,
			   PEER_COLUMNS - (unsigned int)strlen(port) - (colon ? 2 : 0),
			   style->unicode);
	if (colon && *port) {
		buf__add(out, "]", 1);
		used += 2;
	}
	buf__add_str(out, port);
	used += (unsigned int)strlen(port);
	if (used < PEER_COLUMNS)
		pad__add(out, PEER_COLUMNS - used);
}

static void add_status(struct buf *out, const struct line_style *style, const struct row *row)
{
	char text[8];

	status__text(text, row);
	color__on(out, style->color, status__color(row));
	buf__printf(out, "%*s", STATUS_COLUMNS, text);
	color__off(out, style->color);
}

/* What went wrong, where the status alone does not say it. */
static void add_error(struct buf *out, const struct line_style *style, const struct row *row)
{
	struct view type = row->error_type;

	if (!type.len || (type.at[0] >= '0' && type.at[0] <= '9'))
		return;
	pad__add(out, GAP);
	color__on(out, style->color, COLOR_RED);
	escape__add(out, type, 40, style->unicode);
	color__off(out, style->color);
}

static void grow_service(struct line_style *style, size_t len)
{
	if (style->service_columns < SERVICE_LEAST)
		style->service_columns = SERVICE_LEAST;
	if (len > SERVICE_MOST)
		len = SERVICE_MOST;
	if (len > style->service_columns)
		style->service_columns = (unsigned int)len;
}

void line__add(struct buf *out, struct line_style *style, const struct row *row)
{
	unsigned int used, title;
	char text[16];

	grow_service(style, row->service.len);
	title = title_columns(style);
	clock__text(text, row->span.start_ns, style->utc_offset_s);
	color__on(out, style->color, COLOR_DIM);
	buf__add_str(out, text);
	color__off(out, style->color);
	pad__add(out, GAP);
	color__on(out, style->color, COLOR_BOLD);
	escape__pad(out, row->service, style->service_columns, style->unicode);
	color__off(out, style->color);
	pad__add(out, GAP);
	color__on(out, style->color, row->span.kind == 3 ? COLOR_MAGENTA : COLOR_BLUE);
	buf__printf(out, "%-*s", KIND_COLUMNS, row__kind(row));
	color__off(out, style->color);
	pad__add(out, GAP);
	used = row__title(out, row, style->width ? title : 0, style->unicode);
	pad__add(out, (used < title ? title - used : 0) + GAP);
	add_status(out, style, row);
	pad__add(out, GAP);
	duration__text(text, row->duration_ns, false);
	buf__printf(out, "%*s", DURATION_COLUMNS, text);
	pad__add(out, GAP);
	add_peer(out, style, row);
	pad__add(out, GAP);
	color__on(out, style->color, COLOR_DIM);
	for (int i = 0; i < TRACE_COLUMNS / 2; i++)
		buf__printf(out, "%02x", (uint8_t)row->span.trace_id.at[i]);
	color__off(out, style->color);
	add_error(out, style, row);
	buf__add(out, "\n", 1);
	if (style->headers)
		add_headers(out, style, row);
}

void line__heading(struct buf *out, struct line_style *style)
{
	grow_service(style, 0);
	color__on(out, style->color, COLOR_DIM);
	buf__printf(out, "%-*s  %-*s  %-*s  %-*s  %*s  %*s  %-*s  %s", TIME_COLUMNS, "TIME",
		    (int)style->service_columns, "SERVICE", KIND_COLUMNS, "KIND",
		    (int)title_columns(style), "REQUEST", STATUS_COLUMNS, "STATUS",
		    DURATION_COLUMNS, "TOOK", PEER_COLUMNS, "PEER", "TRACE");
	color__off(out, style->color);
	buf__add(out, "\n", 1);
}
