/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attach tiers: which there are, what each needs from the kernel, whether this kernel and these
 * permissions give it. One sentence and one fix each, never a verifier's text.
 */
#ifndef SONDE_PROBE_TIER_H
#define SONDE_PROBE_TIER_H

#include <stdbool.h>
#include <stddef.h>

enum tier_id { TIER_FENTRY = 0, TIER_KPROBE, TIER_SOCKTP, TIERS };

/* What this kernel has; found once, by looking at its BTF and files, without loading a program. */
struct kernel_features {
	bool btf;	    /* /sys/kernel/btf/vmlinux is readable */
	bool root_or_bpf;   /* CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN, are effective */
	bool kprobes;	    /* the kprobe PMU is there */
	bool lockdown;	    /* lockdown=confidentiality: no kprobe, no reading of kernel memory */
	bool perf_paranoid; /* perf_event_paranoid above 2 and no CAP_SYS_ADMIN */
	bool preempt;	    /* preemption is full or lazy: fentry and tp_btf miss hits */
	bool sock_tracepoints; /* sock_send_length, sock_recv_length: 6.3 */
	bool sk_storage;       /* socket storage for tracing programs: 5.11 */
	bool hash_grows;       /* hashes with memory of their own, safe in all programs: 6.1 */
	bool task_storage;     /* task storage for tracing programs: 5.11 */
	/* It is refused while another thread was preempted in it on the same processor: up to 6.1. */
	bool task_storage_shuts;
	bool task_regs; /* typed pointers to the registers of a task's call: 5.15 */
	/*
	 * Functions that kprobes can follow lives by, in the order set_state, destroy_sock, fork,
	 * exit, exec: where one is missing its raw tracepoint is used.
	 */
	bool life_kprobe[5];
	bool casts;	    /* programs may make any address a typed pointer: 6.2 */
	bool sendpage;	    /* do_tcp_sendpages, unix_stream_sendpage: up to 6.4 */
	bool unix_copy;	    /* unix_stream_read_actor is a function of its own */
	bool mptcp;	    /* mptcp_sendmsg */
	bool redirect;	    /* tcp_bpf_sendmsg_redir */
	bool attach_cookie; /* a program may ask at which of its places it runs: 5.15 */
	bool uprobe_multi;  /* many uprobes as one link: 6.6 */
	/* The function that reads what a sockmap has queued for a socket; NULL: there is none. */
	const char *queue_read;
	bool ring_page_safe;	/* fix of CVE-2024-41009: the consumer's page may be handed out */
	unsigned int recv_args; /* number of arguments of tcp_recvmsg */
};

struct tier_report {
	const char *name; /* "fentry", "kprobe", "socktp" */
	bool available;
	char why[200]; /* empty where available and nothing is to be said */
	char fix[200]; /* what to do about it, empty where nothing can be done */
};

const char *tier__name(enum tier_id tier);
/* -EINVAL where there is no tier of that name. */
int tier__by_name(const char *name);
/* The BPF object of a tier, in memory; typed: for a kernel that casts, where there are two. */
const void *tier__object(enum tier_id tier, bool typed, size_t *ret_size);

/* Never fails: what cannot be found out is taken to be missing. */
void kernel_features__read(struct kernel_features *ret);

/* Whether the tier can be tried at all, by features alone; report says why not. */
bool tier__possible(enum tier_id tier, const struct kernel_features *features,
		    struct tier_report *report);

/* Tiers in the order in which they are to be tried on this kernel. Returns how many. */
unsigned int tier__order(const struct kernel_features *features, enum tier_id ret[TIERS]);

#endif
