/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists the processes of the reader's pid namespace and of those below it, one struct
 * sonde_process each: /proc of a container knows nothing of the kernel's own numbers.
 */
#include "../headers/processes.h"
#include "lib/pid.h"

char LICENSE[] SEC("license") = "GPL";

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
} __attribute__((preserve_access_index));

SEC("iter/task")
int list_process(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *reader = (void *)bpf_get_current_task();
	struct sonde_process process = {};

	if (!task || BPF_CORE_READ(task, pid) != BPF_CORE_READ(task, tgid))
		return 0;
	process.pid = pid_number(BPF_CORE_READ(task, thread_pid),
				 BPF_CORE_READ(reader, thread_pid, level));
	if (!process.pid)
		return 0; /* it has just ended */
	process.start_ns = BPF_CORE_READ(task, start_boottime);
	process.tgid = BPF_CORE_READ(task, tgid);
	process.parent = BPF_CORE_READ(task, real_parent, tgid);
	bpf_seq_write(ctx->meta->seq, &process, sizeof(process));
	return 0;
}
