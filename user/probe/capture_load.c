/* SPDX-License-Identifier: Apache-2.0 */
/* A tier's maps and programs, as this kernel and these options want them, into the kernel. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probe/capture_internal.h"
#include "probe/lockdown.h"

static void settings_fill(const struct capture *c, enum tier_id tier, struct sonde_settings *s)
{
	memset(s, 0, sizeof(*s));
	s->scope = c->scope;
	s->conn_cookie = tier != TIER_KPROBE && c->features.sk_storage;
	s->conn_in_storage = s->conn_cookie && !c->storage_fails;
	s->thread_in_storage = c->features.task_storage && !c->storage_fails &&
			       !(c->features.task_storage_shuts && c->features.preempt);
	s->cpus = c->cpus;
	s->slots = c->slots;
	s->slot_mask = c->slots - 1;
	s->exec_events = c->exec_events;
	s->ring_bytes = c->ring_bytes;
	s->ring_credit = SONDE_RING_LIFE_BYTES / 2 / c->cpus;
	s->lockdown = c->features.lockdown;
	s->recv_args = c->features.recv_args;
	memcpy(s->seed, c->seed, sizeof(s->seed));
}

/* Sizes and kinds of maps. */
static int maps_prepare(const struct capture *c, struct bpf_object *object,
			const struct sonde_settings *s)
{
	struct bpf_map *map;
	int err = 0;

	err = err   ?:
		      bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "ring"),
					       s->ring_bytes);
	err = err   ?:
		      bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "kcounters"),
					       c->cpus);
	err = err   ?:
		      bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "slots"),
					       c->slots);
	err = err   ?:
		      bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "conn_hash"),
					       c->conns);
	map = bpf_object__find_map_by_name(object, "slots_alive");
	if (map)
		err = err ?: bpf_map__set_max_entries(map, (c->slots + 63) / 64);
	/* without a scope by processes only our own are in it */
	if (!(c->scope & SONDE_SCOPE_PIDS))
		err = err   ?:
			      bpf_map__set_max_entries(bpf_object__find_map_by_name(object,
										    "scope_pids"),
						       64);
	bpf_object__for_each_map (map, object) {
		const char *name = bpf_map__name(map);

		if ((!c->features.hash_grows || c->storage_fails) &&
		    (!strncmp(name, "tls_", 4) || !strcmp(name, "go_calls")))
			err = err ?: bpf_map__set_max_entries(map, SONDE_TLS_STREAMS_SMALL);

		/* elsewhere programs must not allocate, and all of it is there from the start */
		if (c->features.hash_grows && !c->storage_fails &&
		    bpf_map__type(map) == BPF_MAP_TYPE_HASH)
			err = err ?: bpf_map__set_map_flags(map, BPF_F_NO_PREALLOC);
		if (!strcmp(name, s->conn_in_storage ? "conn_hash" : "conn_storage") ||
		    !strcmp(name, s->thread_in_storage ? "thread_hash" : "thread_storage"))
			err = err ?: bpf_map__set_autocreate(map, false);
	}
	return err;
}

/* In the kprobe tier: lives by kprobes where their functions are there, else by raw tracepoints. */
static int life_choose(const struct capture *c, struct bpf_object *object)
{
	static const char *const names[] = { "set_state", "destroy_sock", "fork", "exit", "exec" };
	int err = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct bpf_program *kprobe, *tracepoint;
		char name[32];

		snprintf(name, sizeof(name), "kp_%s", names[i]);
		kprobe = bpf_object__find_program_by_name(object, name);
		snprintf(name, sizeof(name), "on_%s", names[i]);
		tracepoint = bpf_object__find_program_by_name(object, name);
		if (kprobe && tracepoint)
			err = err   ?:
				      bpf_program__set_autoload(c->features.life_kprobe[i] ?
									tracepoint :
									kprobe,
								false);
	}
	return err;
}

/* In the kprobe tier: how receiving on Unix sockets is followed. */
static int unix_choose(const struct capture *c, struct bpf_object *object)
{
	static const struct {
		const char *name;
		bool by_copy;
	} programs[] = {
		{ "on_unix_copy", true },  { "on_unix_copied", true },	  { "on_unix_recv", true },
		{ "on_unix_wait", false }, { "on_unix_received", false },
	};
	int err = 0;

	if (!bpf_object__find_program_by_name(object, programs[0].name))
		return 0;
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (programs[i].by_copy != c->features.unix_copy)
			err = err   ?:
				      bpf_program__set_autoload(bpf_object__find_program_by_name(
									object, programs[i].name),
								false);
	return err;
}

/* What goes past TCP's own functions: each kernel has its own, or has none. */
static int bypass_choose(const struct capture *c, struct bpf_object *object)
{
	const struct kernel_features *f = &c->features;
	struct bpf_program *program;
	int err = 0;

	bpf_object__for_each_program (program, object) {
		const char *name = bpf_program__name(program);
		const char *function = strchr(bpf_program__section_name(program), '/');
		bool wanted = true;

		if (!strcmp(name, "on_mptcp_send"))
			wanted = f->mptcp;
		else if (!strcmp(name, "on_redirect"))
			wanted = f->redirect;
		else if (!strncmp(name, "on_queue", 8))
			wanted = f->queue_read && !strcmp(function + 1, f->queue_read);
		if (!wanted)
			err = err ?: bpf_program__set_autoload(program, false);
	}
	return err;
}

/* What is missing on this kernel, and what it can do without. */
static int programs_choose(const struct capture *c, struct bpf_object *object,
			   const struct sonde_settings *s)
{
	/* up to 6.4 sendfile and splice have a way of their own */
	static const char *const of_pages[] = { "on_sendpages", "on_unix_page", "on_unix_paged" };
	struct bpf_program *program;
	int err = 0;

	for (size_t i = 0; !c->features.sendpage && i < sizeof(of_pages) / sizeof(of_pages[0]);
	     i++) {
		program = bpf_object__find_program_by_name(object, of_pages[i]);
		if (program)
			err = err ?: bpf_program__set_autoload(program, false);
	}
	program = bpf_object__find_program_by_name(object, "on_sweep");
	if (program && !s->conn_in_storage)
		err = err ?: bpf_program__set_autoload(program, false);
	err = err ?: life_choose(c, object);
	err = err ?: unix_choose(c, object);
	return err ?: bypass_choose(c, object);
}

static int settings_set(struct bpf_object *object, const struct sonde_settings *s)
{
	struct sonde_settings *settings;
	struct bpf_map *map;
	size_t size;
	int err = -EINVAL;

	bpf_object__for_each_map (map, object) {
		const char *dot = strchr(bpf_map__name(map), '.');

		if (!dot || strcmp(dot, ".rodata"))
			continue;
		settings = (void *)bpf_map__initial_value(map, &size);
		if (settings && size >= sizeof(*s)) {
			memcpy(settings, s, sizeof(*s));
			err = 0;
		}
	}
	return err;
}

/* An object with settings and sizes of maps. */
static int object_prepare(const struct capture *c, enum tier_id tier, const void *elf, size_t size,
			  struct bpf_object **ret)
{
	DECLARE_LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = "sonde");
	struct bpf_object *object;
	struct sonde_settings settings;
	int err;

	object = bpf_object__open_mem(elf, size, &opts);
	if (!object)
		return -errno;
	settings_fill(c, tier, &settings);
	err = settings_set(object, &settings);
	err = err ?: maps_prepare(c, object, &settings);
	err = err ?: programs_choose(c, object, &settings);
	if (err) {
		bpf_object__close(object);
		return err;
	}
	*ret = object;
	return 0;
}

/* One of a tier's objects, ready to be loaded. */
static int object_open(const struct capture *c, enum tier_id tier, bool typed,
		       struct bpf_object **ret)
{
	struct bpf_object *object;
	size_t size;
	const void *elf = tier__object(tier, typed, &size);
	int err = object_prepare(c, tier, elf, size, &object);

	if (err)
		return err;
	if (c->features.lockdown)
		err = lockdown__set_targets(object);
	if (err)
		bpf_object__close(object);
	else
		*ret = object;
	return err;
}

int capture__prepare(const struct capture *c, const void *elf, size_t size, struct bpf_object **ret)
{
	return object_prepare(c, c->tier, elf, size, ret);
}

/* The maps that outlive a change of tier. */
static int maps_keep(struct bpf_object *object, const struct bpf_object *from)
{
	static const char *const kept[] = { "ring",	   "proc_ring",	    "kcounters",
					    "slots",	   "switches",	    "scope_pids",
					    "scope_cells", "scope_cgroups", "scope_netns",
					    "scope_ports", "seen_procs",    "unix_births",
					    "tls_streams", "tls_carriers",  "go_calls",
					    "thread_hash", "thread_storage" };
	int err = 0;

	for (size_t i = 0; from && i < sizeof(kept) / sizeof(kept[0]); i++) {
		int fd = bpf_object__find_map_fd_by_name(from, kept[i]);

		/* of thread's two kinds there is one, the same in every tier */
		if (fd >= 0)
			err = err   ?:
				      bpf_map__reuse_fd(bpf_object__find_map_by_name(object,
										     kept[i]),
							fd);
	}
	return err;
}

/* All of the maps that programs share; the constants of each object stay its own. */
static int maps_share(struct bpf_object *object, const struct bpf_object *maps)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map (map, maps)
		if (bpf_map__fd(map) >= 0 && !bpf_map__is_internal(map))
			err = err   ?:
				      bpf_map__reuse_fd(bpf_object__find_map_by_name(object,
										     bpf_map__name(
											     map)),
							bpf_map__fd(map));
	return err;
}

int capture__share_maps(const struct capture *c, struct bpf_object *object)
{
	struct bpf_map *map;
	int err = 0;

	bpf_object__for_each_map (map, object) {
		int fd = bpf_map__is_internal(map) ? -1 : capture__map_fd(c, bpf_map__name(map));

		if (fd >= 0)
			err = err ?: bpf_map__reuse_fd(map, fd);
	}
	return err;
}

/* An object whose maps are made, and no program. */
static int maps_make(const struct capture *c, enum tier_id tier, bool typed,
		     const struct bpf_object *from, struct bpf_object **ret)
{
	struct bpf_program *program;
	int err = object_open(c, tier, typed, ret);

	if (err)
		return err;
	bpf_object__for_each_program (program, *ret)
		err = err ?: bpf_program__set_autoload(program, false);
	err = err ?: maps_keep(*ret, from);
	err = err ?: bpf_object__load(*ret);
	if (err)
		bpf_object__close(*ret);
	return err;
}

/*
 * Every program to one of the objects, so that the verifier has about as much to do for each. They
 * are of one file: their programs come in one order.
 */
static int share_out(struct loaded *to)
{
	struct bpf_program *at[CAPTURE_OBJECTS] = { NULL };
	size_t instructions[CAPTURE_OBJECTS] = { 0 };
	int err = 0;

	for (;;) {
		unsigned int least = 0;

		for (unsigned int i = 0; i < CAPTURE_OBJECTS; i++) {
			at[i] = bpf_object__next_program(to->objects[i], at[i]);
			if (instructions[i] < instructions[least])
				least = i;
		}
		if (!at[0] || err)
			return err;
		if (!bpf_program__autoload(at[0]))
			continue;
		if (to->n_programs == CAPTURE_PROGRAMS_MAX)
			return -E2BIG;
		to->programs[to->n_programs++] = at[least];
		instructions[least] += bpf_program__insn_cnt(at[least]);
		for (unsigned int i = 0; i < CAPTURE_OBJECTS; i++)
			if (i != least)
				err = err ?: bpf_program__set_autoload(at[i], false);
	}
}

struct loading {
	pthread_t thread;
	struct bpf_object *object;
	int err;
};

static void *load_object(void *arg)
{
	struct loading *loading = arg;

	loading->err = bpf_object__load(loading->object);
	return NULL;
}

/* A start is mostly the verifier, which goes through one program on one processor. */
static int load_at_once(struct bpf_object *const objects[CAPTURE_OBJECTS])
{
	struct loading loading[CAPTURE_OBJECTS];
	bool alone[CAPTURE_OBJECTS];
	int err = 0;

	/* From memory of one kind: what another thread had to itself would not go back after loading. */
	mallopt(M_ARENA_MAX, 1);
	for (unsigned int i = 1; i < CAPTURE_OBJECTS; i++) {
		loading[i] = (struct loading){ .object = objects[i] };
		alone[i] = !pthread_create(&loading[i].thread, NULL, load_object, &loading[i]);
	}
	err = bpf_object__load(objects[0]);
	for (unsigned int i = 1; i < CAPTURE_OBJECTS; i++) {
		if (alone[i])
			pthread_join(loading[i].thread, NULL);
		else
			load_object(&loading[i]);
		err = err ?: loading[i].err;
	}
	return err;
}

void loaded__close(struct loaded *loaded)
{
	for (unsigned int i = 0; i < CAPTURE_OBJECTS; i++)
		bpf_object__close(loaded->objects[i]);
	*loaded = (struct loaded){ .n_programs = 0 };
}

static int tier_load(const struct capture *c, enum tier_id tier, bool typed,
		     const struct bpf_object *from, struct loaded *ret)
{
	struct loaded loaded = { .n_programs = 0 };
	struct bpf_object *maps;
	int err = c->features.lockdown ? lockdown__prepare() : 0;

	err = err ?: maps_make(c, tier, typed, from, &maps);
	if (err)
		return err;
	for (unsigned int i = 0; i < CAPTURE_OBJECTS; i++) {
		err = err ?: object_open(c, tier, typed, &loaded.objects[i]);
		err = err ?: maps_share(loaded.objects[i], maps);
	}
	bpf_object__close(maps);
	err = err ?: share_out(&loaded);
	err = err ?: load_at_once(loaded.objects);
	if (err)
		loaded__close(&loaded);
	else
		*ret = loaded;
	return err;
}

int capture__load(const struct capture *c, enum tier_id tier, const struct bpf_object *from,
		  struct loaded *ret)
{
	int err = tier == TIER_KPROBE && c->features.casts ? tier_load(c, tier, true, from, ret) :
							     -ENOTSUP;

	return err ? tier_load(c, tier, false, from, ret) : 0;
}
