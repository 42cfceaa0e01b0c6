// SPDX-License-Identifier: Apache-2.0
/*
 * What inspect said of executables. A few hundred entries, found by a walk: it is asked once a
 * process, and the entries' keys lie side by side.
 */
#include <stdlib.h>
#include <string.h>

#include "probe/identity.h"
#include "probe/identity_memory.h"

#define ENTRIES_DEFAULT 512

struct entry {
	struct binary_key key;
	uint64_t used; /* 0: free */
};

struct identity_cache {
	unsigned int n;
	uint64_t clock;
	struct entry *entries;
	struct inspect_answer **answers; /* allocated as they come */
	struct identity_memory *memory;
};

static bool same(const struct binary_key *a, const struct binary_key *b)
{
	return a->device == b->device && a->inode == b->inode && a->mtime_ns == b->mtime_ns &&
	       a->size == b->size;
}

struct identity_cache *identity_cache__new(unsigned int entries)
{
	struct identity_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return NULL;
	cache->n = entries ? entries : ENTRIES_DEFAULT;
	cache->entries = calloc(cache->n, sizeof(*cache->entries));
	cache->answers = calloc(cache->n, sizeof(*cache->answers));
	cache->memory = memory__new();
	if (!cache->entries || !cache->answers || !cache->memory) {
		identity_cache__free(cache);
		return NULL;
	}
	return cache;
}

void identity_cache__free(struct identity_cache *cache)
{
	if (!cache)
		return;
	for (unsigned int i = 0; cache->answers && i < cache->n; i++)
		free(cache->answers[i]);
	memory__free(cache->memory);
	free(cache->answers);
	free(cache->entries);
	free(cache);
}

struct identity_memory *identity_cache__memory(struct identity_cache *cache)
{
	return cache->memory;
}

void identity_cache__put(struct identity_cache *cache, const struct binary_key *key,
			 const struct inspect_answer *answer)
{
	unsigned int at = 0;

	for (unsigned int i = 0; i < cache->n; i++) {
		if (cache->entries[i].used && same(&cache->entries[i].key, key)) {
			at = i;
			break;
		}
		if (cache->entries[i].used < cache->entries[at].used)
			at = i;
	}
	if (!cache->answers[at])
		cache->answers[at] = malloc(sizeof(*answer));
	if (!cache->answers[at])
		return;
	*cache->answers[at] = *answer;
	cache->entries[at] = (struct entry){ .key = *key, .used = ++cache->clock };
}

const struct inspect_answer *identity_cache__get(struct identity_cache *cache,
						 const struct binary_key *key)
{
	for (unsigned int i = 0; i < cache->n; i++) {
		if (!cache->entries[i].used || !same(&cache->entries[i].key, key))
			continue;
		cache->entries[i].used = ++cache->clock;
		return cache->answers[i];
	}
	return NULL;
}
