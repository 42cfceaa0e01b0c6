// SPDX-License-Identifier: Apache-2.0
// The map: who calls whom, from the spans' own links, so that a port that was used twice makes no edge
// that never was. Pure: no DOM.
//
// graph: { nodes: [{ id, name, traced, requests, errors }], edges: [{ from, to, count, errors, durations: [ns],
//          examples: [{ trace, span, duration, error }] }] }
// A CLIENT span that no SERVER span answers is a dependency that is not traced: it is named by server.address.

import { attribute } from "./otlp.js";

export function buildGraph(trees) {
	const graph = { nodes: new Map(), edges: new Map() };
	for (const tree of trees) for (let i = 0; i < tree.spans.length; i++) addSpan(graph, tree, i);
	const byId = (a, b) => (a.id < b.id ? -1 : 1);
	return { nodes: [...graph.nodes.values()].sort(byId), edges: [...graph.edges.values()].sort(byId) };
}

function addSpan(graph, tree, i) {
	const span = tree.spans[i];
	const here = node(graph, span.service, true);
	if (span.kind === "client" || span.kind === "producer") {
		if (tree.kids[i].some((k) => tree.spans[k].kind === "server" || tree.spans[k].kind === "consumer")) return;
		edge(graph, tree, here, node(graph, outside(span), false), i);
		return;
	}
	if (span.kind !== "server" && span.kind !== "consumer") return;
	here.requests++;
	if (span.status === "error") here.errors++;
	const above = tree.parent[i];
	// Duration as the caller saw it, where the caller is known.
	if (above >= 0) {
		const by = tree.spans[above].kind === "client" ? above : i;
		edge(graph, tree, node(graph, tree.spans[above].service, true), here, by);
	}
}

function node(graph, name, traced) {
	const id = `${traced ? "s" : "x"}:${name}`;
	let n = graph.nodes.get(id);
	if (!n) graph.nodes.set(id, (n = { id, name, traced, requests: 0, errors: 0 }));
	return n;
}

function outside(span) {
	const address = attribute(span, "server.address") || attribute(span, "network.peer.address");
	const port = attribute(span, "server.port");
	const system = attribute(span, "db.system.name") || attribute(span, "db.system") || attribute(span, "messaging.system");
	const where = address ? (port ? `${address}:${port}` : address) : "(address not known)";
	return system ? `${system} ${where}` : where;
}

const EXAMPLES = 5;

function edge(graph, tree, from, to, i) {
	const span = tree.spans[i];
	const id = `${from.id}\0${to.id}`;
	let e = graph.edges.get(id);
	if (!e) graph.edges.set(id, (e = { id, from: from.id, to: to.id, count: 0, errors: 0, durations: [], examples: [] }));
	e.count++;
	const error = span.status === "error";
	if (error) e.errors++;
	e.durations.push(span.duration);
	e.examples.push({ trace: tree.trace.id, span: span.id, duration: span.duration, error });
	e.examples.sort((a, b) => b.error - a.error || b.duration - a.duration);
	if (e.examples.length > EXAMPLES) e.examples.pop();
}

// The part of a graph that failing calls went over.
export function errorsOnly(graph) {
	const edges = graph.edges.filter((e) => e.errors > 0);
	const kept = new Set(edges.flatMap((e) => [e.from, e.to]));
	return { nodes: graph.nodes.filter((n) => n.errors > 0 || kept.has(n.id)), edges };
}

// Places: Map id -> { x, y } in columns from caller to called. The same graph gives the same places,
// and names, not the order of arrival, decide what is above what.
export function layout(graph, { column = 280, row = 76 } = {}) {
	const layer = layers(graph);
	const columns = [];
	for (const n of graph.nodes) (columns[layer.get(n.id)] ||= []).push(n.id);
	const order = new Map();
	const setOrder = (ids) => ids.forEach((id, at) => order.set(id, at - (ids.length - 1) / 2));
	columns.forEach(setOrder);
	// Each column once by its callers' middle: the few services of a page need no more.
	for (let c = 1; c < columns.length; c++) {
		const middle = new Map(columns[c].map((id) => [id, mean(graph.edges.filter((e) => e.to === id && e.from !== id).map((e) => order.get(e.from)))]));
		columns[c].sort((a, b) => middle.get(a) - middle.get(b) || (a < b ? -1 : 1));
		setOrder(columns[c]);
	}
	const tallest = Math.max(1, ...columns.map((ids) => ids.length));
	const places = new Map();
	columns.forEach((ids, c) => ids.forEach((id) => {
		places.set(id, { x: c * column, y: (order.get(id) + (tallest - 1) / 2) * row });
	}));
	return { places, columns: columns.length, rows: tallest };
}

const mean = (list) => (list.length ? list.reduce((a, b) => a + b, 0) / list.length : 0);

// The longest way to each node; an edge that closes a loop does not count (depth first, by name).
function layers(graph) {
	const out = new Map();
	const next = new Map(graph.nodes.map((n) => [n.id, []]));
	const called = new Set();
	for (const e of graph.edges) {
		if (e.from === e.to) continue;
		next.get(e.from).push(e.to);
		called.add(e.to);
	}
	const state = new Map();
	const finished = [];
	const back = new Set();
	const visit = (id) => {
		state.set(id, 1);
		for (const to of next.get(id)) {
			if (!state.has(to)) visit(to);
			else if (state.get(to) === 1) back.add(`${id}\0${to}`);
		}
		state.set(id, 2);
		finished.push(id);
	};
	const starts = [...graph.nodes.filter((n) => !called.has(n.id)), ...graph.nodes];
	for (const n of starts) if (!state.has(n.id)) visit(n.id);
	for (const id of finished.reverse()) {
		const at = out.get(id) || 0;
		out.set(id, at);
		for (const to of next.get(id)) {
			if (!back.has(`${id}\0${to}`)) out.set(to, Math.max(out.get(to) || 0, at + 1));
		}
	}
	return out;
}
