/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where exchanges come from: a bounded pool whose members keep their buffers, so that nothing is
 * allocated per exchange once traffic is steady.
 */
#ifndef SONDE_CORE_EXCHANGE_POOL_H
#define SONDE_CORE_EXCHANGE_POOL_H

#include "core/exchange.h"
#include "core/proto/http1.h"

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
	struct http1_kept
		kept[2]; /* of the response, of the request: not emptied with the exchange */
};

#define RESPONSE_FROM_ANY 0

static inline struct conn_exchange *conn_exchange(struct exchange *ex)
{
	return (struct conn_exchange *)ex;
}

/* At most max exchanges in use at once. NULL: no memory. */
struct exchange_pool *exchange_pool__new(uint32_t max);
/* Of responses' fields only those are read that say where a message ends: from the next exchange made. */
void exchange_pool__leave_out_response_fields(struct exchange_pool *pool);
/* Frees every member, those in use too: nobody may hold one any more. NULL is accepted. */
void exchange_pool__free(struct exchange_pool *pool);
/* A zeroed exchange; NULL where the bound is reached or memory is short. exchange__free() gives it back. */
struct exchange *exchange_pool__get(struct exchange_pool *pool);
/* What exchange_pool__get() will give, where that is one that was used before; else NULL. */
struct exchange *exchange_pool__next(const struct exchange_pool *pool);
/* Exchanges in use now. */
uint32_t exchange_pool__used(const struct exchange_pool *pool);

/* -ENOSPC: at EXCHANGE_FIELDS_MAX; -ENOMEM. */
int header_fields__grow(struct header_fields *fields);

/* Appends a field. Errors of header_fields__grow(). */
static inline int header_fields__add(struct header_fields *fields, struct header_field field)
{
	int err = fields->n == fields->cap ? header_fields__grow(fields) : 0;

	if (err)
		return err;
	fields->at[fields->n++] = field;
	fields->lengths |= header_length_bit(field.name.len);
	return 0;
}

static inline void header_fields__clear(struct header_fields *fields)
{
	fields->n = 0;
	fields->lengths = 0;
}

#endif
