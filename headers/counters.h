/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The kernel side's counters: one BPF_F_MMAPABLE array of struct sonde_kcounters, one element a
 * possible processor, summed by whoever reads. X(name, comment); names are what the account prints.
 */
#ifndef SONDE_COUNTERS_H
#define SONDE_COUNTERS_H

#include <linux/types.h>

/* clang-format off */
#define SONDE_KCOUNTERS(X) \
	/* what the usual call adds to, in one line of the cache */ \
	X(records_attempted,     "records that a program set out to write") \
	X(records_delivered,     "records submitted to the ring") \
	X(bytes_sequence,        "sequence numbers that passed on connections in scope, as hooks saw them") \
	X(bytes_captured,        "copied into delivered records") \
	X(bytes_counted,         "seen and deliberately not copied") \
	X(turns_begun,           "turns whose first bytes look like the start of a request") \
	X(hits_send,             "send hook ran in scope") \
	X(hits_recv,             "receive hook ran in scope") \
	/* line "records" */ \
	X(lost_ring_full,        "no room in the ring") \
	X(lost_ring_busy,        "reserve refused though the ring had room") \
	X(lost_life_reserve,     "payload gave way to records of life") \
	X(lost_fault,            "a head, or its rest, could not be read: from the program's memory, or out of more pieces of it than are gathered") \
	/* line "bytes", TCP only */ \
	X(gap_missed,            "passed with no hook seeing them") \
	X(gap_lost,              "in records that there was no room for") \
	/* line "exchanges": each count of the first two is one record with SONDE_F_BEGUN, delivered or lost */ \
	X(starts_begun,          "further starts of a request inside a turn, each at a record of its own") \
	X(begun_lost,            "of these, those whose record was lost") \
	/* line "unseen": calls that carried bytes where this tier cannot look */ \
	X(unseen_io_uring,       "io_uring") \
	X(unseen_compat,         "32-bit system call") \
	X(unseen_kernel_thread,  "kernel thread or io worker") \
	X(unseen_no_user_buffer, "sendfile, splice, zero-copy receive: no user buffer") \
	X(unseen_ktls,           "kernel TLS") \
	X(unseen_sockmap,        "sockmap: a program sent it on, or to another socket") \
	X(unseen_mptcp,          "multipath TCP") \
	X(unseen_ulp,            "another protocol on top of TCP: ESP in TCP") \
	X(unseen_unknown_call,   "a system call that is not in the table") \
	X(unseen_fd_mismatch,    "the file descriptor is not this socket") \
	X(unseen_trunc,          "MSG_TRUNC: counted by the kernel, never copied to the program") \
	X(unseen_iter_type,      "neither iovec nor user buffer") \
	X(unseen_segments,       "more segments than are gathered") \
	/* state that could not be kept */ \
	X(state_conn_full,       "no room for a connection's state") \
	X(state_conn_stale,      "a socket address was met with another connection's state") \
	X(state_conn_unsettled,  "a connection's numbers did not stand still while it was met") \
	X(state_thread_full,     "no room for a thread's state") \
	X(state_proc_full,       "no room for a process") \
	X(state_no_slot,         "a connection without a slot") \
	X(state_proc_ring_full,  "no room in the process ring") \
	X(state_tls_full,        "no room for a TLS connection") \
	/* TLS libraries */ \
	X(tls_calls,             "calls that moved plaintext") \
	X(tls_streams,           "connections of a TLS library that moved plaintext") \
	X(tls_tied,              "of these, those whose socket is known") \
	X(tls_crossed,           "of these, those that were met on two sockets: then on none") \
	X(conns_tls,             "connections in scope that speak TLS") \
	X(conns_tls_tied,        "of these, those that are known to carry a library's connection") \
	/* for doctor and bench */ \
	X(hits_quiet,            "hook ran on a connection none of whose bytes is looked at; not exact") \
	X(conns_seen,            "connections in scope") \
	X(conns_joined,          "of these, met after their first byte") \
	X(conns_http1,           "of these, HTTP/1") \
	X(conns_other,           "of these, none of ours") \
	X(conns_http2,           "of these, HTTP/2 in the clear") \
	X(frames_sync_lost,      "HTTP/2: times that it was not known any more where a frame begins") \
	X(frames_sync_found,     "of these, those after which it was found again") \
	/* what the governor sheds */ \
	X(shed_heads,            "heads of which no more than the first KiB was copied") \
	X(shed_exchanges,        "requests on connections that were not looked at: in no other line") \
	/* line "blind": Unix socket calls whose entry was seen and whose return was not */ \
	X(unix_missed_sent,      "sending") \
	X(unix_missed_received,  "receiving") \
	/* where no hook sees a Unix socket's end (socktp) */ \
	X(unix_slots_given,      "slots given to Unix connections") \
	X(unix_slots_swept,      "of these, those found dead by a sweep")
/* clang-format on */

struct sonde_kcounters {
#define X(name, comment) __u64 name;
	SONDE_KCOUNTERS(X)
#undef X
	__u32 ring_credit, wake_credit; /* the kernel side's own: see bpf/lib/ring.h */
} __attribute__((aligned(64)));

#endif
