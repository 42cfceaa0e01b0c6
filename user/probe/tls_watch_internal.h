/* SPDX-License-Identifier: Apache-2.0 */
/* What the files about TLS libraries share: tls_watch.c (met, looked at, hooked), tls_leave.c (let go). */
#ifndef SONDE_PROBE_TLS_WATCH_INTERNAL_H
#define SONDE_PROBE_TLS_WATCH_INTERNAL_H

#include <pthread.h>
#include <time.h>

#include "probe/tls_maps.h"
#include "probe/tls_use.h"
#include "probe/tls_watch.h"

/* In this order: waits to be asked for, is asked for; without such functions; with them, hooked or not. */
enum file_state { FILE_WAITS = 1, FILE_ASKED, FILE_PLAIN, FILE_KNOWN, FILE_HOOKED };

/* A file by what tells it from a later one with the same numbers. */
struct file_key {
	uint64_t device, inode, bytes;
	struct timespec written, changed;
};

struct tls_file {
	struct tls_watch *watch;
	struct file_key key;
	/* as mappings name it, which is not what stat(2) says on overlayfs and btrfs; 0, 0: not known yet */
	uint64_t map_device, map_inode;
	enum file_state state;
	int fd;		 /* -1: not needed any more */
	char name[64];	 /* the end of its path, for messages */
	bool kept;	 /* hooked before anybody has mapped it, and to the end */
	uint64_t met_ns; /* last time that it was mapped */
	struct tls_use use;
	struct tls_hooks *hooks;
	struct tls_point *points; /* where they belong */
	unsigned int n_points;
};

struct tls_watch {
	struct capture *capture;
	struct identify *identify;
	struct tls_maps *maps;
	int epoll; /* of the mappings, and of the ends of processes */
	bool verbose;
	struct tls_file *files[TLS_FILES_MAX];
	unsigned int n_files, n_asked;
	bool advance;			      /* what is looked at now nobody has mapped yet */
	struct tls_hooks *off[TLS_FILES_MAX]; /* what is taken off beside the loop */
	unsigned int n_off;
	bool taking_off;
	pthread_t thread;
	uint64_t swept_ns;
	uint64_t lost, listed_ns; /* mappings that were looked for since; when that was */
	int refused;		  /* -errno: the kernel takes no programs for TLS libraries */
	struct tls_watch_counts counts;
};

/* By stat(2)'s numbers; NULL. */
struct tls_file *tls_watch__find(struct tls_watch *watch, uint64_t device, uint64_t inode);
/* Of those with breakpoints, by the numbers that mappings have: others may be another file's by now. NULL. */
struct tls_file *tls_watch__find_mapped(struct tls_watch *watch, const struct tls_mapping *m);
/* By its name: a shared library that may have such functions, or a program, which may have a library in it. */
bool tls_watch__is_worth(const char *path);
/* In the process's own view, and as it was mapped: it may have been deleted or replaced since. -1: it has ended. */
int tls_watch__open_mapped(pid_t pid, uint64_t start, uint64_t end, const char *path);
/* Everything that the processes in scope have mapped; only_lacking: until all files with breakpoints have somebody. */
void tls_watch__each_mapping(struct tls_watch *watch, tls_mapping_fn fn, bool only_lacking);
/*
 * What the kernel could not tell of is there to be seen, if it is there still: looked for. Returns when to be called
 * again; 0: there is nothing left to be looked for.
 */
uint64_t tls_watch__make_up(struct tls_watch *watch, uint64_t now_ns);
/* What is being taken off is off. */
void tls_watch__wait_off(struct tls_watch *watch);

#endif
