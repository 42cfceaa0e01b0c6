// SPDX-License-Identifier: Apache-2.0
// Two traces side by side.

import { getTrace, search } from "./api.js";
import { colour, h, name, notice, replace } from "./dom.js";
import { clock, count, duration, plural } from "./format.js";
import { diffTraces, verdict } from "./diff.js";
import { label } from "./operation.js";
import { atMs } from "./otlp.js";
import { changed, formatHash, one } from "./query.js";

const SHOWN_MOST = 2000;

export function open(root, state, page) {
	let abort = new AbortController();
	const load = async () => {
		abort.abort();
		abort = new AbortController();
		const [a, b] = ["a", "b"].map((side) => one(page.state, side));
		try {
			if (!a || !b) await choose(root, page, a || b, abort.signal);
			else show(root, page, await Promise.all([a, b].map((id) => getTrace(id, abort.signal))));
		} catch (error) {
			if (error.name === "AbortError") return;
			replace(root, notice(error, error.status === 404 ? null : load));
			if (error.status === undefined) throw error;
		}
	};
	page.title("Diff");
	load();
	return { update: load, close: () => abort.abort(), keys: (event) => event.key === "Escape" && (history.back(), true) };
}

// The other one: traces that begin with the same operation of the same service come first in mind.
async function choose(root, page, id, signal) {
	if (!id) {
		replace(root, h("h1", {}, "Diff of two traces"), h("p", { class: "soft" }, "Mark two traces in the ", h("a", { href: "#/traces" }, "list"), " (key x), then choose Diff."));
		return;
	}
	const { tree } = await getTrace(id, signal);
	const first = tree.spans[tree.roots[0]];
	const query = new URLSearchParams({ service: first.service, operation: first.name, kind: first.kind, limit: "50" });
	const answer = await search(query.toString(), signal);
	const others = answer.traces.filter((t) => t.trace_id !== id);
	replace(root, h("h1", {}, "Diff ", name(label(first), 100), " with…"),
		h("p", { class: "soft" }, others.length ? "Traces with the same operation, the newest first:" : "No other trace has the same operation. Mark two in the list (key x) to compare any two."),
		others.length ? h("div", { class: "card" }, h("table", {}, h("tbody", {}, others.map((t) => h("tr", {},
			h("td", {}, h("a", { href: formatHash(changed(page.state, { b: t.trace_id })) }, clock(Number(BigInt(t.start_unix_nano) / 1000000n)))),
			h("td", { class: "n" }, duration(Number(t.duration_nano))), h("td", { class: "n" }, plural(t.spans, "span")),
			h("td", { class: "bad" }, t.errors ? plural(t.errors, "error") : ""), h("td", {}, h("code", {}, t.trace_id))))))) : null);
}

function show(root, page, [a, b]) {
	const rows = diffTraces(a.tree, b.tree);
	const only = Boolean(one(page.state, "only"));
	const kept = only ? rows.filter((r) => verdict(r) !== "same") : rows;
	const longest = Math.max(1, ...rows.map((r) => Math.max(r.a.time, r.b.time)));
	const toggle = h("button", { type: "button", class: "toggle", "aria-pressed": String(only), onclick: () => page.go(changed(page.state, { only: only ? "" : "1" }), { replace: true }) }, "Differences only");
	const swap = h("button", { type: "button", onclick: () => page.go(changed(page.state, { a: one(page.state, "b"), b: one(page.state, "a") }), { replace: true }) }, "Swap");
	replace(root, h("div", { class: "bar" }, h("h1", {}, "Diff of two traces"), h("div", { class: "actions" }, toggle, swap)),
		h("div", { class: "grid2" }, head("A", a.tree), head("B", b.tree)),
		h("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Spans of both" }, h("table", { class: "diff" },
			h("thead", {}, h("tr", {}, h("th", {}, "Span"), ["A", "", "B", ""].map((t) => h("th", { class: "n" }, t)), h("th", { class: "n" }, "Difference"), h("th", {}, ""))),
			h("tbody", {}, kept.slice(0, SHOWN_MOST).map((r) => row(r, longest))))),
		kept.length > SHOWN_MOST ? h("p", { class: "soft" }, `${count(kept.length - SHOWN_MOST)} more rows are not shown: choose “Differences only”.`) : null,
		kept.length ? null : h("p", { class: "soft" }, "The two do the same, in about the same time."));
}

function head(side, tree) {
	const { trace, spans } = tree;
	const errors = spans.filter((s) => s.status === "error").length;
	return h("div", { class: "card" }, h("b", {}, `${side}  `), h("a", { href: formatHash({ view: "trace", id: trace.id }) }, name(label(spans[tree.roots[0]]), 100)),
		h("p", { class: "soft" }, `${duration(trace.end - trace.start)} · ${plural(spans.length, "span")}${errors ? ` · ${plural(errors, "error")}` : ""} · ${clock(atMs(trace, trace.start))}`));
}

function row(r, longest) {
	const what = verdict(r);
	const delta = r.b.time - r.a.time;
	const side = (s) => [
		h("td", { class: `n${s.errors ? " bad" : ""}` }, s.count ? `${s.count > 1 ? `${s.count} × ` : ""}${duration(s.time)}` : "–"),
		h("td", { class: "share" }, h("span", { class: "track" }, h("i", { style: { width: `${(s.time / longest) * 100}%` } })))];
	const tone = { slower: "slower", "more calls": "slower", "more errors": "bad", faster: "faster", "fewer calls": "faster", "fewer errors": "faster" }[what] || "soft";
	return h("tr", { class: what === "only in A" ? "gone" : what === "only in B" ? "new" : undefined },
		h("td", {}, h("span", { class: "diff-name", style: { "padding-left": `${Math.min(r.depth, 24) * 14}px` } },
			h("i", { class: `dot c${colour(r.service)}` }), h("span", { class: "soft" }, name(r.service, 30)), h("span", {}, name(r.name, 100)))),
		side(r.a), side(r.b),
		h("td", { class: `n ${tone}` }, r.a.count && r.b.count ? `${delta >= 0 ? "+" : ""}${duration(delta)}` : ""),
		h("td", { class: tone }, what === "same" ? "" : what));
}
