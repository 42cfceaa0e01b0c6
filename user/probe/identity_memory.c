// SPDX-License-Identifier: Apache-2.0
#include "probe/identity_memory.h"

#include <stdlib.h>
#include <string.h>

struct identity_memory {
	struct known_process ring[MEMORY_PROCESSES];
	unsigned int next;
};

struct identity_memory *memory__new(void)
{
	return calloc(1, sizeof(struct identity_memory));
}

void memory__free(struct identity_memory *memory)
{
	if (!memory)
		return;
	for (unsigned int i = 0; i < MEMORY_PROCESSES; i++)
		buf__free(&memory->ring[i].attributes.bytes);
	free(memory);
}

static struct known_process *find(const struct identity_memory *memory, uint32_t tgid,
				  uint64_t start_ns)
{
	for (unsigned int i = 0; i < MEMORY_PROCESSES; i++) {
		const struct known_process *p = &memory->ring[i];

		if (p->message.tgid == tgid && p->message.tgid_start_ns == start_ns && tgid)
			return (struct known_process *)p;
	}
	return NULL;
}

void memory__put(struct identity_memory *memory, const struct known_process *process)
{
	struct known_process *to =
		find(memory, process->message.tgid, process->message.tgid_start_ns);
	struct buf bytes;

	if (process->attributes.bytes.len > MEMORY_ATTRIBUTES_MAX_BYTES)
		return;
	if (!to) {
		to = &memory->ring[memory->next];
		memory->next = (memory->next + 1) % MEMORY_PROCESSES;
	}
	bytes = to->attributes.bytes;
	*to = *process;
	to->attributes.bytes = bytes;
	buf__clear(&to->attributes.bytes);
	buf__add(&to->attributes.bytes, process->attributes.bytes.at,
		 process->attributes.bytes.len);
	if (to->attributes.bytes.err)
		to->message.tgid = 0;
}

const struct known_process *memory__get(const struct identity_memory *memory, uint32_t tgid,
					uint64_t start_ns)
{
	return find(memory, tgid, start_ns);
}

const struct known_process *memory__parent(const struct identity_memory *memory, uint32_t tgid,
					   uint64_t start_ns)
{
	const struct known_process *last = NULL;

	for (unsigned int i = 0; i < MEMORY_PROCESSES; i++) {
		const struct known_process *p = &memory->ring[i];

		if (p->message.tgid == tgid && tgid && p->message.tgid_start_ns <= start_ns &&
		    (!last || p->message.tgid_start_ns > last->message.tgid_start_ns))
			last = p;
	}
	return last;
}

void memory__forget(struct identity_memory *memory, uint32_t tgid, uint64_t start_ns)
{
	struct known_process *p = find(memory, tgid, start_ns);

	if (p)
		p->message.tgid = 0;
}
