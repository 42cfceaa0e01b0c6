// SPDX-License-Identifier: Apache-2.0
// The critical path of a trace: the stretches of time that, were they shorter, would make the whole
// shorter. Pure: no DOM.
//
// From the end of the root backwards: at each moment the child that ended last before it is what was
// waited for; where no child runs, the span itself. What runs outside its parent's time was not
// waited for, and counts only inside.

// [{ index, start, end }], ordered by start; index is a span of the tree. Times in ns, as the spans'.
export function criticalPath(tree, root = longestRoot(tree)) {
	if (root < 0) return [];
	const out = [];
	const { spans } = tree;
	// A frame is a span that is looked at backwards from `at`, with its children by end, the last first.
	const frames = [frame(tree, root, spans[root].start, spans[root].end)];
	while (frames.length) {
		const top = frames[frames.length - 1];
		const next = lastBefore(tree, top);
		if (next === null) {
			if (top.at > top.from) out.push({ index: top.index, start: top.from, end: top.at });
			frames.pop();
			continue;
		}
		if (top.at > next.end) out.push({ index: top.index, start: next.end, end: top.at });
		top.at = next.start;
		frames.push(frame(tree, next.index, next.start, next.end));
	}
	return out.reverse();
}

function frame(tree, index, from, at) {
	const kids = tree.kids[index];
	const byEnd = kids.length > 1 ? kids.slice().sort((a, b) => tree.spans[b].end - tree.spans[a].end) : kids;
	return { index, from, at, first: at, byEnd, next: 0 };
}

function lastBefore(tree, top) {
	while (top.next < top.byEnd.length) {
		const index = top.byEnd[top.next++];
		const span = tree.spans[index];
		const start = Math.max(span.start, top.from);
		const end = Math.min(span.end, top.at);
		if (end <= start) continue;
		// It ends after the moment that is looked at: waited for only where that is the parent's own end.
		if (span.end <= top.at || top.at === top.first) return { index, start, end };
	}
	return null;
}

export function longestRoot(tree) {
	let best = -1;
	for (const i of tree.roots) {
		if (best < 0 || tree.spans[i].duration > tree.spans[best].duration) best = i;
	}
	return best;
}

// Time on the path by span: Map index -> ns.
export function timeOnPath(path) {
	const out = new Map();
	for (const part of path) out.set(part.index, (out.get(part.index) || 0) + part.end - part.start);
	return out;
}
