// SPDX-License-Identifier: Apache-2.0
import assert from "node:assert/strict";
import test from "node:test";
import { atMs, attribute, parseTrace, text } from "../../user/serve/page/otlp.js";
import { attributes, ID, otlp, SHOP } from "./traces.js";

test("times stay exact to the nanosecond, also over the turn of a second", () => {
	const span = (id, start, end) => ({ traceId: ID, spanId: id, name: "x", kind: 2, startTimeUnixNano: start, endTimeUnixNano: end });
	const trace = parseTrace({ resourceSpans: [{ resource: { attributes: [] }, scopeSpans: [{ spans: [
		span("b", "1795303392000000001", "1795303392000000004"), span("a", "1795303391999999999", "1795303392000000007")] }] }] });
	const [b, a] = trace.spans;
	assert.equal(b.start - a.start, 2);
	assert.equal(a.duration, 8);
	assert.equal(b.duration, 3);
	assert.equal(trace.end - trace.start, 8);
	// A moment for Date needs no more than a microsecond.
	assert.ok(Math.abs(atMs(trace, a.start) - 1795303391999.999999) < 1e-3);
});

test("kinds and states by number and by name; what is not known is unspecified", () => {
	const spans = [
		{ spanId: "1", kind: 3, status: { code: 2, message: "no" } }, { spanId: "2", kind: "SPAN_KIND_SERVER", status: { code: "STATUS_CODE_OK" } },
		{ spanId: "3", kind: 77, status: { code: 9 } }, { spanId: "4" }];
	const got = parseTrace({ resourceSpans: [{ scopeSpans: [{ spans }] }] }).spans.map((s) => [s.kind, s.status, s.message, s.service]);
	assert.deepEqual(got, [["client", "error", "no", "unknown_service"], ["server", "ok", "", "unknown_service"],
		["unspecified", "unset", "", "unknown_service"], ["unspecified", "unset", "", "unknown_service"]]);
});

test("a program that says nothing of its service is called as in searches and on the map", () => {
	const named = (name) => parseTrace({ resourceSpans: [{ resource: { attributes: [{ key: "service.name", value: { stringValue: name } }] },
		scopeSpans: [{ spans: [{ spanId: "1" }] }] }] }).spans[0].service;
	assert.deepEqual(["unknown_service:wget", "unknown_service:", "unknown_service", "shop"].map(named), ["wget", "unknown_service:", "unknown_service", "shop"]);
});

test("every kind of value is told", () => {
	const list = { arrayValue: { values: [{ stringValue: "a" }, { intValue: "9007199254740993" }, { boolValue: false }] } };
	assert.equal(text(list), "[a, 9007199254740993, false]");
	assert.equal(text({ kvlistValue: { values: attributes({ a: "b", n: 1 }) } }), "{a: b, n: 1}");
	assert.equal(text({ doubleValue: 0.5 }), "0.5");
	assert.equal(text({ bytesValue: "AAE=" }), "AAE=");
	assert.equal(text(undefined), "");
	assert.equal(text({}), "");
});

test("rows tell of spans what they say of them at length", () => {
	const row = ["000000000000000a", "", "GET", 2, 2, 1795303391, 999999999, 8, { "url.path": "/x", "http.response.status_code": 500 }];
	const trace = parseTrace({ resourceSpans: [{ resource: { attributes: attributes({ "service.name": "shop" }) }, scopeSpans: [{ rows: [
		row, ["000000000000000b", "000000000000000a", "SELECT", 3, 0, 1795303392, 1, -3], ["c", "", "odd", 77, 9, 1795303392, 0, 0]] }] }] });
	const [a, b, c] = trace.spans;
	assert.deepEqual([a.id, a.parent, a.kind, a.status, a.duration, a.service], ["000000000000000a", "", "server", "error", 8, "shop"]);
	assert.deepEqual([attribute(a, "url.path"), attribute(a, "http.response.status_code"), attribute(a, "toString")], ["/x", "500", ""]);
	assert.deepEqual([b.parent, b.kind, b.status, b.start - a.start, b.duration, attribute(b, "url.path")], [a.id, "client", "unset", 2, -3, ""]);
	assert.deepEqual([c.kind, c.status], ["unspecified", "unset"]);
});

test("an empty answer is a trace of no spans", () => {
	const trace = parseTrace({ resourceSpans: [], sonde: { lost: true } });
	assert.deepEqual([trace.spans.length, trace.start, trace.end, trace.lost], [0, 0, 0, true]);
});

test("services and attributes come with their span", () => {
	const trace = parseTrace(otlp(SHOP));
	assert.equal(trace.id, ID);
	assert.deepEqual(trace.spans.map((s) => s.service), ["web", "web", "shop", "shop", "shop"]);
	assert.equal(attribute(trace.spans[3], "server.port"), "5432");
	assert.equal(attribute(trace.spans[3], "none"), "");
});
