// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { compare, features } from "../../user/serve/page/compare.js";
import { diffTraces, verdict } from "../../user/serve/page/diff.js";
import { FAILED, SHOP, tree } from "./traces.js";

test("a trace does not differ from itself", () => {
	const rows = diffTraces(tree(SHOP), tree(SHOP));
	assert.deepEqual(rows.map((r) => [r.depth, r.name, verdict(r)]), [
		[0, "GET /cart", "same"], [1, "GET /items", "same"], [2, "GET /items", "same"], [3, "SELECT a", "same"], [3, "SELECT b", "same"]]);
});

test("what is slower, missing, new, made more often, failing", () => {
	const b = [
		["w1", "", "web", "server", "GET", 0, 150, { "url.path": "/cart" }],
		["w2", "w1", "web", "client", "GET", 10, 90, { "url.full": "http://shop:80/items" }],
		["s1", "w2", "shop", "server", "GET", 12, 88, { "url.path": "/items" }, FAILED],
		["a1", "s1", "shop", "client", "SELECT a", 20, 30], ["a2", "s1", "shop", "client", "SELECT a", 30, 40],
		["n1", "w1", "web", "client", "PUT", 95, 140, { "url.full": "http://log:80/line" }],
	];
	const rows = diffTraces(tree(SHOP), tree(b));
	assert.deepEqual(rows.map((r) => [r.name, verdict(r)]), [
		["GET /cart", "slower"], ["GET /items", "same"], ["GET /items", "more errors"], ["SELECT a", "more calls"], ["SELECT b", "only in A"], ["PUT /line", "only in B"]]);
	const cart = rows[0];
	assert.equal(cart.b.time - cart.a.time, 50e6);
	assert.equal(cart.a.own, 20e6);
	assert.equal(rows[3].b.count, 2);
	assert.equal(verdict(diffTraces(tree(b), tree(SHOP))[0]), "faster");
});

test("identifiers do not tell calls apart", () => {
	const one = (path) => tree([["r", "", "x", "server", "GET", 0, 10, { "url.path": path }]]);
	assert.equal(diffTraces(one("/u/1"), one("/u/2")).length, 1);
});

const trace = (region, ms, more = {}) => tree([["r", "", "web", "server", "GET", 0, ms, { "url.path": "/", region, "client.port": ms }, more]]).trace;

test("what the failed have in common comes first; what all have is not told", () => {
	const failed = [trace("b", 1, FAILED), trace("b", 2, FAILED), trace("b", 3, FAILED)].map(features);
	const fine = [trace("a", 4), trace("a", 5), trace("a", 6), trace("b", 7)].map(features);
	const found = compare(failed, fine);
	assert.deepEqual(found.map((f) => [f.key, f.value, f.selected, f.others]), [["error in", "web: GET /", 3, 0], ["region", "b", 3, 1]]);
});

test("nothing to tell", () => {
	assert.deepEqual(compare([features(trace("a", 1))], [features(trace("a", 2))]), []);
	assert.deepEqual(compare([], []), []);
});
