// SPDX-License-Identifier: Apache-2.0
// The services; and of one: rate, errors, duration over time and by operation, how busy it is, with examples one click away.

import { get, search } from "./api.js";
import { chart } from "./chart.js";
import { empty, h, name, notice, replace, service } from "./dom.js";
import { count, duration, percent, plural, rate, unixMs } from "./format.js";
import { summaryName } from "./operation.js";
import { formatHash, one, rangeQuery, secondsOf } from "./query.js";
import { rangeControl } from "./range.js";
import { overTime } from "./stats.js";

const BUCKETS = 60;
const EXAMPLES = 8;
// Of this many that are slower than most, the slowest are shown.
const LOOKED_AT = 50;

export function open(root, state, page) {
	let abort = new AbortController();
	const load = async () => {
		abort.abort();
		abort = new AbortController();
		try {
			if (page.state.id) await showService(root, page, abort.signal);
			else await showServices(root, page, abort.signal);
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(root, notice(error, load));
			if (error.status === undefined) throw error;
		}
	};
	load();
	return { update: load, close: () => abort.abort() };
}

const inTime = (page) => (one(page.state, "range") ? [["range", [one(page.state, "range")]]] : []);
const cut = (answer) => (answer.incomplete ? "; of the newest ones: there was not time for all of them" : "");

async function showServices(root, page, signal) {
	const answer = await get(`api/v1/statistics?${rangeQuery(page.state, Date.now())}`, signal);
	const head = h("div", { class: "bar" }, h("h1", {}, plural(answer.services.length, "service")), h("div", { class: "search" }, rangeControl(page.state, page)));
	if (!answer.services.length) {
		replace(root, head, empty("No services in that time", "A service appears with its first span."));
		return;
	}
	const seconds = secondsOf(answer);
	const most = Math.max(...answer.services.map((s) => s.count));
	const n = (text, bad) => h("td", { class: `n${bad ? " bad" : ""}` }, text);
	replace(root, head, h("p", { class: "soft" }, `From ${plural(answer.spans, "span")} of ${duration(seconds * 1e9)}${cut(answer)}`), h("div", { class: "card scroll" }, h("table", {},
		h("thead", {}, h("tr", {}, h("th", {}, "Service"), ["Requests", "Rate", "Errors", "p50", "p95", "p99", "In flight"].map((t) => h("th", { class: "n" }, t)), h("th", {}, ""))),
		h("tbody", {}, answer.services.slice().sort((a, b) => b.count - a.count).map((s) => h("tr", {},
			h("td", {}, h("a", { href: formatHash({ view: "services", id: s.name, params: new Map(inTime(page)) }) }, service(s.name, 80)), s.kind === "server" ? null : h("small", { class: "soft" }, s.kind === "client" ? " calls only" : " no requests")),
			n(count(s.count)), n(rate(s.count / seconds)), n(s.errors ? percent(s.errors / s.count) : "0", s.errors),
			[s.p50_nano, s.p95_nano, s.p99_nano].map((v) => n(duration(Number(v)))), n(inFlight(s.in_flight)),
			h("td", { class: "share" }, h("span", { class: "track" }, h("i", { style: { width: `${(s.count / most) * 100}%` } })))))))));
}

const inFlight = (v) => (v >= 10 ? v.toFixed(0) : v >= 0.01 ? v.toFixed(2) : v ? "<0.01" : "0");

async function examplesOf(page, kind, more, signal) {
	const query = rangeQuery(page.state, Date.now());
	for (const [key, value] of Object.entries({ service: page.state.id, kind, limit: LOOKED_AT, ...more })) query.append(key, value);
	const answer = await search(query, signal);
	return answer.traces.flatMap((t) => t.matched.map((m) => ({
		name: summaryName(m), trace: t.trace_id, span: m.span_id, start: unixMs(m.start_unix_nano), duration: Number(m.duration_nano), error: m.status === "error",
	})));
}

async function showService(root, page, signal) {
	const { id } = page.state;
	page.title(id);
	const query = rangeQuery(page.state, Date.now());
	query.append("service", id);
	query.append("buckets", BUCKETS);
	const answer = await get(`api/v1/statistics?${query}`, signal);
	const s = answer.services.find((x) => x.name === id);
	const head = h("div", { class: "bar" }, h("h1", {}, service(id, 80)), h("div", { class: "search" }, rangeControl(page.state, page)));
	if (!s) {
		replace(root, head, empty("No requests of this service in that time", "Look at a longer time."));
		return;
	}
	const seconds = secondsOf(answer);
	const [slow, failed] = await Promise.all([
		examplesOf(page, s.kind, { min_duration_nano: Math.floor(Number(s.p99_nano) * 0.96) }, signal),
		s.errors ? examplesOf(page, s.kind, { status: "error" }, signal) : [],
	]);
	const number = (text, what, bad) => h("div", {}, h("b", { class: bad ? "bad" : undefined }, text), h("span", {}, what));
	replace(root, head,
		h("p", { class: "soft" }, `${{ server: "Requests it answered", client: "Calls it made (no request to it was seen)" }[s.kind] || "What it did (no request to it was seen)"}: ${count(s.count)} in ${duration(seconds * 1e9)}${cut(answer)}`),
		h("div", { class: "numbers" }, number(rate(s.count / seconds), "rate"), number(percent(s.errors / s.count), "errors", s.errors),
			[["p50", "p50_nano"], ["p95", "p95_nano"], ["p99", "p99_nano"], ["slowest", "max_nano"]].map(([what, key]) => number(duration(Number(s[key])), what)),
			number(inFlight(s.in_flight), "in flight"), s.peak === undefined ? null : [number(count(s.peak), "at most"), number(percent(s.busy_share), "busy")]),
		charts(answer, s),
		operations(page, s, seconds),
		h("div", { class: "grid2" }, examples("Slowest", slow.sort((a, b) => b.duration - a.duration)),
			examples("Failed", failed.sort((a, b) => b.start - a.start))));
}

function charts(answer, s) {
	const at = overTime(answer, s.buckets);
	const from = unixMs(answer.start_unix_nano);
	const to = unixMs(answer.end_unix_nano);
	const width = Number(answer.bucket_nano) / 1e9;
	const shared = (v) => `${Math.round(v * 100)} %`;
	return h("div", { class: "charts" },
		chart({ title: "Rate", note: "failed ones red", from, to, label: rate, series: [
			{ kind: "bars", colour: "--point", values: at((b) => b.count / width, 0) },
			{ kind: "bars", colour: "--error", values: at((b) => b.errors / width, 0) }] }),
		chart({ title: "Duration", note: "p50 and, above it, p99", from, to, label: duration, series: [
			{ kind: "line", colour: "--c2", values: at((b) => (b.count ? Number(b.p99_nano) : NaN), NaN) },
			{ kind: "line", colour: "--point", values: at((b) => (b.count ? Number(b.p50_nano) : NaN), NaN) }] }),
		chart({ title: "In flight", note: "requests at work at the same time: on average, and the most", from, to, label: (v) => v.toFixed(v < 10 ? 2 : 0), series: [
			{ kind: "bars", colour: "--c5", values: at((b) => b.in_flight, 0) },
			{ kind: "line", colour: "--c2", values: at((b) => b.peak ?? NaN, NaN) }] }),
		s.busy_share === undefined ? null : chart({ title: "Busy", note: "share of the time in which there was any request", from, to, label: shared, series: [
			{ kind: "bars", colour: "--c5", values: at((b) => b.busy_share ?? NaN, 0) }] }));
}

function operations(page, s, seconds) {
	const rows = s.operations.filter((o) => o.kind === s.kind || (s.kind === "server" && o.kind === "consumer") || (s.kind === "client" && o.kind === "producer") || s.kind === "internal")
		.sort((a, b) => b.count * Number(b.p50_nano) - a.count * Number(a.p50_nano));
	const to = (o, more) => formatHash({ view: "traces", params: new Map([["service", [page.state.id]], ["operation", [o.span_name]], ["kind", [o.kind]], ...inTime(page), ...more]) });
	const slow = (o) => [["min", [`${(Math.floor(Number(o.p95_nano) / 1e3) / 1e3).toFixed(3)}ms`]]];
	return h("div", { class: "card scroll" }, h("table", {},
		h("thead", {}, h("tr", {}, h("th", {}, "Operation"), ["Requests", "Rate", "Errors", "p50", "p95", "p99"].map((t) => h("th", { class: "n" }, t)), h("th", {}, "Examples"))),
		h("tbody", {}, rows.map((o) => h("tr", {},
			h("td", {}, h("a", { href: to(o, []) }, name(o.name, 120)), o.inferred ? h("small", { class: "soft", title: "The route is not known: identifiers in the path are replaced" }, " inferred") : null), h("td", { class: "n" }, count(o.count)), h("td", { class: "n" }, rate(o.count / seconds)),
			h("td", { class: `n${o.errors ? " bad" : ""}` }, o.errors ? percent(o.errors / o.count) : "0"),
			[o.p50_nano, o.p95_nano, o.p99_nano].map((v) => h("td", { class: "n" }, duration(Number(v)))),
			h("td", {}, h("a", { href: to(o, slow(o)) }, "slow"), o.errors ? [" ", h("a", { class: "bad", href: to(o, [["status", ["error"]]]) }, "failed")] : null))))));
}

function examples(title, list) {
	return h("div", { class: "card" }, h("h2", {}, title), list.length ? h("table", {}, h("tbody", {}, list.slice(0, EXAMPLES).map((i) => h("tr", {},
		h("td", {}, h("a", { href: formatHash({ view: "trace", id: i.trace, params: new Map([["span", [i.span]]]) }) }, name(i.name, 80))),
		h("td", { class: `n${i.error ? " bad" : ""}` }, duration(i.duration)))))) : h("p", { class: "soft" }, "None."));
}
