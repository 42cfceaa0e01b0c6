// SPDX-License-Identifier: Apache-2.0
#include "core/conn.h"

#include <errno.h>
#include <stdlib.h>

#define TABLE_FIRST 256
/* Idle connections looked at, from the longest unused on, before a busy one is given up. */
#define EVICT_TRIES 16

/* Fibonacci hashing: the low bits of an id are a counter. */
static uint32_t place_of(const struct conn_table *table, uint64_t id)
{
	return (uint32_t)((id * 0x9e3779b97f4a7c15ull) >> 32) & (table->size - 1);
}

int conn_table__init(struct conn_table *table, uint32_t max)
{
	*table = (struct conn_table){ .size = TABLE_FIRST, .max = max };
	table->at = calloc(table->size, sizeof(*table->at));
	return table->at ? 0 : -ENOMEM;
}

void conn_table__release(struct core *core)
{
	while (core->conns.lru_first)
		conn__remove(core->conns.lru_first);
	free(core->conns.at);
	core->conns.at = NULL;
}

struct conn *conn__find(struct core *core, uint64_t id)
{
	struct conn_table *table = &core->conns;

	for (uint32_t i = place_of(table, id); table->at[i]; i = (i + 1) & (table->size - 1))
		if (table->at[i]->id == id)
			return table->at[i];
	return NULL;
}

static void place(struct conn_table *table, struct conn *conn)
{
	uint32_t i = place_of(table, conn->id);

	while (table->at[i])
		i = (i + 1) & (table->size - 1);
	table->at[i] = conn;
}

static int grow(struct conn_table *table)
{
	struct conn **old = table->at;
	uint32_t size = table->size;
	struct conn **at = calloc((size_t)size * 2, sizeof(*at));

	if (!at)
		return -ENOMEM;
	table->at = at;
	table->size = size * 2;
	for (uint32_t i = 0; i < size; i++)
		if (old[i])
			place(table, old[i]);
	free(old);
	return 0;
}

/* Takes an entry out and closes the hole, so that searches need no tombstones. */
static void displace(struct conn_table *table, const struct conn *conn)
{
	uint32_t mask = table->size - 1, hole = place_of(table, conn->id), i;

	while (table->at[hole] != conn)
		hole = (hole + 1) & mask;
	for (i = (hole + 1) & mask; table->at[i]; i = (i + 1) & mask) {
		uint32_t home = place_of(table, table->at[i]->id);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			table->at[hole] = table->at[i];
			hole = i;
		}
	}
	table->at[hole] = NULL;
}

static void lru_unlink(struct conn_table *table, struct conn *conn)
{
	*(conn->lru_prev ? &conn->lru_prev->lru_next : &table->lru_first) = conn->lru_next;
	*(conn->lru_next ? &conn->lru_next->lru_prev : &table->lru_last) = conn->lru_prev;
}

static void lru_first(struct conn_table *table, struct conn *conn)
{
	conn->lru_prev = NULL;
	conn->lru_next = table->lru_first;
	*(table->lru_first ? &table->lru_first->lru_prev : &table->lru_last) = conn;
	table->lru_first = conn;
}

void conn__touch(struct conn *conn)
{
	struct conn_table *table = &conn->core->conns;

	if (table->lru_first == conn)
		return;
	lru_unlink(table, conn);
	lru_first(table, conn);
}

void conn__remove(struct conn *conn)
{
	struct core *core = conn->core;

	if (conn->proto && conn->proto->forget)
		conn->proto->forget(conn);
	/* Whoever made room for others is not gone. */
	conn__unshed(conn);
	wheel__clear(&core->wheel, &conn->timer);
	lru_unlink(&core->conns, conn);
	displace(&core->conns, conn);
	core->conns.used--;
	core->account->conns_open = core->conns.used;
	free(conn->early);
	tls__free(conn);
	free(conn->said);
	free(conn);
}

/* The record of a connection's end may have been lost: who has been silent longest goes first. */
static void evict(struct core *core)
{
	struct conn *conn = core->conns.lru_last;

	for (int i = 0; i < EVICT_TRIES && conn->first && conn->lru_prev; i++)
		conn = conn->lru_prev;
	if (conn->first)
		conn = core->conns.lru_last;
	while (conn->first)
		conn__drop(conn, conn->first, &core->account->dropped_bound);
	conn__remove(conn);
}

struct conn *conn__add(struct core *core, uint64_t id)
{
	struct conn_table *table = &core->conns;
	struct conn *conn;

	if (table->used >= table->max)
		evict(core);
	if (table->used >= table->size / 2 && grow(table))
		return NULL;
	conn = calloc(1, sizeof(*conn));
	if (!conn)
		return NULL;
	conn->id = id;
	conn->core = core;
	conn->slot = ~0u;
	place(table, conn);
	lru_first(table, conn);
	core->account->conns_open = ++table->used;
	return conn;
}
