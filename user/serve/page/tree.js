// SPDX-License-Identifier: Apache-2.0
// The tree of a trace, its rows, and what does not fit into it. Pure: no DOM.
//
// tree: { trace, spans, parent: Int32Array (-1: none), kids: [[index]…], roots: [index], order: Int32Array
//         (depth first), depth, size (spans below and itself), errors (the same): Int32Array, notes: Map index -> [note] }
// note: { what: "orphan" | "loop" | "duplicate" | "skew" | "outlives" | "negative", ns (how far, where that says something) };
//       noteText() says it in words, only for the few that are looked at
// Nothing is moved: a span that seems to begin before its caller stays where its clock put it.

import { duration, shown } from "./format.js";

const NONE = [];

export function buildTree(trace) {
	const spans = trace.spans;
	const n = spans.length;
	const tree = {
		trace,
		spans,
		parent: new Int32Array(n).fill(-1),
		kids: new Array(n).fill(NONE),
		roots: [],
		order: new Int32Array(n),
		depth: new Int32Array(n),
		size: new Int32Array(n).fill(1),
		errors: new Int32Array(n),
		byId: new Map(),
		notes: new Map(),
	};
	for (let i = 0; i < n; i++) {
		tree.byId.set(spans[i].id, i);
	}
	// The first of a name keeps it.
	for (let i = n - 1; tree.byId.size < n && i >= 0; i--) {
		if (tree.byId.get(spans[i].id) === i) continue;
		tree.byId.set(spans[i].id, i);
	}
	for (let i = 0; tree.byId.size < n && i < n; i++) {
		if (tree.byId.get(spans[i].id) !== i) note(tree, i, "duplicate");
	}
	join(tree);
	walk(tree);
	sum(tree);
	annotate(tree);
	return tree;
}

function note(tree, index, what, ns = 0) {
	const notes = tree.notes.get(index);
	if (notes) notes.push({ what, ns });
	else tree.notes.set(index, [{ what, ns }]);
}

function join(tree) {
	const { spans, parent, kids, roots } = tree;
	for (let i = 0; i < spans.length; i++) {
		const above = spans[i].parent ? tree.byId.get(spans[i].parent) : undefined;
		if (above === undefined || above === i) {
			roots.push(i);
			if (spans[i].parent) note(tree, i, "orphan");
			continue;
		}
		parent[i] = above;
		if (kids[above] === NONE) kids[above] = [i];
		else kids[above].push(i);
	}
	const byStart = (a, b) => spans[a].start - spans[b].start || spans[b].end - spans[a].end || a - b;
	roots.sort(byStart);
	// They mostly come in order, and sorting what is in order costs more than looking.
	const inOrder = (list) => list.every((k, at) => at === 0 || byStart(list[at - 1], k) < 0);
	for (const list of kids) if (list.length > 1 && !inOrder(list)) list.sort(byStart);
}

// Depth first with a stack of its own: a trace may be one chain of 100,000 calls.
function walk(tree) {
	const n = tree.spans.length;
	const seen = new Uint8Array(n);
	let at = 0;
	const visit = (root) => {
		const stack = [root];
		seen[root] = 1;
		while (stack.length) {
			const i = stack.pop();
			tree.order[at++] = i;
			const kids = tree.kids[i];
			for (let k = kids.length - 1; k >= 0; k--) {
				if (seen[kids[k]]) continue;
				seen[kids[k]] = 1;
				tree.depth[kids[k]] = tree.depth[i] + 1;
				stack.push(kids[k]);
			}
		}
	};
	tree.roots.forEach(visit);
	// What no root reaches stands in a loop of parents: it is cut at its first span.
	for (let i = 0; at < n && i < n; i++) {
		if (seen[i]) continue;
		const above = tree.parent[i];
		tree.kids[above] = tree.kids[above].filter((k) => k !== i);
		tree.parent[i] = -1;
		tree.roots.push(i);
		note(tree, i, "loop");
		visit(i);
	}
}

function sum(tree) {
	for (let at = tree.order.length - 1; at >= 0; at--) {
		const i = tree.order[at];
		if (tree.spans[i].status === "error") tree.errors[i]++;
		const above = tree.parent[i];
		if (above < 0) continue;
		tree.size[above] += tree.size[i];
		tree.errors[above] += tree.errors[i];
	}
}

function annotate(tree) {
	const { spans, parent } = tree;
	for (let i = 0; i < spans.length; i++) {
		const span = spans[i];
		if (span.duration < 0) note(tree, i, "negative", span.duration);
		if (parent[i] < 0) continue;
		const above = spans[parent[i]];
		if (span.start < above.start) note(tree, i, "skew", span.start - above.start);
		else if (span.end > above.end) {
			note(tree, i, span.kind === "server" && span.host !== above.host ? "skew" : "outlives", span.end - above.end);
		}
	}
}

export function noteText(tree, index, { what, ns }) {
	const span = tree.spans[index];
	const above = tree.spans[tree.parent[index]];
	const clocks = above && span.host && above.host && span.host !== above.host ? ": the clocks of the two hosts differ; shown as sent" : "; shown as sent";
	switch (what) {
	case "orphan": return `its parent ${shown(span.parent, 32)} is not in the store`;
	case "loop": return "its parents form a loop, which is cut here";
	case "duplicate": return "another span of this trace has the same id";
	case "negative": return `ends ${duration(-ns)} before it begins`;
	case "skew": return ns < 0 ? `begins ${duration(-ns)} before its parent${clocks}` : `ends ${duration(ns)} after its parent${clocks}`;
	default: return `ends ${duration(ns)} after its parent`;
	}
}

// The longest stretch of a span in which none of its children runs: { start, end } or null where
// it has no children. What covers it is unknown: the program's own work, or calls that are not traced.
export function longestGap(tree, index) {
	const kids = tree.kids[index];
	if (!kids.length) return null;
	const span = tree.spans[index];
	let best = { start: span.start, end: span.start };
	let covered = span.start;
	for (const k of kids) {
		const kid = tree.spans[k];
		const begin = Math.min(kid.start, span.end);
		if (begin - covered > best.end - best.start) best = { start: covered, end: begin };
		if (kid.end > covered) covered = kid.end;
	}
	if (span.end - covered > best.end - best.start) best = { start: covered, end: span.end };
	return best;
}

// Time of a span in which none of its children runs, in ns.
export function selfTime(tree, index) {
	const span = tree.spans[index];
	let covered = span.start;
	let own = 0;
	for (const k of tree.kids[index]) {
		const begin = Math.min(Math.max(tree.spans[k].start, span.start), span.end);
		if (begin > covered) own += begin - covered;
		covered = Math.max(covered, Math.min(tree.spans[k].end, span.end));
	}
	return own + Math.max(0, span.end - covered);
}

// The rows to be shown: an index of a span, or -1 - g for the group g that stands for its members.
// closed: Set of indices whose children are hidden. groups: as nplus1.js finds them. opened: Set of
// groups' numbers that are shown in full, below their own row.
export function flatten(tree, closed, groups, opened) {
	const rows = [];
	const depth = [];
	const stack = [];
	const push = (list, level) => {
		for (let k = list.length - 1; k >= 0; k--) stack.push(list[k], level);
	};
	push(tree.roots, 0);
	while (stack.length) {
		const level = stack.pop();
		const i = stack.pop();
		rows.push(i);
		depth.push(level);
		if (i < 0) {
			if (opened.has(-1 - i)) push(groups.list[-1 - i].members, level + 1);
			continue;
		}
		if (closed.has(i) || !tree.kids[i].length) continue;
		push(grouped(tree, i, groups), level + 1);
	}
	return { rows: Int32Array.from(rows), depth: Int32Array.from(depth) };
}

function grouped(tree, index, groups) {
	const here = groups.byParent.get(index);
	if (!here) return tree.kids[index];
	const out = [];
	const done = new Set();
	for (const kid of tree.kids[index]) {
		const g = groups.ofMember.get(kid);
		if (g === undefined) out.push(kid);
		else if (!done.has(g)) {
			done.add(g);
			out.push(-1 - g);
		}
	}
	return out;
}

// Every span down to a level stays open, the rest is closed.
export function closedBelow(tree, level) {
	const closed = new Set();
	for (let i = 0; i < tree.spans.length; i++) {
		if (tree.kids[i].length && tree.depth[i] >= level) closed.add(i);
	}
	return closed;
}
