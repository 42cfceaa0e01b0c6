// SPDX-License-Identifier: Apache-2.0
/* A connection that speaks TLS: its two hellos are gathered and read, the rest is nobody's to read. */
#include "core/proto/tls.h"

#include <stdlib.h>
#include <string.h>

#include "core/conn.h"

/* Memory of hellos that are not whole yet, of all connections: what does not fit is not read. */
#define GATHERED_MAX_BYTES (1u << 20)

/* The first bytes of one direction. */
struct gathered {
	uint16_t len, size;
	uint8_t bytes[];
};

struct tls {
	struct gathered *hello[2]; /* by enum direction; NULL: none yet, or it was read */
	bool done[2];
	struct tls_info info;
};

static int detect(struct view first)
{
	return 0; /* the kernel says what is TLS, or nobody */
}

static void met(struct conn *conn, uint64_t tx_offset, uint64_t rx_offset)
{
	conn->tls = calloc(1, sizeof(*conn->tls));
}

static void drop(struct conn *conn, int dir)
{
	struct tls *tls = conn->tls;

	if (tls->hello[dir])
		conn->core->hello_bytes -= tls->hello[dir]->size;
	free(tls->hello[dir]);
	tls->hello[dir] = NULL;
}

/* Client or server: each says by itself what it is. */
static void read_hello(struct conn *conn, int dir, struct view bytes)
{
	struct tls *tls = conn->tls;
	int client = tls__read_client_hello(bytes, &tls->info);
	int server = client < 0 ? tls__read_server_hello(bytes, &tls->info) : 0;

	tls->done[dir] = client > 0 || server > 0 || (client < 0 && server < 0);
}

/* What is not whole yet waits for the next piece. */
static void gather(struct conn *conn, const struct piece *piece)
{
	struct tls *tls = conn->tls;
	struct gathered *g = tls->hello[piece->dir];
	size_t have = g ? g->len : 0, size = have + piece->bytes.len;

	if (piece->offset != have || size > SONDE_TLS_HELLO_BYTES ||
	    conn->core->hello_bytes + piece->bytes.len > GATHERED_MAX_BYTES)
		goto lost;
	g = realloc(g, sizeof(*g) + size);
	if (!g)
		goto lost;
	tls->hello[piece->dir] = g;
	memcpy(g->bytes + have, piece->bytes.at, piece->bytes.len);
	g->len = g->size = (uint16_t)size;
	conn->core->hello_bytes += (uint32_t)piece->bytes.len;
	return;
lost:
	drop(conn, piece->dir);
	tls->done[piece->dir] = true;
}

static void piece(struct conn *conn, struct piece *piece)
{
	struct tls *tls = conn->tls;
	struct view bytes = piece->bytes;

	if (!tls || tls->done[piece->dir] || (piece->flags & SONDE_F_LOST_BEFORE && piece->offset))
		return;
	if (tls->hello[piece->dir] || piece->offset) {
		gather(conn, piece);
		if (tls->done[piece->dir])
			return;
		bytes.at = (const char *)tls->hello[piece->dir]->bytes;
		bytes.len = tls->hello[piece->dir]->len;
		read_hello(conn, piece->dir, bytes);
	} else {
		read_hello(conn, piece->dir, bytes);
		if (!tls->done[piece->dir])
			gather(conn, piece);
	}
	if (tls->done[piece->dir])
		drop(conn, piece->dir);
}

/* Of all that follows nothing is known, and nothing is open. */
static void passed(struct conn *conn, int dir, uint64_t offset, uint64_t ns, bool exact)
{
}

static void last_chunk(struct conn *conn, int dir, uint32_t turn, uint64_t offset, uint64_t ns)
{
}

static void shut(struct conn *conn, int dir, uint64_t ns)
{
}

static void cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why)
{
}

static void slot(struct conn *conn, const struct sonde_slot *slot)
{
}

static void timer(struct conn *conn)
{
}

const struct tls_info *tls__info(const struct conn *conn)
{
	return conn->proto == &proto_tls && conn->tls ? &conn->tls->info : NULL;
}

void tls__free(struct conn *conn)
{
	if (!conn->tls)
		return;
	drop(conn, DIR_RX);
	drop(conn, DIR_TX);
	free(conn->tls);
	conn->tls = NULL;
}

const struct proto proto_tls = {
	.name = "tls",
	.version = "1.3",
	.verdict = SONDE_VERDICT_TLS,
	.detect = detect,
	.met = met,
	.piece = piece,
	.passed = passed,
	.last_chunk = last_chunk,
	.shut = shut,
	.cut = cut,
	.slot = slot,
	.timer = timer,
};
