/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where exchanges come from: a bounded pool whose members keep their buffers, so that nothing is
 * allocated per exchange once traffic is steady.
 */
#ifndef SONDE_CORE_EXCHANGE_POOL_H
#define SONDE_CORE_EXCHANGE_POOL_H

#include "core/exchange.h"

struct conn;

/* An exchange and what only the connection layer knows about it. ex comes first: cast either way. */
struct conn_exchange {
	struct exchange ex;
	struct conn_exchange *all;	   /* every member of the pool, in use or not */
	struct conn_exchange *prev, *next; /* open exchanges of the engine */
	struct conn *conn;
	/*
	 * How far the other direction had got when the request's turn began: no response that
	 * begins before that is this request's. RESPONSE_FROM_ANY: not known.
	 */
	uint64_t response_from;
	bool announced; /* tracer__request() was called */
	bool begun;	/* a record that the kernel counted as begun stands for it */
};

#define RESPONSE_FROM_ANY 0

static inline struct conn_exchange *conn_exchange(struct exchange *ex)
{
	return (struct conn_exchange *)ex;
}

/* At most max exchanges in use at once. NULL: no memory. */
struct exchange_pool *exchange_pool__new(uint32_t max);
/* Frees every member, those in use too: nobody may hold one any more. NULL is accepted. */
void exchange_pool__free(struct exchange_pool *pool);
/* A zeroed exchange; NULL where the bound is reached or memory is short. exchange__free() gives it back. */
struct exchange *exchange_pool__get(struct exchange_pool *pool);
/* Exchanges in use now. */
uint32_t exchange_pool__used(const struct exchange_pool *pool);

/* Appends a field to one of the two arrays of an exchange. -ENOSPC: at EXCHANGE_FIELDS_MAX; -ENOMEM. */
int exchange__add_field(struct header_field **fields, unsigned int *n, unsigned int *cap,
			struct header_field field);

#endif
