// SPDX-License-Identifier: Apache-2.0
#include "core/link_map.h"

#include <errno.h>
#include <stdlib.h>

#define BUCKETS_FIRST 64

int map__init(struct map *map)
{
	map->buckets = calloc(BUCKETS_FIRST, sizeof(*map->buckets));
	map->mask = BUCKETS_FIRST - 1;
	map->used = 0;
	return map->buckets ? 0 : -ENOMEM;
}

void map__release(struct map *map)
{
	free(map->buckets);
	map->buckets = NULL;
}

static void put(struct map *map, struct map_link *link)
{
	struct map_link **bucket = &map->buckets[link->hash & map->mask];

	link->next = *bucket;
	link->at = bucket;
	if (link->next)
		link->next->at = &link->next;
	*bucket = link;
}

static void grow(struct map *map)
{
	uint32_t old = map->mask + 1;
	struct map_link **from = map->buckets;
	struct map_link **to = calloc((size_t)old * 2, sizeof(*to));

	if (!to)
		return;
	map->buckets = to;
	map->mask = old * 2 - 1;
	for (uint32_t i = 0; i < old; i++) {
		struct map_link *link = from[i], *next;

		for (; link; link = next) {
			next = link->next;
			put(map, link);
		}
	}
	free(from);
}

void map__add(struct map *map, struct map_link *link, uint64_t hash)
{
	if (map->used > map->mask)
		grow(map);
	link->hash = hash;
	put(map, link);
	map->used++;
}

void map__remove(struct map *map, struct map_link *link)
{
	if (!link->at)
		return;
	*link->at = link->next;
	if (link->next)
		link->next->at = link->at;
	link->at = NULL;
	link->next = NULL;
	map->used--;
}

struct map_link *map__first(const struct map *map, uint64_t hash)
{
	struct map_link *link = map->buckets[hash & map->mask];

	while (link && link->hash != hash)
		link = link->next;
	return link;
}

struct map_link *map__next(const struct map_link *link)
{
	uint64_t hash = link->hash;

	do
		link = link->next;
	while (link && link->hash != hash);
	return (struct map_link *)link;
}
