// SPDX-License-Identifier: Apache-2.0
/* What each kind of record and message means to a connection. */
#include "core/conn.h"
#include "core/proto/http2.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static void set_known(struct conn *conn, const struct sonde_rec_conn *rec)
{
	conn->known = true;
	conn->from_start = rec->from_start;
	conn->role = rec->role;
	conn->slot = rec->slot;
	conn->process = (struct process_key){ rec->tgid, rec->tgid_start_ns };
	conn->endpoints.family = rec->family;
	conn->endpoints.local_port = rec->local_port;
	conn->endpoints.remote_port = rec->remote_port;
	conn->endpoints.netns = rec->netns;
	memcpy(conn->endpoints.local, rec->local, sizeof(rec->local));
	memcpy(conn->endpoints.remote, rec->remote, sizeof(rec->remote));
	conn->base[DIR_TX] = rec->tx_base;
	conn->base[DIR_RX] = rec->rx_base;
	memcpy(conn->pair, rec->pair, sizeof(conn->pair));
	conn->carried = rec->carried;
}

/*
 * Inside TLS: the socket was found out after the first bytes. Who has told of his request already has told
 * of no ends; what is open learns of them.
 */
static void learn_ends(struct conn *conn, const struct sonde_rec_conn *rec)
{
	if (!conn->carried || conn->pair[0] || !rec->carried || !rec->pair[0])
		return;
	set_known(conn, rec);
	conn__learned(conn);
}

void conn__on_conn(struct core *core, const struct sonde_rec_conn *rec)
{
	const struct proto *proto = proto__by_verdict(rec->verdict);
	struct conn *conn = conn__find(core, rec->h.conn);

	if (!proto) {
		if (rec->verdict != SONDE_VERDICT_NONE)
			core->account->conns_other++;
		return;
	}
	if (conn && conn->known) {
		learn_ends(conn, rec);
		return;
	}
	if (!conn) {
		conn = conn__add(core, rec->h.conn);
		if (!conn)
			return;
		conn->proto = proto;
		set_known(conn, rec);
		proto->met(conn, rec->tx_offset, rec->rx_offset);
	} else {
		set_known(conn, rec);
	}
	core->account->conns_decoded++;
}

/*
 * A connection whose CONN record was lost, or that had to make room: what it carries is still
 * worth a span, without endpoints and without an edge. It joins where a message begins.
 */
static struct conn *add_unknown(struct core *core, const struct sonde_rec_data *rec,
				struct view payload, uint64_t other)
{
	const struct proto *proto = proto__by_bytes(payload);
	bool tx = rec->h.flags & SONDE_F_TX;
	struct conn *conn;

	if (!(rec->h.flags & SONDE_F_START) || !proto)
		return NULL;
	conn = conn__add(core, rec->h.conn);
	if (!conn)
		return NULL;
	conn->proto = proto;
	conn->process = (struct process_key){ rec->tgid, rec->tgid_start_ns };
	proto->met(conn, tx ? rec->offset : other, tx ? other : rec->offset);
	return conn;
}

/* What a record says, as it is told or as it is known from those before it. */
struct told {
	const struct sonde_rec_data *rec;
	struct sonde_rec_more more;
	const void *payload;
};

/* A record that is kept back, with its payload. */
struct early {
	struct sonde_rec_data rec;
	struct sonde_rec_more more;
	uint8_t payload[];
};

/*
 * Of the other direction the usual record tells the low half of its offset: not less than was told before,
 * and more where records of it were lost.
 */
static void known_before(const struct conn *conn, struct told *t)
{
	enum direction other = t->rec->h.flags & SONDE_F_TX ? DIR_RX : DIR_TX;
	uint64_t told = conn ? conn->told[other] : 0;
	uint32_t more = t->rec->other_low - (uint32_t)told;

	t->more = (struct sonde_rec_more){ .other_offset = told + more };
	if (conn && !more)
		t->more.other_ns = conn->told_ns[other];
}

static uint64_t call_end_of(const struct sonde_rec_data *rec)
{
	return rec->offset + (rec->call_bytes > rec->copied ? rec->call_bytes : rec->copied);
}

static void note_told(struct conn *conn, const struct sonde_rec_data *rec)
{
	enum direction dir = rec->h.flags & SONDE_F_TX ? DIR_TX : DIR_RX;

	conn->told[dir] = call_end_of(rec);
	conn->told_ns[dir] = rec->h.ns;
}

/* before: where the other direction stood at these bytes. */
static void feed(struct core *core, struct conn *conn, const struct told *t, uint64_t before)
{
	const struct sonde_rec_data *rec = t->rec;
	/* Every member, so that nothing is cleared before it is written. */
	struct piece piece = {
		.dir = rec->h.flags & SONDE_F_TX ? DIR_TX : DIR_RX,
		.flags = rec->h.flags,
		.offset = rec->offset,
		.bytes = { t->payload, rec->copied },
		.call_end = call_end_of(rec),
		.ns = rec->h.ns,
		.other_offset = before,
		.other_ns = t->more.other_ns,
		.turn = rec->turn,
		.tid = rec->tid,
		.process = { rec->tgid, rec->tgid_start_ns },
		.evidence = &t->more.evidence,
		.begun = rec->h.flags & SONDE_F_BEGUN,
		.fate = &core->account->dropped_ring,
		.looked = false,
		.kind_sure = false,
		.kind = 0,
	};

	if (!conn) {
		conn = add_unknown(core, rec, piece.bytes, t->more.other_offset);
		if (conn)
			note_told(conn, rec);
	}
	if (conn) {
		conn__touch(conn);
		if (rec->h.flags & SONDE_F_GAP_BEFORE && conn->endpoints.family == SONDE_AF_UNIX)
			conn->adrift = true;
		if (t->more.other_ns && before == t->more.other_offset)
			conn->proto->passed(conn, direction_other(piece.dir), before,
					    t->more.other_ns, true);
		piece.fate = &core->account->filtered_continuation;
		conn->proto->piece(conn, &piece);
	}
	if (piece.begun)
		++*piece.fate;
}

/*
 * Where hooks fire after a call, one thread's read of a response may be told before another's write
 * of the request. The kernel side leaves the turn between free for it, and a response to no request
 * is kept for as long as nothing else comes of this connection.
 */
static bool keep_early(struct conn *conn, const struct told *t)
{
	const uint16_t flags = SONDE_F_EARLY | SONDE_F_START;

	if ((t->rec->h.flags & (flags | SONDE_F_TX)) != flags || conn->first)
		return false;
	conn->early = malloc(sizeof(*conn->early) + t->rec->copied);
	if (!conn->early)
		return false;
	conn->early->rec = *t->rec;
	conn->early->more = t->more;
	memcpy(conn->early->payload, t->payload, t->rec->copied);
	return true;
}

/* What came early has its turn now. */
static void feed_early(struct core *core, struct conn *conn)
{
	struct early *early = conn->early;
	struct told t;

	if (!early)
		return;
	conn->early = NULL;
	t = (struct told){ &early->rec, early->more, early->payload };
	feed(core, conn, &t, t.more.other_offset);
	free(early);
}

static bool is_awaited(const struct conn *conn, const struct sonde_rec_data *rec)
{
	return conn->early && (rec->h.flags & SONDE_F_TX) && rec->turn + 1 == conn->early->rec.turn;
}

void conn__on_data(struct core *core, const struct sonde_rec_data *rec,
		   const struct sonde_rec_more *more, const void *payload)
{
	struct conn *conn = conn__find(core, rec->h.conn);
	struct told t = { .rec = rec, .payload = payload };

	if (more)
		t.more = *more;
	else
		known_before(conn, &t);
	if (conn) {
		note_told(conn, rec);
		if (is_awaited(conn, rec)) {
			feed(core, conn, &t, conn->early->rec.offset);
			feed_early(core, conn);
			return;
		}
		feed_early(core, conn);
		if (keep_early(conn, &t))
			return;
	}
	feed(core, conn, &t, t.more.other_offset);
}

void conn__on_frames(struct core *core, const struct sonde_rec_frames *rec, const uint8_t *payload)
{
	struct conn *conn = conn__find(core, rec->h.conn);
	bool tx = rec->h.flags & SONDE_F_TX;

	if (!conn) {
		conn = conn__add(core, rec->h.conn);
		if (!conn) {
			core->account->dropped_bound += rec->begun;
			return;
		}
		conn->process = (struct process_key){ rec->tgid, rec->tgid_start_ns };
	}
	/* what said that it would be was lost */
	if (conn->proto == &proto_http1 && conn->first && conn->first == conn->last &&
	    http1__asks_http2(conn->first))
		http1__becomes_http2(conn, conn->first);
	if (conn->proto != &proto_http2) {
		/* its CONN record was lost, or what came before cannot be told any more */
		if (conn->proto && conn->first)
			conn->proto->cut(conn, NULL, rec->h.ns, CUT_UNSEEN);
		if (conn->proto && conn->proto->forget)
			conn->proto->forget(conn);
		conn->proto = &proto_http2;
		proto_http2.met(conn, tx ? rec->offset : 0, tx ? 0 : rec->offset);
	}
	conn__touch(conn);
	conn->proto->frames(conn, rec, payload);
}

void conn__on_stream(struct core *core, const struct sonde_rec_stream *rec)
{
	struct conn *conn = conn__find(core, rec->h.conn);

	if (conn && conn->http2)
		http2__counted(conn, rec);
}

void conn__on_end(struct core *core, const struct sonde_rec_end *rec)
{
	struct conn *conn = conn__find(core, rec->h.conn);
	int dir = rec->h.flags & SONDE_F_TX ? DIR_TX : DIR_RX;

	if (!conn)
		return;
	feed_early(core, conn);
	conn__touch(conn);
	if (rec->h.flags & SONDE_F_LAST_CHUNK)
		conn->proto->last_chunk(conn, dir, rec->turn, rec->offset, rec->h.ns);
	else
		conn->proto->passed(conn, dir, rec->offset, rec->h.ns, true);
}

static bool is_of(const struct exchange *ex, const struct process_key *key)
{
	return ex->process.tgid == key->tgid && ex->process.start_ns == key->start_ns;
}

/* What is open of this process on any connection is cut off. */
static void cut_process(struct core *core, const struct process_key *key, uint64_t ns,
			enum cut_reason why)
{
	struct conn_exchange *x = core->open;

	while (x) {
		struct conn *conn = x->conn;

		if (!is_of(&x->ex, key)) {
			x = x->next;
			continue;
		}
		/* Others of the list may end with it: begin again. */
		conn->proto->cut(conn, key, ns, why);
		x = core->open;
	}
}

static void cut_first_ended(struct core *core)
{
	struct ended_process ended = core->ended[0];

	core->n_ended--;
	memmove(core->ended, core->ended + 1, core->n_ended * sizeof(ended));
	cut_process(core, &ended.key, ended.ns, CUT_EXIT);
	tracer__process_gone(core->tracer, ended.key);
}

/* It is closed, and how far it got is known: what is still open was cut off by its process' end. */
static void cut_ended(struct core *core, struct conn *conn)
{
	for (unsigned int i = 0; i < core->n_ended && conn->first; i++)
		conn->proto->cut(conn, &core->ended[i].key, core->ended[i].ns, CUT_EXIT);
}

void conn__on_gone(struct core *core, const struct sonde_rec_gone *rec)
{
	struct conn *conn = conn__find(core, rec->h.conn);
	bool reset = rec->h.flags & SONDE_F_RESET;

	if (!conn)
		return;
	feed_early(core, conn);
	conn->proto->passed(conn, DIR_TX, rec->tx_offset, rec->tx_ns, true);
	conn->proto->passed(conn, DIR_RX, rec->rx_offset, rec->rx_ns, true);
	cut_ended(core, conn);
	if (rec->h.type == SONDE_REC_GONE) {
		if (rec->h.flags & SONDE_F_UNSEEN)
			conn->proto->cut(conn, NULL, rec->h.ns, CUT_UNSEEN);
		conn->proto->cut(conn, NULL, rec->h.ns, reset ? CUT_RESET : CUT_CLOSED);
		conn__remove(conn);
	} else if (reset) {
		conn->proto->cut(conn, NULL, rec->h.ns, CUT_RESET);
	} else {
		conn->proto->shut(conn, rec->h.flags & SONDE_F_TX ? DIR_TX : DIR_RX, rec->h.ns);
	}
}

void conn__on_process_end(struct core *core, const struct sonde_rec_proc *rec)
{
	struct process_key key = { rec->tgid, rec->tgid_start_ns };
	struct conn_exchange *x;

	if (rec->h.type == SONDE_REC_EXEC)
		cut_process(core, &key, rec->h.ns, CUT_EXEC);
	/* of one that has ended only what is still open is waited for */
	for (x = core->open; x && !is_of(&x->ex, &key);)
		x = x->next;
	if (!x) {
		tracer__process_gone(core->tracer, key);
		return;
	}
	if (core->n_ended == CORE_ENDED_MAX)
		cut_first_ended(core);
	core->ended[core->n_ended++] =
		(struct ended_process){ key, rec->h.ns, core->now_ns + ENDED_WAIT_NS };
}

void conn__on_slot(struct core *core, const struct sonde_slot *slot)
{
	struct conn *conn = conn__find(core, slot->conn);

	if (conn)
		conn->proto->slot(conn, slot);
}

void conn__on_timers(struct core *core)
{
	struct wheel_timer *timer;

	while ((timer = wheel__expired(&core->wheel, core->now_ns))) {
		struct conn *conn = (struct conn *)((char *)timer - offsetof(struct conn, timer));

		conn->proto->timer(conn);
	}
	while (core->n_ended && core->ended[0].due_ns <= core->now_ns)
		cut_first_ended(core);
}

void conn__on_input_end(struct core *core)
{
	uint64_t ns = core->last_ns > core->now_ns ? core->last_ns : core->now_ns;

	while (core->n_ended)
		cut_first_ended(core);
	while (core->open) {
		struct conn *conn = core->open->conn;

		conn->proto->cut(conn, NULL, ns, CUT_TRACING_ENDED);
	}
}
