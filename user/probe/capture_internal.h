/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the capture share among themselves. */
#ifndef SONDE_PROBE_CAPTURE_INTERNAL_H
#define SONDE_PROBE_CAPTURE_INTERNAL_H

#include <bpf/libbpf.h>

#include "probe/capture.h"
#include "probe/processes.h"
#include "probe/scope.h"

#define CAPTURE_LINKS_MAX 32
#define CAPTURE_PASSES 3
#define CAPTURE_PROGRAMS_MAX (CAPTURE_LINKS_MAX + 1)
/* So many programs are loaded at once; each object holds the kernel's types while it is. */
#define CAPTURE_OBJECTS 2

/* A tier in the kernel. */
struct loaded {
	struct bpf_object *objects[CAPTURE_OBJECTS];	    /* of one file; each has all maps */
	struct bpf_program *programs[CAPTURE_PROGRAMS_MAX]; /* that are loaded, as in the file */
	unsigned int n_programs;
};

struct capture {
	struct kernel_features features;
	struct processes *processes;
	enum tier_id tier;
	struct loaded loaded;
	struct bpf_link *links[CAPTURE_LINKS_MAX];
	unsigned int n_links;
	struct sonde_kcounters *counters; /* mapped, one a processor */
	struct scope_pids pids;
	struct ring_buffer *procs;
	capture_proc_fn proc_fn;
	void *proc_arg;
	unsigned int cpus;
	uint32_t ring_bytes, conns, slots, scope;
	bool exec_events;
	int storage_fails; /* 0: it does not; 1: found out just now; 2: is not used any more */
	uint64_t seed[2];
	uint64_t misses_seen;			     /* when last looked at */
	struct capture_miss left[CAPTURE_LINKS_MAX]; /* what a tier that was left had missed */
	unsigned int n_left;
	struct bpf_link *sweep;		 /* NULL: this tier needs none */
	uint64_t slots_given;		 /* to Unix connections, when last looked at */
	uint32_t sweep_wait, sweep_left; /* ticks between sweeps, and to the next one */
	struct tls_loading *tls_loading; /* while they are loaded; NULL: they are not */
	struct bpf_object *tls;		 /* programs for TLS libraries; NULL: not loaded */
};

/* With options checked; no tier yet. NULL: no memory. */
struct capture *capture__new(const struct capture_options *options);
/* Loads a tier; maps that outlive a change of tier are taken from `from`. ret is untouched on failure. */
int capture__load(const struct capture *capture, enum tier_id tier, const struct bpf_object *from,
		  struct loaded *ret);
/* An object of this tier's settings and maps, with its programs still to be chosen and loaded. */
int capture__prepare(const struct capture *capture, const void *elf, size_t size,
		     struct bpf_object **ret);
/* Shares the tier's maps with it, all but its constants. */
int capture__share_maps(const struct capture *capture, struct bpf_object *object);
void capture__tls_close(struct capture *capture);
void loaded__close(struct loaded *loaded);
void capture__drop(struct capture *capture);
int capture__map_fd(const struct capture *capture, const char *name);

/* In which of the CAPTURE_PASSES over the programs this one is attached; links are in that order. */
unsigned int capture__pass(const struct bpf_program *program);

/* Goes over to another tier; ring, slots, counters and scope stay. 1, or -errno: nothing changed. */
int capture__demote(struct capture *capture, enum tier_id tier, struct err *err);

/*
 * Looks for connections that ended unseen (socktp: Unix sockets), says that they are gone and frees
 * their slots. tick: once a second; costs nothing unless there are some.
 */
bool capture__is_sweep(const struct bpf_program *program);
int capture__sweep_attach(struct capture *capture);
void capture__sweep_detach(struct capture *capture);
void capture__sweep(struct capture *capture);
void capture__sweep_tick(struct capture *capture);

/*
 * Passes a few bytes between two sockets of this process and looks whether the programs saw them;
 * leaves no trace in ring and counters, so nobody else may be in scope yet. 0, or -ENOTSUP where
 * they did not fire.
 */
int capture__selftest(struct capture *capture);

#endif
