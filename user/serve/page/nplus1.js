// SPDX-License-Identifier: Apache-2.0
// N+1 patterns: one span that makes the same call again and again. Pure: no DOM.
//
// groups: { list: [group], byParent: Map index -> [g], ofMember: Map index -> g }
// group:  { parent, members: [index] by start, name, service, kind, mode: "sequential" | "concurrent",
//           time (ns in which at least one of them ran), start, end, errors }

import { operation, pathOf } from "./operation.js";

export const AT_LEAST = 5;

export function findGroups(tree, atLeast = AT_LEAST) {
	const groups = { list: [], byParent: new Map(), ofMember: new Map() };
	for (let i = 0; i < tree.spans.length; i++) {
		if (tree.kids[i].length < atLeast) continue;
		for (const [name, members] of alike(tree, tree.kids[i], atLeast)) add(tree, groups, i, name, members);
	}
	return groups;
}

// Same service, kind and operation; where only the path tells them apart, and only one part of it, that part
// stands for the identifier ("/profile/ann", "/profile/bob": "/profile/{…}").
function alike(tree, kids, atLeast) {
	const byName = new Map();
	for (const k of kids) {
		const span = tree.spans[k];
		const key = `${span.service}\0${span.kind}\0${operation(span).name}`;
		push(byName, key, k);
	}
	const out = [];
	const rest = new Map();
	for (const [key, members] of byName) {
		if (members.length >= atLeast) out.push([key.split("\0")[2], members]);
		else for (const k of members) push(rest, shape(tree.spans[k]), k);
	}
	for (const [key, members] of rest) {
		const name = key && members.length >= atLeast ? oneDiffers(tree, members) : null;
		if (name) out.push([name, members]);
	}
	return out;
}

function shape(span) {
	const path = pathOf(span);
	if (!path || path === "/") return "";
	return `${span.service}\0${span.kind}\0${span.name.split(" ", 1)[0]}\0${path.split("/").length}`;
}

function oneDiffers(tree, members) {
	const paths = members.map((k) => pathOf(tree.spans[k]).split("/"));
	const differing = paths[0].map((_, at) => at).filter((at) => paths.some((p) => p[at] !== paths[0][at]));
	if (differing.length !== 1 || differing[0] === 1) return null;
	const path = paths[0].slice();
	path[differing[0]] = "{…}";
	return `${tree.spans[members[0]].name.split(" ", 1)[0]} ${path.join("/")}`;
}

function push(map, key, value) {
	const list = map.get(key);
	if (list) list.push(value);
	else map.set(key, [value]);
}

function add(tree, groups, parent, name, members) {
	const spans = members.map((k) => tree.spans[k]);
	let time = 0;
	let covered = -Infinity;
	let overlaps = 0;
	let errors = 0;
	for (const span of spans) {
		if (span.start < covered) overlaps++;
		time += Math.max(0, span.end - Math.max(span.start, covered));
		covered = Math.max(covered, span.end);
		if (span.status === "error") errors++;
	}
	const g = groups.list.length;
	groups.list.push({
		parent,
		members,
		name,
		service: spans[0].service,
		kind: spans[0].kind,
		// A call or two that overlap do not make a program concurrent.
		mode: overlaps * 10 <= spans.length ? "sequential" : "concurrent",
		time,
		start: spans[0].start,
		end: covered,
		errors,
	});
	push(groups.byParent, parent, g);
	for (const k of members) groups.ofMember.set(k, g);
}
