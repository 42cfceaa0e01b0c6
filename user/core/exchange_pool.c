// SPDX-License-Identifier: Apache-2.0
#include "core/exchange_pool.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/tracer.h"

/* Buffers that grew beyond this are not kept: a flood of large heads must not stay in memory. */
#define KEEP_TEXT_BYTES 4096
#define KEEP_FIELDS 64
#define FIRST_FIELDS 16

struct exchange_pool {
	struct conn_exchange *all;
	struct exchange *idle;
	uint32_t max, made, used;
	bool no_response_fields;
};

struct exchange_pool *exchange_pool__new(uint32_t max)
{
	struct exchange_pool *pool = calloc(1, sizeof(*pool));

	if (pool)
		pool->max = max;
	return pool;
}

void exchange_pool__leave_out_response_fields(struct exchange_pool *pool)
{
	pool->no_response_fields = true;
}

void exchange_pool__free(struct exchange_pool *pool)
{
	struct conn_exchange *x, *next;

	if (!pool)
		return;
	for (x = pool->all; x; x = next) {
		next = x->all;
		buf__free(&x->ex.text);
		buf__free(&x->ex.response_text);
		buf__free(&x->ex.body);
		free(x->ex.fields.at);
		free(x->ex.response_fields.at);
		free(x);
	}
	free(pool);
}

uint32_t exchange_pool__used(const struct exchange_pool *pool)
{
	return pool->used;
}

/* What is not said anew, nor kept: the members from `fields` on exchange__free() has emptied. */
static void clear(struct exchange *ex)
{
	const size_t from = offsetof(struct exchange, response_tid);

	memset((char *)ex + from, 0, offsetof(struct exchange, fields) - from);
}

struct exchange *exchange_pool__get(struct exchange_pool *pool)
{
	struct conn_exchange *x;

	if (pool->idle) {
		x = conn_exchange(pool->idle);
		pool->idle = x->ex.next;
		clear(&x->ex);
	} else {
		if (pool->made >= pool->max)
			return NULL;
		x = calloc(1, sizeof(*x));
		if (!x)
			return NULL;
		x->ex.pool = pool;
		x->ex.no_response_fields = pool->no_response_fields;
		x->ex.text.max = x->ex.response_text.max = SONDE_HEAD_MAX_BYTES;
		x->ex.body.max = SONDE_EXPORT_BODY_MAX_BYTES;
		x->all = pool->all;
		pool->all = x;
		pool->made++;
	}
	pool->used++;
	return &x->ex;
}

struct exchange *exchange_pool__next(const struct exchange_pool *pool)
{
	return pool->idle;
}

static void reset_buf(struct buf *b)
{
	if (b->cap > KEEP_TEXT_BYTES)
		buf__free(b);
	else
		buf__clear(b);
}

static void reset_fields(struct header_fields *fields)
{
	header_fields__clear(fields);
	if (fields->cap <= KEEP_FIELDS)
		return;
	free(fields->at);
	*fields = (struct header_fields){ 0 };
}

void exchange__free(struct exchange *ex)
{
	struct conn_exchange *x = conn_exchange(ex);

	if (!ex)
		return;
	reset_buf(&ex->text);
	reset_buf(&ex->response_text);
	reset_buf(&ex->body);
	reset_fields(&ex->fields);
	reset_fields(&ex->response_fields);
	x->prev = x->next = NULL;
	x->conn = NULL;
	x->response_from = RESPONSE_FROM_ANY;
	x->announced = x->begun = false;
	ex->next = ex->pool->idle;
	ex->pool->idle = ex;
	ex->pool->used--;
}

int header_fields__grow(struct header_fields *fields)
{
	unsigned int more = fields->cap ? fields->cap * 2 : FIRST_FIELDS;
	struct header_field *at;

	if (fields->cap >= EXCHANGE_FIELDS_MAX)
		return -ENOSPC;
	at = realloc(fields->at, more * sizeof(*at));
	if (!at)
		return -ENOMEM;
	fields->at = at;
	fields->cap = more;
	return 0;
}
