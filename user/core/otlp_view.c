// SPDX-License-Identifier: Apache-2.0
#include "core/otlp_view.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static size_t left(const struct pb *pb)
{
	return (size_t)(pb->end - pb->at);
}

/* Ten bytes at the most; what does not fit into 64 bits is refused. */
static int read_varint(struct pb *pb, uint64_t *ret)
{
	uint64_t value = 0;

	if (pb->at < pb->end && *pb->at < 0x80) { /* nearly all tags and lengths */
		*ret = *pb->at++;
		return 0;
	}
	for (unsigned int shift = 0; shift < 70; shift += 7) {
		uint8_t byte;

		if (!left(pb))
			return -EPROTO;
		byte = *pb->at++;
		if (shift == 63 && byte > 1)
			return -EPROTO;
		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80)) {
			*ret = value;
			return 0;
		}
	}
	return -EPROTO;
}

static inline int read_fixed(struct pb *pb, size_t n, uint64_t *ret)
{
	uint64_t le = 0;

	if (left(pb) < n)
		return -EPROTO;
	memcpy(&le, pb->at, n);
	pb->at += n;
	*ret = le64toh(le);
	return 0;
}

static int read_bytes(struct pb *pb, struct view *ret)
{
	uint64_t len;

	if (read_varint(pb, &len) || len > left(pb))
		return -EPROTO;
	*ret = (struct view){ (const char *)pb->at, (size_t)len };
	pb->at += len;
	return 0;
}

int pb__next_any(struct pb *pb, struct pb_field *ret_field)
{
	struct pb_field f = { 0 };
	uint64_t tag;
	int err;

	if (!left(pb))
		return 0;
	if (read_varint(pb, &tag) || tag > UINT32_MAX || !(tag >> 3))
		return -EPROTO;
	f.number = (uint32_t)(tag >> 3);
	f.wire = tag & 7;
	switch (f.wire) {
	case PB_VARINT:
		err = read_varint(pb, &f.value);
		break;
	case PB_FIXED64:
		err = read_fixed(pb, 8, &f.value);
		break;
	case PB_FIXED32:
		err = read_fixed(pb, 4, &f.value);
		break;
	case PB_BYTES:
		err = read_bytes(pb, &f.bytes);
		break;
	default: /* groups are gone since proto3 */
		err = -EPROTO;
	}
	if (err)
		return err;
	*ret_field = f;
	return 1;
}

static double double_of(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, sizeof(d));
	return d;
}

int otlp_value__read(struct view bytes, struct otlp_value *ret)
{
	static const struct {
		uint8_t wire, type;
	} known[] = {
		[1] = { PB_BYTES, OTLP_STRING }, [2] = { PB_VARINT, OTLP_BOOL },
		[3] = { PB_VARINT, OTLP_INT },	 [4] = { PB_FIXED64, OTLP_DOUBLE },
		[5] = { PB_BYTES, OTLP_ARRAY },	 [6] = { PB_BYTES, OTLP_KVLIST },
		[7] = { PB_BYTES, OTLP_BYTES },
	};
	struct otlp_value value = { .type = OTLP_EMPTY };
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number >= sizeof(known) / sizeof(*known) || f.wire != known[f.number].wire)
			continue;
		value = (struct otlp_value){ .type = known[f.number].type, .bytes = f.bytes };
		if (value.type == OTLP_DOUBLE)
			value.real = double_of(f.value);
		else
			value.number = value.type == OTLP_BOOL ? f.value != 0 : (int64_t)f.value;
	}
	if (more < 0)
		return more;
	*ret = value;
	return 0;
}

int otlp_pair__read(struct view bytes, struct view *ret_key, struct otlp_value *ret)
{
	struct otlp_value value = { .type = OTLP_EMPTY };
	struct view key = { "", 0 };
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.wire != PB_BYTES)
			continue;
		if (f.number == 1)
			key = f.bytes;
		else if (f.number == 2 && otlp_value__read(f.bytes, &value))
			return -EPROTO;
	}
	if (more < 0)
		return more;
	*ret_key = key;
	*ret = value;
	return 0;
}

struct otlp_attributes otlp_attributes__of(struct view message, uint32_t field)
{
	return (struct otlp_attributes){ pb__of(message), field };
}

int otlp_attributes__next(struct otlp_attributes *it, struct view *ret_key,
			  struct otlp_value *ret_value)
{
	struct pb_field f;
	int more;

	while ((more = pb__next(&it->pb, &f)) > 0) {
		struct view text;

		if (f.number != it->field || f.wire != PB_BYTES)
			continue;
		if (otlp_pair__text(f.bytes, ret_key, &text)) {
			*ret_value = (struct otlp_value){ .type = OTLP_STRING, .bytes = text };
			return 1;
		}
		return otlp_pair__read(f.bytes, ret_key, ret_value) ? -EPROTO : 1;
	}
	return more;
}

bool otlp_attributes__find(struct view message, uint32_t field, struct view key,
			   struct otlp_value *ret_value)
{
	struct otlp_attributes it = otlp_attributes__of(message, field);
	struct otlp_value value;
	struct view name;

	while (otlp_attributes__next(&it, &name, &value) > 0) {
		if (view_eq(name, key)) {
			*ret_value = value;
			return true;
		}
	}
	return false;
}

static int read_status(struct view bytes, struct otlp_span_view *span)
{
	struct pb pb = pb__of(bytes);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0) {
		if (f.number == 2 && f.wire == PB_BYTES)
			span->status_message = f.bytes;
		else if (f.number == 3 && f.wire == PB_VARINT)
			span->status = (uint32_t)f.value;
	}
	return more;
}

static int read_span_bytes(const struct pb_field *f, struct otlp_span_view *span)
{
	switch (f->number) {
	case 1:
		span->trace_id = f->bytes;
		return f->bytes.len == 16 ? 0 : -EPROTO;
	case 2:
		span->span_id = f->bytes;
		return f->bytes.len == 8 ? 0 : -EPROTO;
	case 3:
		span->trace_state = f->bytes;
		return 0;
	case 4:
		span->parent_id = f->bytes;
		return f->bytes.len == 8 || !f->bytes.len ? 0 : -EPROTO;
	case 5:
		span->name = f->bytes;
		return 0;
	case 11:
		span->events = true;
		return 0;
	case 13:
		span->links = true;
		return 0;
	case 15:
		return read_status(f->bytes, span);
	default:
		return 0;
	}
}

static void read_span_number(const struct pb_field *f, struct otlp_span_view *span)
{
	if (f->number == 6 && f->wire == PB_VARINT)
		span->kind = (uint32_t)f->value;
	else if (f->number == 7 && f->wire == PB_FIXED64)
		span->start_ns = f->value;
	else if (f->number == 8 && f->wire == PB_FIXED64)
		span->end_ns = f->value;
	else if (f->number == 10 && f->wire == PB_VARINT)
		span->dropped_attributes = (uint32_t)f->value;
	else if (f->number == 12 && f->wire == PB_VARINT)
		span->dropped_events = (uint32_t)f->value;
	else if (f->number == 14 && f->wire == PB_VARINT)
		span->dropped_links = (uint32_t)f->value;
	else if (f->number == 16 && f->wire == PB_FIXED32)
		span->flags = (uint32_t)f->value;
}

int otlp_span__read_field(const struct pb_field *f, struct otlp_span_view *span)
{
	if (f->wire == PB_BYTES)
		return read_span_bytes(f, span);
	read_span_number(f, span);
	return 0;
}

int otlp_span__read(struct view message, struct otlp_span_view *ret)
{
	struct otlp_span_view span = { .message = message };
	struct pb pb = pb__of(message);
	struct pb_field f;
	int more;

	while ((more = pb__next(&pb, &f)) > 0)
		if (otlp_span__read_field(&f, &span))
			return -EPROTO;
	if (more < 0 || !otlp_span__complete(&span))
		return -EPROTO;
	*ret = span;
	return 0;
}
