/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections of whose end no hook tells: Unix sockets, in the tier that has tracepoints only. A
 * socket's storage goes with it, so an iterator over all storages shows who is alive; probe reads
 * it where there is reason to. In this order, so that none that lives is taken for dead:
 *
 *   sweep    clears the bits of all slots; sets that of each storage's slot; frees slots without
 *   claim    writes the slot's number into the storage; sets its bit; marks the slot as taken
 *
 * A slot that is seen as taken without its bit belongs to no storage that was there meanwhile.
 */
#ifndef SONDE_BPF_SWEEP_H
#define SONDE_BPF_SWEEP_H

#include "life.h"

static long sweep_clear(void *map, __u32 *word, __u64 *bits, void *context)
{
	*bits = 0;
	return 0;
}

/* GONE of a connection of which only the slot is left. */
static __always_inline bool gone_of_slot(struct sonde_kcounters *k, const struct sonde_slot *slot)
{
	struct sonde_rec_gone *rec;

	/* one that finds no room now is found again */
	if (bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) + SONDE_RING_LIFE_BYTES >
	    settings.ring_bytes)
		return false;
	count(k, records_attempted, 1);
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec) {
		ring_refused(k, sizeof(*rec));
		return true;
	}
	rec->h.type = SONDE_REC_GONE;
	rec->h.flags = 0;
	rec->h.bytes = sizeof(*rec);
	rec->h.ns = bpf_ktime_get_boot_ns();
	rec->h.conn = slot->conn;
	rec->tx_offset = slot->tx_offset;
	rec->rx_offset = slot->rx_offset;
	rec->tx_ns = slot->tx_ns;
	rec->rx_ns = slot->rx_ns;
	ring_submit(k, rec);
	return true;
}

static long sweep_slot(void *map, __u32 *index, struct sonde_slot *slot, void *context)
{
	__u32 word = *index / 64;
	struct sonde_kcounters *k;
	__u64 *bits;

	if (!slot->conn)
		return 0;
	bits = bpf_map_lookup_elem(&slots_alive, &word);
	k = counters();
	if (!bits || !k || (*(volatile __u64 *)bits & 1ull << (*index & 63)))
		return 0;
	if (!gone_of_slot(k, slot))
		return 1;
	count(k, unix_slots_swept, 1);
	slot->watermark_rx = slot->watermark_tx = slot->wish = 0;
	slot->conn = 0;
	return 0;
}

SEC("iter/bpf_sk_storage_map")
int on_sweep(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conn *conn = ctx->value;

	if (ctx->meta->seq_num == 0)
		bpf_for_each_map_elem(&slots_alive, sweep_clear, NULL, 0);
	if (!conn)
		bpf_for_each_map_elem(&slots, sweep_slot, NULL, 0);
	else if (conn->slot != ~0u)
		slot_alive(conn->slot);
	return 0;
}

#endif
