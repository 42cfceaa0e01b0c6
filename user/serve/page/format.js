// SPDX-License-Identifier: Apache-2.0
// Numbers, times and names as people read them. Pure: no DOM.

const UNITS = [[1e9, "s"], [1e6, "ms"], [1e3, "µs"], [1, "ns"]];

// Three significant digits, the unit that keeps the number at one or more.
export function duration(ns) {
	if (!Number.isFinite(ns)) return "–";
	if (ns < 0) return "−" + duration(-ns);
	if (ns === 0) return "0";
	if (ns >= 3600e9) return `${Math.floor(ns / 3600e9)} h ${Math.round((ns % 3600e9) / 60e9)} min`;
	if (ns >= 60e9) return `${Math.floor(ns / 60e9)} min ${Math.round((ns % 60e9) / 1e9)} s`;
	for (const [size, unit] of UNITS) {
		// 999.6 µs would round to "1000 µs": it is 1 ms.
		if (ns >= size * 0.9995) return `${digits3(ns / size)} ${unit}`;
	}
	return `${digits3(ns)} ns`;
}

function digits3(n) {
	if (n >= 99.95) return n.toFixed(0);
	if (n >= 9.995) return trimmed(n.toFixed(1));
	return trimmed(n.toFixed(2));
}

const trimmed = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);

// "1.5s", "20 ms", "300us", "20" (ms): what a person types into a field of durations, in ns; null where it is none.
export function parseDuration(text) {
	const match = /^\s*([0-9]+(?:[.,][0-9]+)?)\s*(ns|us|µs|μs|ms|s|m|min|h)?\s*$/i.exec(text);
	if (!match) return null;
	const unit = (match[2] || "ms").toLowerCase().replace(/[µμ]/, "u");
	const size = { ns: 1, us: 1e3, ms: 1e6, s: 1e9, m: 60e9, min: 60e9, h: 3600e9 }[unit];
	return Math.round(Number(match[1].replace(",", ".")) * size);
}

export function count(n) {
	return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, " ");
}

export function plural(n, word, many = word + "s") {
	return `${count(n)} ${n === 1 ? word : many}`;
}

export function bytes(n) {
	for (const [size, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
		if (n >= size) return `${trimmed((n / size).toFixed(1))} ${unit}`;
	}
	return `${n} B`;
}

export function percent(share) {
	const p = share * 100;
	if (p > 0 && p < 0.1) return "<0.1 %";
	return `${p >= 10 || p === 0 ? p.toFixed(0) : p.toFixed(1)} %`;
}

export function rate(perSecond) {
	if (perSecond === 0) return "0/s";
	if (perSecond >= 1) return `${digits3(perSecond)}/s`;
	if (perSecond * 60 >= 1) return `${digits3(perSecond * 60)}/min`;
	return `${digits3(perSecond * 3600)}/h`;
}

// Nanoseconds since 1970 as a decimal string: the milliseconds, for Date; what is below is exact elsewhere.
export function unixMs(nano) {
	return Number(BigInt(nano) / 1000n) / 1000;
}

const two = (n) => String(n).padStart(2, "0");

export function clock(ms, withMs = true) {
	const d = new Date(ms);
	const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
	return withMs ? `${time}.${String(d.getMilliseconds()).padStart(3, "0")}` : time;
}

export function day(ms) {
	const d = new Date(ms);
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

export function ago(ms, now) {
	const s = Math.max(0, Math.round((now - ms) / 1000));
	if (s < 60) return `${s} s ago`;
	if (s < 3600) return `${Math.floor(s / 60)} min ago`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
	return `${Math.floor(s / 86400)} d ago`;
}

// A name from outside as it may stand on a page: what steers a terminal or turns the direction
// of text is made visible, and what is too long is cut where it says so.
const STEERING = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function shown(text, limit = 200) {
	let out = String(text);
	const cut = out.length > limit;
	if (cut) out = out.slice(0, limit);
	out = out.replace(STEERING, (c) => {
		const code = c.charCodeAt(0);
		if (code < 0x20) return String.fromCharCode(0x2400 + code);
		if (code === 0x7f) return "\u2421";
		return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
	});
	return cut ? out + "…" : out;
}
