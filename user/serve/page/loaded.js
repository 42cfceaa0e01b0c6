// SPDX-License-Identifier: Apache-2.0
// The traces that a view of many is made from: the newest ones of a range, read whole.

import { getTraces, search } from "./api.js";
import { h } from "./dom.js";
import { changed, one, RANGES, searchQuery } from "./query.js";
import { unixMs } from "./format.js";

const MOST = 100;
// One huge trace would take longer to read than all others together, and is but one example more.
export const HUGE = 20000;

// { trees, found, huge (left out), from, to (ms), incomplete }
export async function loadTraces(state, signal, progress) {
	const { query } = searchQuery(state, Date.now(), MOST);
	const answer = await search(query, signal);
	const kept = answer.traces.filter((t) => t.spans <= HUGE);
	const entries = await getTraces(kept.map((t) => t.trace_id), signal, progress);
	const starts = kept.map((t) => unixMs(t.start_unix_nano));
	const ends = kept.map((t, i) => starts[i] + Number(t.duration_nano) / 1e6);
	return {
		trees: entries.map((e) => e.tree),
		found: kept.length,
		huge: answer.traces.length - kept.length,
		from: starts.reduce((a, b) => Math.min(a, b), Infinity),
		to: ends.reduce((a, b) => Math.max(a, b), -Infinity),
		incomplete: answer.incomplete,
	};
}

// The fields that such a view has: time, and how many traces are read.
export function loadedControls(state, page, limits = ["100", "200"]) {
	const select = (label, key, options) => {
		const input = h("select", { name: key, onchange: () => page.go(changed(page.state, { [key]: input.value })) },
			options.map(([value, text]) => h("option", { value }, text)));
		input.value = one(state, key);
		return h("label", { class: "field" }, h("span", {}, label), input);
	};
	return [
		select("Time", "range", [["", "all"], ...Object.keys(RANGES).map((r) => [r, `last ${r}`])]),
		limits.length > 1 && select("From", "limit", limits.map((n, i) => [i ? n : "", `the newest ${n} traces`])),
	];
}
