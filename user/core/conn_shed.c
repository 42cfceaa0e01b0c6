// SPDX-License-Identifier: Apache-2.0
/*
 * Connections that are not looked at while the governor sheds them: those of the share that is to
 * be shed, and of these the busy ones, as each of them saves the most. The kernel side goes on counting
 * their requests and bytes.
 */
#include "core/conn.h"

#define SECOND_NS 1000000000ull

static void wish(const struct conn *conn, uint64_t wish)
{
	const struct engine_out *out = conn->core->out;

	if (conn->shed_sends)
		wish |= SONDE_WISH_SENDS;
	if (conn->slot != ~0u && out->wish)
		out->wish(out->arg, conn->slot, conn->id, wish);
}

void conn__shed_busy(struct conn *conn, uint64_t ns)
{
	if (ns - conn->shed_from_ns >= SECOND_NS) {
		conn->shed_from_ns = ns;
		conn->shed_ended = 0;
	}
	/*
	 * One that is not of HTTP any more is ignored for good; of one of HTTP/2 no header could be read any more that
	 * refers to those that were not looked at.
	 */
	if (++conn->shed_ended <= GOVERNOR_BUSY_HZ || conn->slot == ~0u ||
	    conn->http1.other_protocol || conn->proto != &proto_http1 ||
	    !governor__in_share(conn->id, conn->core->shed_share))
		return;
	conn->shed = true;
	wish(conn, SONDE_WISH_SHED);
}

void conn__unshed(struct conn *conn)
{
	if (!conn->shed)
		return;
	conn->shed = false;
	conn->shed_ended = 0;
	wish(conn, 0);
}

void conn__shed(struct core *core, uint32_t share)
{
	if (share < core->shed_share)
		for (struct conn *conn = core->conns.lru_first; conn; conn = conn->lru_next)
			if (!governor__in_share(conn->id, share))
				conn__unshed(conn);
	core->shed_share = share;
}
