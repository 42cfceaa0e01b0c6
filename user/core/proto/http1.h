/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 (RFC 9110, RFC 9112) between the files of proto/http1*.c: what is kept a connection, and
 * the pieces that each file gives to the others. The rest of the core knows proto_http1 only.
 */
#ifndef SONDE_CORE_PROTO_HTTP1_H
#define SONDE_CORE_PROTO_HTTP1_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/exchange.h"
#include "core/proto/proto.h"

/* ---- http1_head.c: a head that lies in memory as a whole ---- */

enum http1_framing {
	FRAMING_NONE,	 /* no body */
	FRAMING_LENGTH,	 /* Content-Length */
	FRAMING_CHUNKED, /* ends with a chunk of length 0 */
	FRAMING_CLOSE,	 /* a response that ends with the connection */
	FRAMING_UNKNOWN, /* ambiguous: nobody may guess */
};

struct http1_head {
	struct view method, target; /* request */
	uint16_t status;	    /* response */
	struct view version;	    /* "1.1" */
	uint8_t minor;
	/* What the fields said about the length of the body. */
	bool ambiguous; /* no two recipients need agree on where this message ends */
	bool has_length, has_coding, chunked;
	uint64_t length;
	bool folded; /* a line went on in the next one: the text is not what was sent any more */
	size_t end;  /* of the head, its empty line included; 0: it is not whole */
};

/*
 * A head that an exchange has read, and whose bytes its text still holds: clients and servers say the
 * same again and again, and what was read from the same bytes is the same. head.end 0: none.
 */
struct http1_kept {
	struct http1_head head;
	unsigned int fields; /* so many, and their lengths: struct header_fields */
	uint64_t lengths;
};

/* Looks for the empty line that ends a head. *carry is 0 at its start and kept between pieces. */
size_t http1__find_head_end(struct view bytes, uint8_t *carry);

/*
 * Parse the head in ex->text, ex->response_text: a whole one (its empty line included), or what
 * there is of one (a line that is cut is left out). Views point into the text, which may be
 * changed in place (folded lines become one). -EPROTO: the start line is not HTTP/1.
 */
int http1__parse_request_head(struct exchange *ex, struct http1_head *ret);
int http1__parse_response_head(struct exchange *ex, struct http1_head *ret);

/* RFC 9112 6.3: how long the body is. */
enum http1_framing http1__request_framing(const struct http1_head *head);
enum http1_framing http1__response_framing(const struct http1_head *head, struct view method);

/* 1: begins a request, 2: a response, 0: neither. *ret_sure: false where more bytes could change that. */
int http1__detect(struct view first, bool *ret_sure);

/* Do these bytes hold a whole request line or status line? */
bool http1__has_start_line(struct view bytes);

/* Is this path one on which programs export traces? */
bool http1__is_export(struct view method, struct view target);

/* ---- http1_chunk.c: RFC 9112 7.1 ---- */

enum http1_chunk_state {
	CHUNK_SIZE = 0,
	CHUNK_EXTENSION,
	CHUNK_DATA,
	CHUNK_DATA_END,
	CHUNK_TRAILER,	    /* at the start of a trailer line */
	CHUNK_TRAILER_LINE, /* within one */
	CHUNK_DONE,
	CHUNK_BAD,
};

struct http1_chunk {
	uint8_t state;
	uint8_t digits;
	bool cr;
	uint64_t size;	/* of this chunk; in CHUNK_DATA: what is left of it */
	uint64_t total; /* data bytes so far */
};

/*
 * Takes bytes up to the end of the body or of the input; returns how many. Data is added to body
 * where that is not NULL. Afterwards look at chunk->state.
 */
size_t http1__chunk(struct http1_chunk *chunk, struct view bytes, struct buf *body);

/* ---- http1.c: the streams of a connection ---- */

/* What may be an end is believed when nothing has followed it for so long. */
#define HTTP1_QUIET_NS 50000000ull

enum http1_state {
	HTTP1_START = 0, /* a message begins at `next` */
	HTTP1_HEAD,	 /* inside a head */
	HTTP1_BODY,	 /* the message ends at `end` */
	HTTP1_CHUNKS,	 /* chunked, in step with the chunks */
	HTTP1_UNTIL, /* the end is not known: until the direction changes or the connection ends */
	HTTP1_CLOSE, /* until the connection ends */
	HTTP1_LOST,  /* out of step, until a turn starts with a message */
};

struct http1_stream {
	uint8_t state;	/* enum http1_state */
	uint8_t carry;	/* of http1__find_head_end() */
	bool watched;	/* BODY: the kernel was asked to tell its end */
	bool watermark; /* one is set in the kernel */
	bool asked;  /* BODY: a call that covers `end` was seen, not confirmed that all was taken */
	bool unsure; /* what calls ask for is all that is known here, in slots too */
	bool last_chunk;		/* quiet_offset is after what looked like a last chunk */
	uint32_t turn;			/* of the latest piece */
	uint64_t next;			/* bytes before this one are done with */
	uint64_t end;			/* BODY */
	uint64_t body_from;		/* offset of the body's first byte */
	uint64_t asked_ns, asked_bytes; /* that call */
	uint64_t seen_offset, seen_ns;	/* as far as this direction is known to have got */
	/* What may be the end of the message: its last chunk, or the direction changed. ns 0: none */
	uint64_t quiet_offset, quiet_ns;
	uint32_t quiet_turn; /* of the last chunk */
	struct exchange *ex; /* whose message this is; NULL: nobody's, or it has ended already */
	struct http1_chunk chunk;
};

struct http1 {
	struct http1_stream streams[2]; /* by enum direction */
	bool role_known;
	bool unjoined;	/* older than the agent, and no message boundary was met yet */
	bool pipelines; /* has sent a request while another waited for its answer */
	bool uncounted; /* and so across turns, or unseen: how many wait is not known for certain */
	bool given_up; /* bytes are missing: nothing can be matched until http1.c's rejoins() says so */
	bool other_protocol; /* after an upgrade: nothing is parsed any more */
	bool timer_read;     /* the next slot is read after a time of quiet */
	uint8_t request_dir; /* enum direction */
	uint8_t timer_steps;
};

struct conn;
struct piece;

static inline bool http1__is_request(const struct http1 *h, int dir)
{
	return h->request_dir == dir;
}

/* ---- http1_message.c: where messages begin and end ---- */

/* At `offset` of the piece a message begins. Afterwards the stream is in a head, or LOST. */
void http1__begin_request(struct conn *conn, struct piece *piece, uint64_t offset);
/* Do requests of earlier turns wait for their answers while one of this turn comes? */
bool http1__overlaps(struct conn *conn, uint32_t turn);
void http1__begin_response(struct conn *conn, struct piece *piece, uint64_t offset);
/* The head in the exchange's text ends before `offset`; partial: it will not get any longer. */
void http1__request_head(struct conn *conn, const struct piece *piece, uint64_t offset,
			 bool partial);
void http1__response_head(struct conn *conn, const struct piece *piece, uint64_t offset,
			  bool partial);
/*
 * The same of bytes at `offset` in which a head begins, and may end, where the exchange's text is
 * empty: *ret_bytes are the head's, which is dealt with. False: it does not end here, or is none, and
 * nothing has come of it.
 */
bool http1__whole_head(struct conn *conn, const struct piece *piece, uint64_t offset,
		       struct view bytes, bool request, size_t *ret_bytes);
/*
 * Nearly every message: it begins a turn, where one is expected and nothing else is under way, with a
 * head that is known by its bytes. Returns those of the head, which is dealt with as the general way would;
 * 0: it is none of these, and nothing has come of it.
 */
size_t http1__usual_head(struct conn *conn, struct piece *piece);
/* The stream's message has ended, its last byte passed at ns. */
void http1__message_end(struct conn *conn, int dir, uint64_t ns);
/* The exchange leaves the connection: no stream may point at it. */
void http1__detach(struct conn *conn, const struct exchange *ex);
/* What came in place of a response is none. */
void http1__bad_response(struct conn *conn, struct exchange *ex, const struct piece *piece);
/* No span will come of this exchange. Where others are open beside it, the connection is given up. */
void http1__drop(struct conn *conn, struct exchange *ex, uint64_t *reason);
/* The stream's message has bytes that only themselves could say the end of, and they were not seen. */
void http1__out_of_sight(struct conn *conn, int dir);
/* Bytes of the response direction are missing: whose they were is not known. */
void http1__responses_lost(struct conn *conn);
/*
 * Does this request ask for HTTP/2 on its connection, and for nothing else (RFC 7540 section 3.2)? To one that leaves a
 * choice the answer's fields would be needed, which are not always kept.
 */
bool http1__asks_http2(const struct exchange *ex);
/* It has got that: what is open beside it is dropped, and it goes on as HTTP/2. */
void http1__becomes_http2(struct conn *conn, struct exchange *ex);
/* Nothing on this connection can be matched until a turn begins that needs nothing from before. */
void http1__give_up(struct conn *conn);

/* ---- http1_life.c: what is known of a stream beside its bytes ---- */

void http1__passed(struct conn *conn, int dir, uint64_t offset, uint64_t ns, bool exact);
void http1__last_chunk(struct conn *conn, int dir, uint32_t turn, uint64_t offset, uint64_t ns);
void http1__shut(struct conn *conn, int dir, uint64_t ns);
void http1__cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why);
void http1__slot(struct conn *conn, const struct sonde_slot *slot);
void http1__timer(struct conn *conn);
/* A response whose end has not been seen: have it told. Once a response. */
void http1__watch(struct conn *conn);
/* Has this chunked stream passed a place where only its bytes could say how to go on? */
bool http1__out_of_step(const struct http1_stream *stream, uint64_t offset);

/* ---- http1_describe.c, http1_url.c: an ended exchange as a span ---- */

void http1__describe(const struct exchange *ex, const struct describe_options *options,
		     struct span *span);
struct view http1__header(const struct exchange *ex, struct view name, unsigned int nth);

struct http1_url;
/* Of it: server.address and server.port; header fields and the bytes of bodies. */
void http1__describe_server(const struct exchange *ex, const struct http1_url *url,
			    struct span *span);
void http1__describe_heads(const struct exchange *ex, struct span *span);

struct http1_url {
	struct view scheme, userinfo, host, port; /* absolute and authority form */
	struct view path, query;
	bool has_query;
};
/* RFC 9112 3.2: origin, absolute, authority and asterisk form. */
void http1__split_target(struct view method, struct view target, struct http1_url *ret);
/* "host", "host:port", "[v6]:port": host without brackets, port empty or digits only. */
void http1__split_host(struct view value, struct view *ret_host, struct view *ret_port);
/* Copies a query; values become REDACTED unless keep, those of signatures always. Empty view: no room. */
struct view http1__redact_query(struct span *span, struct view query, bool keep);
/* The value of a parameter in the first element of Forwarded (RFC 7239), without quotes. */
struct view http1__forwarded(struct view value, struct view parameter);

#endif
