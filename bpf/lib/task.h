/* SPDX-License-Identifier: GPL-2.0-only */
/* Threads (what a thread has in hand) and processes (which ones were seen). */
#ifndef SONDE_BPF_TASK_H
#define SONDE_BPF_TASK_H

#include "ring.h"
#include "walk.h"

static __always_inline void thread_key_of(struct thread_key *key)
{
	struct task_struct *task = this_task();

	key->start_ns = TASK_FIELD(task, start_boottime);
	key->tid = (__u32)bpf_get_current_pid_tgid();
	key->pad = 0;
}

/* What a new entry begins as: too large for the stack. */
const volatile __u64 thread_none[sizeof(struct thread) / sizeof(__u64)] SEC(".rodata.none") = {};

static __always_inline void thread_forget(void)
{
	struct thread_key key;

	if (settings.thread_in_storage)
		return; /* it goes with the task */
	thread_key_of(&key);
	bpf_map_delete_elem(&thread_hash, &key);
}

/* The current thread's state, NULL where it has none, or there is no room. */
static __always_inline struct thread *thread_here(bool create)
{
	struct thread *thread;

	if (settings.thread_in_storage) {
		thread = bpf_task_storage_get(&thread_storage, bpf_get_current_task_btf(), 0,
					      create ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	} else {
		struct thread_key key;

		thread_key_of(&key);
		thread = bpf_map_lookup_elem(&thread_hash, &key);
		if (!thread && create) {
			bpf_map_update_elem(&thread_hash, &key, (const void *)thread_none,
					    BPF_NOEXIST);
			thread = bpf_map_lookup_elem(&thread_hash, &key);
		}
	}
	return thread;
}

/* The same, and that there is no room is counted. */
static __always_inline struct thread *thread_get(struct sonde_kcounters *k, bool create)
{
	struct thread *thread = thread_here(create);

	if (!thread && create)
		count(k, state_thread_full, 1);
	return thread;
}

/* Each step along a task's pointers costs a verifier much. */
WALKED_ONCE __u64 own_process_start_ns(void)
{
	return process_start_ns(this_task());
}

static __always_inline __u64 thread_process_start_ns(struct thread *thread)
{
	if (!thread->process_start_ns)
		thread->process_start_ns = own_process_start_ns();
	return thread->process_start_ns;
}

static __always_inline void proc_fill(struct sonde_rec_proc *rec, __u16 type,
				      struct task_struct *task)
{
	rec->h.type = type;
	rec->h.flags = 0;
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = bpf_ktime_get_boot_ns();
	rec->h.conn = 0;
	rec->tgid = TASK_FIELD(task, tgid);
	rec->ns_tgid = process_ns_tgid(task);
	rec->tgid_start_ns = process_start_ns(task);
	__builtin_memset(rec->comm, 0, sizeof(rec->comm));
	bpf_get_current_comm(rec->comm, sizeof(rec->comm));
}

/* To probe, which is woken: it has to look at /proc while there is something to see. */
static __always_inline void proc_ring_write(struct sonde_kcounters *k, __u16 type, __u16 flags,
					    struct task_struct *task)
{
	struct sonde_rec_told *rec = bpf_ringbuf_reserve(&proc_ring, sizeof(*rec), 0);

	if (!rec) {
		count(k, state_proc_ring_full, 1);
		return;
	}
	proc_fill(&rec->proc, type, task);
	rec->proc.h.bytes = sizeof(*rec);
	rec->proc.h.flags = flags;
	rec->forked_from = process_forked_from(task);
	rec->pad = 0;
	bpf_ringbuf_submit(rec, BPF_RB_FORCE_WAKEUP);
}

/* EXIT or EXEC of a process that was seen, to the core. */
static __always_inline void proc_life(struct sonde_kcounters *k, __u16 type,
				      struct task_struct *task)
{
	struct sonde_rec_proc *rec;

	count(k, records_attempted, 1);
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		return;
	}
	proc_fill(rec, type, task);
	ring_submit(k, rec);
}

/* The current process does decoded input or output: tell probe, once. */
static __always_inline void proc_seen(struct sonde_kcounters *k, __u32 tgid)
{
	struct task_struct *task = this_task();
	__u64 start = process_start_ns(task);
	__u64 *known = bpf_map_lookup_elem(&seen_procs, &tgid);

	if (known && *known == start)
		return;
	if (bpf_map_update_elem(&seen_procs, &tgid, &start, BPF_ANY)) {
		count(k, state_proc_full, 1);
		return;
	}
	proc_ring_write(k, SONDE_REC_PROC, 0, task);
}

#endif
