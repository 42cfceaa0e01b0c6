// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { buildGraph, errorsOnly, layout } from "../../user/serve/page/graph.js";
import { FAILED, SHOP, tree } from "./traces.js";

const edges = (g) => g.edges.map((e) => [e.from, e.to, e.count, e.errors]);

test("calls between services, and to what is not traced", () => {
	const g = buildGraph([tree(SHOP), tree(SHOP)]);
	assert.deepEqual(edges(g), [["s:shop", "x:db:5432", 4, 2], ["s:web", "s:shop", 2, 0]]);
	assert.deepEqual(g.nodes.map((n) => [n.id, n.traced, n.requests]), [["s:shop", true, 2], ["s:web", true, 2], ["x:db:5432", false, 0]]);
	// As the caller saw it: 80 ms, not the 76 of the server.
	assert.deepEqual(g.edges[1].durations, [80e6, 80e6]);
	assert.deepEqual(g.edges[0].examples.map((x) => [x.span, x.error]), [["d2", true], ["d2", true], ["d1", false], ["d1", false]]);
});

test("a port that another service took makes no edge to the one before", () => {
	// Both say 127.0.0.1:80; who answered is what the spans say.
	const g = buildGraph([tree([["c", "", "web", "client", "GET", 0, 9, { "server.address": "127.0.0.1", "server.port": 80 }], ["s", "c", "a", "server", "GET", 1, 8]]),
		tree([["c", "", "web", "client", "GET", 0, 9, { "server.address": "127.0.0.1", "server.port": 80 }], ["s", "c", "b", "server", "GET", 1, 8]])]);
	assert.deepEqual(edges(g), [["s:web", "s:a", 1, 0], ["s:web", "s:b", 1, 0]]);
});

test("a server whose caller's span is no call hangs on that service", () => {
	const g = buildGraph([tree([["a", "", "web", "internal", "work", 0, 9], ["s", "a", "shop", "server", "GET", 1, 8, {}, FAILED]])]);
	assert.deepEqual(edges(g), [["s:web", "s:shop", 1, 1]]);
});

test("errors only: failing calls and their ends", () => {
	const g = errorsOnly(buildGraph([tree(SHOP)]));
	assert.deepEqual(edges(g), [["s:shop", "x:db:5432", 2, 1]]);
	assert.deepEqual(g.nodes.map((n) => n.id), ["s:shop", "x:db:5432"]);
});

test("callers stand left of what they call, and the order of traces does not matter", () => {
	const other = tree([["a", "", "admin", "client", "GET", 0, 9], ["s", "a", "shop", "server", "GET", 1, 8]]);
	const one = layout(buildGraph([tree(SHOP), other]));
	const two = layout(buildGraph([other, tree(SHOP)]));
	assert.deepEqual([...one.places].sort(), [...two.places].sort());
	const x = (id) => one.places.get(id).x;
	assert.ok(x("s:web") < x("s:shop") && x("s:shop") < x("x:db:5432") && x("s:admin") === x("s:web"));
	assert.equal(new Set([...one.places.values()].map((p) => `${p.x},${p.y}`)).size, 4);
});

test("services that call each other in a circle, and themselves, have places", () => {
	const call = (a, b) => tree([["c", "", a, "client", "GET", 0, 9], ["s", "c", b, "server", "GET", 1, 8]]);
	const { places } = layout(buildGraph([call("a", "b"), call("b", "c"), call("c", "a"), call("a", "a")]));
	assert.equal(places.size, 3);
	assert.equal(new Set([...places.values()].map((p) => p.x)).size, 3);
});
