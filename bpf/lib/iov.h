/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading the bytes of a call from the program's memory. */
#ifndef SONDE_BPF_IOV_H
#define SONDE_BPF_IOV_H

#include "hit.h"
#include "task.h"

/* Whether the call's bytes lie in one area of memory. Where they always do, what gathers them is not built. */
static __always_inline bool in_one_area(const struct work *w)
{
#ifdef SONDE_UPROBE
	return true;
#else
	return w->source.kind == SOURCE_USER;
#endif
}

/* Windows of a call's segments that are looked for: the frames of HTTP/2 come in hundreds of segments. */
#define SLIDES_MAX 16

/* The smaller, without a branch: each branch on a length doubles what the verifier has to walk. */
static __always_inline __u64 smaller(__u64 a, __u64 b)
{
	__s64 less = a - b;

	__s64 negative = less >> 63;

	barrier_var(negative);
	return b + (less & negative);
}

/*
 * Reads n bytes, of which there is room for `room`. The oldest verifier forgets what it knew of a number
 * that is kept in memory: where it has its say, a function of its own keeps it in a register.
 */
#ifdef SONDE_CAST
static __always_inline
#else
static __noinline
#endif
	int
	user_read(__u8 *to, __u64 n, __u64 from, __u64 room)
{
	if (n > room)
		return -1;
	return bpf_probe_read_user(to, n, (const void *)from);
}

/* The array of segments: the program's where that is what was found, else the kernel's copy. */
static __always_inline long segments_read(void *to, __u32 bytes, __u64 from)
{
#ifdef SONDE_SEGMENTS_IN_USER_MEMORY
	return bpf_probe_read_user(to, bytes, (const void *)from);
#else
	if (kernel_readable())
		return bpf_probe_read_kernel(to, bytes, (const void *)from);
	return bpf_probe_read_user(to, bytes, (const void *)from);
#endif
}

/* A call that nothing is known of yet: not where its bytes lie, and not that it fired late. */
static __always_inline void work_begin(struct work *w)
{
	w->source = (struct source){ .kind = SOURCE_NONE };
	w->segments_at = ~0u;
	w->window = w->passed = 0;
	w->late = 0;
}

/*
 * Of a source with more segments than w->segments holds: moves the window, by whole windows, to the one
 * that byte `skip` of the source lies in. False: it lies further on than is looked for, or is unreadable.
 */
WALKED_ONCE int segments_slide(__u64 skip)
{
	struct thread *thread = thread_here(false);
	struct segment *to;
	struct work *w;

	if (!thread)
		return false;
	w = &thread->work;
	to = w->segments;
	if (skip < w->passed)
		w->passed = w->window = 0;
#pragma clang loop unroll(disable)
	for (int turn = 0; turn < SLIDES_MAX; turn++) {
		__u64 bytes = w->passed;

		if (w->window + SONDE_SEGMENTS_MAX >= w->source.segments)
			return true;
		if (segments_read(to, sizeof(w->segments),
				  w->source.at + w->window * sizeof(struct segment)))
			return false;
#pragma unroll
		for (int i = 0; i < SONDE_SEGMENTS_MAX; i++)
			bytes += to[i].len;
		if (skip < bytes)
			return true;
		w->passed = bytes;
		w->window += SONDE_SEGMENTS_MAX;
	}
	return false;
}

/* The first area that is not empty; one of no length: there is none. */
static __always_inline void area_find(struct work *w)
{
	const struct segment *segments = w->segments;

	w->area.base = w->area.len = 0;
#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SONDE_SEGMENTS_MAX; i++) {
		if (segments[i].len) {
			w->area.base = segments[i].base;
			w->area.len = segments[i].len;
			break;
		}
	}
}

/*
 * Fills w->segments from the source, from byte `at` of the call on, and w->area with the first of them; areas past the last
 * are empty. False: unreadable.
 */
static __always_inline bool segments_fill(struct work *w, __u32 at)
{
	__u64 skip = w->source.skip + at, from = w->source.at, bytes = w->source.segments;
	struct segment *to = w->segments;

	if (w->segments_at == at)
		return true;
	w->segments_at = ~0u;
	if (bytes > SONDE_SEGMENTS_MAX) {
		if (!segments_slide(skip))
			return false;
		skip -= w->passed;
		from += w->window * sizeof(struct segment);
		bytes -= w->window;
	}
	bytes = smaller(bytes, SONDE_SEGMENTS_MAX) * sizeof(struct segment);
	w->n_segments = bytes / sizeof(struct segment);
	__builtin_memset(to, 0, sizeof(w->segments));
	barrier_var(bytes);
	if (bytes == 0 || bytes > sizeof(w->segments))
		return false;
	if (segments_read(to, bytes, from))
		return false;
	w->segments_at = at;
	if (skip) {
#pragma unroll
		for (int i = 0; i < SONDE_SEGMENTS_MAX; i++) {
			__u64 cut = smaller(skip, to[i].len);

			to[i].base += cut;
			to[i].len -= cut;
			skip -= cut;
		}
	}
	area_find(w);
	return true;
}

/* The same for the current thread's call. */
WALKED_ONCE int segments_refill(__u32 at)
{
	struct thread *thread = thread_here(false);

	return thread && segments_fill(&thread->work, at);
}

static __always_inline bool segments_load(const struct work *w, __u32 at)
{
	return w->segments_at == at || segments_refill(at);
}

/* Where byte `at` of a call of segments lies. */
static __always_inline struct area segments_locate(const struct work *w, __u32 at)
{
	return segments_load(w, at) ? w->area : (struct area){ 0, 0 };
}

/* Puts n bytes, of which low and high are the first 16, behind the `have` bytes of to. How many. */
static __always_inline __u32 extend(__u64 *to, __u32 have, __u64 low, __u64 high, __u32 n)
{
	if (have >= 16)
		return 16;
	if (have >= 8) {
		to[1] |= low << ((have - 8) * 8 & 63);
	} else if (have) {
		to[0] |= low << (have * 8 & 63);
		to[1] |= low >> (64 - have * 8 & 63) | high << (have * 8 & 63);
	} else {
		to[0] = low;
		to[1] = high;
	}
	have += n;
	return have > 16 ? 16 : have;
}

/*
 * Gathers less than `room` bytes (a power of two) from n segments to `to`, an area of 2 * room
 * bytes. How many. Bounds by masks, without a branch; a segment that cannot be read ends it.
 */
static __always_inline __u64 gather(const struct segment *segments, __u32 n_segments, __u8 *to,
				    __u32 room)
{
	__u64 filled = 0, open = ~0ull;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < SONDE_SEGMENTS_MAX; i++) {
		if (i >= n_segments)
			break;
		__u64 at = filled, n = smaller(segments[i].len, room - 1 - filled) & open;
		__s64 err;

		barrier_var(at);
		at &= room - 1;
		barrier_var(n);
		n &= room - 1;
		err = bpf_probe_read_user(to + at, n, (const void *)segments[i].base);
		barrier_var(err);
		err >>= 63;
		barrier_var(err);
		open &= ~err;
		filled += n & open;
		barrier_var(filled);
	}
	return filled;
}

/* Only the first n of 16 bytes; the others zero. */
static __always_inline void words_cut(__u64 *words, __u32 n)
{
	if (n < 8) {
		words[0] &= (1ull << (n * 8 & 63)) - 1;
		words[1] = 0;
	} else if (n < 16) {
		words[1] &= (1ull << (n * 8 & 63)) - 1;
	}
}

/* Of peek_at(): where the current thread's call consists of segments. */
WALKED_ONCE int peek_segments(__u32 at)
{
	struct thread *thread = thread_here(false);
	struct work *w;
	__u64 left;

	if (!thread)
		return 0;
	w = &thread->work;
	left = smaller(w->bytes - at, 16);
	barrier_var(left);
	if (left > 16 || !segments_fill(w, at) || !w->area.len)
		return 0;
	if (w->area.len >= left) {
		if (!bpf_probe_read_user(w->first, left, (const void *)w->area.base))
			w->n_first = left;
		return 0;
	}
	w->n_first = smaller(gather(w->segments, w->n_segments, (__u8 *)w->words, 32), left);
	words_cut(w->words, w->n_first);
	w->first[0] = w->words[0];
	w->first[1] = w->words[1];
	return 0;
}

/* Up to 16 bytes from byte `at` of the call, zero-filled, to w->first; 0 where unreadable. */
static __noinline int peek_at(struct work *w, __u32 at)
{
	__u64 left = w->bytes - at;

	w->first[0] = w->first[1] = w->n_first = 0;
	if (at >= w->bytes)
		return 0;
	left = smaller(left, 16);
	barrier_var(left);
	if (left > 16)
		return 0;
	if (in_one_area(w)) {
		if (!bpf_probe_read_user(w->first, left,
					 (const void *)(w->source.at + w->source.skip + at)))
			w->n_first = left;
	} else if (w->source.kind == SOURCE_SEGMENTS) {
		peek_segments(at);
	}
	return w->n_first;
}

static __always_inline int peek(struct hit *hit, __u32 at)
{
	return peek_at(hit->w, at);
}

#endif
