/* SPDX-License-Identifier: Apache-2.0 */
#include "probe/capture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probe/capture_internal.h"
#include "probe/procfs.h"
#include "probe/scope.h"

static bool is_power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

static int check_options(const struct capture_options *o, struct err *err)
{
	if (o->ring_bytes && (!is_power_of_two(o->ring_bytes) || o->ring_bytes < 16384))
		return err__set(
			err, -EINVAL,
			"the ring size %u is no power of two of at least 16384: for example %u",
			o->ring_bytes, SONDE_RING_DEFAULT_BYTES);
	if (o->slots && !is_power_of_two(o->slots))
		return err__set(err, -EINVAL, "the number of slots, %u, is no power of two",
				o->slots);
	if (o->tier && tier__by_name(o->tier) < 0)
		return err__set(err, -EINVAL, "there is no tier %s: fentry, kprobe or socktp",
				o->tier);
	return 0;
}

static int program_attach(struct capture *c, struct bpf_program *program)
{
	struct bpf_link *link;

	if (c->n_links >= CAPTURE_LINKS_MAX)
		return -E2BIG;
	link = bpf_program__attach(program);
	if (!link)
		return -errno;
	c->links[c->n_links++] = link;
	return 0;
}

/*
 * Fork and exit first, the births of Unix sockets last: what is born under our eyes is seen from its
 * first byte.
 */
unsigned int capture__pass(const struct bpf_program *program)
{
	static const char *const births[] = { "on_unix_connect", "on_unix_pair", "on_data_ready" };
	const char *name = bpf_program__name(program);

	if (capture__is_sweep(program))
		return CAPTURE_PASSES;
	if (!strcmp(name + 2, "_fork") || !strcmp(name + 2, "_exit"))
		return 0;
	for (size_t i = 0; i < sizeof(births) / sizeof(births[0]); i++)
		if (!strcmp(name, births[i]))
			return 2;
	return 1;
}

static int attach_all(struct capture *c)
{
	int err = 0;

	for (unsigned int pass = 0; pass < CAPTURE_PASSES; pass++) {
		for (unsigned int i = 0; i < c->loaded.n_programs; i++) {
			if (capture__pass(c->loaded.programs[i]) != pass)
				continue;
			err = program_attach(c, c->loaded.programs[i]);
			if (err)
				return err;
		}
	}
	return capture__sweep_attach(c);
}

static void detach_all(struct capture *c)
{
	capture__sweep_detach(c);
	while (c->n_links)
		bpf_link__destroy(c->links[--c->n_links]);
}

int capture__map_fd(const struct capture *c, const char *name)
{
	return bpf_object__find_map_fd_by_name(c->loaded.objects[0], name);
}

static int scope_open(struct capture *c, struct err *err)
{
	int ret = c->processes ? 0 : processes__open(c->features.lockdown, &c->processes, err);

	if (ret)
		return ret;
	c->pids.fd = capture__map_fd(c, "scope_pids");
	ret = scope__map_cells(&c->pids, capture__map_fd(c, "scope_cells"));
	ret = ret ?: capture__add_pid(c, getpid(), SONDE_PID_OWN);
	return ret ? err__set(err, ret, "cannot map the scope: %s", strerror(-ret)) : 0;
}

static int counters_map(struct capture *c)
{
	size_t bytes = c->cpus * sizeof(struct sonde_kcounters);
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
			capture__map_fd(c, "kcounters"), 0);

	if (at == MAP_FAILED)
		return -errno;
	c->counters = at;
	return 0;
}

/* Why a tier that this kernel seems to have was not taken, in words; the verifier's are not for people. */
static int load_refused(enum tier_id tier, int ret, struct err *err)
{
	if (ret == -EPERM && tier == TIER_FENTRY)
		return err__set(err, ret,
				"this kernel attaches no programs to its functions: "
				"use one built with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS=y, or "
				"another tier");
	if (ret == -EPERM)
		return err__set(
			err, ret,
			"the kernel refuses to load programs: give sonde CAP_BPF and CAP_PERFMON "
			"in the initial user namespace, or run it as root");
	return err__set(err, ret, "this kernel does not take its programs (%s): use another tier",
			strerror(-ret));
}

/* Tries one tier: loads, attaches, and sees whether it fires. err is without the tier's name. */
static int tier_try_once(struct capture *c, enum tier_id tier, struct err *err)
{
	struct tier_report report;
	int ret;

	if (!tier__possible(tier, &c->features, &report))
		return err__set(err, -ENOTSUP, "%s: %s", report.why, report.fix);
	ret = capture__load(c, tier, NULL, &c->loaded);
	if (ret)
		return load_refused(tier, ret, err);
	c->tier = tier;
	ret = scope_open(c, err);
	if (ret)
		goto fail;
	ret = counters_map(c);
	ret = ret ?: attach_all(c);
	if (ret) {
		err__set(err, ret, "its programs cannot be attached: %s", strerror(-ret));
		goto fail;
	}
	ret = capture__selftest(c);
	if (ret) {
		err__set(err, ret, "its programs do not fire on this kernel");
		goto fail;
	}
	return 0;

fail:
	capture__drop(c);
	return ret;
}

/*
 * Newer kernels allocate storage without locks, which some processors cannot do (x86 without
 * cmpxchg16b): then it is there and always full. Hash tables do as well.
 */
static int tier_try(struct capture *c, enum tier_id tier, struct err *err)
{
	int ret = tier_try_once(c, tier, err);

	if (ret == -ENOTSUP && c->storage_fails == 1) {
		c->storage_fails = 2;
		ret = tier_try_once(c, tier, err);
	}
	return ret;
}

/* Everything of the current tier. */
void capture__drop(struct capture *c)
{
	detach_all(c);
	ring_buffer__free(c->procs);
	c->procs = NULL;
	if (c->counters)
		munmap(c->counters, c->cpus * sizeof(struct sonde_kcounters));
	c->counters = NULL;
	scope__unmap_cells(&c->pids);
	loaded__close(&c->loaded);
}

int capture__demote(struct capture *c, enum tier_id tier, struct err *err)
{
	struct capture before = *c;
	struct loaded loaded;
	int ret;

	ret = capture__load(c, tier, c->loaded.objects[0], &loaded);
	if (ret)
		return err__set(err, ret, "tier %s misses hits, and tier %s cannot be loaded: %s",
				tier__name(c->tier), tier__name(tier), strerror(-ret));
	/* the new one first: a call seen twice is told by its sequence numbers, one missed is not */
	c->loaded = loaded;
	c->tier = tier;
	c->pids.fd = capture__map_fd(c, "scope_pids");
	c->n_links = 0;
	c->sweep = NULL;
	ret = attach_all(c);
	/* a tier that misses hits may have missed forks */
	if (!ret && (c->scope & SONDE_SCOPE_PIDS))
		ret = scope__seed_trees(&c->pids, c->processes);
	if (ret) {
		detach_all(c);
		loaded__close(&loaded);
		*c = before;
		return err__set(err, ret, "tier %s misses hits, and tier %s cannot be attached: %s",
				tier__name(before.tier), tier__name(tier), strerror(-ret));
	}
	c->n_left = capture__misses(&before, c->left, CAPTURE_LINKS_MAX);
	if (c->n_left > CAPTURE_LINKS_MAX)
		c->n_left = CAPTURE_LINKS_MAX;
	capture__sweep_detach(&before);
	while (before.n_links)
		bpf_link__destroy(before.links[--before.n_links]);
	loaded__close(&before.loaded);
	err__set(err, 0, "tier %s missed hits on this kernel: went over to tier %s",
		 tier__name(before.tier), tier__name(tier));
	return 1;
}

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static int print_stderr(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

static int proc_record(void *arg, void *record, size_t bytes)
{
	struct capture *c = arg;

	if (bytes < sizeof(struct sonde_rec_told))
		return 0;
	if (((const struct sonde_rec *)record)->type == SONDE_REC_SWEEP)
		capture__sweep(c);
	else if (c->proc_fn)
		c->proc_fn(c->proc_arg, record);
	return 0;
}

struct capture *capture__new(const struct capture_options *o)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	int cpus = libbpf_num_possible_cpus();

	if (!c)
		return NULL;
	/* before 5.11 maps are charged to the locked memory of the process; later this does nothing */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	libbpf_set_print(o->verbose ? print_stderr : print_nothing);
	kernel_features__read(&c->features);
	c->cpus = cpus > 0 ? cpus : 1;
	c->ring_bytes = o->ring_bytes ?: SONDE_RING_DEFAULT_BYTES;
	c->conns = o->conns ?: SONDE_CONNS_DEFAULT;
	c->slots = o->slots ?: SONDE_SLOTS_DEFAULT;
	c->scope = scope__bits(o);
	c->exec_events = o->exec_events;
	if (getrandom(c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
		memcpy(c->seed, &c,
		       sizeof(c)); /* only hides addresses; never needed to be unique */
	return c;
}

/* Why each tier was not taken; said once where the reason is the same for all. */
static void refused_by_all(int code, const enum tier_id *tiers, const struct err *why,
			   unsigned int n, struct err *err)
{
	char text[sizeof(err->text)] = "";
	size_t at = 0;
	bool same = n > 1;

	for (unsigned int i = 1; i < n; i++)
		same = same && !strcmp(why[i].text, why[0].text);
	for (unsigned int i = 0; i < n && !same && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%stier %s: %s", i ? "; " : "",
				       tier__name(tiers[i]), why[i].text);
	err__set(err, code, "%s", same ? why[0].text : text);
}

int capture__open(const struct capture_options *o, struct capture **ret, struct err *err)
{
	enum tier_id order[TIERS];
	struct err why[TIERS] = {};
	unsigned int n, i;
	struct capture *c;
	int code;

	code = check_options(o, err);
	if (code)
		return code;
	c = capture__new(o);
	if (!c)
		return err__set(err, -ENOMEM, "no memory for the capture");
	if (o->tier) {
		order[0] = tier__by_name(o->tier);
		n = 1;
	} else {
		n = tier__order(&c->features, order);
	}
	code = -ENOTSUP;
	for (i = 0; code && code != -EINVAL && i < n; i++)
		code = tier_try(c, order[i], &why[i]);
	if (code == -EINVAL)
		err__set(err, code, "%s", why[i - 1].text);
	else if (code)
		refused_by_all(code, order, why, n, err);
	if (!code) {
		c->procs = ring_buffer__new(capture__map_fd(c, "proc_ring"), proc_record, c, NULL);
		if (!c->procs)
			code = err__set(err, -errno, "cannot map the ring of processes: %s",
					strerror(errno));
	}
	if (code) {
		capture__free(c);
		return code;
	}
	*ret = c;
	return 0;
}

/* Where no filter is set, the whole machine is in scope from here on. */
static int let_in(const struct capture *c)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct sonde_switches *switches =
		mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, capture__switches_fd(c), 0);

	if (switches == MAP_FAILED)
		return -errno;
	__atomic_store_n(&switches->begun, 1, __ATOMIC_RELEASE);
	munmap(switches, page);
	return 0;
}

int capture__begin(struct capture *c, const struct capture_options *o, struct err *err)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < o->n_pids; i++)
		ret = capture__add_pid(c, o->pids[i], SONDE_PID_IN);
	/* forks are seen already: a tree that is added has no gaps */
	if (c->scope & SONDE_SCOPE_PIDS)
		ret = ret ?: scope__seed_trees(&c->pids, c->processes);
	if (ret)
		return err__set(err, ret, "cannot add a process to the scope: %s", strerror(-ret));
	ret = scope__add_cgroups(capture__map_fd(c, "scope_cgroups"), o, err);
	ret = ret ?: scope__add_netns(capture__map_fd(c, "scope_netns"), o, err);
	ret = ret ?: scope__add_ports(capture__map_fd(c, "scope_ports"), o, err);
	if (ret)
		return ret;
	ret = let_in(c);
	return ret ? err__set(err, ret, "cannot begin: %s", strerror(-ret)) : 0;
}

void capture__free(struct capture *c)
{
	if (!c)
		return;
	capture__tls_close(c);
	capture__drop(c);
	processes__free(c->processes);
	free(c);
}

int capture__ring_fd(const struct capture *c)
{
	return capture__map_fd(c, "ring");
}

int capture__slots_fd(const struct capture *c)
{
	return capture__map_fd(c, "slots");
}

int capture__switches_fd(const struct capture *c)
{
	return capture__map_fd(c, "switches");
}

uint32_t capture__ring_bytes(const struct capture *c)
{
	return c->ring_bytes;
}

uint32_t capture__slots(const struct capture *c)
{
	return c->slots;
}

bool capture__ring_page_safe(const struct capture *c)
{
	return c->features.ring_page_safe;
}

void capture__counters(const struct capture *c, struct sonde_kcounters *ret)
{
	memset(ret, 0, sizeof(*ret));
	for (unsigned int i = 0; i < c->cpus; i++) {
#define X(name, comment) ret->name += __atomic_load_n(&c->counters[i].name, __ATOMIC_RELAXED);
		SONDE_KCOUNTERS(X)
#undef X
	}
}

int capture__proc_fd(const struct capture *c)
{
	return ring_buffer__epoll_fd(c->procs);
}

int capture__poll_procs(struct capture *c, capture_proc_fn fn, void *arg)
{
	c->proc_fn = fn;
	c->proc_arg = arg;
	return ring_buffer__consume(c->procs);
}

int capture__add_pid(struct capture *c, pid_t pid, uint32_t how)
{
	uint32_t tgid = processes__kernel_id(c->processes, pid);

	return tgid ? scope__add_pid(&c->pids, tgid, how) : -ESRCH;
}

int capture__add_tree(struct capture *c, pid_t pid)
{
	int err = capture__add_pid(c, pid, SONDE_PID_IN);

	return err ?: scope__seed_trees(&c->pids, c->processes);
}

bool capture__has_pid(const struct capture *c, pid_t pid)
{
	return c->scope != SONDE_SCOPE_PIDS ||
	       scope__has_pid(&c->pids, processes__kernel_id(c->processes, pid));
}

pid_t capture__own_id(const struct capture *c, uint32_t tgid)
{
	return processes__own_id(c->processes, tgid);
}

const char *capture__tier(const struct capture *c)
{
	return tier__name(c->tier);
}

const struct kernel_features *capture__features(const struct capture *c)
{
	return &c->features;
}

/* What a map that grows holds now, as the kernel says it (6.4; earlier: what it may hold). 0: it does not. */
static uint64_t grown_bytes(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return procfs__number(path, "memlock:");
}

uint64_t capture__map_bytes(const struct capture *c)
{
	struct bpf_map *map;
	uint64_t bytes = 0;

	bpf_object__for_each_map (map, c->loaded.objects[0]) {
		uint64_t entries = bpf_map__max_entries(map), now = 0;

		if (bpf_map__fd(map) < 0)
			continue;
		if (bpf_map__type(map) == BPF_MAP_TYPE_HASH &&
		    (bpf_map__map_flags(map) & BPF_F_NO_PREALLOC))
			now = grown_bytes(bpf_map__fd(map));
		if (now)
			bytes += now;
		else if (bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF)
			bytes += entries;
		else
			bytes += entries * (bpf_map__key_size(map) + bpf_map__value_size(map));
	}
	return bytes;
}

void capture__detach(struct capture *capture)
{
	if (!capture)
		return;
	capture__sweep(capture);
	detach_all(capture);
}
