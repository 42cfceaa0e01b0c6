/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The account of a run that goes on, as text in memory that probe writes and the role that serves can only read:
 * the memory is sealed against every other writer.
 */
#ifndef SONDE_SUPERVISE_LIVE_H
#define SONDE_SUPERVISE_LIVE_H

#include "base/buf.h"

#define LIVE_BYTES (64u << 10)

struct live {
	uint64_t version; /* odd while it is written; 0: nothing has been written yet */
	uint64_t boot_ns; /* when it was: CLOCK_BOOTTIME */
	uint32_t len;
	char text[LIVE_BYTES - 20];
};

/* Mapped for its one writer; *ret_fd is for whoever reads. NULL: errno. */
struct live *live__new(int *ret_fd);
/* The reader's side. NULL: errno. */
const struct live *live__map(int fd);
/* The place of live__new() or live__map(). NULL is fine. */
void live__unmap(const struct live *live);

/* Longer text than there is room for is left out: what stood there stays. 0 or -EMSGSIZE. */
int live__write(struct live *live, struct view text, uint64_t boot_ns);
/*
 * Replaces the content of out. 0; -ENODATA: there is none; -EAGAIN: it was written over again and again meanwhile,
 * or it is broken; -ENOMEM.
 */
int live__read(const struct live *live, struct buf *out, uint64_t *ret_boot_ns);

#endif
