/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's helpers in miniature, so that the programs of bpf/lib run as a part of a unit test:
 * found instead of libbpf's header of the same name, as tests/unit is searched first.
 */
#ifndef SONDE_TESTS_BPF_HELPERS_H
#define SONDE_TESTS_BPF_HELPERS_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/bpf.h>

#define SEC(name)
#define __uint(name, value) int(*name)[value]
#define __type(name, value) __typeof__(value) *name
#define __noinline __attribute__((noinline))
#define barrier() __asm__ volatile("" ::: "memory")
#define barrier_var(var) __asm__ volatile("" : "=r"(var) : "0"(var))

#define SHIM_ENTRIES 64

struct shim_entry {
	const void *map;
	uint8_t key[16];
	void *value;
};

struct shim_record {
	struct shim_record *next;
	const void *ring;
	size_t bytes;
	uint8_t data[];
};

/* What the programs run on: reset by shim_reset(). */
static struct {
	struct shim_entry entries[SHIM_ENTRIES];
	struct shim_record *first, **last;
	uint64_t ns, pid_tgid;
	void *task;
} shim;

static void shim_reset(void)
{
	while (shim.first) {
		struct shim_record *next = shim.first->next;

		free(shim.first);
		shim.first = next;
	}
	for (int i = 0; i < SHIM_ENTRIES; i++)
		free(shim.entries[i].value);
	memset(&shim, 0, sizeof(shim));
	shim.last = &shim.first;
	shim.ns = 1000;
}

static struct shim_entry *shim_find(const void *map, const void *key, size_t key_bytes)
{
	for (int i = 0; i < SHIM_ENTRIES; i++)
		if (shim.entries[i].map == map && !memcmp(shim.entries[i].key, key, key_bytes))
			return &shim.entries[i];
	return NULL;
}

static long shim_update(const void *map, const void *key, size_t key_bytes, const void *value,
			size_t value_bytes, uint64_t flags)
{
	struct shim_entry *at = shim_find(map, key, key_bytes);

	if (at && flags == BPF_NOEXIST)
		return -17;
	for (int i = 0; !at && i < SHIM_ENTRIES; i++)
		if (!shim.entries[i].map)
			at = &shim.entries[i];
	if (!at)
		return -7;
	at->map = map;
	memcpy(at->key, key, key_bytes);
	if (!at->value)
		at->value = calloc(1, value_bytes);
	if (value)
		memcpy(at->value, value, value_bytes);
	return 0;
}

static void *shim_lookup(const void *map, size_t type, const void *key, size_t key_bytes,
			 size_t value_bytes)
{
	struct shim_entry *at = shim_find(map, key, key_bytes);

	/* the elements of an array are there from the beginning */
	if (!at && (type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY) &&
	    !shim_update(map, key, key_bytes, NULL, value_bytes, BPF_ANY))
		at = shim_find(map, key, key_bytes);
	return at ? at->value : NULL;
}

static long shim_delete(const void *map, const void *key, size_t key_bytes)
{
	struct shim_entry *at = shim_find(map, key, key_bytes);

	if (!at)
		return -2;
	free(at->value);
	memset(at, 0, sizeof(*at));
	return 0;
}

#define SHIM_TYPE(m) (sizeof(*(m)->type) / sizeof(int))
#define bpf_map_lookup_elem(map, k)                                                                \
	((__typeof__((map)->value))shim_lookup(map, SHIM_TYPE(map), k, sizeof(*(map)->key),        \
					       sizeof(*(map)->value)))
#define bpf_map_update_elem(map, k, v, flags)                                                      \
	shim_update(map, k, sizeof(*(map)->key), v, sizeof(*(map)->value), flags)
#define bpf_map_delete_elem(map, k) shim_delete(map, k, sizeof(*(map)->key))

static void *bpf_ringbuf_reserve(const void *ring, uint64_t bytes, uint64_t flags)
{
	struct shim_record *record = calloc(1, sizeof(*record) + bytes);

	(void)flags;
	record->ring = ring;
	record->bytes = bytes;
	return record->data;
}

static struct shim_record *shim_record_of(void *data)
{
	return (struct shim_record *)((char *)data - offsetof(struct shim_record, data));
}

static void bpf_ringbuf_submit(void *data, uint64_t flags)
{
	(void)flags;
	*shim.last = shim_record_of(data);
	shim.last = &shim_record_of(data)->next;
}

static void bpf_ringbuf_discard(void *data, uint64_t flags)
{
	(void)flags;
	free(shim_record_of(data));
}

#define bpf_ringbuf_query(ring, what) 0ull

static long shim_read(void *to, uint32_t bytes, const void *from)
{
	if (!from)
		return -14;
	memcpy(to, from, bytes);
	return 0;
}

#define bpf_probe_read_user shim_read
#define bpf_probe_read_kernel shim_read
#define bpf_get_smp_processor_id() 0u
#define bpf_get_current_pid_tgid() (shim.pid_tgid)
#define bpf_get_current_task() ((uint64_t)shim.task)
#define bpf_get_current_task_btf() (shim.task)
#define bpf_get_current_comm(to, bytes) memcpy(to, "test", 5)
#define bpf_ktime_get_boot_ns() (++shim.ns)
#define bpf_jiffies64() (shim.ns)
#define bpf_current_task_under_cgroup(map, index) 0
#define bpf_task_storage_get(map, task, value, flags) ((void *)NULL)

#endif
