// SPDX-License-Identifier: Apache-2.0
// The services; and of one: rate, errors, duration over time and by operation, with examples one click away.

import { get, search } from "./api.js";
import { chart } from "./chart.js";
import { empty, h, name, notice, replace, service } from "./dom.js";
import { count, duration, percent, plural, rate, unixMs } from "./format.js";
import { loadedControls } from "./loaded.js";
import { summaryName, summaryOperation } from "./operation.js";
import { formatHash, one, searchQuery } from "./query.js";
import { buckets, percentile, summary } from "./stats.js";

const BUCKETS = 40;

export function open(root, state, page) {
	let abort = new AbortController();
	const load = async () => {
		abort.abort();
		abort = new AbortController();
		try {
			if (page.state.id) await showService(root, page, abort.signal);
			else await showServices(root, abort.signal);
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(root, notice(error, load));
			if (error.status === undefined) throw error;
		}
	};
	load();
	return { update: load, close: () => abort.abort() };
}

async function showServices(root, signal) {
	const { services } = await get("api/v1/services", signal);
	if (!services.length) {
		replace(root, empty("No services yet", "A service appears with its first span."));
		return;
	}
	const most = Math.max(...services.map((s) => s.spans));
	replace(root, h("h1", {}, plural(services.length, "service")), h("div", { class: "card" }, h("table", {},
		h("thead", {}, h("tr", {}, h("th", {}, "Service"), h("th", { class: "n" }, "Spans"), h("th", {}, ""))),
		h("tbody", {}, services.slice().sort((a, b) => b.spans - a.spans).map((s) => h("tr", {},
			h("td", {}, h("a", { href: formatHash({ view: "services", id: s.name }) }, service(s.name, 80))),
			h("td", { class: "n" }, count(s.spans)),
			h("td", { class: "share" }, h("span", { class: "track" }, h("i", { style: { width: `${(s.spans / most) * 100}%` } })))))))));
}

// Server spans where the service has any: what it was asked. Else what it calls.
async function requestsOf(page, signal) {
	const base = { ...page.state, params: new Map(page.state.params) };
	base.params.set("service", [page.state.id]);
	for (const kind of ["server", "client"]) {
		base.params.set("kind", [kind]);
		const answer = await search(searchQuery(base, Date.now(), 200).query, signal);
		const items = answer.traces.flatMap((t) => t.matched.filter((m) => m.kind === kind && m.service === page.state.id).map((m) => ({
			name: summaryName(m), operation: summaryOperation(m), asked: m.name, trace: t.trace_id, span: m.span_id, start: unixMs(m.start_unix_nano),
			duration: Number(m.duration_nano) / 1e6, error: m.status === "error",
		})));
		if (items.length) return { kind, items, traces: answer.traces.length, incomplete: answer.incomplete };
	}
	return { kind: "server", items: [], traces: 0 };
}

async function showService(root, page, signal) {
	const { id } = page.state;
	page.title(id);
	const { kind, items, traces, incomplete } = await requestsOf(page, signal);
	const head = h("div", { class: "bar" }, h("h1", {}, service(id, 80)), h("div", { class: "search" }, loadedControls(page.state, page, [])));
	if (!items.length) {
		replace(root, head, empty("No requests of this service in that time", "Look at a longer time."));
		return;
	}
	const from = items.reduce((m, i) => Math.min(m, i.start), Infinity);
	const to = Math.max(from + 1, items.reduce((m, i) => Math.max(m, i.start + i.duration), 0));
	const seconds = (to - from) / 1000;
	const all = summary(items.map((i) => i.duration * 1e6));
	const errors = items.filter((i) => i.error).length;
	const number = (text, what, bad) => h("div", {}, h("b", { class: bad ? "bad" : undefined }, text), h("span", {}, what));
	replace(root, head,
		h("p", { class: "soft" }, `${kind === "server" ? "Requests it answered" : "Calls it made (no request to it was seen)"}, from ${plural(traces, "trace")}${incomplete ? "; the search took too long: there may be more" : ""}`),
		h("div", { class: "numbers" }, number(rate(items.length / seconds), "rate"), number(percent(errors / items.length), "errors", errors),
			number(duration(all.p50), "p50"), number(duration(all.p95), "p95"), number(duration(all.p99), "p99"), number(duration(all.max), "slowest")),
		charts(items, from, to),
		operations(page.state, items, seconds, kind),
		h("div", { class: "grid2" }, examples("Slowest", items.slice().sort((a, b) => b.duration - a.duration)),
			examples("Failed", items.filter((i) => i.error).sort((a, b) => b.start - a.start))));
}

function charts(items, from, to) {
	const n = Math.min(BUCKETS, Math.max(8, Math.round(Math.sqrt(items.length) * 2)));
	const list = buckets(items, from, to, n);
	const width = (to - from) / n / 1000;
	const p = (at) => list.map((b) => percentile(Float64Array.from(b.durations).sort(), at) * 1e6);
	const inflight = list.map((b) => b.busy / (width * 1000));
	return h("div", { class: "charts" },
		chart({ title: "Rate", note: "failed ones red", from, to, label: rate, series: [
			{ kind: "bars", colour: "--point", values: list.map((b) => b.count / width) },
			{ kind: "bars", colour: "--error", values: list.map((b) => b.errors / width) }] }),
		chart({ title: "Duration", note: "p50 and, above it, p99", from, to, label: duration, series: [
			{ kind: "line", colour: "--c2", values: p(0.99) }, { kind: "line", colour: "--point", values: p(0.5) }] }),
		chart({ title: "In flight", note: "requests at work at the same time, on average", from, to, label: (v) => v.toFixed(v < 10 ? 2 : 0), series: [
			{ kind: "bars", colour: "--c5", values: inflight }] }));
}

function operations(state, items, seconds, kind) {
	const by = new Map();
	for (const i of items) {
		if (!by.has(i.operation)) by.set(i.operation, []);
		by.get(i.operation).push(i);
	}
	const rows = [...by].map(([op, list]) => ({ op, list, errors: list.filter((i) => i.error).length, ...summary(list.map((i) => i.duration * 1e6)) }))
		.sort((a, b) => b.count * b.p50 - a.count * a.p50);
	const to = (row, more) => formatHash({ view: "traces", params: new Map([["service", [state.id]], ["operation", [row.list[0].asked]], ["kind", [kind]], ...(one(state, "range") ? [["range", [one(state, "range")]]] : []), ...more]) });
	const slow = (row) => [["min", [`${(Math.floor(row.p95 / 1e3) / 1e3).toFixed(3)}ms`]]];
	return h("div", { class: "card scroll" }, h("table", {},
		h("thead", {}, h("tr", {}, h("th", {}, "Operation"), ["Requests", "Rate", "Errors", "p50", "p95", "p99"].map((t) => h("th", { class: "n" }, t)), h("th", {}, "Examples"))),
		h("tbody", {}, rows.map((r) => h("tr", {},
			h("td", {}, h("a", { href: to(r, []) }, name(r.op, 120)), r.op === r.list[0].asked ? null : h("small", { class: "soft", title: "The route is not known: identifiers in the path are replaced" }, " inferred")), h("td", { class: "n" }, count(r.count)), h("td", { class: "n" }, rate(r.count / seconds)),
			h("td", { class: `n${r.errors ? " bad" : ""}` }, r.errors ? percent(r.errors / r.count) : "0"),
			[r.p50, r.p95, r.p99].map((v) => h("td", { class: "n" }, duration(v))),
			h("td", {}, h("a", { href: to(r, slow(r)) }, "slow"), r.errors ? [" ", h("a", { class: "bad", href: to(r, [["status", ["error"]]]) }, "failed")] : null))))));
}

function examples(title, list) {
	return h("div", { class: "card" }, h("h2", {}, title), list.length ? h("table", {}, h("tbody", {}, list.slice(0, 8).map((i) => h("tr", {},
		h("td", {}, h("a", { href: formatHash({ view: "trace", id: i.trace, params: new Map([["span", [i.span]]]) }) }, name(i.name, 80))),
		h("td", { class: `n${i.error ? " bad" : ""}` }, duration(i.duration * 1e6)))))) : h("p", { class: "soft" }, "None."));
}
