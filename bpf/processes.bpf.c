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

/* Kernel memory may be read through typed pointers alone; then the reader is in the first namespace. */
const volatile __u32 lockdown = 0;

SEC("iter/task")
int list_process(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task, *reader;
	struct sonde_process process = {};

	if (!task || task->pid != task->tgid)
		return 0;
	if (lockdown) {
		process.pid = task->pid;
	} else {
		reader = (void *)bpf_get_current_task();
		process.pid = pid_number(BPF_CORE_READ(task, thread_pid),
					 BPF_CORE_READ(reader, thread_pid, level));
	}
	if (!process.pid)
		return 0; /* it has just ended */
	process.start_ns = task->start_boottime;
	process.tgid = task->tgid;
	process.parent = task->real_parent->tgid;
	bpf_seq_write(ctx->meta->seq, &process, sizeof(process));
	return 0;
}
