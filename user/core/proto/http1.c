// SPDX-License-Identifier: Apache-2.0
/* HTTP/1: captured pieces to messages. */
#include "core/proto/http1.h"

#include <string.h>

#include "core/conn.h"

/* Some clients end a body with an empty line that is not part of it (RFC 9112 2.2). */
#define LINE_END_BYTES 2
/* Where no more lie before us, whether a head ends there is found while it is read. */
#define WHOLE_HEAD_BYTES 2048

static void met(struct conn *conn, uint64_t tx_offset, uint64_t rx_offset)
{
	struct http1 *h = &conn->http1;

	*h = (struct http1){ .unjoined = !conn->from_start };
	h->streams[DIR_TX].next = tx_offset;
	h->streams[DIR_RX].next = rx_offset;
	if (h->unjoined)
		h->streams[DIR_TX].state = h->streams[DIR_RX].state = HTTP1_LOST;
}

static int detect(struct view first)
{
	bool sure;

	return http1__detect(first, &sure);
}

/* What this piece, as a whole, begins with: asked for more than once, found out once. */
static int kind_of(struct piece *p)
{
	if (!p->looked)
		p->kind = http1__detect(p->bytes, &p->kind_sure);
	p->looked = true;
	return p->kind;
}

/* Does it begin with a message of this kind? */
static bool begins(struct piece *p, int kind)
{
	int found = kind_of(p);

	return found == kind || (found && !p->kind_sure);
}

/* Empty lines before a request line are skipped (RFC 9112 2.2). */
static bool only_line_ends(struct view bytes)
{
	size_t n = 0;

	while (n < bytes.len && (bytes.at[n] == '\r' || bytes.at[n] == '\n'))
		n++;
	return n == bytes.len;
}

/* The first message says who sends requests. False: it is not one. */
static bool learn_role(struct conn *conn, struct piece *p)
{
	struct http1 *h = &conn->http1;
	bool late = !h->unjoined && p->offset > h->streams[p->dir].next;
	bool active = conn->role == SONDE_ROLE_ACTIVE;
	int kind = kind_of(p);
	bool sure = p->kind_sure;

	if (!kind && only_line_ends(p->bytes))
		sure = false;
	if (!sure && conn->known && conn->role != SONDE_ROLE_UNKNOWN)
		kind = (p->dir == DIR_TX) == active ? 1 : 2;
	/*
	 * What is met in mid-life may be in the middle of anything, and so may what comes after bytes
	 * that were not seen: only a whole start line will do, there at the start of a turn.
	 */
	if (!kind || !(p->flags & SONDE_F_START) ||
	    ((h->unjoined || late) && !http1__has_start_line(p->bytes)) ||
	    (late && !(p->flags & SONDE_F_TURN_START))) {
		p->fate = h->unjoined ? &conn->core->account->dropped_unjoined :
			  late	      ? &conn->core->account->dropped_ring :
					&conn->core->account->dropped_bad_head;
		return false;
	}
	h->request_dir = (uint8_t)(kind == 1 ? p->dir : direction_other(p->dir));
	h->role_known = true;
	return true;
}

/*
 * A turn begins with a request: whatever the other direction had to say before was said. What of
 * it was not seen is lost; where it stands now, the next response begins.
 */
static void new_turn(struct conn *conn, const struct piece *p)
{
	int dir = !p->dir;
	struct http1_stream *r = &conn->http1.streams[dir];

	switch (r->state) {
	case HTTP1_START:
	case HTTP1_HEAD:
		if (p->other_offset <= r->next)
			return;
		http1__responses_lost(conn);
		break;
	case HTTP1_CLOSE: /* or not: whoever asks again takes it for ended */
		r->state = HTTP1_UNTIL;
		r->quiet_ns = 0;
		/* fallthrough */
	case HTTP1_UNTIL:
		if (conn->first != conn->last) { /* neither can be told from the other */
			if (!r->quiet_ns)
				conn->http1.pipelines = conn->http1.uncounted = true;
			http1__responses_lost(conn);
			break;
		}
		if (!r->last_chunk || !r->quiet_ns || r->quiet_offset != p->other_offset) {
			/* Probably its end, unless this request did not wait for it: time will tell. */
			r->quiet_offset = p->other_offset;
			r->quiet_ns = p->other_ns;
			r->last_chunk = false;
			conn->http1.timer_steps = 0;
			conn__set_timer(conn, HTTP1_QUIET_NS);
			return;
		}
		http1__message_end(conn, dir, r->quiet_ns);
		return;
	case HTTP1_LOST:
		http1__responses_lost(conn);
		break;
	default:
		return;
	}
	if (conn->http1.given_up)
		return;
	/* LOST: a response counts only if it begins right here. */
	r->next = p->other_offset;
}

/*
 * Requests that were not seen came before this one. From a client that waits for each answer they
 * were answered by now; from any other, nobody knows how many answers are still to come.
 */
static void unseen_requests(struct conn *conn, const struct piece *p)
{
	const struct http1_stream *r = &conn->http1.streams[!p->dir];

	/* An answer that goes on, or none that was not seen as well: this client does not wait. */
	conn->http1.uncounted |= (conn->first && r->state == HTTP1_BODY) ||
				 (r->state == HTTP1_START && p->other_offset <= r->next);
	if (conn->http1.uncounted)
		http1__give_up(conn);
	else if (conn->first)
		http1__responses_lost(conn);
}

/* Has the other direction got further than its messages explain? */
static bool unseen_response(const struct conn *conn, const struct piece *p)
{
	const struct http1_stream *r = &conn->http1.streams[!p->dir];

	/* Out of step, what was seen explains nothing either. */
	if (r->state == HTTP1_LOST && conn->first)
		return p->other_offset > conn_exchange(conn->first)->response_from;
	/* Or one has probably ended, and bytes have followed it. */
	if (r->state == HTTP1_UNTIL && r->quiet_ns)
		return p->other_offset > r->quiet_offset;
	return (r->state == HTTP1_START || r->state == HTTP1_HEAD || r->state == HTTP1_LOST) &&
	       p->other_offset > r->next;
}

/* The first bytes of a turn, and of a request. */
static bool is_fresh(struct piece *p)
{
	return p->flags & SONDE_F_TURN_START && p->flags & SONDE_F_START && begins(p, 1);
}

/*
 * Does this request need nothing of what was given up? One that begins a turn was sent after the
 * answers to all before it, by a client of which it is not known that it does not wait.
 */
static bool rejoins(const struct conn *conn, struct piece *p)
{
	const struct http1 *h = &conn->http1;

	return !h->uncounted && http1__is_request(h, p->dir) && is_fresh(p);
}

/* Brings the request stream to the piece's first byte. */
static void reach_request(struct conn *conn, struct http1_stream *s, struct piece *p)
{
	uint64_t *lost = conn->http1.unjoined ? &conn->core->account->dropped_unjoined :
						&conn->core->account->dropped_ring;
	bool fresh = is_fresh(p);

	if (s->state == HTTP1_BODY && p->offset >= s->end)
		http1__message_end(conn, p->dir, s->seen_ns ?: p->ns);
	if (s->state == HTTP1_CHUNKS && http1__out_of_step(s, p->offset))
		s->state = HTTP1_UNTIL;
	if (s->state == HTTP1_HEAD && p->offset > s->next) {
		http1__drop(conn, s->ex, &conn->core->account->dropped_ring);
		s->state = HTTP1_LOST;
	}
	if (s->state == HTTP1_UNTIL && fresh) {
		/* The end of the request before was not seen, and others may have followed it. */
		if (conn->http1.uncounted) {
			http1__give_up(conn);
			return;
		}
		/* Until it is answered, seen or not, this is part of it. */
		if (s->ex && unseen_response(conn, p))
			http1__responses_lost(conn);
		if (conn->http1.given_up)
			return;
		if (!s->ex || s->ex->flags & EX_RESPONSE) {
			s->ex = NULL;
			s->state = HTTP1_START;
			s->next = p->offset;
		}
	}
	if (s->state == HTTP1_START && p->offset > s->next + (fresh ? LINE_END_BYTES : 0))
		s->state = HTTP1_LOST;
	if (s->state == HTTP1_LOST)
		p->fate = lost;
	if (!fresh || (s->state != HTTP1_LOST && s->state != HTTP1_START)) {
		if (s->ex != conn->first && p->flags & SONDE_F_START && begins(p, 1) &&
		    !unseen_response(conn, p))
			conn->http1.uncounted |= http1__overlaps(conn, p->turn);
		return;
	}
	if (s->state == HTTP1_LOST && !conn->http1.unjoined)
		unseen_requests(conn, p);
	if (!conn->http1.given_up)
		new_turn(conn, p);
	if (conn->http1.given_up)
		return;
	conn->http1.uncounted |= http1__overlaps(conn, p->turn);
	conn->http1.unjoined = false;
	s->state = HTTP1_START;
	s->next = p->offset;
}

/* Do more bytes follow the requests of the turn that is answered now than belong to them? */
static bool more_requests(const struct http1_stream *q, const struct piece *p)
{
	if (q->state == HTTP1_START)
		return q->turn + 1 == p->turn && p->other_offset > q->next + LINE_END_BYTES;
	return q->state == HTTP1_UNTIL && q->quiet_ns && q->quiet_turn + 1 == p->turn &&
	       p->other_offset > q->quiet_offset;
}

/* The same for the response stream. */
static void reach_response(struct conn *conn, struct http1_stream *s, struct piece *p)
{
	bool start = p->flags & SONDE_F_START && begins(p, 2);

	if (more_requests(&conn->http1.streams[!p->dir], p))
		conn->http1.uncounted = true;
	if (s->state == HTTP1_BODY && p->offset >= s->end) {
		/* Since its last bytes passed, others have the other way, unseen: nobody knows when. */
		if (!s->asked && s->turn != p->turn)
			http1__responses_lost(conn);
		else
			http1__message_end(conn, p->dir, s->asked ? s->asked_ns : p->ns);
	}
	if (s->state == HTTP1_CHUNKS && http1__out_of_step(s, p->offset))
		http1__out_of_sight(conn, p->dir);
	if (conn->http1.given_up)
		return;
	/* The start of this turn was lost: it may have been another response's. */
	if (s->state == HTTP1_UNTIL && s->turn != p->turn && !(p->flags & SONDE_F_TURN_START))
		http1__responses_lost(conn);
	if (s->state == HTTP1_UNTIL && start && s->quiet_ns && s->quiet_offset == p->offset)
		http1__message_end(conn, p->dir, s->quiet_ns);
	else if (s->state == HTTP1_UNTIL && s->quiet_ns &&
		 p->offset + p->bytes.len > s->quiet_offset)
		s->quiet_ns = 0; /* it goes on: that was not its end */
	if ((s->state == HTTP1_START || s->state == HTTP1_HEAD) && p->offset > s->next)
		http1__responses_lost(conn);
	/* A response where none can begin: the one before was taken for longer than it is. */
	if ((s->state == HTTP1_UNTIL || s->state == HTTP1_CLOSE) && start &&
	    p->flags & SONDE_F_TURN_START)
		http1__responses_lost(conn);
	if (s->state != HTTP1_LOST || !start || !(p->flags & SONDE_F_TURN_START))
		return;
	/* The first response after its request's turn began, or another's. */
	if (conn->first && conn_exchange(conn->first)->response_from != p->offset)
		http1__responses_lost(conn);
	else
		s->state = HTTP1_START;
}

/* Takes bytes into the head, up to its end. Returns how many were taken. */
static size_t take_head(struct conn *conn, struct http1_stream *s, struct piece *p,
			struct view bytes, uint64_t offset)
{
	bool request = http1__is_request(&conn->http1, p->dir);
	struct buf *text = request ? &s->ex->text : &s->ex->response_text;
	size_t room = SONDE_HEAD_MAX_BYTES - text->len, n;
	struct view v = { bytes.at, bytes.len < room ? bytes.len : room };
	bool ended;

	if (request)
		conn__claim(s->ex, p);
	if (!text->len && !s->carry && v.len <= WHOLE_HEAD_BYTES &&
	    http1__whole_head(conn, p, offset, v, request, &n))
		return n;
	conn_exchange(s->ex)->kept[request].head.end = 0;
	n = http1__find_head_end(v, &s->carry);
	ended = n;
	if (!n)
		n = v.len;
	buf__add(text, v.at, n);
	s->next = offset + n;
	if (text->err) {
		http1__drop(conn, s->ex, &conn->core->account->dropped_bound);
		s->state = HTTP1_LOST;
	} else if (ended || text->len == SONDE_HEAD_MAX_BYTES ||
		   (n == bytes.len && p->flags & SONDE_F_FAULT)) {
		(request ? http1__request_head : http1__response_head)(conn, p, offset + n, !ended);
	}
	return n;
}

static void keep_body(struct http1_stream *s, struct view bytes)
{
	struct exchange *ex = s->ex;
	size_t room;

	if (!ex || !(ex->flags & EX_EXPORT) || ex->flags & EX_BODY_PARTIAL)
		return;
	room = ex->body.max - ex->body.len;
	buf__add(&ex->body, bytes.at, bytes.len < room ? bytes.len : room);
	if (bytes.len > room || ex->body.err)
		ex->flags |= EX_BODY_PARTIAL;
}

static size_t take_chunks(struct conn *conn, struct http1_stream *s, struct piece *p,
			  struct view bytes, uint64_t offset)
{
	struct exchange *ex = s->ex;
	bool keep = http1__is_request(&conn->http1, p->dir) && ex && ex->flags & EX_EXPORT &&
		    !(ex->flags & EX_BODY_PARTIAL);
	size_t n = http1__chunk(&s->chunk, bytes, keep ? &ex->body : NULL);

	s->next = offset + n;
	if (keep && ex->body.err)
		ex->flags |= EX_BODY_PARTIAL;
	if (s->chunk.state == CHUNK_DONE) {
		s->state = HTTP1_BODY;
		s->end = s->next;
	} else if (s->chunk.state == CHUNK_BAD) {
		if (ex)
			ex->flags |= EX_AMBIGUOUS;
		http1__out_of_sight(conn, p->dir);
	}
	return n;
}

/* A message may begin here, after empty lines (RFC 9112 2.2). Returns how many bytes were taken. */
static size_t take_start(struct conn *conn, struct http1_stream *s, struct piece *p,
			 struct view bytes, uint64_t offset)
{
	bool request = http1__is_request(&conn->http1, p->dir), sure;
	size_t n = 0;
	int kind;

	while (request && n < bytes.len && (bytes.at[n] == '\r' || bytes.at[n] == '\n'))
		n++;
	s->next = offset + n;
	if (n == bytes.len)
		return n;
	if (bytes.at + n == p->bytes.at) {
		kind = kind_of(p);
		sure = p->kind_sure;
	} else {
		kind = http1__detect((struct view){ bytes.at + n, bytes.len - n }, &sure);
	}
	if (request && (kind == 1 || !sure)) {
		http1__begin_request(conn, p, offset + n);
	} else if (!request && kind == 2) {
		http1__begin_response(conn, p, offset + n);
	} else if (request) {
		p->fate = &conn->core->account->dropped_bad_head;
		s->state = HTTP1_LOST;
	} else {
		s->state = HTTP1_LOST;
		s->ex = NULL;
		if (conn->first && offset >= conn_exchange(conn->first)->response_from)
			http1__bad_response(conn, conn->first, p);
	}
	return n;
}

static void take_bytes(struct conn *conn, struct http1_stream *s, struct piece *p,
		       struct view bytes, uint64_t offset)
{
	while (bytes.len && !conn->http1.other_protocol && !conn->http1.given_up) {
		size_t n = bytes.len;

		switch (s->state) {
		case HTTP1_START:
			n = take_start(conn, s, p, bytes, offset);
			break;
		case HTTP1_HEAD:
			n = take_head(conn, s, p, bytes, offset);
			break;
		case HTTP1_BODY:
			if (s->end - offset < n)
				n = (size_t)(s->end - offset);
			if (http1__is_request(&conn->http1, p->dir))
				keep_body(s, (struct view){ bytes.at, n });
			s->next = offset + n;
			if (s->next == s->end && n < bytes.len)
				http1__message_end(conn, p->dir, p->ns);
			break;
		case HTTP1_CHUNKS:
			n = take_chunks(conn, s, p, bytes, offset);
			break;
		default:
			s->next = offset + n;
			break;
		}
		bytes.at += n;
		bytes.len -= n;
		offset += n;
	}
}

/* Bytes between what was seen and this piece went by without being captured. */
static void skip_to(struct http1_stream *s, uint64_t offset)
{
	uint64_t gap = offset - s->next;

	if (!gap)
		return;
	if (s->ex && (s->state == HTTP1_BODY || s->state == HTTP1_CHUNKS))
		s->ex->flags |= s->ex->flags & EX_EXPORT ? EX_BODY_PARTIAL : 0;
	if (s->state == HTTP1_CHUNKS) {
		s->chunk.size -= gap; /* within one chunk's data, else it would be out of step */
		s->chunk.total += gap;
		if (!s->chunk.size)
			s->chunk.state = CHUNK_DATA_END;
	}
	s->next = offset;
}

/* The call moved more bytes than were captured. */
static void call_ended(struct conn *conn, struct http1_stream *s, const struct piece *p)
{
	bool unsure = p->flags & SONDE_F_UNSURE;

	s->unsure |= unsure;
	if (!unsure || s->seen_offset < p->offset + p->bytes.len) {
		uint64_t to = unsure ? p->offset + p->bytes.len : p->call_end;

		if (to >= s->seen_offset) {
			s->seen_offset = to;
			s->seen_ns = p->ns;
		}
	}
	if (s->state != HTTP1_BODY || p->call_end < s->end)
		return;
	/* The rest of an export's body comes in further pieces of this call. */
	if (p->flags & SONDE_F_BODY && p->offset + p->bytes.len < p->call_end)
		return;
	if (!unsure || http1__is_request(&conn->http1, p->dir)) {
		http1__message_end(conn, p->dir, p->ns);
		return;
	}
	s->asked = true;
	s->asked_ns = p->ns;
	s->asked_bytes = p->call_end - p->offset;
}

static void piece(struct conn *conn, struct piece *p)
{
	struct http1 *h = &conn->http1;
	struct http1_stream *s = &h->streams[p->dir];
	struct view bytes = p->bytes;
	uint64_t offset = p->offset, end = offset + bytes.len;
	size_t usual;

	if (h->other_protocol)
		return;
	if (h->given_up && rejoins(conn, p))
		h->given_up = false;
	if (h->given_up)
		p->fate = &conn->core->account->dropped_ring;
	if (h->given_up || (!h->role_known && !learn_role(conn, p)))
		return;
	if (!bytes.len ||
	    end <= s->next) { /* nothing, or sent again: less had been taken than was asked */
		if (bytes.len)
			call_ended(conn, s, p);
		return;
	}
	if (offset < s->next) {
		bytes.at += s->next - offset;
		bytes.len -= s->next - offset;
		offset = s->next;
	}
	usual = http1__usual_head(conn, p);
	if (!usual) {
		(http1__is_request(h, p->dir) ? reach_request : reach_response)(conn, s, p);
		s->turn = p->turn;
	}
	bytes.at += usual;
	bytes.len -= usual;
	offset += usual;
	if (!h->given_up) {
		if (offset > s->next)
			skip_to(s, offset);
		take_bytes(conn, s, p, bytes, offset);
	}
	if (h->given_up)
		p->fate = &conn->core->account->dropped_ring;
	if (h->given_up || h->other_protocol)
		return;
	call_ended(conn, s, p);
	http1__watch(conn);
}

const struct proto proto_http1 = {
	.name = "http",
	.version = "1.1",
	.verdict = SONDE_VERDICT_HTTP1,
	.detect = detect,
	.met = met,
	.piece = piece,
	.passed = http1__passed,
	.last_chunk = http1__last_chunk,
	.shut = http1__shut,
	.cut = http1__cut,
	.slot = http1__slot,
	.timer = http1__timer,
	.describe = http1__describe,
	.header = http1__header,
};
