/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the kernel side writes into the ring. Fixed layouts, native byte order, 8-byte aligned, no
 * implicit padding. SONDE_ABI must change when any of these does; a record file carries it.
 *
 * Times are CLOCK_BOOTTIME nanoseconds. Offsets count the bytes of one direction of one
 * connection from its first payload byte (TCP: sequence number minus the base, extended to 64
 * bits; Unix: bytes seen). "rx" is what this end reads, "tx" is what this end writes.
 */
#ifndef SONDE_RECORDS_H
#define SONDE_RECORDS_H

#include <linux/types.h>
#include "limits.h"

#define SONDE_ABI 3

enum sonde_record_type {
	SONDE_REC_CONN = 1, /* a connection, before its first DATA; or one that is not decoded */
	SONDE_REC_DATA = 2, /* bytes of a message head (or of a body that user space asked for) */
	SONDE_REC_END = 3,  /* a watermark was crossed, or a last chunk went by */
	SONDE_REC_SHUT = 4, /* this end will write no more (FIN sent), or read end of file */
	SONDE_REC_GONE = 5, /* the socket is destroyed, or given up; final offsets */
	SONDE_REC_EXIT = 6, /* a process that was seen has ended (last thread) */
	SONDE_REC_EXEC = 7, /* a process that was seen replaced its program */
	SONDE_REC_FRAMES = 10, /* bytes of frames of an HTTP/2 connection */
	SONDE_REC_STREAM = 11, /* what was counted of one stream of HTTP/2 */
	/* on the process ring, for probe: */
	SONDE_REC_PROC = 8,  /* a process did its first decoded input or output */
	SONDE_REC_SWEEP = 9, /* many slots were given away: time to look for dead ones */
};

/* Flags of struct sonde_rec. */
enum {
	SONDE_F_LOST_BEFORE = 1 << 0, /* a record of this connection was lost before this one */
	SONDE_F_TURN_START = 1 << 1,  /* DATA: payload[0] is the first byte of turn `turn` */
	SONDE_F_START = 1 << 2,	      /* DATA: payload[0] looks like the start of a message */
	SONDE_F_TX = 1 << 3,	      /* DATA, END, SHUT: written by this end; else read */
	SONDE_F_UNSURE = 1 << 4,      /* DATA: call_bytes was asked for; less may have been taken */
	SONDE_F_HEAD_END = 1 << 5, /* DATA: an end of head (empty line) lies inside the payload */
	SONDE_F_FAULT = 1 << 6, /* DATA: what follows `copied` of the head is not told: unreadable,
				   or shed */
	SONDE_F_RESET = 1 << 7, /* GONE, SHUT: by reset or error, not by FIN */
	SONDE_F_LAST_CHUNK = 1 << 8, /* END: the call ended in CRLF 0 CRLF CRLF, no watermark */
	SONDE_F_BODY = 1 << 9,	     /* DATA: body bytes of a captured telemetry export */
	SONDE_F_GAP_BEFORE =
		1 << 10, /* DATA: since the last DATA of this direction, bytes passed unseen; Unix:
			    and how many is not sure, here and ever after */
	SONDE_F_EARLY =
		1 << 13, /* DATA: bytes passed the other way whose call may still be about to be
			    told; the turn before this one is theirs, if it is */
	SONDE_F_UNSEEN =
		1
		<< 14, /* GONE: the socket lives, but its bytes pass where this tier cannot look */
	SONDE_F_SEEN = 1 << 12,	 /* EXEC on the process ring: the process did decoded I/O before */
	SONDE_F_BEGUN = 1 << 11, /* DATA: this record was counted in turns_begun or starts_begun */
	SONDE_F_MORE = 1 << 15,	 /* DATA: struct sonde_rec_more is the end of the record */
};

struct sonde_rec {
	__u16 type;  /* enum sonde_record_type */
	__u16 flags; /* SONDE_F_* */
	__u32 bytes; /* whole record, this header included */
	__u64 ns;    /* CLOCK_BOOTTIME; tx: at the call, rx: when the bytes had been copied out */
	__u64 conn; /* connection id (the socket's cookie, or processor << 48 | counter): never 0, never reused in a boot */
};

/* One turn of one connection; {0, 0} is none. */
struct sonde_turn_ref {
	__u64 conn;
	__u32 turn;
	__u32 tid; /* the thread that read it */
};

/* Which request was in hand, by kind of evidence, when an outbound turn began. */
enum sonde_evidence_kind {
	SONDE_EV_WRITE = 0,   /* the last request head that this thread read, at this write */
	SONDE_EV_CONNECT = 1, /* the same, when this connection's connect(2) was called */
	SONDE_EV_KINDS = 2,
};

struct sonde_evidence {
	struct sonde_turn_ref at[SONDE_EV_KINDS];
};

/* Values of sonde_rec_conn.role: who opened the connection. */
enum sonde_role { SONDE_ROLE_UNKNOWN = 0, SONDE_ROLE_ACTIVE = 1, SONDE_ROLE_PASSIVE = 2 };

/* Values of sonde_rec_conn.family: as in <sys/socket.h>. */
enum { SONDE_AF_UNIX = 1, SONDE_AF_INET = 2, SONDE_AF_INET6 = 10 };

/* Values of sonde_rec_conn.verdict. */
enum sonde_verdict {
	SONDE_VERDICT_NONE = 0,	  /* nothing seen yet */
	SONDE_VERDICT_HTTP1 = 1,  /* first bytes are HTTP/1 */
	SONDE_VERDICT_OTHER = 2,  /* none of ours; first[] says what it began with */
	SONDE_VERDICT_UNSEEN = 3, /* bytes pass where this tier cannot look (counters say why) */
	SONDE_VERDICT_HTTP2 = 4,  /* frames of HTTP/2 */
	SONDE_VERDICT_TLS = 5,	  /* first bytes are TLS: what it carries is another connection */
};

struct sonde_rec_conn {
	struct sonde_rec h;
	__u32 tgid;	     /* in the initial pid namespace */
	__u32 slot;	     /* index in the slot array, or ~0 */
	__u64 tgid_start_ns; /* group leader's start, CLOCK_BOOTTIME */
	__u32 netns;	     /* inode number of the socket's network namespace */
	__u16 family;
	__u8 role;		       /* enum sonde_role */
	__u8 verdict;		       /* enum sonde_verdict */
	__u16 local_port, remote_port; /* host byte order */
	__u8 from_start;	       /* 1: seen from its first byte; 0: older than the agent */
	__u8 first_bytes;	       /* bytes in first[] */
	__u8 carried; /* 1: what a TLS library gave to, or took from, its program */
	__u8 pad;
	__u8 local[16], remote[16]; /* network byte order; IPv4 in the first 4; Unix: all 0 */
	/*
	 * TCP: sequence number of the first payload byte (ISN + 1) in each direction. The tx one is
	 * one too low for an active opener that was met in mid-life (bytes_acked counts its SYN); then
	 * role is UNKNOWN and tx offsets are one too high, which user space mends once it knows who
	 * opened. Unix: an id of the socket pair, equal on both ends, in pair[].
	 * Carried: addresses, role and bases are those of the socket's connection, whose id is pair[0];
	 * 0: it is not known, and family is 0. Offsets are of the plaintext, and mean the same on both
	 * ends where from_start says that its first byte was seen.
	 */
	__u32 tx_base, rx_base;
	__u64 pair[2];
	__u64 tx_offset, rx_offset; /* where this agent began to look */
	__u8 first[16];
};

/*
 * Of the other direction the usual record says nothing but how far it had got: its last byte then is that
 * of the call whose DATA record came last, which says the same and when it was.
 */
struct sonde_rec_data {
	struct sonde_rec h;
	__u32 tgid, tid;
	__u64 tgid_start_ns;
	__u64 offset; /* stream offset of payload[0] in its direction */
	/*
	 * Number of the turn in this connection, from 1; odd or even says nothing. Where calls were
	 * missed at its start or before it, a number is left out.
	 */
	__u32 turn;
	__u32 call_bytes; /* bytes this call moved from `offset` on (SONDE_F_UNSURE: asked for) */
	__u16 copied;	  /* bytes of payload that are valid */
	__u16 piece;	  /* 0 for the first record of a call, then 1, 2, … */
	__u32 other_low;  /* low half of the other direction's offset, after its last byte */
	__u8 payload[];	  /* size class; bytes past `copied` are undefined: never look */
};

/* What not every DATA record has, behind its payload's area. */
struct sonde_rec_more {
	__u64 other_ns;	    /* when the last byte in the other direction passed; 0: none */
	__u64 other_offset; /* the offset after it */
	struct sonde_evidence evidence; /* on outbound turns; else 0 */
};

/* The longest record there is. */
#define SONDE_RECORD_MAX_BYTES                                                                     \
	(sizeof(struct sonde_rec_data) + SONDE_CLASS_4_BYTES + sizeof(struct sonde_rec_more))

struct sonde_rec_end {
	struct sonde_rec h;
	__u32 turn;
	__u32 pad;
	__u64 offset; /* after the call that crossed it */
};

#define SONDE_FRAME_HEAD_BYTES 9 /* RFC 9113 section 4.1 */

/* Values of sonde_rec_frames.in_frame. */
enum {
	SONDE_FRAMES_BEGIN = 0,	 /* payload[0] is the first byte of a frame's header */
	SONDE_FRAMES_INSIDE = 1, /* it lies inside the frame whose header is head[] */
	SONDE_FRAMES_GO_ON = 2,	 /* it is the byte behind the last one of the record before it */
	SONDE_FRAMES_HOW = 3,	 /* mask */
	/* beside it: the messages in this DATA are counted by the kernel side (struct sonde_rec_stream) */
	SONDE_FRAMES_COUNTED = 4,
};

/*
 * Bytes of an HTTP/2 connection that follow each other: frames, of which the first may go on from a record
 * before this one, and the last in one behind it. Told are HEADERS, PUSH_PROMISE, CONTINUATION (of a
 * header block SONDE_HEAD_MAX_BYTES at the most), RST_STREAM, SETTINGS and GOAWAY; of DATA with END_STREAM at least
 * its header; other DATA only where it is short and lies between frames that are told. What
 * lies between two records was followed by the kernel side, frame by frame, and is none of these.
 * Flags: SONDE_F_TX, SONDE_F_START (a header block of a new stream begins), SONDE_F_LOST_BEFORE.
 */
struct sonde_rec_frames {
	struct sonde_rec h;
	__u32 tgid, tid;
	__u64 tgid_start_ns;
	__u64 offset; /* stream offset of payload[0] in its direction */
	__u32 turn;
	__u16 copied; /* bytes of payload that are valid; 0: the frame's header alone is told */
	__u16 begun; /* new streams that begin here: so many exchanges the kernel counts as begun */
	/* HEADERS, PUSH_PROMISE and CONTINUATION of this direction before payload[0], mod 65536 */
	__u16 blocks;
	__u8 in_frame; /* SONDE_FRAMES_* */
	__u8 head[SONDE_FRAME_HEAD_BYTES];
	__u32 left; /* SONDE_FRAMES_INSIDE: bytes of that frame from payload[0] on */
	struct sonde_evidence evidence; /* on records with SONDE_F_START and SONDE_F_TX; else 0 */
	__u8 payload[];
};

/*
 * What has passed so far, of a stream of which not all DATA was told; before the record of a frame that ends the
 * stream: its response, or RST_STREAM; where the kernel side does not know whose requests these are, of a frame
 * that ends either direction of it. [0]: rx, [1]: tx. The counts of a stream may be forgotten where there are more than
 * SONDE_STREAMS: then they begin again at 0, and say so, or there is no record before the end.
 * Flags: SONDE_F_TX, of the direction; SONDE_F_START: these counts began after the record before this one.
 */
struct sonde_rec_stream {
	struct sonde_rec h;
	__u32 stream;
	__u16 unknown; /* bit 0: messages[0] say nothing, bit 1: messages[1] */
	__u16 ends;    /* 1: a direction of it; 0: DATA that is not told begins */
	__u32 messages
		[2]; /* of gRPC, but for those that are a DATA frame that is told, each by itself */
	__u64 bytes[2]; /* of DATA frames that are not told */
};

/* For how many exchanges that the kernel has counted as begun this record of len bytes stands. */
static inline __u32 record__begun(const struct sonde_rec *record, __u64 len)
{
	if (len < sizeof(*record))
		return 0;
	if (record->type == SONDE_REC_FRAMES && len >= sizeof(struct sonde_rec_frames))
		return ((const struct sonde_rec_frames *)record)->begun;
	return record->type == SONDE_REC_DATA && (record->flags & SONDE_F_BEGUN);
}

/* SHUT and GONE. */
struct sonde_rec_gone {
	struct sonde_rec h;
	__u64 tx_offset, rx_offset; /* final, from the kernel's own sequence numbers */
	__u64 tx_ns, rx_ns;	    /* when the last byte passed each way; 0: none */
};

/* EXIT, EXEC, PROC; conn is 0. Of SWEEP only the header counts. */
struct sonde_rec_proc {
	struct sonde_rec h;
	__u32 tgid;    /* initial pid namespace */
	__u32 ns_tgid; /* as the process itself sees it */
	__u64 tgid_start_ns;
	__u8 comm[SONDE_COMM_BYTES];
};

/* What the process ring has: to probe, never in a file. */
struct sonde_rec_told {
	struct sonde_rec_proc proc;
	/* The parent, whose program it runs: it has begun none of its own since its fork; 0: it has. */
	__u32 forked_from; /* tgid in the initial pid namespace */
	__u32 pad;
};

/*
 * One slot a decoded connection, in a BPF_F_MMAPABLE array. The kernel writes the first part,
 * user space the second; what user space writes is hostile input to the kernel and only compared.
 */
struct sonde_slot {
	__u64 conn;		    /* generation: 0 is free */
	__u64 tx_offset, rx_offset; /* after the last call */
	__u64 tx_ns, rx_ns;
	__u64 watermark_tx, watermark_rx; /* user: emit END when this offset is reached; 0: none */
	__u64 wish;			  /* user: SONDE_WISH_* */
};
enum {
	SONDE_WISH_IGNORE = 1 << 0, /* capture nothing more on this connection (upgrade, CONNECT) */
	/* capture nothing from the next request on, count requests; until the first one without it */
	SONDE_WISH_SHED = 1 << 1,
	SONDE_WISH_SENDS = 1 << 2, /* beside it: requests are what this end writes */
};

/*
 * One page of shared switches, in a BPF_F_MMAPABLE array of one element. The consumer publishes
 * that it sleeps; the kernel wakes it then and only then.
 */
struct sonde_switches {
	__u32 consumer_sleeps; /* user: 1 before epoll_wait, 0 after */
	__u32 wake_bytes;      /* user: wake when this many bytes wait, 0: on the first record */
	__u32 generation; /* user: another number: a new consumer, that knows no connection yet */
	__u32 shed_heads; /* user: 1: of a call in which a head begins, copy the first KiB at most */
	__u32 begun; /* user: 1: where no filter is set, the whole machine is in scope; 0: not yet */
	__u32 pad0;
	__u64 tls_ns; /* user: when a TLS library was hooked last */
	__u8 pad[32];
};

#endif
