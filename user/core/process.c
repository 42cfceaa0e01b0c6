// SPDX-License-Identifier: Apache-2.0
#include "core/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/siphash.h"
#include "core/otlp.h"

#define ATTRIBUTES_MAX 128
#define RESOURCE_MAX_BYTES 65536
#define PAIR_HEAD_BYTES 8 /* u16 key length, u16 value length, u8 type, u8 pad[3] */
enum { PAIR_STRING = 0, PAIR_INT = 1 };

struct pair {
	struct view key, text;
	int64_t number;
	bool is_int;
};

static uint64_t hash_key(const struct process_table *table, struct process_key key)
{
	uint64_t bytes[2] = { key.tgid, key.start_ns };

	return siphash24(table->config->fleet_key, bytes, sizeof(bytes));
}

int process_table__init(struct process_table *table, const struct engine_config *config)
{
	*table = (struct process_table){ .config = config, .generation = 1 };
	table->max = config->processes_max ? config->processes_max : PROCESSES_MAX_DEFAULT;
	return map__init(&table->by_key);
}

static void lru_unlink(struct process_table *table, struct process *p)
{
	*(p->lru_prev ? &p->lru_prev->lru_next : &table->lru_first) = p->lru_next;
	*(p->lru_next ? &p->lru_next->lru_prev : &table->lru_last) = p->lru_prev;
}

static void lru_front(struct process_table *table, struct process *p)
{
	p->lru_prev = NULL;
	p->lru_next = table->lru_first;
	*(table->lru_first ? &table->lru_first->lru_prev : &table->lru_last) = p;
	table->lru_first = p;
}

static struct process **recent_of(struct process_table *table, uint32_t tgid)
{
	return &table->recent[tgid & (PROCESSES_RECENT - 1)];
}

/* It has ended, or is forgotten: it must be found by the table alone, or not at all. */
static void leave_recent(struct process_table *table, const struct process *p)
{
	struct process **recent = recent_of(table, p->key.tgid);

	if (*recent == p)
		*recent = NULL;
}

static void forget(struct process_table *table, struct process *p)
{
	leave_recent(table, p);
	map__remove(&table->by_key, &p->by_key);
	lru_unlink(table, p);
	buf__free(&p->encoded);
	free(p);
	table->used--;
}

void process_table__release(struct process_table *table)
{
	while (table->lru_first)
		forget(table, table->lru_first);
	map__release(&table->by_key);
}

/* Of one key there may be one that runs and, after an exec, some that are gone. */
static struct process *find(struct process_table *table, struct process_key key, bool gone)
{
	struct map_link *link = map__first(&table->by_key, hash_key(table, key));

	for (; link; link = map__next(link)) {
		struct process *p = map_entry(link, struct process, by_key);

		if (p->key.tgid == key.tgid && p->key.start_ns == key.start_ns && p->gone == gone)
			return p;
	}
	return NULL;
}

struct process *process_table__find(struct process_table *table, struct process_key key)
{
	return find(table, key, false);
}

static bool make_room(struct process_table *table)
{
	struct process *p = table->lru_last;

	while (p && p->refs)
		p = p->lru_prev;
	if (!p)
		return false;
	forget(table, p);
	return true;
}

struct process *process_table__get(struct process_table *table, struct process_key key,
				   bool *ret_new)
{
	struct process **recent = recent_of(table, key.tgid), *p = *recent;

	if (!p || p->key.tgid != key.tgid || p->key.start_ns != key.start_ns)
		p = find(table, key, false);
	*ret_new = !p;
	if (p) {
		*recent = p;
		if (p != table->lru_first) {
			lru_unlink(table, p);
			lru_front(table, p);
		}
		return p;
	}
	if (table->used >= table->max && !make_room(table))
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = key;
	p->resource = ++table->next_resource;
	map__add(&table->by_key, &p->by_key, hash_key(table, key));
	lru_front(table, p);
	table->used++;
	return p;
}

void process__mark_gone(struct process_table *table, struct process *process)
{
	process->gone = true;
	leave_recent(table, process);
	if (!process->refs)
		forget(table, process);
}

void process__put(struct process_table *table, struct process *process)
{
	if (!--process->refs && process->gone)
		forget(table, process);
}

static bool next_pair(const uint8_t **at, const uint8_t *end, struct pair *ret)
{
	uint16_t key, value;
	uint8_t type;

	if (end - *at < PAIR_HEAD_BYTES)
		return false;
	memcpy(&key, *at, sizeof(key));
	memcpy(&value, *at + 2, sizeof(value));
	type = (*at)[4];
	*at += PAIR_HEAD_BYTES;
	if (!key || end - *at < (ptrdiff_t)key + value || type > PAIR_INT ||
	    (type == PAIR_INT && value != sizeof(ret->number)))
		return false;
	*ret = (struct pair){ .key = { (const char *)*at, key },
			      .text = { (const char *)*at + key, value },
			      .is_int = type == PAIR_INT };
	if (ret->is_int)
		memcpy(&ret->number, *at + key, sizeof(ret->number));
	*at += key + value;
	return true;
}

static int read_pairs(const void *bytes, size_t len, uint32_t n, struct pair *to)
{
	const uint8_t *at = bytes;

	if (n > ATTRIBUTES_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < n; i++)
		if (!next_pair(&at, (const uint8_t *)bytes + len, &to[i]))
			return -EPROTO;
	return 0;
}

static const struct pair *find_pair(const struct pair *pairs, uint32_t n, struct view key)
{
	for (uint32_t i = 0; i < n; i++)
		if (view_eq(pairs[i].key, key))
			return &pairs[i];
	return NULL;
}

/* An attribute too many is left out: the frame that carries them has its bound. */
static void put_pair(struct buf *out, const struct pair *pair)
{
	if (out->len + pair->key.len + pair->text.len > RESOURCE_MAX_BYTES)
		return;
	if (pair->is_int)
		otlp__resource_int(out, pair->key, pair->number);
	else
		otlp__resource_string(out, pair->key, pair->text);
}

/* The process's own attributes, then the host's that it does not have itself. */
static void encode(struct process_table *table, struct process *p, const struct pair *own,
		   uint32_t n)
{
	const struct engine_config *config = table->config;
	struct view name_key = view_of(attribute_name[ATTR_SERVICE_NAME]);
	struct view pid_key = view_of(attribute_name[ATTR_PROCESS_PID]);
	struct pair host[ATTRIBUTES_MAX];
	uint32_t n_host = config->n_host_attributes;
	const struct pair *name;
	struct view service;

	if (read_pairs(config->host_attributes, config->host_attributes_bytes, n_host, host))
		n_host = 0;
	name = find_pair(own, n, name_key);
	if (!name)
		name = find_pair(host, n_host, name_key);
	service = name && !name->is_int && name->text.len ? name->text : VIEW("unknown_service");
	if (service.len > sizeof(p->service))
		service.len = sizeof(p->service);
	buf__clear(&p->encoded);
	otlp__resource_string(&p->encoded, name_key, service);
	if (!find_pair(own, n, pid_key))
		otlp__resource_int(&p->encoded, pid_key, p->key.tgid);
	for (uint32_t i = 0; i < n; i++)
		if (!view_eq(own[i].key, name_key) && find_pair(own, n, own[i].key) == &own[i])
			put_pair(&p->encoded, &own[i]);
	for (uint32_t i = 0; i < n_host; i++)
		if (!view_eq(host[i].key, name_key) && !find_pair(own, n, host[i].key))
			put_pair(&p->encoded, &host[i]);
	p->service_len = (uint16_t)service.len;
	memcpy(p->service, service.at, p->service_len);
	p->revision++;
}

void process__encode_unknown(struct process_table *table, struct process *process)
{
	encode(table, process, NULL, 0);
}

int process_table__learn(struct process_table *table, const struct message_process *message,
			 const void *attributes, size_t len, struct process **ret)
{
	struct process_key key = { message->tgid, message->tgid_start_ns };
	struct pair own[ATTRIBUTES_MAX];
	struct process *p = find(table, key, false), *gone = find(table, key, true);
	int err = read_pairs(attributes, len, message->attributes, own);
	bool is_new;

	if (err)
		return err;
	/* An answer may come after the end of who it is about. */
	if (gone && !gone->known && (!p || (message->flags & PROCESS_GONE)))
		p = gone;
	if (!p)
		p = process_table__get(table, key, &is_new);
	if (!p)
		return -ENOSPC;
	p->known = !(message->flags & PROCESS_PENDING);
	p->flags = message->flags;
	p->runtime =
		message->runtime <= RUNTIME_PERL ? (enum runtime)message->runtime : RUNTIME_UNKNOWN;
	encode(table, p, own, message->attributes);
	*ret = p;
	return 0;
}

struct view process__service(const struct process *process)
{
	return (struct view){ process->service, process->service_len };
}
