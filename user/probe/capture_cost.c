// SPDX-License-Identifier: Apache-2.0
/* What the kernel's statistics say of the programs. */
#include <stddef.h>

#include <bpf/bpf.h>

#include "probe/capture_internal.h"

void capture__run_time(const struct capture *c, uint64_t *ret_ns, uint64_t *ret_runs)
{
	*ret_ns = *ret_runs = 0;
	for (unsigned int i = 0; i < c->loaded.n_programs; i++) {
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(c->loaded.programs[i]), &info, &len))
			continue;
		*ret_ns += info.run_time_ns;
		*ret_runs += info.run_cnt;
	}
}
