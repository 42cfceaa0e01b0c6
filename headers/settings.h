/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What probe tells the programs before they are loaded (read-only data, constant to the verifier). */
#ifndef SONDE_SETTINGS_H
#define SONDE_SETTINGS_H

#include <linux/types.h>

/* Which filters are in force; none: the whole machine. A union: one that matches is enough. */
enum {
	SONDE_SCOPE_PIDS = 1 << 0,   /* map scope_pids: tgids, and all that they fork */
	SONDE_SCOPE_CGROUP = 1 << 1, /* map scope_cgroups: cgroup array, any ancestor */
	SONDE_SCOPE_NETNS = 1 << 2,  /* map scope_netns: inode numbers */
	SONDE_SCOPE_PORT = 1 << 3,   /* map scope_ports: local or remote port */
};

/* Values of map scope_pids (key: tgid). One lookup answers both questions. At most 3. */
enum {
	SONDE_PID_IN = 1,  /* in scope, and what it forks */
	SONDE_PID_OWN = 2, /* sonde itself: never traced, whatever the scope */
};

/*
 * Map scope_cells, BPF_F_MMAPABLE: what scope_pids holds, added up by the low bits of the tgid, so that
 * most questions are answered by one load. Whoever inserts into scope_pids, or deletes from it, and
 * succeeds, adds the process to its cell, or takes it away, in one atomic addition: a cell of one
 * process is that process, one of 0 is nobody, and in any other the map has the answer.
 */
#define SONDE_SCOPE_CELLS 8192
#define SONDE_SCOPE_ONE (1ull << 48)
#define SONDE_SCOPE_CELL(tgid, how) (SONDE_SCOPE_ONE | (__u64)(tgid) << 2 | (how))

#define SONDE_SCOPE_CGROUPS_MAX 4

struct sonde_settings {
	__u32 scope;		 /* SONDE_SCOPE_* */
	__u32 conn_in_storage;	 /* 1: socket storage; 0: hash by socket address */
	__u32 thread_in_storage; /* 1: task storage; 0: hash by thread */
	__u32 cpus;		 /* elements of the counters array */
	__u32 slots;		 /* elements of the slot array; a power of two */
	__u32 slot_mask;
	__u32 exec_events; /* 1: every exec goes to the process ring (scope by executable) */
	__u32 ring_bytes;  /* size of the ring */
	__u32 conn_cookie; /* 1: a connection's number is its socket's cookie */
	__u32 lockdown;	   /* 1: the helpers that read kernel memory are forbidden */
	__u32 recv_args;   /* number of arguments of tcp_recvmsg() */
	__u32 ring_credit; /* bytes of the ring that a processor may fill unasked: see bpf/lib/ring.h */
	__u64 seed[2];	   /* random: ids of Unix socket pairs are hashes of addresses under it */
};

#endif
