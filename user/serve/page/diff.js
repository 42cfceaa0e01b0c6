// SPDX-License-Identifier: Apache-2.0
// Two traces side by side. Pure: no DOM.
//
// Spans are the same where the way from the root to them is: service, kind and operation of each
// step. Calls that are made several times at one place are one row with their number and sum.
// row: { name, service, kind, depth, a: side, b: side }, side: { count, time (ns), own (ns), errors }

import { operation } from "./operation.js";
import { selfTime } from "./tree.js";

export function diffTraces(a, b) {
	const root = place("", "", "", -1);
	gather(root, a, "a");
	gather(root, b, "b");
	const rows = [];
	const stack = [...root.kids.values()].reverse();
	while (stack.length) {
		const at = stack.pop();
		const { name, service, kind, depth } = at;
		rows.push({ name, service, kind, depth, a: at.a, b: at.b });
		stack.push(...[...at.kids.values()].sort((x, y) => first(y) - first(x)));
	}
	return rows;
}

const first = (at) => Math.min(at.a.first, at.b.first);
const side = () => ({ count: 0, time: 0, own: 0, errors: 0, first: Infinity });

function place(name, service, kind, depth) {
	return { name, service, kind, depth, a: side(), b: side(), kids: new Map() };
}

function gather(root, tree, which) {
	const at = new Array(tree.spans.length);
	for (const i of tree.order) {
		const span = tree.spans[i];
		const above = tree.parent[i] < 0 ? root : at[tree.parent[i]];
		const { name } = operation(span);
		const key = `${span.service}\0${span.kind}\0${name}`;
		let here = above.kids.get(key);
		if (!here) above.kids.set(key, (here = place(name, span.service, span.kind, above.depth + 1)));
		at[i] = here;
		const s = here[which];
		s.count++;
		s.time += span.duration;
		s.own += selfTime(tree, i);
		if (span.status === "error") s.errors++;
		s.first = Math.min(s.first, span.start - tree.trace.start);
	}
}

// What a row says in a word: "only in a", "only in b", "more calls", "fewer calls", "slower", "faster", "same".
export function verdict(row) {
	if (!row.b.count) return "only in A";
	if (!row.a.count) return "only in B";
	if (row.b.errors !== row.a.errors) return row.b.errors > row.a.errors ? "more errors" : "fewer errors";
	if (row.b.count !== row.a.count) return row.b.count > row.a.count ? "more calls" : "fewer calls";
	const delta = row.b.time - row.a.time;
	// A tenth, and not less than 0.1 ms: below that two runs of the same differ anyway.
	if (Math.abs(delta) < Math.max(row.a.time * 0.1, 1e5)) return "same";
	return delta > 0 ? "slower" : "faster";
}
