/* SPDX-License-Identifier: Apache-2.0 */
/* Programs for TLS libraries: loaded beside the tier's, attached to places in files. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/perf_event.h>

#include "../../headers/tls.h"
#include "base/clock.h"
#include "probe/capture_internal.h"
#include "tls.skel.h"

/* Told at each place which one it is. */
#define ONE_FOR_ALL "tls_any"
/* Goes on where any of the others has found something. */
#define BEHIND_ALL "tls_captured"
#define UPROBE_TYPE "/sys/bus/event_source/devices/uprobe/type"

/* One link of many uprobes: Linux 6.6, which the headers of Debian 12 do not know. */
#define LINK_CREATE_UPROBE_MULTI 48 /* enum bpf_attach_type: BPF_TRACE_UPROBE_MULTI */
struct uprobe_multi {
	uint32_t prog_fd, target_fd, attach_type, link_flags;
	uint64_t path, offsets, ref_ctr_offsets, cookies;
	uint32_t cnt, flags, pid, pad;
};

struct tls_hooks {
	int multi; /* -1: none */
	unsigned int n;
	struct bpf_link *links[];
};

static const char *const program_of[SONDE_TLS_SHAPES] = {
	[SONDE_TLS_READ] = "tls_read",
	[SONDE_TLS_WRITE] = "tls_write",
	[SONDE_TLS_READ_COUNT] = "tls_read_count",
	[SONDE_TLS_WRITE_COUNT] = "tls_write_count",
	[SONDE_TLS_WRITE_FLAGS] = "tls_write_flags",
	[SONDE_TLS_HANDSHAKE] = "tls_handshake",
	[SONDE_TLS_RETURN] = "tls_return",
	[SONDE_TLS_END] = "tls_end",
	[SONDE_TLS_GO_READ] = "tls_go_read",
	[SONDE_TLS_GO_WRITE] = "tls_go_write",
	[SONDE_TLS_GO_RETURN] = "tls_go_return",
	[SONDE_TLS_GO_CLOSE] = "tls_go_close",
	[SONDE_TLS_GO_COPY] = "tls_go_copy",
	[SONDE_TLS_GO_RECORD] = "tls_go_record",
	[SONDE_TLS_RUST_WRITE] = "tls_rust_write",
	[SONDE_TLS_RUST_VECTOR] = "tls_rust_vector",
	[SONDE_TLS_RUST_TAKE] = "tls_rust_take",
};

/* Where one program serves all places, those for each shape are not loaded. */
static int choose(const struct capture *c, struct bpf_object *object)
{
	const bool multi = c->features.uprobe_multi;
	struct bpf_program *program;
	int err = 0;

	bpf_object__for_each_program (program, object) {
		const char *name = bpf_program__name(program);
		bool any = !strcmp(name, ONE_FOR_ALL), behind = !strcmp(name, BEHIND_ALL);

		if (any != multi && !behind)
			err = err ?: bpf_program__set_autoload(program, false);
		else if (multi)
			err = err   ?:
				      bpf_program__set_expected_attach_type(
					      program, LINK_CREATE_UPROBE_MULTI);
	}
	return err;
}

/* The verifier goes through them for a tenth of a second. */
struct tls_loading {
	pthread_t thread;
	bool alone; /* in a thread of its own, that is to be waited for */
	struct bpf_object *object;
	int err;
};

static void *load(void *arg)
{
	struct tls_loading *loading = arg;

	loading->err = bpf_object__load(loading->object);
	return NULL;
}

void capture__tls_prepare(struct capture *c)
{
	struct tls_loading *loading;
	const void *elf;
	size_t size;
	int err;

	if (c->tls || c->tls_loading || c->features.lockdown ||
	    (!c->features.uprobe_multi && access(UPROBE_TYPE, R_OK)))
		return;
	loading = calloc(1, sizeof(*loading));
	if (!loading)
		return;
	elf = tls_bpf__elf_bytes(&size);
	err = capture__prepare(c, elf, size, &loading->object);
	if (err) {
		free(loading);
		return;
	}
	err = choose(c, loading->object);
	loading->err = err ?: capture__share_maps(c, loading->object);
	if (!loading->err)
		loading->alone = !pthread_create(&loading->thread, NULL, load, loading);
	if (!loading->err && !loading->alone)
		load(loading);
	c->tls_loading = loading;
}

/* Waits for the thread. */
static int loaded(struct capture *c)
{
	struct tls_loading *loading = c->tls_loading;
	int err;

	if (loading->alone)
		pthread_join(loading->thread, NULL);
	err = loading->err;
	if (err)
		bpf_object__close(loading->object);
	else
		c->tls = loading->object;
	free(loading);
	c->tls_loading = NULL;
	malloc_trim(0); /* the kernel's types, megabytes of them, were only for loading */
	return err;
}

int capture__tls_open(struct capture *c, struct err *err)
{
	int ret;

	if (c->tls)
		return 0;
	if (c->features.lockdown)
		return err__set(err, -ENOTSUP,
				"kernel lockdown (confidentiality) forbids programs in TLS "
				"libraries: boot with lockdown=integrity");
	if (!c->features.uprobe_multi && access(UPROBE_TYPE, R_OK))
		return err__set(err, -ENOTSUP,
				"uprobes are not compiled into this kernel, or /sys is not "
				"mounted: use a kernel built with CONFIG_UPROBE_EVENTS=y");
	capture__tls_prepare(c);
	ret = c->tls_loading ? loaded(c) : -ENOMEM;
	if (ret)
		return err__set(err, ret,
				"this kernel does not take the programs for TLS libraries: %s",
				strerror(-ret));
	return 0;
}

void capture__tls_close(struct capture *c)
{
	if (c->tls_loading)
		loaded(c);
	bpf_object__close(c->tls);
	c->tls = NULL;
}

static uint64_t cookie_of(const struct tls_point *point)
{
	return point->shape | (uint64_t)point->below << SONDE_TLS_BELOW_SHIFT |
	       (uint64_t)point->result << SONDE_TLS_RESULT_SHIFT |
	       (uint64_t)point->condition << SONDE_TLS_CONDITION_SHIFT;
}

static int attach_multi(struct capture *c, const char *path, const struct tls_point *points,
			unsigned int n, struct tls_hooks *hooks)
{
	uint64_t *offsets = calloc(n, sizeof(*offsets)), *cookies = calloc(n, sizeof(*cookies));
	struct bpf_program *program = bpf_object__find_program_by_name(c->tls, ONE_FOR_ALL);
	struct uprobe_multi attr = { .prog_fd = (uint32_t)bpf_program__fd(program),
				     .attach_type = LINK_CREATE_UPROBE_MULTI,
				     .path = (uintptr_t)path,
				     .offsets = (uintptr_t)offsets,
				     .cookies = (uintptr_t)cookies,
				     .cnt = n };
	int err = 0;

	for (unsigned int i = 0; offsets && cookies && i < n; i++) {
		offsets[i] = points[i].offset;
		cookies[i] = cookie_of(&points[i]);
	}
	if (!offsets || !cookies)
		err = -ENOMEM;
	else
		hooks->multi = (int)syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (!err && hooks->multi < 0)
		err = -errno;
	free(offsets);
	free(cookies);
	return err;
}

static int uprobe_type(void)
{
	FILE *f = fopen(UPROBE_TYPE, "re");
	int type = -ENOTSUP;

	if (!f)
		return -errno;
	if (fscanf(f, "%d", &type) != 1)
		type = -ENOTSUP;
	fclose(f);
	return type;
}

static int attach_one(struct capture *c, int type, const char *path, const struct tls_point *point,
		      struct bpf_link **ret)
{
	struct perf_event_attr attr = { .type = (uint32_t)type,
					.size = sizeof(attr),
					.config1 = (uintptr_t)path,
					.config2 = point->offset };
	const char *name = program_of[point->shape];
	struct bpf_program *program = bpf_object__find_program_by_name(c->tls, name);
	LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = cookie_of(point));
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (!c->features.attach_cookie)
		opts.bpf_cookie = 0; /* refused where there are none */
	*ret = bpf_program__attach_perf_event_opts(program, fd, &opts);
	if (*ret)
		return 0;
	close(fd);
	return -errno;
}

static int attach_each(struct capture *c, const char *path, const struct tls_point *points,
		       unsigned int n, struct tls_hooks *hooks)
{
	int type = uprobe_type(), err = type < 0 ? type : 0;

	while (!err && hooks->n < n) {
		err = attach_one(c, type, path, &points[hooks->n], &hooks->links[hooks->n]);
		if (!err)
			hooks->n++;
	}
	return err;
}

/* Connections that shook hands before may have moved plaintext that nobody saw. */
static int note_time(const struct capture *c)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct sonde_switches *switches =
		mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, capture__switches_fd(c), 0);

	if (switches == MAP_FAILED)
		return -errno;
	__atomic_store_n(&switches->tls_ns, clock__boot_ns(), __ATOMIC_RELEASE);
	munmap(switches, page);
	return 0;
}

int capture__tls_attach(struct capture *c, int fd, const struct tls_point *points, unsigned int n,
			struct tls_hooks **ret)
{
	struct tls_hooks *hooks = calloc(1, sizeof(*hooks) + n * sizeof(hooks->links[0]));
	char path[32];
	int err;

	if (!hooks)
		return -ENOMEM;
	hooks->multi = -1;
	/* whatever name it has by now, or none */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = c->features.uprobe_multi ? attach_multi(c, path, points, n, hooks) :
					 attach_each(c, path, points, n, hooks);
	err = err ?: note_time(c);
	if (err)
		tls_hooks__free(hooks);
	else
		*ret = hooks;
	return err;
}

void tls_hooks__free(struct tls_hooks *hooks)
{
	if (!hooks)
		return;
	if (hooks->multi >= 0)
		close(hooks->multi);
	while (hooks->n)
		bpf_link__destroy(hooks->links[--hooks->n]);
	free(hooks);
}

unsigned int capture__tls_sweep(struct capture *c, bool (*lives)(pid_t pid, uint64_t start_ns))
{
	int fd = capture__map_fd(c, "tls_streams");
	struct tls_key key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);
	unsigned int n = 0;

	for (unsigned int i = 0; more && i < SONDE_TLS_STREAMS; i++) {
		pid_t pid = capture__own_id(c, next.tgid);

		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if ((!pid || !lives(pid, key.process_start_ns)) && !bpf_map_delete_elem(fd, &key))
			n++;
	}
	return n;
}
