// SPDX-License-Identifier: Apache-2.0
// Percentiles and buckets. Pure: no DOM.

// Nearest rank: a value that was measured, never one between two. sorted: ascending; p in 0..1.
export function percentile(sorted, p) {
	if (!sorted.length) return NaN;
	return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)];
}

// Of an answer of api/v1/statistics, which leaves out the parts of the time in which nothing was:
// -> function (value(bucket), otherwise) -> a value for each part.
export function overTime({ start_unix_nano: start, end_unix_nano: end, bucket_nano: width }, buckets) {
	const n = Math.max(1, Number((BigInt(end) - BigInt(start)) / BigInt(width)) + 1);
	const by = new Map(buckets.map((b) => [Number((BigInt(b.start_unix_nano) - BigInt(start)) / BigInt(width)), b]));
	return (value, otherwise) => Array.from({ length: n }, (_, i) => (by.has(i) ? value(by.get(i)) : otherwise));
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
