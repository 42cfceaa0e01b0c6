// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { findGroups } from "../../user/serve/page/nplus1.js";
import { closedBelow, flatten, longestGap, noteText, selfTime } from "../../user/serve/page/tree.js";
import { SHOP, tree } from "./traces.js";

const ids = (t, list) => [...list].map((i) => t.spans[i].id);
const at = (t, id) => t.byId.get(id);
const NO_GROUPS = { list: [], byParent: new Map(), ofMember: new Map() };

test("a tree in depth-first order, by start", () => {
	// As they may arrive: backwards.
	const t = tree(SHOP.slice().reverse());
	assert.deepEqual(ids(t, t.order), ["w1", "w2", "s1", "d1", "d2"]);
	assert.deepEqual(ids(t, t.roots), ["w1"]);
	assert.equal(t.depth[at(t, "d2")], 3);
	assert.equal(t.size[at(t, "w1")], 5);
	assert.equal(t.errors[at(t, "w1")], 1);
	assert.equal(t.errors[at(t, "d1")], 0);
	assert.equal(t.notes.size, 0);
});

test("a span whose parent is not here is a root that says so", () => {
	const t = tree(SHOP.slice(2));
	assert.deepEqual(ids(t, t.roots), ["s1"]);
	assert.equal(t.notes.get(at(t, "s1"))[0].what, "orphan");
});

test("a loop of parents is cut once, and every span has its row", () => {
	const t = tree([["a", "c", "x", "internal", "a", 0, 9], ["b", "a", "x", "internal", "b", 1, 8], ["c", "b", "x", "internal", "c", 2, 7], ["r", "", "x", "server", "r", 0, 10], ["me", "me", "x", "internal", "me", 3, 4]]);
	assert.deepEqual(ids(t, t.order).sort(), ["a", "b", "c", "me", "r"]);
	const cut = [...t.notes].filter(([, notes]) => notes.some((n) => n.what === "loop"));
	assert.equal(cut.length, 1);
	assert.deepEqual([...flatten(t, new Set(), NO_GROUPS, new Set()).rows].length, 5);
});

test("two spans with one id are both shown", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 10], ["a", "r", "x", "internal", "1", 1, 2], ["a", "r", "x", "internal", "2", 3, 4], ["k", "a", "x", "internal", "k", 1, 2]]);
	assert.equal(t.order.length, 4);
	assert.equal(t.notes.get(2)[0].what, "duplicate");
	assert.equal(t.parent[3], 1);
});

test("times outside the parent's are said, and not altered", () => {
	const t = tree([
		["c", "", "web", "client", "GET", 10, 20], ["s", "c", "shop", "server", "GET", 8, 15],
		["c2", "", "web", "client", "GET", 30, 40], ["s2", "c2", "shop", "server", "GET", 31, 45],
		["p", "", "web", "server", "GET", 50, 60], ["later", "p", "web", "internal", "log", 55, 70]], { web: "h1", shop: "h2" });
	const note = (id) => t.notes.get(at(t, id))[0];
	assert.equal(note("s").what, "skew");
	assert.match(noteText(t, at(t, "s"), note("s")), /begins 2 ms before its parent: the clocks of the two hosts differ; shown as sent/);
	assert.equal(note("s2").what, "skew");
	assert.match(noteText(t, at(t, "s2"), note("s2")), /ends 5 ms after/);
	assert.equal(note("later").what, "outlives");
	assert.equal(t.spans[at(t, "s")].start, 8e6);
});

test("own time and the longest gap", () => {
	const t = tree(SHOP);
	// s1 12..88: children 20..40 and 50..80.
	assert.equal(selfTime(t, at(t, "s1")), 26e6);
	assert.deepEqual(longestGap(t, at(t, "s1")), { start: 40e6, end: 50e6 });
	assert.equal(longestGap(t, at(t, "d1")), null);
	assert.equal(selfTime(t, at(t, "d1")), 20e6);
});

test("own time is never less than nothing where children overlap or stick out", () => {
	const t = tree([["r", "", "x", "server", "r", 10, 20], ["a", "r", "x", "internal", "a", 0, 14], ["b", "r", "x", "internal", "b", 12, 30], ["c", "r", "x", "internal", "c", 40, 50]]);
	assert.equal(selfTime(t, 0), 0);
});

test("rows: what is closed hides what is below it, groups stand for their members", () => {
	const calls = Array.from({ length: 6 }, (_, n) => [`k${n}`, "s1", "shop", "client", "GET", 20 + n, 21 + n, { "url.path": `/p/${n}` }]);
	const t = tree([...SHOP, ...calls]);
	const groups = findGroups(t);
	const rows = (closed, opened) => [...flatten(t, new Set(closed.map((id) => at(t, id))), groups, new Set(opened)).rows].map((r) => (r < 0 ? `g${-1 - r}` : t.spans[r].id));
	assert.deepEqual(rows([], []), ["w1", "w2", "s1", "d1", "g0", "d2"]);
	assert.deepEqual(rows([], [0]), ["w1", "w2", "s1", "d1", "g0", "k0", "k1", "k2", "k3", "k4", "k5", "d2"]);
	assert.deepEqual(rows(["w2"], []), ["w1", "w2"]);
	assert.deepEqual(rows(["w1"], [0]), ["w1"]);
	assert.deepEqual([...closedBelow(t, 1)].map((i) => t.spans[i].id), ["w2", "s1"]);
});

test("a chain of 100,000 calls is walked without a deep stack", () => {
	const n = 100000;
	const t = tree(Array.from({ length: n }, (_, i) => [`s${i}`, i ? `s${i - 1}` : "", "x", "internal", "x", 0, 10]));
	assert.equal(t.depth[n - 1], n - 1);
	assert.equal(t.size[0], n);
	assert.equal(flatten(t, new Set(), NO_GROUPS, new Set()).rows.length, n);
});
