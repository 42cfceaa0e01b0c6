// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { criticalPath, timeOnPath } from "../../user/serve/page/critical.js";
import { SHOP, tree } from "./traces.js";

const path = (t) => criticalPath(t).map((p) => [t.spans[p.index].id, p.start / 1e6, p.end / 1e6]);

test("calls one after the other: the path goes down and up, and covers the root without a hole", () => {
	const t = tree(SHOP);
	assert.deepEqual(path(t), [
		["w1", 0, 10], ["w2", 10, 12], ["s1", 12, 20], ["d1", 20, 40], ["s1", 40, 50], ["d2", 50, 80], ["s1", 80, 88], ["w2", 88, 90], ["w1", 90, 100]]);
	assert.equal(timeOnPath(criticalPath(t)).get(t.byId.get("s1")), 26e6);
});

test("of calls at the same time the one that ended last was waited for", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 100], ["fast", "r", "x", "client", "f", 10, 40], ["slow", "r", "x", "client", "s", 10, 90]]);
	assert.deepEqual(path(t), [["r", 0, 10], ["slow", 10, 90], ["r", 90, 100]]);
});

test("before the one that was waited for comes the one that ended before it began, not one that overlaps", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 100],
		["a", "r", "x", "client", "a", 0, 30], ["b", "r", "x", "client", "b", 20, 60], ["c", "r", "x", "client", "c", 40, 100]]);
	assert.deepEqual(path(t), [["a", 0, 30], ["r", 30, 40], ["c", 40, 100]]);
});

test("a child that goes on after its parent counts inside only; one that begins after it not at all", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 50], ["log", "r", "x", "internal", "l", 40, 90], ["after", "r", "x", "internal", "a", 60, 70]]);
	assert.deepEqual(path(t), [["r", 0, 40], ["log", 40, 50]]);
});

test("what outlives a parent that itself is cut off is still what was waited for", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 50], ["a", "r", "x", "internal", "a", 10, 80], ["b", "a", "x", "internal", "b", 20, 70]]);
	assert.deepEqual(path(t), [["r", 0, 10], ["a", 10, 20], ["b", 20, 50]]);
});

test("of several roots the longest; of none nothing", () => {
	const t = tree([["a", "", "x", "server", "a", 0, 10], ["b", "", "x", "server", "b", 20, 60]]);
	assert.deepEqual(path(t), [["b", 20, 60]]);
	assert.deepEqual(criticalPath(tree([])), []);
});

test("a span of no length is no stretch of the path", () => {
	const t = tree([["r", "", "x", "server", "r", 0, 10], ["z", "r", "x", "internal", "z", 5, 5]]);
	assert.deepEqual(path(t), [["r", 0, 10]]);
});
