// SPDX-License-Identifier: Apache-2.0
#include "core/otlp_json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/otlp_view.h"

/* Length of the UTF-8 sequence at the start (RFC 3629: no surrogates, shortest form), 0: none. */
static size_t utf8_length(const uint8_t *s, size_t len)
{
	size_t n = s[0] < 0x80 ? 1 :
		   s[0] < 0xc2 ? 0 :
		   s[0] < 0xe0 ? 2 :
		   s[0] < 0xf0 ? 3 :
		   s[0] < 0xf5 ? 4 :
				 0;

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void escape_byte(struct buf *out, uint8_t c)
{
	static const char hex[] = "0123456789abcdef";
	char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	switch (c) {
	case '"':
		buf__add(out, "\\\"", 2);
		break;
	case '\\':
		buf__add(out, "\\\\", 2);
		break;
	case '\n':
		buf__add(out, "\\n", 2);
		break;
	case '\t':
		buf__add(out, "\\t", 2);
		break;
	default:
		buf__add(out, text, sizeof(text));
	}
}

void otlp_json__string(struct buf *out, struct view text)
{
	const uint8_t *s = (const uint8_t *)(text.len ? text.at : "");
	size_t from = 0, i = 0, n;

	buf__add(out, "\"", 1);
	while (i < text.len) {
		if (s[i] >= 0x20 && s[i] < 0x7f && s[i] != '"' && s[i] != '\\') {
			i++;
			continue;
		}
		n = utf8_length(s + i, text.len - i);
		if (n > 1) {
			i += n;
			continue;
		}
		buf__add(out, s + from, i - from);
		if (n)
			escape_byte(out, s[i]);
		else
			buf__add(out, "\xef\xbf\xbd", 3);
		from = ++i;
	}
	buf__add(out, s + from, i - from);
	buf__add(out, "\"", 1);
}

static void add_hex(struct buf *out, const char *name, struct view id)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t *to;

	if (!id.len)
		return;
	buf__add_str(out, name);
	to = buf__reserve(out, 2 * id.len);
	if (!to)
		return;
	for (size_t i = 0; i < id.len; i++) {
		*to++ = (uint8_t)hex[(uint8_t)id.at[i] >> 4];
		*to++ = (uint8_t)hex[(uint8_t)id.at[i] & 15];
	}
	out->len += 2 * id.len;
	buf__add(out, "\"", 1);
}

void otlp_json__base64(struct buf *out, struct view bytes)
{
	static const char set[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *s = (const uint8_t *)bytes.at;

	buf__add(out, "\"", 1);
	for (size_t i = 0; i < bytes.len; i += 3) {
		size_t n = bytes.len - i;
		uint32_t v = (uint32_t)s[i] << 16 | (n > 1 ? (uint32_t)s[i + 1] << 8 : 0) |
			     (n > 2 ? s[i + 2] : 0);
		char four[4] = { set[v >> 18], set[v >> 12 & 63], n > 1 ? set[v >> 6 & 63] : '=',
				 n > 2 ? set[v & 63] : '=' };

		buf__add(out, four, 4);
	}
	buf__add(out, "\"", 1);
}

/* Most of what a span has beside text; printf would take most of the time. */
static void add_u64(struct buf *out, uint64_t n)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + n % 10);
		n /= 10;
	} while (n);
	buf__add(out, digits + at, sizeof(digits) - at);
}

static void add_i64(struct buf *out, int64_t n)
{
	if (n < 0)
		buf__add(out, "-", 1);
	add_u64(out, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

void otlp_json__double(struct buf *out, double d)
{
	if (isnan(d))
		buf__add_str(out, "\"NaN\"");
	else if (isinf(d))
		buf__add_str(out, d > 0 ? "\"Infinity\"" : "\"-Infinity\"");
	else
		buf__printf(out, "%.17g", d);
}

static int add_pairs(struct buf *out, struct view message, uint32_t field, int depth);
static int add_value(struct buf *out, const struct otlp_value *value, int depth);

static int add_array(struct buf *out, struct view message, int depth)
{
	struct pb pb = pb__of(message);
	struct otlp_value value;
	struct pb_field f;
	bool first = true;
	int more;

	buf__add_str(out, "{\"arrayValue\":{\"values\":[");
	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number != 1 || f.wire != PB_BYTES)
			continue;
		if (otlp_value__read(f.bytes, &value))
			return -EPROTO;
		if (!first)
			buf__add(out, ",", 1);
		first = false;
		if (add_value(out, &value, depth + 1))
			return -EPROTO;
	}
	buf__add_str(out, "]}}");
	return more;
}

static int add_value(struct buf *out, const struct otlp_value *value, int depth)
{
	if (depth > OTLP_DEPTH_MAX) {
		buf__add_str(out, "{}");
		return 0;
	}
	switch (value->type) {
	case OTLP_STRING:
		buf__add_str(out, "{\"stringValue\":");
		otlp_json__string(out, value->bytes);
		break;
	case OTLP_BOOL:
		buf__add_str(out, value->number ? "{\"boolValue\":true" : "{\"boolValue\":false");
		break;
	case OTLP_INT:
		buf__add_str(out, "{\"intValue\":\"");
		add_i64(out, value->number);
		buf__add(out, "\"", 1);
		break;
	case OTLP_DOUBLE:
		buf__add_str(out, "{\"doubleValue\":");
		otlp_json__double(out, value->real);
		break;
	case OTLP_ARRAY:
		return add_array(out, value->bytes, depth);
	case OTLP_KVLIST:
		buf__add_str(out, "{\"kvlistValue\":{\"values\":");
		if (add_pairs(out, value->bytes, 1, depth + 1))
			return -EPROTO;
		buf__add(out, "}", 1);
		break;
	case OTLP_BYTES:
		buf__add_str(out, "{\"bytesValue\":");
		otlp_json__base64(out, value->bytes);
		break;
	default:
		buf__add(out, "{", 1);
	}
	buf__add(out, "}", 1);
	return 0;
}

/* All KeyValue messages in one field of a message, as a JSON array. */
static int add_pairs(struct buf *out, struct view message, uint32_t field, int depth)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	bool first = true;
	struct view key;
	int more;

	buf__add(out, "[", 1);
	while ((more = otlp_attributes__next(&it, &key, &value)) > 0) {
		buf__add_str(out, first ? "{\"key\":" : ",{\"key\":");
		first = false;
		otlp_json__string(out, key);
		buf__add_str(out, ",\"value\":");
		if (add_value(out, &value, depth))
			return -EPROTO;
		buf__add(out, "}", 1);
	}
	buf__add(out, "]", 1);
	return more;
}

static void add_count(struct buf *out, const char *name, uint64_t n)
{
	if (!n)
		return;
	buf__add(out, ",\"", 2);
	buf__add_str(out, name);
	buf__add(out, "\":", 2);
	add_u64(out, (uint32_t)n);
}

static int event_object(struct buf *out, struct view message)
{
	struct pb pb = pb__of(message);
	uint64_t time_ns = 0, dropped = 0;
	struct view name = { "", 0 };
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number == 1 && f.wire == PB_FIXED64)
			time_ns = f.value;
		else if (f.number == 2 && f.wire == PB_BYTES)
			name = f.bytes;
		else if (f.number == 4 && f.wire == PB_VARINT)
			dropped = f.value;
	}
	if (more < 0)
		return more;
	buf__printf(out, "{\"timeUnixNano\":\"%" PRIu64 "\",\"name\":", time_ns);
	otlp_json__string(out, name);
	buf__add_str(out, ",\"attributes\":");
	if (add_pairs(out, message, 3, 0))
		return -EPROTO;
	add_count(out, "droppedAttributesCount", dropped);
	buf__add(out, "}", 1);
	return 0;
}

static int link_object(struct buf *out, struct view message)
{
	struct view trace = { "", 0 }, span = { "", 0 }, state = { "", 0 };
	struct pb pb = pb__of(message);
	uint64_t dropped = 0, flags = 0;
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number == 1 && f.wire == PB_BYTES)
			trace = f.bytes;
		else if (f.number == 2 && f.wire == PB_BYTES)
			span = f.bytes;
		else if (f.number == 3 && f.wire == PB_BYTES)
			state = f.bytes;
		else if (f.number == 5 && f.wire == PB_VARINT)
			dropped = f.value;
		else if (f.number == 6 && f.wire == PB_FIXED32)
			flags = f.value;
	}
	if (more < 0 || trace.len != 16 || span.len != 8)
		return -EPROTO;
	add_hex(out, "{\"traceId\":\"", trace);
	add_hex(out, ",\"spanId\":\"", span);
	if (state.len) {
		buf__add_str(out, ",\"traceState\":");
		otlp_json__string(out, state);
	}
	buf__add_str(out, ",\"attributes\":");
	if (add_pairs(out, message, 4, 0))
		return -EPROTO;
	add_count(out, "droppedAttributesCount", dropped);
	add_count(out, "flags", flags);
	buf__add(out, "}", 1);
	return 0;
}

/* A repeated message field as a JSON array, left out where there is none. */
static int add_list(struct buf *out, struct view message, uint32_t field, const char *name,
		    int (*object)(struct buf *, struct view))
{
	struct pb pb = pb__of(message);
	struct pb_field f;
	bool any = false;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number != field || f.wire != PB_BYTES)
			continue;
		buf__add_str(out, any ? "," : name);
		any = true;
		if (object(out, f.bytes))
			return -EPROTO;
	}
	if (any)
		buf__add(out, "]", 1);
	return more;
}

static void add_status(struct buf *out, const struct otlp_span_view *span)
{
	buf__add_str(out, ",\"status\":{");
	if (span->status_message.len) {
		buf__add_str(out, "\"message\":");
		otlp_json__string(out, span->status_message);
	}
	if (span->status)
		buf__printf(out, "%s\"code\":%" PRId32, span->status_message.len ? "," : "",
			    (int32_t)span->status);
	buf__add(out, "}", 1);
}

static int span_object(struct buf *out, struct view message)
{
	struct otlp_span_view span;

	if (otlp_span__read(message, &span))
		return -EPROTO;
	add_hex(out, "{\"traceId\":\"", span.trace_id);
	add_hex(out, ",\"spanId\":\"", span.span_id);
	if (span.trace_state.len) {
		buf__add_str(out, ",\"traceState\":");
		otlp_json__string(out, span.trace_state);
	}
	add_hex(out, ",\"parentSpanId\":\"", span.parent_id);
	add_count(out, "flags", span.flags);
	buf__add_str(out, ",\"name\":");
	otlp_json__string(out, span.name);
	/* Negative enums cannot be, but hostile bytes can say so: as protobuf reads them. */
	buf__add_str(out, ",\"kind\":");
	add_i64(out, (int32_t)span.kind);
	buf__add_str(out, ",\"startTimeUnixNano\":\"");
	add_u64(out, span.start_ns);
	buf__add_str(out, "\",\"endTimeUnixNano\":\"");
	add_u64(out, span.end_ns);
	buf__add(out, "\"", 1);
	buf__add_str(out, ",\"attributes\":");
	if (add_pairs(out, message, OTLP_SPAN_ATTRIBUTES, 0))
		return -EPROTO;
	add_count(out, "droppedAttributesCount", span.dropped_attributes);
	if (span.events && add_list(out, message, 11, ",\"events\":[", event_object))
		return -EPROTO;
	add_count(out, "droppedEventsCount", span.dropped_events);
	if (span.links && add_list(out, message, 13, ",\"links\":[", link_object))
		return -EPROTO;
	add_count(out, "droppedLinksCount", span.dropped_links);
	add_status(out, &span);
	buf__add(out, "}", 1);
	return 0;
}

static int resource_object(struct buf *out, struct view message)
{
	struct pb pb = pb__of(message);
	uint64_t dropped = 0;
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0)
		if (f.number == 2 && f.wire == PB_VARINT)
			dropped = f.value;
	if (more < 0)
		return more;
	buf__add_str(out, "{\"attributes\":");
	if (add_pairs(out, message, OTLP_RESOURCE_ATTRIBUTES, 0))
		return -EPROTO;
	add_count(out, "droppedAttributesCount", dropped);
	buf__add(out, "}", 1);
	return 0;
}

static int scope_object(struct buf *out, struct view message)
{
	struct view name = { "", 0 }, version = { "", 0 };
	struct pb pb = pb__of(message);
	uint64_t dropped = 0;
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number == 1 && f.wire == PB_BYTES)
			name = f.bytes;
		else if (f.number == 2 && f.wire == PB_BYTES)
			version = f.bytes;
		else if (f.number == 4 && f.wire == PB_VARINT)
			dropped = f.value;
	}
	if (more < 0)
		return more;
	buf__add_str(out, "{\"name\":");
	otlp_json__string(out, name);
	buf__add_str(out, ",\"version\":");
	otlp_json__string(out, version);
	buf__add_str(out, ",\"attributes\":");
	if (add_pairs(out, message, OTLP_SCOPE_ATTRIBUTES, 0))
		return -EPROTO;
	add_count(out, "droppedAttributesCount", dropped);
	buf__add(out, "}", 1);
	return 0;
}

static bool is_among(const struct view *names, unsigned int n, struct view key)
{
	for (unsigned int i = 0; i < n; i++)
		if (view_eq(names[i], key))
			return true;
	return false;
}

/* As JSON has it, but integers that a double does not hold: as text. False: neither text nor a number. */
static bool add_plain(struct buf *out, const struct otlp_value *value)
{
	const int64_t exact = 1ll << 53;
	bool large = value->number > exact || value->number < -exact;

	switch (value->type) {
	case OTLP_STRING:
		otlp_json__string(out, value->bytes);
		return true;
	case OTLP_BOOL:
		buf__add_str(out, value->number ? "true" : "false");
		return true;
	case OTLP_INT:
		buf__add(out, "\"", large);
		add_i64(out, value->number);
		buf__add(out, "\"", large);
		return true;
	default:
		return false;
	}
}

static int row_list(struct buf *out, struct view message, const struct view *names, unsigned int n)
{
	struct otlp_attributes it = otlp_attributes__of(message, OTLP_SPAN_ATTRIBUTES);
	struct otlp_span_view span;
	struct otlp_value value;
	struct view key;
	bool any = false;
	int more;

	if (otlp_span__read(message, &span))
		return -EPROTO;
	add_hex(out, "[\"", span.span_id);
	buf__add_str(out, span.parent_id.len ? "" : ",\"\"");
	add_hex(out, ",\"", span.parent_id);
	buf__add(out, ",", 1);
	otlp_json__string(out, span.name);
	buf__add(out, ",", 1);
	add_i64(out, (int32_t)span.kind);
	buf__add(out, ",", 1);
	add_i64(out, (int32_t)span.status);
	buf__add(out, ",", 1);
	add_u64(out, span.start_ns / 1000000000);
	buf__add(out, ",", 1);
	add_u64(out, span.start_ns % 1000000000);
	buf__add(out, ",", 1);
	add_i64(out, (int64_t)(span.end_ns - span.start_ns));
	while ((more = otlp_attributes__next(&it, &key, &value)) > 0) {
		size_t before = out->len;

		if (!is_among(names, n, key))
			continue;
		buf__add_str(out, any ? "," : ",{");
		otlp_json__string(out, key);
		buf__add(out, ":", 1);
		if (add_plain(out, &value))
			any = true;
		else if (!out->err)
			out->len = before;
	}
	buf__add_str(out, any ? "}]" : "]");
	return more;
}

/* Whole or not at all. */
static int whole(struct buf *out, struct view message, int (*object)(struct buf *, struct view))
{
	size_t before = out->len;
	int err = object(out, message);

	if (err && !out->err)
		out->len = before;
	return err;
}

void otlp_json__pairs(struct buf *out, const char *name, struct view message, uint32_t field)
{
	size_t before = out->len, from;

	buf__add_str(out, name);
	from = out->len;
	if ((add_pairs(out, message, field, 0) || out->len == from + 2) && !out->err)
		out->len = before;
}

int otlp_json__span(struct buf *out, struct view message)
{
	return whole(out, message, span_object);
}

int otlp_json__row(struct buf *out, struct view message, const struct view *attributes,
		   unsigned int n)
{
	size_t before = out->len;
	int err = row_list(out, message, attributes, n);

	if (err && !out->err)
		out->len = before;
	return err;
}

int otlp_json__resource(struct buf *out, struct view message)
{
	return whole(out, message, resource_object);
}

int otlp_json__scope(struct buf *out, struct view message)
{
	return whole(out, message, scope_object);
}
