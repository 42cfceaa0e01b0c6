// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { errorsOnly, graphOf, layout } from "../../user/serve/page/graph.js";

// [from, to, count, errors]; names with a colon are addresses of what is not traced. Numbers as they were met.
function answer(calls) {
	const names = [...new Set(calls.flatMap(([from, to]) => [from, to]))];
	return {
		nodes: names.map((name, id) => ({ id, name, traced: !name.includes(":"), count: calls.filter((c) => c[1] === name).reduce((n, c) => n + c[2], 0), errors: 0 })),
		edges: calls.map(([from, to, count, errors]) => ({
			from: names.indexOf(from), to: names.indexOf(to), count, errors, p50_nano: "1000000", p95_nano: "2000000", p99_nano: "80000000", max_nano: "80000000",
			examples: [{ trace_id: "ab", span_id: "cd", duration_nano: "80000000", error: errors > 0 }],
		})),
	};
}
const SHOP = [["web", "shop", 2, 0], ["shop", "db:5432", 4, 2]];
const edges = (g) => g.edges.map((e) => [e.from, e.to, e.count, e.errors]);

test("an answer becomes nodes and edges that are known by names", () => {
	const g = graphOf(answer(SHOP));
	assert.deepEqual(edges(g), [["s:shop", "x:db:5432", 4, 2], ["s:web", "s:shop", 2, 0]]);
	assert.deepEqual(g.nodes.map((n) => [n.id, n.traced, n.requests]), [["s:shop", true, 2], ["s:web", true, 0], ["x:db:5432", false, 4]]);
	assert.deepEqual([g.edges[0].p50, g.edges[0].p99], [1e6, 80e6]);
	assert.deepEqual(g.edges[0].examples, [{ trace: "ab", span: "cd", duration: 80e6, error: true }]);
});

test("a service and an address of the same name are two", () => {
	const g = graphOf({ nodes: [{ id: 0, name: "db", traced: true, count: 0, errors: 0 }, { id: 7, name: "db", traced: false, count: 0, errors: 0 }], edges: [] });
	assert.deepEqual(g.nodes.map((n) => n.id), ["s:db", "x:db"]);
});

test("errors only: failing calls and their ends", () => {
	const g = errorsOnly(graphOf(answer(SHOP)));
	assert.deepEqual(edges(g), [["s:shop", "x:db:5432", 4, 2]]);
	assert.deepEqual(g.nodes.map((n) => n.id), ["s:shop", "x:db:5432"]);
});

test("callers stand left of what they call, and the order of the answer does not matter", () => {
	const calls = [...SHOP, ["admin", "shop", 1, 0]];
	const one = layout(graphOf(answer(calls)));
	const two = layout(graphOf(answer(calls.reverse())));
	assert.deepEqual([...one.places].sort(), [...two.places].sort());
	const x = (id) => one.places.get(id).x;
	assert.ok(x("s:web") < x("s:shop") && x("s:shop") < x("x:db:5432") && x("s:admin") === x("s:web"));
	assert.equal(new Set([...one.places.values()].map((p) => `${p.x},${p.y}`)).size, 4);
});

test("a call over more than one column has a way of its own, on which no service stands", () => {
	const calls = [["wget", "proxy", 1, 0], ["proxy", "basket", 1, 0], ["basket", "files", 1, 0], ["wget", "files", 1, 0]];
	const g = graphOf(answer(calls));
	const { places, ways } = layout(g);
	const way = ways.get("s:wget\0s:files");
	assert.deepEqual([...ways.keys()], ["s:wget\0s:files"]);
	assert.equal(places.size, 4);
	assert.deepEqual(way.map((w) => w.x), [places.get("s:proxy").x, places.get("s:basket").x]);
	const taken = new Set([...places.values()].map((p) => `${p.x},${p.y}`));
	assert.ok(way.every((w) => !taken.has(`${w.x},${w.y}`)));
	assert.deepEqual([...ways], [...layout(graphOf(answer(calls.reverse()))).ways]);
});

test("services that call each other in a circle, and themselves, have places", () => {
	const { places } = layout(graphOf(answer([["a", "b", 1, 0], ["b", "c", 1, 0], ["c", "a", 1, 0], ["a", "a", 1, 0]])));
	assert.equal(places.size, 3);
	assert.equal(new Set([...places.values()].map((p) => p.x)).size, 3);
});
