// SPDX-License-Identifier: Apache-2.0
/* Heads: start line, fields, and what they say about the length of the body (RFC 9112 2-7). */
#include <errno.h>
#include <string.h>

#include "base/scan.h"
#include "core/exchange_pool.h"
#include "core/proto/http1.h"

/* No content is longer; below it, sums with offsets do not wrap. */
#define LENGTH_MAX (1ull << 60)
/* Longer is no method that anybody has registered (RFC 9110 16.1). */
#define METHOD_MAX_BYTES 32
#define VERSION_BYTES 8
#define VERSION_START "HTTP/1."
/*
 * Beyond EXCHANGE_FIELDS_ORDINARY_MAX fields, so many of one wanted name are kept: then none of
 * them can crowd out another, as all together fit (checked below).
 */
#define WANTED_MAX 4
#define TRACESTATE_MAX 32

struct cursor {
	const char *at, *end;
};

static struct cursor cursor_of(struct view v)
{
	return (struct cursor){ v.at, v.len ? v.at + v.len : v.at };
}

static size_t left(const struct cursor *c)
{
	return (size_t)(c->end - c->at);
}

/* tchar of RFC 9110 5.6.2, as a table: it is asked for every byte of every name. */
static const bool token_char[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,	    ['&'] = 1,	       ['\''] = 1,
	['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,	    ['^'] = 1,	       ['_'] = 1,
	['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* How many bytes of a token stand at the front. */
static size_t token_length(struct view v)
{
	size_t n = 0;

	while (n < v.len && token_char[(unsigned char)v.at[n]])
		n++;
	return n;
}

static inline struct view trim(struct view v)
{
	while (v.len && (v.at[0] == ' ' || v.at[0] == '\t'))
		v.at++, v.len--;
	while (v.len && (v.at[v.len - 1] == ' ' || v.at[v.len - 1] == '\t'))
		v.len--;
	return v;
}

/* Both are asked for every line, and most of what a line costs would be the calls. */
#define LINE_INLINE inline __attribute__((always_inline))

/* The first byte that may end a line or does not belong into one (NUL to CR); end: there is none. */
static LINE_INLINE const char *find_control(const char *at, const char *end)
{
	for (; end - at >= SCAN_BYTES; at += SCAN_BYTES) {
		uint32_t bits = scan__bits(scan__within(scan__load(at), 0, '\r'));

		if (bits)
			return at + __builtin_ctz(bits);
	}
	while (at < end && (unsigned char)*at > '\r')
		at++;
	return at;
}

/*
 * The next line without its end; false: none is left, or it is cut. *odd is set where it holds NUL,
 * or a CR that ends no line: recipients differ in what they make of it (RFC 9112 2.2).
 */
static LINE_INLINE bool take_line(struct cursor *c, struct view *ret, bool *odd)
{
	const char *from = c->at, *end = c->end, *at = from;

	for (; (at = find_control(at, end)) < end; at++) {
		const char *next = at + 1;

		if (*at == '\r' && next < end && *next == '\n')
			next++;
		else if (*at != '\n') {
			*odd |= !*at || (*at == '\r' && next < end);
			continue;
		}
		*ret = (struct view){ from, (size_t)(at - from) };
		c->at = next;
		return true;
	}
	return false;
}

enum { IN_LINE = 0, LINE_ENDED = 1, LINE_ENDED_CR = 2 }; /* *carry */

/* Byte by byte, up to `end` or up to where no line end is open any more; true: the head ends at *at. */
static bool step_head(const char **at, const char *end, bool to_end, uint8_t *state)
{
	while (*at < end && (to_end || *state != IN_LINE)) {
		char c = *(*at)++;

		if (*state == IN_LINE)
			*state = c == '\n' ? LINE_ENDED : IN_LINE;
		else if (c == '\n')
			return true;
		else
			*state = *state == LINE_ENDED && c == '\r' ? LINE_ENDED_CR : IN_LINE;
	}
	return false;
}

#define EMPTY_LINE_WINDOW (SCAN_BYTES + 2)

/* Where three bytes are LF and the end of an empty line, of those that begin in sixteen places. */
static inline uint32_t empty_lines(const char *at)
{
	scan16 first = scan__load(at), second = scan__load(at + 1), third = scan__load(at + 2);

	return scan__bits(
		scan__is(first, '\n') &
		(scan__is(second, '\n') | (scan__is(second, '\r') & scan__is(third, '\n'))));
}

size_t http1__find_head_end(struct view bytes, uint8_t *carry)
{
	const char *at = bytes.at, *end = at + bytes.len;
	uint32_t bits;
	bool ended;

	if (!bytes.len)
		return 0;
	ended = step_head(&at, end, false, carry);
	while (!ended && end - at > 2 && bytes.len >= EMPTY_LINE_WINDOW) {
		size_t back =
			end - at >= EMPTY_LINE_WINDOW ? 0 : EMPTY_LINE_WINDOW - (size_t)(end - at);

		/* The last window lies over bytes that were looked at before. */
		bits = empty_lines(at - back) >> back;
		if (bits) {
			at += __builtin_ctz(bits) + 1;
			at += *at == '\n' ? 1 : 2;
			ended = true;
		} else {
			at += SCAN_BYTES - back;
		}
	}
	if (!ended)
		ended = step_head(&at, end, true, carry);
	if (ended)
		*carry = IN_LINE;
	return ended ? (size_t)(at - bytes.at) : 0;
}

/*
 * Lines that begin with a space continue the one before (obs-fold, RFC 9112 5.2): the line end
 * becomes spaces, in place, so that the value is one view.
 */
static bool folds(const struct cursor *c)
{
	return c->at < c->end && (*c->at == ' ' || *c->at == '\t');
}

static void unfold(struct cursor *c, struct view *line, bool *odd)
{
	struct view more;

	while (folds(c) && take_line(c, &more, odd)) {
		char *gap = (char *)line->at + line->len;
		const char *end = more.at + more.len;

		more = trim(more);
		memset(gap, ' ', (size_t)(more.at - gap));
		line->len = (size_t)(end - line->at);
	}
}

/* "HTTP/1.x": RFC 9112 2.3. */
static inline bool parse_version(struct view v, struct http1_head *ret)
{
	if (v.len != VERSION_BYTES || memcmp(v.at, "HTTP/1.", 7) || v.at[7] < '0' || v.at[7] > '9')
		return false;
	ret->minor = (uint8_t)(v.at[7] - '0');
	ret->version = (struct view){ v.at + 5, 3 };
	return true;
}

static int parse_request_line(struct view line, struct http1_head *ret)
{
	size_t method = token_length(line);
	const char *last; /* the space before the version */

	if (line.len <= VERSION_BYTES + 1 || !method || method > METHOD_MAX_BYTES)
		return -EPROTO;
	last = line.at + line.len - VERSION_BYTES - 1;
	if (line.at + method >= last || line.at[method] != ' ' || *last != ' ' ||
	    !parse_version((struct view){ last + 1, VERSION_BYTES }, ret))
		return -EPROTO;
	ret->method = (struct view){ line.at, method };
	ret->target = (struct view){ line.at + method + 1, (size_t)(last - line.at) - method - 1 };
	ret->target = trim(ret->target);
	if (!ret->target.len)
		return -EPROTO;
	/* A target with a space in it: some split at the first one, some at the last. */
	if (memchr(ret->target.at, ' ', ret->target.len))
		ret->ambiguous = true;
	return 0;
}

static int parse_status_line(struct view line, struct http1_head *ret)
{
	const char *s;

	if (line.len < 12 || line.at[8] != ' ' || !parse_version((struct view){ line.at, 8 }, ret))
		return -EPROTO;
	s = line.at + 9;
	if (s[0] < '1' || s[0] > '9' || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' ||
	    (line.len > 12 && s[3] != ' '))
		return -EPROTO;
	ret->status = (uint16_t)((s[0] - '0') * 100 + (s[1] - '0') * 10 + (s[2] - '0'));
	return 0;
}

/* One number, or a list of equal ones (RFC 9110 8.6); anything else makes the length ambiguous. */
static void read_length(struct view value, struct http1_head *head)
{
	struct cursor c = cursor_of(value);

	do {
		uint64_t n = 0;
		size_t digits = 0;

		while (left(&c) && (*c.at == ' ' || *c.at == '\t'))
			c.at++;
		for (; left(&c) && *c.at >= '0' && *c.at <= '9'; c.at++, digits++)
			if (n < LENGTH_MAX)
				n = n * 10 + (uint64_t)(*c.at - '0');
		while (left(&c) && (*c.at == ' ' || *c.at == '\t'))
			c.at++;
		if (!digits || n > LENGTH_MAX || (left(&c) && *c.at != ',') ||
		    (head->has_length && head->length != n)) {
			head->ambiguous = true;
			return;
		}
		head->has_length = true;
		head->length = n;
	} while (left(&c) && c.at++);
}

/* RFC 9112 6.1: chunked must be the last coding, once. */
static void read_coding(struct view value, struct http1_head *head)
{
	struct cursor c = cursor_of(value);

	head->has_coding = true;
	while (left(&c)) {
		const char *comma = memchr(c.at, ',', left(&c));
		struct view coding = { c.at, (size_t)((comma ?: c.end) - c.at) };

		c.at = comma ? comma + 1 : c.end;
		coding = trim(coding);
		if (!coding.len)
			continue;
		if (head->chunked)
			head->ambiguous = true; /* something after chunked, or chunked twice */
		head->chunked = view_eq_nocase(coding, VIEW("chunked"));
	}
}

/* Names whose fields mean something to sonde: kept whatever their number. Lower case. */
static const struct view wanted[] = {
	VIEW("b3"),
	VIEW("sw8"),
	VIEW("host"),
	VIEW("expect"),
	VIEW("baggage"),
	VIEW("upgrade"),
	VIEW("forwarded"),
	VIEW("tracestate"),
	VIEW("user-agent"),
	VIEW("x-real-ip"),
	VIEW("traceparent"),
	VIEW("x-b3-flags"),
	VIEW("x-b3-spanid"),
	VIEW("content-type"),
	VIEW("x-b3-traceid"),
	VIEW("x-b3-sampled"),
	VIEW("x-request-id"),
	VIEW("uber-trace-id"),
	VIEW("content-length"),
	VIEW("x-amzn-trace-id"),
	VIEW("x-forwarded-for"),
	VIEW("x-datadog-tags"),
	VIEW("content-encoding"),
	VIEW("x-forwarded-host"),
	VIEW("transfer-encoding"),
	VIEW("x-b3-parentspanid"),
	VIEW("x-forwarded-proto"),
	VIEW("x-datadog-trace-id"),
	VIEW("x-datadog-parent-id"),
	VIEW("x-cloud-trace-context"),
	VIEW("x-datadog-sampling-priority"),
	VIEW("connection"),
};

_Static_assert(EXCHANGE_FIELDS_ORDINARY_MAX +
			       (sizeof(wanted) / sizeof(wanted[0]) - 1) * WANTED_MAX +
			       TRACESTATE_MAX <=
		       EXCHANGE_FIELDS_MAX,
	       "fields that are kept whatever their number must fit");

/* One more field of a head that has many already: is it wanted, and not yet too often there? */
static bool keep_beyond(struct header_fields *to, struct view name)
{
	unsigned int same = 0;
	size_t i = 0;

	while (i < sizeof(wanted) / sizeof(wanted[0]) && !view_eq_nocase(name, wanted[i]))
		i++;
	if (i == sizeof(wanted) / sizeof(wanted[0]))
		return false;
	for (unsigned int k = EXCHANGE_FIELDS_ORDINARY_MAX; k < to->n; k++)
		same += view_eq_nocase(name, to->at[k].name);
	return same < (view_eq(wanted[i], VIEW("tracestate")) ? TRACESTATE_MAX : WANTED_MAX);
}

static inline void keep_field(struct exchange *ex, struct header_fields *to,
			      struct header_field field, struct http1_head *head)
{
	if (field.name.len == 14 && view_eq_nocase(field.name, VIEW("content-length")))
		read_length(field.value, head);
	else if (field.name.len == 17 && view_eq_nocase(field.name, VIEW("transfer-encoding")))
		read_coding(field.value, head);
	if (!to || (to->n >= EXCHANGE_FIELDS_ORDINARY_MAX && !keep_beyond(to, field.name)))
		return;
	/* Only memory can be short. */
	if (header_fields__add(to, field))
		ex->flags |= EX_HEAD_PARTIAL;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

/* CR LF, as nearly all write it. */
static LINE_INLINE bool at_line_end(const struct cursor *c)
{
	return left(c) >= 2 && !memcmp(c->at, "\r\n", 2);
}

/*
 * A field as nearly all are: a short name of letters and dashes, no space but one after the colon,
 * CR LF, and not folded. False: this is none, and nothing was taken.
 */
static LINE_INLINE bool take_plain_field(struct cursor *c, struct header_field *ret)
{
	const char *at = c->at, *end = c->end, *value;
	uint32_t bits;
	size_t back = 0;
	scan16 v;

	if (end - at < SCAN_BYTES)
		return false;
	v = scan__load(at);
	bits = scan__bits(scan__within(v | scan__all(0x20), 'a', 'z') | scan__is(v, '-'));
	bits = ~bits & 0xffff;
	if (!bits || bits & 1 || at[__builtin_ctz(bits)] != ':')
		return false;
	ret->name = (struct view){ at, (size_t)__builtin_ctz(bits) };
	value = at + ret->name.len + 1;
	value += value < end && *value == ' ';
	bits = 0;
	for (at = value; end - at > 0; at += SCAN_BYTES) {
		/* The last bytes are looked at together with those before them. */
		back = end - at < SCAN_BYTES ? SCAN_BYTES - (size_t)(end - at) : 0;
		bits = scan__bits(scan__within(scan__load(at - back), 0, '\r')) >> back;
		if (bits)
			break;
	}
	if (!bits)
		return false;
	at += __builtin_ctz(bits);
	/* Neither empty nor with space around it: every space is below '!', and so is what ends a line. */
	if (end - at < 3 || memcmp(at, "\r\n", 2) || is_space(at[2]) ||
	    (unsigned char)*value < '!' || (unsigned char)at[-1] < '!')
		return false;
	ret->value = (struct view){ value, (size_t)(at - value) };
	c->at = at + 2;
	return true;
}

/* False: it is no field, and ambiguous. */
static bool parse_field(struct view line, struct http1_head *head, struct header_field *ret)
{
	struct header_field field = { .name = { line.at, token_length(line) } };
	const char *colon = line.at + field.name.len;

	/* White space before the colon: some see this field, some do not (RFC 9112 5.1). */
	if (!field.name.len || field.name.len == line.len || *colon != ':') {
		head->ambiguous = true;
		colon = memchr(line.at, ':', line.len);
		if (!colon)
			return false;
		field.name = trim((struct view){ line.at, (size_t)(colon - line.at) });
	}
	field.value = trim((struct view){ colon + 1, (size_t)(line.at + line.len - colon - 1) });
	*ret = field;
	return true;
}

/* c: within text, after the start line. to: NULL where no field is to be kept. */
static void parse_fields(struct exchange *ex, struct header_fields *to, struct view text,
			 struct cursor *c, struct http1_head *head)
{
	struct header_field field;
	struct view line;

	if (to)
		header_fields__clear(to);
	/* Space before the first field: RFC 9112 2.2, a known way of smuggling. */
	if (folds(c))
		head->ambiguous = true;
	for (;;) {
		if (take_plain_field(c, &field)) {
			keep_field(ex, to, field, head);
			continue;
		}
		if (at_line_end(c)) { /* of the empty line */
			c->at += 2;
			break;
		}
		if (!take_line(c, &line, &head->ambiguous))
			return;
		if (!line.len)
			break;
		if (folds(c)) {
			unfold(c, &line, &head->ambiguous);
			head->folded = true;
		}
		if (parse_field(line, head, &field))
			keep_field(ex, to, field, head);
	}
	head->end = (size_t)(c->at - text.at);
}

int http1__parse_request_head(struct exchange *ex, struct http1_head *ret)
{
	struct view text = { (const char *)ex->text.at, ex->text.len }, line;
	struct cursor c = cursor_of(text);
	struct http1_head head = { 0 };
	int err;

	if (!take_line(&c, &line, &head.ambiguous))
		return -EPROTO;
	err = parse_request_line(line, &head);
	if (err)
		return err;
	parse_fields(ex, &ex->fields, text, &c, &head);
	/* RFC 9112 6.1, 6.3: both lengths, a coding that HTTP/1.0 does not know, no last chunk. */
	if (head.has_coding && (head.has_length || !head.chunked || head.minor == 0))
		head.ambiguous = true;
	ex->method = head.method;
	ex->target = head.target;
	ex->version = head.version;
	*ret = head;
	return 0;
}

int http1__parse_response_head(struct exchange *ex, struct http1_head *ret)
{
	struct view text = { (const char *)ex->response_text.at, ex->response_text.len }, line;
	struct cursor c = cursor_of(text);
	struct http1_head head = { 0 };
	int err;

	if (!take_line(&c, &line, &head.ambiguous))
		return -EPROTO;
	err = parse_status_line(line, &head);
	if (err)
		return err;
	parse_fields(ex, ex->no_response_fields ? NULL : &ex->response_fields, text, &c, &head);
	if (head.has_coding && (head.has_length || head.minor == 0))
		head.ambiguous = true;
	*ret = head;
	return 0;
}

enum http1_framing http1__request_framing(const struct http1_head *head)
{
	if (head->ambiguous)
		return FRAMING_UNKNOWN;
	if (head->chunked)
		return FRAMING_CHUNKED;
	return head->has_length && head->length ? FRAMING_LENGTH : FRAMING_NONE;
}

enum http1_framing http1__response_framing(const struct http1_head *head, struct view method)
{
	if (head->status < 200 || head->status == 204 || head->status == 304 ||
	    view_eq(method, VIEW("HEAD")))
		return FRAMING_NONE;
	if (head->status < 300 && view_eq(method, VIEW("CONNECT")))
		return FRAMING_NONE;
	if (head->ambiguous)
		return FRAMING_UNKNOWN;
	if (head->has_coding)
		return head->chunked ? FRAMING_CHUNKED : FRAMING_CLOSE;
	if (!head->has_length)
		return FRAMING_CLOSE;
	return head->length ? FRAMING_LENGTH : FRAMING_NONE;
}

int http1__detect(struct view first, bool *ret_sure)
{
	static const struct view response = VIEW(VERSION_START);
	static const struct view h2 = VIEW("PRI * HTTP/2.0");
	size_t n;
	char c;

	*ret_sure = true;
	while (first.len && (*first.at == '\r' || *first.at == '\n'))
		first.at++, first.len--;
	if (!first.len)
		return 0;
	if (*first.at == 'H') {
		n = first.len < response.len ? first.len : response.len;
		/* A length that is known needs no call. */
		if (n == response.len ?
			    !memcmp(first.at, VERSION_START, sizeof(VERSION_START) - 1) :
			    !memcmp(first.at, response.at, n)) {
			*ret_sure = n > 1; /* "H" also begins HEAD */
			return 2;
		}
	} else if (*first.at == 'P') {
		n = first.len < h2.len ? first.len : h2.len;
		if (n > 3 && !memcmp(first.at, h2.at, n))
			return 0;
	}
	for (n = 0; n < first.len && n <= METHOD_MAX_BYTES; n++)
		if (!token_char[(unsigned char)first.at[n]])
			break;
	if (n == first.len)
		return n <= METHOD_MAX_BYTES;
	if (!n || n > METHOD_MAX_BYTES || first.at[n] != ' ')
		return 0;
	if (n + 1 == first.len)
		return 1;
	c = first.at[n + 1];
	/* What follows is a target: path, asterisk, absolute URI (as the kernel side has it). */
	if (n == 7 && !memcmp(first.at, "CONNECT", 7))
		return c > ' ' && c != '{';
	return c == '/' || c == '*' || c == 'h' || c == 'H';
}

bool http1__has_start_line(struct view bytes)
{
	struct cursor c = cursor_of(bytes);
	struct http1_head head = { 0 };
	struct view line;

	while (take_line(&c, &line, &head.ambiguous))
		if (line.len)
			return !parse_request_line(line, &head) || !parse_status_line(line, &head);
	return false;
}

bool http1__is_export(struct view method, struct view target)
{
	/* The ends of paths: an endpoint may have a path of its own before them. */
	static const struct view ends[] = {
		VIEW("/v1/traces"),
		VIEW("/api/v2/spans"),
		VIEW("/api/v1/spans"),
		VIEW("/api/traces"),
		VIEW("/v0.3/traces"),
		VIEW("/v0.4/traces"),
		VIEW("/v0.5/traces"),
		VIEW("/v0.7/traces"),
		VIEW("/opentelemetry.proto.collector.trace.v1.TraceService/Export"),
	};
	struct http1_url url;

	if (!view_eq(method, VIEW("POST")) && !view_eq(method, VIEW("PUT")))
		return false;
	http1__split_target(method, target, &url);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (url.path.len >= ends[i].len &&
		    !memcmp(url.path.at + url.path.len - ends[i].len, ends[i].at, ends[i].len))
			return true;
	return false;
}
