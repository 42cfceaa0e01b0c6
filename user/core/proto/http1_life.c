// SPDX-License-Identifier: Apache-2.0
/*
 * What is known of a stream beside its captured bytes: how far it has got (records of the other
 * direction, END records, slots), that it is quiet, that it is over.
 */
#include "core/conn.h"

/* The slot of a connection's last exchange is looked at after so long, then ever more seldom. */
#define SLOT_FIRST_NS 200000000ull
#define SLOT_LAST_NS 5000000000ull
/*
 * Where only asked bytes are known: a call of so many is taken whole, unless the other end has
 * stopped reading, and is believed at the first look; a larger one when nothing has moved for long.
 */
#define ASKED_SMALL_BYTES 65536

static const char *const cut_error[] = {
	[CUT_RESET] = "connection_reset",      [CUT_CLOSED] = "connection_closed",
	[CUT_EXIT] = "process_exit",	       [CUT_EXEC] = "process_exec",
	[CUT_TRACING_ENDED] = "tracing_ended",
};

static struct http1_stream *response_stream(struct conn *conn)
{
	return &conn->http1.streams[!conn->http1.request_dir];
}

static bool is_idle(const struct conn *conn)
{
	const struct http1 *h = &conn->http1;

	return !h->role_known || h->other_protocol || h->given_up;
}

bool http1__out_of_step(const struct http1_stream *s, uint64_t offset)
{
	uint64_t reach = s->next;

	if (s->chunk.state == CHUNK_DATA)
		reach += s->chunk.size;
	return offset > reach;
}

void http1__passed(struct conn *conn, int dir, uint64_t offset, uint64_t ns, bool exact)
{
	struct http1_stream *s = &conn->http1.streams[dir];

	if (is_idle(conn))
		return;
	if (offset >= s->seen_offset) {
		s->seen_offset = offset;
		if (ns) /* 0: no hook has ever seen this direction */
			s->seen_ns = ns;
	}
	if (s->state == HTTP1_BODY && offset >= s->end)
		http1__message_end(conn, dir, s->asked && offset > s->end ? s->asked_ns : ns);
	else if (s->state == HTTP1_CHUNKS && exact && http1__out_of_step(s, offset))
		http1__out_of_sight(conn, dir);
}

void http1__last_chunk(struct conn *conn, int dir, uint32_t turn, uint64_t offset, uint64_t ns)
{
	struct http1_stream *s = &conn->http1.streams[dir];

	if (is_idle(conn))
		return;
	if (turn != s->turn && !http1__is_request(&conn->http1, dir)) {
		/* The start of this turn was not seen: whose chunk that is, nobody knows. */
		http1__responses_lost(conn);
		return;
	}
	http1__passed(conn, dir, offset, ns, true);
	if (s->state != HTTP1_UNTIL || !s->ex || offset < s->next)
		return;
	s->quiet_offset = offset;
	s->quiet_ns = ns;
	s->quiet_turn = turn;
	s->last_chunk = true;
	if (!http1__is_request(&conn->http1, dir) && conn->slot != ~0u)
		conn__set_timer(conn, HTTP1_QUIET_NS);
}

void http1__watch(struct conn *conn)
{
	struct http1_stream *r = response_stream(conn);
	bool tx = conn->http1.request_dir == DIR_RX;

	if (r->watched || !r->ex || r->state != HTTP1_BODY || conn->slot == ~0u)
		return;
	r->watched = true;
	if (!r->asked) {
		r->watermark = true;
		conn__watermark(conn, tx ? DIR_TX : DIR_RX, r->end);
	}
	/* The end may have passed before the watermark was set. */
	if (!r->unsure)
		conn__want_slot(conn);
	conn->http1.timer_steps = 0;
	conn->http1.timer_read = false;
	conn__set_timer(conn, SLOT_FIRST_NS);
}

void http1__timer(struct conn *conn)
{
	struct http1_stream *r = response_stream(conn);
	uint64_t after_ns = SLOT_FIRST_NS;

	if (is_idle(conn) || !r->ex ||
	    (r->state != HTTP1_BODY && !(r->state == HTTP1_UNTIL && r->quiet_ns)))
		return;
	conn->http1.timer_read = true;
	conn__want_slot(conn);
	for (unsigned int i = 0; i <= conn->http1.timer_steps && after_ns < SLOT_LAST_NS; i++)
		after_ns *= 2;
	if (conn->http1.timer_steps < 8)
		conn->http1.timer_steps++;
	conn__set_timer(conn, after_ns < SLOT_LAST_NS ? after_ns : SLOT_LAST_NS);
}

/* Was all taken of what the last call asked for? Nothing else has been asked for since. */
static bool is_taken(const struct conn *conn, const struct http1_stream *r, uint64_t ns)
{
	return r->asked_bytes <= ASKED_SMALL_BYTES || ns + SLOT_LAST_NS <= conn->core->now_ns;
}

/*
 * A slot may be ahead of the records: where it says more than is known here, they will tell. Where
 * calls are seen at their start only, it says what was asked for: that counts after a time of quiet.
 */
static void response_slot(struct conn *conn, struct http1_stream *r, uint64_t offset, uint64_t ns,
			  bool quiet)
{
	int dir = !conn->http1.request_dir;

	if (r->state == HTTP1_BODY && offset >= r->end && ns) {
		if (quiet ? !r->unsure || is_taken(conn, r, ns) : !r->unsure && offset == r->end)
			http1__message_end(conn, dir, ns);
	} else if (r->state == HTTP1_UNTIL && r->quiet_ns && quiet) {
		if (offset == r->quiet_offset)
			http1__message_end(conn, dir, r->quiet_ns);
		else if (offset > r->quiet_offset && conn->first == conn->last)
			r->quiet_ns = 0; /* else it may be the next response that has come */
	}
}

void http1__slot(struct conn *conn, const struct sonde_slot *slot)
{
	uint64_t offset[2] = { slot->rx_offset, slot->tx_offset };
	uint64_t ns[2] = { slot->rx_ns, slot->tx_ns };
	int dir = conn->http1.request_dir;
	struct http1_stream *q = &conn->http1.streams[dir], *r = response_stream(conn);
	bool quiet = conn->http1.timer_read;

	if (is_idle(conn))
		return;
	conn->http1.timer_read = false;
	if (q->state == HTTP1_BODY && offset[dir] == q->end && ns[dir])
		http1__message_end(conn, dir, ns[dir]);
	if (r->ex)
		response_slot(conn, r, offset[!dir], ns[!dir], quiet);
}

/* Is a response, of which at least the head was seen, as whole as can be known? */
static bool is_whole(const struct http1_stream *r, const struct exchange *ex, enum cut_reason why)
{
	if (why == CUT_RESET)
		return false;
	switch (r->state) {
	case HTTP1_BODY: /* after CLOSED offsets are final */
		return r->asked && why != CUT_CLOSED;
	case HTTP1_UNTIL:
		return true;
	case HTTP1_CLOSE: /* the kernel closes what an ended server leaves open */
		return why == CUT_CLOSED || (why == CUT_EXIT && ex->side == SIDE_SERVER);
	default:
		return false;
	}
}

/* The request's head, or the response's, is as long as it will ever be. */
static void finish_heads(struct conn *conn, struct exchange *ex, uint64_t ns)
{
	struct http1_stream *q = &conn->http1.streams[conn->http1.request_dir];
	struct http1_stream *r = response_stream(conn);
	struct piece piece = { .ns = ns };
	struct http1_head head;

	if (q->ex == ex && q->state == HTTP1_HEAD)
		http1__request_head(conn, &piece, q->next, true);
	else if (r->ex == ex && r->state == HTTP1_HEAD && !http1__parse_response_head(ex, &head)) {
		ex->flags |= EX_HEAD_PARTIAL;
		if (head.status >= 200)
			ex->status = head.status;
	}
}

static void cut_one(struct conn *conn, struct exchange *ex, uint64_t ns, enum cut_reason why)
{
	struct http1_stream *q = &conn->http1.streams[conn->http1.request_dir];
	struct http1_stream *r = response_stream(conn);
	uint32_t open = conn->open;

	finish_heads(conn, ex, ns);
	if (conn->open != open)
		return; /* no request after all, and dropped as that */
	if (r->ex == ex && is_whole(r, ex, why)) {
		http1__message_end(conn, !conn->http1.request_dir,
				   r->state == HTTP1_BODY ? r->asked_ns :
				   r->quiet_ns		  ?:
							    r->seen_ns);
		return;
	}
	if (r->ex == ex)
		r->state = HTTP1_LOST;
	if (q->ex == ex)
		q->state = HTTP1_LOST;
	http1__detach(conn, ex);
	conn__cut(conn, ex, ns, cut_error[why]);
}

/* Were answers to what is open among the bytes that nobody saw? */
static bool unseen_answers(const struct conn *conn, const struct http1_stream *r)
{
	if (r->state == HTTP1_LOST)
		return conn->first && r->seen_offset > conn_exchange(conn->first)->response_from;
	return (r->state == HTTP1_START || r->state == HTTP1_HEAD) && r->seen_offset > r->next;
}

void http1__cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why)
{
	struct http1_stream *r = response_stream(conn);
	struct exchange *ex, *next;

	/* Not cut off: answered, or being answered, in bytes that were not seen. */
	if (why == CUT_UNSEEN || unseen_answers(conn, r))
		http1__responses_lost(conn);
	else if (r->state == HTTP1_UNTIL && conn->first != conn->last)
		http1__give_up(conn);
	for (ex = conn->first; ex; ex = next) {
		next = ex->next;
		if (process && (ex->process.tgid != process->tgid ||
				ex->process.start_ns != process->start_ns))
			continue;
		cut_one(conn, ex, ns, why);
		/* A request that was none takes those beside it along. */
		if (!conn->first)
			break;
	}
	if (!conn->first)
		conn__set_timer(conn, 0);
}

void http1__shut(struct conn *conn, int dir, uint64_t ns)
{
	/* A client that will send no more may still read the answer. */
	if (!is_idle(conn) && !http1__is_request(&conn->http1, dir))
		http1__cut(conn, NULL, ns, CUT_CLOSED);
}
