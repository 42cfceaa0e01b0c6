// SPDX-License-Identifier: Apache-2.0
// What people read and type: numbers, times, names, addresses.
import assert from "node:assert/strict";
import test from "node:test";
import { bytes, count, duration, parseDuration, percent, rate, shown } from "../../user/serve/page/format.js";
import { findGroups } from "../../user/serve/page/nplus1.js";
import { all, changed, formatHash, one, parseHash, rangeQuery, searchQuery, secondsOf, timeRange } from "../../user/serve/page/query.js";
import { overTime, percentile, ticks } from "../../user/serve/page/stats.js";
import { traceText } from "../../user/serve/page/text.js";
import { flatten } from "../../user/serve/page/tree.js";
import { SHOP, tree } from "./traces.js";

test("durations have three digits and the right unit", () => {
	const said = [0, 1, 850, 999, 1000, 12345, 999600, 1e6, 480e6, 999.4e6, 999.6e6, 1.234e9, 59.9e9, 61e9, 3700e9, -2e6].map(duration);
	assert.deepEqual(said, ["0", "1 ns", "850 ns", "999 ns", "1 µs", "12.3 µs", "1 ms", "1 ms", "480 ms", "999 ms", "1 s", "1.23 s", "59.9 s", "1 min 1 s", "1 h 2 min", "−2 ms"]);
	assert.equal(duration(NaN), "–");
});

test("durations as they are typed", () => {
	assert.deepEqual(["20ms", "1.5s", "1,5 s", "300us", "300µs", " 7 ", "2m", "5ns"].map(parseDuration), [20e6, 1.5e9, 1.5e9, 300e3, 300e3, 7e6, 120e9, 5]);
	for (const text of ["", "ms", "1 x", "1e9", "-1ms", "1.2.3s"]) assert.equal(parseDuration(text), null);
});

test("numbers", () => {
	assert.deepEqual([count(1234567), count(7), bytes(141), bytes(1536), bytes(33554432)], ["1 234 567", "7", "141 B", "1.5 KiB", "32 MiB"]);
	assert.deepEqual([percent(0), percent(0.0004), percent(0.012), percent(0.5), percent(1)], ["0 %", "<0.1 %", "1.2 %", "50 %", "100 %"]);
	assert.deepEqual([rate(0), rate(12.34), rate(0.5), rate(0.001)], ["0/s", "12.3/s", "30/min", "3.6/h"]);
});

test("names that steer a terminal or turn text around are made visible, and long ones are cut", () => {
	assert.equal(shown("a\u0000b\u001b[31m\u007f"), "a␀b␛[31m␡");
	assert.equal(shown("x\u202egnp.exe\u2066\ufeff"), "x⟨U+202E⟩gnp.exe⟨U+2066⟩⟨U+FEFF⟩");
	assert.equal(shown("<script>"), "<script>");
	assert.equal(shown("A".repeat(65536), 100).length, 101);
	assert.equal(shown("żółć 日本"), "żółć 日本");
});

test("a state and its address are the same, whatever the values hold", () => {
	const state = { view: "traces", id: "", params: new Map([["service", ["a&b=c#d?/%"]], ["attr", ["url.path=/x?y=1&z", "k=\u202e"]]]) };
	assert.deepEqual(parseHash(formatHash(state)), state);
	const named = { view: "services", id: "a/b?c%#", params: new Map() };
	assert.deepEqual(parseHash(formatHash(named)), named);
});

test("an address that is none is the list", () => {
	for (const hash of ["", "#", "#/", "#/nothing/x", "#<script>"]) assert.equal(parseHash(hash).view, "traces");
	assert.equal(parseHash("#/services/%zz").id, "%zz");
});

test("changing a state leaves the one before as it was", () => {
	const before = parseHash("#/traces?service=a&attr=x=1&attr=y=2");
	const after = changed(before, { service: "", attr: ["y=2"], status: "error" });
	assert.equal(formatHash(after), "#/traces?attr=y%3D2&status=error");
	assert.deepEqual([one(before, "service"), all(before, "attr")], ["a", ["x=1", "y=2"]]);
});

test("what the server is asked", () => {
	const state = parseHash("#/traces?service=cart&min=20ms&max=1s&attr=a%3Db&attr=c%3Dd&status=error&from=1000&to=2000&limit=20");
	assert.deepEqual(searchQuery(state, 5000), {
		query: "service=cart&status=error&min_duration_nano=20000000&max_duration_nano=1000000000&attr=a%3Db&attr=c%3Dd&start_unix_nano=1000000000&end_unix_nano=2000000000&limit=20",
		problems: [],
	});
	assert.equal(searchQuery(parseHash("#/traces"), 0).query, "limit=100");
	assert.equal(searchQuery(parseHash("#/traces?range=1h"), 1795303391000).query, "start_unix_nano=1795299791000000000&limit=100");
	assert.deepEqual(timeRange(parseHash("#/traces?range=15m&from=7"), 0), { from: 7, to: null });
});

test("what cannot be asked is said before it is asked", () => {
	const { problems } = searchQuery(parseHash("#/traces?min=fast&attr=novalue"), 0);
	assert.equal(problems.length, 2);
	assert.match(problems[0], /“fast” is no duration: write 20ms/);
	assert.match(problems[1], /“novalue” is no attribute: write key=value/);
});

test("percentiles are values that were there", () => {
	const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
	assert.deepEqual([0.5, 0.95, 0.99, 1].map((p) => percentile(hundred, p)), [50, 95, 99, 100]);
	assert.ok(Number.isNaN(percentile([], 0.5)));
});

test("parts of the time that an answer leaves out stand where they were", () => {
	const answer = { start_unix_nano: "1700000000000000001", end_unix_nano: "1700000000000000100", bucket_nano: "25" };
	const at = overTime(answer, [{ start_unix_nano: "1700000000000000026", count: 2 }, { start_unix_nano: "1700000000000000076", count: 7 }]);
	assert.deepEqual(at((b) => b.count, 0), [0, 2, 0, 7]);
	assert.deepEqual(overTime({ start_unix_nano: "0", end_unix_nano: "0", bucket_nano: "1" }, [])((b) => b.count, NaN), [NaN]);
});

test("the time of a view is asked for as the API has it", () => {
	assert.equal(String(rangeQuery(parseHash("#/map"), 5)), "");
	assert.equal(String(rangeQuery(parseHash("#/map?range=1h"), 1795303391000)), "start_unix_nano=1795299791000000000");
	assert.equal(secondsOf({ start_unix_nano: "1700000000000000000", end_unix_nano: "1700000001500000000" }), 1.5);
});

test("an axis has round steps", () => {
	assert.deepEqual(ticks(0, 100, 5), [0, 20, 40, 60, 80, 100]);
	assert.deepEqual(ticks(0, 7e6, 4), [0, 2e6, 4e6, 6e6]);
	assert.deepEqual(ticks(5, 5, 3), [5]);
});

test("a trace as text", () => {
	const t = tree(SHOP);
	const groups = findGroups(t);
	const lines = traceText(t, flatten(t, new Set(), groups, new Set()), groups).split("\n");
	assert.equal(lines[0], "trace 231abc53ff4040f73d3957b82bf0e435  100 ms  5 spans  1 error");
	assert.equal(lines[1], "web server GET /cart          100 ms  |========================|");
	assert.equal(lines[5], "      shop client SELECT b     30 ms  |            =======     |  ERROR");
	assert.equal(new Set(lines.slice(1, 6).map((l) => l.indexOf("|"))).size, 1);
});
