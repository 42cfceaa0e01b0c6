// SPDX-License-Identifier: Apache-2.0
/* A connection that speaks TLS: its two hellos are gathered and read, the rest is nobody's to read. */
#include "core/proto/tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/conn.h"
#include "core/proto/tls_hello.h"

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

/* Client or server: each says by itself what it is. True: no more is to be learned from this direction. */
static bool read_hello(struct tls_info *info, struct view bytes)
{
	struct tls_client_hello client;
	struct tls_server_hello server;
	int err = tls_hello__client(bytes.at, bytes.len, &client);

	if (err != -EPROTO) {
		/* a few bytes may be either's: then there is none, which takes nothing away */
		if (client.name_len) {
			info->name_len = client.name_len;
			memcpy(info->name, client.name, client.name_len);
		}
		return !err;
	}
	err = tls_hello__server(bytes.at, bytes.len, &server);
	if (err != -EPROTO) {
		info->version = server.version;
		info->cipher = server.cipher;
		info->protocol_len = server.alpn_len;
		memcpy(info->protocol, server.alpn, server.alpn_len);
	}
	return err != -EAGAIN;
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
		tls->done[piece->dir] = read_hello(&tls->info, bytes);
	} else {
		tls->done[piece->dir] = read_hello(&tls->info, bytes);
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

void tls__describe(const struct tls_info *info, struct span *span)
{
	const char *version = tls_hello__version_name(info->version);
	const char *cipher = tls_hello__cipher_name(info->cipher);
	struct view name = { info->name, info->name_len };

	if (version) {
		span__set_string(span, ATTR_TLS_PROTOCOL_NAME, VIEW("tls"));
		span__set_string(span, ATTR_TLS_PROTOCOL_VERSION, view_of(version));
	}
	if (cipher)
		span__set_string(span, ATTR_TLS_CIPHER, view_of(cipher));
	if (info->protocol_len)
		span__set_string(span, ATTR_TLS_NEXT_PROTOCOL,
				 (struct view){ info->protocol, info->protocol_len });
	if (!name.len)
		return;
	span__set_string(span, ATTR_TLS_CLIENT_SERVER_NAME, name);
	for (unsigned int i = 0; i < span->n_attributes; i++)
		if (span->attributes[i].key == ATTR_SERVER_ADDRESS)
			return;
	span__set_string(span, ATTR_SERVER_ADDRESS, name);
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
