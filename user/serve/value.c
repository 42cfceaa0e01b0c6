// SPDX-License-Identifier: Apache-2.0
#include "serve/value.h"

#include <inttypes.h>

#include "core/otlp_json.h"

static void add_value(struct buf *out, const struct otlp_value *value, int depth);

static void add_array(struct buf *out, struct view message, int depth)
{
	struct pb pb = pb__of(message);
	struct otlp_value value;
	struct pb_field f;
	bool first = true;

	buf__add(out, "[", 1);
	while (pb__next(&pb, &f) > 0) {
		if (f.number != 1 || f.wire != PB_BYTES || otlp_value__read(f.bytes, &value))
			continue;
		buf__add(out, ",", !first);
		first = false;
		add_value(out, &value, depth + 1);
	}
	buf__add(out, "]", 1);
}

static void add_list(struct buf *out, struct view message, int depth)
{
	struct otlp_attributes it = otlp_attributes__of(message, 1);
	struct otlp_value value;
	bool first = true;
	struct view key;

	buf__add(out, "{", 1);
	while (otlp_attributes__next(&it, &key, &value) > 0) {
		buf__add(out, ",", !first);
		first = false;
		otlp_json__string(out, key);
		buf__add(out, ":", 1);
		add_value(out, &value, depth + 1);
	}
	buf__add(out, "}", 1);
}

static void add_value(struct buf *out, const struct otlp_value *value, int depth)
{
	if (depth > OTLP_DEPTH_MAX) {
		buf__add_str(out, "null");
		return;
	}
	switch (value->type) {
	case OTLP_STRING:
		otlp_json__string(out, value->bytes);
		break;
	case OTLP_BOOL:
		buf__add_str(out, value->number ? "true" : "false");
		break;
	case OTLP_INT:
		buf__printf(out, "%" PRId64, value->number);
		break;
	case OTLP_DOUBLE:
		otlp_json__double(out, value->real);
		break;
	case OTLP_ARRAY:
		add_array(out, value->bytes, depth);
		break;
	case OTLP_KVLIST:
		add_list(out, value->bytes, depth);
		break;
	case OTLP_BYTES:
		otlp_json__base64(out, value->bytes);
		break;
	default:
		buf__add_str(out, "null");
	}
}

void json__value(struct buf *out, const struct otlp_value *value)
{
	add_value(out, value, 0);
}

void json__value_text(struct buf *out, const struct otlp_value *value)
{
	if (value->type == OTLP_STRING)
		buf__add_view(out, value->bytes);
	else if (value->type != OTLP_EMPTY)
		add_value(out, value, 0);
}

bool span_event__next(struct pb *span, struct span_event *ret)
{
	struct pb_field f;

	while (pb__next(span, &f) > 0) {
		struct pb event;

		if (f.number != 11 || f.wire != PB_BYTES)
			continue;
		*ret = (struct span_event){ .name = { "", 0 }, .message = f.bytes };
		event = pb__of(f.bytes);
		while (pb__next(&event, &f) > 0) {
			if (f.number == 1 && f.wire == PB_FIXED64)
				ret->time_ns = f.value;
			else if (f.number == 2 && f.wire == PB_BYTES)
				ret->name = f.bytes;
		}
		return true;
	}
	return false;
}
