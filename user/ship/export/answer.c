// SPDX-License-Identifier: Apache-2.0
/* Bodies and details of answers: hostile bytes, read through the checked cursor. */
#include "ship/export/retry.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/otlp_view.h"

#define DETAILS_MAX_BYTES 8192

static void set_message(struct answer *a, struct view text)
{
	snprintf(a->message, sizeof(a->message), "%.*s", (int)(text.len < 255 ? text.len : 255),
		 text.at);
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

/* Stops at padding or at what is no base64. Returns how many bytes were decoded. */
static size_t base64_decode(struct view in, uint8_t *out, size_t size)
{
	unsigned int bits = 0, have = 0;
	size_t n = 0;

	for (size_t i = 0; i < in.len && n < size; i++) {
		int d = base64_digit(in.at[i]);

		if (d < 0)
			break;
		bits = (bits << 6 | (unsigned int)d) & 0xffff;
		have += 6;
		if (have >= 8) {
			have -= 8;
			out[n++] = (uint8_t)(bits >> have);
		}
	}
	return n;
}

/* google.protobuf.Duration {seconds 1, nanos 2}, in milliseconds; -1 where it is not positive. */
static int64_t duration_ms(struct view bytes)
{
	struct pb pb = pb__of(bytes);
	int64_t s = 0, ns = 0;
	struct pb_field f;

	while (pb__next(&pb, &f) > 0) {
		if (f.number == 1 && f.wire == PB_VARINT)
			s = (int64_t)f.value;
		else if (f.number == 2 && f.wire == PB_VARINT)
			ns = (int64_t)f.value;
	}
	if (s < 0 || ns < 0 || s > 7 * 86400 || ns > 999999999 || !(s | ns))
		return -1;
	return s * 1000 + (ns + 999999) / 1000000;
}

/* google.protobuf.Any {type_url 1, value 2} that holds RetryInfo {retry_delay 1}. */
static bool read_retry_info(struct view any, int64_t *ret_wait_ms)
{
	struct view type = { "", 0 }, value = { "", 0 };
	struct view name = VIEW("/google.rpc.RetryInfo");
	struct pb pb = pb__of(any);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0) {
		if (f.number == 1 && f.wire == PB_BYTES)
			type = f.bytes;
		else if (f.number == 2 && f.wire == PB_BYTES)
			value = f.bytes;
	}
	if (type.len < name.len ||
	    !view_eq((struct view){ type.at + type.len - name.len, name.len }, name))
		return false;
	*ret_wait_ms = -1;
	pb = pb__of(value);
	while (pb__next(&pb, &f) > 0)
		if (f.number == 1 && f.wire == PB_BYTES)
			*ret_wait_ms = duration_ms(f.bytes);
	return true;
}

bool retry__grpc_details(struct view base64, int64_t *ret_wait_ms)
{
	uint8_t bytes[DETAILS_MAX_BYTES];
	struct view status = { (char *)bytes, base64_decode(base64, bytes, sizeof(bytes)) };
	struct pb pb = pb__of(status);
	struct pb_field f;

	while (pb__next(&pb, &f) > 0)
		if (f.number == 3 && f.wire == PB_BYTES && read_retry_info(f.bytes, ret_wait_ms))
			return true;
	return false;
}

/* ExportTraceServiceResponse {partial_success 1 {rejected_spans 1, error_message 2}}. */
void retry__read_protobuf(struct answer *a, struct view body)
{
	struct pb pb = pb__of(body), partial;
	struct pb_field f, g;

	while (pb__next(&pb, &f) > 0) {
		if (f.number != 1 || f.wire != PB_BYTES)
			continue;
		partial = pb__of(f.bytes);
		while (pb__next(&partial, &g) > 0) {
			if (g.number == 1 && g.wire == PB_VARINT && (int64_t)g.value > 0)
				a->rejected_spans = g.value;
			else if (g.number == 2 && g.wire == PB_BYTES)
				set_message(a, g.bytes);
		}
	}
}

/* 64-bit integers are strings in JSON; numbers are met as well. */
static uint64_t json_count(const json_t *value)
{
	if (json_is_integer(value))
		return json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
	if (json_is_string(value) && *json_string_value(value) != '-')
		return strtoull(json_string_value(value), NULL, 10);
	return 0;
}

void retry__read_json(struct answer *a, struct view body)
{
	json_t *root = json_loadb(body.at, body.len, JSON_REJECT_DUPLICATES, NULL);
	json_t *partial = json_object_get(root, "partialSuccess");
	json_t *message = json_object_get(partial, "errorMessage");

	a->rejected_spans = json_count(json_object_get(partial, "rejectedSpans"));
	if (json_is_string(message))
		set_message(a, view_of(json_string_value(message)));
	json_decref(root);
}

void retry__read_status(struct answer *a, struct view body, bool json)
{
	struct pb pb = pb__of(body);
	struct pb_field f;
	json_t *root;

	if (json) {
		root = json_loadb(body.at, body.len, 0, NULL);
		if (json_is_string(json_object_get(root, "message")))
			set_message(a,
				    view_of(json_string_value(json_object_get(root, "message"))));
		json_decref(root);
		return;
	}
	while (pb__next(&pb, &f) > 0)
		if (f.number == 2 && f.wire == PB_BYTES)
			set_message(a, f.bytes);
}
