/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 (RFC 9113) and HPACK (RFC 7541) between the files of proto/http2*.c and grpc.c: what is kept of
 * a connection, and the pieces that each file gives to the others. The rest of the core knows proto_http2 only.
 */
#ifndef SONDE_CORE_PROTO_HTTP2_H
#define SONDE_CORE_PROTO_HTTP2_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "core/exchange.h"
#include "core/proto/proto.h"

struct conn;

/* RFC 9113 section 6. */
enum http2_frame {
	HTTP2_DATA = 0,
	HTTP2_HEADERS = 1,
	HTTP2_RST_STREAM = 3,
	HTTP2_SETTINGS = 4,
	HTTP2_PUSH_PROMISE = 5,
	HTTP2_GOAWAY = 7,
	HTTP2_CONTINUATION = 9,
};

enum {
	HTTP2_END_STREAM = 0x1,
	HTTP2_ACK = 0x1,
	HTTP2_END_HEADERS = 0x4,
	HTTP2_PADDED = 0x8,
	HTTP2_PRIORITY = 0x20,
};

/* ---- http2_hpack.c ---- */

/* What a header block is decompressed with, and its memory of the blocks before. */
struct hpack {
	struct nghttp2_hd_inflater *inflater; /* NULL: not needed yet */
	/* Blocks were not seen: what refers to them is not known, and nothing is guessed. */
	bool partial;
	uint32_t table_bytes; /* the largest table that the other end has allowed; 0: the default */
};

/* One field, borrowed until the function returns. unknown: a part of it that was not seen; then it is empty. */
struct hpack_field {
	struct view name, value;
	bool name_unknown, value_unknown;
};

typedef void hpack_fn(void *arg, const struct hpack_field *field);

/* A whole block. -EPROTO: it could not be decompressed to its end; what had been said before stands. -ENOMEM. */
int hpack__block(struct hpack *hpack, struct view block, hpack_fn *fn, void *arg);
/* Blocks are missing before the next one. */
void hpack__lost(struct hpack *hpack);
/* The other end allows a table of so many bytes (SETTINGS_HEADER_TABLE_SIZE). */
void hpack__allow(struct hpack *hpack, uint32_t bytes);
void hpack__release(struct hpack *hpack);

/* ---- http2.c: records to frames ---- */

/* One direction. */
struct http2_dir {
	struct hpack hpack;
	uint64_t next;	 /* offset behind what was told last */
	uint64_t at;	 /* offset of the open frame's header */
	uint8_t head[9]; /* of the open frame */
	uint8_t have;	 /* bytes of it; 9: whole, and `left` is true */
	uint8_t n_small; /* bytes in small */
	uint8_t small[8];
	uint32_t left;
	uint16_t blocks; /* header block frames so far, as the kernel side counts them */
	bool met;	 /* a record was seen */
	bool counted;	 /* the kernel side counts the messages of what is read */
	bool done;	 /* the DATA frame that begins at `at` was dealt with */
	uint32_t debt; /* streams that the kernel has counted as begun, and that were not met yet */
	/* The header block that is open: fragments, then what has come of the open frame's payload. */
	struct buf block;
	size_t fragment;       /* where that payload begins */
	uint32_t block_stream; /* 0: none is open */
	uint8_t block_type, block_flags;
	bool block_cut;		 /* bytes of it are missing */
	struct exchange *opened; /* by this block; NULL: it is no request */
	uint32_t tid;		 /* that wrote or read it */
};

#define HTTP2_PARKED_MAX_BYTES 65536

/* A record that came before the one of the request that it answers. */
struct http2_parked {
	struct http2_parked *next;
	struct sonde_rec_frames rec;
	uint8_t payload[];
};

struct http2 {
	struct http2_dir dirs[2]; /* by enum direction */
	bool role_known;
	uint8_t request_dir; /* enum direction */
	uint32_t high; /* the highest stream that a client has opened, as far as it was seen */
	/* the highest stream of which counts came before its request: they are not known of any up to it */
	uint32_t counted_early;
	struct exchange
		*upgraded; /* stream 1, whose request came as HTTP/1; it is not in the table */
	/* Open exchanges by stream: open addressing; size 0: none yet. */
	struct exchange **streams;
	uint32_t size, used;
	struct http2_parked *parked, *parked_last;
	uint32_t parked_bytes;
};

/* What is being read: a record, and the claims on it. */
struct http2_input {
	const struct sonde_rec_frames *rec;
	enum { HTTP2_RX = 0, HTTP2_TX = 1 } dir;
	uint32_t
		begun; /* streams that the kernel has counted for this record and that are not met yet */
	bool force; /* nothing is early: no other record will explain it */
};

/*
 * The connection goes on as HTTP/2: ex, its only open exchange, has asked for that in HTTP/1 and is stream 1 (RFC 7540
 * section 3.2). Without memory it is dropped.
 */
void http2__upgraded(struct conn *conn, struct exchange *ex);

/* ---- http2_stream.c: frames to exchanges ---- */

/* NULL: none is open. */
struct exchange *http2__stream(const struct http2 *h, uint32_t id);
/* A frame's header is known: the request that it begins is opened. */
void http2__begin_block(struct conn *conn, struct http2_input *in);
/* The block is whole, or as whole as it will get: block_cut. */
void http2__end_block(struct conn *conn, int dir, uint64_t ns);
/* Bytes of DATA, and whether it is the last of its stream. prefix: its first n bytes; NULL: its messages are counted by
 * the kernel side. */
void http2__data(struct conn *conn, int dir, uint32_t stream, uint32_t bytes, bool last,
		 const uint8_t *prefix, uint32_t n, uint64_t ns);
/* What the kernel side has counted of a stream. */
void http2__counted(struct conn *conn, const struct sonde_rec_stream *rec);
void http2__reset(struct conn *conn, int dir, uint32_t stream, uint32_t code, uint64_t ns);
void http2__go_away(struct conn *conn, int dir, uint32_t last_stream, uint64_t ns);
/* Anything may have happened to what is open. */
void http2__lost(struct conn *conn);
void http2__cut(struct conn *conn, const struct process_key *process, uint64_t ns,
		enum cut_reason why);
void http2__shut(struct conn *conn, int dir, uint64_t ns);

/* ---- http2_describe.c, grpc.c ---- */

void http2__describe(const struct exchange *ex, const struct describe_options *options,
		     struct span *span);

/* Is this value of Content-Type one of gRPC's, grpc-web aside? */
bool grpc__is_content_type(struct view value);
/* A path on which traces are exported (OTLP over gRPC). */
bool grpc__is_export(struct view path);
/* grpc-status, as sent. -1: none. */
int grpc__status_of(struct view value);
/* What the error code of RST_STREAM means for the call. */
uint16_t grpc__status_of_reset(uint32_t code);
/* grpc-timeout in ns; 0: none, or it is broken, or of more than 584 years. */
uint64_t grpc__timeout_ns(struct view value);
/* Name, status and rpc.* attributes. */
void grpc__describe(const struct exchange *ex, struct view path, struct span *span);
/*
 * Of an exchange of HTTP whose fields say that it is a call by grpc-web or Connect: name and rpc.* attributes, beside
 * those of HTTP. The status where a field says it: never what HTTP's would mean, nor what stands in a body.
 */
void grpc__describe_web(const struct exchange *ex, struct view path, struct span *span);

#endif
