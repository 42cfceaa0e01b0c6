/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a process is: struct message_process with its resource attributes, from what /proc shows. The
 * probe role only looks at text here; executables are opened, never read: that is inspect's part.
 *
 * What a process may read about this: it is looked at once, when it does its first decoded input or
 * output, so its environment is that of its exec. A process that has ended by then is described by
 * what was read of it earlier (the cache keeps the last ones); where it ran its parent's program, by
 * what is to be read of that; else by what the kernel said (PROCESS_GONE).
 */
#ifndef SONDE_PROBE_IDENTITY_H
#define SONDE_PROBE_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "inspect/inspect.h"
#include "probe/service_name.h"

/* An executable file, by what changes when it does. All 0: unknown. */
struct binary_key {
	uint64_t device, inode;
	int64_t mtime_ns;
	uint64_t size;
};

struct identity_query {
	pid_t pid;	   /* in the pid namespace of this process (that /proc shows) */
	uint32_t tgid;	   /* in the initial pid namespace, for the message */
	uint64_t start_ns; /* CLOCK_BOOTTIME; 0: unknown, not compared */
	/*
	 * The parent whose program it still runs (struct sonde_rec_told), for where nothing is to be
	 * read of the process itself; 0: it runs its own, or that is not known.
	 */
	pid_t parent_pid;
	uint32_t forked_from;
	const char *comm; /* as the kernel said, a thread's it may be; "" or NULL: unknown */
	bool exec;	  /* it has just begun this program: what is remembered is of another */
	bool remember;	  /* nobody asks yet: it is read in case it has ended when somebody does */
};

struct identity_hints {
	struct binary_key key; /* of exe_fd's file; else the executable's */
	/*
	 * The executable, opened for inspect: what it is was not clear from its name and the cache
	 * has no answer. Or the archive that a Java virtual machine runs, to see what it brings. The
	 * caller's to close; -1: nothing is to be inspected.
	 */
	int exe_fd;
	enum service_source source; /* where service.name came from */
	bool gone; /* it had ended, or would not let itself be read within a second */
	bool late; /* the latter */
};

/* Answers of inspect by binary, a bounded number of them: the least recently used gives way. */
struct identity_cache;
struct identity_cache *identity_cache__new(unsigned int entries); /* 0: the default, 512 */
void identity_cache__free(struct identity_cache *cache);
void identity_cache__put(struct identity_cache *cache, const struct binary_key *key,
			 const struct inspect_answer *answer);
/* NULL: none. Borrowed until the next call. */
const struct inspect_answer *identity_cache__get(struct identity_cache *cache,
						 const struct binary_key *key);

/*
 * Appends the body of a MSG_PROCESS message (struct message_process and its attributes) to
 * ret_message. While hints->exe_fd is not -1, the message is a first one: runtime and SDK are not
 * known yet (PROCESS_SDK is then set, so that nothing is decided too early); after
 * identity_cache__put() a second call gives the final one.
 * Returns 0, also for a process that is gone; -ENOMEM, or -EMSGSIZE at the limit of ret_message.
 */
int identity__read(struct identity_cache *cache, const struct identity_query *query,
		   struct buf *ret_message, struct identity_hints *ret_hints);

/*
 * Attributes that hold for every process of this host, encoded as in message_process: host.name,
 * host.id, os.type, telemetry.sdk.name and .version, telemetry.distro.name and .version.
 */
int identity__host_attributes(struct buf *ret, uint32_t *ret_n);

#endif
