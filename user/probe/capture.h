/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel side as one object: chooses the tier, loads and attaches it, sets the scope, hands
 * out the descriptors that the trace role maps, reads the counters. Everything is held by file
 * descriptors: nothing is pinned, and nothing is left when the process is gone.
 */
#ifndef SONDE_PROBE_CAPTURE_H
#define SONDE_PROBE_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../headers/counters.h"
#include "../../headers/records.h"
#include "../../headers/settings.h"
#include "base/err.h"
#include "probe/tier.h"

struct capture;

/* A union: one that matches is enough; none at all: the whole machine. Borrowed for the call. */
struct capture_options {
	const pid_t *pids; /* with all that descends from them, now and later */
	unsigned int n_pids;
	const char *const *cgroups; /* paths of cgroup v2 folders */
	unsigned int n_cgroups;	    /* at most SONDE_SCOPE_CGROUPS_MAX */
	const char *const *netns;   /* paths: /proc/PID/ns/net, /run/netns/NAME */
	unsigned int n_netns;
	const uint16_t *ports; /* local or remote */
	unsigned int n_ports;
	/*
	 * Scope by pids although there are none yet: they are added by capture__add_pid(), before a
	 * command runs or as executables are seen.
	 */
	bool pids_later;
	bool exec_events;    /* every exec of the machine on the process ring */
	const char *tier;    /* NULL: the best that loads, fires and does not miss */
	uint32_t ring_bytes; /* a power of two, at least 16 KiB; 0: SONDE_RING_DEFAULT_BYTES */
	uint32_t conns;	     /* 0: SONDE_CONNS_DEFAULT */
	uint32_t slots;	     /* a power of two; 0: SONDE_SLOTS_DEFAULT */
	bool verbose;	     /* libbpf's own words on standard error */
};

/*
 * Loads and attaches. The calling process is never traced, and nobody else is before capture__begin(),
 * but whom capture__add_pid() names. Errors: -EPERM, -ENOTSUP (no tier), -EINVAL (options), -errno;
 * err says what, why and what to do.
 */
int capture__open(const struct capture_options *options, struct capture **ret, struct err *err);

/*
 * Lets those in whom the same options name. When somebody reads the ring: at full load it is full
 * within milliseconds. -errno, with err.
 */
int capture__begin(struct capture *capture, const struct capture_options *options, struct err *err);
/*
 * Takes the hooks off; maps and counters stay, so that what is in the ring can be drained and the
 * account is of a moment when nothing is added. Misses are to be read before.
 */
void capture__detach(struct capture *capture);
/* Detaches everything. NULL is fine. */
void capture__free(struct capture *capture);

/* Descriptors stay the capture's. */
int capture__ring_fd(const struct capture *capture);
int capture__slots_fd(const struct capture *capture);
int capture__switches_fd(const struct capture *capture);
uint32_t capture__ring_bytes(const struct capture *capture);
uint32_t capture__slots(const struct capture *capture);
/* False: a process that maps the ring could corrupt it (CVE-2024-41009): drain it instead. */
bool capture__ring_page_safe(const struct capture *capture);

/* The sum over all processors. */
void capture__counters(const struct capture *capture, struct sonde_kcounters *ret);

/*
 * A descriptor that polls readable when processes are to be looked at, and what reads them:
 * record is PROC or EXEC. Returns how many, or -errno.
 */
int capture__proc_fd(const struct capture *capture);
typedef void (*capture_proc_fn)(void *arg, const struct sonde_rec_told *record);
int capture__poll_procs(struct capture *capture, capture_proc_fn fn, void *arg);

/* pid: as we see it, in our pid namespace. how: SONDE_PID_IN (and all that it forks from now on) or SONDE_PID_OWN (never traced). */
int capture__add_pid(struct capture *capture, pid_t pid, uint32_t how);
/* Add what exists already below pid, too. */
int capture__add_tree(struct capture *capture, pid_t pid);
/* Whether this process is among those that scope by processes; true where there is no such scope. */
bool capture__has_pid(const struct capture *capture, pid_t pid);
/* Our number of the process that is tgid in records; 0: it is outside of our pid namespace. */
pid_t capture__own_id(const struct capture *capture, uint32_t tgid);

const char *capture__tier(const struct capture *capture);
const struct kernel_features *capture__features(const struct capture *capture);

/* Hits that no program saw because another one was running, or no probe instance was free. */
struct capture_miss {
	char program[32];
	bool known; /* false: this kernel does not say */
	uint64_t missed;
};
/* Fills at most max; returns how many programs there are. */
unsigned int capture__misses(const struct capture *capture, struct capture_miss *ret,
			     unsigned int max);

/*
 * Looks at the misses; where fentry or socktp missed hits of calls and kprobes are to be had, goes
 * over to them. Returns 1 when it did (err says why), 0 when not, -errno when going over failed
 * (then the old tier stays).
 */
int capture__check_misses(struct capture *capture, struct err *err);

/* A place for a breakpoint in a file: offset of an instruction, and enum sonde_tls_shape. */
struct tls_point {
	uint64_t offset; /* in the file */
	uint32_t shape;
	/* As in struct inspect_point; 0 where features.attach_cookie is not. */
	uint16_t below;
	uint8_t result, condition;
};

struct tls_hooks;

/* Begins to load the programs for TLS libraries, beside whatever else is done meanwhile. */
void capture__tls_prepare(struct capture *capture);
/*
 * Loads the programs for TLS libraries, once, or waits until they are. -ENOTSUP, -EPERM: this kernel, or these permissions, have
 * none; err says why.
 */
int capture__tls_open(struct capture *capture, struct err *err);
/*
 * Puts breakpoints at these places of a file, in whichever process maps it, now or later. fd stays the
 * caller's. 0, or -errno: then none is there.
 */
int capture__tls_attach(struct capture *capture, int fd, const struct tls_point *points,
			unsigned int n, struct tls_hooks **ret);
/* Takes them off, which waits for the kernel: some 80 ms, before 6.6 for each of them. NULL is fine. */
void tls_hooks__free(struct tls_hooks *hooks);

/*
 * Forgets connections of libraries in processes that have ended, of which no socket was known: with one,
 * they go with it. Returns how many.
 */
unsigned int capture__tls_sweep(struct capture *capture,
				bool (*lives)(pid_t pid, uint64_t start_ns));

/*
 * How long the programs have run while the kernel's statistics were on, and how often; 0 where they
 * never were.
 */
void capture__run_time(const struct capture *capture, uint64_t *ret_ns, uint64_t *ret_runs);

/* Memory that the kernel holds for the maps, in bytes: key and value sizes times entries. */
uint64_t capture__map_bytes(const struct capture *capture);

/*
 * For doctor: every tier, tried for real (loaded, attached, fired, detached) where that is
 * possible. Returns how many tiers are available.
 */
unsigned int capture__report(struct tier_report ret[TIERS]);

#endif
