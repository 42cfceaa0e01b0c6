// SPDX-License-Identifier: Apache-2.0
// The map: who calls whom, as the server worked it out of the spans' own links. Pure: no DOM.
//
// graph: { nodes: [{ id, name, traced, requests, errors }],
//          edges: [{ from, to, count, errors, p50, p95, p99 (ns), examples: [{ trace, span, duration, error }] }] }

// Of an answer of api/v1/map. Ids are made of names, so that a place on the screen does not depend on who was first.
export function graphOf({ nodes, edges }) {
	const ids = new Map(nodes.map((n) => [n.id, `${n.traced ? "s" : "x"}:${n.name}`]));
	const byId = (a, b) => (a.id < b.id ? -1 : 1);
	return {
		nodes: nodes.map((n) => ({ id: ids.get(n.id), name: n.name, traced: n.traced, requests: n.count, errors: n.errors })).sort(byId),
		edges: edges.map((e) => ({
			id: `${ids.get(e.from)}\0${ids.get(e.to)}`, from: ids.get(e.from), to: ids.get(e.to), count: e.count, errors: e.errors,
			p50: Number(e.p50_nano), p95: Number(e.p95_nano), p99: Number(e.p99_nano),
			examples: e.examples.map((x) => ({ trace: x.trace_id, span: x.span_id, duration: Number(x.duration_nano), error: x.error })),
		})).sort(byId),
	};
}

// The part of a graph that failing calls went over.
export function errorsOnly(graph) {
	const edges = graph.edges.filter((e) => e.errors > 0);
	const kept = new Set(edges.flatMap((e) => [e.from, e.to]));
	return { nodes: graph.nodes.filter((n) => n.errors > 0 || kept.has(n.id)), edges };
}

// Places: Map id -> { x, y } in columns from caller to called. The same graph gives the same places,
// and names, not the order of arrival, decide what is above what. A call over more than one column has a place
// of its own in each between, so that no service stands on its way: ways, Map id of the edge -> [{ x, y }].
export function layout(graph, { column = 280, row = 76 } = {}) {
	const layer = layers(graph);
	const columns = [];
	for (const n of graph.nodes) (columns[layer.get(n.id)] ||= []).push(n.id);
	const over = new Map();
	const steps = [];
	for (const e of graph.edges) {
		let before = e.from;
		for (let c = layer.get(e.from) + 1; c < layer.get(e.to); c++) {
			// Behind the names of services.
			const id = `~${e.id}\0${c}`;
			columns[c].push(id);
			over.set(e.id, [...(over.get(e.id) || []), id]);
			steps.push([before, id]);
			before = id;
		}
		if (layer.get(e.from) < layer.get(e.to)) steps.push([before, e.to]);
	}
	const order = new Map();
	const setOrder = (ids) => ids.forEach((id, at) => order.set(id, at - (ids.length - 1) / 2));
	columns.forEach(setOrder);
	// Each column once by its callers' middle: the few services of a page need no more.
	for (let c = 1; c < columns.length; c++) {
		const middle = new Map(columns[c].map((id) => [id, mean(steps.filter(([, to]) => to === id).map(([from]) => order.get(from)))]));
		columns[c].sort((a, b) => middle.get(a) - middle.get(b) || (a < b ? -1 : 1));
		setOrder(columns[c]);
	}
	const tallest = Math.max(1, ...columns.map((ids) => ids.length));
	const places = new Map();
	columns.forEach((ids, c) => ids.forEach((id) => {
		places.set(id, { x: c * column, y: (order.get(id) + (tallest - 1) / 2) * row });
	}));
	const ways = new Map([...over].map(([edge, ids]) => [edge, ids.map((id) => places.get(id))]));
	for (const ids of over.values()) for (const id of ids) places.delete(id);
	return { places, ways, columns: columns.length, rows: tallest };
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
