/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where no hook tells of a Unix socket's end: when to look for dead ones, and looking. After many
 * have come the kernel side asks for it; else it is done soon after the last one came, and ever
 * more seldom as long as some are alive. Where none are, never.
 */
#include <errno.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "probe/capture_internal.h"

#define SWEEP_WAIT_MAX_TICKS 4096

bool capture__is_sweep(const struct bpf_program *program)
{
	return bpf_program__expected_attach_type(program) == BPF_TRACE_ITER;
}

int capture__sweep_attach(struct capture *c)
{
	DECLARE_LIBBPF_OPTS(bpf_iter_attach_opts, opts);
	union bpf_iter_link_info info = {};

	for (unsigned int i = 0; i < c->loaded.n_programs; i++) {
		const struct bpf_program *program = c->loaded.programs[i];

		if (!capture__is_sweep(program))
			continue;
		info.map.map_fd = (uint32_t)capture__map_fd(c, "conn_storage");
		opts.link_info = &info;
		opts.link_info_len = sizeof(info);
		c->sweep = bpf_program__attach_iter(program, &opts);
		if (!c->sweep)
			return -errno;
	}
	return 0;
}

void capture__sweep_detach(struct capture *c)
{
	bpf_link__destroy(c->sweep);
	c->sweep = NULL;
}

void capture__sweep(struct capture *c)
{
	char nothing[64];
	int fd;

	if (!c->sweep)
		return;
	fd = bpf_iter_create(bpf_link__fd(c->sweep));
	if (fd < 0)
		return;
	/* it writes nothing: one read goes over all of it, so the iteration is never resumed */
	while (read(fd, nothing, sizeof(nothing)) > 0 || errno == EINTR)
		errno = 0;
	close(fd);
}

void capture__sweep_tick(struct capture *c)
{
	struct sonde_kcounters sum;

	if (!c->sweep)
		return;
	capture__counters(c, &sum);
	if (sum.unix_slots_given != c->slots_given) {
		c->slots_given = sum.unix_slots_given;
		c->sweep_wait = c->sweep_left = 1;
		return;
	}
	if (sum.unix_slots_given == sum.unix_slots_swept || --c->sweep_left)
		return;
	capture__sweep(c);
	if (c->sweep_wait < SWEEP_WAIT_MAX_TICKS)
		c->sweep_wait *= 2;
	c->sweep_left = c->sweep_wait;
}
