// SPDX-License-Identifier: Apache-2.0
/* HTTP/2: streams are exchanges. */
#include <stdlib.h>
#include <string.h>

#include "core/conn.h"
#include "core/proto/http2.h"

#define STREAMS_FIRST 16
/* Names and values of one head, unpacked: more are left out. */
#define TEXT_MAX_BYTES 32768
/* RFC 9113 section 7. */
#define CODE_NO_ERROR 0
#define CODE_REFUSED_STREAM 7
#define CODE_CANCEL 8

static const char *const cut_error[] = {
	[CUT_RESET] = "connection_reset",      [CUT_CLOSED] = "connection_closed",
	[CUT_EXIT] = "process_exit",	       [CUT_EXEC] = "process_exec",
	[CUT_TRACING_ENDED] = "tracing_ended",
};

/* ---- open streams ---- */

static uint32_t place_of(const struct http2 *h, uint32_t id)
{
	return (id * 0x9e3779b1u >> 7) & (h->size - 1);
}

struct exchange *http2__stream(const struct http2 *h, uint32_t id)
{
	if (h->upgraded && id == 1)
		return h->upgraded;
	if (!h->size)
		return NULL;
	for (uint32_t i = place_of(h, id); h->streams[i]; i = (i + 1) & (h->size - 1))
		if (h->streams[i]->edge.stream == id)
			return h->streams[i];
	return NULL;
}

static void place(struct http2 *h, struct exchange *ex)
{
	uint32_t i = place_of(h, ex->edge.stream);

	while (h->streams[i])
		i = (i + 1) & (h->size - 1);
	h->streams[i] = ex;
	h->used++;
}

/* Its size is bounded by CONN_EXCHANGES_MAX. */
static bool make_room(struct http2 *h)
{
	uint32_t size = h->size;
	struct exchange **old = h->streams;

	if (h->used < size / 2)
		return true;
	h->streams = calloc(size ? size * 2 : STREAMS_FIRST, sizeof(*h->streams));
	if (!h->streams) {
		h->streams = old;
		return h->used + 1 < size;
	}
	h->size = size ? size * 2 : STREAMS_FIRST;
	h->used = 0;
	for (uint32_t i = 0; i < size; i++)
		if (old[i])
			place(h, old[i]);
	free(old);
	return true;
}

/* Takes it out and closes the hole, so that searches need no tombstones. */
static void detach(struct http2 *h, const struct exchange *ex)
{
	uint32_t mask = h->size - 1, hole, i;

	if (h->upgraded == ex)
		h->upgraded = NULL;
	for (int dir = 0; dir < 2; dir++)
		if (h->dirs[dir].opened == ex)
			h->dirs[dir].opened = NULL;
	if (!h->size)
		return;
	hole = place_of(h, ex->edge.stream);
	while (h->streams[hole] && h->streams[hole] != ex)
		hole = (hole + 1) & mask;
	if (!h->streams[hole])
		return;
	for (i = (hole + 1) & mask; h->streams[i]; i = (i + 1) & mask) {
		uint32_t home = place_of(h, h->streams[i]->edge.stream);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			h->streams[hole] = h->streams[i];
			hole = i;
		}
	}
	h->streams[hole] = NULL;
	h->used--;
}

static bool is_request_dir(const struct http2 *h, int dir)
{
	return h->role_known && h->request_dir == dir;
}

/* ---- requests ---- */

/* Messages and bytes that the kernel side has counted are not known: none of a number rather than a wrong one. */
static void forget_counts(struct exchange *ex)
{
	ex->flags |= EX_REQUESTS_UNKNOWN | EX_RESPONSES_UNKNOWN | EX_SIZES_UNKNOWN;
}

static struct exchange *open_stream(struct conn *conn, struct http2_input *in, uint32_t id)
{
	const struct sonde_rec_frames *rec = in->rec;
	struct http2 *h = conn->http2;
	struct http2_dir *d = &h->dirs[in->dir];
	struct piece piece = {
		.dir = in->dir == HTTP2_TX ? DIR_TX : DIR_RX,
		.flags = rec->h.flags,
		.offset = rec->offset,
		.ns = rec->h.ns,
		.tid = rec->tid,
		.turn = rec->turn,
		.process = { rec->tgid, rec->tgid_start_ns },
		.evidence = &rec->evidence,
		.begun = in->begun > 0,
		.fate = &conn->core->account->dropped_ring,
	};
	struct exchange *ex;

	if (in->begun)
		in->begun--;
	else if (d->debt)
		d->debt--;
	ex = conn__open(conn, &piece, d->at, &proto_http2);
	if (!ex)
		return NULL;
	ex->edge.stream = id;
	ex->version = VIEW("2");
	if (id <= h->counted_early)
		forget_counts(ex);
	if (!make_room(h)) {
		conn__drop(conn, ex, &conn->core->account->dropped_bound);
		return NULL;
	}
	place(h, ex);
	return ex;
}

void http2__begin_block(struct conn *conn, struct http2_input *in)
{
	struct http2 *h = conn->http2;
	struct http2_dir *d = &h->dirs[in->dir];
	uint32_t id = d->block_stream;

	d->opened = NULL;
	if (d->block_type != HTTP2_HEADERS || !(id & 1) || id <= h->high)
		return;
	/*
	 * The kernel side takes it for a stream's first block by its number, too, where it knows whose requests these
	 * are; where nobody does, the block will say it.
	 */
	if (!h->role_known || is_request_dir(h, in->dir)) {
		h->high = id;
		d->opened = open_stream(conn, in, id);
	}
}

/* ---- header blocks ---- */

/* A head that is being unpacked: names and values into a text, the fields' views as offsets into it. */
struct head {
	struct conn *conn;
	struct exchange *ex; /* NULL: nobody's; it is unpacked for the table's sake */
	struct buf *text;
	struct header_fields *fields; /* NULL: they are not kept */
	struct view method, path, authority, scheme;
	bool request, response; /* a pseudo-field says so */
	bool host;
	bool unknown, cut;
	int status, rpc_status;
	bool rpc, web;
};

/* Copies into the text: a view of which `at` is an offset. */
static struct view keep(struct head *head, struct view v)
{
	struct view kept = { NULL, 0 };

	if (!head->text)
		return kept;
	if (head->text->len + v.len > TEXT_MAX_BYTES) {
		head->cut = true;
		return kept;
	}
	kept.at = (const char *)(uintptr_t)head->text->len;
	kept.len = v.len;
	buf__add(head->text, v.at, v.len);
	if (head->text->err) {
		head->cut = true;
		kept.len = 0;
	}
	return kept;
}

static int number_of(struct view v)
{
	int n = 0;

	if (!v.len || v.len > 3)
		return 0;
	for (size_t i = 0; i < v.len; i++) {
		if (v.at[i] < '0' || v.at[i] > '9')
			return 0;
		n = n * 10 + v.at[i] - '0';
	}
	return n;
}

static void on_pseudo(struct head *head, const struct hpack_field *f)
{
	if (view_eq(f->name, VIEW(":status"))) {
		head->response = true;
		head->status = number_of(f->value);
		return;
	}
	head->request = true;
	if (view_eq(f->name, VIEW(":method")))
		head->method = keep(head, f->value);
	else if (view_eq(f->name, VIEW(":path")))
		head->path = keep(head, f->value);
	else if (view_eq(f->name, VIEW(":authority")))
		head->authority = keep(head, f->value);
	else if (view_eq(f->name, VIEW(":scheme")))
		head->scheme = keep(head, f->value);
}

static void on_field(void *arg, const struct hpack_field *f)
{
	struct head *head = arg;
	struct header_field field;

	if (f->name_unknown || f->value_unknown) {
		head->unknown = true;
		return;
	}
	if (f->name.len && f->name.at[0] == ':') {
		on_pseudo(head, f);
		return;
	}
	if (view_eq(f->name, VIEW("grpc-status")))
		head->rpc_status = grpc__status_of(f->value);
	else if (view_eq(f->name, VIEW("content-type")))
		head->rpc |= grpc__is_content_type(f->value);
	else if (view_eq(f->name, VIEW("host")))
		head->host = true;
	if (!head->fields)
		return;
	if (head->fields->n >= EXCHANGE_FIELDS_ORDINARY_MAX) {
		head->cut = true;
		return;
	}
	field.name = keep(head, f->name);
	field.value = keep(head, f->value);
	if (!head->cut && header_fields__add(head->fields, field))
		head->cut = true;
}

static struct view placed(const struct head *head, struct view v)
{
	if (v.len)
		v.at = (const char *)head->text->at + (uintptr_t)v.at;
	else
		v.at = "";
	return v;
}

/* The text stands now: offsets become views. */
static void place_fields(struct head *head)
{
	if (!head->fields)
		return;
	for (unsigned int i = 0; i < head->fields->n; i++) {
		struct header_field *f = &head->fields->at[i];

		f->name = placed(head, f->name);
		f->value = placed(head, f->value);
	}
}

/* The target in absolute form (RFC 9112 section 3.2.2), as what describes HTTP/1 reads it; CONNECT has another. */
static void put_target(struct head *head)
{
	struct exchange *ex = head->ex;
	struct view target = head->path;
	size_t from = head->text->len;
	const struct view parts[] = { head->scheme, VIEW("://"), head->authority, head->path };
	bool absolute = head->scheme.len && head->authority.len && head->path.len;
	size_t bytes = head->scheme.len + 3 + head->authority.len + head->path.len;

	if (absolute && buf__reserve(head->text, bytes)) {
		for (size_t i = 0; i < 4; i++)
			buf__add(head->text,
				 i == 1 ? parts[i].at :
					  (const char *)head->text->at + (uintptr_t)parts[i].at,
				 parts[i].len);
		target = (struct view){ (const char *)(uintptr_t)from, head->text->len - from };
	} else if (!head->path.len) {
		target = head->authority;
	}
	ex->target = placed(head, target);
}

static void on_request(struct conn *conn, struct head *head)
{
	struct exchange *ex = head->ex;
	struct view path;

	put_target(head);
	place_fields(head);
	path = placed(head, head->path);
	ex->method = placed(head, head->method);
	if (head->rpc)
		ex->flags |= EX_RPC;
	if (head->cut)
		ex->flags |= EX_HEAD_PARTIAL;
	if (head->unknown)
		ex->flags |= EX_FIELDS_PARTIAL;
	if (http1__is_export(ex->method, path) || (head->rpc && grpc__is_export(path)))
		ex->flags |= EX_EXPORT | EX_BODY_PARTIAL;
	conn__announce(conn, ex);
}

/* told: of the counts, where there are any, the last record has come. */
static void settle_counts(struct exchange *ex, bool told)
{
	if (ex->flags & EX_UNSURE || (ex->flags & EX_COUNTING && !told))
		forget_counts(ex);
}

static void end_exchange(struct conn *conn, struct exchange *ex, uint64_t ns)
{
	settle_counts(ex, ex->flags & EX_COUNTED);
	if (!ex->request_end_ns)
		ex->flags |= EX_EARLY;
	detach(conn->http2, ex);
	conn__end(conn, ex, ns);
}

/* The last byte of this direction of the stream has passed. */
static void end_stream(struct conn *conn, struct exchange *ex, int dir, uint64_t ns)
{
	if (is_request_dir(conn->http2, dir))
		ex->request_end_ns = ns;
	else
		end_exchange(conn, ex, ns);
}

static void on_response(struct head *head, uint64_t ns, uint32_t tid)
{
	struct exchange *ex = head->ex;

	place_fields(head);
	if (head->unknown)
		ex->flags |= EX_FIELDS_PARTIAL;
	if (head->status && !(ex->flags & EX_RESPONSE))
		ex->status = (uint16_t)head->status;
	if (head->rpc_status >= 0) {
		ex->rpc_status = (uint16_t)head->rpc_status;
		ex->flags |= EX_STATUS;
	}
	if (head->rpc)
		ex->flags |= EX_RPC;
	if (ex->flags & EX_RESPONSE)
		return;
	ex->flags |= EX_RESPONSE;
	ex->response_ns = ns;
	ex->response_tid = tid;
}

/* Who sends requests shows by the first head that is read, where nothing else says it. */
static void learn_role(struct conn *conn, int dir, const struct head *head)
{
	struct http2 *h = conn->http2;

	if (h->role_known || head->request == head->response)
		return;
	h->role_known = true;
	h->request_dir = (uint8_t)(head->request ? dir : !dir);
}

void http2__end_block(struct conn *conn, int dir, uint64_t ns)
{
	struct http2 *h = conn->http2;
	struct http2_dir *d = &h->dirs[dir];
	struct exchange *ex = d->opened ?: http2__stream(h, d->block_stream);
	bool request = d->opened, first = ex && !request && !(ex->flags & EX_RESPONSE);
	bool last = d->block_type == HTTP2_HEADERS && d->block_flags & HTTP2_END_STREAM;
	struct head head = { .conn = conn, .ex = ex, .rpc_status = -1 };
	struct view block = { (const char *)d->block.at, d->block.len };
	uint32_t id = d->block_stream;

	if (d->block_type != HTTP2_HEADERS)
		ex = head.ex = NULL;
	if (ex && request) {
		head.text = &ex->text;
		head.fields = &ex->fields;
	} else if (ex && first && !ex->no_response_fields && !is_request_dir(h, dir)) {
		head.text = &ex->response_text;
		head.fields = &ex->response_fields;
	}
	/* of a block that is not whole what there is of it would leave a wrong table */
	if (d->block_cut) {
		hpack__lost(&d->hpack);
		head.unknown = true;
	} else if (hpack__block(&d->hpack, block, on_field, &head)) {
		head.unknown = true;
	}
	learn_role(conn, dir, &head);
	/* what this stream belongs to may have been dropped meanwhile */
	ex = ex && request ? d->opened : ex ? http2__stream(h, id) : NULL;
	if (!ex)
		return;
	if (request) {
		if (!is_request_dir(h, dir) && h->role_known) {
			/* a response, of a stream that began before sonde was there */
			detach(h, ex);
			conn__drop(conn, ex, &conn->core->account->dropped_unjoined);
			return;
		}
		on_request(conn, &head);
		if (d->block_cut)
			ex->flags |= EX_HEAD_PARTIAL;
		if (last)
			end_stream(conn, ex, dir, ns);
		return;
	}
	if (is_request_dir(h, dir)) {
		if (last)
			end_stream(conn, ex, dir, ns);
		return;
	}
	/* RFC 9110 section 15.2: others follow */
	if (head.status >= 100 && head.status < 200 && !last) {
		header_fields__clear(&ex->response_fields);
		buf__clear(&ex->response_text);
		return;
	}
	on_response(&head, ns, d->tid);
	if (last)
		end_stream(conn, ex, dir, ns);
}

/* ---- everything else ---- */

/* One message as a whole (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message). */
static bool is_message(uint32_t bytes, const uint8_t *prefix, uint32_t n)
{
	return prefix && n == 5 && prefix[0] <= 1 &&
	       ((uint32_t)prefix[1] << 24 | prefix[2] << 16 | prefix[3] << 8 | prefix[4]) + 5 ==
		       bytes;
}

void http2__data(struct conn *conn, int dir, uint32_t stream, uint32_t bytes, bool last,
		 const uint8_t *prefix, uint32_t n, uint64_t ns)
{
	struct exchange *ex = http2__stream(conn->http2, stream);

	if (!ex)
		return;
	if (is_request_dir(conn->http2, dir)) {
		if (!prefix)
			ex->flags |= EX_COUNTING;
		ex->request_body_bytes += bytes;
		ex->request_messages += is_message(bytes, prefix, n);
	} else {
		/* of the last bytes themselves nothing is told any more */
		if (!prefix)
			ex->flags |= last ? EX_RESPONSES_UNKNOWN : EX_COUNTING;
		ex->response_body_bytes += bytes;
		ex->response_messages += is_message(bytes, prefix, n);
	}
	if (last)
		end_stream(conn, ex, dir, ns);
}

void http2__counted(struct conn *conn, const struct sonde_rec_stream *rec)
{
	struct exchange *ex = http2__stream(conn->http2, rec->stream);
	struct http2 *h = conn->http2;
	int q, r;

	if (!ex && rec->stream > h->high && rec->stream > h->counted_early)
		h->counted_early = rec->stream;
	if (!ex || !h->role_known)
		return;
	q = h->request_dir;
	r = !q;
	if (rec->h.flags & SONDE_F_START) {
		/* what had been counted before was forgotten */
		if (ex->counted_ns)
			forget_counts(ex);
		memset(ex->counted_messages, 0, sizeof(ex->counted_messages));
		memset(ex->counted_bytes, 0, sizeof(ex->counted_bytes));
	}
	ex->flags |= EX_COUNTING;
	if (rec->ends && !!(rec->h.flags & SONDE_F_TX) == r)
		ex->flags |= EX_COUNTED;
	ex->counted_ns = rec->h.ns ?: 1;
	/* as often as it is told, it is all that was counted so far */
	ex->request_messages += rec->messages[q] - ex->counted_messages[0];
	ex->response_messages += rec->messages[r] - ex->counted_messages[1];
	ex->request_body_bytes += rec->bytes[q] - ex->counted_bytes[0];
	ex->response_body_bytes += rec->bytes[r] - ex->counted_bytes[1];
	ex->counted_messages[0] = rec->messages[q];
	ex->counted_messages[1] = rec->messages[r];
	ex->counted_bytes[0] = rec->bytes[q];
	ex->counted_bytes[1] = rec->bytes[r];
	if (rec->unknown >> q & 1)
		ex->flags |= EX_REQUESTS_UNKNOWN;
	if (rec->unknown >> r & 1)
		ex->flags |= EX_RESPONSES_UNKNOWN;
}

static void cut_stream(struct conn *conn, struct exchange *ex, uint64_t ns, const char *error)
{
	settle_counts(ex, ex->counted_ns == ns);
	detach(conn->http2, ex);
	conn__cut(conn, ex, ns, error);
}

void http2__reset(struct conn *conn, int dir, uint32_t stream, uint32_t code, uint64_t ns)
{
	struct exchange *ex = http2__stream(conn->http2, stream);
	bool by_client = is_request_dir(conn->http2, dir);

	if (!ex)
		return;
	if (!(ex->flags & EX_STATUS)) {
		ex->rpc_status = grpc__status_of_reset(code);
		if (ex->flags & EX_RPC)
			ex->flags |= EX_STATUS;
	}
	cut_stream(conn, ex, ns,
		   code == CODE_CANCEL && by_client ? "stream_cancelled" :
		   code == CODE_REFUSED_STREAM	    ? "stream_refused" :
						      "stream_reset");
}

void http2__go_away(struct conn *conn, int dir, uint32_t last_stream, uint64_t ns)
{
	struct exchange *ex, *next;

	/* A client's speaks of what a server has pushed. */
	if (is_request_dir(conn->http2, dir))
		return;
	for (ex = conn->first; ex; ex = next) {
		next = ex->next;
		if (ex->proto == &proto_http2 &&
		    (ex == conn->http2->upgraded ? 1 : ex->edge.stream) > last_stream)
			cut_stream(conn, ex, ns, "stream_refused");
	}
}

void http2__lost(struct conn *conn)
{
	for (struct exchange *ex = conn->first; ex; ex = ex->next)
		ex->flags |= EX_UNSURE;
}

void http2__cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why)
{
	struct exchange *ex, *next;

	for (ex = conn->first; ex; ex = next) {
		next = ex->next;
		if (process && (ex->process.tgid != process->tgid ||
				ex->process.start_ns != process->start_ns))
			continue;
		if (conn->http2)
			detach(conn->http2, ex);
		if (why == CUT_UNSEEN || ex->flags & EX_UNSURE) {
			conn__drop(conn, ex, &conn->core->account->dropped_response_lost);
			continue;
		}
		settle_counts(ex, false);
		conn__cut(conn, ex, ns, cut_error[why]);
	}
}

void http2__shut(struct conn *conn, int dir, uint64_t ns)
{
	/* A client that will send no more may still read the answers. */
	if (conn->http2 && !is_request_dir(conn->http2, dir))
		http2__cut(conn, NULL, ns, CUT_CLOSED);
}
