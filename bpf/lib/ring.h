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

/*
 * Payload gives way to records of life: true where this record still may be written. The ring is asked
 * once for some records of a processor: all processors together may take half of that reserve unasked.
 */
static __always_inline bool ring_holds(struct sonde_kcounters *k, __u64 bytes)
{
	__u64 need = bytes + RING_HEADER_BYTES, waiting;
	__u32 credit = k->ring_credit;

	if (credit >= need) {
		k->ring_credit = credit - need;
		return true;
	}
	waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	if (waiting + need + SONDE_RING_LIFE_BYTES > settings.ring_bytes)
		return false;
	k->ring_credit = settings.ring_credit;
	return true;
}

/* The same for a record that is lost otherwise. */
static __always_inline bool ring_has_room(struct sonde_kcounters *k, __u64 bytes)
{
	if (ring_holds(k, bytes))
		return true;
	count(k, lost_life_reserve, 1);
	return false;
}

static __always_inline struct sonde_switches *ring_switches(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&switches, &zero);
}

/*
 * Whether the consumer, who sleeps, is to be woken. How much waits is asked once for half of what may still
 * come: all processors' halves together.
 */
static __always_inline bool ring_wakes(struct sonde_kcounters *k, __u32 wake, __u32 bytes)
{
	__u32 credit = k->wake_credit;
	__u64 waiting;

	if (!wake)
		return true;
	if (credit >= bytes) {
		k->wake_credit = credit - bytes;
		return false;
	}
	waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	if (waiting >= wake)
		return true;
	k->wake_credit = (wake - waiting) / 2 / settings.cpus;
	return false;
}

static __always_inline void ring_submit_by(struct sonde_kcounters *k, void *record,
					   struct sonde_switches *sw)
{
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (sw && *(volatile __u32 *)&sw->consumer_sleeps &&
	    ring_wakes(k, *(volatile __u32 *)&sw->wake_bytes,
		       ((struct sonde_rec *)record)->bytes)) {
		/* one wake-up is enough; the consumer says so again when it sleeps again */
		*(volatile __u32 *)&sw->consumer_sleeps = 0;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	count(k, records_delivered, 1);
	bpf_ringbuf_submit(record, flags);
}

static __always_inline void ring_submit(struct sonde_kcounters *k, void *record)
{
	ring_submit_by(k, record, ring_switches());
}

#endif
