/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was read of the last processes, for those that end before inspect has answered for their
 * executable, or before trace asks for them again.
 */
#ifndef SONDE_PROBE_IDENTITY_MEMORY_H
#define SONDE_PROBE_IDENTITY_MEMORY_H

#include "core/message.h"
#include "probe/identity.h"
#include "probe/identity_attributes.h"

#define MEMORY_PROCESSES 128
#define MEMORY_ATTRIBUTES_MAX_BYTES 4096 /* of one process; one that has more is not kept */

/* A process as far as it is known without inspect's answer. */
struct known_process {
	struct message_process message; /* runtime: by name and libraries; flags without SDK */
	struct attributes attributes;
	struct binary_key subject_key; /* what inspect is asked about */
	bool asks;		       /* there is something to ask about */
	bool asked;		       /* it was handed out, see identity_hints.exe_fd */
	bool sdk;		       /* sdk_detect__loaded() */
	bool named;		       /* gone before it was read: comm is all that is known */
	enum service_source source;
	char comm[17];
};

struct identity_memory;
struct identity_memory *memory__new(void);
void memory__free(struct identity_memory *memory);

/* Keeps a copy; the oldest gives way. */
void memory__put(struct identity_memory *memory, const struct known_process *process);
/* NULL: not kept. Borrowed until the next memory__put(). */
const struct known_process *memory__get(const struct identity_memory *memory, uint32_t tgid,
					uint64_t start_ns);
/* Of the last process of that number that began no later. */
const struct known_process *memory__parent(const struct identity_memory *memory, uint32_t tgid,
					   uint64_t start_ns);
void memory__forget(struct identity_memory *memory, uint32_t tgid, uint64_t start_ns);

/* The cache's own. */
struct identity_memory *identity_cache__memory(struct identity_cache *cache);

#endif
