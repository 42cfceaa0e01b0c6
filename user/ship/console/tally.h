/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate, errors and duration by service and by operation, over time, and how much a service had to do at once.
 * What is counted is of a range of time, by when spans began. Memory is bounded: what is one service or
 * operation too many is counted, and left out. Pure.
 */
#ifndef SONDE_SHIP_TALLY_H
#define SONDE_SHIP_TALLY_H

#include "base/histogram.h"
#include "base/intern.h"
#include "ship/console/row.h"

#define TALLY_SERVICES_MAX 256
#define TALLY_OPERATIONS_MAX 1024
#define TALLY_BUCKETS_MAX 240
/* Of one service: with more of them it is not known what was at work at the same time. */
#define TALLY_INTERVALS_MAX (1u << 18)

struct tally_count {
	uint64_t count, errors;
	struct histogram durations;
};

struct tally_bucket {
	struct tally_count of;
	uint64_t
		work_ns; /* of all requests, in this bucket's time: divided by its width, how many on average */
	uint64_t busy_ns; /* in which there was any */
	uint32_t peak;	  /* the most at one time */
};

/* What a service was asked (server, consumer); where it was asked nothing, what it called, or did. */
enum tally_side { SIDE_SERVER = 0, SIDE_CLIENT, SIDE_OTHER, SIDES };

struct tally_side_of {
	struct tally_count all;
	struct tally_bucket *buckets; /* n_buckets of the tally; NULL: none */
	struct tally_interval {
		uint64_t start_ns, end_ns;
	} * intervals;
	uint32_t n_intervals, cap_intervals;
	bool many; /* more than are kept: busy_ns and peak are not known */
	uint64_t work_ns, busy_ns;
	uint32_t peak;
};

struct tally_service {
	struct tally_side_of sides[SIDES];
};

struct tally_operation {
	uint32_t service; /* its number */
	uint32_t kind;
	bool inferred;		 /* the name is a path without its identifiers */
	struct view name, asked; /* asked: as the spans are called */
	struct tally_count of;
};

struct tally {
	uint64_t start_ns, end_ns, width_ns; /* of the range; of a bucket */
	unsigned int n_buckets;		     /* 0: not over time */
	struct intern services, operations, names;
	struct tally_service *at;    /* by the number of the service */
	struct tally_operation *ops; /* by the number of the operation */
	uint32_t cap, cap_ops;
	uint64_t spans, left_out; /* left_out: for a bound */
	struct buf text;
	bool failed; /* out of memory */
};

/* An empty one for a range; n_buckets 0: without time. Freed by tally__free(). */
void tally__init(struct tally *t, uint64_t start_ns, uint64_t end_ns, unsigned int n_buckets);
/* A span that begins outside of the range is passed over. */
void tally__add(struct tally *t, const struct row *row);
/* Adds the operations of another one, not what is over time. */
void tally__merge(struct tally *t, const struct tally *from);
/* After the last span: what was at work at the same time. */
void tally__finish(struct tally *t);
/* Which side says most of a service. */
enum tally_side tally__side(const struct tally_service *service);
void tally__free(struct tally *t);

#endif
