/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to a descriptor that others may share (so its flags are never changed) and whose reader
 * may be slow: a regular file is written at once, a pipe or terminal piece by piece whenever it
 * has room. What waits is bounded; spans are counted as acknowledged when their last byte has
 * been written, as dropped when it cannot be.
 */
#ifndef SONDE_SHIP_WRITER_H
#define SONDE_SHIP_WRITER_H

#include "base/buf.h"
#include "core/account.h"
#include "ship/loop.h"

#define WRITER_MAX_BYTES (16u << 20)

struct writer_mark {
	uint64_t end; /* offset after the last byte of these spans */
	uint64_t spans;
};

struct writer {
	int fd;
	bool direct;   /* always ready: a regular file, /dev/null */
	bool blocked;  /* waits for room */
	bool dead;     /* the reader has gone */
	bool mid_line; /* the last byte written was not the end of a line */
	bool torn; /* half a line was written before writing failed: the next begins a new line */
	int error; /* errno of the last failure, 0: none since asked */
	struct buf pending; /* [begin, len) of it waits */
	size_t begin;
	uint64_t written; /* bytes before that */
	struct writer_mark *marks;
	size_t n_marks, marks_cap, first_mark;
	struct loop *loop;
	struct account_sink *account;
};

int writer__open(struct writer *w, int fd, struct loop *loop, struct account_sink *account);
/*
 * Takes whole lines and the number of spans in them (already counted as queued). What does not fit
 * is dropped and counted.
 */
void writer__put(struct writer *w, struct view lines, uint64_t spans);
/* Writes what can be written without blocking. */
void writer__work(struct writer *w);
bool writer__busy(const struct writer *w);
void writer__abandon(struct writer *w);
void writer__close(struct writer *w);

#endif
