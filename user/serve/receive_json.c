// SPDX-License-Identifier: Apache-2.0
#include "serve/receive_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_MAX_BYTES 64
/* The longest key that means something is far shorter. */
#define KEY_MAX_BYTES 32

struct reader {
	const char *begin, *at, *end;
	struct buf *out;
	unsigned int depth;
	const char *wrong; /* NULL: nothing yet */
};

enum kind { TEXT, HEX, BASE64, TRUTH, INT64, UINT32, ENUM, FIXED64, FIXED32, DOUBLE, MESSAGE };

struct message;
struct field {
	const char *name;
	uint8_t number;
	uint8_t kind;
	bool repeated;
	const struct message *message;
};

struct message {
	const struct field *fields;
	unsigned int n;
	bool one_of; /* of which one is written even where it is empty or 0 */
};

#define FIELDS(a) (a), sizeof(a) / sizeof((a)[0])

static const struct message value, pair;
static const struct field array_fields[] = { { "values", 1, MESSAGE, true, &value } };
static const struct message array = { FIELDS(array_fields), false };
static const struct field list_fields[] = { { "values", 1, MESSAGE, true, &pair } };
static const struct message list = { FIELDS(list_fields), false };
static const struct field value_fields[] = {
	{ "stringValue", 1, TEXT, false, NULL },     { "boolValue", 2, TRUTH, false, NULL },
	{ "intValue", 3, INT64, false, NULL },	     { "doubleValue", 4, DOUBLE, false, NULL },
	{ "arrayValue", 5, MESSAGE, false, &array }, { "kvlistValue", 6, MESSAGE, false, &list },
	{ "bytesValue", 7, BASE64, false, NULL },
};
static const struct message value = { FIELDS(value_fields), true };
static const struct field pair_fields[] = {
	{ "key", 1, TEXT, false, NULL },
	{ "value", 2, MESSAGE, false, &value },
};
static const struct message pair = { FIELDS(pair_fields), false };
static const struct field event_fields[] = {
	{ "timeUnixNano", 1, FIXED64, false, NULL },
	{ "name", 2, TEXT, false, NULL },
	{ "attributes", 3, MESSAGE, true, &pair },
	{ "droppedAttributesCount", 4, UINT32, false, NULL },
};
static const struct message event = { FIELDS(event_fields), false };
static const struct field link_fields[] = {
	{ "traceId", 1, HEX, false, NULL },
	{ "spanId", 2, HEX, false, NULL },
	{ "traceState", 3, TEXT, false, NULL },
	{ "attributes", 4, MESSAGE, true, &pair },
	{ "droppedAttributesCount", 5, UINT32, false, NULL },
	{ "flags", 6, FIXED32, false, NULL },
};
static const struct message link_message = { FIELDS(link_fields), false };
static const struct field status_fields[] = {
	{ "message", 2, TEXT, false, NULL },
	{ "code", 3, ENUM, false, NULL },
};
static const struct message status = { FIELDS(status_fields), false };
static const struct field span_fields[] = {
	{ "traceId", 1, HEX, false, NULL },
	{ "spanId", 2, HEX, false, NULL },
	{ "traceState", 3, TEXT, false, NULL },
	{ "parentSpanId", 4, HEX, false, NULL },
	{ "name", 5, TEXT, false, NULL },
	{ "kind", 6, ENUM, false, NULL },
	{ "startTimeUnixNano", 7, FIXED64, false, NULL },
	{ "endTimeUnixNano", 8, FIXED64, false, NULL },
	{ "attributes", 9, MESSAGE, true, &pair },
	{ "droppedAttributesCount", 10, UINT32, false, NULL },
	{ "events", 11, MESSAGE, true, &event },
	{ "droppedEventsCount", 12, UINT32, false, NULL },
	{ "links", 13, MESSAGE, true, &link_message },
	{ "droppedLinksCount", 14, UINT32, false, NULL },
	{ "status", 15, MESSAGE, false, &status },
	{ "flags", 16, FIXED32, false, NULL },
};
static const struct message span = { FIELDS(span_fields), false };
static const struct field scope_fields[] = {
	{ "name", 1, TEXT, false, NULL },
	{ "version", 2, TEXT, false, NULL },
	{ "attributes", 3, MESSAGE, true, &pair },
	{ "droppedAttributesCount", 4, UINT32, false, NULL },
};
static const struct message scope = { FIELDS(scope_fields), false };
static const struct field scope_spans_fields[] = {
	{ "scope", 1, MESSAGE, false, &scope },
	{ "spans", 2, MESSAGE, true, &span },
	{ "schemaUrl", 3, TEXT, false, NULL },
};
static const struct message scope_spans = { FIELDS(scope_spans_fields), false };
static const struct field entity_fields[] = {
	{ "schemaUrl", 1, TEXT, false, NULL },
	{ "type", 2, TEXT, false, NULL },
	{ "idKeys", 3, TEXT, true, NULL },
	{ "descriptionKeys", 4, TEXT, true, NULL },
};
static const struct message entity = { FIELDS(entity_fields), false };
static const struct field resource_fields[] = {
	{ "attributes", 1, MESSAGE, true, &pair },
	{ "droppedAttributesCount", 2, UINT32, false, NULL },
	{ "entityRefs", 3, MESSAGE, true, &entity },
};
static const struct message resource = { FIELDS(resource_fields), false };
static const struct field resource_spans_fields[] = {
	{ "resource", 1, MESSAGE, false, &resource },
	{ "scopeSpans", 2, MESSAGE, true, &scope_spans },
	{ "schemaUrl", 3, TEXT, false, NULL },
};
static const struct message resource_spans = { FIELDS(resource_spans_fields), false };
static const struct field request_fields[] = {
	{ "resourceSpans", 1, MESSAGE, true, &resource_spans },
};
static const struct message request = { FIELDS(request_fields), false };

/* The first thing that is wrong is what is said. */
static bool wrong(struct reader *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
	return false;
}

static void skip_blanks(struct reader *r)
{
	while (r->at < r->end &&
	       (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

/* The next byte behind blanks, 0 at the end; a NUL is nothing that JSON has, either. */
static char peek(struct reader *r)
{
	skip_blanks(r);
	return r->at < r->end ? *r->at : 0;
}

static bool take(struct reader *r, char c)
{
	if (peek(r) != c)
		return false;
	r->at++;
	return true;
}

static bool take_word(struct reader *r, struct view word)
{
	skip_blanks(r);
	if ((size_t)(r->end - r->at) < word.len || memcmp(r->at, word.at, word.len))
		return false;
	r->at += word.len;
	return true;
}

static int digit_of(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       c >= 'a' && c <= 'f' ? c - 'a' + 10 :
	       c >= 'A' && c <= 'F' ? c - 'A' + 10 :
				      -1;
}

/* The four digits behind \u; -1: they are none. */
static long read_unit(struct reader *r)
{
	long unit = 0;

	if (r->end - r->at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = digit_of(*r->at++);

		if (digit < 0)
			return -1;
		unit = unit << 4 | digit;
	}
	return unit;
}

static void add_character(struct buf *out, unsigned long c)
{
	uint8_t bytes[4];
	size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	static const uint8_t marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	for (size_t i = n; i-- > 1; c >>= 6)
		bytes[i] = (uint8_t)(0x80 | (c & 0x3f));
	bytes[0] = (uint8_t)(marks[n] | c);
	buf__add(out, bytes, n);
}

static bool read_escape(struct reader *r, struct buf *out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *found;
	long high, low;

	if (r->at == r->end)
		return wrong(r, "a string does not end");
	if (*r->at != 'u') {
		found = *r->at ? strchr(from, *r->at) : NULL;
		if (!found)
			return wrong(r, "there is no such escape");
		r->at++;
		buf__add(out, &to[found - from], 1);
		return true;
	}
	r->at++;
	high = read_unit(r);
	if (high >= 0xd800 && high < 0xdc00) {
		if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
			return wrong(r, "half a character is escaped");
		r->at += 2;
		low = read_unit(r);
		if (low < 0xdc00 || low > 0xdfff)
			return wrong(r, "half a character is escaped");
		high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	} else if (high < 0 || (high >= 0xdc00 && high < 0xe000)) {
		return wrong(r, "an escape is no character");
	}
	add_character(out, (unsigned long)high);
	return true;
}

/* Appends what a string means. Whether it is UTF-8 is looked at where its bytes are used. */
static bool read_string(struct reader *r, struct buf *out)
{
	if (!take(r, '"'))
		return wrong(r, "a string is expected");
	while (r->at < r->end) {
		const char *begin = r->at;

		while (r->at < r->end && *r->at != '"' && *r->at != '\\' && (uint8_t)*r->at >= 0x20)
			r->at++;
		buf__add(out, begin, (size_t)(r->at - begin));
		if (r->at == r->end)
			break;
		if (*r->at == '"') {
			r->at++;
			return true;
		}
		if (*r->at++ != '\\')
			return wrong(r, "a control character in a string is not escaped");
		if (!read_escape(r, out))
			return false;
	}
	return wrong(r, "a string does not end");
}

/* Without its escapes; what is longer than anything that is known becomes "". */
static bool read_key(struct reader *r, char key[KEY_MAX_BYTES])
{
	const char *begin;
	size_t len;

	if (!take(r, '"'))
		return wrong(r, "a key is expected");
	begin = r->at;
	while (r->at < r->end && *r->at != '"') {
		if ((uint8_t)*r->at < 0x20)
			return wrong(r, "a control character in a string is not escaped");
		r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
	}
	if (r->at >= r->end)
		return wrong(r, "a key does not end");
	len = (size_t)(r->at++ - begin);
	memset(key, 0, KEY_MAX_BYTES);
	if (len < KEY_MAX_BYTES)
		memcpy(key, begin, len);
	return take(r, ':') || wrong(r, "a colon is expected behind a key");
}

/* RFC 8259, 6. Copied, with a NUL behind it. */
static bool read_number(struct reader *r, char number[NUMBER_MAX_BYTES])
{
	size_t n = 0;

	skip_blanks(r);
	while (r->at < r->end && ((*r->at >= '0' && *r->at <= '9') || *r->at == '-' ||
				  *r->at == '+' || *r->at == '.' || (*r->at | 0x20) == 'e')) {
		if (n == NUMBER_MAX_BYTES - 1)
			return wrong(r, "a number is too long");
		number[n++] = *r->at++;
	}
	number[n] = 0;
	return n || wrong(r, "a number is expected");
}

/* A number, or a string with one in it. */
static bool read_number_text(struct reader *r, char number[NUMBER_MAX_BYTES])
{
	struct buf text = { .max = NUMBER_MAX_BYTES };
	bool good;

	if (peek(r) != '"')
		return read_number(r, number);
	good = read_string(r, &text);
	if (good && (text.err || text.len >= NUMBER_MAX_BYTES))
		good = wrong(r, "a number is too long");
	if (good && !text.len)
		good = wrong(r, "a number is expected");
	if (good) {
		memcpy(number, text.at, text.len);
		number[text.len] = 0;
		good = strlen(number) == text.len || wrong(r, "a number is expected");
	}
	buf__free(&text);
	return good;
}

static bool read_double(struct reader *r, double *ret)
{
	char number[NUMBER_MAX_BYTES];
	char *end;

	if (!read_number_text(r, number))
		return false;
	if (!strcmp(number, "NaN"))
		*ret = NAN;
	else if (!strcmp(number, "Infinity"))
		*ret = INFINITY;
	else if (!strcmp(number, "-Infinity"))
		*ret = -INFINITY;
	else if (number[strspn(number, "0123456789+-.eE")])
		return wrong(r, "a number is expected");
	else {
		*ret = strtod(number, &end);
		if (*end || end == number || isinf(*ret))
			return wrong(r, "a number is expected");
	}
	return true;
}

/* Whole, in [low, high]; ProtoJSON also takes 1.0 and 1e3. low is not above 0. */
static bool read_whole(struct reader *r, int64_t low, uint64_t high, uint64_t *ret)
{
	char number[NUMBER_MAX_BYTES];
	char *end;
	bool negative;
	uint64_t v;
	double d;

	if (!read_number_text(r, number))
		return false;
	negative = *number == '-';
	if (!number[negative] || number[strspn(number, "0123456789+-.eE")])
		return wrong(r, "a whole number is expected");
	errno = 0;
	v = strtoull(number + negative, &end, 10);
	if (*end || end == number + negative) {
		d = strtod(number, &end);
		/* Above 2^53 it would not be exact. */
		if (*end || end == number || d > 9007199254740992.0 || d < -9007199254740992.0 ||
		    (double)(int64_t)d != d)
			return wrong(r, "a whole number is expected");
		negative = d < 0;
		v = (uint64_t)(int64_t)(negative ? -d : d);
	}
	if (errno || (negative ? v > -(uint64_t)low : v > high))
		return wrong(r, "a number is out of range");
	*ret = negative ? -v : v;
	return true;
}

static void add_varint(struct buf *out, uint64_t v)
{
	uint8_t bytes[10];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		bytes[n++] = (uint8_t)(v | 0x80);
	bytes[n++] = (uint8_t)v;
	buf__add(out, bytes, n);
}

static void add_tag(struct buf *out, const struct field *f, unsigned int wire)
{
	add_varint(out, (uint64_t)f->number << 3 | wire);
}

/* What was appended from `start` on is given its tag and length in front. */
static void wrap(struct buf *out, const struct field *f, size_t start)
{
	size_t len = out->len - start, head;

	add_tag(out, f, 2);
	add_varint(out, len);
	if (out->err)
		return;
	head = out->len - start - len;
	if (!buf__reserve(out, head))
		return;
	memcpy(out->at + out->len, out->at + start + len, head);
	memmove(out->at + start + head, out->at + start, len);
	memcpy(out->at + start, out->at + out->len, head);
}

static bool decode_hex(struct buf *out, size_t start)
{
	size_t len = out->len - start;

	if (out->err)
		return true;
	for (size_t i = 0; i + 1 < len; i += 2) {
		int high = digit_of((char)out->at[start + i]);
		int low = digit_of((char)out->at[start + i + 1]);

		if (high < 0 || low < 0)
			return false;
		out->at[start + i / 2] = (uint8_t)(high << 4 | low);
	}
	out->len = start + len / 2;
	return !(len & 1);
}

static int sextet_of(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' :
	       c >= 'a' && c <= 'z' ? c - 'a' + 26 :
	       c >= '0' && c <= '9' ? c - '0' + 52 :
	       c == '+' || c == '-' ? 62 :
	       c == '/' || c == '_' ? 63 :
				      -1;
}

/* RFC 4648, either alphabet, with its padding or without. */
static bool decode_base64(struct buf *out, size_t start)
{
	size_t len = out->len - start, n = 0;
	uint32_t bits = 0;

	if (out->err)
		return true;
	while (len && out->at[start + len - 1] == '=' && len % 4 != 1)
		len--;
	for (size_t i = 0; i < len; i++) {
		int sextet = sextet_of(out->at[start + i]);

		if (sextet < 0)
			return false;
		bits = bits << 6 | (uint32_t)sextet;
		if (i % 4)
			out->at[start + n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	out->len = start + n;
	return len % 4 != 1;
}

static bool read_bytes(struct reader *r, const struct field *f, bool always)
{
	size_t start = r->out->len;

	if (!read_string(r, r->out))
		return false;
	if (f->kind == HEX && !decode_hex(r->out, start))
		return wrong(r, "an id is not hexadecimal");
	if (f->kind == BASE64 && !decode_base64(r->out, start))
		return wrong(r, "bytes are not base64");
	if (always || f->repeated || r->out->len > start)
		wrap(r->out, f, start);
	return true;
}

static void add_fixed(struct buf *out, const struct field *f, uint64_t v)
{
	uint8_t bytes[8];
	size_t n = f->kind == FIXED32 ? 4 : 8;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	add_tag(out, f, n == 4 ? 5 : 1);
	buf__add(out, bytes, n);
}

static bool read_scalar(struct reader *r, const struct field *f, bool always)
{
	uint64_t v = 0;
	bool good;
	double d;

	switch (f->kind) {
	case TRUTH:
		v = take_word(r, VIEW("true"));
		good = v || take_word(r, VIEW("false")) || wrong(r, "true or false is expected");
		break;
	case DOUBLE:
		good = read_double(r, &d);
		if (good)
			memcpy(&v, &d, sizeof(v));
		break;
	case INT64:
		good = read_whole(r, INT64_MIN, INT64_MAX, &v);
		break;
	case ENUM:
		good = read_whole(r, INT32_MIN, INT32_MAX, &v);
		break;
	case FIXED64:
		good = read_whole(r, 0, UINT64_MAX, &v);
		break;
	default:
		good = read_whole(r, 0, UINT32_MAX, &v);
	}
	if (!good || (!v && !always))
		return good;
	if (f->kind == FIXED64 || f->kind == FIXED32 || f->kind == DOUBLE) {
		add_fixed(r->out, f, v);
	} else {
		add_tag(r->out, f, 0);
		add_varint(r->out, v);
	}
	return true;
}

static bool skip_value(struct reader *r);

/* What stands between brackets, one after the other. */
static bool skip_items(struct reader *r, char end)
{
	char key[KEY_MAX_BYTES];

	r->at++;
	if (take(r, end))
		return true;
	do {
		if (end == '}' && !read_key(r, key))
			return false;
		if (!skip_value(r))
			return false;
	} while (take(r, ','));
	return take(r, end) || wrong(r, "a comma or a closing bracket is expected");
}

static bool skip_value(struct reader *r)
{
	char number[NUMBER_MAX_BYTES];
	struct buf *out = r->out;
	size_t before = out->len;
	bool good;

	switch (peek(r)) {
	case '{':
	case '[':
		if (r->depth == RECEIVE_JSON_DEPTH_MAX)
			return wrong(r, "it is nested too deeply");
		r->depth++;
		good = skip_items(r, *r->at == '{' ? '}' : ']');
		r->depth--;
		return good;
	case '"':
		good = read_string(r, out);
		if (!out->err)
			out->len = before;
		return good;
	case 't':
		return take_word(r, VIEW("true")) || wrong(r, "a value is expected");
	case 'f':
		return take_word(r, VIEW("false")) || wrong(r, "a value is expected");
	case 'n':
		return take_word(r, VIEW("null")) || wrong(r, "a value is expected");
	default:
		return read_number(r, number);
	}
}

static bool read_message(struct reader *r, const struct message *m);

static bool read_one(struct reader *r, const struct field *f, bool always)
{
	size_t start = r->out->len;

	if (f->kind == MESSAGE) {
		if (!read_message(r, f->message))
			return false;
		wrap(r->out, f, start);
		return true;
	}
	if (f->kind <= BASE64)
		return read_bytes(r, f, always);
	return read_scalar(r, f, always);
}

/* null is as if the key were not there (ProtoJSON). */
static bool read_field(struct reader *r, const struct field *f, bool always)
{
	if (peek(r) == 'n')
		return take_word(r, VIEW("null")) || wrong(r, "a value is expected");
	if (!f->repeated)
		return read_one(r, f, always);
	if (!take(r, '['))
		return wrong(r, "an array is expected");
	if (take(r, ']'))
		return true;
	do {
		if (!read_one(r, f, true))
			return false;
	} while (take(r, ','));
	return take(r, ']') || wrong(r, "a comma or a closing bracket is expected");
}

static const struct field *find(const struct message *m, const char *key)
{
	for (unsigned int i = 0; i < m->n; i++)
		if (!strcmp(m->fields[i].name, key))
			return &m->fields[i];
	return NULL;
}

static bool read_fields(struct reader *r, const struct message *m)
{
	char key[KEY_MAX_BYTES];
	const struct field *f;

	if (!take(r, '{'))
		return wrong(r, "an object is expected");
	if (take(r, '}'))
		return true;
	do {
		if (!read_key(r, key))
			return false;
		f = find(m, key);
		if (!(f ? read_field(r, f, m->one_of) : skip_value(r)))
			return false;
	} while (take(r, ','));
	return take(r, '}') || wrong(r, "a comma or a closing bracket is expected");
}

static bool read_message(struct reader *r, const struct message *m)
{
	bool good;

	if (r->depth == RECEIVE_JSON_DEPTH_MAX)
		return wrong(r, "it is nested too deeply");
	r->depth++;
	good = read_fields(r, m);
	r->depth--;
	return good;
}

int receive_json(struct view json, struct buf *out, struct err *err)
{
	struct reader r = {
		.begin = json.at, .at = json.at, .end = json.at + json.len, .out = out
	};
	size_t before = out->len;

	if (read_message(&r, &request) && peek(&r))
		wrong(&r, "something stands behind the request");
	skip_blanks(&r);
	if (!r.wrong && r.at < r.end)
		wrong(&r, "something stands behind the request");
	if (out->err)
		return out->err;
	if (!r.wrong)
		return 0;
	out->len = before;
	return err__set(err, -EPROTO, "the JSON cannot be taken, at byte %zu: %s",
			(size_t)(r.at - r.begin), r.wrong);
}
