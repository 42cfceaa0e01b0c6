/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel side remembers of a connection and of a thread. */
#ifndef SONDE_BPF_STATE_H
#define SONDE_BPF_STATE_H

#include "../../headers/records.h"
#include "../../headers/tls.h"
#include "kernel.h"

/* What one direction of a connection is in. */
enum dir_state {
	DIR_BODY = 0, /* bytes are counted */
	DIR_HEAD,     /* a head is being captured, its end has not been seen */
	DIR_EXPORT,   /* the body of a telemetry export is being captured */
	DIR_HELLO,    /* the first record of TLS is being captured */
	DIR_FRAMES,   /* HTTP/2: in step with its frames, see frames.h */
	DIR_ASTRAY,   /* HTTP/2: not known where a frame begins */
};

/* Flags of struct direction. */
enum {
	DIR_MAYBE = 1 << 0,	 /* first[] may still become the start of a message */
	DIR_START_LOST = 1 << 1, /* the record of the head that is open was lost */
	DIR_EXPORTS = 1 << 2,	 /* the head that is open is a telemetry export's */
	DIR_SHUT = 1 << 3,	 /* SHUT was written */
	DIR_HOLD_END =
		1 << 4,	      /* a watermark lies inside a call of which less may have been taken */
	DIR_IN_TURN = 1 << 5, /* the head that is open began inside a turn */
	DIR_ADRIFT = 1 << 6,  /* Unix: bytes passed unseen, so how many is not sure any more */
	DIR_GAP = 1 << 7,     /* bytes passed unseen, and no record has told it yet */
	DIR_CLOSER = 1 << 9,  /* the last head was not a usual one: see usual() */
	DIR_UNSEEN = 1 << 8,  /* the same since the last call that was seen, in any direction */
	DIR_HELLO_NEXT = 1 << 11, /* the next bytes are the first ones of a TLS handshake */
	DIR_TOLD = 1 << 10, /* the last byte is one of the call that the last record is about */
};

struct direction {
	__u64 offset;	/* of the next byte */
	__u64 ns;	/* when the last byte passed */
	__u64 first[2]; /* the first bytes of the message that is open */
	__u32 seq;	/* TCP: sequence number of the byte at offset */
	__u32 asked;	/* what is not accounted yet: of the last calls; the last one, where
			   a hook sees a send's entry, has only offered it */
	__u32 copied;	/* and how much of that was captured */
	__u16 head;	/* bytes of the open head that were captured */
	__u16 body_kib; /* KiB of the open export's body that were captured; of a hello, bytes still to be */
	__u8 first_bytes;
	__u8 state;  /* enum dir_state */
	__u16 flags; /* DIR_* */
	/*
	 * The last four bytes captured, for an end of head that lies across records; in a body the
	 * kernel's tick at which a call last asked for the time.
	 */
	__u32 tail;
	__u32 lost; /* bytes of the last call that were in records that were lost */
	__u32 stood; /* where hooks hold no lock: how far it had got at the last call that was seen */
};

/* Flags of struct conn. */
enum {
	CONN_KNOWN = 1 << 0, /* tuple and sequence bases are filled in */
	CONN_SENT = 1 << 1,  /* a CONN record was delivered and stands */
	CONN_LOST = 1 << 2,  /* a record was lost since the last one delivered */
	CONN_FROM_START = 1 << 3,
	CONN_FIN_SENT = 1 << 4,
	CONN_RESET = 1 << 5,
	CONN_OTHER_SENT = 1 << 6, /* a CONN record with another verdict than HTTP/1 was delivered */
	CONN_UNSEEN = 1 << 7,	  /* bytes pass where this tier cannot look: given up */
	CONN_TX_DONE = 1 << 8,	  /* what was written is accounted for good */
	CONN_EARLY = 1 << 10, /* the turn before this one belongs to a call that may still fire */
	CONN_UNIX_KNOWN = 1 << 9, /* Unix: who opened it was looked up */
	CONN_SHED = 1 << 11,	  /* the governor sheds it: its requests are only counted */
	CONN_TIED = 1 << 13,	  /* speaks TLS, and is known to carry a library's connection */
	CONN_QUIET = 1 << 12,	  /* TCP: none of its bytes is looked at: see quiet.h */
};

/* Values of conn.last: which direction the last byte went. */
enum { LAST_NONE = 0, LAST_RX = 1, LAST_TX = 2 };

/* What the usual call needs lies in as few lines of the cache as can be: its own, and one a direction. */
struct conn {
	__u64 id;
	__u64 prot;   /* TCP: of the kernel's struct proto, while nothing was put between */
	__u64 reader; /* the thread (tgid << 32 | tid) that read the last usual head */
	__u64 reader_start_ns; /* of its process */
	__u32 turn;
	__u32 slot;  /* ~0: none */
	__u16 flags; /* CONN_* */
	__u8 role, verdict, last;
	__u8 checks; /* how often first bytes were looked at in vain */
	__u8 family;
	__u8 generation; /* of the consumer that the CONN record was written for */
	/*
	 * Bytes of the last written call, where its body was looked at; 0: see quick.h. HTTP/2: the highest
	 * stream that a client has opened.
	 */
	__u32 behind;
	__u32 tx_base;
	struct direction rx, tx;
	/* TCP: both ports and the peer's address, to know the socket again; Unix: when it was born */
	__u64 pair;
	struct sonde_turn_ref connect; /* what this thread had in hand at connect(2) */
	__u32 rx_base;
	__u32 pad;
	__u64 rx_start, tx_start; /* offsets where this agent began to look */
	__u64 nothing;		  /* always 0, which a verifier does not know: see quick_forget() */
};

/* By what a system call is known again. */
struct call_made {
	__u64 number, fd, arg1;
};

/* A thread's call in progress, as its entry hook saw it. */
struct call {
	__u64 sk;  /* address of the socket; 0: none */
	__u64 msg; /* address of the kernel's msghdr */
	__u64 at;
	__u64 count;
	__u64 skip;
	__u64 vector; /* address of the kernel's segments; 0: it has none */
	__u64 first;  /* what the first of them begins at, or the one area */
	__u32 segments;
	__u32 kind;
	__u32 seq; /* TCP: of the next byte to be read */
	__u32 pad;
	/* only under lockdown, see call_begin() */
	struct call_made made_with;
	__u32 done;  /* bytes of it that were looked at */
	__u32 flags; /* KMSG_* */
};

/* A call on a Unix socket whose return is waited for; call.sk 0: none. */
struct unix_call {
	struct call call;
	__u64 ns;    /* its entry */
	__u32 bytes; /* that it is to move */
	__u32 tx;
};

/* Where the bytes of a call lie. */
enum source_kind {
	SOURCE_NONE = 0, /* nowhere that may be looked at: count only */
	SOURCE_USER,	 /* one area of user memory, at `at` */
	SOURCE_SEGMENTS, /* an array of struct segment at `at` */
};

struct source {
	__u64 at;
	__u64 skip; /* bytes of the source before the call's first byte */
	__u32 segments;
	__u32 kind; /* enum source_kind */
};

/* An area of user memory. */
struct area {
	__u64 base, len;
};

/* What one piece of a call came to. */
struct piece {
	struct area area;
	__u32 at;     /* in: offset in the call */
	__u32 want;   /* in: bytes wanted */
	__u32 copied; /* out */
	__u32 end;    /* out: offset in the piece after the end of a head; 0: none in it */
	__u32 lost;   /* out */
	__u32 whole;  /* messages follow each other: the whole call is heads */
	__u32 closes; /* in: with its area the head ends, and no other begins behind it */
	__u32 group;  /* of head_end() */
};

/* Where a direction of an HTTP/2 connection stands in its frames, while a call is followed: see frames.h. */
struct follow {
	__u64 conn;    /* its id */
	__u64 head[2]; /* the header of the frame that is open, as far as it has come; the rest 0 */
	struct sonde_turn_ref connect;
	__u32 have;	  /* bytes of that header; FRAME_BEGUN: it is whole and was looked at */
	__u32 left;	  /* bytes of that frame that have not passed yet */
	__u32 head_at;	  /* the byte of the call that the header begins at; ~0: in a call before */
	__u32 short_data; /* the open frame is told (of DATA only some are) */
	__u32 at;	  /* byte of the call that is looked at next */
	__u32 open;	  /* bytes of the call are to be told: the run, */
	__u32 run;	  /* from here */
	__u32 run_end;	  /* to here */
	__u32 run_in;	  /* SONDE_FRAMES_*: what the run begins with, */
	__u32 run_left;	  /* and how much was left then */
	__u64 run_head[2]; /* of this frame */
	__u32 run_blocks;  /* header block frames before that */
	__u32 begun;	   /* streams that begin in the run */
	__u32 all_begun;   /* and in the call */
	__u32 blocks;	   /* header block frames met so far */
	__u32 block;	   /* bytes told of the header block that is open */
	__u32 high;	   /* the highest stream that a client has opened */
	__u32 lost;	   /* a record was lost since the last one delivered */
	__u32 stuck;	   /* what lies at `at` cannot be read */
	__u32 tx;
	__u32 flush;	  /* the run is to be written */
	__u32 bare;	  /* no record of it was */
	__u32 counts;	  /* the messages in the open DATA frame are counted here */
	__u32 messages;	  /* so many in this call */
	__u32 run_counts; /* so it is with the DATA in the run */
	__u32 requests;	  /* this is the direction of requests */
	__u32 again; /* the frame is an RST_STREAM like the one right before it: it says nothing new */
};

/* The call that a program is looking at right now. */
struct work {
	__u64 ns;
	__u64 offset;	/* of the call's first byte */
	__u64 lost;	/* bytes of this call that were in records that were lost */
	__u64 captured; /* bytes of this call in delivered records */
	__u64 first[2]; /* the bytes that were looked at last, and how many and what they begin */
	__u32 n_first, kind;
	__u32 bytes;  /* moved (or offered: unsure) */
	__u32 piece;  /* records written */
	__u32 flags;  /* SONDE_F_* that every record of the call carries */
	__u32 rx_seq; /* TCP: the next byte to be read, after this call */
	__u32 tgid, tid;
	__u32 unsure;	/* less than `bytes` may have been taken */
	__u32 rx_end;	/* the peer's FIN was read */
	__u32 turn;	/* whose bytes these are */
	__u32 late;	/* a call in the other direction fired before this one and has noted it */
	__u32 begins;	/* the call is the first that was seen of its turn */
	__u32 unseen;	/* bytes passed in its direction since the last call that was seen */
	__u32 head;	/* a head is to be captured */
	__u32 no_chunk; /* the call is known not to end in a last chunk */
	__u32 goes_on;	/* TCP: the connection stands where it stood, ESTABLISHED */
	struct source source;
	struct piece p;
	__u32 segments_at; /* the byte of the call that segments[] begins at; ~0: none */
	__u32 n_segments;
	struct area
		area; /* the first of segments[] that is not empty; of no length: there is none */
	__u32 window; /* which of the source's segments segments[] begins with, where it has more */
	__u32 pad;
	__u64 passed; /* bytes of the segments before it */
	struct segment segments[SONDE_SEGMENTS_MAX];
	__u64 words[8]; /* the first bytes of segments; gather() wants twice its room */
	struct follow follow;
};

/* Of one direction of a stream of HTTP/2: its DATA that is not told, and gRPC's messages in it. */
struct stream_side {
	__u64 bytes;
	__u32 messages;
	__u32 left;   /* bytes of the open message that have not come */
	__u64 prefix; /* the first bytes of a message, as far as they have come */
	__u8 n_prefix;
	__u8 unknown; /* these are no messages, or too many */
	__u8 empty;   /* messages of no bytes in a row */
	__u8 pad[5];
};

struct stream_key {
	__u64 conn;
	__u32 stream;
	__u32 pad;
};

struct stream {
	struct stream_side sides[2]; /* rx, tx */
	__u32 ended;		     /* directions */
	__u32 fresh;		     /* that it is counted was not told yet */
};

/* Values of tls_call.kind: where a call tells how many bytes it moved. */
enum tls_kind {
	TLS_NONE = 0,  /* the thread is in none; the last one was about `ssl` */
	TLS_INT,       /* in its result */
	TLS_COUNT,     /* where `count` points, if its result is 1 */
	TLS_HANDSHAKE, /* it moves none; its return is not seen */
	TLS_RESULT,    /* Rust: in the second register of its result, if the first one is 0 */
};

/* A call of a TLS library that a thread is in. */
struct tls_call {
	__u64 ssl;     /* address of the library's own connection */
	__u64 at;      /* the program's buffer */
	__u64 count;   /* TLS_COUNT */
	__u64 bytes;   /* that it is to move */
	__u64 frame;   /* stack pointer at its first instruction, and again at its last one */
	__u64 ns;      /* its entry */
	__u64 carrier; /* id of the connection that carries it; 0: not known yet */
	__u32 kind;    /* enum tls_kind */
	__u8 tx;
	__u8 told;    /* what it is to write was captured at its entry */
	__u8 carried; /* the library itself sent or received meanwhile */
	__u8 areas;   /* at is an array of so many {address, length}; 0: it is the buffer */
};

/*
 * Where programs carry what the library has encrypted: what this thread has received last on a connection
 * that speaks TLS, and how much of it has come out of a library's connection since.
 */
struct tls_in {
	__u64 conn; /* id of the socket's connection; 0: none */
	__u64 sk;   /* its address */
	__u64 ssl; /* what it was given to: the first connection of a library that was asked since; 0: none yet */
	__u32 bytes;
	__u32 taken; /* plaintext */
	__u16 records;
	__u8 data;  /* there may be data in it, not of the handshake only */
	__u8 mixed; /* before it another socket's data was received, and not given to anybody yet */
	__u32 pad;
};

/* What has gone into a library's connection since this thread has last sent on one that speaks TLS. */
struct tls_out {
	__u64 ssl;     /* 0: none */
	__u64 carrier; /* that it is known by */
	__u32 bytes, records;
	__u32 mixed; /* into more than one */
	__u32 pad;
};

/* What of a call is to be captured. */
struct tls_hit {
	__u64 ssl;
	__u64 at;
	__u64 ns;
	__u64 skip; /* bytes of the buffer before the first one */
	__u64 bytes;
	__u64 tx;
	__u64 more_at; /* the array of areas behind this one; areas of it that are left, and their bytes */
	__u64 more, more_bytes;
};

/* A call of a goroutine, which may go on in another thread than it began in. */
struct go_key {
	__u64 g; /* address of the runtime's own structure of it */
	__u32 tgid;
	__u32 pad;
};

/* A socket's connection that speaks TLS, for where a program says by its descriptor which one it uses. */
struct tls_carrier {
	__u64 id;
	__u64 pair;	/* to know the socket again */
	__u64 hello_ns; /* when its first byte passed; 0: that was not seen */
	__u32 tx_base, rx_base;
	__u8 role;
	__u8 tied; /* to the library's connection `key` */
	__u8 pad[6];
	struct tls_key key;
};

/* Flags of struct tls_stream. */
enum {
	TLS_CROSSED = 1 << 0, /* met on two sockets: on which it is nobody knows */
	TLS_AGAIN = 1 << 1,   /* the library's object is used for another connection */
	TLS_REFUSED =
		1 << 3, /* the last call took nothing of what it was to write: that comes again */
	TLS_TOLD = 1 << 4, /* the carrier was known when the connection was told */
	TLS_HELLO =
		1 << 2, /* the first bytes of its handshake were seen: no plaintext was before */
	TLS_NESTED = 1 << 6, /* its library itself sends and receives */
	TLS_LATE = 1 << 5,   /* tied after it was told, and that has not been told yet */
};

/* What goes through one of a TLS library's connections, and what carries it. */
struct tls_stream {
	struct conn conn; /* the plaintext's own */
	__u64 carrier;	  /* id; 0: not known */
	__u32 tx_base, rx_base;
	__u32 netns;
	__u32 flags; /* TLS_* */
	__u16 local_port, remote_port;
	__u8 family, role;
	__u8 pad[2];
	__u8 local[16], remote[16];
	__u64 object;	  /* address of what the library or runtime has of it */
	__u64 asked;	  /* bytes of the write that is in progress, or was refused */
	__u64 tied_ns;	  /* when its carrier was found */
	__u64 carrier_sk; /* its address; 0: not known */
	__u64 candidate; /* id of another connection whose bytes agreed with its own, and how often */
	__u32 agreed;
	__u32 pad2;
};

/* Values of thread.kind. */
enum { THREAD_UNKNOWN = 0, THREAD_OF_PROGRAM, THREAD_OF_KERNEL };

struct thread {
	__u64 process_start_ns;	    /* 0: not looked up yet; an exec does not change it */
	struct sonde_turn_ref turn; /* the last request head that this thread read */
	struct call recv;
	struct unix_call unix_call;
	struct work work;
	/* sendmmsg, recvmmsg: which message of which call comes next */
	__u64 vector;
	__u32 call_number, index;
	__u32 kind; /* THREAD_* */
	__u32 pad;
	struct tls_call tls;
	struct tls_hit tls_hit;
	struct tls_in tls_in;
	struct tls_out tls_out;
};

/* Who opened a Unix connection, and when. */
struct unix_birth {
	__u64 ns;
	struct sonde_turn_ref connect; /* what its thread had in hand at connect(2) */
};

struct thread_key {
	__u64 start_ns;
	__u32 tid;
	__u32 pad;
};

#endif
