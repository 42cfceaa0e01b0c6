/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span's row, read in one walk over its bytes, which tells of each attribute on its way: whoever takes spans in by the
 * hundred thousand a second looks at each byte once. Inline, so that what is told costs no call.
 */
#ifndef SONDE_SHIP_ROW_WALK_H
#define SONDE_SHIP_ROW_WALK_H

#include <errno.h>

#include "ship/console/row.h"

/* Is the attribute one that a row is made of? To be asked only where row__may_want(key). */
int row__wanted(struct view key, enum otlp_type type);
#define ROW_WANTS 10
/* Fills *row by what was read: values are those of the attributes that are wanted, zeroed where there are none. */
void row__fill(struct row *row, const struct otlp_value values[ROW_WANTS]);

/* By its length alone: url.path 8 to http.response.status_code 25, see row.c. */
static inline bool row__may_want(struct view key)
{
	const uint32_t lengths = 1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 14 | 1u << 17 |
				 1u << 19 | 1u << 20 | 1u << 25;

	return key.len < 32 && lengths >> key.len & 1;
}

/*
 * As row__read(), of a resource whose service is known. met(): an attribute, views as in the span; it may be called
 * though the span turns out to be broken. 0 or -EPROTO: *ret_row is as it was.
 */
static inline __attribute__((always_inline)) int
row__walk(struct row *ret_row, struct view span, struct view resource, struct view service,
	  void (*met)(void *arg, struct view key, const struct otlp_value *value), void *arg)
{
	struct row row = { .resource = resource, .service = service, .span.message = span };
	struct otlp_value values[ROW_WANTS] = { 0 };
	struct pb pb = pb__of(span);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		struct otlp_value value = { .type = OTLP_STRING };
		struct view key;
		int want;

		if (f.number != OTLP_SPAN_ATTRIBUTES || f.wire != PB_BYTES) {
			if (otlp_span__read_field(&f, &row.span))
				return -EPROTO;
			continue;
		}
		if (!otlp_pair__text(f.bytes, &key, &value.bytes) &&
		    otlp_pair__read(f.bytes, &key, &value))
			return -EPROTO;
		want = row__may_want(key) ? row__wanted(key, value.type) : -1;
		if (want >= 0)
			values[want] = value;
		met(arg, key, &value);
	}
	if (more < 0 || !otlp_span__complete(&row.span))
		return -EPROTO;
	row__fill(&row, values);
	*ret_row = row;
	return 0;
}

#endif
