// SPDX-License-Identifier: Apache-2.0
/* What the kernel's statistics say of the programs. */
#include <stddef.h>

#include <bpf/bpf.h>

#include "probe/capture_internal.h"

void capture__run_time(const struct capture *c, uint64_t *ret_ns, uint64_t *ret_runs)
{
	struct bpf_program *program;

	*ret_ns = *ret_runs = 0;
	bpf_object__for_each_program (program, c->object) {
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (!bpf_program__autoload(program) ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &len))
			continue;
		*ret_ns += info.run_time_ns;
		*ret_runs += info.run_cnt;
	}
}
