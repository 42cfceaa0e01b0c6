// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { findGroups } from "../../user/serve/page/nplus1.js";
import { operation, summaryName, template } from "../../user/serve/page/operation.js";
import { FAILED, tree } from "./traces.js";

const ROOT = ["r", "", "web", "server", "GET", 0, 1000, { "url.path": "/people" }];
const calls = (n, start, end, path, more) => Array.from({ length: n }, (_, i) =>
	[`c${i}`, "r", "web", "client", "GET", start(i), end(i), { "url.full": `http://profile:80${path(i)}` }, more?.(i)]);

test("50 calls one after the other are one group", () => {
	// 50 calls of 9.6 ms: 480 ms.
	const t = tree([ROOT, ...calls(50, (i) => 10 + i * 10, (i) => 19.6 + i * 10, (i) => `/profile/${i + 7}`)]);
	const { list } = findGroups(t);
	assert.equal(list.length, 1);
	const [g] = list;
	assert.deepEqual([g.members.length, g.name, g.mode, Math.round(g.time / 1e5), g.errors], [50, "GET /profile/{id}", "sequential", 4800, 0]);
	assert.equal(g.start, 10e6);
	assert.equal(g.end, 509.6e6);
});

test("at the same time: concurrent, and time that overlaps counts once", () => {
	const t = tree([ROOT, ...calls(10, (i) => 10 + i, (i) => 110 + i, (i) => `/profile/${i}`, (i) => (i < 3 ? FAILED : {}))]);
	const [g] = findGroups(t).list;
	assert.deepEqual([g.mode, g.time, g.errors], ["concurrent", 109e6, 3]);
});

test("fewer than five, or different ones, are no group", () => {
	const t = tree([ROOT, ...calls(4, (i) => i * 10, (i) => i * 10 + 5, (i) => `/profile/${i}`)]);
	assert.equal(findGroups(t).list.length, 0);
	const paths = ["/a/x", "/b/y", "/c/z", "/d/w", "/e/v", "/f/u"];
	assert.equal(findGroups(tree([ROOT, ...calls(6, (i) => i * 10, (i) => i * 10 + 5, (i) => paths[i])])).list.length, 0);
});

test("names instead of numbers: the one part that differs is the identifier", () => {
	const people = ["ann", "bob", "cid", "dan", "eve", "fay"];
	const [g] = findGroups(tree([ROOT, ...calls(6, (i) => i * 10, (i) => i * 10 + 5, (i) => `/profile/${people[i]}/photo`)])).list;
	assert.equal(g.name, "GET /profile/{…}/photo");
	// The first part is what a service offers, not an identifier.
	assert.equal(findGroups(tree([ROOT, ...calls(6, (i) => i * 10, (i) => i * 10 + 5, (i) => `/${people[i]}`)])).list.length, 0);
});

test("the same statement of a database, again and again", () => {
	const rows = Array.from({ length: 8 }, (_, i) => [`q${i}`, "r", "web", "client", "SELECT users", i * 10, i * 10 + 4]);
	const [g] = findGroups(tree([ROOT, ...rows])).list;
	assert.deepEqual([g.name, g.members.length, g.time], ["SELECT users", 8, 32e6]);
});

test("each parent has its own groups, each span at most one", () => {
	const t = tree([ROOT, ["s", "r", "web", "internal", "x", 0, 900],
		...calls(5, (i) => i, (i) => i + 1, () => "/a/1"), ...calls(5, (i) => i, (i) => i + 1, () => "/b/1").map(([id, , ...rest]) => [`s${id}`, "s", ...rest])]);
	const groups = findGroups(t);
	assert.deepEqual(groups.list.map((g) => [t.spans[g.parent].id, g.name]).sort(), [["r", "GET /a/{id}"], ["s", "GET /b/{id}"]]);
	assert.equal(groups.ofMember.size, 10);
});

test("what looks like an identifier is taken out of a path, what does not stays", () => {
	assert.equal(template("/profile/42/photos"), "/profile/{id}/photos");
	assert.equal(template("/o/6fa459ea-ee8a-3ca4-894e-db77e160355e"), "/o/{id}");
	assert.equal(template("/o/5f2b6c7d8e9f"), "/o/{id}");
	assert.equal(template("/api/v1/deadbeef/feed"), "/api/v1/deadbeef/feed");
	assert.equal(template("/t/eyJhbGciOiJIUzI1NiIsInR5"), "/t/{id}");
});

test("a name says whether it was inferred", () => {
	const t = tree([ROOT, ["a", "r", "web", "server", "GET", 0, 1, { "http.route": "/u/:id", "url.path": "/u/3" }], ["b", "r", "web", "client", "SELECT x", 0, 1], ["c", "r", "web", "client", "GET", 0, 1, { "url.full": "http://h:1" }]]);
	assert.deepEqual(t.spans.map((s) => operation(s)), [
		{ name: "GET /people", inferred: true }, { name: "GET /u/:id", inferred: false }, { name: "SELECT x", inferred: false }, { name: "GET /", inferred: true }]);
});

test("the spans of a search's answer are named the same way", () => {
	assert.equal(summaryName({ name: "GET", path: "/u/3" }), "GET /u/3");
	assert.equal(summaryName({ name: "SELECT x" }), "SELECT x");
	assert.equal(summaryName({ name: "" }), "(no name)");
});
