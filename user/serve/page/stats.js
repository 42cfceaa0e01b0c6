// SPDX-License-Identifier: Apache-2.0
// Percentiles and buckets. Pure: no DOM.

// Nearest rank: a value that was measured, never one between two. sorted: ascending; p in 0..1.
export function percentile(sorted, p) {
	if (!sorted.length) return NaN;
	return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)];
}

// values in any order -> { count, p50, p95, p99, max }
export function summary(values) {
	const sorted = Float64Array.from(values).sort();
	return {
		count: sorted.length,
		p50: percentile(sorted, 0.5),
		p95: percentile(sorted, 0.95),
		p99: percentile(sorted, 0.99),
		max: sorted.length ? sorted[sorted.length - 1] : NaN,
	};
}

// items { start, duration (ms, both), error } -> n buckets from..to:
// [{ start, end, count, errors, durations, busy (ms in which requests were in flight, summed) }]
export function buckets(items, from, to, n) {
	const width = (to - from) / n || 1;
	const out = Array.from({ length: n }, (_, i) => ({
		start: from + i * width, end: from + (i + 1) * width, count: 0, errors: 0, durations: [], busy: 0,
	}));
	for (const item of items) {
		const at = Math.min(n - 1, Math.floor((item.start - from) / width));
		if (at < 0 || item.start > to) continue;
		out[at].count++;
		if (item.error) out[at].errors++;
		out[at].durations.push(item.duration);
		const end = item.start + item.duration;
		for (let b = at; b < n && out[b].start < end; b++) {
			out[b].busy += Math.min(end, out[b].end) - Math.max(item.start, out[b].start);
		}
	}
	return out;
}

// Round steps for an axis: 1, 2 or 5 times a power of ten, about n of them.
export function ticks(from, to, n) {
	const raw = (to - from) / Math.max(1, n);
	if (!(raw > 0)) return [from];
	const power = 10 ** Math.floor(Math.log10(raw));
	const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
	const out = [];
	for (let at = Math.ceil(from / step); at * step <= to + step * 1e-9; at++) out.push(at * step);
	return out;
}
