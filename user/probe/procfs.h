/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc of one process, read as what it is: text that the process may have written itself. Every
 * read is bounded in bytes, never blocks on a FIFO, and goes through a descriptor of /proc/PID: the
 * kernel binds that directory to the process, so that once its start time has been compared,
 * nothing read through it can come from a later process with the same pid (it fails with -ESRCH).
 *
 * What it cannot bound is time: a process can make the kernel wait while its memory is read
 * (userfaultfd, a FUSE file mapped over its own environment). Callers that must not wait run this
 * in a thread that they can do without (identity_worker.h).
 */
#ifndef SONDE_PROBE_PROCFS_H
#define SONDE_PROBE_PROCFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Bounds of what is read of one process. */
#define PROCFS_ENVIRON_MAX_BYTES (256 * 1024)
#define PROCFS_CMDLINE_MAX_BYTES (128 * 1024)
#define PROCFS_CGROUP_MAX_BYTES (16 * 1024)
#define PROCFS_MOUNTINFO_MAX_BYTES (512 * 1024)
#define PROCFS_MAPS_MAX_BYTES (1024 * 1024)

/*
 * Opens /proc/PID (O_PATH) and compares its start with start_ns (CLOCK_BOOTTIME nanoseconds, as in
 * task_struct.start_boottime; 0: not compared). *ret_start_ns (may be NULL) is start_ns, or, where
 * that is 0, what /proc says (in clock ticks, so rounded down).
 * Returns the descriptor, owned by the caller; -ESRCH: there is no such process, it is another one
 * by now, or it has ended and only waits for its parent.
 */
int procfs__open(pid_t pid, uint64_t start_ns, uint64_t *ret_start_ns);

/*
 * Reads file `name` of the process into to[], at most max - 1 bytes, and adds a NUL. Returns the
 * number of bytes read, or a negative errno. A longer file is cut, *ret_cut (may be NULL) says so.
 */
ssize_t procfs__read(int proc, const char *name, char *to, size_t max, bool *ret_cut);

/*
 * The same into memory of the right size (*ret_bytes, malloc'ed, NUL added, for the caller to
 * free()), at most max bytes.
 */
ssize_t procfs__read_all(int proc, const char *name, char **ret_bytes, size_t max);

/* Reads the link `name` ("exe", "cwd", "ns/net"); NUL added. Returns its length or a negative errno. */
ssize_t procfs__link(int proc, const char *name, char *to, size_t max);

/* The number behind `key` at the start of a line of a file of the kernel's ("Pss:"); 0: there is none. */
uint64_t procfs__number(const char *path, const char *key);

/* The inode number of namespace `name` ("net"), or 0. */
uint32_t procfs__namespace(int proc, const char *name);

/*
 * The field `starttime` and the state letter of the text of /proc/PID/stat. comm is between the
 * first "(" and the LAST ")": it may hold parentheses and blanks itself (man 5 proc).
 * -EPROTO: this is not such a text.
 */
int procfs__parse_stat(const char *text, size_t len, uint64_t *ret_start_ticks, char *ret_state);

#endif
