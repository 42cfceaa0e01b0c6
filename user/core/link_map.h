/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hash table of members that carry their own link: nothing is allocated per member, and a member
 * can be in several tables. Hashes must come from a keyed function: what is hashed is hostile.
 */
#ifndef SONDE_CORE_LINK_MAP_H
#define SONDE_CORE_LINK_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_link {
	struct map_link *next, **at; /* at == NULL: in no table */
	uint64_t hash;
};

struct map {
	struct map_link **buckets;
	uint32_t mask; /* buckets - 1 */
	uint32_t used;
};

#define map_entry(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

/* -ENOMEM. */
int map__init(struct map *map);
void map__release(struct map *map);
/* Grows by itself; where there is no memory for that it only gets slower. */
void map__add(struct map *map, struct map_link *link, uint64_t hash);
/* A member that is in no table is left alone. */
void map__remove(struct map *map, struct map_link *link);
/* Members of this hash, in no order: the caller compares keys. */
struct map_link *map__first(const struct map *map, uint64_t hash);
struct map_link *map__next(const struct map_link *link);

#endif
