/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files with functions of TLS libraries the processes in scope have mapped, and the breakpoints
 * in them. A file is known by device and inode, looked at once, and hooked as a whole: whoever maps it
 * meets the breakpoints, and the programs behind them ask at once whether he is in scope.
 */
#ifndef SONDE_PROBE_TLS_WATCH_H
#define SONDE_PROBE_TLS_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "probe/capture.h"
#include "probe/identify.h"

/*
 * Files that are known at once: with functions of TLS libraries, or without. Beyond it those that were not mapped
 * for longest are forgotten, and looked at again when they are.
 */
#define TLS_FILES_MAX 1024

struct tls_watch;

/* What became of files. */
struct tls_watch_counts {
	uint64_t files;	 /* looked at */
	uint64_t hooked; /* with breakpoints now */
	uint64_t hooked_ever,
		let_go;	  /* how often breakpoints were set; taken off, as nobody had it mapped */
	uint64_t full;	  /* not looked at: TLS_FILES_MAX are known, and all in use */
	uint64_t refused; /* inspect or the kernel could not */
	uint64_t
		broken; /* programs or libraries that are not whole, or reach past a bound of inspect */
	uint64_t gone;	   /* mapped by processes that had ended when they were to be looked at */
	uint64_t unhooked; /* functions whose ends are not known */
	uint64_t lost;	   /* mappings that were not told: the kernel's ring was full */
};

/* Nothing is hooked yet, or loaded. capture and identify are borrowed. verbose: says what is hooked. */
int tls_watch__new(struct capture *capture, struct identify *identify, bool verbose,
		   struct tls_watch **ret, struct err *err);
/* Takes off all breakpoints. NULL is fine. */
void tls_watch__free(struct tls_watch *watch);

/* Learns from now on of every file that a process maps to execute. -errno. */
int tls_watch__follow(struct tls_watch *watch);
/* Polls readable when there is something for tls_watch__read(). */
int tls_watch__fd(const struct tls_watch *watch);
void tls_watch__read(struct tls_watch *watch);

/* Looks at what the processes in scope have mapped already. */
void tls_watch__running(struct tls_watch *watch);
/*
 * Looks at the libraries that lie where the system has its own: a command that is about to be run
 * would otherwise be over before they are hooked, and so would be what it runs later: they stay so to the end.
 */
void tls_watch__system(struct tls_watch *watch);

/* Looks at a program that is about to be run. */
void tls_watch__file(struct tls_watch *watch, const char *path);
/* To be called now and then while there is traffic: forgets what ended processes had open. */
void tls_watch__tick(struct tls_watch *watch, uint64_t now_ns);

/*
 * Takes breakpoints off files that no process in scope has had mapped for TLS_GRACE_NS; they are set again when
 * one maps it. Returns when it wants to be called (CLOCK_BOOTTIME); 0: not.
 */
uint64_t tls_watch__look(struct tls_watch *watch, uint64_t now_ns);

void tls_watch__counts(const struct tls_watch *watch, struct tls_watch_counts *ret);

#endif
