// SPDX-License-Identifier: Apache-2.0
// All that is known of one span: how it was linked, what is odd about it, its attributes.

import { copy, h, name, service } from "./dom.js";
import { clock, day, duration, percent, plural } from "./format.js";
import { operation } from "./operation.js";
import { atMs, attribute, text } from "./otlp.js";
import { formatHash } from "./query.js";
import { longestGap, noteText, selfTime } from "./tree.js";

// What docs/links.md says, in a line each.
const EVIDENCE = {
	none: "a root: there was no candidate for a parent",
	header: "a propagation header in the request",
	edge: "both ends of one connection were seen on this machine",
	thread: "the only request open on the thread that made the call",
	thread_connect: "the only request open on the thread that opened the connection",
	export: "the program's own export tells of the same exchange",
};

// whole: the OTLP span; undefined while it is being read, null where it has gone from the store meanwhile.
export function spanPane(tree, i, whole, { onpath, close, select, path }) {
	const span = whole ? { ...tree.spans[i], raw: whole, message: whole.status?.message || "" } : tree.spans[i];
	const { trace } = tree;
	const { inferred, name: op } = operation(span);
	const ms = atMs(trace, span.start);
	const fact = (key, ...value) => [h("dt", {}, key), h("dd", {}, value)];
	return [
		h("div", { class: "pane-head" },
			h("h2", {}, name(op, 200), inferred ? h("small", { class: "soft", title: "The route is not known: identifiers in the path are replaced" }, " inferred") : null),
			h("button", { type: "button", class: "close", "aria-label": "Close details", onclick: close }, "×")),
		h("p", {}, service(span.service), ` ${span.kind} `, span.status === "error" ? h("span", { class: "bad" }, "error ", span.message ? name(span.message, 300) : null) : span.status),
		h("dl", { class: "facts" },
			fact("Duration", h("b", {}, duration(span.duration)), ` of ${duration(trace.end - trace.start)} (${percent(span.duration / (trace.end - trace.start || 1))})`),
			fact("Begins", `+${duration(span.start - trace.start)}, ${day(ms)} ${clock(ms)}`),
			tree.kids[i].length ? fact("Own time", `${duration(selfTime(tree, i))} in which no child runs`) : null,
			gap(tree, i, fact),
			onpath ? fact("Critical path", `${duration(onpath)} (${percent(onpath / (path || 1))} of the path)`) : null,
			tree.parent[i] >= 0 ? fact("Parent", h("button", { type: "button", class: "link", onclick: () => select(tree.parent[i]) }, name(tree.spans[tree.parent[i]].service, 40), " ", name(operation(tree.spans[tree.parent[i]]).name, 80))) : null,
			fact("Span id", h("code", {}, name(span.id, 32)))),
		(tree.notes.get(i) || []).map((n) => h("p", { class: "note" }, noteText(tree, i, n))),
		evidence(span),
		whole ? [links(span), events(span, trace), table("Attributes", whole.attributes || [], true)] : null,
		whole === undefined ? h("p", { class: "soft loading" }, "Reading its attributes…") : null,
		whole === null ? h("p", { class: "note" }, "Its attributes have gone from the store meanwhile.") : null,
		table("Resource", span.resource.attributes, false),
		span.scope?.name ? h("p", { class: "soft" }, "Scope ", name(span.scope.name, 80), " ", span.scope.version ? name(span.scope.version, 40) : null) : null,
		whole ? h("div", { class: "actions" }, h("button", { type: "button", onclick: () => copy(JSON.stringify(whole, null, 2), "Span as JSON") }, "Copy span as JSON")) : null,
	];
}

function gap(tree, i, fact) {
	const longest = longestGap(tree, i);
	const span = tree.spans[i];
	if (!longest || longest.end - longest.start < span.duration * 0.1) return null;
	return fact("Longest gap", `${duration(longest.end - longest.start)} from +${duration(longest.start - span.start)}: `,
		"no child span runs; its own work, or calls that are not traced");
}

function evidence(span) {
	const method = attribute(span, "sonde.link.method");
	const ambiguous = attribute(span, "sonde.link.ambiguous") === "true";
	if (!method && !ambiguous) return null;
	const confidence = attribute(span, "sonde.link.confidence");
	return h("section", { class: "evidence" }, h("h3", {}, "Link to its parent"),
		method ? h("p", {}, h("code", {}, name(method, 40)), confidence ? ` ${confidence} %: ` : ": ", EVIDENCE[method] || "evidence that this page does not know") : null,
		ambiguous ? h("p", { class: "note" }, `Ambiguous: ${attribute(span, "sonde.link.candidates") || "several"} candidates, none of them certain. No link was made.`) : null);
}

function links(span) {
	const list = span.raw.links || [];
	if (!list.length) return null;
	return h("section", {}, h("h3", {}, plural(list.length, "link")), h("ul", {}, list.map((l) => h("li", {},
		h("a", { href: formatHash({ view: "trace", id: l.traceId || "", params: new Map([["span", [l.spanId || ""]]]) }) }, h("code", {}, name(l.spanId || "", 32))),
		" ", (l.attributes || []).map((a) => [name(a.key, 60), " ", name(text(a.value), 60), " "])))));
}

function events(span, trace) {
	const list = span.raw.events || [];
	if (!list.length) return null;
	return h("section", {}, h("h3", {}, plural(list.length, "event")), list.map((e) => {
		const nano = String(e.timeUnixNano || "0").padStart(10, "0");
		const at = (Number(nano.slice(0, -9)) - trace.baseS) * 1e9 + Number(nano.slice(-9)) - span.start;
		return h("details", {}, h("summary", {}, `+${duration(at)} `, name(e.name || "", 200)), rows(e.attributes || [], false));
	}));
}

function table(title, attributes, open) {
	if (!attributes.length) return null;
	return h("details", { open }, h("summary", {}, h("h3", {}, title), h("small", { class: "soft" }, ` ${attributes.length}`)), rows(attributes, title === "Attributes"));
}

function rows(attributes, findable) {
	const sorted = attributes.slice().sort((a, b) => (a.key < b.key ? -1 : 1));
	return h("table", { class: "attributes" }, h("tbody", {}, sorted.map((a) => {
		const value = text(a.value);
		const find = findable && value.length < 200
			? h("a", { class: "find", title: "Traces with this value", "aria-label": "Traces with this value", href: formatHash({ view: "traces", params: new Map([["attr", [`${a.key}=${value}`]]]) }) }, "⌕")
			: null;
		return h("tr", {}, h("th", { scope: "row" }, name(a.key, 120)), h("td", {}, name(value, 2000), find));
	})));
}
