// SPDX-License-Identifier: Apache-2.0
#include "base/intern.h"

#include <errno.h>
#include <stdlib.h>

#include "base/siphash.h"

#define FIRST 16

static uint32_t hash_of(struct view text)
{
	static const uint8_t key[16] = "sonde's  intern";

	return (uint32_t)siphash24(key, text.at, text.len);
}

/* Where it is, or the free slot where it belongs. */
static uint32_t slot_of(const struct intern *t, struct view text)
{
	uint32_t i = hash_of(text) & (t->n_slots - 1);

	while (t->slots[i] && !view_eq(intern__text(t, t->slots[i] - 1), text))
		i = (i + 1) & (t->n_slots - 1);
	return i;
}

static int grow(struct intern *t)
{
	uint32_t cap = t->cap ? 2 * t->cap : FIRST, *slots, *lens;
	char **texts = reallocarray(t->texts, cap, sizeof(*texts));

	if (!texts)
		return -ENOMEM;
	t->texts = texts;
	lens = reallocarray(t->lens, cap, sizeof(*lens));
	if (!lens)
		return -ENOMEM;
	t->lens = lens;
	slots = calloc(4ul * cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->n_slots = 4 * cap;
	t->cap = cap;
	for (uint32_t i = 0; i < t->n; i++)
		slots[slot_of(t, intern__text(t, i))] = i + 1;
	return 0;
}

long intern__add(struct intern *t, struct view text)
{
	uint32_t slot;
	char *copy;

	if (!t->cap && grow(t))
		return -ENOMEM;
	slot = slot_of(t, text);
	if (t->slots[slot])
		return t->slots[slot] - 1;
	if (t->n == t->max)
		return -ENOSPC;
	if (t->n == t->cap) {
		if (grow(t))
			return -ENOMEM;
		slot = slot_of(t, text);
	}
	copy = malloc(text.len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text.len ? text.at : "", text.len);
	t->texts[t->n] = copy;
	t->lens[t->n] = (uint32_t)text.len;
	t->slots[slot] = ++t->n;
	return t->n - 1;
}

struct view intern__text(const struct intern *t, uint32_t number)
{
	return (struct view){ t->texts[number], t->lens[number] };
}

void intern__free(struct intern *t)
{
	for (uint32_t i = 0; i < t->n; i++)
		free(t->texts[i]);
	free(t->texts);
	free(t->lens);
	free(t->slots);
	*t = (struct intern){ .max = t->max };
}
