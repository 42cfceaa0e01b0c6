/* SPDX-License-Identifier: GPL-2.0-only */
/* Every map, and the constants that probe sets before loading. */
#ifndef SONDE_BPF_MAPS_H
#define SONDE_BPF_MAPS_H

#include "kernel.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "../../headers/counters.h"
#include "../../headers/records.h"
#include "../../headers/settings.h"

#include "state.h"

const volatile struct sonde_settings settings = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SONDE_RING_DEFAULT_BYTES);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SONDE_PROC_RING_BYTES);
} proc_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sonde_kcounters);
} kcounters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SONDE_SLOTS_DEFAULT);
	__type(key, __u32);
	__type(value, struct sonde_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sonde_switches);
} switches SEC(".maps");

/* Connection state: one of the two is created (settings.conn_in_storage). */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} conn_storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_CONNS_DEFAULT);
	__type(key, __u64); /* address of the struct sock */
	__type(value, struct conn);
} conn_hash SEC(".maps");

/*
 * Unix sockets (by address) that opened a connection since the hooks are there. An entry that
 * outlives its socket still tells the truth: whatever lies at that address now is younger yet.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct unix_birth);
} unix_births SEC(".maps");

#ifdef SONDE_SWEEPS
/* A bit a slot: its connection is alive. Cleared, and set again, by each sweep. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SONDE_SLOTS_DEFAULT / 64);
	__type(key, __u32);
	__type(value, __u64);
} slots_alive SEC(".maps");
#endif

/* Thread state: one of the two is created (settings.thread_in_storage). */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} thread_storage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH); /* entries go at the thread's exit; none is ever evicted */
	__uint(max_entries, 16384);
	__type(key, struct thread_key);
	__type(value, struct thread);
} thread_hash SEC(".maps");

/* What TLS libraries have open. Entries go when the library frees its object; those of ended processes, by probe. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_TLS_STREAMS);
	__type(key, struct tls_key);
	__type(value, struct tls_stream);
} tls_streams SEC(".maps");

/* Connections that speak TLS, by the address of the struct sock. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_TLS_STREAMS);
	__type(key, __u64);
	__type(value, struct tls_carrier);
} tls_carriers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_TLS_STREAMS);
	__type(key, struct go_key);
	__type(value, struct tls_call);
} go_calls SEC(".maps");

/* Streams of HTTP/2 of whose DATA not all was told; those that are not heard of any more make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SONDE_STREAMS);
	__type(key, struct stream_key);
	__type(value, struct stream);
} streams SEC(".maps");

/* Numbers of connections, one counter a processor: only where programs are not preempted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} conn_numbers SEC(".maps");

/* Processes that did decoded input or output: tgid -> start time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} seen_procs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SONDE_SCOPE_PROCESSES);
	__type(key, __u32);
	__type(value, __u32);
} scope_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SONDE_SCOPE_CELLS);
	__type(key, __u32);
	__type(value, __u64);
} scope_cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, SONDE_SCOPE_CGROUPS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} scope_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} scope_netns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u16);
	__type(value, __u32);
} scope_ports SEC(".maps");

#endif
