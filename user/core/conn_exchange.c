// SPDX-License-Identifier: Apache-2.0
#include "core/conn.h"

#include <stdlib.h>
#include <string.h>

/*
 * The key that both ends compute alike. A connection met in mid-life does not say who opened it;
 * then whoever sends requests did, and its tx base, which counts its SYN, is one too low. piece is needed for
 * that alone: inside TLS it may be NULL.
 */
static void set_edge(const struct conn *conn, const struct piece *piece, uint64_t offset,
		     struct edge *edge)
{
	bool active = conn->role == SONDE_ROLE_ACTIVE;
	uint32_t base[2] = { conn->base[DIR_RX], conn->base[DIR_TX] };

	*edge = (struct edge){ .offset = offset };
	if (!conn->known)
		return;
	if (conn->endpoints.family == SONDE_AF_UNIX) {
		/* Nothing but the bytes seen says where a Unix stream is. */
		edge->known = conn->from_start && !conn->adrift;
		edge->unix_pair = true;
		memcpy(edge->pair, conn->pair, sizeof(edge->pair));
		return;
	}
	if (conn->carried) {
		/* Nothing but the bytes seen says where a stream of plaintext is. */
		edge->known = conn->from_start && conn->pair[0] && conn->role != SONDE_ROLE_UNKNOWN;
		edge->stream = EDGE_CARRIED;
	}
	if (conn->role == SONDE_ROLE_UNKNOWN && !conn->carried) {
		active = piece->dir == DIR_TX;
		if (active) {
			base[DIR_TX]++;
			edge->offset--;
		}
	}
	edge->known |= !conn->carried;
	edge->client_base = base[active ? DIR_TX : DIR_RX];
	edge->server_base = base[active ? DIR_RX : DIR_TX];
}

/* More than one request in a turn: which of them a thread works on cannot be known. */
static void number_in_turn(struct conn *conn, struct exchange *ex, uint32_t turn)
{
	if (conn->turn != turn || !turn) {
		conn->turn = turn;
		conn->index = 0;
		return;
	}
	ex->index = ++conn->index;
	ex->flags |= EX_NOT_ALONE;
	/* Those before the last one have been told already. */
	if (conn->last && conn->last->turn.turn == turn)
		conn->last->flags |= EX_NOT_ALONE;
}

static void link_open(struct conn *conn, struct exchange *ex)
{
	struct core *core = conn->core;
	struct conn_exchange *x = conn_exchange(ex);

	x->conn = conn;
	x->prev = NULL;
	x->next = core->open;
	if (core->open)
		core->open->prev = x;
	core->open = x;
	ex->next = NULL;
	*(conn->first ? &conn->last->next : &conn->first) = ex;
	conn->last = ex;
	conn->open++;
}

static void unlink_open(struct conn *conn, struct exchange *ex)
{
	struct core *core = conn->core;
	struct conn_exchange *x = conn_exchange(ex);
	struct exchange **at = &conn->first, *before = NULL;

	*(x->prev ? &x->prev->next : &core->open) = x->next;
	if (x->next)
		x->next->prev = x->prev;
	x->prev = x->next = NULL;
	x->conn = NULL;
	for (; *at != ex; at = &(*at)->next)
		before = *at;
	*at = ex->next;
	if (conn->last == ex)
		conn->last = before;
	ex->next = NULL;
	conn->open--;
	core->account->ex_open--;
}

void conn__claim(struct exchange *ex, struct piece *piece)
{
	struct conn_exchange *x = conn_exchange(ex);

	if (!piece->begun || x->begun)
		return;
	x->begun = true;
	piece->begun = false;
	x->conn->core->account->ex_inside--;
}

/* The hellos were told before what is inside. */
static const struct tls_info *tls_of(struct conn *conn)
{
	const struct tls_info *info;
	const struct conn *carrier;

	if (conn->said || !conn->carried || !conn->pair[0])
		return conn->said;
	carrier = conn__find(conn->core, conn->pair[0]);
	info = carrier ? tls__info(carrier) : NULL;
	if (!info)
		return NULL;
	conn->said = malloc(sizeof(*conn->said));
	if (conn->said)
		*conn->said = *info;
	return conn->said;
}

void conn__learned(struct conn *conn)
{
	for (struct exchange *ex = conn->first; ex; ex = ex->next) {
		const uint32_t stream = ex->edge.stream;

		ex->endpoints = conn->endpoints;
		ex->tls = tls_of(conn);
		if (!conn->from_start)
			continue;
		ex->flags &= ~(uint32_t)EX_MID;
		set_edge(conn, NULL, ex->edge.offset, &ex->edge);
		/* HTTP/2 finds its exchanges by it */
		if (stream)
			ex->edge.stream = stream;
		if (conn_exchange(ex)->announced)
			tracer__learned(conn->core->tracer, ex);
	}
}

struct exchange *conn__open(struct conn *conn, struct piece *piece, uint64_t offset,
			    const struct proto *proto)
{
	struct account_trace *account = conn->core->account;
	struct exchange *ex = NULL;

	if (conn->open < CONN_EXCHANGES_MAX)
		ex = exchange_pool__get(conn->core->pool);
	account->ex_user_begun++;
	/* Until a record that the kernel counted stands for it, it began inside of one. */
	account->ex_inside++;
	if (!ex) {
		account->ex_inside -= piece->begun;
		piece->begun = false;
		account->dropped_bound++;
		return NULL;
	}
	account->ex_open++;
	ex->proto = proto;
	ex->side = piece->dir == DIR_RX ? SIDE_SERVER : SIDE_CLIENT;
	ex->flags = (conn->from_start ? 0 : EX_MID) | (conn->carried ? EX_CARRIED : 0);
	ex->tls = conn->carried ? tls_of(conn) : NULL;
	ex->process = piece->process;
	ex->tid = piece->tid;
	ex->turn = (struct sonde_turn_ref){ conn->id, piece->turn, piece->tid };
	ex->endpoints = conn->endpoints;
	ex->start_ns = piece->ns;
	if (ex->side == SIDE_CLIENT)
		ex->evidence = *piece->evidence;
	set_edge(conn, piece, offset, &ex->edge);
	number_in_turn(conn, ex, piece->turn);
	conn_exchange(ex)->response_from = piece->other_offset;
	link_open(conn, ex);
	conn__claim(ex, piece);
	return ex;
}

void conn__announce(struct conn *conn, struct exchange *ex)
{
	if (conn_exchange(ex)->announced)
		return;
	conn_exchange(ex)->announced = true;
	tracer__request(conn->core->tracer, ex);
}

void conn__end(struct conn *conn, struct exchange *ex, uint64_t end_ns)
{
	conn__announce(conn, ex);
	/* Records of two processors may be out of order by a hair. */
	ex->end_ns = end_ns > ex->start_ns ? end_ns : ex->start_ns;
	unlink_open(conn, ex);
	if (conn->core->shed_share && !conn->shed) {
		conn->shed_sends = ex->side == SIDE_CLIENT;
		conn__shed_busy(conn, ex->end_ns);
	}
	tracer__end(conn->core->tracer, ex);
}

void conn__cut(struct conn *conn, struct exchange *ex, uint64_t end_ns, const char *error_type)
{
	ex->flags |= EX_CUT;
	ex->error_type = error_type;
	conn__end(conn, ex, end_ns);
}

void conn__drop(struct conn *conn, struct exchange *ex, uint64_t *reason)
{
	unlink_open(conn, ex);
	/* Where other spans refer to it, it became a span after all. */
	if (!conn_exchange(ex)->announced || !tracer__abandon(conn->core->tracer, ex))
		++*reason;
	exchange__free(ex);
}

void conn__watermark(struct conn *conn, enum direction dir, uint64_t offset)
{
	const struct engine_out *out = conn->core->out;

	if (conn->slot != ~0u && out->watermark)
		out->watermark(out->arg, conn->slot, conn->id, dir == DIR_TX, offset);
}

void conn__want_slot(struct conn *conn)
{
	const struct engine_out *out = conn->core->out;

	if (conn->slot != ~0u && out->want_slot)
		out->want_slot(out->arg, conn->slot, conn->id);
}

void conn__ignore(struct conn *conn)
{
	const struct engine_out *out = conn->core->out;

	conn->shed = false; /* that ends some time, this does not */
	if (conn->slot != ~0u && out->wish)
		out->wish(out->arg, conn->slot, conn->id, SONDE_WISH_IGNORE);
}

void conn__set_timer(struct conn *conn, uint64_t after_ns)
{
	struct core *core = conn->core;

	if (after_ns)
		wheel__set(&core->wheel, &conn->timer, core->now_ns, after_ns);
	else
		wheel__clear(&core->wheel, &conn->timer);
}
