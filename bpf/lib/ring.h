/* SPDX-License-Identifier: GPL-2.0-only */
/* Room in the ring, and waking whoever reads it. Every refusal is counted under its reason. */
#ifndef SONDE_BPF_RING_H
#define SONDE_BPF_RING_H

#include "account.h"

#define RING_HEADER_BYTES 8

static __always_inline void ring_refused(struct sonde_kcounters *k, __u64 bytes)
{
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);

	if (waiting + bytes + RING_HEADER_BYTES > settings.ring_bytes)
		count(k, lost_ring_full, 1);
	else
		count(k, lost_ring_busy, 1);
}

/* Payload gives way to records of life: true where this record still may be written. */
static __always_inline bool ring_holds(__u64 bytes)
{
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);

	return waiting + bytes + RING_HEADER_BYTES + SONDE_RING_LIFE_BYTES <= settings.ring_bytes;
}

/* The same for a record that is lost otherwise. */
static __always_inline bool ring_has_room(struct sonde_kcounters *k, __u64 bytes)
{
	if (ring_holds(bytes))
		return true;
	count(k, lost_life_reserve, 1);
	return false;
}

static __always_inline void ring_submit(struct sonde_kcounters *k, void *record)
{
	__u64 flags = BPF_RB_NO_WAKEUP;
	__u32 zero = 0;
	struct sonde_switches *sw = bpf_map_lookup_elem(&switches, &zero);

	if (sw && *(volatile __u32 *)&sw->consumer_sleeps) {
		__u32 wake = *(volatile __u32 *)&sw->wake_bytes;

		if (!wake || bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) >= wake) {
			/* one wake-up is enough; the consumer says so again when it sleeps again */
			*(volatile __u32 *)&sw->consumer_sleeps = 0;
			flags = BPF_RB_FORCE_WAKEUP;
		}
	}
	count(k, records_delivered, 1);
	bpf_ringbuf_submit(record, flags);
}

#endif
