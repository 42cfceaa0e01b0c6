// SPDX-License-Identifier: Apache-2.0
#include "core/otlp.h"

#include <endian.h>
#include <string.h>

/* Wire types (protobuf, "Encoding"). */
enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Field numbers of trace/v1/trace.proto, common/v1/common.proto, resource/v1/resource.proto. */
enum {
	SPAN_TRACE_ID = 1,
	SPAN_SPAN_ID = 2,
	SPAN_TRACE_STATE = 3,
	SPAN_PARENT_SPAN_ID = 4,
	SPAN_NAME = 5,
	SPAN_KIND = 6,
	SPAN_START = 7,
	SPAN_END = 8,
	SPAN_ATTRIBUTES = 9,
	SPAN_DROPPED_ATTRIBUTES = 10,
	SPAN_LINKS = 13,
	SPAN_STATUS = 15,
	SPAN_FLAGS = 16,
	LINK_FIELD_TRACE_ID = 1,
	LINK_FIELD_SPAN_ID = 2,
	LINK_FIELD_ATTRIBUTES = 4,
	STATUS_MESSAGE = 2,
	STATUS_CODE = 3,
	KEY_VALUE_KEY = 1,
	KEY_VALUE_VALUE = 2,
	ANY_STRING = 1,
	ANY_BOOL = 2,
	ANY_INT = 3,
	ANY_ARRAY = 5,
	ARRAY_VALUES = 1,
	RESOURCE_ATTRIBUTES = 1,
	SCOPE_FIELD_NAME = 1,
	SCOPE_FIELD_VERSION = 2,
};

/*
 * Writers take where to write and return where to go on: there is room, because whoever began
 * (begin()) has asked for the most that it may come to.
 */
#define FIELD_MAX_BYTES 24 /* a tag and a number, or a tag and a length: with room to spare */
#define LINK_IDS_BYTES (2 + 16 + 2 + 8)

static uint8_t *begin(struct buf *out, size_t most)
{
	return buf__reserve(out, most);
}

static void end(struct buf *out, const uint8_t *at)
{
	out->len = (size_t)(at - out->at);
}

static size_t varint_size(uint64_t value)
{
	size_t n = 1;

	while (value >>= 7)
		n++;
	return n;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*at++ = (uint8_t)(value | 0x80);
	*at++ = (uint8_t)value;
	return at;
}

/* Fields below 16 have a tag of one byte. */
static uint8_t *put_tag(uint8_t *at, unsigned int field, unsigned int wire)
{
	*at++ = (uint8_t)(field << 3 | wire);
	return at;
}

static uint8_t *put_bytes(uint8_t *at, unsigned int field, const void *bytes, size_t n)
{
	at = put_varint(put_tag(at, field, WIRE_BYTES), n);
	memcpy(at, bytes, n);
	return at + n;
}

static uint8_t *put_number(uint8_t *at, unsigned int field, uint64_t value)
{
	return put_varint(put_tag(at, field, WIRE_VARINT), value);
}

static uint8_t *put_fixed64(uint8_t *at, unsigned int field, uint64_t value)
{
	at = put_tag(at, field, WIRE_FIXED64);
	value = htole64(value);
	memcpy(at, &value, sizeof(value));
	return at + sizeof(value);
}

static size_t utf8_length(const uint8_t *at, size_t left)
{
	size_t n = at[0] < 0x80			 ? 1 :
		   at[0] >= 0xc2 && at[0] < 0xe0 ? 2 :
		   at[0] >= 0xe0 && at[0] < 0xf0 ? 3 :
		   at[0] >= 0xf0 && at[0] < 0xf5 ? 4 :
						   0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	/* No overlong forms, no surrogates, nothing beyond U+10FFFF (RFC 3629, section 4). */
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return n;
}

/* The same of fewer than eight: their two halves, which may lie over each other. */
static inline size_t put_ascii_few(uint8_t *at, const uint8_t *from, size_t n)
{
	uint32_t four[2];
	uint16_t two[2];

	if (n >= sizeof(four[0])) {
		memcpy(&four[0], from, sizeof(four[0]));
		memcpy(&four[1], from + n - sizeof(four[1]), sizeof(four[1]));
		if ((four[0] | four[1]) & 0x80808080u)
			return 0;
		memcpy(at, &four[0], sizeof(four[0]));
		memcpy(at + n - sizeof(four[1]), &four[1], sizeof(four[1]));
	} else if (n >= sizeof(two[0])) {
		memcpy(&two[0], from, sizeof(two[0]));
		memcpy(&two[1], from + n - sizeof(two[1]), sizeof(two[1]));
		if ((two[0] | two[1]) & 0x8080u)
			return 0;
		memcpy(at, &two[0], sizeof(two[0]));
		memcpy(at + n - sizeof(two[1]), &two[1], sizeof(two[1]));
	} else if (n) {
		if (*from & 0x80)
			return 0;
		*at = *from;
	}
	return n;
}

/* Copies words while they are ASCII, which is nearly all there ever is. Returns how many bytes. */
static inline size_t put_ascii(uint8_t *at, const uint8_t *from, size_t n)
{
	const uint64_t high = 0x8080808080808080ull;
	uint64_t word;
	size_t i = 0;

	if (n < sizeof(word))
		return put_ascii_few(at, from, n);
	for (; n - i >= sizeof(word); i += sizeof(word)) {
		memcpy(&word, from + i, sizeof(word));
		if (word & high)
			return i;
		memcpy(at + i, &word, sizeof(word));
	}
	/* What is left of a word, together with what was copied before it. */
	if (i < n) {
		memcpy(&word, from + n - sizeof(word), sizeof(word));
		if (word & high)
			return i;
		memcpy(at + n - sizeof(word), &word, sizeof(word));
	}
	return n;
}

/*
 * Protobuf strings are UTF-8 and decoders refuse a whole request for one bad byte; what programs
 * send is bytes. A byte that is not part of UTF-8 becomes '?': the length stays what it was.
 */
static uint8_t *put_bad_text(uint8_t *at, const uint8_t *from, size_t len)
{
	size_t i = 0;

	while (i < len) {
		size_t n;

		if (from[i] < 0x80) {
			*at++ = from[i++];
			continue;
		}
		n = utf8_length(from + i, len - i);
		if (n)
			memcpy(at, from + i, n);
		else
			*at = '?';
		at += n ? n : 1;
		i += n ? n : 1;
	}
	return at;
}

static inline uint8_t *put_text(uint8_t *at, struct view text)
{
	const uint8_t *from = (const uint8_t *)text.at;
	size_t i = put_ascii(at, from, text.len);

	return i == text.len ? at + i : put_bad_text(at + i, from + i, text.len - i);
}

static uint8_t *put_string(uint8_t *at, unsigned int field, struct view text)
{
	return put_text(put_varint(put_tag(at, field, WIRE_BYTES), text.len), text);
}

static size_t string_size(size_t len)
{
	return 1 + varint_size(len) + len;
}

static size_t any_size(const struct attribute *a)
{
	switch (a->type) {
	case VALUE_INT:
		return 1 + varint_size((uint64_t)a->number);
	case VALUE_BOOL:
		return 2;
	case VALUE_STRINGS:
		return string_size(string_size(string_size(a->text.len)));
	default:
		return string_size(a->text.len);
	}
}

static uint8_t *put_any(uint8_t *at, const struct attribute *a)
{
	switch (a->type) {
	case VALUE_INT:
		return put_number(at, ANY_INT, (uint64_t)a->number);
	case VALUE_BOOL:
		return put_number(at, ANY_BOOL, a->number != 0);
	case VALUE_STRINGS:
		at = put_varint(put_tag(at, ANY_ARRAY, WIRE_BYTES),
				string_size(string_size(a->text.len)));
		at = put_varint(put_tag(at, ARRAY_VALUES, WIRE_BYTES), string_size(a->text.len));
		return put_string(at, ANY_STRING, a->text);
	default:
		return put_string(at, ANY_STRING, a->text);
	}
}

/* Begins a KeyValue whose key field and value have these sizes. */
static uint8_t *put_key_value(uint8_t *at, unsigned int field, size_t key, size_t value)
{
	return put_varint(put_tag(at, field, WIRE_BYTES), key + string_size(value));
}

static uint8_t *put_value(uint8_t *at, const struct attribute *a, size_t value)
{
	return put_any(put_varint(put_tag(at, KEY_VALUE_VALUE, WIRE_BYTES), value), a);
}

/* A name that the registry does not know. */
static void put_named(struct buf *out, unsigned int field, struct view key,
		      const struct attribute *a)
{
	uint8_t *at = begin(out, key.len + a->text.len + 5 * FIELD_MAX_BYTES);
	size_t value = any_size(a);

	if (!at)
		return;
	at = put_key_value(at, field, string_size(key.len), value);
	at = put_string(at, KEY_VALUE_KEY, key);
	end(out, put_value(at, a, value));
}

/* With a value so short that every length beside it fits into one byte: nearly all are. */
#define SHORT_MAX_BYTES (127 - 4 - ATTRIBUTE_KEY_BYTES)

/* What an attribute may come to at most. */
static inline size_t attribute_room(const struct attribute *a)
{
	return ATTRIBUTE_KEY_BYTES + a->text.len + 5 * FIELD_MAX_BYTES;
}

/* Ends a KeyValue of the registry's key that began at `at`, whose AnyValue's content ends at `end`. */
static inline uint8_t *end_short(uint8_t *at, uint8_t *value, uint8_t *end)
{
	at[0] = SPAN_ATTRIBUTES << 3 | WIRE_BYTES;
	at[1] = (uint8_t)(end - at - 2);
	value[0] = KEY_VALUE_VALUE << 3 | WIRE_BYTES;
	value[1] = (uint8_t)(end - value - 2);
	return end;
}

static inline uint8_t *put_short(uint8_t *at, const struct attribute *a)
{
	uint8_t *value = at + 4 + attribute_name_len[a->key];

	memcpy(at + 2, attribute_key_field[a->key], ATTRIBUTE_KEY_BYTES);
	if (a->type == VALUE_STRING) {
		value[2] = ANY_STRING << 3 | WIRE_BYTES;
		value[3] = (uint8_t)a->text.len;
		return end_short(at, value, put_text(value + 4, a->text));
	}
	value[2] = (a->type == VALUE_INT ? ANY_INT : ANY_BOOL) << 3 | WIRE_VARINT;
	return end_short(at, value,
			 put_varint(value + 3,
				    a->type == VALUE_INT ? (uint64_t)a->number : a->number != 0));
}

static uint8_t *put_long(uint8_t *at, const struct attribute *a)
{
	size_t value = any_size(a), key = string_size(attribute_name_len[a->key]);

	at = put_key_value(at, SPAN_ATTRIBUTES, key, value);
	memcpy(at, attribute_key_field[a->key], ATTRIBUTE_KEY_BYTES);
	return put_value(at + key, a, value);
}

/* There is attribute_room(). */
static inline uint8_t *put_attribute(uint8_t *at, const struct attribute *a)
{
	if (a->type == VALUE_ENCODED) {
		memcpy(at, a->text.at, a->text.len);
		return at + a->text.len;
	}
	return a->type != VALUE_STRINGS && a->text.len <= SHORT_MAX_BYTES ? put_short(at, a) :
									    put_long(at, a);
}

static void add_attribute(struct buf *out, const struct attribute *a)
{
	uint8_t *at = begin(out, attribute_room(a));

	if (at)
		end(out, put_attribute(at, a));
}

_Static_assert(sizeof(struct otlp_place) + 4 * FIELD_MAX_BYTES <= OTLP_AROUND_MAX_BYTES,
	       "what callers have made room for");

uint8_t *otlp__place(uint8_t *at, const struct otlp_place *place)
{
	static const uint8_t none[8];

	at = put_bytes(at, SPAN_TRACE_ID, place->trace_id, sizeof(place->trace_id));
	at = put_bytes(at, SPAN_SPAN_ID, place->span_id, sizeof(place->span_id));
	if (place->trace_state.len)
		at = put_string(at, SPAN_TRACE_STATE, place->trace_state);
	if (memcmp(place->parent_id, none, sizeof(none)))
		at = put_bytes(at, SPAN_PARENT_SPAN_ID, place->parent_id, sizeof(place->parent_id));
	return at;
}

static void put_status(struct buf *out, const struct span *span)
{
	struct view message = span->status_message;
	size_t n = (message.len ? string_size(message.len) : 0) +
		   (span->status ? 1 + varint_size(span->status) : 0);
	uint8_t *at;

	if (!n)
		return;
	at = begin(out, message.len + 3 * FIELD_MAX_BYTES);
	if (!at)
		return;
	at = put_varint(put_tag(at, SPAN_STATUS, WIRE_BYTES), n);
	if (message.len)
		at = put_string(at, STATUS_MESSAGE, message);
	if (span->status)
		at = put_number(at, STATUS_CODE, span->status);
	end(out, at);
}

uint8_t *otlp__flags(uint8_t *at, uint32_t flags)
{
	if (!flags)
		return at;
	at = put_varint(at, SPAN_FLAGS << 3 | WIRE_FIXED32);
	flags = htole32(flags);
	memcpy(at, &flags, sizeof(flags));
	return at + sizeof(flags);
}

/* Has it a name of the registry, or does it come as it is? Then put_attribute() knows what to do. */
static inline bool is_known(const struct attribute *a)
{
	return a->key < ATTRIBUTES || a->type == VALUE_ENCODED;
}

size_t otlp__attributes(uint8_t *to, size_t size, const struct span *span, unsigned int first)
{
	uint8_t *at = to;

	for (unsigned int i = first; i < span->n_attributes; i++) {
		const struct attribute *a = &span->attributes[i];

		if (!is_known(a) || attribute_room(a) > size - (size_t)(at - to))
			return 0;
		at = put_attribute(at, a);
	}
	return (size_t)(at - to);
}

size_t otlp__attribute(uint8_t *to, size_t size, const struct attribute *a)
{
	return attribute_room(a) <= size ? (size_t)(put_attribute(to, a) - to) : 0;
}

size_t otlp__varint_size(uint64_t value)
{
	return varint_size(value);
}

void otlp__put_varint(uint8_t *to, uint64_t value)
{
	put_varint(to, value);
}

void otlp__content(struct buf *out, const struct span *span, uint64_t start_ns, uint64_t end_ns)
{
	size_t room = span->name.len + 4 * FIELD_MAX_BYTES;
	unsigned int i, n;
	uint8_t *at;

	/* The registry's are asked room for at once; those of other names, which are rare, one by one. */
	for (n = 0; n < span->n_attributes && is_known(&span->attributes[n]); n++)
		room += attribute_room(&span->attributes[n]);
	at = begin(out, room);
	if (!at)
		return;
	at = put_string(at, SPAN_NAME, span->name);
	at = put_number(at, SPAN_KIND, span->kind);
	at = put_fixed64(at, SPAN_START, start_ns);
	at = put_fixed64(at, SPAN_END, end_ns);
	for (i = 0; i < n; i++)
		at = put_attribute(at, &span->attributes[i]);
	end(out, at);
	for (; i < span->n_attributes; i++) {
		const struct attribute *a = &span->attributes[i];

		if (is_known(a))
			add_attribute(out, a);
		else
			put_named(out, SPAN_ATTRIBUTES, a->name, a);
	}
	at = span->dropped_attributes ? begin(out, FIELD_MAX_BYTES) : NULL;
	if (at)
		end(out, put_number(at, SPAN_DROPPED_ATTRIBUTES, span->dropped_attributes));
	put_status(out, span);
}

void otlp__set_times(uint8_t *content, uint64_t start_ns, uint64_t end_ns)
{
	size_t name = 0, shift = 0;
	uint8_t *at = content + 1;

	do {
		name |= (size_t)(*at & 0x7f) << shift;
		shift += 7;
	} while (*at++ & 0x80);
	at += name + 1;
	while (*at++ & 0x80) /* the kind */
		;
	put_fixed64(put_fixed64(at, SPAN_START, start_ns), SPAN_END, end_ns);
}

void otlp__span_string(struct buf *out, enum attribute_key key, struct view value)
{
	struct attribute a = { .key = (uint16_t)key, .type = VALUE_STRING, .text = value };

	add_attribute(out, &a);
}

void otlp__span_int(struct buf *out, enum attribute_key key, int64_t value)
{
	struct attribute a = { .key = (uint16_t)key, .type = VALUE_INT, .number = value };

	add_attribute(out, &a);
}

void otlp__span_bool(struct buf *out, enum attribute_key key, bool value)
{
	struct attribute a = { .key = (uint16_t)key, .type = VALUE_BOOL, .number = value };

	add_attribute(out, &a);
}

void otlp__span_link(struct buf *out, const uint8_t trace_id[16], const uint8_t span_id[8],
		     enum attribute_key key, struct view value)
{
	struct attribute a = { .type = VALUE_STRING, .text = value };
	struct view name = { attribute_name[key], attribute_name_len[key] };
	size_t any = any_size(&a), pair = string_size(name.len) + string_size(any);
	uint8_t *at = begin(out, LINK_IDS_BYTES + name.len + value.len + 6 * FIELD_MAX_BYTES);

	if (!at)
		return;
	at = put_varint(put_tag(at, SPAN_LINKS, WIRE_BYTES), LINK_IDS_BYTES + string_size(pair));
	at = put_bytes(at, LINK_FIELD_TRACE_ID, trace_id, 16);
	at = put_bytes(at, LINK_FIELD_SPAN_ID, span_id, 8);
	at = put_varint(put_tag(at, LINK_FIELD_ATTRIBUTES, WIRE_BYTES), pair);
	at = put_string(at, KEY_VALUE_KEY, name);
	at = put_varint(put_tag(at, KEY_VALUE_VALUE, WIRE_BYTES), any);
	end(out, put_any(at, &a));
}

void otlp__resource_string(struct buf *out, struct view key, struct view value)
{
	struct attribute a = { .type = VALUE_STRING, .text = value };

	put_named(out, RESOURCE_ATTRIBUTES, key, &a);
}

void otlp__resource_int(struct buf *out, struct view key, int64_t value)
{
	struct attribute a = { .type = VALUE_INT, .number = value };

	put_named(out, RESOURCE_ATTRIBUTES, key, &a);
}

void otlp__scope(struct buf *out, struct view name, struct view version)
{
	uint8_t *at = begin(out, name.len + version.len + 2 * FIELD_MAX_BYTES);

	if (!at)
		return;
	at = put_string(at, SCOPE_FIELD_NAME, name);
	end(out, put_string(at, SCOPE_FIELD_VERSION, version));
}
