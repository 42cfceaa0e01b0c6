// SPDX-License-Identifier: Apache-2.0
/* Where HTTP/1 messages begin and end, and which response answers which request. */
#include <string.h>

#include "core/conn.h"
#include "core/proto/http2.h"

static struct http1_stream *stream_of(struct conn *conn, bool request)
{
	struct http1 *h = &conn->http1;

	return &h->streams[request ? h->request_dir : !h->request_dir];
}

void http1__detach(struct conn *conn, const struct exchange *ex)
{
	for (int dir = 0; dir < 2; dir++) {
		struct http1_stream *s = &conn->http1.streams[dir];

		if (s->ex != ex)
			continue;
		s->ex = NULL;
		/* Nowhere to keep the rest of a head; and nobody's response may end as another's. */
		if (s->state == HTTP1_HEAD ||
		    (!http1__is_request(&conn->http1, dir) && s->state > HTTP1_BODY))
			s->state = HTTP1_LOST;
		/* While one is set, the kernel looks for nothing else. */
		if (s->watermark)
			conn__watermark(conn, (enum direction)dir, 0);
		s->watermark = false;
	}
}

/* Is the only open exchange one whose answer has probably ended, though that is not certain yet? */
static bool only_unconfirmed(struct conn *conn)
{
	const struct http1_stream *r = stream_of(conn, false);

	return conn->first == conn->last && r->ex == conn->first && r->state == HTTP1_UNTIL;
}

void http1__drop(struct conn *conn, struct exchange *ex, uint64_t *reason)
{
	http1__detach(conn, ex);
	conn__drop(conn, ex, reason);
	/* Its answer will come, or has come: those beside it can no longer be told apart. */
	if (conn->first && !only_unconfirmed(conn) && !conn->http1.given_up)
		http1__give_up(conn);
}

static void drop_all(struct conn *conn)
{
	while (conn->first) {
		struct exchange *ex = conn->first;

		http1__detach(conn, ex);
		conn__drop(conn, ex, &conn->core->account->dropped_response_lost);
	}
	conn__set_timer(conn, 0);
}

void http1__give_up(struct conn *conn)
{
	struct http1 *h = &conn->http1;

	h->given_up = true;
	h->streams[0].state = h->streams[1].state = HTTP1_LOST;
	drop_all(conn);
}

/*
 * Responses are matched by counting. Where one request at a time is open, the missing bytes were
 * its response, and the next turn is a new start. Of several it cannot be said how many were
 * answered.
 */
void http1__responses_lost(struct conn *conn)
{
	if (conn->http1.pipelines && conn->first != conn->last) {
		http1__give_up(conn);
		return;
	}
	drop_all(conn);
	stream_of(conn, false)->state = HTTP1_LOST;
}

/*
 * Only unseen bytes could say where this message ends. Where the next request had been sent by
 * then, its response may be among them.
 */
void http1__out_of_sight(struct conn *conn, int dir)
{
	struct http1_stream *s = &conn->http1.streams[dir];
	const struct exchange *next = s->ex ? s->ex->next : NULL;

	s->state = HTTP1_UNTIL;
	if (!http1__is_request(&conn->http1, dir) && next &&
	    conn_exchange((struct exchange *)next)->response_from <= s->body_from)
		http1__give_up(conn);
}

bool http1__overlaps(struct conn *conn, uint32_t turn)
{
	const struct http1_stream *r = stream_of(conn, false);
	const struct exchange *first = conn->first;

	if (first && r->ex == first && r->state == HTTP1_UNTIL) /* it has probably ended */
		first = first->next;
	return first && first->turn.turn != turn;
}

void http1__begin_request(struct conn *conn, struct piece *piece, uint64_t offset)
{
	struct http1_stream *s = stream_of(conn, true);
	bool others = conn->first && !only_unconfirmed(conn);

	conn->http1.pipelines |= others;
	s->ex = conn__open(conn, piece, offset, &proto_http1);
	s->carry = 0;
	s->quiet_ns = 0;
	s->state = s->ex ? HTTP1_HEAD : HTTP1_LOST;
	/* Its answer will come, and nobody waits for it: those behind it cannot be counted. */
	if (others && !s->ex)
		http1__give_up(conn);
}

/* A response comes while its request's head is not whole: it will not get any longer. */
static bool close_request_head(struct conn *conn, const struct piece *piece)
{
	struct http1_stream *q = stream_of(conn, true);
	struct exchange *ex = q->ex;

	if (piece->other_offset > q->next) {
		http1__drop(conn, ex, &conn->core->account->dropped_ring);
		q->state = HTTP1_LOST;
		return false;
	}
	ex->flags |= EX_EARLY;
	http1__request_head(conn, piece, q->next, true);
	return conn->first == ex;
}

void http1__begin_response(struct conn *conn, struct piece *piece, uint64_t offset)
{
	struct http1_stream *s = stream_of(conn, false), *q = stream_of(conn, true);
	struct exchange *ex = conn->first;

	/* One more answer in a turn than there were questions: some were not seen. */
	if (!ex && !(piece->flags & SONDE_F_TURN_START && piece->offset == offset))
		conn->http1.uncounted = true;
	s->ex = NULL;
	s->state = HTTP1_LOST;
	/* Nobody asked (408 on an idle connection, a lost request), or not for this one. */
	if (!ex || offset < conn_exchange(ex)->response_from)
		return;
	if (q->ex == ex && q->state == HTTP1_HEAD && !close_request_head(conn, piece))
		return;
	s->ex = ex;
	s->carry = 0;
	s->quiet_ns = 0;
	s->state = HTTP1_HEAD;
	ex->response_ns = piece->ns;
	ex->response_tid = piece->tid;
	buf__clear(&ex->response_text);
}

/* From the end of the head on: where does the message end? */
static void enter_body(struct http1_stream *s, enum http1_framing framing, uint64_t offset,
		       uint64_t length)
{
	s->body_from = offset;
	s->asked = s->watched = s->last_chunk = false;
	s->quiet_ns = 0;
	switch (framing) {
	case FRAMING_NONE:
	case FRAMING_LENGTH:
		s->state = HTTP1_BODY;
		s->end = offset + (framing == FRAMING_LENGTH ? length : 0);
		break;
	case FRAMING_CHUNKED:
		s->state = HTTP1_CHUNKS;
		s->chunk = (struct http1_chunk){ 0 };
		break;
	case FRAMING_CLOSE:
		s->state = HTTP1_CLOSE;
		break;
	case FRAMING_UNKNOWN:
		s->state = HTTP1_UNTIL;
		break;
	}
}

static void on_request_head(struct conn *conn, uint64_t offset, const struct http1_head *head,
			    bool partial)
{
	struct http1_stream *s = stream_of(conn, true);
	struct exchange *ex = s->ex;

	if (partial)
		ex->flags |= EX_HEAD_PARTIAL;
	if (head->ambiguous)
		ex->flags |= EX_AMBIGUOUS;
	if (http1__is_export(ex->method, ex->target))
		ex->flags |= EX_EXPORT;
	enter_body(s, partial ? FRAMING_UNKNOWN : http1__request_framing(head), offset,
		   head->length);
	conn__announce(conn, ex);
}

void http1__request_head(struct conn *conn, const struct piece *piece, uint64_t offset,
			 bool partial)
{
	struct http1_stream *s = stream_of(conn, true);
	struct http1_head head;

	if (http1__parse_request_head(s->ex, &head)) {
		s->state = HTTP1_LOST;
		http1__drop(conn, s->ex, &conn->core->account->dropped_bad_head);
		return;
	}
	on_request_head(conn, offset, &head, partial);
}

bool http1__asks_http2(const struct exchange *ex)
{
	return view_eq_nocase(http1__header(ex, VIEW("upgrade"), 0), VIEW("h2c")) &&
	       !http1__header(ex, VIEW("upgrade"), 1).len;
}

/* No other message of HTTP/1 follows: what is open beside this exchange has no answer here. */
static void leave_http1(struct conn *conn, struct exchange *ex)
{
	struct exchange *other, *next;

	http1__detach(conn, ex);
	conn->http1.other_protocol = true;
	for (other = conn->first; other; other = next) {
		next = other->next;
		if (other == ex)
			continue;
		http1__detach(conn, other);
		conn__drop(conn, other, &conn->core->account->filtered_continuation);
	}
	conn__set_timer(conn, 0);
}

void http1__becomes_http2(struct conn *conn, struct exchange *ex)
{
	const struct http1_stream *q = stream_of(conn, true);

	/* what is left of its body comes before anything of HTTP/2 */
	if (q->ex == ex && q->state == HTTP1_BODY)
		ex->request_body_bytes = q->end - q->body_from;
	else if (q->ex == ex)
		ex->flags |= EX_SIZES_UNKNOWN;
	header_fields__clear(&ex->response_fields);
	buf__clear(&ex->response_text);
	conn_exchange(ex)->kept[false].head.end = 0;
	ex->response_ns = 0;
	ex->response_tid = 0;
	leave_http1(conn, ex);
	http2__upgraded(conn, ex);
}

/* 101, or 2xx to CONNECT: what follows in both directions is not HTTP. */
static void upgrade(struct conn *conn, struct exchange *ex, uint64_t ns)
{
	ex->flags |= EX_UPGRADED;
	leave_http1(conn, ex);
	conn__end(conn, ex, ns);
	conn__ignore(conn);
}

/* How the request stood when its final response began. */
static void settle_request(struct conn *conn, struct exchange *ex, const struct piece *piece)
{
	struct http1_stream *q = stream_of(conn, true);

	if (q->ex != ex)
		return; /* whole */
	switch (q->state) {
	case HTTP1_BODY:
		ex->flags |= EX_EARLY;
		break;
	case HTTP1_CHUNKS:
		if (!http1__out_of_step(q, piece->other_offset))
			ex->flags |= EX_EARLY;
		else
			q->state = HTTP1_UNTIL;
		break;
	}
	if (q->state == HTTP1_UNTIL) {
		ex->request_end_ns = q->quiet_ns ?: piece->other_ns;
		ex->request_body_bytes =
			q->seen_offset > q->body_from ? q->seen_offset - q->body_from : 0;
	}
}

void http1__bad_response(struct conn *conn, struct exchange *ex, const struct piece *piece)
{
	const struct http1_stream *q = stream_of(conn, true);

	if (q->ex == ex && q->state == HTTP1_HEAD && !close_request_head(conn, piece))
		return;
	http1__detach(conn, ex);
	conn__cut(conn, ex, piece->ns, "bad_response");
	if (conn->first)
		http1__give_up(conn);
}

static void on_response_head(struct conn *conn, const struct piece *piece, uint64_t offset,
			     const struct http1_head *head, bool partial)
{
	struct http1_stream *s = stream_of(conn, false);
	struct exchange *ex = s->ex;
	enum http1_framing framing;

	if (head->status < 200 && head->status != 101 && !partial) {
		s->state = HTTP1_START; /* interim: the final one follows (RFC 9110 15.2) */
		s->ex = NULL;
		header_fields__clear(&ex->response_fields);
		return;
	}
	if (head->status == 101 && http1__asks_http2(ex)) {
		http1__becomes_http2(conn, ex);
		return;
	}
	ex->status = head->status;
	ex->flags |= EX_RESPONSE | (partial ? EX_HEAD_PARTIAL : 0);
	settle_request(conn, ex, piece);
	if (head->status == 101 || (head->status < 300 && view_eq(ex->method, VIEW("CONNECT")))) {
		upgrade(conn, ex, piece->ns);
		return;
	}
	framing = partial ? FRAMING_UNKNOWN : http1__response_framing(head, ex->method);
	if (head->ambiguous && framing != FRAMING_NONE)
		ex->flags |= EX_AMBIGUOUS;
	enter_body(s, framing, offset, head->length);
	if (framing == FRAMING_UNKNOWN)
		http1__out_of_sight(conn, !conn->http1.request_dir);
}

void http1__response_head(struct conn *conn, const struct piece *piece, uint64_t offset,
			  bool partial)
{
	struct http1_stream *s = stream_of(conn, false);
	struct http1_head head;

	if (http1__parse_response_head(s->ex, &head)) {
		s->state = HTTP1_LOST;
		http1__bad_response(conn, s->ex, piece);
		return;
	}
	on_response_head(conn, piece, offset, &head, partial);
}

/* Do these bytes begin with the head that this exchange has read last? */
static bool comes_again(const struct exchange *ex, const struct http1_kept *kept, struct view bytes,
			bool request)
{
	const struct header_fields *fields = request ? &ex->fields : &ex->response_fields;
	const struct buf *text = request ? &ex->text : &ex->response_text;

	/* What has grown large, its pool has taken back since. */
	return kept->head.end && bytes.len >= kept->head.end && text->cap >= kept->head.end &&
	       fields->cap >= kept->fields && !memcmp(bytes.at, text->at, kept->head.end);
}

/* Then it is read. */
static void take_kept(struct exchange *ex, const struct http1_kept *kept, bool request)
{
	struct header_fields *fields = request ? &ex->fields : &ex->response_fields;

	(request ? &ex->text : &ex->response_text)->len = kept->head.end;
	fields->n = kept->fields;
	fields->lengths = kept->lengths;
	if (!request)
		return;
	ex->method = kept->head.method;
	ex->target = kept->head.target;
	ex->version = kept->head.version;
	ex->head_again = true;
}

static bool read_head(struct exchange *ex, struct http1_kept *kept, struct view bytes, bool request)
{
	struct header_fields *fields = request ? &ex->fields : &ex->response_fields;
	struct buf *text = request ? &ex->text : &ex->response_text;
	int err;

	kept->head.end = 0;
	buf__add(text, bytes.at, bytes.len);
	if (text->err)
		goto none;
	err = request ? http1__parse_request_head(ex, &kept->head) :
			http1__parse_response_head(ex, &kept->head);
	if (!err && kept->head.end) {
		text->len = kept->head.end;
		kept->fields = fields->n;
		kept->lengths = fields->lengths;
		return true;
	}
	if (request)
		ex->method = ex->target = ex->version = (struct view){ 0 };
	header_fields__clear(fields);
none:
	text->len = 0;
	return false;
}

/* The exchange's text is a whole head, which ends at the stream's next byte. */
static void on_head(struct conn *conn, const struct piece *piece, uint64_t next, bool request)
{
	struct http1_stream *s = stream_of(conn, request);
	struct http1_kept *kept = &conn_exchange(s->ex)->kept[request];

	s->next = next;
	if (request)
		on_request_head(conn, next, &kept->head, false);
	else
		on_response_head(conn, piece, next, &kept->head, false);
}

bool http1__whole_head(struct conn *conn, const struct piece *piece, uint64_t offset,
		       struct view bytes, bool request, size_t *ret_bytes)
{
	struct exchange *ex = stream_of(conn, request)->ex;
	struct http1_kept *kept = &conn_exchange(ex)->kept[request];
	bool again = comes_again(ex, kept, bytes, request);
	size_t n;

	if (again)
		take_kept(ex, kept, request);
	else if (!read_head(ex, kept, bytes, request))
		return false;
	*ret_bytes = n = kept->head.end;
	on_head(conn, piece, offset + n, request);
	/* Of the text, or of the fields, something is not what was sent. */
	if (kept->head.folded || ex->flags & EX_HEAD_PARTIAL)
		kept->head.end = 0;
	return true;
}

static size_t usual_request(struct conn *conn, struct http1_stream *s, struct piece *piece)
{
	const struct http1_stream *r = stream_of(conn, false);
	struct exchange *ex = exchange_pool__next(conn->core->pool);
	struct http1_kept *kept;
	size_t n;

	if (conn->first || !ex || r->state != HTTP1_START || piece->other_offset > r->next ||
	    conn->http1.unjoined)
		return 0;
	kept = &conn_exchange(ex)->kept[true];
	if (!comes_again(ex, kept, piece->bytes, true))
		return 0;
	n = kept->head.end;
	s->turn = piece->turn;
	http1__begin_request(conn, piece, piece->offset);
	take_kept(ex, kept, true);
	on_head(conn, piece, piece->offset + n, true);
	return n;
}

static size_t usual_response(struct conn *conn, struct http1_stream *s, struct piece *piece)
{
	const struct http1_stream *q = stream_of(conn, true);
	struct exchange *ex = conn->first;
	struct http1_kept *kept;
	size_t n;

	if (!ex || q->state != HTTP1_START || piece->other_offset != q->next ||
	    piece->offset < conn_exchange(ex)->response_from)
		return 0;
	kept = &conn_exchange(ex)->kept[false];
	if (!comes_again(ex, kept, piece->bytes, false))
		return 0;
	n = kept->head.end;
	s->turn = piece->turn;
	http1__begin_response(conn, piece, piece->offset);
	take_kept(ex, kept, false);
	on_head(conn, piece, piece->offset + n, false);
	return n;
}

size_t http1__usual_head(struct conn *conn, struct piece *piece)
{
	const uint16_t begins = SONDE_F_TURN_START | SONDE_F_START;
	struct http1_stream *s = &conn->http1.streams[piece->dir];

	if ((piece->flags & begins) != begins || s->state != HTTP1_START ||
	    piece->offset != s->next)
		return 0;
	return http1__is_request(&conn->http1, piece->dir) ? usual_request(conn, s, piece) :
							     usual_response(conn, s, piece);
}

static uint64_t body_bytes(const struct http1_stream *s)
{
	if (s->chunk.state == CHUNK_DONE)
		return s->chunk.total;
	return s->end > s->body_from ? s->end - s->body_from : 0;
}

static void request_end(struct http1_stream *s, uint64_t ns)
{
	struct exchange *ex = s->ex;

	if (!ex)
		return;
	ex->request_end_ns = ns;
	ex->request_body_bytes = body_bytes(s);
	if (ex->flags & EX_EXPORT && ex->body.len < ex->request_body_bytes)
		ex->flags |= EX_BODY_PARTIAL;
	s->ex = NULL;
}

static void response_end(struct conn *conn, struct http1_stream *s, uint64_t ns)
{
	struct exchange *ex = s->ex;

	conn->http1.timer_steps = 0;
	conn__set_timer(conn, 0);
	if (!ex)
		return;
	ex->response_body_bytes = body_bytes(s);
	http1__detach(conn, ex);
	conn__end(conn, ex, ns);
}

void http1__message_end(struct conn *conn, int dir, uint64_t ns)
{
	struct http1_stream *s = &conn->http1.streams[dir];

	if (s->state != HTTP1_BODY) /* its end was not known before */
		s->end = s->quiet_ns ? s->quiet_offset : s->seen_offset;
	if (s->end > s->next)
		s->next = s->end;
	s->state = HTTP1_START;
	s->quiet_ns = 0;
	s->asked = s->watched = false;
	if (http1__is_request(&conn->http1, dir))
		request_end(s, ns);
	else
		response_end(conn, s, ns);
	s->chunk.state = CHUNK_SIZE;
}
