/* SPDX-License-Identifier: Apache-2.0 */
/* What a store's writer is at, in memory that it shares with who is going to kill it. */
#ifndef SONDE_TESTS_STORE_WATCH_H
#define SONDE_TESTS_STORE_WATCH_H

#include <stdint.h>

enum store_at {
	AT_START, /* no statement yet */
	AT_OPEN,  /* a partition is opened, and what it holds is looked at */
	AT_NEW,	  /* an empty one is made */
	AT_BLOCK, /* spans are written, and what follows up to the commit */
	AT_SEAL,  /* a segment gets its postings */
	AT_CLOSE, /* a partition is full: its log goes */
	AT_EVICT,
	AT_MERGE,
	STORE_ATS,
};

struct store_watch {
	uint32_t at;
	uint32_t times[STORE_ATS]; /* how often it began */
};

#endif
