/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The roles and what passes between them. probe is the parent; the others are the same binary,
 * re-executed with descriptors at fixed places, sandboxed before they touch a byte. read is a command's own
 * process: `sonde search` and `show`, which take a store's bytes.
 */
#ifndef SONDE_SUPERVISE_ROLES_H
#define SONDE_SUPERVISE_ROLES_H

enum role {
	ROLE_PROBE = 0,
	ROLE_TRACE,
	ROLE_SHIP,
	ROLE_INSPECT,
	ROLE_READ,
	ROLE_SERVE,
	ROLE_RECEIVE,
};
#define ROLES 7

/* "probe", "trace", …; a static string. */
const char *roles__name(enum role role);

/* Descriptors at fixed places in a role's process (after dup2, all others closed). */
enum {
	/* both */
	FD_ACCOUNT = 3, /* memfd: struct account, read-write */
	FD_CONTROL = 4, /* SOCK_SEQPACKET to probe: enum control_type messages */
	FD_FRAMES =
		5, /* SOCK_SEQPACKET from trace, or receive, to ship: wakes it (supervise/frames.h) */
	FD_CONFIG = 11,	       /* memfd: the role's configuration, read to its end */
	FD_FRAMES_MEMORY = 12, /* memfd: struct frames_shared and the frames */
	/* serve */
	FD_LISTEN = 13, /* the socket that it accepts connections from */
	FD_LIVE = 14,	/* the account of the run, to be read (supervise/live.h) */
	/* receive; either may be missing */
	FD_LISTEN_HTTP = 13, /* OTLP over HTTP/1 */
	FD_LISTEN_GRPC = 14,
	FD_RECEIVED = 15, /* memfd: struct account_received, read-write */
	/* ship, where there is a receiver: its FD_FRAMES and FD_FRAMES_MEMORY */
	FD_MORE_FRAMES = 14,
	FD_MORE_FRAMES_MEMORY = 15,
	/* trace */
	FD_RING = 6,	 /* ring buffer map, or -1 when probe drains into FD_DRAIN */
	FD_SLOTS = 7,	 /* BPF_F_MMAPABLE array of struct sonde_slot */
	FD_SWITCHES = 8, /* BPF_F_MMAPABLE array of one struct sonde_switches */
	FD_RECORD = 9,	 /* sonde record: file to write messages to; sonde replay: to read from */
	FD_DRAIN = 10,	 /* memfd ring that probe drains into (unsafe ring pages) */
	/* ship: sinks' own descriptors from here on */
	FD_SINKS = 16,
	FD_MAX = 32,
};

#endif
