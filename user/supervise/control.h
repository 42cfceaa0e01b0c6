/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between probe and a role, over a SOCK_SEQPACKET pair, one a packet. Nothing here ever
 * blocks: a full socket drops the message and the caller counts it.
 */
#ifndef SONDE_SUPERVISE_CONTROL_H
#define SONDE_SUPERVISE_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#define CONTROL_MAX_BYTES 65536

enum control_type {
	CONTROL_READY = 1,	  /* role -> probe: sandboxed, about to begin */
	CONTROL_FINISH = 2,	  /* probe -> role: drain, flush, exit */
	CONTROL_PROCESS = 3,	  /* probe -> trace: a message_process with its attributes */
	CONTROL_WANT_PROCESS = 4, /* trace -> probe: struct control_want */
	CONTROL_RESEND = 5,	  /* probe -> trace: ship is new, send resources and scopes again */
	CONTROL_LIMIT = 6,	  /* ship -> probe: the number of spans asked for has been shown */
	CONTROL_FAILED = 7,	  /* role -> probe: text of an error, the role exits */
	CONTROL_TRAFFIC = 8,  /* trace -> probe: records are read; once a second while they are */
	CONTROL_SHED = 9,     /* probe -> trace: account.governor.step is another one */
	CONTROL_ACCOUNT = 10, /* serve -> probe: write the account into its memory again */
};

struct control_header {
	uint32_t type;
	uint32_t pad;
};

struct control_want {
	uint64_t tgid_start_ns;
	uint32_t tgid;
	uint32_t pad;
};

/* 0, -EAGAIN when the socket is full (the message is dropped), or another negative errno. */
int control__send(int fd, enum control_type type, const void *bytes, size_t len);

/*
 * Returns the body's length and sets *ret_type; -EAGAIN when there is none, -EPIPE at end of file,
 * -EPROTO for a packet that is too short or too long (it is taken away).
 */
long control__receive(int fd, enum control_type *ret_type, void *body, size_t size);

#endif
